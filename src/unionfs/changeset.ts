// A changeset: what one layer does to the tree below it. Pure. Inside lamella a deletion is a value; `.wh.` names exist
// only in whiteout.ts and layer-codec.ts.
import { joinPath } from '../path.js'
import type { TreeNode } from './node.js'

/**
 * One change. Paths are in the form of `normalizePath`; the root is ''.
 * - `put`: the path now holds this node. For a directory the node carries metadata only (its `children` are not looked
 *   at): an existing directory keeps its entries, anything else is replaced by an empty directory.
 * - `link`: the path is a further name of `target`, an entry of this layer or of the tree below.
 * - `delete`: the path, with all below it, is not there. Hides lower layers only, wherever it stands in its layer.
 * - `opaque`: the directory shows nothing of the lower layers.
 */
export type Change =
  | { readonly kind: 'put'; readonly path: string; readonly node: TreeNode }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'delete'; readonly path: string }
  | { readonly kind: 'opaque'; readonly path: string }

/**
 * A `put` that keeps its path in two parts, as layer indexes have it: no string is joined and cut again for each entry,
 * and the name does not hold the memory of the path. @internal
 */
export class PutChange {
  readonly kind = 'put'
  readonly dir: string
  readonly name: string
  readonly node: TreeNode

  constructor(dir: string, name: string, node: TreeNode) {
    this.dir = dir
    this.name = name
    this.node = node
  }

  get path(): string {
    return joinPath(this.dir, this.name)
  }
}

/** The changes of one layer in the layer's own order. The meaning does not depend on where deletions stand in it. */
export type Changeset = readonly Change[]

/** A changeset that need not be in memory as a whole. Both may be iterated more than once. @internal */
export interface ChangeSource {
  /** The `delete` and `opaque` changes. */
  deletions(): Iterable<Change>
  /** The others, in their order. */
  entries(): Iterable<Change>
}

/** A change as people read it, as `docker diff` prints it. Paths begin with `/`. */
export interface ChangeSummary {
  /** Added, changed, deleted. */
  readonly kind: 'A' | 'C' | 'D'
  readonly path: string
}
