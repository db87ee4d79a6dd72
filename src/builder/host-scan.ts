// The walk of a host folder as a build context: lists directories when something asks for them, compares what it finds
// with the stat cache, and hashes only what changed. Effect: reads the host's disk, synchronously, because promises cost
// three to seven times as much. Entries are numbers, so that an unchanged tree makes no objects per file.
import { hash } from 'node:crypto'
import { closeSync, fstatSync, type Stats } from 'node:fs'
import { hexSlice } from '#platform'
import type { Digest } from '../digest.js'
import { BuildError, throwIfAborted } from '../errors.js'
import { encodePath, hasRawBytes, joinPath } from '../path.js'
import type { NodeKind } from '../unionfs/index.js'
import { equalDigests } from './binary-columns.js'
import { contextRootHeader, headerBytes } from './content-header.js'
import type { NodeAccess } from './node-access.js'
import {
  changed,
  deviceMajor,
  deviceMinor,
  hashLarge,
  hostPath,
  listNames,
  lstatOrFail,
  openListed,
  readFully,
  readLinkOrFail,
  sameFile,
} from './host-files.js'
import { KNOWN, RACY, StatCacheWriter, StatColumns, SUSPECT, UNKNOWN, type StatCache } from './stat-cache.js'

/** Which paths of a context are left out. Paths are relative to its root. */
export interface ContextFilter {
  matches(path: string): boolean
  /** Whether something below an ignored directory may be let in again by a `!` rule. */
  mayReinclude(dir: string): boolean
}

export interface HostScanOptions {
  readonly filter?: ContextFilter | undefined
  readonly previous?: StatCache | undefined
  readonly signal?: AbortSignal | undefined
  /** Called now and then with the number of entries seen so far. */
  readonly onProgress?: ((entries: number) => void) | undefined
}

interface ScanDir {
  /** Relative to the root. */
  readonly path: string
  first: number
  names: readonly string[]
  /** Number of the same directory in the previous scan, and of the entry that stood for it; -1 when there was none. */
  readonly previous: number
  readonly previousEntry: number
  /** Whether names and stat data are those of the previous scan; says nothing about directories below. */
  same: boolean
  listed: boolean
  /** Positions of names, made when first needed. */
  positions: Map<string, number> | undefined
}

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000
const S_IFSOCK = 0o140000
const KINDS: Readonly<Record<number, NodeKind>> = {
  [S_IFREG]: 'file',
  [S_IFDIR]: 'dir',
  [S_IFLNK]: 'symlink',
  0o020000: 'chardev',
  0o060000: 'blockdev',
  0o010000: 'fifo',
}

/** Milliseconds of work between two turns of the event loop. */
const SLICE_MS = 25
const BUFFER_BYTES = 1 << 18
/** Distance of two changes that leave different times: the kernel's tick is at most 10 ms; some file systems keep seconds. */
const FINE_MS = 20
const COARSE_MS = 2_000

export class HostScan implements NodeAccess<number> {
  readonly root = 0
  readonly base: string
  readonly columns: StatColumns
  readonly #dirs: ScanDir[] = []
  readonly #filter: ContextFilter | undefined
  readonly #previous: StatCache | undefined
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: ((entries: number) => void) | undefined
  readonly #paths: { dir: number; until: number }[] = []
  /** Digests of directory headers by mode: nothing else varies in them. */
  readonly #headers = new Map<number, Digest>()
  /** Entries of files that have several names, by device and inode. */
  readonly #linked = new Map<string, number[]>()
  #buffer: Uint8Array | undefined
  #dirty = false

