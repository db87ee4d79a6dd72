// The members of an image archive: read in one pass, large ones into the blob store as they come by, looked up by name
// afterwards, links followed inside the archive.
import { MEDIA_TYPES, type Descriptor } from '../descriptor.js'
import { diffIDOfUncompressed, isDigest, type Digest, type DiffID } from '../digest.js'
import { ImageError, throwIfAborted } from '../errors.js'
import { normalizePath, parentOf } from '../path.js'
import { decompressStream, openLayerBlob, readBlob, sniffCompression, type Store } from '../store/index.js'
import type { ImageLayer } from './image.js'

/** Where an entry's bytes went. */
export type Member =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'blob'; readonly digest: Digest; readonly size: number }
  | { readonly kind: 'link'; readonly target: string }

/** Documents are small; anything above goes to the store as it streams by. */
const DOCUMENT_MAX_BYTES = 4 << 20
/** All documents of one archive together. */
const DOCUMENTS_MAX_BYTES = 64 << 20
const LINK_DEPTH_MAX = 8

/** By path in the form of `normalizePath`. */
export type Members = ReadonlyMap<string, Member>

export interface ReadMembersOptions {
  readonly signal?: AbortSignal | undefined
  /** Called as bytes of the archive are consumed, with their sum. */
  readonly onProgress?: ((bytes: number) => void) | undefined
}

/** @internal */
export function invalid(message: string, member?: string): ImageError {
  return new ImageError('ARCHIVE_INVALID', member === undefined ? message : `${member}: ${message}`, {
    data: { member },
  })
}

/**
 * Reads an archive, plain or compressed.
 *
 * @param lease  that shields what goes into the blob store
 * @throws ImageError ARCHIVE_INVALID, StoreError DIGEST_MISMATCH when a blob is not what its name says
 */
export async function readMembers(
  store: Store,
  bytes: AsyncIterable<Uint8Array>,
  lease: string,
  options: ReadMembersOptions,
): Promise<Members> {
  const { extract } = await import('tar-stream')
  const unpack = extract()
  const feeding = feed(unpack as unknown as Sink, decompressStream(counted(bytes, options)))
  const members = new Map<string, Member>()
  let documentBytes = 0
  try {
    for await (const entry of unpack) {
      const { name, type, size = 0, linkname } = entry.header
      const path = normalizePath(name)
      if (type === 'symlink' || type === 'link') {
        // A symlink is relative to its folder, a hard link to the archive's root.
        const base = type === 'symlink' ? `${parentOf(path)}/` : ''
        members.set(path, { kind: 'link', target: normalizePath(base + (linkname ?? '')) })
        entry.resume()
      } else if (type === 'file' || type === 'contiguous-file') {
        if (size <= DOCUMENT_MAX_BYTES && documentBytes + size <= DOCUMENTS_MAX_BYTES) documentBytes += size
        members.set(
          path,
          await readMember(
            store,
            entry as AsyncIterable<Uint8Array>,
            size,
            documentBytes,
            expectedDigest(path),
            lease,
          ),
        )
      } else entry.resume()
    }
    await feeding
  } catch (error) {
    unpack.destroy()
    await feeding.catch(() => {})
    if (error instanceof Error && 'code' in error) throw error
    throw new ImageError('ARCHIVE_INVALID', 'not a tar archive, or a damaged one', {
      cause: error,
    })
  }
  return members
}

/** Members of an OCI layout are named by what they must be. */
function expectedDigest(path: string): Digest | undefined {
  const match = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path)
  const text = match === null ? '' : `sha256:${match[1]}`
  return isDigest(text) ? text : undefined
}

