// Writes a stream to a file and hashes it on the way: the disk writes one block on another thread while this one hashes
// the next, so that the slower of the two decides the speed, not their sum.
import { createDigester, type Digester } from '../digest.js'
import { throwIfAborted } from '../errors.js'
import type { BlobBytes, BlobInfo, Expectation } from './blobs.js'
import type { DiskFs } from './disk-fs.js'
import { checkExpectation, sizeMismatch } from './verify.js'

const BLOCK_BYTES = 1 << 20
/** Smaller chunks are gathered into blocks; larger ones go out as they are. */
const GATHER_BELOW = 256 << 10
/**
 * Chunks from this size on are hashed where they are, then copied into the block: the hash waits for no memory, and the
 * copy finds in the cache what it takes. Copied first and hashed in blocks, chunks of 2 KiB take 17 % longer.
 */
const HASH_FROM = 1 << 10
/** Up to this size a write is cheaper than handing it to another thread. */
const SYNC_BELOW = 128 << 10

/** Blocks for reuse: a fresh MiB costs more in page faults than in hashing. */
const spare: Uint8Array[] = []
const SPARE_MAX = 4

export class BlobWriter {
  readonly #digester: Digester
  #size: number
  #block: Uint8Array | undefined
  #filled = 0
  /** Bytes of the block that are hashed. */
  #hashed = 0
  #writing: Promise<void> | undefined
  #writingBlock: Uint8Array | undefined

  constructor(
    readonly fs: DiskFs,
    readonly fd: number,
    readonly expect: Expectation,
    /** What is in the file already, when it is continued. */
    before: { readonly digester: Digester; readonly size: number } = { digester: createDigester(), size: 0 },
  ) {
    this.#digester = before.digester
    this.#size = before.size
  }

  /** Bytes in the file and on the way to it. */
  get size(): number {
    return this.#size
  }

  /**
   * Takes a chunk; it may be reused once this has returned or its promise is fulfilled.
   * @throws StoreError SIZE_MISMATCH as soon as there are more bytes than promised
   */
  add(chunk: Uint8Array): Promise<void> | undefined {
    this.#size += chunk.byteLength
    if (this.expect.size !== undefined && this.#size > this.expect.size) {
      throw sizeMismatch(this.expect, this.#size)
    }
    if (chunk.byteLength >= GATHER_BELOW) return this.#addLarge(chunk)
    this.#block ??= spare.pop() ?? new Uint8Array(BLOCK_BYTES)
    const isHashed = chunk.byteLength >= HASH_FROM
    if (isHashed) {
      this.#hashBlock()
      this.#digester.update(chunk)
      this.#hashed += chunk.byteLength
    }
    const room = BLOCK_BYTES - this.#filled
    if (chunk.byteLength <= room) {
      this.#block.set(chunk, this.#filled)
      this.#filled += chunk.byteLength
      return undefined
    }
    return this.#addAcross(chunk, room, isHashed)
  }

  /** What of the block is not hashed yet. */
  #hashBlock(): void {
    if (this.#hashed === this.#filled) return
    this.#digester.update(this.#block!.subarray(this.#hashed, this.#filled))
    this.#hashed = this.#filled
  }

  /** Writes what is left; then all that was added is in the file. */
  async flush(): Promise<void> {
    await this.#flush()
    await this.#settle()
  }

  /** Ends it. @throws StoreError SIZE_MISMATCH | DIGEST_MISMATCH */
  async finish(): Promise<BlobInfo> {
    await this.flush()
    const info = { digest: this.#digester.digest(), size: this.#size }
    checkExpectation(info, this.expect)
    return info
  }

  /** Waits until no write is under way, so that the file can be closed; after an error. */
  async abandon(): Promise<void> {
    await this.#settle().catch(() => undefined)
  }

  async #addAcross(chunk: Uint8Array, room: number, isHashed: boolean): Promise<void> {
    this.#block!.set(chunk.subarray(0, room), this.#filled)
    this.#filled = BLOCK_BYTES
    if (isHashed) this.#hashed = BLOCK_BYTES
    await this.#flush()
    this.#block = spare.pop() ?? new Uint8Array(BLOCK_BYTES)
    this.#block.set(chunk.subarray(room))
    this.#filled = chunk.byteLength - room
    this.#hashed = isHashed ? this.#filled : 0
  }

  async #addLarge(chunk: Uint8Array): Promise<void> {
    await this.#flush()
    await this.#settle()
    const writing = this.fs.writeLater(this.fd, chunk)
    this.#digester.update(chunk)
    await writing
  }

  async #flush(): Promise<void> {
    const block = this.#block
    if (block === undefined) return
    const bytes = block.subarray(0, this.#filled)
    this.#hashBlock()
    this.#block = undefined
    this.#filled = 0
    this.#hashed = 0
    await this.#settle()
    if (bytes.byteLength <= SYNC_BELOW) {
      this.fs.write(this.fd, bytes)
      reuse(block)
      return
    }
    this.#writing = this.fs.writeLater(this.fd, bytes)
    // Its error is reported by #settle; until then it must not count as unhandled.
    this.#writing.catch(() => undefined)
    this.#writingBlock = block
  }

  async #settle(): Promise<void> {
    const writing = this.#writing
    if (writing === undefined) return
    this.#writing = undefined
    await writing
    reuse(this.#writingBlock!)
  }
}

function reuse(block: Uint8Array): void {
  if (spare.length < SPARE_MAX) spare.push(block)
}

/** Adds all of a source. @throws AbortError */
export async function feed(
  writer: BlobWriter,
  bytes: BlobBytes,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (bytes instanceof Uint8Array) {
    await writer.add(bytes)
  } else if (Symbol.iterator in bytes) {
    // Without `for await`, which costs a turn of the event loop for each of a tar's many small pieces.
    for (const chunk of bytes) {
      throwIfAborted(signal)
      const wait = writer.add(chunk)
      if (wait !== undefined) await wait
    }
  } else {
    for await (const chunk of bytes) {
      throwIfAborted(signal)
      const wait = writer.add(chunk)
      if (wait !== undefined) await wait
    }
  }
}