  /**
   * @param base  absolute path of the context's root
   * @throws BuildError CONTEXT_NOT_FOUND | CONTEXT_UNREADABLE
   */
  constructor(base: string, options: HostScanOptions = {}) {
    this.base = base
    this.#filter = options.filter
    this.#previous = options.previous
    this.#signal = options.signal
    this.#onProgress = options.onProgress
    this.columns = new StatColumns(Math.max(64, (options.previous?.columns.length ?? 0) + 64))
    this.columns.allocate(1)
    const stat = lstatOrFail(base, base)
    if (stat === undefined) {
      throw new BuildError('CONTEXT_NOT_FOUND', `build context ${base}: no such directory`, {
        data: { path: base },
      })
    }
    if ((stat.mode & S_IFMT) !== S_IFDIR) {
      throw new BuildError('CONTEXT_NOT_FOUND', `build context ${base}: not a directory`, {
        data: { path: base },
      })
    }
    this.columns.mode[0] = stat.mode
    this.columns.dir[0] = 0
    const previous = options.previous === undefined ? -1 : 0
    this.#dirs.push(scanDir('', previous, previous))
    this.#paths.push({ dir: 0, until: 1 })
  }

  /** Whether a digest was computed that the stat cache did not have. */
  get dirty(): boolean {
    return this.#dirty
  }

  /** Entries seen so far. */
  get size(): number {
    return this.columns.length
  }

