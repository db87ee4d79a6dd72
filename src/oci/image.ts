// An image in a store: immutable, read whole, checked. Writing one is idempotent.
import { describe, MEDIA_TYPES, type Descriptor, type Platform } from '../descriptor.js'
import type { DiffID } from '../digest.js'
import { ImageError } from '../errors.js'
import { readBlob, type BlobStore, type Store } from '../store/index.js'
import { familiarName, parseReference, refNameOf } from './reference.js'
import {
  encodeConfig,
  encodeManifest,
  isIndexType,
  isManifestType,
  parseConfig,
  parseIndex,
  parseManifest,
  type ImageConfig,
  type ImageManifest,
} from './spec.js'

export interface ImageLayer {
  readonly descriptor: Descriptor
  readonly diffID: DiffID
}

export interface Image {
  /** Of the manifest. */
  readonly descriptor: Descriptor
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  /** Base first. */
  readonly layers: readonly ImageLayer[]
}

export interface WriteImageOptions {
  readonly config: ImageConfig
  /** The config's own bytes, where it came from elsewhere and its digest, the image's id, is to stay. */
  readonly configBytes?: Uint8Array
  /** Base first; their diffIDs must be those of the config. */
  readonly layers: readonly ImageLayer[]
  readonly annotations?: Readonly<Record<string, string>>
}

const NESTING_MAX = 8

/**
 * Reads an image by the descriptor of its manifest, or of an index, from which the manifest of `platform` is taken.
 *
 * @throws ImageError IMAGE_INVALID when a document is wrong or layers and diffIDs differ in number
 * @throws ImageError PLATFORM_NOT_FOUND when an index has no manifest for the platform
 * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH
 */
export async function readImage(
  blobs: BlobStore,
  descriptor: Descriptor,
  options: { readonly platform?: Platform | undefined } = {},
): Promise<Image> {
  const found = await findManifest(blobs, descriptor, options.platform, 0)
  const manifest = parseManifest(await readBlob(blobs, found.digest))
  const config = parseConfig(await readBlob(blobs, manifest.config.digest))
  const diffIDs = config.rootfs.diff_ids
  if (diffIDs.length !== manifest.layers.length) {
    throw new ImageError(
      'IMAGE_INVALID',
      `image ${found.digest}: ${manifest.layers.length} layers but ${diffIDs.length} diff_ids`,
      { data: { field: 'config.rootfs.diff_ids', digest: found.digest } },
    )
  }
  const layers = manifest.layers.map((layer, i) => ({ descriptor: layer, diffID: diffIDs[i]! }))
  return { descriptor: found, manifest, config, layers }
}

async function findManifest(
  blobs: BlobStore,
  descriptor: Descriptor,
  platform: Platform | undefined,
  depth: number,
): Promise<Descriptor> {
  if (!isIndexType(descriptor.mediaType)) return descriptor
  if (depth === NESTING_MAX) {
    throw new ImageError('IMAGE_INVALID', `index ${descriptor.digest}: nested over ${NESTING_MAX} deep`)
  }
  const { manifests } = parseIndex(await readBlob(blobs, descriptor.digest))
  const images = manifests.filter(({ mediaType }) => isManifestType(mediaType) || isIndexType(mediaType))
  const match =
    platform === undefined
      ? (images.find((entry) => entry.platform?.os === 'linux') ?? images[0])
      : (images.find((entry) => entry.platform !== undefined && platformMatches(entry.platform, platform)) ??
        images.find((entry) => entry.platform === undefined))
  if (match !== undefined) return findManifest(blobs, match, platform, depth + 1)
  const has = images.map((entry) =>
    entry.platform === undefined ? 'unknown' : formatPlatform(entry.platform),
  )
  throw new ImageError(
    'PLATFORM_NOT_FOUND',
    `index ${descriptor.digest} has no image for ${platform === undefined ? 'any platform' : formatPlatform(platform)}; it has ${has.join(', ') || 'none'}`,
    { data: { digest: descriptor.digest, platforms: has } },
  )
}

function variantOf(platform: Platform): string | undefined {
  return platform.variant ?? (platform.architecture === 'arm64' ? 'v8' : undefined)
}

/** A variant that one side leaves out matches any; `arm64` is `arm64/v8`. */
function platformMatches(have: Platform, want: Platform): boolean {
  return (
    have.os === want.os &&
    have.architecture === want.architecture &&
    (variantOf(have) === variantOf(want) || have.variant === undefined || want.variant === undefined)
  )
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')
}

/**
 * Stores a config and a manifest over layers that are in the store already. Idempotent and deterministic: equal input
 * gives the same digest. Sets no ref.
 *
 * @throws ImageError IMAGE_INVALID when the layers are not those of the config
 */
export async function writeImage(blobs: BlobStore, options: WriteImageOptions): Promise<Image> {
  const { config, configBytes, layers, annotations } = options
  const diffIDs = config.rootfs.diff_ids
  if (diffIDs.length !== layers.length || layers.some((layer, i) => layer.diffID !== diffIDs[i])) {
    throw new ImageError('IMAGE_INVALID', 'config.rootfs.diff_ids: expected the diffIDs of the layers', {
      data: { field: 'config.rootfs.diff_ids' },
    })
  }
  const configDescriptor = await putDocument(blobs, MEDIA_TYPES.config, configBytes ?? encodeConfig(config))
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: configDescriptor,
    layers: layers.map((layer) => layer.descriptor),
    ...(annotations === undefined ? {} : { annotations }),
  }
  const descriptor = await putDocument(blobs, MEDIA_TYPES.manifest, encodeManifest(manifest))
  return { descriptor, manifest, config, layers }
}

