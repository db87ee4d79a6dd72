// Layers that come in: stored and indexed in one pass over their bytes.
import { diffIDOfUncompressed } from '../digest.js'
import { commitLayer, type BlobStore, type CommitLayerOptions, type Store } from '../store/index.js'
import { LayerIndexer } from './layer-indexer.js'
import type { LayerRef } from './open-tree.js'
import { keepIndex, loadXxh64 } from './stored-index.js'

/**
 * Stores an uncompressed tar as a layer and makes its index of the same bytes, while they pass: a layer that comes in is
 * read once. Idempotent.
 *
 * @throws LayerError as `readLayer`, when the tar cannot be read as a layer; the blob is stored then, as by `commitLayer`
 */
export async function ingestLayer(
  store: Store,
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: CommitLayerOptions = {},
): Promise<LayerRef> {
  const indexer = new LayerIndexer()
  const [layer, xxh64] = await Promise.all([commitLayer(store, indexer.pass(tar), options), loadXxh64()])
  await keepIndex(store, layer.diffID, indexer.finish(xxh64))
  return layer
}

/**
 * The same store, in which every stream that is put and turns out to be an uncompressed layer gains its index while it
 * passes: for loads and pulls, which put blobs before they know what they are. Costs what is no tar nothing.
 */
export function indexingStore(store: Store): Store {
  const put: BlobStore['put'] = async (bytes, expect, options) => {
    if (bytes instanceof Uint8Array) return store.blobs.put(bytes, expect, options)
    const indexer = new LayerIndexer()
    const info = await store.blobs.put(indexer.pass(bytes), expect, options)
    if (indexer.isLayer()) {
      const xxh64 = await loadXxh64()
      await keepIndex(store, diffIDOfUncompressed(info.digest), indexer.finish(xxh64))
    }
    return info
  }
  return { ...store, blobs: { ...store.blobs, put } }
}
