// What is remembered of steps that ran, beside their keys: definitions in readable form, what inputs were known by, what
// they cost. The last few of each step, so that a miss can be held against what came before it.
import { digestOf, hexOf, type Digest } from '../digest.js'
import type { Env } from '../env.js'
import type { Store } from '../store/index.js'
import type { CacheStore, KeyId } from './cache.js'
import {
  decodeManifest,
  MANIFEST_ENTRIES_MAX,
  MANIFEST_KIND,
  ManifestWriter,
  type ManifestEntry,
} from './content-manifest.js'
import { visitContentEntries } from './contenthash.js'
import { putRecentSidecar } from './recent-sidecars.js'
import type { StepInput, StoredStep } from './solve-types.js'
import type { Op, Vertex } from './vertex.js'

/** Content keys whose entries are remembered, of all builds in a store. */
const MANIFESTS_MAX = 128
/** Longest value of a definition that is kept whole; a record has 1 MiB at most. */
const VALUE_LENGTH_MAX = 4_096
const STEP_BYTES_MAX = 1 << 19
/** Runs of one step that are remembered. */
const RUNS_MAX = 4

export interface RememberedInput {
  readonly name: string
  readonly kind: Op['kind']
  readonly keys: readonly KeyId[]
  readonly content: Digest | undefined
}

export interface RememberedStep {
  readonly key: KeyId
  readonly name: string
  readonly kind: Op['kind']
  /** Milliseconds since the epoch. */
  readonly atMs: number
  readonly preimage: ReadonlyMap<string, string>
  readonly inputs: readonly RememberedInput[]
  readonly costMs: number
  readonly costBytes: number
  /** What it cost the time before, when it ran under the same key already. */
  readonly again?: { readonly costMs: number; readonly costBytes: number }
}

/** The JSON of a remembered step. */
interface Saved extends Omit<RememberedStep, 'preimage' | 'key'> {
  readonly preimage: readonly (readonly [string, string])[]
}

/** Place of a step: stage and position. A stage without a name has its number. */
function slotOf(vertex: Vertex): string {
  const { stage, index, name } = vertex.label
  return index === undefined ? name : `${stage ?? ''}/${index}`
}

/** A long text, a here-document say, by its beginning and a digest that tells versions apart. */
export function shortened(value: string): string {
  return value.length <= VALUE_LENGTH_MAX ? value : `${value.slice(0, 200)}… (${digestOf(value)})`
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The instruction that a key's result came of, as progress names it: `[build 2/5] COPY . .`. */
export function stepNameOf(cache: CacheStore, key: KeyId): string | undefined {
  const bytes = cache.get(`p${key}`)
  return bytes === undefined ? undefined : (JSON.parse(decoder.decode(bytes)) as Saved).name
}

export class StepMemory {
  readonly #cache: CacheStore
  readonly #store: Store
  readonly #env: Env
  readonly #prefix: string

  /** @param scope  names what is built: steps of different scopes are never held against each other */
  constructor(cache: CacheStore, store: Store, env: Env, scope: string) {
    this.#cache = cache
    this.#store = store
    this.#env = env
    this.#prefix = `e${hexOf(digestOf(scope)).slice(0, 24)}/`
  }

  /** Keeps what a later explanation needs; written with the cache's next flush. */
  async remember(step: StoredStep): Promise<void> {
    const { vertex, map, key, costMs, costBytes } = step
    const [before] = this.#load([key])
    const saved: Saved = {
      name: vertex.label.name,
      kind: vertex.op.kind,
      atMs: Number(this.#env.now() / 1_000_000n),
      preimage: [...map.preimage].map(([part, value]) => [part, shortened(value)]),
      inputs: step.inputs.map((input) => ({
        name: input.vertex.label.name,
        kind: input.vertex.op.kind,
        keys: input.keys,
        content: input.content,
      })),
      costMs,
      costBytes,
      ...(before !== undefined && { again: { costMs: before.costMs, costBytes: before.costBytes } }),
    }
    const bytes = encoder.encode(JSON.stringify(saved))
    if (bytes.length > STEP_BYTES_MAX) return
    this.#cache.put(`p${key}`, bytes)
    const slot = this.#slotKey(vertex)
    const keys = [key, ...this.#keysOf(slot).filter((other) => other !== key)].slice(0, RUNS_MAX)
    this.#cache.put(slot, encoder.encode(keys.join(' ')))
    await Promise.all(step.inputs.map((input) => this.#keepManifest(input)))
  }

  /**
   * A step was found in the cache under `key`. Where nothing is remembered of it in this scope, because it ran for another
   * one (a copy of the project, say), that run is what the next miss here is held against.
   */
  found(vertex: Vertex, key: KeyId): void {
    const slot = this.#slotKey(vertex)
    if (this.#cache.get(slot) !== undefined || this.#cache.get(`p${key}`) === undefined) return
    this.#cache.put(slot, encoder.encode(key))
  }

  async #keepManifest({ result, content }: StepInput): Promise<void> {
    if (result === undefined || content === undefined) return
    if (this.#store.sidecars.get(MANIFEST_KIND, hexOf(content)) !== undefined) return
    const manifest = new ManifestWriter()
    const isKnown = visitContentEntries(result, content, (entry) => {
      if (manifest.count <= MANIFEST_ENTRIES_MAX) manifest.add(entry)
    })
    if (!isKnown || manifest.count > MANIFEST_ENTRIES_MAX) return
    await putRecentSidecar(this.#store, MANIFEST_KIND, hexOf(content), manifest.encode(), MANIFESTS_MAX)
  }

  /** Entries behind a content key, if they were kept. */
  manifest(content: Digest): ManifestEntry[] | undefined {
    const bytes = this.#store.sidecars.get(MANIFEST_KIND, hexOf(content))
    return bytes === undefined ? undefined : decodeManifest(bytes)
  }

  /** Earlier runs of a step in its place, newest first. */
  earlier(vertex: Vertex): RememberedStep[] {
    return this.#load(this.#keysOf(this.#slotKey(vertex)))
  }

  /** The run that was remembered under one of these keys, in whatever scope. */
  under(keys: readonly KeyId[]): RememberedStep | undefined {
    for (const key of keys) {
      const [step] = this.#load([key])
      if (step !== undefined) return step
    }
    return undefined
  }

  /** Earlier runs of all steps of the scope. */
  all(): RememberedStep[] {
    const keys = new Set([...this.#store.records.keys(this.#prefix)].flatMap((slot) => this.#keysOf(slot)))
    return this.#load([...keys])
  }

  #load(keys: readonly KeyId[]): RememberedStep[] {
    return keys.flatMap((key) => {
      const bytes = this.#cache.get(`p${key}`)
      if (bytes === undefined) return []
      const saved = JSON.parse(decoder.decode(bytes)) as Saved
      return [{ ...saved, key, preimage: new Map(saved.preimage) }]
    })
  }

  #slotKey(vertex: Vertex): string {
    return this.#prefix + hexOf(digestOf(slotOf(vertex))).slice(0, 24)
  }

  #keysOf(slot: string): KeyId[] {
    const bytes = this.#cache.get(slot)
    return bytes === undefined || bytes.length === 0 ? [] : decoder.decode(bytes).split(' ')
  }
}
