// Commands that show what entries are: stat, ls. Formats of GNU coreutils 9.
import type { Stats } from 'node:fs'
import { parseGroup, parsePasswd, readAccountFiles } from '../../accounts.js'
import { parseOptions, type Options } from '../options.js'
import { errorText, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { joinName } from './shared.js'

/** Names for numbers, from the root's account files; read once for a command. */
export function accountNames(io: AppletIO): {
  user(uid: number): string | undefined
  group(gid: number): string | undefined
} {
  const files = readAccountFiles(io.fs)
  const users = parsePasswd(files.passwd)
  const groups = parseGroup(files.group)
  return {
    user: (uid) => users.find((entry) => entry.uid === uid)?.name,
    group: (gid) => groups.find((entry) => entry.gid === gid)?.name,
  }
}

type Names = ReturnType<typeof accountNames>

export function typeLetter(stat: Stats): string {
  if (stat.isDirectory()) return 'd'
  if (stat.isSymbolicLink()) return 'l'
  if (stat.isFIFO()) return 'p'
  if (stat.isSocket()) return 's'
  if (stat.isCharacterDevice()) return 'c'
  return stat.isBlockDevice() ? 'b' : '-'
}

/** `drwxr-sr-t` */
export function modeText(stat: Stats): string {
  const bits = (shift: number, special: number, letter: string): string => {
    const value = (stat.mode >> shift) & 7
    const run =
      (stat.mode & special) === 0 ? (value & 1 ? 'x' : '-') : value & 1 ? letter : letter.toUpperCase()
    return `${value & 4 ? 'r' : '-'}${value & 2 ? 'w' : '-'}${run}`
  }
  return typeLetter(stat) + bits(6, 0o4000, 's') + bits(3, 0o2000, 's') + bits(0, 0o1000, 't')
}

function typeName(stat: Stats): string {
  if (stat.isFile()) return stat.size === 0 ? 'regular empty file' : 'regular file'
  const names: Readonly<Record<string, string>> = {
    d: 'directory',
    l: 'symbolic link',
    p: 'fifo',
    s: 'socket',
    c: 'character special file',
    b: 'block special file',
  }
  return names[typeLetter(stat)]!
}

const dateText = (ms: number): string =>
  new Date(ms).toISOString().replace('T', ' ').replace('Z', '000000 +0000')
const seconds = (ms: number): string => String(Math.floor(ms / 1000))

function directive(
  letter: string,
  name: string,
  path: string,
  stat: Stats,
  io: AppletIO,
  names: Names,
): string {
  switch (letter) {
    case 'a':
      return (stat.mode & 0o7777).toString(8)
    case 'A':
      return modeText(stat)
    case 'n':
      return name
    case 'N':
      return stat.isSymbolicLink() ? `'${name}' -> '${io.fs.readlinkSync(path)}'` : `'${name}'`
    case 's':
      return String(stat.size)
    case 'u':
      return String(stat.uid)
    case 'g':
      return String(stat.gid)
    case 'U':
      return names.user(stat.uid) ?? 'UNKNOWN'
    case 'G':
      return names.group(stat.gid) ?? 'UNKNOWN'
    case 'h':
      return String(stat.nlink)
    case 'i':
      return String(stat.ino)
    case 'd':
      return String(stat.dev)
    case 'f':
      return stat.mode.toString(16)
    case 'F':
      return typeName(stat)
    case 'b':
      return String(Math.ceil(stat.size / 512))
    case 'B':
      return '512'
    case 'o':
      return '4096'
    case 'X':
      return seconds(stat.atimeMs)
    case 'Y':
      return seconds(stat.mtimeMs)
    case 'Z':
      return seconds(stat.ctimeMs)
    case 'W':
      return '0'
    case 'x':
      return dateText(stat.atimeMs)
    case 'y':
      return dateText(stat.mtimeMs)
    case 'z':
      return dateText(stat.ctimeMs)
    case 't':
      return Math.floor(stat.rdev / 256).toString(16)
    case 'T':
      return (stat.rdev % 256).toString(16)
    case '%':
      return '%'
    default:
      return '?'
  }
}

const LONG_FORMAT = `  File: %N
  Size: %s\tBlocks: %b IO Block: %o %F
Device: %d\tInode: %i\tLinks: %h
Access: (%a/%A)  Uid: (%u/%U)   Gid: (%g/%G)
Access: %x
Modify: %y
Change: %z
`

const unescape = (text: string): string =>
  text.replaceAll(/\\([nt\\])/g, (_, letter: string) => ({ n: '\n', t: '\t', '\\': '\\' })[letter]!)

export const stat: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'Lt',
    values: 'cP',
    long: { format: 'c', printf: 'P', dereference: 'L', terse: 't' },
  })
  if (options.operands.length === 0) throw new UsageError('missing operand')
  const printf = options.value('P')
  const plain = options.value('c')
  const format = printf === undefined ? (plain === undefined ? LONG_FORMAT : `${plain}\n`) : unescape(printf)
  const names = accountNames(io)
  let code = 0
  for (const operand of options.operands) {
    const path = io.path(operand)
    try {
      const found = options.has('L') ? io.fs.statSync(path) : io.fs.lstatSync(path)
      io.out(
        format.replaceAll(/%([-0]?\d*)([a-zA-Z%])/g, (_, width: string, letter: string) =>
          pad(directive(letter, operand, path, found, io, names), width),
        ),
      )
    } catch (error) {
      io.warn(`cannot statx '${operand}': ${errorText(error)}`)
      code = 1
    }
  }
  return code
}

