// The bytes of an archive around the position of a scan: all of it in memory, a window that moves over a blob, or the
// chunk that a stream has brought last. Pure.
import type { BlobReader } from '../blobs.js'
import { BLOCK, wordsOf } from './header.js'

const EMPTY = new Uint8Array(0)

/** An archive in memory; the base of the others. */
export class Window {
  bytes: Uint8Array = EMPTY
  /** `bytes` in 32-bit words, where they are aligned so. */
  words: Int32Array | undefined
  /** Where `bytes` begin in the archive. */
  start = 0

  constructor(
    /** Bytes of the archive; of a stream: infinite until it has ended. */
    public size: number,
    bytes: Uint8Array = EMPTY,
  ) {
    this.show(bytes, 0)
  }

  /** Begins with a block: the bytes from `offset` on are needed until the next one is begun. */
  begin(_offset: number): void {}

  /** Makes a range available. @returns its position in `bytes`; -1 when it is not there, or not yet */
  locate(offset: number, length: number): number {
    const at = offset - this.start
    return at >= 0 && at + length <= this.bytes.byteLength ? at : this.refill(offset, length)
  }

  /** A range of any length within the archive; `undefined` when it is not there yet. */
  read(offset: number, length: number): Uint8Array | undefined {
    const at = this.locate(offset, length)
    return at < 0 ? undefined : this.bytes.subarray(at, at + length)
  }

  protected refill(_offset: number, _length: number): number {
    return -1
  }

  protected show(bytes: Uint8Array, start: number): void {
    // A plain view: subarray of Node's Buffer is several times slower.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.words = wordsOf(bytes)
    this.start = start
  }
}

const AHEAD_MIN = 4 * 1024
const AHEAD_MAX = 256 * 1024

/** Over a blob. Grows while entries are small and falls back when contents are skipped. */
export class ReaderWindow extends Window {
  #ahead = AHEAD_MAX

  constructor(readonly reader: BlobReader) {
    super(reader.size)
  }

  override read(offset: number, length: number): Uint8Array {
    const at = offset - this.start
    if (at >= 0 && at + length <= this.bytes.byteLength) return this.bytes.subarray(at, at + length)
    return this.reader.read(offset, length)
  }

  protected override refill(offset: number, length: number): number {
    if (offset + length > this.size) return -1
    const skipped = offset - (this.start + this.bytes.byteLength)
    this.#ahead = skipped > AHEAD_MAX ? AHEAD_MIN : Math.min(this.#ahead * 2, AHEAD_MAX)
    const bytes = this.reader.read(offset, Math.min(Math.max(this.#ahead, length), this.size - offset))
    this.show(bytes, offset)
    return 0
  }
}

/**
 * Over a stream: chunks are looked at while they pass. What a block needs of chunks that are gone was copied, which for
 * headers that lie across a border is a block at most.
 */
export class StreamWindow extends Window {
  #chunk: Uint8Array = EMPTY
  #chunkStart = 0
  #received = 0
  /** Where the block that is being read begins. */
  #from = 0
  /** Bytes from `#carryStart` up to the chunk. */
  #carry = new Uint8Array(4 * BLOCK)
  #carryStart = 0
  #carryLength = 0

  constructor() {
    super(Number.POSITIVE_INFINITY)
  }

  /** The next chunk; it is looked at until the next one comes, or the scan asks for more. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk
    this.#chunkStart = this.#received
    this.#received += chunk.byteLength
  }

  end(): void {
    this.size = this.#received
    this.push(EMPTY)
  }

  /** A copy: the next chunk may come in the same memory. */
  override read(offset: number, length: number): Uint8Array | undefined {
    return super.read(offset, length)?.slice()
  }

  override begin(offset: number): void {
    this.#from = offset
    if (offset >= this.#chunkStart) this.#carryLength = 0
  }

  protected override refill(offset: number, length: number): number {
    if (offset + length > this.#received) {
      this.#keep()
      return -1
    }
    if (offset >= this.#chunkStart) this.show(this.#chunk, this.#chunkStart)
    else this.show(this.#joined(offset + length), this.#carryStart)
    return offset - this.start
  }

  /** Copies what of the chunk will still be needed when it has gone. */
  #keep(): void {
    // Its memory is the caller's from now on.
    this.show(EMPTY, 0)
    if (this.#carryLength === 0) this.#carryStart = Math.max(this.#from, this.#chunkStart)
    const from = this.#carryStart + this.#carryLength - this.#chunkStart
    if (from >= this.#chunk.byteLength) return
    this.#append(this.#chunk.subarray(from))
  }

  #append(bytes: Uint8Array): void {
    const length = this.#carryLength + bytes.byteLength
    if (length > this.#carry.byteLength) {
      const larger = new Uint8Array(Math.max(length, this.#carry.byteLength * 2))
      larger.set(this.#carry.subarray(0, this.#carryLength))
      this.#carry = larger
    }
    this.#carry.set(bytes, this.#carryLength)
    this.#carryLength = length
  }

  #joined(end: number): Uint8Array {
    const carried = this.#carry.subarray(0, this.#carryLength)
    if (end <= this.#chunkStart) return carried
    const out = new Uint8Array(end - this.#carryStart)
    out.set(carried)
    out.set(this.#chunk.subarray(0, end - this.#chunkStart), carried.byteLength)
    return out
  }
}
