// Build caches as files and in images: `type=local` folders (an OCI layout whose tag `latest` is the cache) and
// `type=inline` records in an image's config. Effect: reads and writes the host's disk.
// @see moby/buildkit cache/remotecache/{export,import}.go, remotecache/local
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalJson, describe, MEDIA_TYPES, REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { digestOf, hexOf, isDigest, type Digest } from '../digest.js'
import { BuildError } from '../errors.js'
import type { Image } from '../oci/index.js'
import { openDiskStore, type Store } from '../store/index.js'
import type { CacheImport, CacheStore, KeyId } from './cache.js'
import {
  CACHE_CONFIG_TYPE,
  exportCacheConfig,
  inlineRecords,
  type CacheExport,
  type ExportOptions,
} from './cache-config.js'
import { importCacheConfig, layerOfDescriptor } from './cache-import.js'
import type { LayerRef } from './vertex.js'

/** Name of the cache in a folder, unless another is given. */
const TAG = 'latest'
/** Field of an image's config that holds inline records, base64. */
export const INLINE_CACHE_FIELD = 'moby.buildkit.cache.v0'
const UNCOMPRESSED = 'containerd.io/uncompressed'

export interface LocalExportOptions extends ExportOptions {
  readonly tag?: string | undefined
}

/**
 * Writes what leads to some keys as a `type=local` cache. A folder that is there keeps what it has; its tag moves.
 *
 * @param dest  folder; an OCI layout afterwards
 * @returns     descriptor of the cache's manifest; `undefined` when there is no layer to keep, and nothing was written
 * @throws StoreError STORE_NOT_OCI when `dest` is something else already
 */
export async function exportLocalCache(
  store: Store,
  cache: CacheStore,
  keys: readonly KeyId[],
  dest: string,
  options: LocalExportOptions,
): Promise<Descriptor | undefined> {
  const { config, layers } = await exportCacheConfig(cache, keys, options)
  if (layers.length === 0) return undefined
  const target = await openDiskStore(dest, { durability: 'none' })
  try {
    return await writeCache(store, target, { config, layers }, options.tag ?? TAG)
  } finally {
    await target.close()
  }
}

async function writeCache(store: Store, target: Store, cache: CacheExport, tag: string): Promise<Descriptor> {
  for (const { descriptor } of cache.layers) {
    const { digest, size } = descriptor
    if ((await target.blobs.stat(digest)) === undefined) {
      await target.blobs.put(store.blobs.get(digest), { digest, size })
    }
  }
  const config = canonicalJson(cache.config)
  await target.blobs.put(config)
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: describe(CACHE_CONFIG_TYPE, config),
    layers: cache.layers.map(manifestLayer),
  })
  await target.blobs.put(manifest)
  const descriptor = describe(MEDIA_TYPES.manifest, manifest)
  await target.refs.set(tag, descriptor)
  return descriptor
}

function manifestLayer({ descriptor, diffID }: LayerRef): Descriptor {
  const { mediaType, digest, size, annotations } = descriptor
  const created = annotations?.['buildkit/createdat']
  const own = { ...(created !== undefined && { 'buildkit/createdat': created }), [UNCOMPRESSED]: diffID }
  return { mediaType, digest, size, annotations: own }
}

/**
 * A `type=local` cache as BuildKit or `exportLocalCache` wrote it. Layers are read when they are needed, and verified then.
 *
 * @throws BuildError CACHE_IMPORT_INVALID when there is no cache of that tag, or it is not what its digests say
 */
export async function importLocalCache(
  folder: string,
  options: { readonly tag?: string | undefined } = {},
): Promise<CacheImport> {
  const files = new LayoutFiles(folder)
  const index = await files.json(await files.file('index.json'))
  const tag = options.tag ?? TAG
  const wanted = descriptorsOf(index).find(({ annotations }) => annotations?.[REF_NAME_ANNOTATION] === tag)
  if (wanted === undefined) throw invalid(`${folder} has no cache named ${tag}`)
  const manifest = await files.json(await files.blob(wanted))
  const { config, layers } = partsOf(manifest)
  if (config === undefined) throw invalid(`${folder}: ${tag} is no build cache`)
  const refs = layers.map(layerOfDescriptor).filter((layer) => layer !== undefined)
  return importCacheConfig(await files.json(await files.blob(config)), {
    layers: new Map(refs.map((layer) => [layer.descriptor.digest, layer])),
    read: (descriptor) => files.stream(descriptor),
  })
}

