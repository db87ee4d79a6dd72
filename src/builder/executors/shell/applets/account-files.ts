// The account files and what every command that changes them does: ids, groups, homes, backups. As shadow-utils 4.13 with
// Debian's login.defs.
import { parseGroup, parsePasswd, readAccountFiles } from '../../accounts.js'
import { lexists, UsageError } from '../process.js'
import type { AppletIO } from '../process.js'
import { gidOf } from './ownership.js'
import { joinName, walkTree } from './shared.js'

const FILES = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow'] as const
type AccountFile = (typeof FILES)[number]

function readLines(io: AppletIO, file: AccountFile): string[] {
  if (!lexists(io.fs, file)) return []
  const text = new TextDecoder().decode(io.fs.readFileSync(file) as Uint8Array)
  return text.split('\n').filter((line) => line !== '')
}

/** Rewrites one account file; shadow files are kept only where the root has them. */
export function rewrite(io: AppletIO, file: AccountFile, change: (lines: string[]) => string[]): void {
  if (file.includes('shadow') && !lexists(io.fs, file)) return
  const lines = change(readLines(io, file))
  if (lexists(io.fs, file)) keepBackup(io, file)
  io.fs.writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
}

/** As shadow-utils leave them: the file as it was before, and the lock. */
function keepBackup(io: AppletIO, file: AccountFile): void {
  const { fs } = io
  const { mode, uid, gid } = fs.statSync(file)
  fs.writeFileSync(`${file}-`, fs.readFileSync(file))
  fs.chownSync(`${file}-`, uid, gid)
  fs.chmodSync(`${file}-`, mode & 0o7777)
  if (!lexists(fs, '/etc/.pwd.lock')) fs.writeFileSync('/etc/.pwd.lock', '', { mode: 0o600 })
  fs.chmodSync('/etc/.pwd.lock', 0o600)
}

/** useradd takes system ids from 999 down, adduser from 100 up. */
function freeId(used: readonly number[], system: boolean | 'ascending'): number {
  const taken = new Set(used)
  const [first, last, step] =
    system === 'ascending' ? [100, 999, 1] : system ? [999, 100, -1] : [1000, 60_000, 1]
  for (let candidate = first; step > 0 ? candidate <= last : candidate >= last; candidate += step) {
    if (!taken.has(candidate)) return candidate
  }
  throw new UsageError('no free id is left', 4)
}

const NAME = /^[a-z_][a-z0-9_.-]{0,31}\$?$/i

interface NewGroup {
  readonly name: string
  readonly gid: number | undefined
  readonly system: boolean | 'ascending'
  readonly nonUnique?: boolean
}

export function makeGroup(io: AppletIO, { name, gid, system, nonUnique }: NewGroup): number {
  const known = parseGroup(readAccountFiles(io.fs).group)
  if (!NAME.test(name)) throw new UsageError(`'${name}' is not a valid group name`, 3)
  if (known.some((group) => group.name === name)) throw new UsageError(`group '${name}' already exists`, 9)
  if (gid !== undefined && nonUnique !== true && known.some((group) => group.gid === gid)) {
    throw new UsageError(`GID '${gid}' already exists`, 4)
  }
  const chosen =
    gid ??
    freeId(
      known.map((group) => group.gid),
      system,
    )
  rewrite(io, '/etc/group', (lines) => [...lines, `${name}:x:${chosen}:`])
  rewrite(io, '/etc/gshadow', (lines) => [...lines, `${name}:!::`])
  return chosen
}

interface NewUser {
  readonly name: string
  readonly uid: number | undefined
  readonly gid: number
  readonly comment: string
  readonly home: string
  readonly shell: string
  readonly system: boolean
  readonly groups: readonly string[]
  readonly makeHome: boolean
  readonly homeMode: number
  readonly password: '!' | '*'
}

export function nextUid(io: AppletIO, system: boolean | 'ascending'): number {
  return freeId(
    parsePasswd(readAccountFiles(io.fs).passwd).map((entry) => entry.uid),
    system,
  )
}

export function makeUser(io: AppletIO, user: NewUser): void {
  const uid = user.uid ?? nextUid(io, user.system)
  const groupIds = user.groups.map((group) => gidOf(io, group))
  rewrite(io, '/etc/passwd', (lines) => [
    ...lines,
    `${user.name}:x:${uid}:${user.gid}:${user.comment}:${user.home}:${user.shell}`,
  ])
  const day = Math.floor(Date.now() / 86_400_000)
  rewrite(io, '/etc/shadow', (lines) => [
    ...lines,
    `${user.name}:${user.password}:${day}:${user.system && user.password === '!' ? '::::' : '0:99999:7::'}:`,
  ])
  joinGroups(io, user.name, groupIds)
  if (user.makeHome) makeHome(io, user, uid)
}

export function joinGroups(io: AppletIO, name: string, gids: readonly number[]): void {
  if (gids.length === 0) return
  for (const file of ['/etc/group', '/etc/gshadow'] as const) {
    const names = new Set(
      parseGroup(readAccountFiles(io.fs).group)
        .filter((group) => gids.includes(group.gid))
        .map((group) => group.name),
    )
    rewrite(io, file, (lines) =>
      lines.map((line) => {
        const fields = line.split(':')
        if (!names.has(fields[0]!)) return line
        const members = (fields[3] ?? '').split(',').filter((member) => member !== '')
        return members.includes(name) ? line : [...fields.slice(0, 3), [...members, name].join(',')].join(':')
      }),
    )
  }
}

function makeHome(io: AppletIO, user: NewUser, uid: number): void {
  const { fs } = io
  if (lexists(fs, user.home)) return
  fs.mkdirSync(user.home, { recursive: true, mode: 0o755 })
  if (lexists(fs, '/etc/skel')) {
    for (const from of walkTree(fs, '/etc/skel')) {
      if (from === '/etc/skel') continue
      const to = joinName(user.home, from.slice('/etc/skel/'.length))
      const stat = fs.lstatSync(from)
      if (stat.isDirectory()) fs.mkdirSync(to, stat.mode & 0o7777)
      else if (stat.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(from), to)
      else fs.writeFileSync(to, fs.readFileSync(from), { mode: stat.mode & 0o7777 })
      fs.lchownSync(to, uid, user.gid)
    }
  }
  fs.chownSync(user.home, uid, user.gid)
  fs.chmodSync(user.home, user.homeMode)
}

export function checkNewUser(io: AppletIO, name: string, uid: number | undefined, nonUnique: boolean): void {
  const known = parsePasswd(readAccountFiles(io.fs).passwd)
  if (!NAME.test(name)) throw new UsageError(`invalid user name '${name}'`, 3)
  if (known.some((entry) => entry.name === name)) throw new UsageError(`user '${name}' already exists`, 9)
  if (uid !== undefined && !nonUnique && known.some((entry) => entry.uid === uid)) {
    throw new UsageError(`UID ${uid} is not unique`, 4)
  }
}

export function existingGroup(io: AppletIO, text: string): number {
  const found = parseGroup(readAccountFiles(io.fs).group).find(
    (group) => group.name === text || String(group.gid) === text,
  )
  if (found === undefined) throw new UsageError(`group '${text}' does not exist`, 6)
  return found.gid
}

export function leaveGroups(io: AppletIO, name: string): void {
  for (const file of ['/etc/group', '/etc/gshadow'] as const) {
    rewrite(io, file, (lines) =>
      lines.map((line) => {
        const fields = line.split(':')
        const members = (fields[3] ?? '').split(',').filter((member) => member !== '' && member !== name)
        return [...fields.slice(0, 3), members.join(',')].join(':')
      }),
    )
  }
}
