// A whole Store in memory: for tests, for throw-away builds, for the browser.
import { REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import type { Digest } from '../digest.js'
import { systemEnv, type Env } from '../env.js'
import type { BlobStore } from './blobs.js'
import { closeable } from './closeable.js'
import { DEFAULT_LEASE_TTL_MS, leaseNotFound, msToNs } from './leases.js'
import { MemoryBlobStore } from './memory.js'
import { MemoryDocumentStore } from './memory-documents.js'
import { createMutex } from './mutex.js'
import { requireWhole } from './reach.js'
import { checkRecordKey, checkRecordValue, checkSidecarName } from './records.js'
import { checkExpectedRef, checkRefName, EMPTY_INDEX, findRef, refsOf, targetOf, withRef } from './refs.js'
import type {
  Lease,
  LeaseStore,
  RecordBatch,
  RecordStore,
  Ref,
  RefChange,
  RefStore,
  SidecarStore,
  Store,
} from './store.js'

export interface MemoryStoreOptions {
  readonly env?: Env
  /** Blobs to build upon instead of a fresh MemoryBlobStore. */
  readonly blobs?: BlobStore
}

export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  const env = options.env ?? systemEnv
  const mutex = createMutex()
  const nowMs = () => Number(env.now() / 1_000_000n)
  let isSwept = false
  // Whoever comes in the middle of a sweep waits for its turn and takes nothing.
  const gate = async () => (isSwept ? mutex.run(() => Promise.resolve()) : undefined)
  const exclusive: Store['exclusive'] = (fn) =>
    mutex.run(async () => {
      isSwept = true
      try {
        return await fn()
      } finally {
        isSwept = false
      }
    })
  const blobs = options.blobs ?? new MemoryBlobStore({ now: nowMs, gate })
  const leases = new MemoryLeases(env, gate)
  return closeable({
    blobs,
    refs: new MemoryRefs(blobs, env, mutex.run),
    leases,
    records: new MemoryRecords(),
    sidecars: new MemorySidecars(),
    documents: new MemoryDocumentStore(mutex.run),
    path: undefined,
    exclusive,
    tidy: async () => leases.sweep(),
    audit: async () => [],
    space: async () => undefined,
    release: () => Promise.resolve(),
  })
}

class MemoryRefs implements RefStore {
  #index = EMPTY_INDEX
  readonly #changes = new Map<string, RefChange[]>()

  constructor(
    readonly blobs: BlobStore,
    readonly env: Env,
    readonly alone: <T>(fn: () => Promise<T>) => Promise<T>,
  ) {}

  async get(name: string): Promise<Descriptor | undefined> {
    return findRef(this.#index, name)
  }

  async set(name: string, target: Descriptor | undefined, expected?: Digest | null): Promise<void> {
    checkRefName(name)
    await this.alone(async () => {
      const before = findRef(this.#index, name)
      checkExpectedRef(name, before, expected)
      if (target !== undefined) await requireWhole(this.blobs, target)
      const after =
        target && targetOf({ ...target, annotations: { ...target.annotations, [REF_NAME_ANNOTATION]: name } })
      if (before === undefined && after === undefined) return
      this.#index = withRef(this.#index, name, after)
      const changes = this.#changes.get(name) ?? []
      this.#changes.set(name, [{ timeNs: this.env.now(), before, after }, ...changes])
    })
  }

  async list(): Promise<Ref[]> {
    return refsOf(this.#index)
  }

  async history(name: string): Promise<RefChange[]> {
    return [...(this.#changes.get(name) ?? [])]
  }

  async names(): Promise<string[]> {
    return [...this.#changes.keys()].sort()
  }

  async untagged(): Promise<Descriptor[]> {
    return []
  }

  async restore(): Promise<string[]> {
    return []
  }
}

class MemoryLeases implements LeaseStore {
  readonly #leases = new Map<string, { lease: Lease; ttlMs: number }>()

  constructor(
    readonly env: Env,
    readonly gate: () => Promise<void>,
  ) {}

  async create(options: { readonly ttlMs?: number } = {}): Promise<Lease> {
    const ttlMs = options.ttlMs ?? DEFAULT_LEASE_TTL_MS
    const lease: Lease = {
      id: this.env.randomId(),
      expiresNs: this.env.now() + msToNs(ttlMs),
      digests: [],
    }
    this.#leases.set(lease.id, { lease, ttlMs })
    return lease
  }

  async add(id: string, digests: Iterable<Digest>): Promise<void> {
    const held = this.#leases.get(id)
    if (held === undefined || held.lease.expiresNs <= this.env.now()) throw leaseNotFound(id)
    const all = new Set([...held.lease.digests, ...digests])
    const expiresNs = this.env.now() + msToNs(held.ttlMs)
    this.#leases.set(id, { lease: { id, expiresNs, digests: [...all] }, ttlMs: held.ttlMs })
    await this.gate()
  }

  async release(id: string): Promise<void> {
    this.#leases.delete(id)
  }

  async list(): Promise<Lease[]> {
    const now = this.env.now()
    return [...this.#leases.values()].flatMap(({ lease }) => (lease.expiresNs > now ? [lease] : []))
  }

  /** Forgets leases that have expired. @returns how many */
  sweep(): number {
    const now = this.env.now()
    const expired = [...this.#leases].filter(([, { lease }]) => lease.expiresNs <= now)
    for (const [id] of expired) this.#leases.delete(id)
    return expired.length
  }
}

class MemoryRecords implements RecordStore {
  readonly #records = new Map<string, Uint8Array>()

  get(key: string): Uint8Array | undefined {
    return this.#records.get(key)?.slice()
  }

  peek(key: string): Uint8Array | undefined {
    return this.#records.get(key)
  }

  async write(batch: RecordBatch): Promise<void> {
    const puts = [...(batch.put ?? [])].map(([key, value]) => {
      checkRecordKey(key)
      checkRecordValue(key, value)
      return [key, value.slice()] as const
    })
    for (const key of batch.delete ?? []) this.#records.delete(key)
    for (const [key, value] of puts) this.#records.set(key, value)
  }

  keys(prefix: string): Iterable<string> {
    return [...this.#records.keys()].filter((key) => key.startsWith(prefix)).sort(compareUtf8)
  }
}

const encoder = new TextEncoder()

function compareUtf8(a: string, b: string): number {
  const x = encoder.encode(a)
  const y = encoder.encode(b)
  for (let i = 0; i < x.length && i < y.length; i++) if (x[i] !== y[i]) return x[i]! - y[i]!
  return x.length - y.length
}

class MemorySidecars implements SidecarStore {
  readonly #kinds = new Map<string, Map<string, Uint8Array>>()

  get(kind: string, key: string): Uint8Array | undefined {
    checkSidecarName(kind, key)
    return this.#kinds.get(kind)?.get(key)
  }

  async put(kind: string, key: string, bytes: Uint8Array): Promise<void> {
    checkSidecarName(kind, key)
    const files = this.#kinds.get(kind) ?? new Map<string, Uint8Array>()
    this.#kinds.set(kind, files.set(key, bytes.slice()))
  }

  async delete(kind: string, key: string): Promise<void> {
    checkSidecarName(kind, key)
    this.#kinds.get(kind)?.delete(key)
  }

  async list(kind: string): Promise<string[]> {
    return [...(this.#kinds.get(kind)?.keys() ?? [])].sort()
  }
}
