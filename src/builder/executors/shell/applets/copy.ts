// cp, mv, install and the copying that they share. Semantics of GNU coreutils 9.
import type { Stats } from 'node:fs'
import { parseOptions, type Options } from '../options.js'
import { errorText, isDirectory, lexists, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { baseName, dirName, joinName, parseMode, removeTree } from './shared.js'
import { resolveUserGroup } from './ownership.js'

interface CopyRules {
  readonly recursive: boolean
  /** Which symlinks of the source are followed. */
  readonly follow: 'all' | 'operands' | 'none'
  readonly keepMode: boolean
  readonly keepOwner: boolean
  readonly keepTimes: boolean
  readonly keepLinks: boolean
  readonly as: 'copy' | 'link' | 'symlink'
  readonly clobber: boolean
  readonly force: boolean
  readonly update: boolean
  readonly verbose: boolean
  readonly removeFirst: boolean
}

interface CopyRun {
  readonly io: AppletIO
  readonly rules: CopyRules
  /** Source inode → first copy, for hard links. */
  readonly links: Map<string, string>
  failed: boolean
}

function fail(run: CopyRun, message: string): void {
  run.io.warn(message)
  run.failed = true
}

/** Copies one operand onto `to`. */
function copyOperand(run: CopyRun, from: string, to: string, shown: string): void {
  const { fs } = run.io
  const follow = run.rules.follow !== 'none'
  let stat: Stats
  try {
    stat = follow ? fs.statSync(from) : fs.lstatSync(from)
  } catch (error) {
    return fail(run, `cannot stat '${shown}': ${errorText(error)}`)
  }
  if (stat.isDirectory() && !run.rules.recursive) {
    return fail(run, `-r not specified; omitting directory '${shown}'`)
  }
  copyNode(run, from, to, stat)
}

function copyNode(run: CopyRun, from: string, to: string, stat: Stats): void {
  const { io, rules } = run
  const target = io.fs.lstatSync(to, { throwIfNoEntry: false })
  try {
    if (target !== undefined && !prepareTarget(run, from, to, stat, target)) return
    if (stat.isDirectory()) copyDirectory(run, from, to, stat)
    else if (rules.keepLinks && stat.nlink > 1 && linkAgain(run, stat, to)) return
    else copyLeaf(run, from, to, stat)
    if (rules.verbose) io.out(`'${from}' -> '${to}'\n`)
  } catch (error) {
    fail(run, `cannot create '${to}': ${errorText(error)}`)
  }
}

/** @returns whether copying goes on */
function prepareTarget(run: CopyRun, from: string, to: string, stat: Stats, target: Stats): boolean {
  const { io, rules } = run
  const real = target.isSymbolicLink() ? io.fs.statSync(to, { throwIfNoEntry: false }) : target
  if (stat.isDirectory()) {
    if (real?.isDirectory() === true) return true
    fail(run, `cannot overwrite non-directory '${to}' with directory '${from}'`)
    return false
  }
  if (target.isDirectory()) {
    fail(run, `cannot overwrite directory '${to}' with non-directory`)
    return false
  }
  if (!rules.clobber) return false
  if (rules.update && target.mtimeMs >= stat.mtimeMs) return false
  if (real?.ino === stat.ino && real.dev === stat.dev && !rules.removeFirst) {
    fail(run, `'${from}' and '${to}' are the same file`)
    return false
  }
  const dangling = target.isSymbolicLink() && real === undefined
  if (dangling && rules.as === 'copy' && stat.isFile() && !rules.removeFirst) {
    fail(run, `not writing through dangling symlink '${to}'`)
    return false
  }
  if (rules.removeFirst || !stat.isFile() || rules.as !== 'copy' || rules.keepLinks) io.fs.unlinkSync(to)
  return true
}

function linkAgain(run: CopyRun, stat: Stats, to: string): boolean {
  const key = `${stat.dev}:${stat.ino}`
  const first = run.links.get(key)
  if (first === undefined) {
    run.links.set(key, to)
    return false
  }
  run.io.fs.linkSync(first, to)
  return true
}

function copyDirectory(run: CopyRun, from: string, to: string, stat: Stats): void {
  const { fs, process } = run.io
  const isNew = !isDirectory(fs, to)
  if (to === from || to.startsWith(`${from}/`)) {
    return fail(run, `cannot copy a directory, '${from}', into itself, '${to}'`)
  }
  if (isNew) fs.mkdirSync(to, 0o700)
  for (const name of fs.readdirSync(from)) {
    const child = joinName(from, name)
    const childStat = run.rules.follow === 'all' ? fs.statSync(child) : fs.lstatSync(child)
    copyNode(run, child, joinName(to, name), childStat)
  }
  if (isNew) fs.chmodSync(to, stat.mode & 0o7777 & (run.rules.keepMode ? 0o7777 : ~process.umask))
  keepMetadata(run, to, stat, isNew)
}

function copyLeaf(run: CopyRun, from: string, to: string, stat: Stats): void {
  const { io, rules } = run
  if (rules.as === 'link' && !stat.isDirectory()) return io.fs.linkSync(from, to)
  if (rules.as === 'symlink') return io.fs.symlinkSync(from, to)
  if (stat.isSymbolicLink()) {
    io.fs.symlinkSync(io.fs.readlinkSync(from), to)
    if (rules.keepOwner) io.fs.lchownSync(to, stat.uid, stat.gid)
    if (rules.keepTimes) io.fs.lutimesSync(to, stat.atimeMs / 1000, stat.mtimeMs / 1000)
    return
  }
  if (!stat.isFile()) throw Object.assign(new Error('special file'), { code: 'EPERM' })
  writeCopy(run, from, to, stat)
  keepMetadata(run, to, stat, true)
}

function writeCopy(run: CopyRun, from: string, to: string, stat: Stats): void {
  const { fs, process } = run.io
  const isNew = fs.statSync(to, { throwIfNoEntry: false }) === undefined
  const bytes = fs.readFileSync(from)
  try {
    fs.writeFileSync(to, bytes)
  } catch (error) {
    if (!run.rules.force || isNew) throw error
    fs.unlinkSync(to)
    fs.writeFileSync(to, bytes)
  }
  if (isNew && !run.rules.keepMode) fs.chmodSync(to, stat.mode & 0o7777 & ~process.umask)
}

/** Owner first: chown takes set-id bits away. */
function keepMetadata(run: CopyRun, to: string, stat: Stats, mayMode: boolean): void {
  const { fs } = run.io
  const { rules } = run
  if (rules.keepOwner) fs.chownSync(to, stat.uid, stat.gid)
  if (rules.keepMode && (mayMode || rules.keepOwner)) fs.chmodSync(to, stat.mode & 0o7777)
  if (rules.keepTimes) fs.utimesSync(to, stat.atimeMs / 1000, stat.mtimeMs / 1000)
}

const CP_OPTIONS = {
  flags: 'RrafpdvLPHTnlsuxi',
  values: 'tS',
  long: {
    recursive: 'r',
    archive: 'a',
    force: 'f',
    'no-dereference': 'P',
    dereference: 'L',
    verbose: 'v',
    'no-target-directory': 'T',
    'target-directory': 't',
    'no-clobber': 'n',
    link: 'l',
    'symbolic-link': 's',
    update: 'u',
    'remove-destination': 'X',
    preserve: 'p',
    'one-file-system': 'x',
    reflink: 'x',
    interactive: 'i',
  },
} as const

function copyRules(options: Options): CopyRules {
  const archive = options.has('a')
  const recursive = archive || options.has('r') || options.has('R')
  const keep = preserved(options, archive)
  const lastFollow = options.all.findLast(([letter]) => 'LPHda'.includes(letter))?.[0]
  const byLetter = { L: 'all', H: 'operands', P: 'none', d: 'none', a: 'none' } as const
  return {
    recursive,
    follow:
      lastFollow === undefined ? (recursive ? 'none' : 'all') : byLetter[lastFollow as keyof typeof byLetter],
    keepMode: keep.has('mode'),
    keepOwner: keep.has('ownership'),
    keepTimes: keep.has('timestamps'),
    keepLinks: keep.has('links'),
    as: options.has('l') ? 'link' : options.has('s') ? 'symlink' : 'copy',
    clobber: !options.has('n'),
    force: options.has('f'),
    update: options.has('u'),
    verbose: options.has('v'),
    removeFirst: options.has('X'),
  }
}

function preserved(options: Options, archive: boolean): Set<string> {
  const keep = new Set<string>(archive ? ['mode', 'ownership', 'timestamps', 'links'] : [])
  if (options.has('d')) keep.add('links')
  for (const [letter, value] of options.all) {
    if (letter !== 'p') continue
    for (const name of (value ?? 'mode,ownership,timestamps').split(',')) {
      if (name === 'all') for (const each of ['mode', 'ownership', 'timestamps', 'links']) keep.add(each)
      else keep.add(name)
    }
  }
  return keep
}

/** Operands and where each goes: into a directory, or onto a name. */
function destinations(
  io: AppletIO,
  options: Options,
  name: string,
): [from: string, to: string, shown: string][] {
  const operands = [...options.operands]
  const folder = options.value('t')
  const last = folder ?? operands.pop()
  if (last === undefined) throw new UsageError('missing file operand')
  if (operands.length === 0) throw new UsageError(`missing destination file operand after '${last}'`)
  const target = io.path(last)
  const inside = !options.has('T') && (folder !== undefined || isDirectory(io.fs, target))
  if (!inside && operands.length > 1) throw new UsageError(`target '${last}' is not a directory`)
  if (!inside && last.endsWith('/') && name !== 'mv' && !isDirectory(io.fs, io.path(operands[0]!))) {
    throw new UsageError(`cannot create regular file '${last}': Not a directory`)
  }
  return operands.map((operand) => [
    io.path(operand),
    inside ? joinName(target, baseName(operand) === '..' ? '' : baseName(operand)) : target,
    operand,
  ])
}

export const cp: Applet = (args, io) => {
  const options = parseOptions(args, CP_OPTIONS)
  const run: CopyRun = { io, rules: copyRules(options), links: new Map(), failed: false }
  for (const [from, to, shown] of destinations(io, options, 'cp')) copyOperand(run, from, to, shown)
  return run.failed ? 1 : 0
}

const MV_OPTIONS = {
  flags: 'fnvTui',
  values: 'tS',
  long: {
    force: 'f',
    'no-clobber': 'n',
    verbose: 'v',
    'no-target-directory': 'T',
    'target-directory': 't',
    update: 'u',
    interactive: 'i',
  },
} as const

const MOVE: CopyRules = {
  recursive: true,
  follow: 'none',
  keepMode: true,
  keepOwner: true,
  keepTimes: true,
  keepLinks: true,
  as: 'copy',
  clobber: true,
  force: true,
  update: false,
  verbose: false,
  removeFirst: false,
}

export const mv: Applet = (args, io) => {
  const options = parseOptions(args, MV_OPTIONS)
  let code = 0
  for (const [from, to, shown] of destinations(io, options, 'mv')) {
    const source = io.fs.lstatSync(from, { throwIfNoEntry: false })
    const target = io.fs.lstatSync(to, { throwIfNoEntry: false })
    if (
      target !== undefined &&
      (options.has('n') || (options.has('u') && source !== undefined && target.mtimeMs >= source.mtimeMs))
    )
      continue
    const problem = moveOne(io, from, to, shown)
    if (problem !== undefined) {
      io.warn(problem)
      code = 1
    } else if (options.has('v')) io.out(`renamed '${shown}' -> '${to}'\n`)
  }
  return code
}

function moveOne(io: AppletIO, from: string, to: string, shown: string): string | undefined {
  const { fs } = io
  const source = fs.lstatSync(from, { throwIfNoEntry: false })
  if (source === undefined) return `cannot stat '${shown}': No such file or directory`
  const target = fs.lstatSync(to, { throwIfNoEntry: false })
  if (target?.isDirectory() === false && source.isDirectory()) {
    return `cannot overwrite non-directory '${to}' with directory '${shown}'`
  }
  if (target?.ino === source.ino && target.dev === source.dev && target.ino !== 0) {
    if (fs.realpathSync(dirName(from)) === fs.realpathSync(dirName(to)) && baseName(from) === baseName(to)) {
      return `'${shown}' and '${to}' are the same file`
    }
    fs.unlinkSync(from)
    return undefined
  }
  try {
    fs.renameSync(from, to)
    return undefined
  } catch (error) {
    const code = (error as { code?: string }).code
    if (code === 'EXDEV') return moveAcross(io, from, to, source)
    if (code === 'EINVAL') return `cannot move '${shown}' to a subdirectory of itself, '${to}'`
    return `cannot move '${shown}' to '${to}': ${errorText(error)}`
  }
}

/** Onto another mount: a copy that keeps everything, then removal. */
function moveAcross(io: AppletIO, from: string, to: string, source: Stats): string | undefined {
  const run: CopyRun = { io, rules: MOVE, links: new Map(), failed: false }
  copyNode(run, from, to, source)
  if (run.failed) return `cannot move '${from}'`
  removeTree(io.fs, from)
  return undefined
}

const INSTALL_OPTIONS = {
  flags: 'dDvpCcsTb',
  values: 'mogtS',
  long: {
    mode: 'm',
    owner: 'o',
    group: 'g',
    directory: 'd',
    'target-directory': 't',
    'preserve-timestamps': 'p',
    verbose: 'v',
    'no-target-directory': 'T',
    compare: 'C',
    strip: 's',
  },
} as const

export const install: Applet = (args, io) => {
  const options = parseOptions(args, INSTALL_OPTIONS)
  const mode = parseMode(options.value('m') ?? '755', 0, false, 0)
  const owner = resolveUserGroup(io, options.value('o'), options.value('g'))
  const finish = (path: string): void => {
    if (owner !== undefined) io.fs.chownSync(path, owner.uid ?? -1, owner.gid ?? -1)
    io.fs.chmodSync(path, mode)
  }
  if (options.has('d')) {
    for (const operand of options.operands) {
      io.fs.mkdirSync(io.path(operand), { recursive: true, mode: 0o755 })
      finish(io.path(operand))
    }
    return 0
  }
  const folder = options.value('t')
  if (options.has('D')) {
    const target = folder ?? options.operands.at(-1)
    if (target !== undefined) {
      io.fs.mkdirSync(folder === undefined ? dirName(io.path(target)) : io.path(target), {
        recursive: true,
        mode: 0o755,
      })
    }
  }
  const rules: CopyRules = {
    ...MOVE,
    recursive: false,
    follow: 'all',
    keepOwner: false,
    keepLinks: false,
    keepMode: false,
    keepTimes: options.has('p'),
    removeFirst: true,
  }
  const run: CopyRun = { io, rules, links: new Map(), failed: false }
  for (const [from, to, shown] of destinations(io, options, 'install')) {
    const failedBefore = run.failed
    run.failed = false
    if (isDirectory(io.fs, from)) fail(run, `omitting directory '${shown}'`)
    else copyOperand(run, from, to, shown)
    if (!run.failed && lexists(io.fs, to)) finish(to)
    run.failed ||= failedBefore
  }
  return run.failed ? 1 : 0
}
