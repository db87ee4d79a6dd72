// Layers and their uncompressed forms: whether a compressed layer unpacks to what its image's config says, and which
// damaged blobs can be made again because it does.
import { diffIDOfUncompressed, type DiffID, type Digest } from '../digest.js'
import { LamellaError, StoreError, throwIfAborted } from '../errors.js'
import { readBlob, type BlobInfo } from './blobs.js'
import type { Problem } from './check.js'
import { referencesOf, walkReachable, type Reference } from './reach.js'
import type { Store } from './store.js'
import { measure } from './verify.js'

/** A layer of an image, by its manifest, and its uncompressed form, by its config. */
interface Pair {
  readonly layer: Reference
  readonly plain: Digest
}

/** @returns the digests among `damaged` that `openLayerBlob` would make again */
export async function planDamaged(store: Store, damaged: readonly BlobInfo[]): Promise<ReadonlySet<Digest>> {
  const bad = new Set(damaged.map(({ digest }) => digest))
  const rebuildable = new Set<Digest>()
  if (bad.size === 0) return rebuildable
  for await (const { layer, plain } of pairsIn(store, bad)) {
    if (layer.digest === plain || bad.has(layer.digest) || !bad.has(plain)) continue
    if ((await store.blobs.stat(layer.digest)) !== undefined) rebuildable.add(plain)
  }
  return rebuildable
}

/** Layers of images that are whole as blobs, but are not what their diffID names; each is unpacked once. */
export async function layerProblems(
  store: Store,
  damaged: readonly BlobInfo[],
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  const bad = new Set(damaged.map(({ digest }) => digest))
  const problems: Problem[] = []
  const seen = new Set<string>()
  for await (const { layer, plain } of pairsIn(store, bad)) {
    throwIfAborted(signal)
    const key = `${layer.digest} ${plain}`
    if (seen.has(key) || layer.digest === plain || bad.has(layer.digest)) continue
    seen.add(key)
    const wrong = await unpackProblem(store, layer, plain)
    if (wrong === undefined) continue
    const message = `layer ${layer.digest} ${wrong}`
    const diffID: DiffID = diffIDOfUncompressed(plain)
    problems.push({ code: 'LAYER_INVALID', severity: 'error', message, digest: layer.digest, diffID })
  }
  return problems
}

async function unpackProblem(store: Store, layer: Reference, plain: Digest): Promise<string | undefined> {
  const { mediaType = '', digest } = layer
  if (!/\.(layer|rootfs)\./.test(mediaType) || (await store.blobs.stat(digest)) === undefined)
    return undefined
  const { compressionOf, decompress } = await import('./compress.js')
  try {
    await measure(decompress(store.blobs.get(digest), compressionOf(mediaType)), { digest: plain })
    return undefined
  } catch (error) {
    if (!(error instanceof LamellaError)) throw error
    if (error.code === 'BLOB_NOT_FOUND' || error.code === 'MEDIA_TYPE_UNSUPPORTED') return undefined
    return error.code === 'DIGEST_MISMATCH'
      ? `does not unpack to ${plain}`
      : `cannot be unpacked: ${error.message}`
  }
}

/** A manifest's layers and its config's diffIDs are in the same order. @see OCI image-spec v1.1 config.md § rootfs */
async function* pairsIn(store: Store, bad: ReadonlySet<Digest>): AsyncGenerator<Pair> {
  for await (const { digest, mediaType } of manifestsIn(store)) {
    const [config, ...layers] = await references(store, { digest, mediaType })
    if (config === undefined || bad.has(config.digest)) continue
    const twins = (await references(store, config)).filter(({ kind }) => kind === 'twin')
    for (const [i, twin] of twins.entries()) {
      const layer = layers[i]
      if (layer !== undefined) yield { layer, plain: twin.digest }
    }
  }
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
