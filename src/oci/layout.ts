// OCI layout folders as sources of images. A layout is a store (store/disk-store.ts), so that reading one is opening it.
import { leasedBlobs, type Store } from '../store/index.js'
import type { LoadedImage, LoadOptions } from './archive-load.js'
import { checkImages, layersAreTars } from './check-layers.js'
import { copyImage } from './image.js'

/**
 * Copies the images of another store, all refs or the named ones, and sets the same refs.
 *
 * @throws ImageError IMAGE_INVALID, StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH, LayerError; refs are set per image, after
 *         its blobs
 */
export async function loadLayout(
  store: Store,
  layout: Store,
  options: Pick<LoadOptions, 'signal' | 'checkLayers'> = {},
): Promise<LoadedImage[]> {
  const { checkLayers = layersAreTars } = options
  const lease = await store.leases.create()
  const blobs = leasedBlobs(store.blobs, (digests) => store.leases.add(lease.id, digests))
  try {
    const loaded = new Map<string, { descriptor: LoadedImage['descriptor']; names: string[] }>()
    for (const { name, target } of await layout.refs.list()) {
      await copyImage(layout.blobs, blobs, target, options)
      if (checkLayers !== 'none') await checkImages({ ...store, blobs }, target, checkLayers)
      await store.refs.set(name, target)
      const known = loaded.get(target.digest)
      if (known === undefined) loaded.set(target.digest, { descriptor: target, names: [name] })
      else known.names.push(name)
    }
    return [...loaded.values()]
  } finally {
    await store.leases.release(lease.id)
  }
}
