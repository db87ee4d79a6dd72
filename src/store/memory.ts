// BlobStore in memory: the reference implementation, and the default of the tests.
import { createDigester, type Digest } from '../digest.js'
import { StoreError, throwIfAborted } from '../errors.js'
import {
  bytesReader,
  type BlobBytes,
  type BlobInfo,
  type BlobReader,
  type BlobStore,
  type ByteRange,
  type Expectation,
  type Ingest,
} from './blobs.js'
import { blobNotFound, checkExpectation, chunksOf, sizeMismatch, verified } from './verify.js'

interface Held {
  readonly bytes: Uint8Array
  addedMs: number
}

export interface MemoryBlobStoreOptions {
  /** Milliseconds since the epoch. Default: the wall clock. */
  readonly now?: () => number
  /** Awaited before a put of bytes that are already there returns; see `Store.exclusive`. */
  readonly gate?: () => Promise<void>
}

export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<Digest, Held>()
  readonly #ingests = new Map<string, { chunks: Uint8Array[]; busy: boolean }>()
  readonly #now: () => number
  readonly #gate: () => Promise<void>

  constructor(options: MemoryBlobStoreOptions = {}) {
    this.#now = options.now ?? Date.now
    this.#gate = options.gate ?? (() => Promise.resolve())
  }

  async put(
    bytes: BlobBytes,
    expect: Expectation = {},
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<BlobInfo> {
    throwIfAborted(options.signal)
    const parts: Uint8Array[] = []
    const digester = createDigester()
    let size = 0
    for await (const chunk of chunksOf(bytes)) {
      throwIfAborted(options.signal)
      size += chunk.byteLength
      if (expect.size !== undefined && size > expect.size) throw sizeMismatch(expect, size)
      digester.update(chunk)
      // A source may reuse its buffer once it is asked for the next chunk.
      parts.push(chunk.slice())
    }
    const info = { digest: digester.digest(), size }
    checkExpectation(info, expect)
    const held = this.#blobs.get(info.digest)
    if (held !== undefined) {
      held.addedMs = this.#now()
      await this.#gate()
    }
    if (!this.#blobs.has(info.digest)) {
      this.#blobs.set(info.digest, { bytes: concat(parts, size), addedMs: this.#now() })
    }
    return info
  }

  async *get(digest: Digest, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const { bytes } = this.#held(digest)
    if (range === undefined) {
      yield bytes
    } else {
      checkRange(range)
      const part = bytes.subarray(range.offset, range.offset + range.length)
      const chunks = part.byteLength > 0 ? [part] : []
      yield* range.digest === undefined ? chunks : verified(chunks, { digest: range.digest })
    }
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const held = this.#blobs.get(digest)
    return held && { digest, size: held.bytes.byteLength, addedMs: held.addedMs }
  }

  async delete(digest: Digest): Promise<boolean> {
    return this.#blobs.delete(digest)
  }

  async *list(): AsyncGenerator<BlobInfo> {
    for (const [digest, held] of this.#blobs) {
      yield { digest, size: held.bytes.byteLength, addedMs: held.addedMs }
    }
  }

  async open(digest: Digest): Promise<BlobReader> {
    const inner = bytesReader(digest, this.#held(digest).bytes)
    return {
      digest,
      size: inner.size,
      read: (offset, length) => {
        this.#held(digest)
        return inner.read(offset, length)
      },
    }
  }

  async ingest(name: string): Promise<Ingest> {
    const held = this.#ingests.get(name) ?? { chunks: [], busy: false }
    if (held.busy) {
      throw new StoreError('INGEST_BUSY', `someone else is writing ${name}`, { data: { name } })
    }
    held.busy = true
    this.#ingests.set(name, held)
    let isOpen = true
    const close = async () => {
      if (isOpen) held.busy = isOpen = false
    }
    const end = async () => {
      check()
      this.#ingests.delete(name)
      await close()
    }
    const check = () => {
      if (!isOpen) throw new StoreError('STORE_CLOSED', `the ingest ${name} has ended`)
    }
    return {
      name,
      get size() {
        return held.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
      },
      async append(bytes, options) {
        check()
        for await (const chunk of chunksOf(bytes)) {
          throwIfAborted(options?.signal)
          held.chunks.push(chunk.slice())
        }
      },
      commit: async (expect) => {
        await end()
        return this.put(held.chunks, expect)
      },
      discard: end,
      close,
    }
  }

  #held(digest: Digest): Held {
    const held = this.#blobs.get(digest)
    if (held === undefined) throw blobNotFound(digest)
    return held
  }
}

/** @throws RangeError for a negative offset or length */
export function checkRange(range: ByteRange): void {
  if (range.offset < 0 || range.length < 0) {
    throw new RangeError(`byte range ${range.offset}+${range.length} is negative`)
  }
}

function concat(parts: readonly Uint8Array[], size: number): Uint8Array {
  if (parts.length === 1) return parts[0]!
  const out = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
