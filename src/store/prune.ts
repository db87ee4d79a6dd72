// Which records of the build cache go: BuildKit's garbage collection rules, as a plan. Pure.
// @see moby/buildkit cache/manager.go (prune, calculateKeepBytes, sortDeleteRecords), cmd/buildkitd/config/gcpolicy.go

/** @see moby/buildkit client/diskusage.go */
export type CacheRecordType =
  'regular' | 'source.local' | 'exec.cachemount' | 'source.git.checkout' | 'frontend' | 'internal'

/** What prune has to know of a record. */
export interface CacheRecordInfo {
  readonly key: string
  /** Bytes that the record itself added, not those that it builds upon. */
  readonly size: number
  /** Milliseconds since the epoch; `undefined` for one that was never used. */
  readonly lastUsedMs: number | undefined
  readonly useCount: number
  /** Milliseconds since the epoch. */
  readonly createdMs?: number
  readonly type: CacheRecordType
  /** Its layer also belongs to an image: removing the record frees nothing. */
  readonly shared: boolean
  /** Never goes now. */
  readonly inUse?: boolean
  /** Records that it builds upon; they cannot go before it. */
  readonly parents?: readonly string[]
  /** What made it, for people: `[build 2/5] COPY . .`, `cache mount /root/.npm`. */
  readonly description?: string
}

/** One rule. All sizes in bytes; 0 or absent means "no such limit". */
export interface PrunePolicy {
  /**
   * Which records the rule is about; any of them must match, none means all. As in containerd: `type==source.local`,
   * `description~=npm`, `shared`, several joined by commas must all hold.
   */
  readonly filters?: readonly string[]
  /** Also internal and frontend records, and shared ones. */
  readonly all?: boolean
  /** Spares what was used within this time. */
  readonly keepDurationMs?: number
  /** Never goes below this many bytes. */
  readonly reservedSpace?: number
  /** Removes until at most this many bytes are used. */
  readonly maxUsedSpace?: number
  /** Removes until this much is free on the disk. */
  readonly minFreeSpace?: number
}

export interface DiskSpace {
  /** Bytes. */
  readonly total: number
  readonly free: number
}

export interface PruneItem extends CacheRecordInfo {
  /** Number of the policy that removes it, from 0. */
  readonly policy: number
}

export interface PrunePlan {
  /** In order of removal. */
  readonly remove: readonly PruneItem[]
  readonly removeBytes: number
  readonly keptCount: number
  readonly keptBytes: number
}

export interface PruneOptions {
  readonly nowMs: number
  /** Of the disk that the store lies on. */
  readonly space: DiskSpace
}

const HOUR_MS = 3_600_000
const GB = 1e9

/** A share of the disk as BuildKit reckons it: whole gibibytes, one more, counted as gigabytes. */
function percentOf(space: DiskSpace, percent: number): number {
  if (space.total === 0) return 2 * GB
  return (Math.floor(Math.floor((space.total * percent) / 100) / 2 ** 30) + 1) * GB
}

/** What BuildKit does when nobody configures it. */
export function defaultPrunePolicies(space: DiskSpace): PrunePolicy[] {
  return policiesOf(512e6, {
    reservedSpace: Math.min(percentOf(space, 10), 10 * GB),
    maxUsedSpace: Math.min(percentOf(space, 80), 100 * GB),
    minFreeSpace: percentOf(space, 20),
  })
}

/**
 * What the BuildKit inside Docker Engine does: the same rules, with shares of the disk that nothing caps.
 * @see moby/moby daemon/internal/builder-next/worker/gc.go
 */
export function dockerPrunePolicies(space: DiskSpace): PrunePolicy[] {
  const reservedSpace = percentOf(space, 10)
  const temporary = Math.round((reservedSpace / 100) * (Math.E * Math.PI * ((1 + Math.sqrt(5)) / 2)))
  return policiesOf(Math.max(temporary, 512e6), {
    reservedSpace,
    maxUsedSpace: percentOf(space, 80),
    minFreeSpace: percentOf(space, 20),
  })
}

function policiesOf(
  temporary: number,
  limits: Pick<PrunePolicy, 'reservedSpace' | 'maxUsedSpace' | 'minFreeSpace'>,
): PrunePolicy[] {
  return [
    {
      filters: ['type==source.local', 'type==exec.cachemount', 'type==source.git.checkout'],
      keepDurationMs: 48 * HOUR_MS,
      maxUsedSpace: temporary,
    },
    { keepDurationMs: 60 * 24 * HOUR_MS, ...limits },
    limits,
    { all: true, ...limits },
  ]
}

/**
 * What applying the policies one after the other would remove.
 * @throws RangeError for a filter that cannot be read
 */
