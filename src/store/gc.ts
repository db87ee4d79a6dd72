// Garbage: planGc marks from refs, leases, documents and what the caller keeps, and lists what would go; applyGc checks the list
// again, alone with the store, and removes it.
import type { Descriptor } from '../descriptor.js'
import { hexOf, type Digest } from '../digest.js'
import { throwIfAborted } from '../errors.js'
import { BLOCK_SUMS_KIND } from './block-sums.js'
import type { BlobInfo } from './blobs.js'
import { isDocument, walkReachable, type Reached } from './reach.js'
import type { Store } from './store.js'

export interface GcOptions {
  /** Further roots: the layers of the build cache's records, … What documents name is kept without being named here. */
  readonly keep?: Iterable<Digest>
  /**
   * Blobs that a put brought less than this long ago stay, for whoever is about to use them and holds no lease.
   * Default: one hour.
   */
  readonly graceMs?: number
  /** Also keep what refs pointed at within this time, so that they can be rolled back. Default 0. */
  readonly keepHistoryMs?: number
  /** Milliseconds since the epoch. Default: the wall clock. */
  readonly nowMs?: number
  readonly signal?: AbortSignal | undefined
}

export interface GcItem {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  /** `replaced`: a ref pointed at it, or at what it is a part of; `unreferenced`: nothing that is known ever did. */
  readonly reason: 'replaced' | 'unreferenced'
  /** For `replaced`: the ref's name. */
  readonly ref: string | undefined
}

/** What a gc would do, as plain data. */
export interface GcPlan {
  /** Documents first, so that a gc that is cut short leaves no document without its parts. */
  readonly remove: readonly GcItem[]
  /** Bytes of what would go. */
  readonly removeBytes: number
  readonly keptCount: number
  readonly keptBytes: number
  /** Unreachable, but younger than the grace time. */
  readonly young: readonly BlobInfo[]
  /** Reachable, but not there: an image that is only partly in the store, or damage. `check` tells which. */
  readonly missing: readonly Reached[]
  /** With what it was made, for `applyGc` to check again. */
  readonly basis: {
    readonly graceMs: number
    readonly keepHistoryMs: number
    readonly keep: readonly Digest[]
    /** The roots as text. While they are the same, so is what can be reached from them. */
    readonly roots: string
  }
}

const HOUR_MS = 3_600_000
/** Kinds of derived files that are about one blob, of which their key has the hex digits: they go with it. */
const SIDECARS_OF_BLOBS = ['layer-index', BLOCK_SUMS_KIND]

/**
 * What a gc would remove now. Changes nothing and needs no lock.
 * @throws StoreError when a reachable document is damaged: nothing is removed while it is unknown what hangs on it
 */
export async function planGc(store: Store, options: GcOptions = {}): Promise<GcPlan> {
  const { graceMs = HOUR_MS, keepHistoryMs = 0, nowMs = Date.now(), signal } = options
  const keep = [...(options.keep ?? [])]
  const roots = await rootsOf(store, keep, nowMs - keepHistoryMs)
  const missing: Reached[] = []
  const reachable = await walkReachable(store.blobs, roots.all, {
    missing: (blob) => void (blob.kind === 'part' && missing.push(blob)),
  })
  const young: BlobInfo[] = []
  const garbage: BlobInfo[] = []
  let keptCount = 0
  let keptBytes = 0
  for await (const blob of store.blobs.list()) {
    throwIfAborted(signal)
    if (reachable.has(blob.digest)) {
      keptCount++
      keptBytes += blob.size
    } else if (isYoung(blob, nowMs, graceMs)) young.push(blob)
    else garbage.push(blob)
  }
  const remove = await describe(store, garbage, roots.former)
  return {
    remove,
    removeBytes: remove.reduce((sum, { size }) => sum + size, 0),
    keptCount,
    keptBytes,
    young,
    missing,
    basis: { graceMs, keepHistoryMs, keep, roots: roots.text },
  }
}

function isYoung(blob: BlobInfo, nowMs: number, graceMs: number): boolean {
  return blob.addedMs !== undefined && blob.addedMs > nowMs - graceMs
}

