// Writing images into archives: docker save's form of today, which is an OCI layout with a `manifest.json` beside it and
// uncompressed layers, and OCI archives. The same images and options give the same bytes.
import { canonicalJson, describe, MEDIA_TYPES, REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { digestOfUncompressed, hexOf, type Digest } from '../digest.js'
import { StoreError, throwIfAborted } from '../errors.js'
import {
  compressStream,
  openBlob,
  openLayerBlob,
  readBlob,
  type BlobInfo,
  type Compression,
  type Store,
} from '../store/index.js'
import { readImage, type Image } from './image.js'
import { encodeManifest } from './spec.js'

export interface SaveOptions {
  readonly format: 'docker-archive' | 'oci-archive'
  /**
   * How layers leave: recompressed to this form. Left out, an OCI archive keeps each layer as it is stored, and a docker
   * archive has them uncompressed, as `docker save` writes them.
   */
  readonly compression?: Compression | undefined
  /** Of the compression; its library's default when left out. */
  readonly level?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((bytes: number) => void) | undefined
}

export interface ImageToSave {
  readonly descriptor: Descriptor
  /** Names under which it is found again; may be none. */
  readonly names: readonly string[]
}

type Member =
  { readonly path: string; readonly bytes: Uint8Array } | { readonly path: string; readonly blob: BlobInfo }

const LAYER_TYPES: Readonly<Record<Compression, string>> = {
  none: MEDIA_TYPES.layer,
  gzip: MEDIA_TYPES.layerGzip,
  zstd: MEDIA_TYPES.layerZstd,
}

/**
 * The bytes of an archive that holds the images. Everything is looked up before the first byte comes; blobs are then
 * streamed one after the other, each once, however many images share it.
 *
 * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH, ImageError as `readImage`
 */
export async function* saveArchive(
  store: Store,
  images: readonly ImageToSave[],
  options: SaveOptions,
): AsyncIterable<Uint8Array> {
  const lease = await store.leases.create()
  try {
    yield* packMembers(store, await planMembers(store, images, options, lease.id), options)
  } finally {
    await store.leases.release(lease.id)
  }
}

/**
 * Copies images into another store, with their refs set last. The target is an OCI layout on disk when it is a disk
 * store, so this is also how a layout folder is written.
 *
 * @param options.compression  as for `saveArchive`; left out, layers are kept as they are stored
 */
export async function saveLayout(
  store: Store,
  images: readonly ImageToSave[],
  target: Store,
  options: Omit<SaveOptions, 'format'> = {},
): Promise<void> {
  const lease = await store.leases.create()
  try {
    const plan = await planImages(store, images, { ...options, format: 'oci-archive' }, lease.id)
    for (const { digest, size } of plan.layers.values()) {
      throwIfAborted(options.signal)
      if ((await target.blobs.stat(digest)) === undefined) {
        await target.blobs.put(store.blobs.get(digest), { digest, size }, { signal: options.signal })
      }
    }
    // Children before parents: configs stand before the manifests that name them.
    for (const [digest, bytes] of plan.documents) await target.blobs.put(bytes, { digest })
    for (const { manifest, names } of plan.images) {
      for (const name of names) await target.refs.set(name, manifest)
    }
  } finally {
    await store.leases.release(lease.id)
  }
}

interface PlannedImage {
  readonly manifest: Descriptor
  readonly image: Image
  readonly layers: readonly Descriptor[]
  readonly names: readonly string[]
}

interface SavePlan {
  /** Configs before the manifests that name them. */
  readonly documents: ReadonlyMap<Digest, Uint8Array>
  /** As they leave: each once, however many images share it. */
  readonly layers: ReadonlyMap<Digest, BlobInfo>
  readonly images: readonly PlannedImage[]
}

async function planImages(
  store: Store,
  images: readonly ImageToSave[],
  options: SaveOptions,
  lease: string,
): Promise<SavePlan> {
  const documents = new Map<Digest, Uint8Array>()
  const layers = new Map<Digest, BlobInfo>()
  const planned: PlannedImage[] = []
  const compression = options.compression ?? (options.format === 'docker-archive' ? 'none' : undefined)
  for (const { descriptor, names } of images) {
    const image = await readImage(store.blobs, descriptor)
    const out: Descriptor[] = []
    for (const layer of image.layers) {
      const prepared = await prepareLayer(store, layer, compression, options, lease)
      layers.set(prepared.digest, await blobInfo(store, prepared.digest))
      out.push(prepared)
    }
    documents.set(image.manifest.config.digest, await readBlob(store.blobs, image.manifest.config.digest))
    const isSame = out.every((layer, i) => layer.digest === image.manifest.layers[i]!.digest)
    const bytes = isSame
      ? await readBlob(store.blobs, image.descriptor.digest)
      : encodeManifest({ ...image.manifest, mediaType: MEDIA_TYPES.manifest, layers: out })
    const manifest = describe(isSame ? image.descriptor.mediaType : MEDIA_TYPES.manifest, bytes)
    documents.set(manifest.digest, bytes)
    planned.push({ manifest, image, layers: out, names })
  }
  return { documents, layers, images: planned }
}

/** All members in the order in which they are written: documents first, so that a reader knows early what comes. */
async function planMembers(
  store: Store,
  images: readonly ImageToSave[],
  options: SaveOptions,
  lease: string,
): Promise<Member[]> {
  const plan = await planImages(store, images, options, lease)
  const manifests = plan.images.flatMap(({ manifest, image, names }) =>
    namedDescriptors(manifest, image, names),
  )
  const members: Member[] = [
    { path: 'oci-layout', bytes: canonicalJson({ imageLayoutVersion: '1.0.0' }) },
    {
      path: 'index.json',
      bytes: canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }),
    },
  ]
  if (options.format === 'docker-archive') members.push(...dockerMembers(plan.images))
  for (const [digest, bytes] of plan.documents) members.push({ path: blobPath(digest), bytes })
  for (const blob of plan.layers.values()) members.push({ path: blobPath(blob.digest), blob })
  return members
}

