// An image as BuildKit's exporters `oci` and `docker` write it: the manifest of the chosen media types over layers in the
// chosen compression, an index that carries the names, as one tar or as a folder. lamella's own `save` is archive-save.ts.
// @see moby/buildkit exporter/oci/export.go, exporter/containerimage/writer.go; containerd core/images/archive/exporter.go
import { canonicalJson, describe, MEDIA_TYPES, REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { digestOfUncompressed, hexOf, type Digest } from '../digest.js'
import { throwIfAborted } from '../errors.js'
import {
  compressStream,
  encodeTar,
  openBlob,
  openLayerBlob,
  readBlob,
  type BlobInfo,
  type BlobReader,
  type Compression,
  type Store,
  type TarInput,
} from '../store/index.js'
import type { ImageToSave } from './archive-save.js'
import { readImage, type Image, type ImageLayer } from './image.js'
import { familiarName, fullRefName, parseReference } from './reference.js'
import { encodeManifest } from './spec.js'

/** What an output says of the image that it writes. */
export interface ExportSettings {
  /** Of layers that are stored plain, as all are that a build makes; default `gzip`. */
  readonly compression?: Compression | undefined
  /** Of the compression; its library's default when left out. */
  readonly level?: number | undefined
  /** Also recompress layers that came compressed. */
  readonly force?: boolean | undefined
  /** Default `oci`. */
  readonly mediaTypes?: 'oci' | 'docker' | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
  /** Of the descriptor in `index.json`. */
  readonly descriptorAnnotations?: Readonly<Record<string, string>> | undefined
}

export interface ExportImageOptions extends ExportSettings {
  /** RFC 3339: the descriptor's `org.opencontainers.image.created`. */
  readonly created: string
  readonly signal?: AbortSignal | undefined
}

/** What was written: as its index describes it, without a name. */
export interface ExportedImage {
  readonly descriptor: Descriptor
  readonly configDigest: Digest
  /** Full names: `docker.io/library/app:1`. */
  readonly names: readonly string[]
}

/** A file of the export: its bytes, or a blob's. */
export interface ExportDocument {
  /** In the layout, e.g. `blobs/sha256/…`. */
  readonly path: string
  readonly mode: number
  readonly size: number
  /** In pieces, verified. */
  readonly content: () => Iterable<Uint8Array>
}

/** An image that stands ready to be written. What it needs is shielded from gc until `use` has ended. */
export interface ImageExport extends ExportedImage {
  /** Entries of `index.json`: one for each name, or one without. */
  readonly entries: readonly Descriptor[]
  /** Blobs and `oci-layout`. */
  readonly files: readonly ExportDocument[]
  /**
   * All of it as one tar, members in order of their names, as containerd writes it.
   * @param withDockerManifest  also `manifest.json`, by which `docker load` of before 2024 finds its way
   */
  archive(withDockerManifest: boolean): Generator<Uint8Array>
}

const CREATED = 'org.opencontainers.image.created'
const IMAGE_NAME = 'io.containerd.image.name'
const PIECE_BYTES = 1 << 20

const LAYER_TYPES: Readonly<Record<'oci' | 'docker', Readonly<Record<Compression, string>>>> = {
  oci: { none: MEDIA_TYPES.layer, gzip: MEDIA_TYPES.layerGzip, zstd: MEDIA_TYPES.layerZstd },
  docker: {
    none: MEDIA_TYPES.dockerLayer,
    gzip: MEDIA_TYPES.dockerLayerGzip,
    zstd: MEDIA_TYPES.dockerLayerZstd,
  },
}

/**
 * Prepares an image for writing and hands it to `use`.
 *
 * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH, ImageError as `readImage`, AbortError; what `use` throws
 */
export async function exportImageFiles<T>(
  store: Store,
  { descriptor, names }: ImageToSave,
  options: ExportImageOptions,
  use: (image: ImageExport) => Promise<T>,
): Promise<T> {
  const lease = await store.leases.create()
  try {
    const image = await readImage(store.blobs, descriptor)
    return await use(await prepare(store, image, names, options, lease.id))
  } finally {
    await store.leases.release(lease.id)
  }
}

async function prepare(
  store: Store,
  image: Image,
  names: readonly string[],
  options: ExportImageOptions,
  lease: string,
): Promise<ImageExport> {
  // As in BuildKit: Docker's media types know no annotations of descriptors.
  const isOci = Object.keys(options.descriptorAnnotations ?? {}).length > 0
  const kind = isOci ? 'oci' : (options.mediaTypes ?? 'oci')
  const layers: Descriptor[] = []
  for (const layer of image.layers) layers.push(await prepareLayer(store, layer, kind, options, lease))
  const config = {
    ...image.manifest.config,
    mediaType: kind === 'oci' ? MEDIA_TYPES.config : MEDIA_TYPES.dockerConfig,
  }
  const mediaType = kind === 'oci' ? MEDIA_TYPES.manifest : MEDIA_TYPES.dockerManifest
  const annotations = sorted({ ...image.manifest.annotations, ...options.annotations })
  const bytes = encodeManifest({
    schemaVersion: 2,
    mediaType,
    config,
    layers,
    ...(annotations === undefined ? {} : { annotations }),
  })
  const { os, architecture, variant } = image.config
  const manifest = describe(mediaType, bytes)
  const own = { [CREATED]: options.created, ...options.descriptorAnnotations }
  const platform = { architecture, os, ...(variant === undefined ? {} : { variant }) }
  const descriptor: Descriptor = { ...manifest, annotations: sorted(own)!, platform }
  const full = names.map(fullRefName)
  const blobs = new Map<Digest, BlobReader | Uint8Array>([[manifest.digest, bytes]])
  blobs.set(config.digest, await readBlob(store.blobs, config.digest))
  for (const { digest } of layers) blobs.set(digest, await openBlob(store.blobs, digest))
  const files = [
    ...[...blobs].map(([digest, blob]) => fileOf(blobPath(digest), blob)),
    fileOf('oci-layout', canonicalJson({ imageLayoutVersion: '1.0.0' })),
  ]
  const entries =
    full.length === 0
      ? [descriptor]
      : full.map((name) => ({
          ...descriptor,
          annotations: sorted({ ...own, [IMAGE_NAME]: name, [REF_NAME_ANNOTATION]: tagOf(name) })!,
        }))
  return {
    descriptor,
    configDigest: config.digest,
    names: full,
    entries,
    files,
    archive: (withDockerManifest) => {
      const more = [fileOf('index.json', encodeIndex(entries), 0o644)]
      if (withDockerManifest)
        more.push(fileOf('manifest.json', dockerManifest(config.digest, layers, full), 0o644))
      return encodeTar(membersOf([...files, ...more]))
    },
  }
}

/** `index.json` as BuildKit writes it. */
export function encodeIndex(manifests: readonly Descriptor[]): Uint8Array {
  return canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })
}

