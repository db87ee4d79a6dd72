// The entries of one directory: an immutable map from name to node that shares its parts with the maps it came from. Pure.
import type { TreeNode } from './node.js'

export interface Children {
  readonly size: number
  get(name: string): TreeNode | undefined
  /** Names in byte order. Computed once, then shared: never write into it. */
  names(): readonly string[]
  /** In no particular order; the cheapest way to see all. */
  entries(): Iterable<readonly [name: string, node: TreeNode]>
  /** The map after some changes; `undefined` removes. Cost follows the number of changes, not the size. */
  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children
}
