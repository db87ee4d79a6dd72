// OCI layout folders as sources of images. A layout is a store (store/disk-store.ts), so that reading one is opening it.
import type { Store } from '../store/index.js'
import type { LoadedImage } from './archive-load.js'
import { copyImage } from './image.js'

/**
 * Copies the images of another store, all refs or the named ones, and sets the same refs.
 *
 * @throws ImageError IMAGE_INVALID, StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH; refs are set per image, after its blobs
 */
export async function loadLayout(
  store: Store,
  layout: Store,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<LoadedImage[]> {
  const lease = await store.leases.create()
  try {
    const loaded = new Map<string, { descriptor: LoadedImage['descriptor']; names: string[] }>()
    for (const { name, target } of await layout.refs.list()) {
      await store.leases.add(lease.id, [target.digest])
      await copyImage(layout.blobs, store.blobs, target, options)
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
