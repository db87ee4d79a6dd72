// The graph that the solver works on, as in BuildKit: a vertex is one operation with inputs; an edge is one output of a
// vertex. plan.ts makes vertices from instructions; ops/ implements the operations; solve.ts knows neither.
// @see moby/buildkit solver/types.go (Vertex, Op, CacheMap)
import type { Descriptor } from '../descriptor.js'
import type { Digest, DiffID } from '../digest.js'
import type { SourceLocation } from '../errors.js'
import type { Tree } from '../unionfs/index.js'

export interface Edge {
  readonly vertex: Vertex
  readonly output: number
}

export interface Vertex {
  readonly op: Op
  readonly inputs: readonly Edge[]
  /** For progress: the instruction as BuildKit names it, `[2/6] WORKDIR /usr/src/app`. Takes no part in any key. */
  readonly label: VertexLabel
  /** Skip the lookup, still save: --no-cache, --no-cache-filter. */
  readonly ignoreCache: boolean
}

export interface VertexLabel {
  readonly name: string
  readonly stage: string | undefined
  readonly index: number | undefined
  readonly count: number | undefined
  readonly instruction: string | undefined
  readonly location: SourceLocation | undefined
  /** The image's history before this instruction, for key schemes that go by what was written and not by what it means. */
  readonly history?: readonly { readonly created_by?: string }[]
}

/** One layer of a result, stored uncompressed or as it came. */
export interface LayerRef {
  readonly descriptor: Descriptor
  readonly diffID: DiffID
}

/**
 * What an operation gives: a stack of layers, base first, and the tree that they make. A result that comes from the
 * cache knows its layers at once and opens no blob before `tree()` is called; `tree()` is memoised.
 */
export interface Result {
  readonly layers: readonly LayerRef[]
  tree(): Promise<Tree>
}

/** How the cache sees one input of an operation. @see moby/buildkit solver/types.go CacheMap.Deps */
export interface CacheDep {
  /** Which part of the input is used, as a digest; enters the definition-based key. */
  readonly selector: Digest | undefined
  /** Content-based key of the part that is used; absent where only the definition counts. Cheap to call again. */
  readonly content?: ((input: Result) => Promise<Digest>) | undefined
}

/** @see moby/buildkit solver/types.go CacheMap */
export interface CacheMap {
  /** The operation's definition, inputs excluded. */
  readonly digest: Digest
  /** One per input. */
  readonly deps: readonly CacheDep[]
  /**
   * What `digest` was computed from, for `--explain`: named parts in the order in which they matter
   * (`instruction`, `env.NODE_ENV`, `dest`, …).
   */
  readonly preimage: ReadonlyMap<string, string>
}

export interface RunContext {
  readonly signal: AbortSignal | undefined
  readonly onOutput: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void
  readonly onStatus: (what: string, current: number, total: number | undefined) => void
}

/** An operation. Pure in its description, effectful only in `run`. */
export interface Op {
  readonly kind: 'image' | 'local' | 'http' | 'git' | 'scratch' | 'file' | 'exec' | 'merge'
  /** What progress calls it where no instruction names it: `load git source https://…`. */
  readonly title?: string
  /**
   * The ways in which the cache may know this operation, cheapest first: an image source is known by its manifest, then
   * by its chain of diffIDs; every other operation has one.
   */
  cacheMaps(): AsyncIterable<CacheMap> | Iterable<CacheMap>
  /** Executes. Never called on a hit. @returns one result per output */
  run(inputs: readonly Result[], context: RunContext): Promise<readonly Result[]>
}
