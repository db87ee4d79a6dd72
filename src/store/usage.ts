// `lamella df` as a value: who holds how many bytes, and what could be had back.
import type { Digest } from '../digest.js'
import { walkReachable, type Reached } from './reach.js'
import type { Store } from './store.js'

export interface ImageUsage {
  /** Refs that point at it; empty for an untagged one. */
  readonly names: readonly string[]
  readonly digest: Digest
  /** Blobs that it is made of, its documents and uncompressed twins included. */
  readonly blobs: number
  /** Bytes of all of them. */
  readonly size: number
  /** Bytes that no other image uses. */
  readonly uniqueBytes: number
  readonly sharedBytes: number
  /** Blobs that it names but the store lacks. */
  readonly missing: number
}

export interface UsageCount {
  readonly count: number
  /** Bytes. */
  readonly size: number
}

/** `inImages`, `inDocuments`, `leased`, `cache` and `unreferenced` part the blobs among them: each blob counts where it comes first. */
export interface DiskUsage {
  readonly images: readonly ImageUsage[]
  readonly total: UsageCount
  readonly inImages: UsageCount
  /** Only needed by documents: containers and volumes. */
  readonly inDocuments: UsageCount
  readonly leased: UsageCount
  /** Only kept by the build cache: what pruning all of it and a gc would free. */
  readonly cache: UsageCount
  /** What a gc would free, once it is old enough. */
  readonly unreferenced: UsageCount
}

export interface DiskUsageOptions {
  /** What the build cache and others keep, as in `planGc`. */
  readonly keep?: Iterable<Digest>
}

/** Reads documents and sizes, no layer. A damaged document counts as one without parts. */
export async function diskUsage(store: Store, options: DiskUsageOptions = {}): Promise<DiskUsage> {
  const sizes = new Map<Digest, number>()
  for await (const { digest, size } of store.blobs.list()) sizes.set(digest, size)
  const images = await findImages(store)
  const users = new Map<Digest, number>()
  for (const { reached } of images) {
    for (const digest of reached) users.set(digest, (users.get(digest) ?? 0) + 1)
  }
  const leases = (await store.leases.list()).flatMap(({ digests }) => digests)
  const leased = await reach(store, leases)
  const cached = await reach(store, options.keep ?? [])
  const documents = await reach(
    store,
    (await store.documents.roots()).map(({ digest }) => digest),
  )
  const parts = {
    images: empty(),
    documents: empty(),
    leased: empty(),
    cache: empty(),
    unreferenced: empty(),
  }
  for (const [digest, size] of sizes) {
    const part = users.has(digest)
      ? parts.images
      : documents.has(digest)
        ? parts.documents
        : leased.has(digest)
          ? parts.leased
          : cached.has(digest)
            ? parts.cache
            : parts.unreferenced
    part.count++
    part.size += size
  }
  return {
    images: images.map((image) => usageOf(image, sizes, users)),
    total: { count: sizes.size, size: [...sizes.values()].reduce((sum, size) => sum + size, 0) },
    inImages: parts.images,
    inDocuments: parts.documents,
    leased: parts.leased,
    cache: parts.cache,
    unreferenced: parts.unreferenced,
  }
}

interface Image {
  readonly names: readonly string[]
  readonly digest: Digest
  readonly reached: ReadonlySet<Digest>
  readonly missing: number
}

async function findImages(store: Store): Promise<Image[]> {
  const names = new Map<Digest, string[]>()
  for (const { digest } of await store.refs.untagged()) names.set(digest, [])
  for (const { name, target } of await store.refs.list()) {
    names.set(target.digest, [...(names.get(target.digest) ?? []), name])
  }
  const images: Image[] = []
  for (const [digest, own] of names) {
    let missing = 0
    const reached = await reach(store, [digest], (blob) => void (blob.kind === 'part' && missing++))
    images.push({ names: own, digest, reached, missing })
  }
  return images
}

function reach(
  store: Store,
  roots: Iterable<Digest>,
  missing: (blob: Reached) => void = () => undefined,
): Promise<Set<Digest>> {
  return walkReachable(store.blobs, roots, { unreadable: () => undefined, missing })
}

function usageOf(
  { names, digest, reached, missing }: Image,
  sizes: ReadonlyMap<Digest, number>,
  users: ReadonlyMap<Digest, number>,
): ImageUsage {
  let [blobs, size, uniqueBytes] = [0, 0, 0]
  for (const part of reached) {
    const bytes = sizes.get(part)
    if (bytes === undefined) continue
    blobs++
    size += bytes
    if (users.get(part) === 1) uniqueBytes += bytes
  }
  return { names, digest, blobs, size, uniqueBytes, sharedBytes: size - uniqueBytes, missing }
}

function empty(): { count: number; size: number } {
  return { count: 0, size: 0 }
}
