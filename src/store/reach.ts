// What is reachable from what: the references that documents make (index → manifest → config and layers → diffIDs), as
// values, and a walk along them. Knows documents by their shape only; src/oci knows what they mean.
// @see OCI image-spec v1.1 image-index.md, manifest.md, config.md
import { MEDIA_TYPES, type Descriptor } from '../descriptor.js'
import { isDigest, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import { readBlob, type BlobStore } from './blobs.js'
import { blobNotFound } from './verify.js'

/** A document of this size is none: go-containerregistry and containerd have the same bound for manifests. */
const DOCUMENT_BYTES_MAX = 4 << 20

/** A reference from one blob to another. */
export interface Reference {
  readonly digest: Digest
  /** As the referring document says; `undefined` where it does not. */
  readonly size: number | undefined
  readonly mediaType: string | undefined
  /** `twin`: the uncompressed form of a compressed layer, which can be made again and may be absent. */
  readonly kind: 'part' | 'twin'
}

/** A blob that was reached. */
export interface Reached extends Reference {
  /** The document that led here first; `undefined` for a root. */
  readonly from: Digest | undefined
}

export interface ReachVisitor {
  /** A reachable blob that is not in the store. */
  missing?(blob: Reached): void
  /** A reachable document that cannot be read. Default: throws it. */
  unreadable?(blob: Reached, error: StoreError): void
  /** Every reachable blob that is there, once. */
  found?(blob: Reached, size: number): void
}

/**
 * Visits all that is reachable from roots, each blob once. Nothing is read but documents, and these verified.
 *
 * @returns all digests that were reached, absent ones included
 * @throws StoreError when a document is damaged and the visitor does not take it: what hangs on it cannot be known
 */
export async function walkReachable(
  blobs: BlobStore,
  roots: Iterable<Descriptor | Digest>,
  visitor: ReachVisitor = {},
): Promise<Set<Digest>> {
  const seen = new Set<Digest>()
  const queue: Reached[] = []
  for (const root of roots) queue.push(rootReference(root))
  for (let blob = queue.pop(); blob !== undefined; blob = queue.pop()) {
    if (seen.has(blob.digest)) continue
    seen.add(blob.digest)
    const info = await blobs.stat(blob.digest)
    if (info === undefined) {
      visitor.missing?.(blob)
      continue
    }
    visitor.found?.(blob, info.size)
    const { digest } = blob
    for (const reference of await readReferences(blobs, blob, info.size, visitor)) {
      queue.push({ ...reference, from: digest })
    }
  }
  return seen
}

/**
 * Whether a blob may be absent though it is referred to: what can be made again, platforms of an index that were never
 * fetched, and layers that must not be distributed. @see OCI image-spec v1.1 image-layout.md § Blobs, layer.md
 */
export function mayBeAbsent({ kind, mediaType = '', from }: Reached): boolean {
  if (kind === 'twin') return true
  return from !== undefined && /manifest|image\.index|nondistributable|\.foreign\./.test(mediaType)
}

/**
 * Makes sure that all that a descriptor needs is in the store; what its documents say is not judged.
 * @throws StoreError BLOB_NOT_FOUND
 */
export async function requireWhole(blobs: BlobStore, target: Descriptor): Promise<void> {
  await walkReachable(blobs, [target], {
    unreadable: () => undefined,
    missing(blob) {
      if (!mayBeAbsent(blob)) throw blobNotFound(blob.digest)
    },
  })
}

function rootReference(root: Descriptor | Digest): Reached {
  if (typeof root === 'string') {
    return { digest: root, size: undefined, mediaType: undefined, kind: 'part', from: undefined }
  }
  const { digest, size, mediaType } = root
  return { digest, size, mediaType, kind: 'part', from: undefined }
}

async function readReferences(
  blobs: BlobStore,
  blob: Reached,
  size: number,
  visitor: ReachVisitor,
): Promise<readonly Reference[]> {
  try {
    const bytes = await readDocument(blobs, blob.digest, size, blob.mediaType)
    return bytes === undefined ? [] : referencesOf(bytes, blob)
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    // Removed since it was looked at, by a gc that knew better.
    if (error.code === 'BLOB_NOT_FOUND') visitor.missing?.(blob)
    else if (visitor.unreadable === undefined) throw error
    else visitor.unreadable(blob, error)
    return []
  }
}

/** Media types whose blobs are documents for certain, and must be readable. */
const DOCUMENTS: ReadonlySet<string> = new Set([
  MEDIA_TYPES.index,
  MEDIA_TYPES.manifest,
  MEDIA_TYPES.config,
  MEDIA_TYPES.dockerManifestList,
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerConfig,
])

/** The bytes of a document; `undefined` for a blob that is none. */
async function readDocument(
  blobs: BlobStore,
  digest: Digest,
  size: number,
  mediaType: string | undefined,
): Promise<Uint8Array | undefined> {
  if (mediaType === undefined || !DOCUMENTS.has(mediaType)) {
    const isLayer = mediaType !== undefined && /\.(layer|rootfs)\./.test(mediaType)
    if (isLayer || size > DOCUMENT_BYTES_MAX || !(await beginsObject(blobs, digest))) return undefined
  }
  if (size > DOCUMENT_BYTES_MAX) {
    throw new StoreError('SIZE_MISMATCH', `the document ${digest} has ${size} bytes, more than 4 MiB`, {
      data: { digest, size },
    })
  }
  return readBlob(blobs, digest)
}

async function beginsObject(blobs: BlobStore, digest: Digest): Promise<boolean> {
  for await (const chunk of blobs.get(digest, { offset: 0, length: 1, verify: false }))
    return chunk[0] === 0x7b
  return false
}

/** Whether a blob is a JSON document: what gc removes before what hangs on it. */
export async function isDocument(blobs: BlobStore, digest: Digest, size: number): Promise<boolean> {
  if (size > DOCUMENT_BYTES_MAX) return false
  try {
    return await beginsObject(blobs, digest)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'BLOB_NOT_FOUND') return false
    throw error
  }
}

