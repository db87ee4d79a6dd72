// The BlobStore contract and what every implementation gets for free from it. Implementations: memory.ts, disk.ts.
import { digestOf, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'

/**
 * A whole blob, chunked anyhow. It is read once and never kept: a source may reuse a chunk's memory as soon as it is asked for
 * the next chunk.
 */
export type BlobBytes = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** What a descriptor promises; checked before the blob becomes visible. */
export interface Expectation {
  readonly digest?: Digest | undefined
  /** Bytes. */
  readonly size?: number | undefined
}

export interface BlobInfo {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  /**
   * When a `put` last brought these bytes, in milliseconds since the epoch, give or take ten minutes; gc spares young
   * blobs. Only `stat` and `list` tell it, and only in stores that know it.
   */
  readonly addedMs?: number
}

export interface ByteRange {
  /** Bytes from the start; must not be negative. */
  readonly offset: number
  /** Bytes; a range that reaches past the end is cut there. */
  readonly length: number
  /** Of the bytes in the range, where it is known: then they are verified as a whole blob is. */
  readonly digest?: Digest | undefined
  /** False for a glance that must not cost more than it reads, by someone who can bear wrong bytes. Default true. */
  readonly verify?: boolean | undefined
}

/**
 * Immutable bytes by digest.
 *
 * A blob is visible either whole and verified or not at all. All methods may be called concurrently, by any number of
 * instances over the same backing store; two puts of the same bytes both succeed. The five methods `put`, `get`, `stat`,
 * `delete` and `list` are enough to implement; `open` and `read` are optimisations that `openBlob` and `readBlob` derive.
 */
export interface BlobStore {
  /**
   * Adds a blob. Idempotent: success means that the content is stored, not that this call stored it.
   *
   * @throws StoreError DIGEST_MISMATCH | SIZE_MISMATCH; the store is unchanged
   * @throws AbortError when the signal fires; the store is unchanged
   */
  put(
    bytes: BlobBytes,
    expect?: Expectation,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<BlobInfo>

  /**
   * The bytes of a blob. A whole read is verified while it passes: bytes that do not match the digest end in an error,
   * after the last chunk at the latest, never in a silently short or wrong stream.
   *
   * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH | SIZE_MISMATCH, from the iteration
   */
  get(digest: Digest, range?: ByteRange): AsyncIterable<Uint8Array>

  /** Size of a blob, or `undefined` when it is not there. Reads no content. */
  stat(digest: Digest): Promise<BlobInfo | undefined>

  /** Removes a blob. @returns whether it was there; removing an absent blob is no error */
  delete(digest: Digest): Promise<boolean>

  /** All blobs, in no particular order. A blob that is added or removed meanwhile may or may not be seen. */
  list(): AsyncIterable<BlobInfo>

  /**
   * A whole blob in one piece, verified, as `readBlob` derives it from `get`; for stores that have a shorter way.
   * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH | SIZE_MISMATCH
   */
  read?(digest: Digest): Promise<Uint8Array>

  /**
   * Reads a whole blob for nothing but its digest; cheaper than `get`, which must give buffers away.
   * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH
   */
  verify?(digest: Digest): Promise<void>

  /** Random access. See `openBlob`. */
  open?(digest: Digest): Promise<BlobReader>

  /**
   * Continues, or begins, a blob that comes in pieces over a line that may break. What was appended is kept under the
   * name until it is committed or discarded, by whatever process.
   *
   * @param name  chosen by the caller, usually the expected digest
   * @throws StoreError INGEST_BUSY while someone else writes under this name
   */
  ingest?(name: string): Promise<Ingest>
}

/** A blob in the making. Not to be used by two callers at the same time. */
export interface Ingest {
  readonly name: string
  /** Bytes that are there: where the source has to go on. */
  readonly size: number
  /**
   * Adds bytes. When the source fails, what came before is kept.
   * @throws the source's error; AbortError
   */
  append(bytes: BlobBytes, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>
  /**
   * Makes it a blob and ends the ingest. With bytes that are not what was promised it begins anew from nothing.
   * @throws StoreError DIGEST_MISMATCH | SIZE_MISMATCH
   */
  commit(expect?: Expectation): Promise<BlobInfo>
  /** Ends the ingest and forgets its bytes. */
  discard(): Promise<void>
  /** Leaves the ingest for another time. Idempotent. */
  close(): Promise<void>
}

/**
 * Synchronous random access to one blob. Stays readable until the blob is deleted; holds no resource that must be
 * closed (file descriptors are pooled by the store that made it).
 */
export interface BlobReader {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  /**
   * Exactly `length` bytes from `offset`, verified unless the store was told not to. The result may share memory with
   * the store: never write into it.
   *
   * @throws StoreError BLOB_NOT_FOUND when the blob has gone, SIZE_MISMATCH when the range is not within the blob,
   *         DIGEST_MISMATCH when the blob is damaged there, or at all
   */
  read(offset: number, length: number): Uint8Array
  /**
   * As `read`, but when the bytes must be fetched they are put into `room`, which is as long as the range: the result is `room`
   * or shares memory with the store. For long reads, where fresh memory costs more than the bytes. See `readInto`.
   */
  readInto?(room: Uint8Array, offset: number): Uint8Array
}

/** `room.byteLength` bytes from `offset`, in `room` or in memory of the store. @throws as `BlobReader.read` */
export function readInto(reader: BlobReader, room: Uint8Array, offset: number): Uint8Array {
  return reader.readInto?.(room, offset) ?? reader.read(offset, room.byteLength)
}

/**
 * Opens a blob for random access; a store without `open` has it read whole into memory, and so verified.
 * @throws StoreError BLOB_NOT_FOUND
 */
export async function openBlob(store: BlobStore, digest: Digest): Promise<BlobReader> {
  if (store.open !== undefined) return store.open(digest)
  return bytesReader(digest, await readBlob(store, digest))
}

/** The whole blob in one piece, verified. @throws StoreError as `BlobStore.get` */
export async function readBlob(store: BlobStore, digest: Digest): Promise<Uint8Array> {
  return store.read === undefined ? joined(store.get(digest)) : store.read(digest)
}

/** Chunks in one piece. @internal */
export async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of pieces) {
    chunks.push(chunk)
    size += chunk.byteLength
  }
  if (chunks.length === 1) return chunks[0]!
  const out = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.byteLength
  }
  return out
}