function pad(text: string, width: string): string {
  if (width === '') return text
  const size = Number(width.replace(/^[-0]/, ''))
  return width.startsWith('-') ? text.padEnd(size) : text.padStart(size, width.startsWith('0') ? '0' : ' ')
}

interface Listed {
  readonly name: string
  readonly path: string
  readonly stat: Stats
}

export const ls: Applet = (args, io) => {
  const options = parseOptions(args, {
    flags: 'laA1RdhnrtSFiopgcuULsqkxCmvG',
    values: 'IwT',
    long: {
      all: 'a',
      'almost-all': 'A',
      recursive: 'R',
      directory: 'd',
      'human-readable': 'h',
      reverse: 'r',
      'numeric-uid-gid': 'n',
      inode: 'i',
      color: 'q',
      classify: 'F',
      dereference: 'L',
      'group-directories-first': 'q',
      'full-time': 'l',
      'time-style': 'T',
      ignore: 'I',
      size: 's',
    },
  })
  const operands = options.operands.length === 0 ? ['.'] : options.operands
  const files: Listed[] = []
  const folders: Listed[] = []
  let code = 0
  for (const operand of operands) {
    const path = io.path(operand)
    try {
      const own = io.fs.lstatSync(path)
      const target =
        own.isSymbolicLink() && !options.has('l')
          ? (io.fs.statSync(path, { throwIfNoEntry: false }) ?? own)
          : own
      const isFolder = target.isDirectory() && !options.has('d')
      ;(isFolder ? folders : files).push({ name: operand, path, stat: own })
    } catch (error) {
      io.warn(`cannot access '${operand}': ${errorText(error)}`)
      code = 2
    }
  }
  const names = accountNames(io)
  printList(sorted(files, options), options, io, names)
  const titled = operands.length > 1 || options.has('R')
  for (const [index, folder] of sorted(folders, options).entries()) {
    if (titled) io.out(`${index > 0 || files.length > 0 ? '\n' : ''}${folder.name}:\n`)
    code = Math.max(code, printFolder(folder, options, io, names))
  }
  return code
}

function printFolder(folder: Listed, options: Options, io: AppletIO, names: Names): number {
  let entries: string[]
  try {
    entries = io.fs.readdirSync(folder.path)
  } catch (error) {
    io.warn(`cannot open directory '${folder.name}': ${errorText(error)}`)
    return 2
  }
  const all = options.has('a')
    ? ['.', '..', ...entries]
    : options.has('A')
      ? entries
      : entries.filter((name) => !name.startsWith('.'))
  const listed = all.map((name) => {
    const path =
      name === '.' ? folder.path : name === '..' ? joinName(folder.path, '..') : joinName(folder.path, name)
    return { name, path, stat: options.has('L') ? io.fs.statSync(path) : io.fs.lstatSync(path) }
  })
  if (options.has('l') || options.has('n'))
    io.out(`total ${listed.reduce((sum, { stat: each }) => sum + blocks(each), 0)}\n`)
  const inOrder = sorted(listed, options)
  printList(inOrder, options, io, names)
  let code = 0
  if (!options.has('R')) return code
  for (const { name, path, stat: each } of inOrder) {
    if (!each.isDirectory() || name === '.' || name === '..') continue
    io.out(`\n${joinName(folder.name, name)}:\n`)
    code = Math.max(
      code,
      printFolder({ name: joinName(folder.name, name), path, stat: each }, options, io, names),
    )
  }
  return code
}