  /** Whether a file was seen under several names. */
  get hasLinks(): boolean {
    for (const names of this.#linked.values()) if (names.length > 1) return true
    return false
  }

  kind(entry: number): NodeKind {
    return KINDS[this.columns.mode[entry]! & S_IFMT]!
  }

  target(entry: number): string {
    return readLinkOrFail(this.hostPath(entry), this.pathOf(entry))
  }

  meta(entry: number): { readonly mode: number; readonly uid: number; readonly gid: number } {
    return { mode: this.columns.mode[entry]! & 0o7777, uid: 0, gid: 0 }
  }

  names(entry: number): readonly string[] {
    const dir = this.columns.dir[entry]!
    return dir === -1 ? [] : this.#list(dir).names
  }

  child(entry: number, name: string): number | undefined {
    const number = this.columns.dir[entry]!
    if (number === -1) return undefined
    const dir = this.#list(number)
    dir.positions ??= new Map(dir.names.map((each, i) => [each, i]))
    const at = dir.positions.get(name)
    return at === undefined ? undefined : dir.first + at
  }

  /** Entry of the `at`-th name of a directory. */
  childAt(entry: number, at: number): number {
    return this.#list(this.columns.dir[entry]!).first + at
  }

  /** Whether a file has further names, in the context or elsewhere. */
  isLinked(entry: number): boolean {
    const { dev, ino } = this.columns
    return this.#linked.size > 0 && this.#linked.has(`${dev[entry]}:${ino[entry]}`)
  }

  /** All entries that are names of the same file as `entry`, itself included, in no order. Lists the whole context. */
  linksOf(entry: number): readonly number[] {
    for (let number = 0; number < this.#dirs.length; number++) this.#list(number)
    const { dev, ino } = this.columns
    return this.#linked.get(`${dev[entry]}:${ino[entry]}`) ?? [entry]
  }

  /** Relative to the root. */
  pathOf(entry: number): string {
    if (entry === 0) return ''
    const dir = this.#dirs[this.#dirOf(entry)]!
    return joinPath(dir.path, dir.names[entry - dir.first]!)
  }

  /** Absolute, as Node's functions take it: bytes when the name is not UTF-8. */
  hostPath(entry: number): string | Buffer {
    return hostPath(joinPath(this.base, this.pathOf(entry)))
  }

  nodeDigest(entry: number): Digest {
    if (entry === 0) return this.#rootHeader()
    const { columns } = this
    if (columns.dir[entry] !== -1) return this.#headerOf(entry)
    if (isUnread(columns.state[entry]!)) this.#hashEntry(entry)
    return digestAt(columns, entry)
  }

  /** The digest that a file would have with this mode; reads it once more. */
  digestWith(entry: number, { mode }: { readonly mode: number }): Digest {
    const header = this.#header(entry, mode)
    return `sha256:${Buffer.from(this.#hashFile(entry, header)).toString('hex')}` as Digest
  }

  dirDigest(entry: number): Digest {
    for (const _ of this.#digestDir(entry)) {
      // runs to the end without a pause
    }
    return digestAt(this.columns, entry)
  }

  async prepare(entries: number | readonly number[]): Promise<void> {
    throwIfAborted(this.#signal)
    let until = performance.now() + SLICE_MS
    for (const _ of typeof entries === 'number' ? this.#digestAll(entries) : this.#digestEach(entries)) {
      if (performance.now() < until) continue
      this.#onProgress?.(this.columns.length)
      await new Promise<void>((resolve) => setImmediate(resolve))
      throwIfAborted(this.#signal)
      until = performance.now() + SLICE_MS
    }
    this.#onProgress?.(this.columns.length)
  }

  *#digestAll(entry: number): Generator<undefined> {
    if (this.columns.dir[entry] !== -1) yield* this.#digestDir(entry)
  }

  *#digestEach(entries: readonly number[]): Generator<undefined> {
    for (const entry of entries) {
      this.nodeDigest(entry)
      yield undefined
    }
  }

  /**
   * What the next scan can start from. Entries that were read too soon after their last change are read once more,
   * so that what is written can be relied on. @returns `undefined` when nothing is new
   */
  snapshot(): StatCacheWriter | undefined {
    if (!this.#dirty) return undefined
    const out = new StatCacheWriter(this.columns.length)
    out.columns.mode[0] = this.columns.mode[0]!
    out.columns.copyDigest(0, this.columns, 0)
    const rootDir = this.#dirs[0]!
    const number = this.#emit(out, rootDir)
    out.columns.dir[0] = number
    return out
  }

  #emit(out: StatCacheWriter, dir: ScanDir): number {
    if (!dir.listed) return dir.previous === -1 ? out.addDir(0, 0, '') : this.#emitPrevious(out, dir.previous)
    const first = out.columns.allocate(dir.names.length)
    const number = out.addDir(first, dir.names.length, dir.names.join('/'))
    for (let i = 0; i < dir.names.length; i++) {
      const entry = dir.first + i
      if (this.columns.state[entry] === RACY) this.#settle(entry)
      out.columns.copyEntry(first + i, this.columns, entry)
      if (out.columns.state[first + i] === SUSPECT) out.columns.state[first + i] = RACY
      const below = this.columns.dir[entry]!
      // Numbered first: what lies below may make the columns grow, and so be others by the time of the assignment.
      const belowNumber = below === -1 ? -1 : this.#emit(out, this.#dirs[below]!)
      out.columns.dir[first + i] = belowNumber
    }
    return number
  }

  /** A directory that nothing asked for this time keeps what was known of it. */
  #emitPrevious(out: StatCacheWriter, number: number): number {
    const { columns } = this.#previous!
    const { first, count } = this.#previous!.dir(number)
    const at = out.columns.allocate(count)
    const added = out.addDir(at, count, this.#previous!.namesOf(number))
    for (let i = 0; i < count; i++) {
      out.columns.copyEntry(at + i, columns, first + i)
      const below = columns.dir[first + i]!
      const belowNumber = below === -1 ? -1 : this.#emitPrevious(out, below)
      out.columns.dir[at + i] = belowNumber
    }
    return added
  }

  /** When the clock has moved on by now: if the file still reads the same, its stat data can be trusted from here on. */
  #settle(entry: number): void {
    if (this.#isYoung(entry)) return
    const before = digestAt(this.columns, entry)
    try {
      this.#hashEntry(entry)
    } catch {
      this.columns.state[entry] = UNKNOWN
    }
    if (digestAt(this.columns, entry) !== before) this.columns.state[entry] = UNKNOWN
  }

  /** Digests of a directory with all below it; pauses after each directory and each large file. */
  *#digestDir(entry: number): Generator<undefined> {
    const { columns } = this
    if (columns.state[entry] !== UNKNOWN) return
    const dir = this.#list(columns.dir[entry]!)
    yield undefined
    const end = dir.first + dir.names.length
    let same = dir.same
    for (let child = dir.first; child < end; child++) {
      if (columns.dir[child] !== -1) {
        yield* this.#digestDir(child)
        same &&= this.#isAsBefore(child, dir)
      } else if (isUnread(columns.state[child]!)) {
        if (!this.#hashEntry(child)) same = false
        if (columns.size[child]! > BUFFER_BYTES) yield undefined
      }
    }
    if (same && this.#reuseDigest(entry, dir)) return
    this.#combine(entry, dir)
  }

  #isAsBefore(child: number, dir: ScanDir): boolean {
    const previous = this.#previous!.dir(dir.previous).first + (child - dir.first)
    const before = this.#previous!.columns
    return (
      before.state[previous] === KNOWN &&
      before.mode[previous] === this.columns.mode[child] &&
      equalDigests(before.digest, previous, this.columns.digest, child)
    )
  }

  /** An unchanged directory has the digest that it had, as long as its own mode is what it was. */
  #reuseDigest(entry: number, dir: ScanDir): boolean {
    const before = this.#previous!.columns
    const at = dir.previousEntry
    if (before.state[at] !== KNOWN) return false
    if (entry !== 0 && before.mode[at] !== this.columns.mode[entry]) return false
    this.columns.copyDigest(entry, before, at)
    return true
  }

  #combine(entry: number, dir: ScanDir): void {
    let text = `\0${entry === 0 ? this.#rootHeader() : this.#headerOf(entry)}`
    for (let i = 0; i < dir.names.length; i++) {
      text += `\0${dir.names[i]!}${digestAt(this.columns, dir.first + i)}`
    }
    this.#setDigest(entry, hash('sha256', hasRawBytes(text) ? encodePath(text) : text, 'buffer'), KNOWN)
  }

