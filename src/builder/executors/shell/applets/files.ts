// Commands that make and remove entries. Semantics of GNU coreutils 9.
import { parseOptions } from '../options.js'
import { errorText, isDirectory, lexists, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { baseName, dirName, joinName, parseMode, parseSize, removeTree } from './shared.js'

/** Runs a step for each operand; a failure is reported, the others go on. @returns the exit code */
export function eachOperand(
  io: AppletIO,
  operands: readonly string[],
  describe: (operand: string) => string,
  step: (path: string, operand: string) => void,
): number {
  if (operands.length === 0) throw new UsageError('missing operand')
  let code = 0
  for (const operand of operands) {
    try {
      step(io.path(operand), operand)
    } catch (error) {
      io.warn(`${describe(operand)}: ${errorText(error)}`)
      code = 1
    }
  }
  return code
}

export const mkdir: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'pv',
    values: 'm',
    long: { parents: 'p', verbose: 'v', mode: 'm' },
  })
  const text = options.value('m')
  const { fs, process } = io
  const mode = text === undefined ? 0o777 & ~process.umask : parseMode(text, 0o777, true, process.umask)
  const make = (path: string, bits: number): void => {
    fs.mkdirSync(path, 0o777)
    fs.chmodSync(path, bits | (fs.statSync(path).mode & 0o2000))
    if (options.has('v')) io.out(`mkdir: created directory '${path}'\n`)
  }
  return eachOperand(
    io,
    options.operands,
    (operand) => `cannot create directory '${operand}'`,
    (path) => {
      if (!options.has('p')) return make(path, mode)
      // Parents get what the umask leaves, with write and search for the owner: POSIX mkdir -p.
      const parents = path.split('/').filter((part) => part !== '')
      let at = ''
      for (const [index, part] of parents.entries()) {
        at += `/${part}`
        const isLast = index === parents.length - 1
        if (!isDirectory(fs, at)) make(at, isLast ? mode : (0o777 & ~process.umask) | 0o300)
      }
    },
  )
}

export const rmdir: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'pvi',
    long: { parents: 'p', verbose: 'v', 'ignore-fail-on-non-empty': 'i' },
  })
  return eachOperand(
    io,
    options.operands,
    (operand) => `failed to remove '${operand}'`,
    (path, operand) => {
      const chain = options.has('p') ? operand.split('/').filter((part) => part !== '').length : 1
      for (let at = path, left = chain; left > 0; left--, at = dirName(at)) {
        try {
          io.fs.rmdirSync(at)
        } catch (error) {
          if (options.has('i') && (error as { code?: string }).code === 'ENOTEMPTY') return
          throw error
        }
      }
    },
  )
}

export const rm: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'rRfdviI',
    long: {
      recursive: 'r',
      force: 'f',
      dir: 'd',
      verbose: 'v',
      'preserve-root': 'v',
      'one-file-system': 'v',
    },
  })
  const force = options.has('f')
  if (options.operands.length === 0 && force) return 0
  const recursive = options.has('r') || options.has('R')
  return eachOperand(
    io,
    options.operands,
    (operand) => `cannot remove '${operand}'`,
    (path, operand) => {
      if (['.', '..'].includes(baseName(operand))) {
        throw new Error(`refusing to remove '.' or '..' directory`)
      }
      if (path.replaceAll('/', '') === '') throw new Error('it is dangerous to operate recursively on /')
      const stat = lstatOrMissing(io, path)
      if (stat === undefined) {
        if (force) return
        throw Object.assign(new Error(), { code: 'ENOENT' })
      }
      if (!stat.isDirectory()) io.fs.unlinkSync(path)
      else if (recursive) removeTree(io.fs, path)
      else if (options.has('d')) io.fs.rmdirSync(path)
      else throw Object.assign(new Error(), { code: 'EISDIR' })
    },
  )
}

/** A component that is no directory means missing as well, for `rm -f`. */
function lstatOrMissing(io: AppletIO, path: string) {
  try {
    return io.fs.lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOTDIR') return undefined
    throw error
  }
}

export const unlink: Applet = (args, io) => {
  if (args.length !== 1)
    throw new UsageError(args.length === 0 ? 'missing operand' : `extra operand '${args[1]!}'`)
  return eachOperand(
    io,
    args,
    (operand) => `cannot unlink '${operand}'`,
    (path) => io.fs.unlinkSync(path),
  )
}

export const link: Applet = (args, io) => {
  const [from, to] = args
  if (from === undefined || to === undefined) throw new UsageError('missing operand')
  return eachOperand(
    io,
    [to],
    () => `cannot create link '${to}' to '${from}'`,
    (path) => io.fs.linkSync(io.path(from), path),
  )
}