interface Shape {
  readonly manifests?: unknown
  readonly config?: unknown
  readonly layers?: unknown
  readonly rootfs?: { readonly diff_ids?: unknown } | null
}

/**
 * What a document refers to: the members of an index, the config and layers of a manifest, the diffIDs of a config.
 * `subject` is no reference here: it points from an attachment to what it is about, which lives without it.
 */
export function referencesOf(bytes: Uint8Array, blob: Pick<Reached, 'digest' | 'mediaType'>): Reference[] {
  let shape: Shape | null
  try {
    shape = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Shape | null
  } catch (cause) {
    if (blob.mediaType === undefined || !DOCUMENTS.has(blob.mediaType)) return []
    throw new StoreError('STORE_UNREADABLE', `the document ${blob.digest} is not JSON`, {
      data: { digest: blob.digest },
      cause,
    })
  }
  if (typeof shape !== 'object' || shape === null) return []
  const out: Reference[] = []
  for (const value of listOf(shape.manifests)) addDescriptor(out, value)
  if (shape.config !== undefined) addDescriptor(out, shape.config)
  for (const value of listOf(shape.layers)) addDescriptor(out, value)
  for (const value of listOf(shape.rootfs?.diff_ids)) {
    if (typeof value === 'string' && isDigest(value)) {
      out.push({ digest: value, size: undefined, mediaType: MEDIA_TYPES.layer, kind: 'twin' })
    }
  }
  return out
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Anything with a digest counts; a config of an image has a `config` too, which has none. */
function addDescriptor(out: Reference[], value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const { digest, size, mediaType } = value as Record<string, unknown>
  if (typeof digest !== 'string' || !isDigest(digest)) return
  out.push({
    digest,
    size: typeof size === 'number' ? size : undefined,
    mediaType: typeof mediaType === 'string' ? mediaType : undefined,
    kind: 'part',
  })
}
