// What each step of a build was found to be, in one form for both builders: `CACHED` or `ran`, by name.
import type { BuildResult } from '../../src/builder/index.js'
import { isStep, type LiveBuild } from './cache-live.js'

/** Sorted lines, one for each step that took part; `undefined` for a build that failed. */
export type Decisions = readonly string[] | undefined

export function decisionsOfLive({ ok, steps }: LiveBuild): Decisions {
  if (!ok) return undefined
  return steps
    .filter(({ name, done }) => isStep(name) && done)
    .map(({ name, cached }) => `${name}: ${cached ? 'CACHED' : 'ran'}`)
    .toSorted()
}

export function decisionsOfOwn({ steps }: Pick<BuildResult, 'steps'>): Decisions {
  return steps
    .filter(({ vertex }) => isStep(vertex.label.name))
    .map(({ vertex, outcome }) => `${vertex.label.name}: ${outcome === 'hit' ? 'CACHED' : 'ran'}`)
    .toSorted()
}

/**
 * Decisions with the steps left open that take nothing from anywhere, as a WORKDIR on scratch: BuildKit says of those that it
 * found that they ran, unless it needed their result.
 */
export function withoutRoots(decisions: Decisions, { steps }: Pick<BuildResult, 'steps'>): Decisions {
  const roots = new Set(
    steps.filter(({ vertex }) => vertex.inputs.length === 0).map(({ vertex }) => vertex.label.name),
  )
  return decisions?.map((line) =>
    line.replace(/: (?:CACHED|ran)$/, (end) => (roots.has(line.slice(0, -end.length)) ? '' : end)),
  )
}
