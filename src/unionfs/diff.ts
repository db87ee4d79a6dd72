// Two trees compared: the changes that make the second out of the first, true changes only, in one fixed order. Pure.
// Subtrees and directory shards that both share are skipped by pointer, so the cost follows what differs.
import { joinPath } from '../path.js'
import type { Change, ChangeSummary, Changeset } from './changeset.js'
import { childrenDifferences } from './children.js'
import { sameBytes, sameContent } from './content.js'
import type { TreeNode, Xattrs } from './node.js'
import { comparePaths } from './path-order.js'
import type { Tree } from './tree.js'

/**
 * The changes from `a` to `b`: `applyChangeset(a, diffTrees(a, b))` equals `b`. Directories come before their entries,
 * entries in byte order, so equal trees give equal changesets.
 *
 * An entry whose kind, metadata (mode, owner, times, xattrs), link target, device and content are the same is no change.
 * A hard-linked inode that changes, or gains a name, comes with all its names: the first in order as `put`, the others as
 * `link` to it, because a link to a lower layer's file cannot be unpacked by tools that keep layers apart.
 */
export function diffTrees(a: Tree, b: Tree): Changeset {
  return new Comparison(a, b).run()
}

interface Pair {
  readonly path: string
  readonly before: TreeNode | undefined
  readonly after: TreeNode | undefined
}

class Comparison {
  readonly #a: Tree
  readonly #b: Tree
  readonly #out: Change[] = []
  /** Hard-linked inodes of `b` whose names must all be written, by inode. */
  readonly #groups = new Map<number, TreeNode>()

  constructor(a: Tree, b: Tree) {
    this.#a = a
    this.#b = b
  }

  run(): Changeset {
    const todo: Pair[] = [{ path: '', before: this.#a.root, after: this.#b.root }]
    for (let pair = todo.pop(); pair !== undefined; pair = todo.pop()) {
      if (pair.before !== pair.after) this.#compare(pair, todo)
    }
    if (this.#groups.size > 0) {
      for (const node of this.#groups.values()) this.#writeGroup(node)
      this.#out.sort((x, y) => comparePaths(x.path, y.path))
    }
    return this.#out
  }

  #compare({ path, before, after }: Pair, todo: Pair[]): void {
    if (after === undefined) this.#out.push({ kind: 'delete', path })
    else if (after.kind !== 'dir') {
      if (before !== undefined && this.#unchanged(before, after)) return
      if (this.#b.linksOf(after).length > 1) this.#groups.set(after.ino, after)
      else this.#out.push({ kind: 'put', path, node: after })
    } else {
      const dir = before?.kind === 'dir' ? before : undefined
      if (dir === undefined || !sameMeta(dir, after)) this.#out.push({ kind: 'put', path, node: after })
      this.#compareEntries(path, dir, after, todo)
    }
  }

  #compareEntries(path: string, before: TreeNode | undefined, after: TreeNode, todo: Pair[]): void {
    let pairs: Pair[] = []
    let removed = 0
    for (const [name, x, y] of childrenDifferences(before?.children, after.children)) {
      if (y === undefined) removed++
      pairs.push({ path: joinPath(path, name), before: x, after: y })
    }
    // One opaque marker instead of many deletions, where nothing of the lower directory stays. Not for the root: there
    // is no entry that could carry it in the tools that keep a layer's directories apart.
    if (removed > 1 && path !== '' && removed === before?.children?.size) {
      this.#out.push({ kind: 'opaque', path })
      pairs = pairs.filter((pair) => pair.after !== undefined)
    }
    pairs.sort((x, y) => -comparePaths(x.path, y.path))
    for (const pair of pairs) todo.push(pair)
  }

  /**
   * Whether what stands at a path needs no entry. For hard links: `y` keeps names that one inode of `a` had, and of
   * several inodes of `b` that share such an origin only the one at its first name is kept.
   */
  #unchanged(x: TreeNode, y: TreeNode): boolean {
    if (!sameInode(x, y)) return false
    const before = this.#a.linksOf(x)
    const after = this.#b.linksOf(y)
    if (before.length === 0) return after.length === 0
    return this.#isSubset(x, y) && this.#keeper(x, before) === y
  }

  #isSubset(x: TreeNode, y: TreeNode): boolean {
    return this.#b.linksOf(y).every((name) => this.#a.lookup(name) === x)
  }

  /** The inode of `b` that stands for `x`, an inode with the names `names` in `a`. */
  #keeper(x: TreeNode, names: readonly string[]): TreeNode | undefined {
    for (const name of names) {
      const node = this.#b.lookup(name)
      if (node !== undefined && sameInode(x, node) && this.#isSubset(x, node)) return node
    }
    return undefined
  }

  #writeGroup(node: TreeNode): void {
    const [target, ...others] = this.#b.linksOf(node) as [string, ...string[]]
    this.#out.push({ kind: 'put', path: target, node })
    for (const path of others) this.#out.push({ kind: 'link', path, target })
  }
}

/** Same kind, metadata and content; names and inode numbers take no part. */
export function sameInode(x: TreeNode, y: TreeNode): boolean {
  return x === y || (sameMeta(x, y) && (x.kind !== 'file' || sameContent(x, y)))
}

function sameMeta(x: TreeNode, y: TreeNode): boolean {
  return (
    x.kind === y.kind &&
    x.mode === y.mode &&
    x.uid === y.uid &&
    x.gid === y.gid &&
    x.mtimeSec === y.mtimeSec &&
    x.mtimeNsec === y.mtimeNsec &&
    x.target === y.target &&
    sameXattrs(x.xattrs, y.xattrs)
  )
}

function sameXattrs(x: Xattrs | undefined, y: Xattrs | undefined): boolean {
  if (x === y) return true
  if (x === undefined || y === undefined || x.size !== y.size) return false
  for (const [name, value] of x) {
    const other = y.get(name)
    if (other === undefined || !sameBytes(value, other)) return false
  }
  return true
}

/**
 * The changes as people read them: what is new to `lower`, changed, or gone from it, in walk order. An opaque directory
 * is spelled out as the deletions that it means.
 */
export function summarizeChanges(lower: Tree, changeset: Changeset): ChangeSummary[] {
  const kinds = new Map<string, ChangeSummary['kind']>()
  for (const change of changeset) {
    if (change.kind === 'delete' && lower.lookup(change.path) !== undefined) kinds.set(change.path, 'D')
    if (change.kind === 'opaque') {
      const names = lower.lookup(change.path)?.children?.names() ?? []
      for (const name of names) kinds.set(joinPath(change.path, name), 'D')
    }
  }
  for (const change of changeset) {
    if (change.kind !== 'put' && change.kind !== 'link') continue
    kinds.set(change.path, lower.lookup(change.path) === undefined ? 'A' : 'C')
  }
  return [...kinds].sort(([a], [b]) => comparePaths(a, b)).map(([path, kind]) => ({ kind, path: '/' + path }))
}