/** A cache is a manifest whose config it is, or, in the older form, an index that lists it among the layers. */
function partsOf(manifest: unknown): {
  readonly config: Descriptor | undefined
  readonly layers: Descriptor[]
} {
  const { config, layers } = manifest as { config?: Descriptor; layers?: unknown }
  if (config?.mediaType === CACHE_CONFIG_TYPE) return { config, layers: Array.isArray(layers) ? layers : [] }
  const listed = descriptorsOf(manifest)
  return {
    config: listed.find(({ mediaType }) => mediaType === CACHE_CONFIG_TYPE),
    layers: listed.filter(({ mediaType }) => mediaType !== CACHE_CONFIG_TYPE),
  }
}

function descriptorsOf(index: unknown): Descriptor[] {
  const { manifests } = (index ?? {}) as { manifests?: unknown }
  if (!Array.isArray(manifests)) return []
  return (manifests as Descriptor[]).filter(({ digest }) => isDigest(String(digest)))
}

class LayoutFiles {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async file(name: string): Promise<Uint8Array> {
    try {
      return await readFile(join(this.#folder, name))
    } catch (cause) {
      throw invalid(`cannot read ${join(this.#folder, name)}`, cause)
    }
  }

  async blob({ digest }: Descriptor): Promise<Uint8Array> {
    if (!isDigest(String(digest))) throw invalid(`digest ${JSON.stringify(digest)}`)
    const bytes = await this.file(pathOf(digest))
    if (digestOf(bytes) !== digest) throw invalid(`blob ${digest} is damaged`)
    return bytes
  }

  async json(bytes: Uint8Array): Promise<unknown> {
    try {
      return JSON.parse(new TextDecoder().decode(bytes))
    } catch (cause) {
      throw invalid('not JSON', cause)
    }
  }

  /** Not verified here: the store that takes the bytes does it. */
  async *stream({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
    yield* createReadStream(join(this.#folder, pathOf(digest)), { highWaterMark: 1 << 20 })
  }
}

function pathOf(digest: Digest): string {
  return join('blobs', 'sha256', hexOf(digest))
}

function invalid(what: string, cause?: unknown): BuildError {
  return new BuildError('CACHE_IMPORT_INVALID', `invalid build cache: ${what}`, { data: { what }, cause })
}

/**
 * The value for an image config's `moby.buildkit.cache.v0`: what led to the image, as base64, with the image's own layers.
 * @returns `undefined` when there is nothing to say
 */
export async function inlineCache(
  cache: CacheStore,
  keys: readonly KeyId[],
  image: readonly Digest[],
): Promise<string | undefined> {
  const records = inlineRecords(
    await exportCacheConfig(cache, keys, { mode: 'min', skipLazyMerges: true }),
    image,
  )
  return records === undefined ? undefined : Buffer.from(canonicalJson(records)).toString('base64')
}

/**
 * The inline cache of an image in a store.
 *
 * @param configBytes  the config blob, because its type leaves out fields that the spec does not know
 * @returns `undefined` when the image has none
 * @throws BuildError CACHE_IMPORT_INVALID
 */
export function importInlineCache(
  store: Store,
  image: Image,
  configBytes: Uint8Array,
): CacheImport | undefined {
  const config = JSON.parse(new TextDecoder().decode(configBytes)) as Record<string, unknown>
  const field = config[INLINE_CACHE_FIELD]
  if (typeof field !== 'string') return undefined
  let records: unknown
  try {
    records = JSON.parse(Buffer.from(field, 'base64').toString('utf8'))
  } catch (cause) {
    throw invalid('the inline records are not JSON', cause)
  }
  return importCacheConfig(records, {
    image: image.layers,
    layers: new Map(image.layers.map((layer) => [layer.descriptor.digest, layer])),
    read: ({ digest }) => store.blobs.get(digest),
  })
}
