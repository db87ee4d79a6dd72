// The layers of images that come in, looked into before a name points at them.
import type { Descriptor } from '../descriptor.js'
import { openLayerBlob, scanTar, type Store } from '../store/index.js'
import { childrenOf, readImage, type ImageLayer } from './image.js'
import { isIndexType, isManifestType } from './spec.js'

/** Judges an image's layers, base first. @throws what is wrong with them */
export type LayerCheck = (store: Store, layers: readonly ImageLayer[]) => Promise<unknown>

/** Each layer unpacks to what its diffID names, and is a tar from end to end. @throws StoreError, LayerError */
export const layersAreTars: LayerCheck = async (store, layers) => {
  for (const { descriptor, diffID } of layers) {
    const entries = scanTar(await openLayerBlob(store, descriptor, diffID))
    while (entries.next().done !== true);
  }
}

/** OCI's and Docker's; artifacts have others. */
const IMAGE_CONFIG = /^application\/vnd\.(?:oci\.image\.config|docker\.container\.image)\./

/**
 * Checks the image under a descriptor, or all those of an index that are there. Attestations and other artifacts, whose
 * layers are no file systems, are passed over.
 */
export async function checkImages(store: Store, descriptor: Descriptor, check: LayerCheck): Promise<void> {
  if (isIndexType(descriptor.mediaType)) {
    for (const child of await childrenOf(store.blobs, descriptor)) {
      if ((await store.blobs.stat(child.digest)) !== undefined) await checkImages(store, child, check)
    }
  } else if (isManifestType(descriptor.mediaType)) {
    const [config, ...layers] = await childrenOf(store.blobs, descriptor)
    if (!IMAGE_CONFIG.test(config!.mediaType)) return
    if (!layers.every(({ mediaType }) => /\.(layer|rootfs)\./.test(mediaType))) return
    await check(store, (await readImage(store.blobs, descriptor)).layers)
  }
}
