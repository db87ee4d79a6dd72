// useradd, usermod, userdel, groupadd, groupdel: shadow-utils 4.13 with Debian's login.defs.
import { parseGroup, parsePasswd, readAccountFiles } from '../../accounts.js'
import { parseOptions } from '../options.js'
import { lexists, UsageError } from '../process.js'
import type { Applet } from '../process.js'
import {
  checkNewUser,
  existingGroup,
  joinGroups,
  leaveGroups,
  makeGroup,
  makeUser,
  nextUid,
  rewrite,
} from './account-files.js'

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
