// Many edits of a tree at the cost of the edits: a mutable draft over an immutable tree. No filesystem semantics (no
// permissions, times or errno): those are the view's. Hard-link groups are kept right under every edit.
import { LayerError } from '../errors.js'
import { baseNameOf, joinPath, normalizePath, parentOf } from '../path.js'
import { EMPTY_CHILDREN, mayHoldLinks } from './children.js'
import { Draft, freeze, type Slot } from './draft.js'
import { nextIno, type TreeNode } from './node.js'
import { comparePaths, isWithin } from './path-order.js'
import { collectLinkedNodes, Tree, type LinkGroups } from './tree.js'

/** A directory of one editor. @internal */
export type DirectoryHandle = Draft

/** A hard-link group that this edit has touched. `node` is current; names elsewhere get it in `finish`. */
interface Group {
  node: TreeNode
  readonly paths: Set<string>
  /** Whether the names' nodes must be set in `finish`. */
  stale: boolean
}

/**
 * An edit in progress. Paths are in the form of `normalizePath` (others are normalised). Cost follows the number of
 * edits and of linked names they touch, not the size of the tree. One editor serves until `finish`.
 */
export class TreeEditor {
  readonly #tree: Tree
  readonly #root: Draft
  readonly #groups = new Map<number, Group>()
  #mayHaveLinks: boolean
  #finished = false
  #epoch = 0
  /** The directory of the last edit: layers and walks put siblings in a row. */
  #lastPath: string | undefined
  #lastDraft: Draft | undefined

  constructor(tree: Tree) {
    this.#tree = tree
    this.#root = new Draft(tree.root)
    this.#mayHaveLinks = mayHoldLinks(tree.root.children)
  }

  /**
   * The node at a path now, symlinks not followed; `undefined` when there is none. Of a directory with pending edits the
   * metadata is current but `children` are from before: ask `lookup` and `names` for what is below.
   */
  lookup(path: string): TreeNode | undefined {
    const at = clean(path)
    const slot = this.#slot(at)
    if (slot === undefined) return undefined
    if (slot instanceof Draft) return slot.node
    return this.#groupAt(at, slot)?.node ?? slot
  }

  /** The names in a directory now, in no particular order; empty for what is not a directory. */
  *names(path: string): Generator<string> {
    const slot = this.#slot(clean(path))
    if (slot instanceof Draft) {
      yield* slot.names()
    } else if (slot?.children !== undefined) {
      for (const [name] of slot.children.entries()) yield name
    }
  }

  /**
   * Puts a node at a path. The parent must be a directory.
   * - A directory over a directory: new metadata, the entries stay (`node.children` is not looked at).
   * - A directory elsewhere: the node as it is, with its `children`; hard links inside become groups of their own.
   * - Another kind: replaces what is there, with all below it. A node with the `ino` of the hard-linked file that it
   *   replaces is a change of that inode and shows at all its names; with another `ino` this name leaves the group.
   *
   * @throws LayerError LAYER_ENTRY_INVALID when the parent is missing or not a directory, or a root that is no directory
   */
  put(path: string, node: TreeNode): void {
    const at = clean(path)
    if (at === '') this.#putRoot(node)
    else this.putIn(this.directory(parentOf(at), at), parentOf(at), baseNameOf(at), node)
  }

  /**
   * A directory to put many entries into with `putIn`. Good until `epoch` changes.
   * @throws LayerError LAYER_ENTRY_INVALID when `path` is no directory; `forEntry` is whom the message names
   * @internal
   */
  directory(path: string, forEntry: string): DirectoryHandle {
    return this.#draftAt(path, forEntry)
  }