/** Writes nothing when the document is there, whole: an unchanged rebuild must leave the store untouched. */
async function putDocument(blobs: BlobStore, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = describe(mediaType, bytes)
  if ((await blobs.stat(descriptor.digest))?.size !== descriptor.size) await blobs.put(bytes, descriptor)
  return descriptor
}

/**
 * Finds what a person means by an image's name: a ref, with `:latest` where no tag is given, a digest of a manifest in
 * the store, or the first characters (at least 6) of one that has a ref, or of its config, the image's id; `NAME@{N}` is what a ref pointed at N changes ago.
 *
 * @throws ImageError IMAGE_NOT_FOUND, with the names that are near, REFERENCE_INVALID
 */
export async function resolveImage(store: Store, name: string): Promise<Descriptor> {
  const version = AT_VERSION.exec(name)
  if (version !== null) return formerTarget(store, refNameOf(version[1]!), Number(version[2]))
  const refs = await store.refs.list()
  const exact = refs.find((ref) => ref.name === name)
  if (exact !== undefined) return exact.target
  const byDigest = refs.filter(({ target }) => matchesDigest(target.digest, name))
  if (byDigest.length > 0 && new Set(byDigest.map(({ target }) => target.digest)).size === 1)
    return byDigest[0]!.target
  const reference = parseReference(name)
  const wanted = refNameOf(name)
  const found = refs.find((ref) => ref.name === wanted)
  if (found !== undefined && (reference.digest === undefined || found.target.digest === reference.digest)) {
    return found.target
  }
  if (reference.digest !== undefined) {
    const pinned = refs.find((ref) => ref.target.digest === reference.digest)
    if (pinned !== undefined) return pinned.target
  }
  const byId = await imageOfConfig(store, refs, name)
  if (byId !== undefined) return byId
  throw notFound(familiarName(reference), refs)
}

/** By the digest of its config, which is what Docker calls an image's id, and `lamella build -q` prints. */
async function imageOfConfig(
  store: Store,
  refs: readonly { readonly target: Descriptor }[],
  name: string,
): Promise<Descriptor | undefined> {
  if (!/^sha256:[0-9a-f]{6,64}$|^[0-9a-f]{12,64}$/.test(name)) return undefined
  const found = new Map<string, Descriptor>()
  for (const { target } of refs) {
    if (!isManifestType(target.mediaType)) continue
    const { config } = parseManifest(await readBlob(store.blobs, target.digest))
    if (matchesDigest(config.digest, name)) found.set(target.digest, target)
  }
  return found.size === 1 ? [...found.values()][0] : undefined
}

const AT_VERSION = /^(.+)@\{(\d{1,9})\}$/

/** @throws ImageError IMAGE_NOT_FOUND when the ref has not changed that often, or was not there then */
async function formerTarget(store: Store, name: string, back: number): Promise<Descriptor> {
  const changes = await store.refs.history(name)
  const target = back === 0 ? await store.refs.get(name) : changes[back - 1]?.before
  if (target !== undefined) return target
  throw new ImageError(
    'IMAGE_NOT_FOUND',
    `${name} has no version @{${back}}: it has changed ${changes.length} times`,
    {
      data: { name, changes: changes.length },
    },
  )
}

function matchesDigest(digest: string, name: string): boolean {
  const hex = name.startsWith('sha256:') ? name.slice(7) : name
  return hex.length >= 6 && /^[0-9a-f]+$/.test(hex) && digest.startsWith(`sha256:${hex}`)
}

function notFound(name: string, refs: readonly { readonly name: string }[]): ImageError {
  const names = refs.map((ref) => ref.name)
  const has =
    names.length === 0
      ? 'the store has no images'
      : `the store has ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`
  return new ImageError('IMAGE_NOT_FOUND', `no image ${JSON.stringify(name)}: ${has}`, {
    data: { name, has: names },
  })
}

/**
 * Copies an image (index, manifests, configs, layers) from one blob store to another, children before parents, so that
 * what is visible is always whole. What is there already is not read again.
 *
 * @throws StoreError BLOB_NOT_FOUND | DIGEST_MISMATCH | SIZE_MISMATCH
 */
export async function copyImage(
  from: BlobStore,
  to: BlobStore,
  descriptor: Descriptor,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  for (const child of await childrenOf(from, descriptor)) await copyImage(from, to, child, options)
  if ((await to.stat(descriptor.digest)) !== undefined) return
  await to.put(from.get(descriptor.digest), descriptor, options)
}

/** What a document refers to: manifests of an index; config and layers of a manifest; nothing for anything else. */
export async function childrenOf(blobs: BlobStore, descriptor: Descriptor): Promise<readonly Descriptor[]> {
  if (isIndexType(descriptor.mediaType)) return parseIndex(await readBlob(blobs, descriptor.digest)).manifests
  if (!isManifestType(descriptor.mediaType)) return []
  const { config, layers } = parseManifest(await readBlob(blobs, descriptor.digest))
  return [config, ...layers]
}
