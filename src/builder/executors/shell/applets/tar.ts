// tar(1): create, extract and list, plain and gzip, with owners, links and devices. GNU tar 1.34's options, in the order of
// use in real Dockerfiles; archives are written by the store's codec.
import type { Stats } from 'node:fs'
import { encodeTar, readSparse, scanTar, type TarEntry, type TarInput } from '../../../../store/index.js'
import { parseOptions, type Options } from '../options.js'
import { errorText, lexists, UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'
import { globToRegExp } from './glob.js'
import { dirName, joinName, removeTree } from './shared.js'

const OPTIONS = {
  flags: 'cxtrzjJavpkhmOPSW',
  values: 'fCTXoGsNDEMU',
  long: {
    create: 'c',
    extract: 'x',
    get: 'x',
    list: 't',
    gzip: 'z',
    gunzip: 'z',
    bzip2: 'j',
    xz: 'J',
    'auto-compress': 'a',
    verbose: 'v',
    'preserve-permissions': 'p',
    'same-permissions': 'p',
    'keep-old-files': 'k',
    dereference: 'h',
    touch: 'm',
    'to-stdout': 'O',
    'absolute-names': 'P',
    file: 'f',
    directory: 'C',
    'files-from': 'T',
    'exclude-from': 'X',
    owner: 'o',
    group: 'G',
    'strip-components': 's',
    strip: 's',
    'no-same-owner': 'N',
    'same-owner': 'S',
    'numeric-owner': 'W',
    exclude: 'E',
    mode: 'M',
    mtime: 'D',
    'no-same-permissions': 'a',
    overwrite: 'a',
    'no-overwrite-dir': 'a',
    'delay-directory-restore': 'a',
    'keep-directory-symlink': 'a',
    sort: 'U',
    format: 'U',
    wildcards: 'a',
    totals: 'a',
    warning: 'U',
    'skip-old-files': 'k',
  },
} as const

/** `tar xzf a.tgz`: the first word may be letters without a dash; values follow in order. */
function modernise(args: readonly string[]): string[] {
  const [first, ...rest] = args
  if (first === undefined || first.startsWith('-')) return [...args]
  const out: string[] = []
  for (const letter of first) {
    out.push(`-${letter}`)
    if ('fCTX'.includes(letter)) out.push(rest.shift() ?? '')
  }
  return [...out, ...rest]
}

export const tar: Applet = async (args, io) => {
  const words = modernise(args).map((word) => (word === '--no-same-owner' ? '--no-same-owner=1' : word))
  const options = parseOptions(words, OPTIONS)
  if (options.has('c')) return create(io, options)
  if (options.has('x') || options.has('t')) return extract(io, options)
  throw new UsageError("You must specify one of the '-Acdtrux', '--delete' or '--test-label' options", 2)
}

function excluded(io: AppletIO, options: Options): (path: string) => boolean {
  const patterns = options.all.flatMap(([letter, value]) => {
    if (letter === 'E') return [value!]
    return letter === 'X'
      ? new TextDecoder()
          .decode(io.fs.readFileSync(io.path(value!)) as Uint8Array)
          .split('\n')
          .filter(Boolean)
      : []
  })
  const tests = patterns.map((pattern) => globToRegExp(pattern.replace(/\/+$/, '')))
  // A pattern matches a name from any of its components on, and everything below what matches.
  return (path) => {
    const parts = path.split('/')
    return tests.some((test) =>
      parts.some((_, from) =>
        parts.some((__, to) => to >= from && test.test(parts.slice(from, to + 1).join('/'))),
      ),
    )
  }
}

async function create(io: AppletIO, options: Options): Promise<number> {
  const state = { folder: io.cwd, links: new Map<string, string>(), entries: [] as TarInput[], code: 0 }
  const isExcluded = excluded(io, options)
  // -C counts from where it stands, so operands and -C are read in their order.
  const names: [folder: string, name: string][] = []
  for (const [letter, value] of options.all) {
    if (letter === 'C') state.folder = value!.startsWith('/') ? value! : joinName(state.folder, value!)
    if (letter === 'T') {
      const text = value === '-' ? io.stdin : (io.fs.readFileSync(io.path(value!)) as Uint8Array)
      for (const name of new TextDecoder().decode(text).split('\n').filter(Boolean))
        names.push([state.folder, name])
    }
  }
  for (const operand of options.operands) names.push([state.folder, operand])
  if (names.length === 0) throw new UsageError('Cowardly refusing to create an empty archive', 2)
  const add = (path: string, name: string): void => {
    if (isExcluded(name.replace(/^\.\//, ''))) return
    let stat: Stats
    try {
      stat = options.has('h') ? io.fs.statSync(path) : io.fs.lstatSync(path)
    } catch (error) {
      io.warn(`${name}: Cannot stat: ${errorText(error)}`)
      state.code = 2
      return
    }
    const entry = entryOf(io, path, name.replace(/^\/+/, ''), stat, options, state.links)
    if (entry !== undefined) state.entries.push(entry)
    if (options.has('v'))
      (options.value('f') === '-' || options.value('f') === undefined ? io.warn : io.out)(`${name}\n`)
    if (stat.isDirectory())
      for (const child of io.fs.readdirSync(path).toSorted())
        add(joinName(path, child), joinName(name, child))
  }
  for (const [folder, name] of names) add(name.startsWith('/') ? name : joinName(folder, name), name)
  await writeArchive(io, options, state.entries)
  return state.code
}

function entryOf(
  io: AppletIO,
  path: string,
  name: string,
  stat: Stats,
  options: Options,
  links: Map<string, string>,
): TarInput | undefined {
  const [owner, group] = [options.value('o'), options.value('G')]
  const idOf = (text: string | undefined, own: number): number =>
    text === undefined ? own : Number(/\d+$/.exec(text)?.[0] ?? 0)
  const head = {
    path: name.replace(/\/+$/, '') || '.',
    mode: stat.mode & 0o7777,
    uid: idOf(owner, stat.uid),
    gid: idOf(group, stat.gid),
    mtimeSec: Math.floor(stat.mtimeMs / 1000),
    mtimeNsec: 0,
  }
  if (stat.isDirectory()) return { ...head, kind: 'dir' }
  if (stat.isSymbolicLink()) return { ...head, kind: 'symlink', linkpath: io.fs.readlinkSync(path) }
  if (stat.isFIFO()) return { ...head, kind: 'fifo' }
  if (stat.isCharacterDevice() || stat.isBlockDevice()) {
    const kind = stat.isBlockDevice() ? ('blockdev' as const) : ('chardev' as const)
    return { ...head, kind, devMajor: Math.floor(stat.rdev / 256), devMinor: stat.rdev % 256 }
  }
  if (!stat.isFile()) return undefined
  const key = `${stat.dev}:${stat.ino}`
  const first = links.get(key)
  if (stat.nlink > 1 && first !== undefined) return { ...head, kind: 'link', linkpath: first }
  links.set(key, head.path)
  return { ...head, kind: 'file', size: stat.size, content: [io.fs.readFileSync(path) as Uint8Array] }
}

function joinChunks(chunks: Iterable<Uint8Array>): Uint8Array {
  const parts = Array.from(chunks, (chunk) => chunk.slice())
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

async function writeArchive(io: AppletIO, options: Options, entries: readonly TarInput[]): Promise<void> {
  const file = options.value('f') ?? '-'
  refuseUnknown(options)
  const zipped = options.has('z') || (options.has('a') && /\.t?gz$/.test(file))
  const plain = joinChunks(encodeTar(entries))
  const bytes = zipped ? await through(plain, new CompressionStream('gzip')) : plain
  if (file === '-') return io.out(bytes)
  const path = io.path(file)
  const isNew = !lexists(io.fs, path)
  io.fs.writeFileSync(path, bytes)
  if (isNew) io.fs.chmodSync(path, 0o666 & ~io.process.umask)
}

function refuseUnknown(options: Options): void {
  if (options.has('j') || options.has('J'))
    throw new UsageError('bzip2 and xz are not available in the shell executor', 2)
}

/** Bytes through a stream of the platform, which browsers have as well. */
async function through(
  bytes: Uint8Array,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const writer = stream.writable.getWriter()
  // What goes wrong shows on the reading side.
  writer.write(Uint8Array.from(bytes)).catch(() => undefined)
  writer.close().catch(() => undefined)
  const chunks: Uint8Array[] = []
  for await (const chunk of stream.readable) chunks.push(chunk as Uint8Array)
  return joinChunks(chunks)
}

async function readArchive(io: AppletIO, options: Options): Promise<Uint8Array> {
  const file = options.value('f') ?? '-'
  refuseUnknown(options)
  const bytes = file === '-' ? io.stdin : Uint8Array.from(io.fs.readFileSync(io.path(file)) as Uint8Array)
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      return await through(bytes, new DecompressionStream('gzip'))
    } catch {
      throw new UsageError('not in gzip format', 2)
    }
  }
  if (bytes[0] === 0x42 && bytes[1] === 0x5a && bytes[2] === 0x68) refuse('bzip2')
  if (bytes[0] === 0xfd && bytes[1] === 0x37) refuse('xz')
  return bytes
}

function refuse(format: string): never {
  throw new UsageError(`${format} is not available in the shell executor`, 2)
}

async function extract(io: AppletIO, options: Options): Promise<number> {
  const archive = await readArchive(io, options)
  const place = options.all
    .filter(([letter]) => letter === 'C')
    .reduce((at, [, value]) => (value!.startsWith('/') ? value! : joinName(at, value!)), io.cwd)
  const isExcluded = excluded(io, options)
  const strip = Number(options.value('s') ?? 0)
  const wanted = options.operands.map((operand) => operand.replace(/\/+$/, ''))
  const seen = new Set<string>()
  const run: Extraction = { io, options, place, archive, folders: [], code: 0 }
  for (const entry of scanTar(archive)) {
    const name = entry.path.replace(/^\/+|\/+$/g, '')
    const asked = wanted.find(
      (each) =>
        name === each ||
        name.startsWith(`${each}/`) ||
        `./${name}` === each ||
        (options.has('a') && globToRegExp(each).test(name)),
    )
    if (wanted.length > 0 && asked === undefined) continue
    if (asked !== undefined) seen.add(asked)
    if (isExcluded(name.replace(/^\.\//, ''))) continue
    const parts = name.split('/').filter((part) => part !== '' && part !== '.')
    if (options.has('t')) {
      io.out(`${name}${entry.kind === 'dir' ? '/' : ''}\n`)
      continue
    }
    const path = parts.slice(strip).join('/')
    if (parts.includes('..')) {
      io.warn(`${name}: Member name contains '..'`)
      run.code = 2
    } else if (path !== '' || (strip === 0 && parts.length === 0)) extractEntry(run, entry, path)
    if (options.has('v') && !options.has('t')) io.out(`${name}\n`)
  }
  for (const { path, entry } of run.folders.toReversed()) finishMetadata(run, path, entry)
  for (const name of wanted) {
    if (seen.has(name)) continue
    io.warn(`${name}: Not found in archive`)
    run.code = 2
  }
  return run.code
}

interface Extraction {
  readonly io: AppletIO
  readonly options: Options
  readonly place: string
  readonly archive: Uint8Array
  /** Directories get their modes and times last, so that they can be written into. */
  readonly folders: { readonly path: string; readonly entry: TarEntry }[]
  code: number
}

function extractEntry(run: Extraction, entry: TarEntry, name: string): void {
  const { io, options, place } = run
  const path = joinName(place, name)
  try {
    if (options.has('O')) {
      if (entry.kind === 'file') io.out(contentOf(run.archive, entry))
      return
    }
    if (name !== '' && !lexists(io.fs, dirName(path)))
      io.fs.mkdirSync(dirName(path), { recursive: true, mode: 0o777 & ~io.process.umask })
    const before = io.fs.lstatSync(path, { throwIfNoEntry: false })
    if (entry.kind === 'dir') {
      if (before !== undefined && !before.isDirectory()) io.fs.unlinkSync(path)
      if (before?.isDirectory() !== true) io.fs.mkdirSync(path, 0o700)
      run.folders.push({ path, entry })
      return
    }
    if (before !== undefined && options.has('k')) return
    if (before !== undefined) removeTree(io.fs, path)
    makeEntry(run, entry, path)
    if (entry.kind !== 'link') finishMetadata(run, path, entry)
  } catch (error) {
    io.warn(`${name}: Cannot open: ${errorText(error)}`)
    run.code = 2
  }
}

function contentOf(archive: Uint8Array, entry: TarEntry): Uint8Array {
  if (entry.sparse === undefined) return archive.subarray(entry.dataOffset, entry.dataOffset + entry.size)
  return readSparse(
    entry.sparse,
    (offset, length) => archive.subarray(offset, offset + length),
    0,
    entry.size,
  )
}

function makeEntry(run: Extraction, entry: TarEntry, path: string): void {
  const { fs, process } = run.io
  switch (entry.kind) {
    case 'file':
      return fs.writeFileSync(path, contentOf(run.archive, entry))
    case 'symlink':
      return fs.symlinkSync(entry.linkpath, path)
    case 'link': {
      const strip = Number(run.options.value('s') ?? 0)
      const target = entry.linkpath
        .split('/')
        .filter((part) => part !== '' && part !== '.')
        .slice(strip)
      return fs.linkSync(joinName(run.place, target.join('/')), path)
    }
    case 'fifo':
      return process.view.mknod(path, 'fifo')
    default:
      return process.view.mknod(path, entry.kind === 'blockdev' ? 'blockdev' : 'chardev', {
        rdev: [entry.devMajor, entry.devMinor],
      })
  }
}

/** Root keeps owners and modes as they are in the archive; others own what they extract, under their umask. */
function finishMetadata(run: Extraction, path: string, entry: TarEntry): void {
  const { io, options } = run
  const isRoot = io.process.identity.uid === 0
  if (isRoot && !options.has('N')) io.fs.lchownSync(path, entry.uid, entry.gid)
  if (entry.kind !== 'symlink')
    io.fs.chmodSync(path, isRoot || options.has('p') ? entry.mode : entry.mode & 0o777 & ~io.process.umask)
  if (!options.has('m')) io.fs.lutimesSync(path, entry.mtimeSec, entry.mtimeSec)
}
