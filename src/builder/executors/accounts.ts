// Accounts of a root file system: /etc/passwd and /etc/group as text, and the person that a USER setting means. Pure but
// for the reader that is passed in.
import { BuildError } from '../../errors.js'

export interface PasswdEntry {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly shell: string
}

export interface GroupEntry {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/** Who a process is. */
export interface Identity {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, without `gid`. */
  readonly groups: readonly number[]
  /** `undefined` for a uid without an account. */
  readonly name: string | undefined
  readonly home: string
}

const ID = /^\d{1,10}$/
const ID_MAX = 0xffff_fffe

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && ID.test(text) && Number(text) <= ID_MAX ? Number(text) : undefined
}

/** Lines that are no account are skipped, as libc does. */
export function parsePasswd(text: string): PasswdEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid, , home, shell] = line.split(':')
    const ids = [numberOf(uid), numberOf(gid)]
    if (!name || ids[0] === undefined || ids[1] === undefined) return []
    return [{ name, uid: ids[0], gid: ids[1], home: home || '/', shell: shell || '/bin/sh' }]
  })
}

export function parseGroup(text: string): GroupEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name, , gid, members] = line.split(':')
    const id = numberOf(gid)
    if (!name || id === undefined) return []
    return [{ name, gid: id, members: (members ?? '').split(',').filter((member) => member !== '') }]
  })
}

export interface AccountFiles {
  /** Text of /etc/passwd; '' where there is none. */
  readonly passwd: string
  readonly group: string
}

/**
 * Resolves `user[:group]` as the OCI runtime does: names by the account files, numbers as they are; a user without a
 * group brings its primary one (0 for a number without an account) and its supplementary groups; with a group it
 * brings none.
 *
 * @throws BuildError USER_NOT_FOUND for a name without an account
 * @see moby/sys/user GetExecUser
 */
export function resolveIdentity(user: string, files: AccountFiles): Identity {
  const colon = user.indexOf(':')
  const userPart = colon === -1 ? user : user.slice(0, colon)
  const groupPart = colon === -1 ? '' : user.slice(colon + 1)
  const accounts = parsePasswd(files.passwd)
  const number = userPart === '' ? 0 : numberOf(userPart)
  const account =
    accounts.find((entry) => entry.name === userPart) ?? accounts.find((entry) => entry.uid === number)
  if (account === undefined && number === undefined) throw notFound('user', userPart)
  const uid = account?.uid ?? number!
  const groups = parseGroup(files.group)
  const base = { uid, name: account?.name, home: account?.home ?? '/' }
  if (groupPart !== '') return { ...base, gid: resolveGroup(groupPart, groups), groups: [] }
  const gid = account?.gid ?? 0
  const name = account?.name
  const extra = name === undefined ? [] : groups.filter((group) => group.members.includes(name))
  return { ...base, gid, groups: [...new Set(extra.map((group) => group.gid))].filter((id) => id !== gid) }
}

function resolveGroup(text: string, groups: readonly GroupEntry[]): number {
  const gid = groups.find((group) => group.name === text)?.gid ?? numberOf(text)
  if (gid === undefined) throw notFound('group', text)
  return gid
}

function notFound(kind: 'user' | 'group', name: string): BuildError {
  return new BuildError(
    'USER_NOT_FOUND',
    `unable to find ${kind} ${name}: no matching entry in the root's account files`,
    {
      data: { kind, name },
    },
  )
}

/** The account files of a file system; a missing one is empty. */
export function readAccountFiles(fs: { readFileSync(path: string): Uint8Array | string }): AccountFiles {
  const read = (path: string): string => {
    try {
      const content = fs.readFileSync(path)
      return typeof content === 'string' ? content : new TextDecoder().decode(content)
    } catch {
      return ''
    }
  }
  return { passwd: read('/etc/passwd'), group: read('/etc/group') }
}