/**
 * As `reader.read`, of bytes whose digest is known, as that of a file in a layer is from the layer's index.
 * @throws StoreError DIGEST_MISMATCH when they are others; as `BlobReader.read`
 */
export function readVerified(reader: BlobReader, offset: number, length: number, digest: Digest): Uint8Array {
  const bytes = reader.read(offset, length)
  const actual = digestOf(bytes)
  if (actual === digest) return bytes
  throw new StoreError(
    'DIGEST_MISMATCH',
    `bytes ${offset}+${length} of blob ${reader.digest} have digest ${actual}, expected ${digest}`,
    { data: { blob: reader.digest, offset, length, expected: digest, actual } },
  )
}

/** Re-hashes a blob. @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH */
export async function verifyBlob(store: BlobStore, digest: Digest): Promise<void> {
  if (store.verify !== undefined) return store.verify(digest)
  const chunks = store.get(digest)[Symbol.asyncIterator]()
  while ((await chunks.next()).done !== true);
  return undefined
}

/** A reader over bytes in memory. */
export function bytesReader(digest: Digest, bytes: Uint8Array): BlobReader {
  return {
    digest,
    size: bytes.byteLength,
    read(offset, length) {
      if (offset < 0 || length < 0 || offset + length > bytes.byteLength) {
        throw new StoreError(
          'SIZE_MISMATCH',
          `range ${offset}+${length} is not within blob ${digest} of ${bytes.byteLength} bytes`,
          { data: { digest, offset, length, size: bytes.byteLength } },
        )
      }
      return bytes.subarray(offset, offset + length)
    },
  }
}
