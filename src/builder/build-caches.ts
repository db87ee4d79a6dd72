// The caches of a build besides the store's own: what it may look into, and where what it learnt is written. The formats are
// cache-files.ts's, which is loaded only where caches come or go.
import { LamellaError } from '../errors.js'
import { readImage, resolveImage } from '../oci/index.js'
import { readBlob, type Store } from '../store/index.js'
import type { CacheImport, CacheStore, KeyId } from './cache.js'
import type { BuildListener } from './progress.js'
import type { LayerRef } from './vertex.js'

/** A folder that `type=local` wrote, or an image of the store that carries its cache inline. */
export type CacheFrom =
  | { readonly type: 'local'; readonly src: string; readonly tag?: string | undefined }
  | { readonly type: 'inline'; readonly image: string }

/** @see docs/cache.md for what `min` and `max` hold */
export type CacheTo =
  | {
      readonly type: 'local'
      readonly dest: string
      readonly tag?: string | undefined
      /** Default `min`. */
      readonly mode?: 'min' | 'max' | undefined
    }
  | { readonly type: 'inline' }

const cacheFiles = () => import('./cache-files.js')

export async function openCaches(
  store: Store,
  sources: readonly CacheFrom[],
  onEvent: BuildListener | undefined,
): Promise<CacheImport[]> {
  const out: CacheImport[] = []
  for (const source of sources) {
    try {
      const opened = await openCache(store, source)
      if (opened !== undefined) out.push(opened)
    } catch (error) {
      // A cache is a convenience: without it the build takes longer, and that is all.
      if (!(error instanceof LamellaError)) throw error
      onEvent?.({ kind: 'warning', code: error.code, message: error.message, location: undefined })
    }
  }
  return out
}

async function openCache(store: Store, source: CacheFrom): Promise<CacheImport | undefined> {
  const { importInlineCache, importLocalCache } = await cacheFiles()
  if (source.type === 'local') return importLocalCache(source.src, source)
  const image = await readImage(store.blobs, await resolveImage(store, source.image))
  return importInlineCache(store, image, await readBlob(store.blobs, image.manifest.config.digest))
}

export async function inlineCacheOf(
  cache: CacheStore,
  keys: readonly KeyId[],
  layers: readonly LayerRef[],
): Promise<string | undefined> {
  const { inlineCache } = await cacheFiles()
  return inlineCache(
    cache,
    keys,
    layers.map(({ descriptor }) => descriptor.digest),
  )
}

export async function writeCaches(
  store: Store,
  cache: CacheStore,
  keys: readonly KeyId[],
  targets: readonly CacheTo[],
): Promise<void> {
  for (const target of targets) {
    if (target.type === 'inline') continue
    const { exportLocalCache } = await cacheFiles()
    const { dest, tag, mode } = target
    await exportLocalCache(store, cache, keys, dest, { tag, mode: mode ?? 'min' })
  }
}