  /** As `put`, the parent being known already. @internal */
  putIn(directory: DirectoryHandle, dirPath: string, name: string, node: TreeNode): void {
    const existing = directory.get(name)
    if (node.kind === 'dir') this.#putDirectory(directory, dirPath, name, existing, node)
    else {
      if (existing !== undefined && this.#replaceInode(joinPath(dirPath, name), existing, node)) return
      directory.set(name, single(node))
    }
  }

  /** Changes whenever a directory goes or moves. @internal */
  get epoch(): number {
    return this.#epoch
  }

  #putDirectory(parent: Draft, dirPath: string, name: string, existing: Slot, node: TreeNode): void {
    const below = existing instanceof Draft ? existing : directoryOf(existing)
    if (below instanceof Draft) below.node = node
    else if (below !== undefined) parent.set(name, new Draft(node, below.children ?? EMPTY_CHILDREN))
    else this.#putSubtree(joinPath(dirPath, name), parent, existing, node)
  }

  /** Clears the way for a node that is no directory. @returns whether all names of the old inode have it now */
  #replaceInode(at: string, existing: Draft | TreeNode, node: TreeNode): boolean {
    if (!(existing instanceof Draft)) {
      const group = this.#groupAt(at, existing)
      if (group !== undefined && existing.ino === node.ino) {
        group.node = node
        group.stale = true
        return true
      }
    }
    this.#detach(at, existing)
    return false
  }

  /** Puts a whole subtree at a path: what is there goes, with all below it. @throws as `put` */
  replace(path: string, node: TreeNode): void {
    const at = clean(path)
    if (at !== '') this.remove(at)
    else for (const name of Array.from(this.names(''))) this.remove(name)
    this.put(at, node)
    if (at === '') for (const [name, child] of node.children?.entries() ?? []) this.put(name, child)
  }

  /**
   * Makes `path` a further name of the file at `targetPath`; what was at `path` goes. Linking a file to a name that it
   * has already changes nothing.
   *
   * @throws LayerError LAYER_LINK_INVALID when the target is missing, is a directory, or lies below `path`
   * @throws LayerError LAYER_ENTRY_INVALID when the parent of `path` is missing or not a directory
   */
  link(path: string, targetPath: string): void {
    const at = clean(path)
    const from = clean(targetPath)
    const target = this.lookup(from)
    if (target === undefined || target.kind === 'dir' || at === '' || (at !== from && isWithin(from, at))) {
      throw new LayerError('LAYER_LINK_INVALID', `cannot link ${show(at)} to ${show(from)}: ${why(target)}`, {
        data: { path: at, target: from },
      })
    }
    if (at === from) return
    const parent = this.#parentDraft(at)
    const name = baseNameOf(at)
    const group = this.#groupFor(from, target)
    if (group.paths.has(at)) return
    this.#detach(at, parent.get(name))
    group.paths.add(at)
    group.stale = true
    this.#mayHaveLinks = true
    parent.set(name, group.node)
  }

  /** Removes a path with all below it. The root stays and loses its entries. @returns whether it was there */
  remove(path: string): boolean {
    const at = clean(path)
    if (at === '') {
      for (const name of Array.from(this.names(''))) this.remove(name)
      return true
    }
    const slot = this.#slot(at)
    if (slot === undefined) return false
    this.#detach(at, slot)
    this.#parentDraft(at).set(baseNameOf(at), undefined)
    return true
  }

  /**
   * Moves what is at `from`, with all below it, to `to`; what was there goes. O(1) but for linked names inside.
   * @throws LayerError LAYER_ENTRY_INVALID when `from` or the parent of `to` is missing, or `to` lies below `from`
   */
  move(from: string, to: string): void {
    const [source, dest] = [clean(from), clean(to)]
    if (source === dest) return
    const slot = this.#slot(source)
    if (slot === undefined || source === '' || isWithin(dest, source) || isWithin(source, dest)) {
      throw entryError(dest, `cannot move ${show(source)} to ${show(dest)}`)
    }
    const parent = this.#parentDraft(dest)
    this.#detach(dest, parent.get(baseNameOf(dest)))
    for (const { group, path } of this.#linkedWithin(source, slot)) {
      group.paths.delete(path)
      group.paths.add(dest + path.slice(source.length))
    }
    this.#forgetLast()
    parent.set(baseNameOf(dest), slot)
    this.#parentDraft(source).set(baseNameOf(source), undefined)
  }

  /** The tree with all edits; the same object when nothing changed. The editor is spent afterwards. */
  finish(): Tree {
    for (const group of this.#groups.values()) this.#settle(group)
    this.#finished = true
    const root = freeze(this.#root)
    return root === this.#tree.root ? this.#tree : new Tree(root, this.#newLinks())
  }

  #putRoot(node: TreeNode): void {
    this.#assertOpen()
    if (node.kind !== 'dir') throw entryError('', 'the root must be a directory')
    this.#root.node = node
  }

  #putSubtree(at: string, parent: Draft, existing: Slot, node: TreeNode): void {
    this.#detach(at, existing)
    parent.set(baseNameOf(at), node)
    for (const linked of collectLinkedNodes(node, at).values()) {
      const first = linked[0]!.node
      const ino = this.#inoInUse(first.ino) ? nextIno() : first.ino
      const paths = new Set(linked.map(({ path }) => path))
      const group = { node: ino === first.ino ? first : first.with({ ino }), paths, stale: true }
      this.#groups.set(ino, group)
      this.#mayHaveLinks = true
      if (ino === first.ino) continue
      // A group is found by its nodes' number, so a new number must be seen everywhere at once.
      for (const path of paths) this.#parentDraft(path).set(baseNameOf(path), group.node)
    }
  }

  #inoInUse(ino: number): boolean {
    const group = this.#groups.get(ino)
    if (group !== undefined) return group.paths.size > 0
    return this.#mayHaveLinks && this.#tree.links.has(ino)
  }

  #slot(path: string): Slot {
    if (path === '') return this.#root
    if (path.length > 0 && this.#lastDraft !== undefined && this.#lastPath === parentOf(path)) {
      return this.#lastDraft.get(baseNameOf(path))
    }
    let slot: Slot = this.#root
    let start = 0
    while (start <= path.length && slot !== undefined) {
      let end = path.indexOf('/', start)
      if (end === -1) end = path.length
      const name = path.slice(start, end)
      slot = slot instanceof Draft ? slot.get(name) : slot.children?.get(name)
      start = end + 1
    }
    return slot
  }

  #parentDraft(path: string): Draft {
    return this.#draftAt(parentOf(path), path)
  }

  /** The draft of a directory, made with all drafts above it. */
  #draftAt(wanted: string, path: string): Draft {
    this.#assertOpen()
    if (this.#lastDraft !== undefined && this.#lastPath === wanted) return this.#lastDraft
    let draft = this.#root
    let start = 0
    while (start < wanted.length) {
      let end = wanted.indexOf('/', start)
      if (end === -1) end = wanted.length
      const name = wanted.slice(start, end)
      let slot: Slot = draft.get(name)
      if (!(slot instanceof Draft)) {
        const dir = directoryOf(slot)
        if (dir === undefined) {
          const what = slot === undefined ? 'is missing' : 'is not a directory'
          throw entryError(path, `parent ${show(wanted.slice(0, end))} of ${show(path)} ${what}`)
        }
        slot = new Draft(dir)
        draft.set(name, slot)
      }
      draft = slot
      start = end + 1
    }
    this.#lastPath = wanted
    this.#lastDraft = draft
    return draft
  }

  /** Takes what is at a path out of its hard-link groups; must precede its replacement. */
  #detach(path: string, slot: Slot): void {
    if (slot === undefined) return
    if (slot instanceof Draft || slot.kind === 'dir') this.#forgetLast()
    if (!this.#mayHaveLinks) return
    for (const { group, path: name } of this.#linkedWithin(path, slot)) {
      group.paths.delete(name)
      group.stale = true
    }
  }

  #forgetLast(): void {
    this.#epoch++
    this.#lastPath = undefined
    this.#lastDraft = undefined
  }

  /** The linked names at or below a path, their groups loaded. Enters only what may hold links. */
  #linkedWithin(path: string, slot: Draft | TreeNode): { group: Group; path: string }[] {
    const out: { group: Group; path: string }[] = []
    if (!this.#mayHaveLinks) return out
    const todo: { at: string; slot: Draft | TreeNode }[] = [{ at: path, slot }]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const { at, slot: here } = next
      if (here instanceof Draft) {
        for (const [name, below] of here.linkable()) todo.push({ at: joinPath(at, name), slot: below })
      } else if (here.kind === 'dir') {
        for (const linked of collectLinkedNodes(here, at).values()) {
          for (const { path: name, node } of linked) todo.push({ at: name, slot: node })
        }
      } else {
        const group = this.#groupAt(at, here)
        if (group !== undefined) out.push({ group, path: at })
      }
    }
    return out
  }

  /** The group that the node at this path belongs to, if any. */
  #groupAt(path: string, node: TreeNode): Group | undefined {
    if (!this.#mayHaveLinks || node.kind === 'dir') return undefined
    const loaded = this.#groups.get(node.ino)
    if (loaded !== undefined) return loaded.paths.has(path) ? loaded : undefined
    if (node.nlink === 1) return undefined
    const paths = this.#tree.links.get(node.ino)
    return paths?.includes(path) === true ? this.#load(node.ino, paths) : undefined
  }

  #load(ino: number, paths: readonly string[]): Group {
    const group: Group = { node: this.#tree.lookup(paths[0]!)!, paths: new Set(paths), stale: false }
    this.#groups.set(ino, group)
    return group
  }

  /** The group of the file at `path`, a new one of that single name if it had none. */
  #groupFor(path: string, node: TreeNode): Group {
    const existing = this.#groupAt(path, node)
    if (existing !== undefined) return existing
    const ino = this.#inoInUse(node.ino) ? nextIno() : node.ino
    const group: Group = {
      node: ino === node.ino ? node : node.with({ ino }),
      paths: new Set([path]),
      stale: true,
    }
    this.#groups.set(ino, group)
    // Set at once, so that a walk of the drafts meets it: its old node does not look linked.
    this.#parentDraft(path).set(baseNameOf(path), group.node)
    return group
  }

  /** Gives all names of a group one node with the right count. */
  #settle(group: Group): void {
    if (!group.stale || group.paths.size === 0) return
    const node =
      group.node.nlink === group.paths.size ? group.node : group.node.with({ nlink: group.paths.size })
    for (const path of group.paths) this.#parentDraft(path).set(baseNameOf(path), node)
  }

  #newLinks(): LinkGroups | undefined {
    const before = this.#tree.knownLinks
    if (this.#groups.size === 0) return before ?? (this.#mayHaveLinks ? undefined : new Map())
    const links = new Map(before ?? this.#tree.links)
    for (const [ino, { paths }] of this.#groups) {
      if (paths.size > 1) links.set(ino, [...paths].sort(comparePaths))
      else links.delete(ino)
    }
    return links
  }

  #assertOpen(): void {
    if (this.#finished) throw new Error('this TreeEditor has finished')
  }
}

/** The path as trees spell it; most callers' paths are in that form already. */
function clean(path: string): string {
  if (path === '' || !/(^|\/)(\.{0,2})(\/|$)/.test(path)) return path
  return normalizePath(path)
}

function directoryOf(slot: TreeNode | undefined): TreeNode | undefined {
  return slot?.kind === 'dir' ? slot : undefined
}

/** A node under one name: a count from another tree does not hold here. */
function single(node: TreeNode): TreeNode {
  return node.nlink === 1 ? node : node.with({ nlink: 1 })
}

function show(path: string): string {
  return JSON.stringify('/' + path)
}

function why(target: TreeNode | undefined): string {
  if (target === undefined) return 'the target does not exist'
  return target.kind === 'dir' ? 'the target is a directory' : 'the target lies below the link'
}

function entryError(path: string, message: string): LayerError {
  return new LayerError('LAYER_ENTRY_INVALID', message, { data: { path } })
}