export const ln: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'sfnvTrLPib',
    values: 't',
    long: {
      symbolic: 's',
      force: 'f',
      'no-dereference': 'n',
      verbose: 'v',
      'no-target-directory': 'T',
      relative: 'r',
      'target-directory': 't',
    },
  })
  const operands = [...options.operands]
  const folder = options.value('t') ?? (operands.length > 1 ? operands.pop()! : '.')
  if (operands.length === 0) throw new UsageError('missing file operand')
  const folderPath = io.path(folder)
  const asName =
    options.has('n') && io.fs.lstatSync(folderPath, { throwIfNoEntry: false })?.isSymbolicLink() === true
  const inside = !options.has('T') && !asName && isDirectory(io.fs, folderPath)
  if (!inside && operands.length > 1) throw new UsageError(`target '${folder}' is not a directory`)
  return eachOperand(
    io,
    operands,
    (operand) => `failed to create ${options.has('s') ? 'symbolic' : 'hard'} link '${operand}'`,
    (path, operand) => {
      const place = inside ? joinName(folderPath, baseName(operand)) : folderPath
      if (options.has('f') && lexists(io.fs, place)) {
        if (isDirectory(io.fs, place) && !io.fs.lstatSync(place).isSymbolicLink()) {
          throw Object.assign(new Error(), { code: 'EISDIR' })
        }
        io.fs.unlinkSync(place)
      }
      if (options.has('s'))
        io.fs.symlinkSync(options.has('r') ? relativeTo(dirName(place), path) : operand, place)
      else io.fs.linkSync(path, place)
    },
  )
}

function relativeTo(from: string, to: string): string {
  const a = from.split('/').filter((part) => part !== '')
  const b = to.split('/').filter((part) => part !== '')
  let same = 0
  while (same < a.length && same < b.length && a[same] === b[same]) same++
  return [...Array<string>(a.length - same).fill('..'), ...b.slice(same)].join('/') || '.'
}

export const touch: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'camhf',
    values: 'drt',
    long: { 'no-create': 'c', date: 'd', reference: 'r', 'no-dereference': 'h', time: 't' },
  })
  const { fs } = io
  const reference = options.value('r')
  const time = reference === undefined ? touchTime(options.value('d'), options.value('t')) : undefined
  return eachOperand(
    io,
    options.operands,
    (operand) => `cannot touch '${operand}'`,
    (path) => {
      const exists = options.has('h')
        ? lexists(fs, path)
        : fs.statSync(path, { throwIfNoEntry: false }) !== undefined
      if (!exists) {
        if (options.has('c') || options.has('h')) return
        createFile(io, path)
        if (time === undefined && reference === undefined) return
      }
      const stat = fs.statSync(path)
      const wanted = reference === undefined ? time : fs.statSync(io.path(reference)).mtimeMs / 1000
      const now = wanted ?? Date.now() / 1000
      const atime = options.has('m') && !options.has('a') ? stat.atimeMs / 1000 : now
      const mtime = options.has('a') && !options.has('m') ? stat.mtimeMs / 1000 : now
      if (options.has('h')) fs.lutimesSync(path, atime, mtime)
      else fs.utimesSync(path, atime, mtime)
    },
  )
}

/** Seconds since the epoch; `undefined` means now. Times without a zone are UTC, as in an image without TZ. */
function touchTime(date: string | undefined, stamp: string | undefined): number | undefined {
  if (date !== undefined) return parseDate(date)
  if (stamp === undefined) return undefined
  const match = /^(?:(\d{2})?(\d{2}))?(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{2}))?$/.exec(stamp)
  if (match === null) throw new UsageError(`invalid date format '${stamp}'`)
  const [, century, short, month, day, hour, minute, second] = match
  const year =
    short === undefined
      ? new Date().getUTCFullYear()
      : Number((century ?? (Number(short) < 69 ? '20' : '19')) + short)
  return (
    Date.UTC(year, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second ?? 0)) / 1000
  )
}

/** @throws UsageError */
export function parseDate(text: string): number {
  if (text === 'now') return Date.now() / 1000
  if (/^@-?\d+(\.\d+)?$/.test(text)) return Number(text.slice(1))
  const zoned = /(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})$/.test(text)
    ? text
    : `${text}${/\d:\d/.test(text) ? '' : ' 00:00'}Z`
  const ms = Date.parse(
    zoned
      .replace(/^(\d{4}-\d{2}-\d{2}) /, '$1T')
      .replace(' Z', 'Z')
      .replace(/ UTC$|UTC$/, 'Z'),
  )
  if (Number.isNaN(ms)) throw new UsageError(`invalid date format '${text}'`)
  return ms / 1000
}