export function planPrune(
  records: Iterable<CacheRecordInfo>,
  policies: readonly PrunePolicy[],
  options: PruneOptions,
): PrunePlan {
  const left = new Map([...records].map((record) => [record.key, record]))
  const remove: PruneItem[] = []
  let { free } = options.space
  for (const [number, policy] of policies.entries()) {
    const removed = applyPolicy(left, policy, { nowMs: options.nowMs, free })
    for (const record of removed) remove.push({ ...record, policy: number })
    free += removed.reduce((sum, record) => sum + (record.shared ? 0 : record.size), 0)
  }
  return {
    remove,
    removeBytes: remove.reduce((sum, { size }) => sum + size, 0),
    keptCount: left.size,
    keptBytes: [...left.values()].reduce((sum, { size }) => sum + size, 0),
  }
}

/** Takes what one policy removes out of `left`, in order. */
function applyPolicy(
  left: Map<string, CacheRecordInfo>,
  policy: PrunePolicy,
  now: { readonly nowMs: number; readonly free: number },
): CacheRecordInfo[] {
  const matches = compileFilters(policy.filters ?? [])
  // With `all` and no filters nobody asks whether a record is shared, and shared ones count.
  const asksShared = policy.all !== true || (policy.filters ?? []).length > 0
  let total = 0
  for (const record of left.values()) if (!asksShared || !record.shared) total += record.size
  const cap = keepBytes(policy, total, now.free)
  const cutOffMs = now.nowMs - (policy.keepDurationMs ?? 0)
  const held = countChildren(left)
  const eligible = [...left.values()].filter(
    (record) =>
      record.inUse !== true &&
      (policy.all === true || !isSpared(record, asksShared)) &&
      (!policy.keepDurationMs || record.lastUsedMs === undefined || record.lastUsedMs <= cutOffMs) &&
      matches(record),
  )
  const queue = new Candidates(eligible, (key) => held.get(key) === 0)
  const removed: CacheRecordInfo[] = []
  const isTooMuch = () => cap === 0 || total >= cap
  while (isTooMuch()) {
    const batch = cap === 0 ? queue.all() : queue.leastValuable()
    if (batch.length === 0) break
    for (const record of batch) {
      left.delete(record.key)
      queue.remove(record.key)
      for (const parent of record.parents ?? []) {
        const children = held.get(parent)! - 1
        held.set(parent, children)
        if (children === 0) queue.admit(parent)
      }
      total -= record.size
      removed.push(record)
    }
  }
  return removed
}

function isSpared(record: CacheRecordInfo, asksShared: boolean): boolean {
  return record.type === 'internal' || record.type === 'frontend' || (asksShared && record.shared)
}

/** How many records build upon each: a record with children is in use. */
function countChildren(records: ReadonlyMap<string, CacheRecordInfo>): Map<string, number> {
  const count = new Map<string, number>()
  for (const { key, parents = [] } of records.values()) {
    count.set(key, count.get(key) ?? 0)
    for (const parent of parents) count.set(parent, (count.get(parent) ?? 0) + 1)
  }
  return count
}

/** Bytes to come down to; 0 for "no cap: all that matches". */
function keepBytes(policy: PrunePolicy, total: number, free: number): number {
  const { reservedSpace = 0, maxUsedSpace = 0, minFreeSpace = 0 } = policy
  if (reservedSpace === 0 && maxUsedSpace === 0 && minFreeSpace === 0) return 0
  let keep = maxUsedSpace
  const excess = minFreeSpace - free
  if (excess > 0) keep = keep === 0 ? total - excess : Math.min(keep, total - excess)
  // Only minFreeSpace is set, and there is that much: nothing is to go.
  else if (minFreeSpace !== 0 && keep === 0) keep = total
  return Math.max(keep, reservedSpace)
}

interface Ranked {
  readonly record: CacheRecordInfo
  /** Nothing builds upon it any more. */
  mayGo: boolean
  age: number
  count: number
}

/**
 * Records in the order in which they go: old and rarely used first. Among those that may go now, the rank by last use and
 * the rank by use count, each as a share of the highest rank, are added. Rank 1 is "never"; equal values share a rank.
 */
class Candidates {
  readonly #byKey: Map<string, Ranked>
  #byAge: Ranked[]
  #byCount: Ranked[]

  constructor(records: readonly CacheRecordInfo[], mayGo: (key: string) => boolean) {
    // Sorted once: ranks are then given in one pass for each removal, of which there may be many thousand.
    const ranked = records.map((record) => ({ record, mayGo: mayGo(record.key), age: 1, count: 1 }))
    this.#byKey = new Map(ranked.map((one) => [one.record.key, one]))
    this.#byAge = ranked.toSorted((a, b) => (a.record.lastUsedMs ?? 0) - (b.record.lastUsedMs ?? 0))
    this.#byCount = ranked.toSorted((a, b) => a.record.useCount - b.record.useCount)
  }

  admit(key: string): void {
    const ranked = this.#byKey.get(key)
    if (ranked !== undefined) ranked.mayGo = true
  }