  #rootHeader(): Digest {
    return contextRootHeader(this.#dirs[0]!.names.length === 0)
  }

  #headerOf(entry: number): Digest {
    const mode = this.columns.mode[entry]!
    let digest = this.#headers.get(mode)
    if (digest === undefined) {
      digest = `sha256:${hash('sha256', this.#header(entry), 'hex')}` as Digest
      this.#headers.set(mode, digest)
    }
    return digest
  }

  /** Owner 0:0, as BuildKit's client sends every file of a local context. */
  #header(entry: number, mode = this.columns.mode[entry]! & 0o7777): Uint8Array | string {
    const kind = this.kind(entry)
    const [rdevMajor, rdevMinor] = this.rdev(entry)
    return headerBytes({
      kind,
      mode,
      uid: 0,
      gid: 0,
      size: this.columns.size[entry]!,
      target: kind === 'symlink' ? this.target(entry) : '',
      rdevMajor,
      rdevMinor,
      xattrs: undefined,
    })
  }

  /** Device numbers; `[0, 0]` for what is not a device. */
  rdev(entry: number): readonly [major: number, minor: number] {
    const kind = this.kind(entry)
    if (kind !== 'chardev' && kind !== 'blockdev') return [0, 0]
    const stat = lstatOrFail(this.hostPath(entry), this.pathOf(entry))
    if (stat === undefined) throw changed(this.pathOf(entry))
    return [deviceMajor(stat.rdev), deviceMinor(stat.rdev)]
  }

  /** @returns whether this only confirmed what was known */
  #hashEntry(entry: number): boolean {
    const { digest, state } = this.columns
    // Before the first byte is read: what is written while a long reading lasts can leave the same times too.
    const next = this.#isYoung(entry) ? RACY : KNOWN
    const header = this.#header(entry)
    const hasContent = this.kind(entry) === 'file' && this.columns.size[entry]! > 0
    const bytes = hasContent ? this.#hashFile(entry, header) : hash('sha256', header, 'buffer')
    if (state[entry] === SUSPECT && equalDigests(bytes, 0, digest, entry)) {
      state[entry] = next
      return true
    }
    this.#setDigest(entry, bytes, next)
    return false
  }

  #setDigest(entry: number, bytes: Uint8Array, state: number): void {
    this.columns.digest.set(bytes, entry * 32)
    this.columns.state[entry] = state
    this.#dirty = true
  }

  /**
   * Whether a write that comes after a reading that starts now could leave the same times. ctime decides: every change
   * sets it to the file system's clock, and nobody can set it back.
   */
  #isYoung(entry: number): boolean {
    const ctimeMs = this.columns.ctimeMs[entry]!
    // Times in whole seconds betray a clock of that kind.
    const granularityMs = ctimeMs % 1000 === 0 ? COARSE_MS : FINE_MS
    return Date.now() - ctimeMs <= granularityMs
  }

  #hashFile(entry: number, header: Uint8Array | string): Uint8Array {
    const path = this.hostPath(entry)
    const fd = openListed(path, this.pathOf(entry), this.columns, entry)
    try {
      const size = this.columns.size[entry]!
      const head = typeof header === 'string' ? Buffer.from(header) : header
      const digest =
        head.length + size <= BUFFER_BYTES ? this.#hashSmall(fd, head, size) : hashLarge(fd, head, size)
      if (digest === undefined || !sameFile(fstatSync(fd), this.columns, entry))
        throw changed(this.pathOf(entry))
      return digest
    } finally {
      closeSync(fd)
    }
  }

  /** Header and content in one buffer and one call: half the time of an incremental hash. */
  #hashSmall(fd: number, head: Uint8Array, size: number): Uint8Array | undefined {
    const buffer = (this.#buffer ??= new Uint8Array(BUFFER_BYTES))
    buffer.set(head)
    if (!readFully(fd, buffer, head.length, size)) return undefined
    return hash('sha256', buffer.subarray(0, head.length + size), 'buffer')
  }

  #list(number: number): ScanDir {
    const dir = this.#dirs[number]!
    if (!dir.listed) this.#listDir(number, dir)
    return dir
  }

  #listDir(number: number, dir: ScanDir): void {
    throwIfAborted(this.#signal)
    const absolute = dir.path === '' ? this.base : `${this.base}/${dir.path}`
    const names: string[] = []
    const stats: Stats[] = []
    const listed = listNames(absolute, dir.path)
    const isRaw = hasRawBytes(absolute) || listed.some(hasRawBytes)
    for (const name of listed) {
      const path = dir.path === '' ? name : `${dir.path}/${name}`
      if (this.#filter?.matches(path) === true && !this.#isReincluded(path)) continue
      const own = `${absolute}/${name}`
      const stat = lstatOrFail(isRaw ? hostPath(own) : own, path)
      // Gone since the listing.
      if (stat === undefined) continue
      names.push(name)
      stats.push(asCarried(stat))
    }
    dir.listed = true
    dir.names = names
    dir.first = this.columns.allocate(names.length)
    this.#paths.push({ dir: number, until: this.columns.length })
    this.#compare(dir, stats)
  }

  #compare(dir: ScanDir, stats: readonly Stats[]): void {
    const previous = this.#previous
    const block = previous === undefined || dir.previous === -1 ? undefined : previous.dir(dir.previous)
    const joined = block === undefined ? '' : previous!.namesOf(dir.previous)
    const aligned = block !== undefined && block.count === stats.length && joined === dir.names.join('/')
    const positions = block === undefined || aligned ? undefined : positionsOf(joined, block.count)
    let same = aligned
    for (let i = 0; i < stats.length; i++) {
      const offset = aligned ? i : (positions?.get(dir.names[i]!) ?? -1)
      const before = offset === -1 ? -1 : block!.first + offset
      if (!this.#place(dir, dir.first + i, dir.names[i]!, stats[i]!, before)) same = false
    }
    dir.same = same
  }

  /** @returns whether the entry is as it was; for a directory, whether it was one too */
  #place(dir: ScanDir, entry: number, name: string, stat: Stats, before: number): boolean {
    const { columns } = this
    const old = before === -1 ? undefined : this.#previous!.columns
    columns.mode[entry] = stat.mode
    columns.dev[entry] = stat.dev
    columns.ino[entry] = stat.ino
    columns.size[entry] = stat.size
    columns.mtimeMs[entry] = stat.mtimeMs
    columns.ctimeMs[entry] = stat.ctimeMs
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      const previous = old === undefined ? -1 : old.dir[before]!
      columns.dir[entry] = this.#dirs.length
      this.#dirs.push(scanDir(joinPath(dir.path, name), previous, previous === -1 ? -1 : before))
      return previous !== -1
    }
    columns.dir[entry] = -1
    if (stat.nlink > 1 && (stat.mode & S_IFMT) === S_IFREG) this.#addLinked(entry, stat)
    if (
      old === undefined ||
      old.mtimeMs[before] !== stat.mtimeMs ||
      old.ctimeMs[before] !== stat.ctimeMs ||
      old.size[before] !== stat.size ||
      old.ino[before] !== stat.ino ||
      old.mode[before] !== stat.mode ||
      old.dev[before] !== stat.dev ||
      old.state[before] === UNKNOWN
    ) {
      return false
    }
    columns.copyDigest(entry, old, before)
    if (columns.state[entry] === RACY) columns.state[entry] = SUSPECT
    return true
  }

  #addLinked(entry: number, stat: Stats): void {
    const id = `${stat.dev}:${stat.ino}`
    const group = this.#linked.get(id)
    if (group === undefined) this.#linked.set(id, [entry])
    else group.push(entry)
  }

  /** Whether an ignored path is there all the same, because a `!` rule lets in something below it. */
  #isReincluded(path: string): boolean {
    const filter = this.#filter!
    if (!filter.mayReinclude(path)) return false
    const absolute = `${this.base}/${path}`
    const stat = lstatOrFail(hostPath(absolute), path)
    if (stat === undefined || (stat.mode & S_IFMT) !== S_IFDIR) return false
    return listNames(absolute, path).some((name) => {
      const below = `${path}/${name}`
      return !filter.matches(below) || this.#isReincluded(below)
    })
  }

  /** Blocks of entries are allocated in order, so the directory of an entry is found by bisection. */
  #dirOf(entry: number): number {
    let low = 0
    let high = this.#paths.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#paths[middle]!.until <= entry) low = middle + 1
      else high = middle
    }
    return this.#paths[low]!.dir
  }
}

/** Whether a digest has to be computed, for the first time or again. */
function isUnread(state: number): boolean {
  return state === UNKNOWN || state === SUSPECT
}

function scanDir(path: string, previous: number, previousEntry: number): ScanDir {
  return {
    path,
    first: 0,
    names: [],
    previous,
    previousEntry,
    same: false,
    listed: false,
    positions: undefined,
  }
}

function positionsOf(joined: string, count: number): Map<string, number> {
  return count === 0 ? new Map() : new Map(joined.split('/').map((name, i) => [name, i]))
}

function digestAt(columns: StatColumns, entry: number): Digest {
  return `sha256:${hexSlice(columns.digest, entry * 32, entry * 32 + 32)}` as Digest
}

/** A context carries a socket as an empty file. @see moby/buildkit cache/contenthash/filehash.go NewFromStat */
function asCarried(stat: Stats): Stats {
  if ((stat.mode & S_IFMT) !== S_IFSOCK) return stat
  return Object.assign(stat, { mode: S_IFREG | (stat.mode & 0o7777), size: 0 })
}
