// Reading images out of archives: docker save in all its forms and OCI archives, plain, gzip or zstd. One pass over the
// stream: what is large goes into the blob store as it comes, because manifests tend to stand last.
//
// Known forms of docker save:
//   before 1.10    `repositories` and `<id>/{json,VERSION,layer.tar}`, parents linked by the `json` files
//   1.10 to 24     `manifest.json`, `<hex>.json`, `<id>/layer.tar`; a layer that repeats is a symlink to the first
//   25 and later   `manifest.json` over an OCI layout with `blobs/sha256/<hex>`
import { REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { digestOf, type Digest } from '../digest.js'
import { ImageError } from '../errors.js'
import { normalizePath } from '../path.js'
import { leasedBlobs, type Store } from '../store/index.js'
import { legacyImages, type Found } from './archive-legacy.js'
import { documentOf, invalid, layerOf, parseJson, readMembers, type Members } from './archive-members.js'
import { checkImages, layersAreTars, type LayerCheck } from './check-layers.js'
import { childrenOf, writeImage, type Image, type ImageLayer } from './image.js'
import { refNameOf } from './reference.js'
import { isIndexType, isManifestType, parseConfig, parseIndex, type ImageConfig } from './spec.js'

export interface LoadOptions {
  /** Name for an image that the archive does not name. */
  readonly tag?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Called as bytes of the archive are consumed. */
  readonly onProgress?: ((bytes: number) => void) | undefined
  /**
   * What the layers of each image must stand before a name points at it. Default: each unpacks to what its diffID names,
   * and is a tar. `none`: only the bytes as stored are verified.
   */
  readonly checkLayers?: 'none' | LayerCheck | undefined
}

export interface LoadedImage {
  readonly descriptor: Descriptor
  /** Refs that point at it now. */
  readonly names: readonly string[]
}

/**
 * Loads every image of an archive and sets its refs. The bytes of all layers are verified against the documents that name
 * them, and opened as layers; refs are set last, so that a load that fails leaves no half image behind a name.
 *
 * @param bytes  the archive, chunked anyhow
 * @throws ImageError ARCHIVE_INVALID | IMAGE_INVALID, naming the member or field
 * @throws StoreError DIGEST_MISMATCH when a blob is not what its name says, or a layer not what its diffID says
 * @throws LayerError when a layer cannot be read
 */
export async function loadArchive(
  store: Store,
  bytes: AsyncIterable<Uint8Array>,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  const lease = await store.leases.create()
  const hold = (digests: readonly Digest[]) => store.leases.add(lease.id, digests)
  const shielded: Store = { ...store, blobs: leasedBlobs(store.blobs, hold) }
  try {
    const found = await findImages(shielded, await readMembers(shielded, bytes, lease.id, options))
    const { checkLayers = layersAreTars } = options
    if (checkLayers !== 'none') {
      for (const { descriptor } of found) await checkImages(shielded, descriptor, checkLayers)
    }
    const loaded: LoadedImage[] = []
    for (const { descriptor, names } of found) {
      const all = names.length === 0 && options.tag !== undefined ? [options.tag] : names
      const refs = [...new Set(all.map(refNameOrText))]
      for (const ref of refs) await store.refs.set(ref, descriptor)
      loaded.push({ descriptor, names: refs })
    }
    return loaded
  } finally {
    await store.leases.release(lease.id)
  }
}

/** A layout may name an image by what is no reference, such as a bare version: the name is kept as it is. */
function refNameOrText(text: string): string {
  try {
    return refNameOf(text)
  } catch {
    return text
  }
}

async function findImages(store: Store, members: Members): Promise<Found[]> {
  if (members.has('manifest.json')) return dockerImages(store, members)
  if (members.has('index.json')) return ociImages(store, members)
  if (members.has('repositories')) return legacyImages(store, members)
  throw invalid('the archive has none of manifest.json, index.json and repositories: not an image archive')
}

// ---- docker save, 1.10 and later ----

interface DockerManifestEntry {
  readonly config: string
  readonly tags: readonly string[]
  readonly layers: readonly string[]
}

function dockerManifest(bytes: Uint8Array): DockerManifestEntry[] {
  const list = parseJson(bytes, 'manifest.json')
  if (!Array.isArray(list)) throw invalid('expected an array', 'manifest.json')
  return list.map((item: unknown, i) => {
    const { Config, RepoTags, Layers } = (item ?? {}) as Record<string, unknown>
    const at = `manifest.json[${i}]`
    if (typeof Config !== 'string') throw invalid('Config: expected a string', at)
    return {
      config: Config,
      tags: strings(RepoTags ?? [], `${at}.RepoTags`),
      layers: strings(Layers ?? [], `${at}.Layers`),
    }
  })
}

function strings(value: unknown, at: string): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalid('expected an array of strings', at)
}