  remove(key: string): void {
    const ranked = this.#byKey.get(key)
    if (ranked === undefined) return
    ranked.mayGo = false
    this.#byKey.delete(key)
    if (this.#byKey.size * 2 > this.#byAge.length) return
    this.#byAge = this.#byAge.filter(({ record }) => this.#byKey.has(record.key))
    this.#byCount = this.#byCount.filter(({ record }) => this.#byKey.has(record.key))
  }

  all(): CacheRecordInfo[] {
    return this.#byAge.flatMap(({ record, mayGo }) => (mayGo ? [record] : []))
  }

  /** One record, or none. */
  leastValuable(): CacheRecordInfo[] {
    const ages = this.#rankByAge()
    const counts = this.#rankByCount()
    let best: Ranked | undefined
    let bestScore = Number.POSITIVE_INFINITY
    for (const ranked of this.#byAge) {
      const score = ranked.age / ages + ranked.count / counts
      if (ranked.mayGo && score < bestScore) [best, bestScore] = [ranked, score]
    }
    return best === undefined ? [] : [best.record]
  }

  /** @returns the highest rank */
  #rankByAge(): number {
    let rank = 1
    let last = 0
    for (const ranked of this.#byAge) {
      if (!ranked.mayGo) continue
      const value = ranked.record.lastUsedMs ?? 0
      if (value !== last) rank++
      last = value
      ranked.age = rank
    }
    return rank
  }

  #rankByCount(): number {
    let rank = 1
    let last = 0
    for (const ranked of this.#byCount) {
      if (!ranked.mayGo) continue
      if (ranked.record.useCount !== last) rank++
      last = ranked.record.useCount
      ranked.count = rank
    }
    return rank
  }
}

type Predicate = (record: CacheRecordInfo) => boolean

/** @see containerd pkg/filters; the fields are those of moby/buildkit cache/manager.go adaptUsageInfo */
function compileFilters(filters: readonly string[]): Predicate {
  const any = filters.map((filter) => {
    const all = splitSelectors(filter).map(compileSelector)
    return (record: CacheRecordInfo) => all.every((matches) => matches(record))
  })
  return any.length === 0 ? () => true : (record) => any.some((matches) => matches(record))
}

/** At commas outside quotes. */
function splitSelectors(filter: string): string[] {
  const parts = filter.match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? []
  if (parts.join(',') !== filter) throw new RangeError(`invalid filter ${JSON.stringify(filter)}`)
  return parts
}

function compileSelector(selector: string): Predicate {
  const match = /^\s*([a-z]+)\s*(?:(==|!=|~=)\s*(.*?))?\s*$/s.exec(selector)
  const field = match?.[1]
  const read = field === undefined ? undefined : FIELDS[field]
  if (match === null || read === undefined) {
    throw new RangeError(
      `invalid filter ${JSON.stringify(selector)}: known are ${Object.keys(FIELDS).join(', ')}`,
    )
  }
  const value = unquote(match[3] ?? '')
  switch (match[2]) {
    case '==':
      return (record) => read(record).includes(value)
    case '!=':
      return (record) => !read(record).includes(value)
    case '~=': {
      const pattern = compilePattern(value)
      return (record) => read(record).some((text) => pattern.test(text))
    }
    default:
      return (record) => read(record).some((text) => text !== '')
  }
}

/** Values of a field; flags are '' when they do not hold. */
const FIELDS: Record<string, (record: CacheRecordInfo) => readonly string[]> = {
  id: ({ key }) => [key],
  parents: ({ parents = [] }) => parents,
  description: ({ description = '' }) => [description],
  type: ({ type }) => [type],
  inuse: ({ inUse }) => [inUse === true ? 'true' : ''],
  shared: ({ shared }) => [shared ? 'true' : ''],
  private: ({ shared }) => [shared ? '' : 'true'],
  mutable: ({ type }) => [type === 'exec.cachemount' || type === 'source.local' ? 'true' : ''],
  immutable: ({ type }) => [type === 'exec.cachemount' || type === 'source.local' ? '' : 'true'],
}

function unquote(value: string): string {
  if (!value.startsWith('"')) return value
  try {
    return JSON.parse(value) as string
  } catch (cause) {
    throw new RangeError(`invalid filter value ${value}`, { cause })
  }
}

function compilePattern(source: string): RegExp {
  try {
    return new RegExp(source)
  } catch (cause) {
    throw new RangeError(`invalid filter pattern ${source}`, { cause })
  }
}

/**
 * Carries out a plan.
 * @param remove  forgets records by their keys, in the plan's order; called once, and not at all for an empty plan
 */
export async function applyPrune(
  plan: PrunePlan,
  remove: (keys: readonly string[]) => Promise<void>,
): Promise<void> {
  if (plan.remove.length > 0) await remove(plan.remove.map(({ key }) => key))
}
