// A layer index → a tree, straight, for what most layers are: entries that stand on nothing, each directory before its
// entries, names in order, no links and nothing deleted. What is not so is left to apply.ts, whose answer is the same. Pure.
import { EMPTY_CHILDREN, childrenFromSorted } from './children.js'
import type { TreeNode } from './node.js'
import { Tree } from './tree.js'

/** The rows of an index as layer-index.ts reads them. */
export interface IndexRows {
  readonly count: number
  readonly dirCount: number
  /** Row of the directory that a change lies in. */
  dirOf(index: number): number
  nameOf(index: number): string
  /** Of a directory's row: the row above, which is a lower number, and its name. */
  parentOf(row: number): number
  dirNameOf(row: number): string
  /** The nodes of the changes, in order; `undefined` when one of them is no `put`. */
  nodes(): ((index: number) => TreeNode) | undefined
}

class Folder {
  readonly names: string[]
  readonly nodes: TreeNode[]
  length = 0

  /** @param at  its place in `above` */
  constructor(
    size: number,
    readonly above: Folder | undefined,
    readonly at: number,
  ) {
    // Of the exact length: lists that grow leave as much garbage as they hold. (Array.from takes 650 ns for 20, this 40.)
    this.names = Array<string>(size)
    this.nodes = Array<TreeNode>(size)
  }

  /** @returns false when the name is not above the last one */
  add(name: string, node: TreeNode): boolean {
    const { length } = this
    if (length > 0 && name <= this.names[length - 1]!) return false
    this.names[length] = name
    this.nodes[length] = node
    this.length++
    return true
  }

  /** The node as it is with its entries. */
  closed(node: TreeNode): TreeNode {
    return node.withChildren(childrenFromSorted(this.names, this.nodes))
  }
}

/** The tree that the rows make on top of `base`, a tree without entries; `undefined` when they are not as simple as that. */
export function treeFromRows(base: Tree, rows: IndexRows): Tree | undefined {
  const nodeOf = (base.root.children ?? EMPTY_CHILDREN).size === 0 ? rows.nodes() : undefined
  if (nodeOf === undefined) return undefined
  const sizes = sizesOf(rows)
  const folders: (Folder | undefined)[] = [new Folder(sizes[0]!, undefined, 0)]
  let root = base.root
  for (let i = 0; i < rows.count; i++) {
    const node = nodeOf(i)
    const name = rows.nameOf(i)
    if (name === '') {
      if (node.kind !== 'dir') return undefined
      root = node
      continue
    }
    const row = rows.dirOf(i)
    const folder = (folders[row] ??= entered(row, rows, folders, sizes[row]!))
    if (folder === undefined || !folder.add(name, node)) return undefined
  }
  for (let row = rows.dirCount - 1; row > 0; row--) {
    const folder = folders[row]
    if (folder?.above !== undefined)
      folder.above.nodes[folder.at] = folder.closed(folder.above.nodes[folder.at]!)
  }
  if (folders[0]!.length > 0) root = folders[0]!.closed(root)
  return new Tree(root, new Map())
}

/** Entries of each directory. */
function sizesOf(rows: IndexRows): Uint32Array {
  const sizes = new Uint32Array(rows.dirCount)
  for (let i = 0; i < rows.count; i++) if (rows.nameOf(i) !== '') sizes[rows.dirOf(i)]!++
  return sizes
}

/** A directory with its first entry: the last one that came in the folder above. */
function entered(
  row: number,
  rows: IndexRows,
  folders: readonly (Folder | undefined)[],
  size: number,
): Folder | undefined {
  const above = folders[rows.parentOf(row)]
  const at = (above?.length ?? 0) - 1
  if (above === undefined || at < 0) return undefined
  if (above.names[at] !== rows.dirNameOf(row) || above.nodes[at]!.kind !== 'dir') return undefined
  return new Folder(size, above, at)
}
