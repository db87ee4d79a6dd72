// Numbers steps and tells about them: the events of progress.ts, each at most once a step and in an order that holds:
// planned, started, then one end.
import type { Digest } from '../digest.js'
import type { Env } from '../env.js'
import { recordId } from './key.js'
import type { BuildListener, CacheOutcome, StepId } from './progress.js'
import type { LayerRef, Vertex } from './vertex.js'

export interface StepRecord {
  readonly vertex: Vertex
  id: StepId | undefined
  startedNs: bigint | undefined
  durationNs: bigint
  outcome: CacheOutcome | 'unknown' | undefined
  /** Of the operation, as soon as it is known. */
  digest: Digest | undefined
  /** Key id in the cache. */
  key: string | undefined
  layers: readonly LayerRef[] | undefined
  ended: boolean
}

export class StepLog {
  readonly #env: Env
  readonly #emit: BuildListener
  #last = 0

  constructor(env: Env, listener: BuildListener | undefined) {
    this.#env = env
    this.#emit = listener ?? (() => {})
  }

  /** A step that nothing has been told about; it gets its number when something is. */
  step(vertex: Vertex): StepRecord {
    return {
      vertex,
      id: undefined,
      startedNs: undefined,
      durationNs: 0n,
      outcome: undefined,
      digest: undefined,
      key: undefined,
      layers: undefined,
      ended: false,
    }
  }

  #plan(record: StepRecord): StepId {
    if (record.id !== undefined) return record.id
    record.id = ++this.#last
    const { name, stage, index, count, instruction, location } = record.vertex.label
    this.#emit({ kind: 'step-planned', step: record.id, name, stage, index, count, instruction, location })
    return record.id
  }

  /** @returns when it started, nanoseconds since the epoch */
  start(record: StepRecord): bigint {
    if (record.startedNs !== undefined) return record.startedNs
    const step = this.#plan(record)
    record.startedNs = this.#env.now()
    this.#emit({ kind: 'step-started', step, timeNs: record.startedNs })
    return record.startedNs
  }

  output(record: StepRecord, stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.#emit({ kind: 'step-output', step: this.#plan(record), stream, bytes, timeNs: this.#env.now() })
  }

  status(record: StepRecord, what: string, current: number, total: number | undefined): void {
    this.#emit({ kind: 'step-status', step: this.#plan(record), what, current, total })
  }

  hit(record: StepRecord, key: string | undefined, layers: readonly LayerRef[] | undefined): void {
    this.done(record, 'hit', key, layers)
  }

  done(
    record: StepRecord,
    cache: CacheOutcome,
    key: string | undefined,
    layers: readonly LayerRef[] | undefined,
  ): void {
    if (record.ended) return
    const startedNs = this.start(record)
    const timeNs = this.#env.now()
    record.ended = true
    record.outcome = cache
    record.key = key
    record.layers = layers
    record.durationNs = timeNs - startedNs
    this.#emit({
      kind: 'step-done',
      step: record.id!,
      timeNs,
      durationNs: record.durationNs,
      cache,
      key: record.digest === undefined ? undefined : recordId(record.digest, 0),
      layer: this.#layerOf(record),
    })
  }

  /** Operations on files end with a layer of their own; a source's layers are not the step's. */
  #layerOf({ vertex, layers }: StepRecord): { diffID: LayerRef['diffID']; size: number } | undefined {
    const top = vertex.inputs.length === 0 ? undefined : layers?.at(-1)
    return top === undefined ? undefined : { diffID: top.diffID, size: top.descriptor.size }
  }

  failed(record: StepRecord, error: Error): void {
    if (record.ended) return
    const step = this.#plan(record)
    record.ended = true
    this.#emit({ kind: 'step-failed', step, timeNs: this.#env.now(), error })
  }

  /** A dry run's answer; no events, because nothing happens. */
  predicted(record: StepRecord, outcome: CacheOutcome | 'unknown'): void {
    if (record.ended) return
    this.#plan(record)
    record.ended = true
    record.outcome = outcome
  }
}
