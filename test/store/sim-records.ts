// The cache index on the simulated disk. What lmdb promises, not how it keeps it: a batch is there whole or not at all,
// in order; after a power cut the latest ones may be missing, because lmdb syncs a commit after it has returned. lmdb
// itself is tried by killing processes (build-kills.test.ts, processes.test.ts).
import type { RecordBatch, RecordStore } from '../../src/store/index.js'
import type { CrashKind, SimFs } from './sim-fs.js'

type Batch = { readonly put: (readonly [string, Uint8Array])[]; readonly delete: string[] }

const logs = new WeakMap<SimFs, Batch[]>()

/** Takes away what a power cut may: after this, batches of before can be relied on. */
export function crashRecords(fs: SimFs, kind: CrashKind): void {
  const log = logs.get(fs) ?? []
  const settled = settledCounts.get(fs) ?? 0
  if (kind === 'lost') log.length = settled
  else if (kind !== 'kept') log.length = settled + (kind % (log.length - settled + 1))
  settleRecords(fs)
}

const settledCounts = new WeakMap<SimFs, number>()

/** All batches so far are on the disk. */
export function settleRecords(fs: SimFs): void {
  settledCounts.set(fs, logs.get(fs)?.length ?? 0)
}

/** Gives a forked disk the same batches. */
export function forkRecords(from: SimFs, to: SimFs): void {
  logs.set(to, [...(logs.get(from) ?? [])])
  settleRecords(to)
}

export class SimRecords implements RecordStore {
  readonly #log: Batch[]
  #known: { readonly count: number; readonly values: ReadonlyMap<string, Uint8Array> } | undefined

  constructor(readonly fs: SimFs) {
    this.#log = logs.get(fs) ?? []
    logs.set(fs, this.#log)
  }

  get(key: string): Uint8Array | undefined {
    return this.#all().get(key)
  }

  async write(batch: RecordBatch): Promise<void> {
    const whole = { put: [...(batch.put ?? [])], delete: [...(batch.delete ?? [])] }
    await Promise.resolve()
    this.fs.change('records: before a commit')
    this.#log.push(whole)
    this.fs.change('records: after a commit')
  }

  keys(prefix: string): string[] {
    return [...this.#all().keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  #all(): ReadonlyMap<string, Uint8Array> {
    if (this.#known?.count === this.#log.length) return this.#known.values
    const all = new Map<string, Uint8Array>()
    for (const batch of this.#log) {
      for (const key of batch.delete) all.delete(key)
      for (const [key, value] of batch.put) all.set(key, value)
    }
    this.#known = { count: this.#log.length, values: all }
    return all
  }
}
