// openDiskStore without its weight: the disk store, and with it everything from `node:`, is loaded when one is opened, so
// that the store room also runs where there is no disk.
import type { DiskStoreOptions } from './disk-store.js'
import type { Store } from './store.js'

/**
 * Opens the store in a folder: an OCI image layout, with what is lamella's in `lamella/`. Reading an existing layout
 * writes nothing into it. Any number of processes may have it open.
 *
 * @param path  with `create` (the default) the folder is made when it is absent, and made a layout when it is empty
 * @throws StoreError STORE_NOT_FOUND    it is absent or empty, and `create` is false
 * @throws StoreError STORE_NOT_OCI      it is something else than a layout
 * @throws StoreError STORE_UNREADABLE   the system refuses (data: errno)
 * @throws StoreError STORE_VERSION      a layout, or a `lamella/`, of a version that we do not know
 */
export async function openDiskStore(path: string, options: DiskStoreOptions = {}): Promise<Store> {
  const { openDiskStoreNow } = await import('./disk-store.js')
  return openDiskStoreNow(path, options)
}
