// Ownership and accounts: chmod, chown, chgrp, id, useradd and its relatives (shadow-utils) and adduser (Debian's and
// busybox's common ground).
import { parseGroup, parsePasswd, readAccountFiles } from '../../accounts.js'
import { parseOptions } from '../options.js'
import { lexists, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { eachOperand } from './files.js'
import { joinName, parseMode, walkTree } from './shared.js'

interface Ids {
  readonly uid: number | undefined
  readonly gid: number | undefined
}

const isNumber = (text: string): boolean => /^\d+$/.test(text)

function uidOf(io: AppletIO, text: string): number {
  const account = parsePasswd(readAccountFiles(io.fs).passwd).find((entry) => entry.name === text)
  if (account !== undefined) return account.uid
  if (isNumber(text)) return Number(text)
  throw new UsageError(`invalid user: '${text}'`)
}

function gidOf(io: AppletIO, text: string): number {
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

const FILES = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow'] as const
type AccountFile = (typeof FILES)[number]

function readLines(io: AppletIO, file: AccountFile): string[] {
  if (!lexists(io.fs, file)) return []
  const text = new TextDecoder().decode(io.fs.readFileSync(file) as Uint8Array)
  return text.split('\n').filter((line) => line !== '')
}

/** Rewrites one account file; shadow files are kept only where the root has them. */
function rewrite(io: AppletIO, file: AccountFile, change: (lines: string[]) => string[]): void {
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

function makeGroup(io: AppletIO, { name, gid, system, nonUnique }: NewGroup): number {
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

export const groupadd: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'rfo',
    values: 'gKp',
    long: { gid: 'g', system: 'r', force: 'f', 'non-unique': 'o' },
  })
  const [name] = options.operands
  if (name === undefined) throw new UsageError('Usage: groupadd [options] GROUP', 2)
  const known = parseGroup(readAccountFiles(io.fs).group)
  if (options.has('f') && known.some((group) => group.name === name)) return 0
  const gid = options.value('g')
  makeGroup(io, {
    name,
    gid: gid === undefined ? undefined : Number(gid),
    system: options.has('r'),
    nonUnique: options.has('o'),
  })
  return 0
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

function nextUid(io: AppletIO, system: boolean | 'ascending'): number {
  return freeId(
    parsePasswd(readAccountFiles(io.fs).passwd).map((entry) => entry.uid),
    system,
  )
}

function makeUser(io: AppletIO, user: NewUser): void {
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

function joinGroups(io: AppletIO, name: string, gids: readonly number[]): void {
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

function checkNewUser(io: AppletIO, name: string, uid: number | undefined, nonUnique: boolean): void {
  const known = parsePasswd(readAccountFiles(io.fs).passwd)
  if (!NAME.test(name)) throw new UsageError(`invalid user name '${name}'`, 3)
  if (known.some((entry) => entry.name === name)) throw new UsageError(`user '${name}' already exists`, 9)
  if (uid !== undefined && !nonUnique && known.some((entry) => entry.uid === uid)) {
    throw new UsageError(`UID ${uid} is not unique`, 4)
  }
}

/** shadow-utils 4.13 with Debian's login.defs: a group of the user's own name, no home unless -m, /bin/sh. */
export const useradd: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'rmMNUlo',
    values: 'ugGdsckepbK',
    long: {
      system: 'r',
      'create-home': 'm',
      'no-create-home': 'M',
      'no-user-group': 'N',
      'user-group': 'U',
      'no-log-init': 'l',
      'non-unique': 'o',
      uid: 'u',
      gid: 'g',
      groups: 'G',
      'home-dir': 'd',
      shell: 's',
      comment: 'c',
      skel: 'k',
      password: 'p',
      'base-dir': 'b',
    },
  })
  const [name] = options.operands
  if (name === undefined) throw new UsageError('Usage: useradd [options] LOGIN', 2)
  const system = options.has('r')
  const uid = options.value('u') === undefined ? undefined : Number(options.value('u'))
  checkNewUser(io, name, uid, options.has('o'))
  const chosen = uid ?? nextUid(io, system)
  const group = options.value('g')
  const known = parseGroup(readAccountFiles(io.fs).group)
  let gid: number
  if (group !== undefined) gid = existingGroup(io, group)
  else if (options.has('N')) gid = 100
  else
    gid = makeGroup(io, {
      name,
      gid: known.some((entry) => entry.gid === chosen) ? undefined : chosen,
      system,
    })
  makeUser(io, {
    name,
    uid: chosen,
    gid,
    comment: options.value('c') ?? '',
    home: options.value('d') ?? `${options.value('b') ?? '/home'}/${name}`,
    shell: options.value('s') ?? '/bin/sh',
    system,
    groups: (options.value('G') ?? '').split(',').filter((each) => each !== ''),
    makeHome: options.has('m'),
    homeMode: 0o755,
    password: '!',
  })
  return 0
}

function existingGroup(io: AppletIO, text: string): number {
  const found = parseGroup(readAccountFiles(io.fs).group).find(
    (group) => group.name === text || String(group.gid) === text,
  )
  if (found === undefined) throw new UsageError(`group '${text}' does not exist`, 6)
  return found.gid
}

const ADDUSER_LONG = [
  'system',
  'disabled-password',
  'disabled-login',
  'no-create-home',
  'group',
  'gecos',
  'uid',
  'gid',
  'home',
  'shell',
  'ingroup',
] as const

/** Arguments of adduser and addgroup, which mix GNU-like long options with busybox's letters. */
function parseAddArguments(args: readonly string[]): { options: Map<string, string>; operands: string[] } {
  const letters: Record<string, string> = {
    S: 'system',
    D: 'disabled-password',
    H: 'no-create-home',
    u: 'uid',
    g: 'gecos',
    G: 'ingroup',
    h: 'home',
    s: 'shell',
    r: 'system',
    q: 'quiet',
  }
  const takesValue = new Set([
    'gecos',
    'comment',
    'uid',
    'gid',
    'home',
    'shell',
    'ingroup',
    'firstuid',
    'lastuid',
  ])
  const options = new Map<string, string>()
  const operands: string[] = []
  const queue = args.flatMap((arg) =>
    /^-[SDHqr]{2,}$/.test(arg) ? Array.from(arg.slice(1), (letter) => `-${letter}`) : [arg],
  )
  for (let at = 0; at < queue.length; at++) {
    const arg = queue[at]!
    if (!arg.startsWith('-')) operands.push(arg)
    else {
      const [head, attached] = arg.startsWith('--')
        ? arg.slice(2).split('=')
        : [letters[arg.slice(1)] ?? arg, undefined]
      if (
        !ADDUSER_LONG.includes(head as never) &&
        !takesValue.has(head!) &&
        !['quiet', 'allow-bad-names', 'force-badname'].includes(head!)
      ) {
        throw new UsageError(`unknown option ${arg}`)
      }
      options.set(
        head === 'comment' ? 'gecos' : head!,
        takesValue.has(head!) ? (attached ?? queue[++at] ?? '') : '',
      )
    }
  }
  return { options, operands }
}

/** The lock file of Debian's adduser stays. */
function leaveMark(io: AppletIO): void {
  if (lexists(io.fs, '/run') && !lexists(io.fs, '/run/adduser'))
    io.fs.writeFileSync('/run/adduser', '', { mode: 0o644 })
}

const numberOption = (options: ReadonlyMap<string, string>, name: string): number | undefined =>
  options.has(name) ? Number(options.get(name)) : undefined

export const addgroup: Applet = (args, io) => {
  const { options, operands } = parseAddArguments(args)
  const [first, second] = operands
  if (first === undefined) throw new UsageError('Only one or two names allowed.')
  if (second !== undefined) {
    joinGroups(io, first, [gidOf(io, second)])
    return 0
  }
  // busybox spells the gid -g, which adduser uses for the comment.
  const gid = numberOption(options, 'gid') ?? numberOption(options, 'gecos')
  const known = parseGroup(readAccountFiles(io.fs).group)
  if (known.some((group) => group.name === first)) {
    if (options.has('system')) return 0
    throw new UsageError(`The group '${first}' already exists.`)
  }
  makeGroup(io, { name: first, gid, system: options.has('system') ? 'ascending' : false })
  leaveMark(io)
  return 0
}

export const adduser: Applet = (args, io) => {
  const { options, operands } = parseAddArguments(args)
  const [name, group] = operands
  if (name === undefined) throw new UsageError('Only one or two names allowed.')
  if (group !== undefined) {
    uidOf(io, name)
    joinGroups(io, name, [gidOf(io, group)])
    return 0
  }
  const system = options.has('system')
  const uid = numberOption(options, 'uid')
  const known = parsePasswd(readAccountFiles(io.fs).passwd)
  if (system && known.some((entry) => entry.name === name)) return 0
  checkNewUser(io, name, uid, false)
  const chosen = uid ?? nextUid(io, system ? 'ascending' : false)
  const home = options.get('home') ?? (system ? '/nonexistent' : `/home/${name}`)
  makeUser(io, {
    name,
    uid: chosen,
    gid: primaryGroup(io, options, name, chosen, system),
    comment: options.get('gecos') ?? (system ? '' : ',,,'),
    home,
    shell: options.get('shell') ?? (system ? '/usr/sbin/nologin' : '/bin/bash'),
    system,
    groups: system
      ? []
      : ['users'].filter((each) =>
          parseGroup(readAccountFiles(io.fs).group).some((entry) => entry.name === each),
        ),
    makeHome: !options.has('no-create-home') && home !== '/nonexistent',
    homeMode: system ? 0o755 : 0o700,
    password: !system && options.has('disabled-password') ? '*' : '!',
  })
  leaveMark(io)
  return 0
}

/** Debian: a system user without --group belongs to nogroup; other users get a group of their own. */
function primaryGroup(
  io: AppletIO,
  options: ReadonlyMap<string, string>,
  name: string,
  uid: number,
  system: boolean,
): number {
  const named = options.get('ingroup') ?? options.get('gid')
  if (named !== undefined) return existingGroup(io, named)
  const known = parseGroup(readAccountFiles(io.fs).group)
  if (system && !options.has('group')) return known.find((group) => group.name === 'nogroup')?.gid ?? 65_534
  return makeGroup(io, { name, gid: known.some((group) => group.gid === uid) ? undefined : uid, system })
}

export const usermod: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'aLU',
    values: 'Ggsducl',
    long: { append: 'a', groups: 'G', gid: 'g', shell: 's', home: 'd', uid: 'u', comment: 'c', login: 'l' },
  })
  const [name] = options.operands
  if (name === undefined) throw new UsageError('Usage: usermod [options] LOGIN', 2)
  if (!parsePasswd(readAccountFiles(io.fs).passwd).some((entry) => entry.name === name)) {
    throw new UsageError(`user '${name}' does not exist`, 6)
  }
  const gid = options.value('g') === undefined ? undefined : existingGroup(io, options.value('g')!)
  const changes: readonly (string | undefined)[] = [
    options.value('l'),
    undefined,
    options.value('u'),
    gid === undefined ? undefined : String(gid),
    options.value('c'),
    options.value('d'),
    options.value('s'),
  ]
  if (changes.some((change) => change !== undefined)) {
    rewrite(io, '/etc/passwd', (lines) =>
      lines.map((line) =>
        line.startsWith(`${name}:`)
          ? line
              .split(':')
              .map((field, index) => changes[index] ?? field)
              .join(':')
          : line,
      ),
    )
  }
  const wanted = options.value('G')
  if (wanted !== undefined) {
    if (!options.has('a')) leaveGroups(io, name)
    joinGroups(
      io,
      name,
      wanted
        .split(',')
        .filter((each) => each !== '')
        .map((each) => existingGroup(io, each)),
    )
  }
  return 0
}

