// Layers as blobs: how a tar becomes one, and how any layer becomes readable at random. What is inside the tar is no
// business of this file.
import { MEDIA_TYPES, type Descriptor } from '../descriptor.js'
import { diffIDOfUncompressed, digestOfUncompressed, type DiffID } from '../digest.js'
import { openBlob, type BlobReader } from './blobs.js'
import type { Store } from './store.js'

export interface CommitLayerOptions {
  /** Of an uncompressed layer. Default: OCI's. */
  readonly mediaType?: string
  readonly signal?: AbortSignal | undefined
}

/** Stores an uncompressed tar as a layer: its digest is its diffID. Idempotent. */
export async function commitLayer(
  store: Store,
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: CommitLayerOptions = {},
): Promise<{ descriptor: Descriptor; diffID: DiffID }> {
  const { digest, size } = await store.blobs.put(tar, {}, { signal: options.signal })
  const descriptor = { mediaType: options.mediaType ?? MEDIA_TYPES.layer, digest, size }
  return { descriptor, diffID: diffIDOfUncompressed(digest) }
}

/** Decompressions under way, so that two readers of one layer share one. */
const underWay = new WeakMap<Store, Map<DiffID, Promise<unknown>>>()

export interface OpenLayerOptions {
  /** Refuse layers that unpack to more bytes than this. Default: no limit. */
  readonly sizeMax?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Random access to a layer's uncompressed tar. A compressed layer is decompressed once, into a blob of its own, which
 * stays in the store as long as an image or lease names its diffID.
 *
 * @throws StoreError BLOB_NOT_FOUND; DIGEST_MISMATCH when the tar is not the one that `diffID` names
 * @throws LayerError MEDIA_TYPE_UNSUPPORTED | COMPRESSION_INVALID | LAYER_LIMIT
 */
export async function openLayerBlob(
  store: Store,
  descriptor: Descriptor,
  diffID: DiffID,
  options: OpenLayerOptions = {},
): Promise<BlobReader> {
  const plain = digestOfUncompressed(diffID)
  if (descriptor.digest !== plain && (await store.blobs.stat(plain)) === undefined) {
    await unpackOnce(store, descriptor, diffID, options)
  }
  return openBlob(store.blobs, plain)
}

async function unpackOnce(
  store: Store,
  descriptor: Descriptor,
  diffID: DiffID,
  options: OpenLayerOptions,
): Promise<void> {
  const all = underWay.get(store) ?? new Map<DiffID, Promise<unknown>>()
  underWay.set(store, all)
  let job = all.get(diffID)
  if (job === undefined) {
    job = unpack(store, descriptor, diffID, options).finally(() => void all.delete(diffID))
    all.set(diffID, job)
  }
  await job
}

async function unpack(
  store: Store,
  descriptor: Descriptor,
  diffID: DiffID,
  { sizeMax, signal }: OpenLayerOptions,
): Promise<void> {
  // Loaded here: most stores hold what lamella made, uncompressed.
  const { compressionOf, decompress } = await import('./compress.js')
  const compression = compressionOf(descriptor.mediaType)
  const bytes = decompress(store.blobs.get(descriptor.digest), compression, { sizeMax })
  await store.blobs.put(bytes, { digest: digestOfUncompressed(diffID) }, { signal })
}
