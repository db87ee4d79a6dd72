// The walk of a host folder as a build context: lists directories when something asks for them, and compares what it finds
// with the stat cache. Effect: reads the host's disk, synchronously, because promises cost three to seven times as much.
// Entries are numbers, so that an unchanged tree makes no objects per file. Digests of entries: host-scan.ts.
import type { Stats } from 'node:fs'
import { BuildError, throwIfAborted } from '../errors.js'
import { hasRawBytes, joinPath } from '../path.js'
import type { NodeKind } from '../unionfs/index.js'
import {
  changed,
  deviceMajor,
  deviceMinor,
  hostPath,
  listNames,
  lstatOrFail,
  readLinkOrFail,
} from './host-files.js'
import { RACY, StatColumns, SUSPECT, UNKNOWN, type StatCache } from './stat-cache.js'

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

/** A directory of the walk; its entries are `first` and those after it. */
export interface ScanDir {
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

export class HostWalk {
  readonly root = 0
  readonly base: string
  readonly columns: StatColumns
  protected readonly dirs: ScanDir[] = []
  protected readonly previous: StatCache | undefined
  protected readonly signal: AbortSignal | undefined
  readonly #filter: ContextFilter | undefined
  readonly #paths: { dir: number; until: number }[] = []
  /** Entries of files that have several names, by device and inode. */
  readonly #linked = new Map<string, number[]>()

  /**
   * @param base  absolute path of the context's root
   * @throws BuildError CONTEXT_NOT_FOUND | CONTEXT_UNREADABLE
   */
  constructor(base: string, options: HostScanOptions = {}) {
    this.base = base
    this.#filter = options.filter
    this.previous = options.previous
    this.signal = options.signal
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
    this.dirs.push(scanDir('', previous, previous))
    this.#paths.push({ dir: 0, until: 1 })
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

  names(entry: number): readonly string[] {
    const dir = this.columns.dir[entry]!
    return dir === -1 ? [] : this.list(dir).names
  }

  child(entry: number, name: string): number | undefined {
    const number = this.columns.dir[entry]!
    if (number === -1) return undefined
    const dir = this.list(number)
    dir.positions ??= new Map(dir.names.map((each, i) => [each, i]))
    const at = dir.positions.get(name)
    return at === undefined ? undefined : dir.first + at
  }

  /** Entry of the `at`-th name of a directory. */
  childAt(entry: number, at: number): number {
    return this.list(this.columns.dir[entry]!).first + at
  }

  /** Whether a file has further names, in the context or elsewhere. */
  isLinked(entry: number): boolean {
    const { dev, ino } = this.columns
    return this.#linked.size > 0 && this.#linked.has(`${dev[entry]}:${ino[entry]}`)
  }

  /** All entries that are names of the same file as `entry`, itself included, in no order. Lists the whole context. */
  linksOf(entry: number): readonly number[] {
    for (let number = 0; number < this.dirs.length; number++) this.list(number)
    const { dev, ino } = this.columns
    return this.#linked.get(`${dev[entry]}:${ino[entry]}`) ?? [entry]
  }

  /** Relative to the root. */
  pathOf(entry: number): string {
    if (entry === 0) return ''
    const dir = this.dirs[this.#dirOf(entry)]!
    return joinPath(dir.path, dir.names[entry - dir.first]!)
  }

  /** Absolute, as Node's functions take it: bytes when the name is not UTF-8. */
  hostPath(entry: number): string | Buffer {
    return hostPath(joinPath(this.base, this.pathOf(entry)))
  }

  /** Device numbers; `[0, 0]` for what is not a device. */
  rdev(entry: number): readonly [major: number, minor: number] {
    const kind = this.kind(entry)
    if (kind !== 'chardev' && kind !== 'blockdev') return [0, 0]
    const stat = lstatOrFail(this.hostPath(entry), this.pathOf(entry))
    if (stat === undefined) throw changed(this.pathOf(entry))
    return [deviceMajor(stat.rdev), deviceMinor(stat.rdev)]
  }

  /** A directory with its entries, listed when it is asked for the first time. */
  protected list(number: number): ScanDir {
    const dir = this.dirs[number]!
    if (!dir.listed) this.#listDir(number, dir)
    return dir
  }

  #listDir(number: number, dir: ScanDir): void {
    throwIfAborted(this.signal)
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
    const previous = this.previous
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
    const old = before === -1 ? undefined : this.previous!.columns
    columns.mode[entry] = stat.mode
    columns.dev[entry] = stat.dev
    columns.ino[entry] = stat.ino
    columns.size[entry] = stat.size
    columns.mtimeMs[entry] = stat.mtimeMs
    columns.ctimeMs[entry] = stat.ctimeMs
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      const previous = old === undefined ? -1 : old.dir[before]!
      columns.dir[entry] = this.dirs.length
      this.dirs.push(scanDir(joinPath(dir.path, name), previous, previous === -1 ? -1 : before))
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

/** A context carries a socket as an empty file. @see moby/buildkit cache/contenthash/filehash.go NewFromStat */
function asCarried(stat: Stats): Stats {
  if ((stat.mode & S_IFMT) !== S_IFSOCK) return stat
  return Object.assign(stat, { mode: S_IFREG | (stat.mode & 0o7777), size: 0 })
}