/** In 1 KiB units, as ext4 with 4 KiB blocks would have them. */
const blocks = (stat: Stats): number =>
  stat.isFile() ? Math.ceil(stat.size / 4096) * 4 : stat.isDirectory() ? 4 : 0

function sorted(entries: readonly Listed[], options: Options): Listed[] {
  const byName = (a: Listed, b: Listed): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  const order = options.has('U')
    ? undefined
    : options.has('t')
      ? (a: Listed, b: Listed) => b.stat.mtimeMs - a.stat.mtimeMs || byName(a, b)
      : options.has('S')
        ? (a: Listed, b: Listed) => b.stat.size - a.stat.size || byName(a, b)
        : byName
  const out = order === undefined ? [...entries] : entries.toSorted(order)
  return options.has('r') ? out.toReversed() : out
}

function printList(entries: readonly Listed[], options: Options, io: AppletIO, names: Names): void {
  const long = options.has('l') || options.has('n') || options.has('o') || options.has('g')
  const rows = entries.map((entry) => (long ? longRow(entry, options, io, names) : shortRow(entry, options)))
  if (!long) {
    for (const row of rows) io.out(`${row[0]!}\n`)
    return
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length))) ?? []
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === row.length - 1
        ? cell
        : [0, 2, 3].includes(column - (options.has('i') ? 1 : 0))
          ? cell.padEnd(widths[column]!)
          : cell.padStart(widths[column]!),
    )
    io.out(`${cells.join(' ')}\n`)
  }
}

function classified(entry: Listed, options: Options): string {
  if (options.has('p')) return entry.stat.isDirectory() ? '/' : ''
  if (!options.has('F')) return ''
  const { stat: each } = entry
  if (each.isDirectory()) return '/'
  if (each.isSymbolicLink()) return '@'
  if (each.isFIFO()) return '|'
  return each.isFile() && (each.mode & 0o111) !== 0 ? '*' : ''
}

function shortRow(entry: Listed, options: Options): string[] {
  const inode = options.has('i') ? `${entry.stat.ino} ` : ''
  return [inode + entry.name + classified(entry, options)]
}

function longRow(entry: Listed, options: Options, io: AppletIO, names: Names): string[] {
  const { stat: each } = entry
  const numeric = options.has('n')
  const user = numeric ? String(each.uid) : (names.user(each.uid) ?? String(each.uid))
  const group = numeric ? String(each.gid) : (names.group(each.gid) ?? String(each.gid))
  const size =
    each.isCharacterDevice() || each.isBlockDevice()
      ? `${Math.floor(each.rdev / 256)}, ${each.rdev % 256}`
      : options.has('h')
        ? humanSize(each.size)
        : String(each.size)
  const target = each.isSymbolicLink() ? ` -> ${io.fs.readlinkSync(entry.path)}` : ''
  const cells = [
    modeText(each),
    String(each.nlink),
    user,
    group,
    size,
    shortDate(each.mtimeMs),
    entry.name + classified(entry, options) + target,
  ]
  return options.has('i') ? [String(each.ino), ...cells] : cells
}

function humanSize(size: number): string {
  let value = size
  let unit = ''
  for (const next of ['K', 'M', 'G', 'T']) {
    if (value < 1024) break
    value /= 1024
    unit = next
  }
  if (unit === '') return String(size)
  return value < 10 ? `${(Math.ceil(value * 10) / 10).toFixed(1)}${unit}` : `${Math.ceil(value)}${unit}`
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const HALF_YEAR_MS = 15_778_476_000

function shortDate(ms: number): string {
  const date = new Date(ms)
  const day = `${MONTHS[date.getUTCMonth()]!} ${String(date.getUTCDate()).padStart(2)}`
  const recent = Date.now() - ms < HALF_YEAR_MS && ms <= Date.now()
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${day} ${recent ? `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}` : String(date.getUTCFullYear()).padStart(5)}`
}
