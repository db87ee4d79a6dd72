// adduser and addgroup: Debian's options, and busybox's letters for them.
import { parseGroup, parsePasswd, readAccountFiles } from '../../accounts.js'
import { lexists, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { checkNewUser, existingGroup, joinGroups, makeGroup, makeUser, nextUid } from './account-files.js'
import { gidOf, uidOf } from './ownership.js'

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