async function readMember(
  store: Store,
  content: AsyncIterable<Uint8Array>,
  size: number,
  documentBytes: number,
  digest: Digest | undefined,
  lease: string,
): Promise<Member> {
  if (size <= DOCUMENT_MAX_BYTES && documentBytes <= DOCUMENTS_MAX_BYTES && digest === undefined) {
    const bytes = new Uint8Array(size)
    let at = 0
    for await (const chunk of content) {
      bytes.set(chunk, at)
      at += chunk.byteLength
    }
    return { kind: 'bytes', bytes }
  }
  const info = await store.blobs.put(content, digest === undefined ? { size } : { digest, size })
  await store.leases.add(lease, [info.digest])
  return { kind: 'blob', ...info }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  options: ReadMembersOptions,
): AsyncIterable<Uint8Array> {
  let total = 0
  for await (const chunk of bytes) {
    throwIfAborted(options.signal)
    total += chunk.byteLength
    options.onProgress?.(total)
    yield chunk
  }
}

interface Sink {
  readonly destroyed: boolean
  write(chunk: Uint8Array): boolean
  end(): void
  destroy(error?: Error): void
  on(event: 'drain' | 'close', listener: () => void): unknown
  off(event: 'drain' | 'close', listener: () => void): unknown
}

/** Gives a stream its bytes, never more than it takes; a stream that is destroyed ends the source. */
async function feed(sink: Sink, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const chunk of bytes) {
      if (sink.destroyed) return
      if (!sink.write(chunk) && !sink.destroyed) await drained(sink)
    }
    if (!sink.destroyed) sink.end()
  } catch (error) {
    sink.destroy(error as Error)
    throw error
  }
}

function drained(sink: Sink): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      sink.off('drain', done)
      sink.off('close', done)
      resolve()
    }
    sink.on('drain', done)
    sink.on('close', done)
  })
}

function follow(members: Members, path: string): Exclude<Member, { kind: 'link' }> {
  let at = path
  for (let depth = 0; depth < LINK_DEPTH_MAX; depth++) {
    const member = members.get(at)
    if (member === undefined) throw invalid('missing from the archive', path)
    if (member.kind !== 'link') return member
    at = member.target
  }
  throw invalid(`links nested over ${LINK_DEPTH_MAX} deep`, path)
}

/** The bytes of a small member. @throws ImageError ARCHIVE_INVALID when it is missing or large */
export async function documentOf(store: Store, members: Members, path: string): Promise<Uint8Array> {
  const member = follow(members, path)
  if (member.kind === 'bytes') return member.bytes
  if (member.kind === 'blob' && member.size <= DOCUMENT_MAX_BYTES) return readBlob(store.blobs, member.digest)
  throw invalid(`a document of over ${DOCUMENT_MAX_BYTES} bytes`, path)
}

export function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ImageError('ARCHIVE_INVALID', `${path}: not JSON in UTF-8`, { cause, data: { member: path } })
  }
}

/** A layer as a blob of the store, under the media type that its bytes have, with its DiffID checked. */
export async function layerOf(
  store: Store,
  members: Members,
  path: string,
  expected?: DiffID,
): Promise<ImageLayer> {
  const member = follow(members, path)
  const info = member.kind === 'bytes' ? await store.blobs.put(member.bytes) : member
  const head = member.kind === 'bytes' ? member.bytes.subarray(0, 8) : await firstBytes(store, info.digest)
  const compression = await sniffCompression(head)
  const mediaType =
    compression === 'gzip'
      ? MEDIA_TYPES.layerGzip
      : compression === 'zstd'
        ? MEDIA_TYPES.layerZstd
        : MEDIA_TYPES.layer
  const descriptor: Descriptor = { mediaType, digest: info.digest, size: info.size }
  const diffID = compression === 'none' ? diffIDOfUncompressed(info.digest) : expected
  if (diffID === undefined) throw invalid('a compressed layer without a DiffID', path)
  if (expected !== undefined && diffID !== expected) {
    throw new ImageError('IMAGE_INVALID', `${path}: its DiffID is ${diffID}, the config says ${expected}`, {
      data: { member: path, expected, actual: diffID },
    })
  }
  if (compression !== 'none') await openLayerBlob(store, descriptor, diffID)
  return { descriptor, diffID }
}

async function firstBytes(store: Store, digest: Digest): Promise<Uint8Array> {
  for await (const chunk of store.blobs.get(digest, { offset: 0, length: 8 })) return chunk
  return new Uint8Array(0)
}
