// A tree: the merged state of a stack of layers as an immutable value, with lookups, walks and hard-link groups. Pure.
// Edits: tree-editor.ts. Layers on top: apply.ts. Comparison: diff.ts.
import { joinPath, normalizePath, splitPath } from '../path.js'
import { EMPTY_CHILDREN, mayHoldLinks } from './children.js'
import { TreeNode } from './node.js'
import { comparePaths } from './path-order.js'

/** Symlinks that one path walk follows before it gives up, as in Linux (path_resolution(7)). */
export const SYMLINKS_MAX = 40

export interface Located {
  /** In the form of `normalizePath`; the root is ''. */
  readonly path: string
  readonly node: TreeNode
}

/** Names of each hard-linked inode by `ino`, every list in walk order and at least two long. */
export type LinkGroups = ReadonlyMap<number, readonly string[]>

/** An immutable file tree. Equal `root` objects mean equal trees; unchanged directories are shared between versions. */
export class Tree {
  readonly root: TreeNode
  #links: LinkGroups | undefined

  /** @param links  the groups of `root`, when the caller has them; otherwise found when first asked for */
  constructor(root: TreeNode, links?: LinkGroups) {
    this.root = root
    this.#links = links
  }

  /**
   * The node at a path, taken literally: a symlink on the way is not a directory. `..` is resolved lexically.
   * `undefined` when there is none.
   */
  lookup(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.root
    let start = 0
    while (start < path.length) {
      let end = path.indexOf('/', start)
      if (end === -1) end = path.length
      const name = path.slice(start, end)
      if (name === '..') return this.lookup(normalizePath(path))
      if (name !== '' && name !== '.') {
        node = node.children?.get(name)
        if (node === undefined) return undefined
      }
      start = end + 1
    }
    return node
  }

  /**
   * Follows a path as the kernel does with this tree as root: symlinks are followed inside the tree, `..` goes to the
   * parent of where the walk is and stops at the root, a trailing slash demands a directory.
   *
   * @param options.followLast  whether a symlink at the end is followed too; default true
   * @returns where the walk ends, `path` free of symlinks; `undefined` when something on it is missing, is not a
   *          directory, or more than 40 symlinks were met
   */
  resolve(path: string, options: { readonly followLast?: boolean } = {}): Located | undefined {
    const mustBeDir = /\/\.?$/.test(path) || /(^|\/)\.\.?$/.test(path)
    const followLast = (options.followLast ?? true) || mustBeDir
    const todo = pathParts(path).reverse()
    const trail: Located[] = [{ path: '', node: this.root }]
    let budget = SYMLINKS_MAX
    while (todo.length > 0) {
      const here = trail.at(-1)!
      if (here.node.kind !== 'dir') return undefined
      const name = todo.pop()!
      if (name === '..') {
        if (trail.length > 1) trail.pop()
        continue
      }
      const node = here.node.children?.get(name)
      if (node === undefined) return undefined
      if (node.kind === 'symlink' && (todo.length > 0 || followLast)) {
        if (budget-- === 0 || node.target === '') return undefined
        if (node.target.startsWith('/')) trail.length = 1
        todo.push(...pathParts(node.target).reverse())
      } else trail.push({ path: joinPath(here.path, name), node })
    }
    const last = trail.at(-1)!
    return mustBeDir && last.node.kind !== 'dir' ? undefined : last
  }

  /** The node at `path` (not followed) and all below it: directories before their entries, entries in byte order. */
  *walk(path = ''): Generator<Located> {
    const start = splitPath(path).join('/')
    const top = this.lookup(start)
    if (top === undefined) return
    yield { path: start, node: top }
    const stack = [{ path: start, node: top, names: namesOf(top), next: 0 }]
    while (stack.length > 0) {
      const frame = stack.at(-1)!
      if (frame.next === frame.names.length) {
        stack.pop()
        continue
      }
      const name = frame.names[frame.next++]!
      const node = frame.node.children!.get(name)!
      const below = joinPath(frame.path, name)
      yield { path: below, node }
      if (node.children !== undefined && node.children.size > 0) {
        stack.push({ path: below, node, names: namesOf(node), next: 0 })
      }
    }
  }

  /** The hard-link groups. Found once, by a walk that enters only directories that may hold linked files. */
  get links(): LinkGroups {
    return (this.#links ??= collectLinks(this.root))
  }

  /** The groups when they are known already, else `undefined`: lets an edit pass them on without computing them. @internal */
  get knownLinks(): LinkGroups | undefined {
    return this.#links
  }

  /**
   * All names of a hard-linked file, in walk order; empty for a node that has one name or is not in this tree.
   * (Of an unlinked node the tree does not know the path.)
   */
  linksOf(node: TreeNode): readonly string[] {
    return node.nlink > 1 ? (this.links.get(node.ino) ?? []) : []
  }
}

function namesOf(node: TreeNode): readonly string[] {
  return node.children?.names() ?? []
}

/** Components as the kernel walks them: `..` kept, because its meaning depends on symlinks before it. */
function pathParts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** Linked nodes below `root` by inode; paths begin with `prefix`. @internal */
export function collectLinkedNodes(root: TreeNode, prefix = ''): Map<number, Located[]> {
  const out = new Map<number, Located[]>()
  const todo: Located[] = [{ path: prefix, node: root }]
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (!mayHoldLinks(next.node.children)) continue
    for (const [name, node] of next.node.children!.entries()) {
      const located = { path: joinPath(next.path, name), node }
      if (node.kind === 'dir') todo.push(located)
      else if (node.nlink > 1) {
        const group = out.get(node.ino)
        if (group === undefined) out.set(node.ino, [located])
        else group.push(located)
      }
    }
  }
  return out
}

function collectLinks(root: TreeNode): LinkGroups {
  const out = new Map<number, readonly string[]>()
  for (const [ino, group] of collectLinkedNodes(root)) {
    if (group.length > 1) out.set(ino, group.map(({ path }) => path).sort(comparePaths))
  }
  return out
}

/** A root directory, 0755, owned by root, epoch, without entries. */
export const EMPTY_TREE: Tree = new Tree(new TreeNode({ kind: 'dir', mode: 0o755, children: EMPTY_CHILDREN }))
