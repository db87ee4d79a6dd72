// What the build cache holds, as `df`, `prune` and `gc` see it: one value for each record and each cache mount, and the
// blobs that they need.
import { digestOfUncompressed, type Digest } from '../digest.js'
import { readImage } from '../oci/index.js'
import { applyPrune, type CacheRecordInfo, type PrunePlan, type Store } from '../store/index.js'
import { CacheStore, type KeyRecord } from './cache.js'
import { CacheMounts } from './ops/cache-mounts.js'
import { stepNameOf } from './step-memory.js'
import type { LayerRef } from './vertex.js'

const CACHE_MOUNT_PREFIX = 'mount:'

/**
 * The records of the build cache in BuildKit's terms. Keys that only lead to others are `internal`; the size of a record
 * is that of the layers that its step added. A record counts as shared when an image has its top layer.
 *
 * @see moby/buildkit client/diskusage.go
 */
export async function listCacheRecords(store: Store): Promise<CacheRecordInfo[]> {
  const inImages = await layersOfImages(store)
  const records: CacheRecordInfo[] = []
  const cache = new CacheStore(store)
  for (const [id, record] of cache.entries())
    records.push({ ...recordInfo(id, record, inImages), ...describedAs(stepNameOf(cache, id)) })
  for (const { id, key, layer, usedMs } of await new CacheMounts(store).list()) {
    records.push({
      key: CACHE_MOUNT_PREFIX + key,
      size: layer.descriptor.size,
      createdMs: usedMs,
      lastUsedMs: usedMs,
      useCount: 1,
      type: 'exec.cachemount',
      shared: false,
      description: `cache mount ${id}`,
    })
  }
  return records
}

function recordInfo(id: string, record: KeyRecord, inImages: ReadonlySet<string>): CacheRecordInfo {
  const { result } = record
  const parents = record.inputs.flat().map((link) => link.id)
  if (result === undefined) {
    return { key: id, size: 0, lastUsedMs: undefined, useCount: 0, type: 'internal', shared: false, parents }
  }
  const top = result.layers.at(-1)
  return {
    key: id,
    size: result.costBytes,
    lastUsedMs: result.lastUsedMs,
    createdMs: result.createdMs,
    useCount: result.useCount,
    type: 'regular',
    shared: top !== undefined && inImages.has(top.diffID),
    parents,
  }
}

function describedAs(description: string | undefined): Pick<CacheRecordInfo, 'description'> {
  return description === undefined ? {} : { description }
}

async function layersOfImages(store: Store): Promise<Set<string>> {
  const diffIDs = new Set<string>()
  for (const { target } of await store.refs.list()) {
    // What is damaged or no image shares nothing; fsck tells about it.
    const image = await readImage(store.blobs, target).catch(() => undefined)
    for (const { diffID } of image?.layers ?? []) diffIDs.add(diffID)
  }
  return diffIDs
}

/** Blobs that the build cache needs: roots for gc, and what `df` counts as cache. */
export async function cacheRoots(store: Store): Promise<Set<Digest>> {
  const roots = new Set<Digest>()
  const add = ({ descriptor, diffID }: LayerRef): void => {
    roots.add(descriptor.digest)
    roots.add(digestOfUncompressed(diffID))
  }
  for (const [, { result }] of new CacheStore(store).entries()) result?.layers.forEach(add)
  for (const { layer } of await new CacheMounts(store).list()) add(layer)
  return roots
}

/** Forgets the records of a plan. Their blobs go with the next gc, unless something else needs them. */
export async function pruneCache(store: Store, plan: PrunePlan): Promise<void> {
  await applyPrune(plan, async (keys) => {
    const isMount = (key: string) => key.startsWith(CACHE_MOUNT_PREFIX)
    const mounts = new CacheMounts(store)
    for (const key of keys.filter(isMount)) await mounts.remove(key.slice(CACHE_MOUNT_PREFIX.length))
    const records = keys.filter((key) => !isMount(key))
    if (records.length > 0) await new CacheStore(store).remove(records)
  })
}
