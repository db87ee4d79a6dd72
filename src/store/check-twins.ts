// Which damaged blobs can be made again: uncompressed forms of layers whose compressed blob is there and sound.
import type { Digest } from '../digest.js'
import { readBlob, type BlobInfo } from './blobs.js'
import { referencesOf, walkReachable, type Reference } from './reach.js'
import { StoreError } from '../errors.js'
import type { Store } from './store.js'

/** @returns the digests among `damaged` that `openLayerBlob` would make again */
export async function planDamaged(store: Store, damaged: readonly BlobInfo[]): Promise<ReadonlySet<Digest>> {
  const bad = new Set(damaged.map(({ digest }) => digest))
  const rebuildable = new Set<Digest>()
  if (bad.size === 0) return rebuildable
  for await (const { digest, mediaType } of manifestsIn(store)) {
    const parts = await references(store, { digest, mediaType })
    const config = parts[0]
    if (config === undefined || bad.has(config.digest)) continue
    // A manifest's layers and its config's diffIDs are in the same order. @see OCI image-spec v1.1 config.md § rootfs
    const twins = (await references(store, config)).filter(({ kind }) => kind === 'twin')
    for (const [i, twin] of twins.entries()) {
      const layer = parts[i + 1]
      if (layer === undefined || layer.digest === twin.digest || bad.has(layer.digest)) continue
      if (bad.has(twin.digest) && (await store.blobs.stat(layer.digest)) !== undefined) {
        rebuildable.add(twin.digest)
      }
    }
  }
  return rebuildable
}

async function* manifestsIn(store: Store): AsyncGenerator<{ digest: Digest; mediaType: string | undefined }> {
  const manifests: { digest: Digest; mediaType: string | undefined }[] = []
  const roots = await store.refs.list().catch(() => [])
  await walkReachable(
    store.blobs,
    roots.map(({ target }) => target),
    {
      unreadable: () => undefined,
      found: ({ digest, mediaType }) => void (isManifest(mediaType) && manifests.push({ digest, mediaType })),
    },
  )
  yield* manifests
}

function isManifest(mediaType: string | undefined): boolean {
  return mediaType !== undefined && /\.manifest\.v\d\+json$/.test(mediaType)
}

async function references(
  store: Store,
  { digest, mediaType }: Pick<Reference, 'digest' | 'mediaType'>,
): Promise<Reference[]> {
  try {
    return referencesOf(await readBlob(store.blobs, digest), { digest, mediaType })
  } catch (error) {
    if (error instanceof StoreError) return []
    throw error
  }
}