async function prepareLayer(
  store: Store,
  layer: ImageLayer,
  kind: 'oci' | 'docker',
  options: ExportImageOptions,
  lease: string,
): Promise<Descriptor> {
  throwIfAborted(options.signal)
  const { descriptor, diffID } = layer
  const { compression = 'gzip', level, signal } = options
  const types = LAYER_TYPES[kind]
  // Docker's form of a manifest has none.
  const annotations = kind === 'oci' ? descriptor.annotations : undefined
  const described = (mediaType: string, { digest, size }: BlobInfo): Descriptor => ({
    mediaType,
    digest,
    size,
    ...(annotations === undefined ? {} : { annotations }),
  })
  const has = compressionOf(descriptor.mediaType)
  if (has !== undefined && options.force !== true) return described(types[has], descriptor)
  const plain = await openLayerBlob(store, descriptor, diffID)
  if (compression === 'none')
    return described(types.none, { digest: digestOfUncompressed(diffID), size: plain.size })
  const blob = await store.blobs.put(compressStream(piecesOf(plain), compression, level), undefined, {
    signal,
  })
  await store.leases.add(lease, [blob.digest])
  return described(types[compression], blob)
}

/** Of a layer that is stored compressed. */
function compressionOf(mediaType: string): 'gzip' | 'zstd' | undefined {
  if (/[+.]gzip$/.test(mediaType)) return 'gzip'
  return /[+.]zstd$/.test(mediaType) ? 'zstd' : undefined
}

function dockerManifest(config: Digest, layers: readonly Descriptor[], names: readonly string[]): Uint8Array {
  const tags = names.map((name) => familiarName(parseReference(name)))
  const paths = layers.map(({ digest }) => blobPath(digest))
  // Go's null of an empty list.
  return canonicalJson([
    {
      Config: blobPath(config),
      RepoTags: tags.length === 0 ? null : tags,
      Layers: paths.length === 0 ? null : paths,
    },
  ])
}

/** What follows the name: `1` of `app:1`, `@sha256:…` where there is no tag. @see containerd pkg/reference */
function tagOf(name: string): string {
  const { tag, digest } = parseReference(name)
  return (tag ?? '') + (digest === undefined ? '' : `@${digest}`)
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`
}

function sorted(fields: Readonly<Record<string, string>>): Readonly<Record<string, string>> | undefined {
  const names = Object.keys(fields).toSorted()
  return names.length === 0 ? undefined : Object.fromEntries(names.map((name) => [name, fields[name]!]))
}

function fileOf(path: string, from: BlobReader | Uint8Array, mode = 0o444): ExportDocument {
  return from instanceof Uint8Array
    ? { path, mode, size: from.byteLength, content: () => [from] }
    : { path, mode, size: from.size, content: () => piecesOf(from) }
}

function* piecesOf(blob: BlobReader): Generator<Uint8Array> {
  for (let at = 0; at < blob.size; at += PIECE_BYTES)
    yield blob.read(at, Math.min(PIECE_BYTES, blob.size - at))
}

const OF_ROOT = { uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0 } as const

function* membersOf(files: readonly ExportDocument[]): Generator<TarInput> {
  for (const path of ['blobs', 'blobs/sha256']) yield { kind: 'dir', path, mode: 0o755, ...OF_ROOT }
  for (const { path, mode, size, content } of files.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    yield { kind: 'file', path, mode, size, content: content(), ...OF_ROOT }
}
