// Key schemes: by what a step is known again. The solver asks a scheme how an operation and its inputs count; the rest of
// the machinery is the same for all. `buildkit` is BuildKit's own, `classic` that of the legacy Docker builder.
import { digestOf, type Digest } from '../digest.js'
import type { CacheMap, Vertex } from './vertex.js'

/** How one operation counts under a scheme. */
export interface SchemeMap {
  /** Stands for the operation, inputs excluded. */
  readonly digest: Digest
  /** Whether an input counts by its own keys, and with which selector; one per input. */
  readonly definitions: readonly (false | { readonly selector: Digest | undefined })[]
  /** Whether an input may count by what is read of it; one per input. Only where the operation can tell. */
  readonly contents: readonly boolean[]
}

/**
 * A strategy for cache keys. Pure: the same vertex and map give the same answer on every machine. Keys of different
 * schemes never meet, because `digest` tells them apart.
 */
export interface KeyScheme {
  readonly name: string
  map(vertex: Vertex, map: CacheMap): SchemeMap
}

/** Definition first, content when that finds nothing. @see docs/cache.md */
export const buildkitScheme: KeyScheme = {
  name: 'buildkit',
  map: (_vertex, { digest, deps }) => ({
    digest,
    definitions: deps.map(({ selector }) => ({ selector })),
    contents: deps.map(({ content }) => content !== undefined),
  }),
}

/**
 * The legacy builder's: the image so far, the instruction's text as it stands, and a checksum of the files it brings.
 * Everything that changes the image's configuration on the way changes the key, even where it cannot change the files.
 * @see facts: moby/moby builder/dockerfile (probeCache, imageProber), daemon/images/cache.go
 */
export const classicScheme: KeyScheme = {
  name: 'classic',
  map: (vertex, map) => ({
    digest: SOURCES.has(vertex.op.kind) ? map.digest : classicDigest(vertex, map),
    definitions: map.deps.map((_, i) => (i === 0 && !readsOnly(map, i) ? { selector: undefined } : false)),
    contents: map.deps.map(({ content }) => content !== undefined),
  }),
}

/** What an instruction starts from counts by what it is, under every scheme. */
const SOURCES: ReadonlySet<Vertex['op']['kind']> = new Set(['image', 'local', 'http', 'git', 'scratch'])

/** Whether an input is only read, and so counts by content and not by where it came from. */
function readsOnly(map: CacheMap, input: number): boolean {
  return map.deps[input]!.content !== undefined
}

function classicDigest({ op, label }: Vertex, map: CacheMap): Digest {
  const before = label.history?.map(({ created_by }) => created_by ?? '') ?? []
  const text = label.instruction ?? label.name
  return digestOf(JSON.stringify(['lamella.classic.v0', op.kind, before, text, [...map.preimage]]))
}

export const KEY_SCHEMES = { buildkit: buildkitScheme, classic: classicScheme } as const
