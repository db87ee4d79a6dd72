// Reads of parts of a blob on disk, each verified. The first of them makes sure of the whole blob, by its digest, and
// writes down the sums of its blocks; after that, in whatever process, a block is compared with its sum when it is first
// read, and again when the file looks otherwise than it did then.
import { createDigester, hexOf, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import { BLOCK_SUMS_KIND, BlockSums, BlockSumsWriter, SUM_BLOCK_BYTES } from './block-sums.js'
import type { BlobInfo } from './blobs.js'
import type { DiskFs, FileStat } from './disk-fs.js'
import type { Checksum } from './records.js'
import type { SidecarStore } from './store.js'

const READ_BYTES = 1 << 20
/**
 * Up to this size a blob is hashed by each process that reads a part of it (0.6 ms), which is less than a sidecar costs;
 * also by the process that wrote it.
 */
const SMALL_BYTES = 1 << 20
/** Blobs of which something is remembered; least recently found ones go first. */
const KNOWN_MAX = 256
/** A file that changes within a tick of the kernel's clock, at most 10 ms, looks the same as before. */
const RACY_MS = 20

export interface DiskReadsOptions {
  readonly fs: DiskFs
  readonly checksum: Checksum
  /** Where sums are kept. Without them every process makes its own. */
  readonly sidecars?: Pick<SidecarStore, 'get' | 'put'> | undefined
  /** Milliseconds since the epoch, as files have them. */
  readonly nowMs: () => number
}

interface Known {
  /** How the file looked. */
  readonly stat: FileStat
  /** `undefined`: this process wrote and hashed it. */
  readonly sums: BlockSums | undefined
  /** A 1 for each block that was compared. */
  readonly seen: Uint8Array
  /** Whether a change of the file shows in how it looks. */
  readonly isSettled: boolean
}

const NOTHING = new Uint8Array(0)

export interface RangeIntoRoom {
  readonly offset: number
  readonly length: number
  /** Memory of the caller's, `length` bytes, for what need not be compared. */
  readonly room: Uint8Array | undefined
}

export class DiskReads {
  readonly #known = new Map<Digest, Known>()
  readonly #keeping = new Set<Promise<void>>()

  constructor(readonly options: DiskReadsOptions) {}

  /** A blob that this process has just written and hashed: right for as long as the file looks the same. */
  trust(digest: Digest, stat: FileStat): void {
    if (stat.size <= SMALL_BYTES) return
    this.#remember(digest, { stat, sums: undefined, seen: NOTHING, isSettled: true })
  }

  /** Nothing is known of this blob any more. */
  forget(digest: Digest): void {
    this.#known.delete(digest)
  }

  /**
   * Bytes of an open blob, right ones, in memory of their own or in `room`. The range is within the blob.
   * @throws StoreError DIGEST_MISMATCH when the blob is damaged there, SIZE_MISMATCH when it is too short
   */
  read(fd: number, info: BlobInfo, { offset, length, room }: RangeIntoRoom): Uint8Array {
    const known = this.#find(fd, info)
    const first = Math.floor(offset / SUM_BLOCK_BYTES)
    const end = Math.ceil((offset + length) / SUM_BLOCK_BYTES)
    if (known.sums === undefined || areSeen(known.seen, first, end)) {
      return this.#readPlain(fd, info, offset, room ?? new Uint8Array(length))
    }
    const start = first * SUM_BLOCK_BYTES
    const blockBytes = Math.min(end * SUM_BLOCK_BYTES, info.size) - start
    const blocks = this.#readPlain(fd, info, start, new Uint8Array(blockBytes))
    if (!known.sums.match(blocks, first, this.options.checksum)) this.#settle(fd, info, blocks, first)
    else if (known.isSettled) known.seen.fill(1, first, end)
    return blocks.subarray(offset - start, offset - start + length)
  }

  /** Waits until sums under way are written. */
  async close(): Promise<void> {
    await Promise.all(this.#keeping)
  }

  #find(fd: number, info: BlobInfo): Known {
    const { fs, nowMs } = this.options
    const known = this.#known.get(info.digest)
    const stat = fs.statFd(fd)
    if (known !== undefined && looksSame(known.stat, stat)) return known
    const held = stat.size === info.size ? known?.sums : undefined
    const before = held ?? this.#keptSums(info)
    const isSettled = nowMs() - stat.mtimeMs > RACY_MS
    const sums = before ?? this.#make(fd, info)
    // What was hashed as a whole, of a file that a change would show in, need not be compared block by block.
    const isSeen = before === undefined && isSettled
    const seen = new Uint8Array(Math.ceil(info.size / SUM_BLOCK_BYTES)).fill(isSeen ? 1 : 0)
    return this.#remember(info.digest, { stat, sums, seen, isSettled })
  }

  #remember(digest: Digest, known: Known): Known {
    this.#known.delete(digest)
    this.#known.set(digest, known)
    if (this.#known.size > KNOWN_MAX) this.#known.delete(this.#known.keys().next().value!)
    return known
  }

  #readPlain(fd: number, info: BlobInfo, start: number, out: Uint8Array): Uint8Array {
    const count = this.options.fs.read(fd, out, start)
    if (count === out.byteLength) return out
    const { digest, size } = info
    throw new StoreError('SIZE_MISMATCH', `blob ${hexOf(digest)} of ${size} bytes ends at ${start + count}`, {
      data: { digest, offset: start, length: out.byteLength, size: start + count },
    })
  }

  #keptSums({ digest, size }: BlobInfo): BlockSums | undefined {
    const bytes = size > SMALL_BYTES ? this.options.sidecars?.get(BLOCK_SUMS_KIND, hexOf(digest)) : undefined
    return bytes && BlockSums.decode(bytes, size)
  }

  /** Hashes the whole blob. @throws StoreError DIGEST_MISMATCH */
  #make(fd: number, info: BlobInfo): BlockSums {
    const { fs, checksum } = this.options
    const digester = createDigester()
    const sums = new BlockSumsWriter(info.size, checksum)
    const buffer = new Uint8Array(Math.min(READ_BYTES, info.size))
    for (let at = 0; at < info.size; at += buffer.byteLength) {
      const piece = buffer.subarray(0, fs.read(fd, buffer.subarray(0, info.size - at), at))
      digester.update(piece)
      sums.add(piece)
      if (piece.byteLength < buffer.byteLength) break
    }
    const actual = digester.digest()
    if (actual !== info.digest) throw damaged(info, actual)
    const made = sums.finish()
    if (info.size > SMALL_BYTES) this.#keep(info.digest, made)
    return made
  }

  /** Best effort: where the store cannot be written, the next process hashes again. */
  #keep(digest: Digest, { bytes }: BlockSums): void {
    const put = this.options.sidecars?.put(BLOCK_SUMS_KIND, hexOf(digest), bytes)
    if (put === undefined) return
    const kept = put
      .catch(() => undefined)
      .finally(() => {
        this.#keeping.delete(kept)
      })
    this.#keeping.add(kept)
  }

  /** Blocks and sums differ: the digest says which of them is damaged. @throws StoreError DIGEST_MISMATCH */
  #settle(fd: number, info: BlobInfo, blocks: Uint8Array, first: number): void {
    const isRight = this.#make(fd, info).match(blocks, first, this.options.checksum)
    // The sums were wrong; those that were just made are found by the next read.
    this.forget(info.digest)
    if (!isRight) throw damaged(info, undefined)
  }
}

function areSeen(seen: Uint8Array, first: number, end: number): boolean {
  for (let i = first; i < end; i++) if (seen[i] !== 1) return false
  return true
}

function looksSame(a: FileStat, b: FileStat): boolean {
  return a.mtimeMs === b.mtimeMs && a.size === b.size && a.ino === b.ino
}

function damaged({ digest, size }: BlobInfo, actual: Digest | undefined): StoreError {
  return new StoreError('DIGEST_MISMATCH', `blob ${digest} is damaged`, {
    data: { expected: digest, actual, size },
  })
}
