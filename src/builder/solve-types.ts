// What the solver is asked and what it answers.
import type { Digest } from '../digest.js'
import type { Env } from '../env.js'
import type { Hold, Store } from '../store/index.js'
import type { CacheImport, CacheStore, KeyId } from './cache.js'
import type { KeyScheme } from './key-scheme.js'
import type { BuildListener, CacheOutcome, StepId } from './progress.js'
import type { CacheMap, LayerRef, Result, Vertex } from './vertex.js'

export interface SolveOptions {
  readonly store: Store
  readonly env?: Env | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: BuildListener | undefined
  /** Operations that run at once; default `env.concurrency`. */
  readonly concurrency?: number | undefined
  /** Default `buildkitScheme`. */
  readonly scheme?: KeyScheme | undefined
  /** Find out what would happen; run nothing but what reads contexts, write nothing. */
  readonly dryRun?: boolean | undefined
  /** Shields from gc what an operation that runs stands on. */
  readonly hold?: Hold | undefined
  /** Told about every step that was run and stored, before it counts as done; for explanations. */
  readonly onStored?: ((step: StoredStep) => void) | undefined
  /**
   * Names what is built, e.g. by the paths of context and Dockerfile: with it, steps that run are remembered for
   * explanations, each beside earlier runs of the same step in the same scope.
   */
  readonly scope?: string | undefined
  /** Further caches that are asked after the store's own. */
  readonly imports?: readonly CacheImport[] | undefined
  /** Cache to use instead of one over `store.records`. */
  readonly cache?: CacheStore | undefined
}

/** A step that ran, and how it can be found again. */
export interface StoredStep {
  readonly vertex: Vertex
  readonly map: CacheMap
  readonly key: KeyId
  readonly inputs: readonly StepInput[]
  readonly layers: readonly LayerRef[]
  readonly costMs: number
  readonly costBytes: number
}

/** What an input of a step was known by. */
export interface StepInput {
  readonly vertex: Vertex
  /** Keys of its definition. */
  readonly keys: readonly KeyId[]
  /** Digest of what was read of it, when that was asked for. */
  readonly content: Digest | undefined
  /** Its result, when it was there. */
  readonly result: Result | undefined
}

/**
 * - `hit`: a result was found; nothing ran
 * - `miss`: there was none, and the step ran (or would)
 * - `off`: nobody looked, because of --no-cache
 * - `unknown`: only in a dry run: it depends on the content of something that would have to be run first
 */
export type StepOutcome = CacheOutcome | 'unknown'

export interface StepReport {
  readonly step: StepId
  readonly vertex: Vertex
  readonly map: CacheMap | undefined
  readonly outcome: StepOutcome
  readonly key: KeyId | undefined
  readonly inputs: readonly StepInput[]
  readonly layers: readonly LayerRef[] | undefined
  readonly durationNs: bigint
}

export interface SolveResult {
  /** One per target; in a dry run `undefined` where there is no result yet. */
  readonly results: readonly (Result | undefined)[]
  /** Keys of each target in the cache, for an export of what leads to it. */
  readonly keys: readonly (readonly KeyId[])[]
  /** In the order in which they were first seen. */
  readonly steps: readonly StepReport[]
}
