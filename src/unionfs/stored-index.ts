// Layer indexes as sidecars of a store: found, made where they are missing or damaged, kept.
import { hexOf, type DiffID } from '../digest.js'
import type { BlobReader, Store } from '../store/index.js'
import { contentSourceOf } from './layer-codec.js'
import type { Xxh64 } from './layer-index-format.js'
import { decodeLayerIndex, type IndexReader } from './layer-index.js'
import { indexTar } from './layer-indexer.js'

/** Sidecar kind of layer indexes; their key is the diffID's hex digits. */
const INDEX_KIND = 'layer-index'

/** A layer's changeset by its index; a missing or damaged index is made anew. */
export async function readIndexed(store: Store, diffID: DiffID, archive: BlobReader): Promise<IndexReader> {
  const xxh64 = await loadXxh64()
  const options = { source: contentSourceOf(archive), origin: { diffID }, xxh64 }
  const stored = store.sidecars.get(INDEX_KIND, hexOf(diffID))
  const known = stored === undefined ? undefined : decodeLayerIndex(stored, options)
  if (known !== undefined) return known
  const bytes = indexTar(archive, xxh64)
  await keepIndex(store, diffID, bytes)
  return decodeLayerIndex(bytes, options)!
}

/** A store whose sidecars cannot be written is no less readable; the index is made again next time. */
export async function keepIndex(store: Store, diffID: DiffID, index: Uint8Array): Promise<void> {
  await store.sidecars.put(INDEX_KIND, hexOf(diffID), index).catch(() => undefined)
}

let xxh64Loading: Promise<Xxh64> | undefined

export function loadXxh64(): Promise<Xxh64> {
  return (xxh64Loading ??= import('xxhash-wasm').then(async ({ default: xxhash }) => (await xxhash()).h64Raw))
}