function dockerMembers(images: readonly PlannedImage[]): Member[] {
  const repositories: Record<string, Record<string, string>> = {}
  for (const { names, layers } of images) {
    for (const name of names) addRepository(repositories, name, layers.at(-1)?.digest)
  }
  const entries = images.map(({ image, names, layers }) => ({
    Config: blobPath(image.manifest.config.digest),
    RepoTags: names,
    Layers: layers.map(({ digest }) => blobPath(digest)),
  }))
  return [
    { path: 'manifest.json', bytes: canonicalJson(entries) },
    { path: 'repositories', bytes: canonicalJson(repositories) },
  ]
}

function namedDescriptors(manifest: Descriptor, image: Image, names: readonly string[]): Descriptor[] {
  const { os, architecture, variant } = image.config
  const platform = { architecture, os, ...(variant === undefined ? {} : { variant }) }
  if (names.length === 0) return [{ ...manifest, platform }]
  return names.map((name) => ({ ...manifest, annotations: { [REF_NAME_ANNOTATION]: name }, platform }))
}

/** `repositories` is what tools older than Docker 1.10 read; those of today ignore it. */
function addRepository(
  out: Record<string, Record<string, string>>,
  name: string,
  top: Digest | undefined,
): void {
  const colon = name.lastIndexOf(':')
  if (top === undefined || colon <= name.lastIndexOf('/')) return
  const repository = name.slice(0, colon)
  out[repository] = { ...out[repository], [name.slice(colon + 1)]: hexOf(top) }
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`
}

async function prepareLayer(
  store: Store,
  layer: Image['layers'][number],
  compression: Compression | undefined,
  options: SaveOptions,
  lease: string,
): Promise<Descriptor> {
  throwIfAborted(options.signal)
  const { descriptor, diffID } = layer
  if (compression === undefined) return descriptor
  const plain = await openLayerBlob(store, descriptor, diffID)
  if (compression === 'none') {
    return { mediaType: LAYER_TYPES.none, digest: digestOfUncompressed(diffID), size: plain.size }
  }
  const compressed = compressStream(bytesOf(store, plain.digest), compression, options.level)
  const { digest, size } = await store.blobs.put(compressed, undefined, { signal: options.signal })
  await store.leases.add(lease, [digest])
  return { mediaType: LAYER_TYPES[compression], digest, size }
}

/** A whole blob, verified while it passes. @throws StoreError DIGEST_MISMATCH, after the last chunk at the latest */
async function* bytesOf(store: Store, digest: Digest): AsyncIterable<Uint8Array> {
  try {
    yield* store.blobs.get(digest)
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'DIGEST_MISMATCH') throw error
    const { data } = error
    throw new StoreError(error.code, `blob ${digest} is damaged: ${error.message}`, { data, cause: error })
  }
}

/** What the store has, whatever a descriptor says. @throws StoreError BLOB_NOT_FOUND */
async function blobInfo(store: Store, digest: Digest): Promise<BlobInfo> {
  const { size } = await openBlob(store.blobs, digest)
  return { digest, size }
}

const FOLDERS = ['blobs', 'blobs/sha256']
const EPOCH = new Date(0)

async function* packMembers(
  store: Store,
  members: readonly Member[],
  options: SaveOptions,
): AsyncIterable<Uint8Array> {
  const { pack } = await import('tar-stream')
  const archive = pack()
  const writing = writeMembers(store, archive, members, options)
  // A failure reaches the reader through the stream; without this it would also be an unhandled rejection.
  writing.catch((error: Error) => archive.destroy(error))
  let written = 0
  for await (const chunk of archive as AsyncIterable<Uint8Array>) {
    written += chunk.byteLength
    options.onProgress?.(written)
    yield chunk
  }
  await writing
}

/** Blobs are verified while they pass: what leaves the store is what its digest says. */
async function writeMembers(
  store: Store,
  archive: import('tar-stream').Pack,
  members: readonly Member[],
  options: SaveOptions,
): Promise<void> {
  for (const path of FOLDERS) archive.entry({ name: path, type: 'directory', mode: 0o755, mtime: EPOCH })
  for (const member of members) {
    const size = 'bytes' in member ? member.bytes.byteLength : member.blob.size
    const entry = archive.entry({ name: member.path, size, mode: 0o444, mtime: EPOCH })
    const done = new Promise<void>((resolve, reject) => {
      entry.on('finish', () => resolve())
      entry.on('error', reject)
    })
    // A blob that turns out to be damaged ends the loop below before anyone waits for this.
    done.catch(() => {})
    for await (const chunk of 'bytes' in member ? [member.bytes] : bytesOf(store, member.blob.digest)) {
      throwIfAborted(options.signal)
      // oxlint-disable-next-line no-loop-func -- one entry at a time: the archive's format knows no other way
      if (!entry.write(chunk)) await new Promise<void>((resolve) => entry.once('drain', () => resolve()))
    }
    entry.end(undefined)
    await done
  }
  archive.finalize()
}