interface Roots {
  readonly all: readonly (Descriptor | Digest)[]
  /** What refs pointed at before, by their names. */
  readonly former: ReadonlyMap<string, readonly Descriptor[]>
  readonly text: string
}

async function rootsOf(store: Store, keep: readonly Digest[], historySinceMs: number): Promise<Roots> {
  const refs = await store.refs.list()
  const leases = await store.leases.list()
  const documents = await store.documents.roots()
  const former = new Map<string, Descriptor[]>()
  const recent: Descriptor[] = []
  for (const name of await store.refs.names()) {
    for (const { timeNs, before } of await store.refs.history(name)) {
      if (before === undefined) continue
      former.set(name, [...(former.get(name) ?? []), before])
      if (Number(timeNs / 1_000_000n) > historySinceMs) recent.push(before)
    }
  }
  const all = [
    ...refs.map(({ target }) => target),
    ...(await store.refs.untagged()),
    ...leases.flatMap(({ digests }) => digests),
    ...documents.map(({ digest }) => digest),
    ...keep,
    ...recent,
  ]
  const text = [...new Set(all.map((root) => (typeof root === 'string' ? root : root.digest)))]
    .sort()
    .join(' ')
  return { all, former, text }
}

/** Why each goes, and in which order. */
async function describe(
  store: Store,
  garbage: readonly BlobInfo[],
  former: Roots['former'],
): Promise<GcItem[]> {
  const refs = new Map<Digest, string>()
  for (const [name, targets] of former) {
    const reached = await walkReachable(store.blobs, targets, { unreadable: () => undefined })
    for (const digest of reached) if (!refs.has(digest)) refs.set(digest, name)
  }
  const documents: GcItem[] = []
  const others: GcItem[] = []
  for (const { digest, size } of garbage) {
    const ref = refs.get(digest)
    const item: GcItem = { digest, size, reason: ref === undefined ? 'unreferenced' : 'replaced', ref }
    ;((await isDocument(store.blobs, digest, size)) ? documents : others).push(item)
  }
  return [...documents, ...others]
}

export interface GcResult {
  readonly removed: readonly GcItem[]
  readonly removedBytes: number
  /** On the plan, but wanted again, or gone, by the time that it was applied. */
  readonly spared: readonly GcItem[]
  /** Files of dead processes that went too. */
  readonly tidied: number
}

/**
 * Removes what a plan lists, as far as that still holds: alone with the store, it looks again whether a blob is
 * unreachable and was not put again. Safe while others build, tag and read.
 *
 * @throws StoreError as `planGc`
 */
export async function applyGc(
  store: Store,
  plan: GcPlan,
  options: { readonly nowMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<GcResult> {
  const nowMs = options.nowMs ?? Date.now()
  const removed: GcItem[] = []
  const spared: GcItem[] = []
  await store.exclusive(async () => {
    const wanted = await reachableAnew(store, plan, nowMs)
    for (const item of plan.remove) {
      throwIfAborted(options.signal)
      const blob = await store.blobs.stat(item.digest)
      const isGarbage =
        blob !== undefined && !wanted.has(item.digest) && !isYoung(blob, nowMs, plan.basis.graceMs)
      if (isGarbage && (await store.blobs.delete(item.digest))) removed.push(item)
      else spared.push(item)
    }
  })
  for (const { digest } of removed) {
    for (const kind of SIDECARS_OF_BLOBS) await store.sidecars.delete(kind, hexOf(digest))
  }
  const tidied = await store.tidy()
  return { removed, removedBytes: removed.reduce((sum, { size }) => sum + size, 0), spared, tidied }
}

/** What has become reachable since the plan was made; nothing when the roots are the same. */
async function reachableAnew(store: Store, { basis }: GcPlan, nowMs: number): Promise<ReadonlySet<Digest>> {
  const roots = await rootsOf(store, basis.keep, nowMs - basis.keepHistoryMs)
  return roots.text === basis.roots ? new Set() : walkReachable(store.blobs, roots.all)
}
