// What the layers of an image cost: per layer what it adds, overwrites and deletes, and the bytes that are carried though
// a later layer replaced or removed them. Pure.
import { parentOf } from '../path.js'
import { applyChangeset } from './apply.js'
import type { Changeset } from './changeset.js'
import { EMPTY_TREE, type Tree } from './tree.js'

export interface LayerAnalysis {
  /** Paths that no lower layer had. */
  readonly added: PathTotals
  /** Paths that replace one of a lower layer. */
  readonly overwritten: PathTotals
  /** Paths, with all below them, that it takes away; bytes are of the files that vanish. */
  readonly deleted: PathTotals
}

export interface PathTotals {
  readonly paths: number
  readonly bytes: number
}

/** A path that stands in more than one layer. */
export interface WastedPath {
  readonly path: string
  /** Layers that hold it, deletions included. */
  readonly count: number
  /** Bytes in all of them together. */
  readonly bytes: number
}

export interface ImageAnalysis {
  readonly layers: readonly LayerAnalysis[]
  /**
   * 0 to 1: the least bytes that each path needed, over the bytes that all layers spend on it; 1 for an image without
   * content. @see wagoodman/dive dive/filetree/efficiency.go
   */
  readonly efficiency: number
  /** Sum over `wasted`. */
  readonly wastedBytes: number
  /** Largest first, then by path. */
  readonly wasted: readonly WastedPath[]
}

interface PathCost {
  count: number
  bytes: number
  least: number
}

/** @param changesets  base first */
export function analyzeChangesets(changesets: readonly Changeset[]): ImageAnalysis {
  const costs = new Map<string, PathCost>()
  const layers: LayerAnalysis[] = []
  let below = EMPTY_TREE
  for (const changeset of changesets) {
    layers.push(analyzeLayer(below, changeset))
    for (const [path, bytes] of leafCosts(below, changeset)) addCost(costs, path, bytes)
    below = applyChangeset(below, changeset)
  }
  return { layers, ...score(costs) }
}

function addCost(costs: Map<string, PathCost>, path: string, bytes: number): void {
  const cost = costs.get(path)
  if (cost === undefined) {
    costs.set(path, { count: 1, bytes, least: bytes })
    return
  }
  cost.count++
  cost.bytes += bytes
  cost.least = Math.min(cost.least, bytes)
}

/**
 * The leaves of one layer's own tree with what they cost: a file its size, a deletion of a directory the size of what
 * vanishes with it, anything else nothing. Directories that have entries in this layer are no leaves.
 */
function leafCosts(below: Tree, changeset: Changeset): Map<string, number> {
  const out = new Map<string, number>()
  const inner = new Set<string>()
  for (const change of changeset) {
    if (change.kind === 'opaque') continue
    for (let path = parentOf(change.path); path !== '' && !inner.has(path); path = parentOf(path))
      inner.add(path)
    if (change.kind === 'put') out.set(change.path, change.node.kind === 'file' ? change.node.size : 0)
    else if (change.kind === 'link') out.set(change.path, 0)
    else out.set(change.path, below.lookup(change.path)?.kind === 'dir' ? bytesBelow(below, change.path) : 0)
  }
  out.delete('')
  for (const path of inner) out.delete(path)
  return out
}

function bytesBelow(tree: Tree, path: string): number {
  let bytes = 0
  for (const { node } of tree.walk(path)) if (node.kind === 'file') bytes += node.size
  return bytes
}

function analyzeLayer(below: Tree, changeset: Changeset): LayerAnalysis {
  const added = { paths: 0, bytes: 0 }
  const overwritten = { paths: 0, bytes: 0 }
  const deleted = { paths: 0, bytes: 0 }
  for (const change of changeset) {
    if (change.path === '' && change.kind !== 'opaque') continue
    const before = below.lookup(change.path)
    if (change.kind === 'delete' || change.kind === 'opaque') {
      if (before === undefined) continue
      // An opaque directory stays; what goes is below it.
      const gone = [...below.walk(change.path)].slice(change.kind === 'opaque' ? 1 : 0)
      deleted.paths += gone.length
      for (const { node } of gone) deleted.bytes += node.kind === 'file' ? node.size : 0
    } else {
      const totals = before === undefined ? added : overwritten
      totals.paths++
      totals.bytes += change.kind === 'put' && change.node.kind === 'file' ? change.node.size : 0
    }
  }
  return { added, overwritten, deleted }
}

function score(
  costs: ReadonlyMap<string, PathCost>,
): Pick<ImageAnalysis, 'efficiency' | 'wastedBytes' | 'wasted'> {
  let least = 0
  let spent = 0
  const wasted: WastedPath[] = []
  for (const [path, cost] of costs) {
    least += cost.least
    spent += cost.bytes
    if (cost.count > 1) wasted.push({ path, count: cost.count, bytes: cost.bytes })
  }
  wasted.sort((a, b) => b.bytes - a.bytes || (a.path < b.path ? -1 : 1))
  return {
    efficiency: spent === 0 ? 1 : least / spent,
    wastedBytes: wasted.reduce((sum, { bytes }) => sum + bytes, 0),
    wasted,
  }
}