function leaveGroups(io: AppletIO, name: string): void {
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

export const userdel: Applet = (args, io) => {
  const options = parseOptions(args, { flags: 'rf', long: { remove: 'r', force: 'f' } })
  const [name] = options.operands
  const account = parsePasswd(readAccountFiles(io.fs).passwd).find((entry) => entry.name === name)
  if (name === undefined || account === undefined)
    throw new UsageError(`user '${name ?? ''}' does not exist`, 6)
  leaveGroups(io, name)
  const without = (lines: string[]) => lines.filter((line) => !line.startsWith(`${name}:`))
  rewrite(io, '/etc/passwd', without)
  rewrite(io, '/etc/shadow', without)
  const own = parseGroup(readAccountFiles(io.fs).group).find((group) => group.name === name)
  if (own?.gid === account.gid && own.members.length === 0) {
    rewrite(io, '/etc/group', without)
    rewrite(io, '/etc/gshadow', without)
  }
  if (options.has('r') && lexists(io.fs, account.home))
    io.fs.rmSync(account.home, { recursive: true, force: true })
  return 0
}

export const groupdel: Applet = (args, io) => {
  const [name] = parseOptions(args, { flags: 'f' }).operands
  const files = readAccountFiles(io.fs)
  const group = parseGroup(files.group).find((entry) => entry.name === name)
  if (name === undefined || group === undefined)
    throw new UsageError(`group '${name ?? ''}' does not exist`, 6)
  if (parsePasswd(files.passwd).some((entry) => entry.gid === group.gid)) {
    throw new UsageError(`cannot remove the primary group of a user`, 8)
  }
  for (const file of ['/etc/group', '/etc/gshadow'] as const) {
    rewrite(io, file, (lines) => lines.filter((line) => !line.startsWith(`${name}:`)))
  }
  return 0
}
