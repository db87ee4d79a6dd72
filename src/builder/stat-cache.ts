// What a walk of a build context saw last time, as columns of numbers: stat data and digests of every entry, and the names
// of every directory. Read and written whole, as a derived file of the store; nothing in it is needed for a build to be
// right. Pure: host-scan.ts fills it and asks it.
import { decodePath, encodePath } from '../path.js'
import { BYTE_ORDER, ColumnReader, copyDigest, DIGEST_BYTES, encodeColumns } from './binary-columns.js'

/** Kind of the sidecar. */
export const STAT_CACHE_KIND = 'context'

const MAGIC = 0x31434d4c // "LMC1", little-endian
const HEADER_BYTES = 32

/** No digest is known. */
export const UNKNOWN = 0
/** The digest belongs to the stat data beside it. */
export const KNOWN = 1
/**
 * The file was so young when it was read that a later write may leave the same stat data: the digest tells whether that
 * happened, but only a new reading can say so.
 */
export const RACY = 2
/** Was RACY in the scan before, and has not been read again yet. Never written. */
export const SUSPECT = 3

/**
 * The entries of a tree by number; those of one directory stand side by side, in byte order of their names. Entry 0 is
 * the root. A directory's digest is that of all below it, a file's that of header and content.
 */
export class StatColumns {
  length = 0
  size: Float64Array
  /** Milliseconds with a fraction, as Node gives them: a double resolves about 0.25 us, enough for a fingerprint. */
  mtimeMs: Float64Array
  ctimeMs: Float64Array
  ino: Float64Array
  dev: Float64Array
  /** st_mode with the file type. */
  mode: Uint32Array
  /** Number of the directory, or -1 for other kinds. */
  dir: Int32Array
  state: Uint8Array
  digest: Uint8Array

  constructor(capacity: number) {
    this.size = new Float64Array(capacity)
    this.mtimeMs = new Float64Array(capacity)
    this.ctimeMs = new Float64Array(capacity)
    this.ino = new Float64Array(capacity)
    this.dev = new Float64Array(capacity)
    this.mode = new Uint32Array(capacity)
    this.dir = new Int32Array(capacity)
    this.state = new Uint8Array(capacity)
    this.digest = new Uint8Array(capacity * DIGEST_BYTES)
  }

  /** Adds `count` entries at the end. @returns the number of the first */
  allocate(count: number): number {
    const first = this.length
    this.length += count
    if (this.length > this.mode.length) this.#grow(Math.max(this.length, this.mode.length * 2))
    return first
  }

  #grow(capacity: number): void {
    const old = { ...this }
    Object.assign(this, new StatColumns(capacity), { length: this.length })
    this.size.set(old.size)
    this.mtimeMs.set(old.mtimeMs)
    this.ctimeMs.set(old.ctimeMs)
    this.ino.set(old.ino)
    this.dev.set(old.dev)
    this.mode.set(old.mode)
    this.dir.set(old.dir)
    this.state.set(old.state)
    this.digest.set(old.digest)
  }

  copyEntry(at: number, from: StatColumns, source: number): void {
    this.size[at] = from.size[source]!
    this.mtimeMs[at] = from.mtimeMs[source]!
    this.ctimeMs[at] = from.ctimeMs[source]!
    this.ino[at] = from.ino[source]!
    this.dev[at] = from.dev[source]!
    this.mode[at] = from.mode[source]!
    this.copyDigest(at, from, source)
  }

  copyDigest(at: number, from: StatColumns, source: number): void {
    this.state[at] = from.state[source]!
    copyDigest(this.digest, at, from.digest, source)
  }
}

/** One directory: its entries are `first` to `first + count - 1`. */
export interface StatDir {
  readonly first: number
  readonly count: number
}

/** A stat cache as it was written. */
export class StatCache {
  readonly columns: StatColumns
  readonly #dirs: Uint32Array
  readonly #names: string

  constructor(columns: StatColumns, dirs: Uint32Array, names: string) {
    this.columns = columns
    this.#dirs = dirs
    this.#names = names
  }

  dir(number: number): StatDir {
    return { first: this.#dirs[number * 4]!, count: this.#dirs[number * 4 + 1]! }
  }

  /** Names of a directory's entries, joined by `/`. */
  namesOf(number: number): string {
    return this.#names.slice(this.#dirs[number * 4 + 2]!, this.#dirs[number * 4 + 3]!)
  }
}

/** Collects a stat cache; directories are numbered in the order in which they are added. */
export class StatCacheWriter {
  readonly columns: StatColumns
  readonly #dirs: number[] = []
  readonly #names: string[] = []
  #namesLength = 0

  constructor(capacity: number) {
    this.columns = new StatColumns(capacity)
    this.columns.allocate(1)
  }

  /** @returns the directory's number */
  addDir(first: number, count: number, joinedNames: string): number {
    this.#dirs.push(first, count, this.#namesLength, this.#namesLength + joinedNames.length)
    this.#names.push(joinedNames)
    this.#namesLength += joinedNames.length
    return this.#dirs.length / 4 - 1
  }

  encode(): Uint8Array {
    const { length, size, mtimeMs, ctimeMs, ino, dev, mode, dir, digest, state } = this.columns
    const names = encodePath(this.#names.join(''))
    const dirs = Uint32Array.from(this.#dirs)
    const words = [MAGIC, length, dirs.length / 4, names.byteLength, BYTE_ORDER]
    const wide = [size, mtimeMs, ctimeMs, ino, dev, mode, dir].map((column) => column.subarray(0, length))
    return encodeColumns(HEADER_BYTES, words, [
      ...wide,
      digest.subarray(0, length * DIGEST_BYTES),
      dirs,
      state.subarray(0, length),
      names,
    ])
  }
}

const BYTES_PER_ENTRY = 5 * 8 + 2 * 4 + 1 + DIGEST_BYTES
const BYTES_PER_DIR = 4 * 4

/** @returns `undefined` for anything that is not a whole stat cache of this version and byte order */
export function decodeStatCache(bytes: Uint8Array): StatCache | undefined {
  if (bytes.byteLength < HEADER_BYTES) return undefined
  const file = new ColumnReader(bytes, HEADER_BYTES)
  const [magic, length, dirCount, namesBytes, order] = file.words(5) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const size = HEADER_BYTES + length * BYTES_PER_ENTRY + dirCount * BYTES_PER_DIR + namesBytes
  if (magic !== MAGIC || order !== BYTE_ORDER || size !== file.size) return undefined
  const columns = new StatColumns(0)
  columns.length = length
  columns.size = file.float64(length)
  columns.mtimeMs = file.float64(length)
  columns.ctimeMs = file.float64(length)
  columns.ino = file.float64(length)
  columns.dev = file.float64(length)
  columns.mode = file.uint32(length)
  columns.dir = file.int32(length)
  columns.digest = file.bytes(length * DIGEST_BYTES)
  const dirs = file.uint32(dirCount * 4)
  columns.state = file.bytes(length)
  return new StatCache(columns, dirs, decodePath(file.bytes(namesBytes)))
}
