// Ownership and modes: chmod, chown, chgrp, umask; and who somebody is: id, whoami, groups. GNU coreutils 9.
import { parseGroup, parsePasswd, readAccountFiles } from '../../accounts.js'
import { parseOptions } from '../options.js'
import { lexists, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { eachOperand } from './files.js'
import { parseMode, walkTree } from './shared.js'

interface Ids {
  readonly uid: number | undefined
  readonly gid: number | undefined
}

const isNumber = (text: string): boolean => /^\d+$/.test(text)

/** A user's number by its name, or a number as it is. @throws UsageError */
export function uidOf(io: AppletIO, text: string): number {
  const account = parsePasswd(readAccountFiles(io.fs).passwd).find((entry) => entry.name === text)
  if (account !== undefined) return account.uid
  if (isNumber(text)) return Number(text)
  throw new UsageError(`invalid user: '${text}'`)
}

/** A group's number by its name, or a number as it is. @throws UsageError */
export function gidOf(io: AppletIO, text: string): number {
  const group = parseGroup(readAccountFiles(io.fs).group).find((entry) => entry.name === text)
  if (group !== undefined) return group.gid
  if (isNumber(text)) return Number(text)
  throw new UsageError(`invalid group: '${text}'`)
}

/** Owner and group given apart, as for install(1); `undefined` when neither is. @throws UsageError */
export function resolveUserGroup(
  io: AppletIO,
  user: string | undefined,
  group: string | undefined,
): Ids | undefined {
  if (user === undefined && group === undefined) return undefined
  return {
    uid: user === undefined ? undefined : uidOf(io, user),
    gid: group === undefined ? undefined : gidOf(io, group),
  }
}

/** `user`, `user:group`, `user:` (its login group), `:group`. */
function parseOwnership(io: AppletIO, text: string): Ids {
  const at = text.indexOf(':')
  if (at === -1) return { uid: uidOf(io, text), gid: undefined }
  const [user, group] = [text.slice(0, at), text.slice(at + 1)]
  const uid = user === '' ? undefined : uidOf(io, user)
  if (group !== '') return { uid, gid: gidOf(io, group) }
  const account = parsePasswd(readAccountFiles(io.fs).passwd).find((entry) => entry.name === user)
  if (user !== '' && account === undefined) throw new UsageError(`invalid spec: '${text}'`)
  return { uid, gid: account?.gid }
}

const OWNER_OPTIONS = {
  flags: 'RhvcfHLP',
  values: 'Z',
  long: {
    recursive: 'R',
    'no-dereference': 'h',
    verbose: 'v',
    changes: 'c',
    silent: 'f',
    quiet: 'f',
    reference: 'Z',
  },
} as const

function changeOwners(io: AppletIO, args: readonly string[], parse: (text: string) => Ids): number {
  const options = parseOptions(args, OWNER_OPTIONS)
  const operands = [...options.operands]
  const reference = options.value('Z')
  const ids = reference === undefined ? parse(takeFirst(operands)) : io.fs.statSync(io.path(reference))
  return eachOperand(
    io,
    operands,
    (operand) =>
      lexists(io.fs, io.path(operand)) ? `changing ownership of '${operand}'` : `cannot access '${operand}'`,
    (path) => {
      for (const each of options.has('R') ? walkTree(io.fs, path) : [path]) {
        const [uid, gid] = [ids.uid ?? -1, ids.gid ?? -1]
        // With -R a symlink that is met on the way is changed itself, as coreutils do since 9.
        const isLink = io.fs.lstatSync(each).isSymbolicLink()
        if (options.has('h') || (isLink && each !== path)) io.fs.lchownSync(each, uid, gid)
        else io.fs.chownSync(each, uid, gid)
      }
    },
  )
}

function takeFirst(operands: string[]): string {
  const first = operands.shift()
  if (first === undefined) throw new UsageError('missing operand')
  return first
}

export const chown: Applet = (args, io) => changeOwners(io, args, (text) => parseOwnership(io, text))
export const chgrp: Applet = (args, io) =>
  changeOwners(io, args, (text) => ({ uid: undefined, gid: gidOf(io, text) }))

export const chmod: Applet = (args, io) => {
  // A mode such as `-x` looks like an option; it is one only when it is made of option letters.
  const at = args.findIndex((arg) => /^-[rwxXst]/.test(arg))
  const rest = at === -1 ? args : args.toSpliced(at, 1)
  const options = parseOptions(rest, {
    flags: 'Rvcf',
    values: 'Z',
    long: { recursive: 'R', verbose: 'v', changes: 'c', silent: 'f', quiet: 'f', reference: 'Z' },
  })
  const operands = [...options.operands]
  const reference = options.value('Z')
  const mode = reference !== undefined ? '' : at === -1 ? takeFirst(operands) : args[at]!
  return eachOperand(
    io,
    operands,
    (operand) =>
      lexists(io.fs, io.path(operand))
        ? `changing permissions of '${operand}'`
        : `cannot access '${operand}'`,
    (path) => {
      for (const each of options.has('R') ? walkTree(io.fs, path) : [path]) {
        if (each !== path && io.fs.lstatSync(each).isSymbolicLink()) continue
        const stat = io.fs.statSync(each)
        const wanted =
          reference === undefined ? mode : (io.fs.statSync(io.path(reference)).mode & 0o7777).toString(8)
        io.fs.chmodSync(each, parseMode(wanted, stat.mode & 0o7777, stat.isDirectory(), io.process.umask))
      }
    },
  )
}

export const umask: Applet = (args, io) => {
  const symbolic = args.includes('-S')
  const text = args.find((arg) => arg !== '-S' && arg !== '-p')
  if (text !== undefined) {
    io.process.umask = isNumber(text)
      ? Number.parseInt(text, 8) & 0o777
      : ~parseMode(text, ~io.process.umask & 0o777, true, 0) & 0o777
    return 0
  }
  const mask = io.process.umask
  const letters = (bits: number) => ['r', 'w', 'x'].filter((_, index) => ((bits << index) & 4) !== 0).join('')
  const allowed = ~mask & 0o777
  io.out(
    symbolic
      ? `u=${letters((allowed >> 6) & 7)},g=${letters((allowed >> 3) & 7)},o=${letters(allowed & 7)}\n`
      : `${mask.toString(8).padStart(4, '0')}\n`,
  )
  return 0
}

interface Person {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

function personOf(io: AppletIO, name: string | undefined): Person {
  if (name === undefined) return io.process.identity
  const files = readAccountFiles(io.fs)
  const accounts = parsePasswd(files.passwd)
  const account =
    accounts.find((entry) => entry.name === name) ?? accounts.find((entry) => String(entry.uid) === name)
  if (account === undefined) throw new UsageError(`'${name}': no such user`)
  const groups = parseGroup(files.group).filter((group) => group.members.includes(account.name))
  return { ...account, groups: groups.map((group) => group.gid).filter((gid) => gid !== account.gid) }
}

export const id: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'ugGnr',
    long: { user: 'u', group: 'g', groups: 'G', name: 'n', real: 'r' },
  })
  const person = personOf(io, options.operands[0])
  const files = readAccountFiles(io.fs)
  const userName = (uid: number) => parsePasswd(files.passwd).find((entry) => entry.uid === uid)?.name
  const groupName = (gid: number) => parseGroup(files.group).find((entry) => entry.gid === gid)?.name
  const all = [person.gid, ...person.groups]
  const shown = (value: number, name: string | undefined) =>
    options.has('n') ? (name ?? String(value)) : String(value)
  const labelled = (value: number, name: string | undefined) =>
    name === undefined ? `${value}` : `${value}(${name})`
  if (options.has('u')) io.out(`${shown(person.uid, userName(person.uid))}\n`)
  else if (options.has('g')) io.out(`${shown(person.gid, groupName(person.gid))}\n`)
  else if (options.has('G')) io.out(`${all.map((gid) => shown(gid, groupName(gid))).join(' ')}\n`)
  else {
    const groups = all.map((gid) => labelled(gid, groupName(gid))).join(',')
    io.out(
      `uid=${labelled(person.uid, userName(person.uid))} gid=${labelled(person.gid, groupName(person.gid))} groups=${groups}\n`,
    )
  }
  return 0
}

export const whoami: Applet = (_args, io) => id(['-un'], io)
export const groups: Applet = (args, io) => {
  for (const name of args) io.out(`${name} : `)
  return id(['-Gn', ...args], io)
}