/** An empty file under the process's umask. */
export function createFile(io: AppletIO, path: string): void {
  io.fs.writeFileSync(path, '')
  io.fs.chmodSync(path, 0o666 & ~io.process.umask)
}

export const truncate: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'co',
    values: 'sr',
    long: { size: 's', 'no-create': 'c', reference: 'r' },
  })
  const reference = options.value('r')
  const text = options.value('s') ?? (reference === undefined ? undefined : '+0')
  if (text === undefined) throw new UsageError("you must specify either '--size' or '--reference'")
  const how = /^[+\-<>/%]/.exec(text)?.[0] ?? ''
  const amount = parseSize(text.slice(how.length))
  return eachOperand(
    io,
    options.operands,
    (operand) => `cannot open '${operand}' for writing`,
    (path) => {
      if (io.fs.statSync(path, { throwIfNoEntry: false }) === undefined) {
        if (options.has('c')) return
        createFile(io, path)
      }
      const size = io.fs.statSync(reference === undefined ? path : io.path(reference)).size
      io.fs.truncateSync(path, newSize(how, amount, size))
    },
  )
}

function newSize(how: string, amount: number, size: number): number {
  switch (how) {
    case '+':
      return size + amount
    case '-':
      return Math.max(0, size - amount)
    case '<':
      return Math.min(size, amount)
    case '>':
      return Math.max(size, amount)
    case '/':
      return Math.floor(size / amount) * amount
    case '%':
      return Math.ceil(size / amount) * amount
    default:
      return amount
  }
}

export const realpath: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'emsqzLP',
    long: { 'canonicalize-existing': 'e', 'canonicalize-missing': 'm', 'no-symlinks': 's', quiet: 'q' },
  })
  return eachOperand(
    io,
    options.operands,
    (operand) => operand,
    (path) => io.out(`${canonical(io, path, options.has('e'), options.has('m'))}\n`),
  )
}

/** The path without symlinks; only the last component may be missing, or with `missing` any. */
function canonical(io: AppletIO, path: string, existing: boolean, missing: boolean): string {
  try {
    return io.fs.realpathSync(path)
  } catch (error) {
    if (existing || (error as { code?: string }).code !== 'ENOENT') throw error
    const parent = dirName(path)
    if (parent === path) throw error
    // A link that dangles names the place that its target would have.
    if (lexists(io.fs, path)) {
      const target = io.fs.readlinkSync(path)
      return canonical(io, target.startsWith('/') ? target : joinName(parent, target), false, missing)
    }
    return joinName(missing ? canonical(io, parent, false, true) : io.fs.realpathSync(parent), baseName(path))
  }
}

export const mkfifo: Applet = (args, io) => {
  const options = parseOptions(args, { flags: 'Z', values: 'm', long: { mode: 'm' } })
  return eachOperand(
    io,
    options.operands,
    (operand) => `cannot create fifo '${operand}'`,
    (path) => makeSpecial(io, path, 'fifo', options.value('m')),
  )
}

const KINDS: Readonly<Record<string, 'fifo' | 'chardev' | 'blockdev'>> = {
  p: 'fifo',
  c: 'chardev',
  u: 'chardev',
  b: 'blockdev',
}

export const mknod: Applet = (args, io) => {
  const options = parseOptions(args, { flags: 'Z', values: 'm', long: { mode: 'm' } })
  const [name, letter, major, minor] = options.operands
  const kind = KINDS[letter ?? '']
  if (name === undefined || kind === undefined) throw new UsageError('missing operand')
  if (kind !== 'fifo' && (major === undefined || minor === undefined))
    throw new UsageError('special files need major and minor device numbers')
  return eachOperand(
    io,
    [name],
    (operand) => `${operand}`,
    (path) => makeSpecial(io, path, kind, options.value('m'), [Number(major ?? 0), Number(minor ?? 0)]),
  )
}

/** The view's mknod acts as root: what others make is checked and given to them here. */
function makeSpecial(
  io: AppletIO,
  path: string,
  kind: 'fifo' | 'chardev' | 'blockdev',
  modeText: string | undefined,
  rdev: readonly [number, number] = [0, 0],
): void {
  const { uid, gid } = io.process.identity
  if (uid !== 0) {
    if (kind !== 'fifo') throw Object.assign(new Error(), { code: 'EPERM' })
    io.fs.accessSync(dirName(path), 3)
  }
  io.process.view.mknod(path, kind, { rdev })
  if (uid !== 0) io.process.view.fs.chownSync(path, uid, gid)
  io.fs.chmodSync(
    path,
    modeText === undefined ? 0o666 & ~io.process.umask : parseMode(modeText, 0o666, false, io.process.umask),
  )
}
