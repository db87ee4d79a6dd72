// The steps of a build: one for each vertex that is asked for, and one for all that do the same to the same inputs. What
// is done with them: solve.ts.
import type { Digest } from '../digest.js'
import type { KeyId, StoredResult } from './cache.js'
import type { KeyScheme, SchemeMap } from './key-scheme.js'
import type { StepInput } from './solve-types.js'
import type { StepLog, StepRecord } from './step-log.js'
import type { CacheMap, Edge, Result, Vertex } from './vertex.js'

/** Keys that an edge is known by so far. */
export interface Lookup {
  readonly ids: readonly KeyId[]
  readonly hit: { readonly id: KeyId; readonly stored: StoredResult } | undefined
  /** Dry run: there may be more keys, but only running something would tell. */
  readonly unknown: boolean
}

export interface Complete {
  readonly result: Result
  readonly ids: readonly KeyId[]
}

/** A vertex while it is solved. */
export interface Step {
  readonly vertex: Vertex
  readonly log: StepRecord
  readonly edges: Map<number, EdgeRun>
  maps: CacheMap[]
  iterator: Iterator<CacheMap> | AsyncIterator<CacheMap> | undefined
  exhausted: boolean
  run: Promise<readonly Result[]> | undefined
  costMs: number
}

/** An output of a vertex while it is solved; each promise is made once. */
export interface EdgeRun {
  readonly step: Step
  readonly output: number
  /** For each input the keys of this edge that some key of the input leads to. */
  readonly matches: Set<KeyId>[]
  readonly contents: (Promise<Digest | undefined> | undefined)[]
  readonly inputs: StepInput[]
  /** `recordId` of operation and output. */
  record?: Digest
  fast?: Promise<Lookup>
  slow?: Promise<Lookup>
  done?: Promise<Complete | undefined>
}

export class StepGraph {
  readonly #steps = new Map<Vertex, Promise<Step>>()
  readonly #canonical = new Map<string, Step>()
  readonly #names = new Map<Step, string>()

  /** @param onFailure  told of a step whose operation could not say how the cache may know it */
  constructor(
    readonly scheme: KeyScheme,
    readonly log: StepLog,
    readonly onFailure: (step: Step, error: unknown) => void,
  ) {}

  /** The steps of all vertices that were asked for. */
  async steps(): Promise<ReadonlySet<Step>> {
    return new Set(await Promise.all(this.#steps.values()))
  }

  /** The step of a vertex; vertices with equal operations and equal inputs have one. */
  #step(vertex: Vertex): Promise<Step> {
    let step = this.#steps.get(vertex)
    if (step === undefined) this.#steps.set(vertex, (step = quiet(this.#makeStep(vertex))))
    return step
  }

  async #makeStep(vertex: Vertex): Promise<Step> {
    const step: Step = {
      vertex,
      log: this.log.step(vertex),
      edges: new Map(),
      maps: [],
      iterator: undefined,
      exhausted: false,
      run: undefined,
      costMs: 0,
    }
    const inputs = await Promise.all(vertex.inputs.map((edge) => this.#step(edge.vertex)))
    if (vertex.op.kind === 'local') return step
    const map = await this.map(step, 0).catch((error: unknown) => {
      this.onFailure(step, error)
      throw error
    })
    if (map !== undefined) step.log.digest = this.scheme.map(vertex, map).digest
    const name = JSON.stringify([
      vertex.op.kind,
      map?.digest,
      map?.deps.map(({ selector }) => selector),
      vertex.ignoreCache,
      inputs.map((input, i) => [this.#nameOf(input), vertex.inputs[i]!.output]),
    ])
    const known = this.#canonical.get(name)
    if (known !== undefined) return known
    this.#canonical.set(name, step)
    return step
  }

  #nameOf(step: Step): string {
    let name = this.#names.get(step)
    if (name === undefined) this.#names.set(step, (name = String(this.#names.size)))
    return name
  }

  /** The `index`-th way in which the cache may know a step. */
  async map(step: Step, index: number): Promise<CacheMap | undefined> {
    while (step.maps.length <= index && !step.exhausted) {
      step.iterator ??= iteratorOf(step.vertex.op.cacheMaps())
      const next = await step.iterator.next()
      if (next.done === true) step.exhausted = true
      else step.maps.push(next.value)
    }
    return step.maps[index]
  }

  /** An output of a vertex, with a step for each of the vertex's inputs. */
  async edge({ vertex, output }: Edge): Promise<EdgeRun> {
    const step = await this.#step(vertex)
    const inputs = await Promise.all(step.vertex.inputs.map((input) => this.#step(input.vertex)))
    let edge = step.edges.get(output)
    if (edge === undefined) {
      edge = {
        step,
        output,
        matches: inputs.map(() => new Set<KeyId>()),
        contents: inputs.map(() => undefined),
        inputs: inputs.map((input) => ({
          vertex: input.vertex,
          keys: [],
          content: undefined,
          result: undefined,
        })),
      }
      step.edges.set(output, edge)
    }
    return edge
  }

  /** The first way, and what the scheme makes of it. Every step but a folder has one. */
  async firstMap(step: Step): Promise<{ readonly map: CacheMap; readonly scheme: SchemeMap }> {
    const map = (await this.map(step, 0))!
    return { map, scheme: this.scheme.map(step.vertex, map) }
  }
}

function iteratorOf(
  maps: Iterable<CacheMap> | AsyncIterable<CacheMap>,
): Iterator<CacheMap> | AsyncIterator<CacheMap> {
  return Symbol.asyncIterator in maps ? maps[Symbol.asyncIterator]() : maps[Symbol.iterator]()
}

/** A promise that several may wait for, or nobody: its rejection is never unhandled. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