async function dockerImages(store: Store, members: Members): Promise<Found[]> {
  const entries = dockerManifest(await documentOf(store, members, 'manifest.json'))
  const found: Found[] = []
  for (const { config: configPath, tags, layers: paths } of entries) {
    const configBytes = await documentOf(store, members, normalizePath(configPath))
    const config = parseConfig(configBytes)
    const diffIDs = config.rootfs.diff_ids
    if (paths.length !== diffIDs.length) {
      throw new ImageError(
        'IMAGE_INVALID',
        `${configPath}: ${diffIDs.length} diff_ids for ${paths.length} layers`,
        {
          data: { field: 'config.rootfs.diff_ids' },
        },
      )
    }
    const layers: ImageLayer[] = []
    for (const [i, path] of paths.entries())
      layers.push(await layerOf(store, members, normalizePath(path), diffIDs[i]!))
    found.push({
      descriptor: (await keepImage(store, members, config, configBytes, layers)).descriptor,
      names: tags,
    })
  }
  return found
}

/** Where the archive holds the image's own manifest (Docker 25), that one is kept; else one is made over the config's bytes. */
async function keepImage(
  store: Store,
  members: Members,
  config: ImageConfig,
  configBytes: Uint8Array,
  layers: readonly ImageLayer[],
): Promise<Pick<Image, 'descriptor'>> {
  const digest = digestOf(configBytes)
  if (members.has('index.json')) {
    for (const { descriptor } of await ociImages(store, members)) {
      if (!isManifestType(descriptor.mediaType)) continue
      const [own] = await childrenOf(store.blobs, descriptor)
      if (own?.digest === digest) return { descriptor }
    }
  }
  return writeImage(store.blobs, { config, configBytes, layers })
}

// ---- OCI archives ----

async function ociImages(store: Store, members: Members): Promise<Found[]> {
  const { manifests } = parseIndex(await documentOf(store, members, 'index.json'))
  if (manifests.length === 0) throw invalid('no manifests', 'index.json')
  const found: Found[] = []
  for (const entry of manifests) {
    await checkWhole(store, entry)
    const { annotations, ...rest } = entry
    const name = annotations?.['io.containerd.image.name'] ?? annotations?.[REF_NAME_ANNOTATION]
    found.push({ descriptor: rest, names: name === undefined ? [] : [name] })
  }
  return found
}

const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/

/** An index of several platforms may come without some of its images, as `docker save --platform` writes it. */
async function checkWhole(store: Store, descriptor: Descriptor): Promise<void> {
  if (SCHEMA_1.test(descriptor.mediaType)) {
    throw new ImageError(
      'IMAGE_INVALID',
      `${descriptor.digest}: a manifest of Docker's schema 1, which has no config`,
      {
        data: { field: 'mediaType' },
      },
    )
  }
  const info = await store.blobs.stat(descriptor.digest)
  if (info === undefined) throw invalid(`blob ${descriptor.digest} is missing from the archive`, 'index.json')
  if (info.size !== descriptor.size) {
    throw new ImageError(
      'IMAGE_INVALID',
      `${descriptor.digest}: ${info.size} bytes, its descriptor says ${descriptor.size}`,
    )
  }
  const children = await childrenOf(store.blobs, descriptor)
  const isIndex = isIndexType(descriptor.mediaType)
  let present = 0
  for (const child of children) {
    const isThere = (await store.blobs.stat(child.digest)) !== undefined
    if (!isThere && isIndex) continue
    await checkWhole(store, child)
    present++
  }
  if (isIndex && present === 0)
    throw invalid(`index ${descriptor.digest} has none of its images`, 'index.json')
}
