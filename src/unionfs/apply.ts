// A changeset on top of a tree: what unpacking a layer does. Pure.
//
// The rules are the OCI image-spec's (layer.md § Applying Changesets), and where it is silent those that docker,
// containerd and umoci share: a parent's symlinks are followed inside the root, the last component's are not; missing
// parents become 0755 root; of entries with one path the last wins; anything over a directory that is not a directory
// replaces it.
import { LayerError } from '../errors.js'
import { baseNameOf, joinPath, parentOf } from '../path.js'
import { PutChange, type ChangeSource, type Changeset } from './changeset.js'
import { EMPTY_CHILDREN } from './children.js'
import { TreeNode, type Origin } from './node.js'
import { SYMLINKS_MAX, type Tree } from './tree.js'
import { TreeEditor, type DirectoryHandle } from './tree-editor.js'

export interface ApplyOptions {
  /** Set on every node that the changeset brings. */
  readonly origin?: Origin | undefined
}

/**
 * The tree with a changeset applied. Deletions hide only what `tree` has, wherever they stand in the changeset; the other
 * changes take effect in their order. Cost follows the changes, not the tree.
 *
 * @throws LayerError LAYER_ENTRY_INVALID for an entry below something that is not a directory
 * @throws LayerError LAYER_LINK_INVALID for a hard link to nothing, to a directory, or to a later entry
 * @throws LayerError LAYER_PATH_INVALID when the symlinks in an entry's path never end
 */
export function applyChangeset(tree: Tree, changeset: Changeset, options: ApplyOptions = {}): Tree {
  return applySource(tree, { deletions: () => changeset, entries: () => changeset }, options)
}

/** As `applyChangeset`, for changes that are decoded while they are applied. @internal */
export function applySource(tree: Tree, changes: ChangeSource, options: ApplyOptions = {}): Tree {
  return new Application(tree, changes, options.origin).run()
}

class Application {
  readonly #editor: TreeEditor
  readonly #changes: ChangeSource
  readonly #origin: Origin | undefined
  /** What this layer puts at a path; made when a deletion meets a symlink of the lower layers. */
  #own: Map<string, TreeNode> | undefined
  /** Opaque directories that were emptied already: a layer may say it as often as it likes. */
  readonly #cleared = new Set<string>()
  /** The directory of the last entry as the layer names it, where it really is, and the editor's hold of it. */
  #dir: string | undefined
  #at = ''
  #handle: DirectoryHandle | undefined
  #epoch = -1

  constructor(tree: Tree, changes: ChangeSource, origin: Origin | undefined) {
    this.#editor = new TreeEditor(tree)
    this.#changes = changes
    this.#origin = origin
  }

  run(): Tree {
    for (const change of this.#changes.deletions()) {
      if (change.kind === 'delete') this.#delete(change.path)
      else if (change.kind === 'opaque') this.#clear(change.path)
    }
    for (const change of this.#changes.entries()) {
      if (change instanceof PutChange) this.#put(change.dir, change.name, change.node)
      else if (change.kind === 'put') this.#put(parentOf(change.path), baseNameOf(change.path), change.node)
      else if (change.kind === 'link') this.#link(change.path, change.target)
    }
    return this.#editor.finish()
  }

  #delete(path: string): void {
    const parent = this.#lowerDir(parentOf(path), path)
    if (parent !== undefined) this.#editor.remove(joinPath(parent, baseNameOf(path)))
  }

  #clear(path: string): void {
    const dir = this.#lowerDir(path, path)
    if (dir === undefined || this.#cleared.has(dir)) return
    this.#cleared.add(dir)
    for (const name of Array.from(this.#editor.names(dir))) this.#editor.remove(joinPath(dir, name))
  }

  /** Where a directory of the lower layers really is; `undefined` when this layer's own entries hide it. */
  #lowerDir(path: string, entry: string): string | undefined {
    if (this.#editor.lookup(path)?.kind === 'dir') return path
    return this.#follow(path, entry, (at, lower) => {
      this.#own ??= this.#ownNodes()
      const node = lower?.kind === 'dir' ? lower : (this.#own.get(at) ?? lower)
      return node === lower || node?.kind === 'symlink' ? node : undefined
    })
  }

  #ownNodes(): Map<string, TreeNode> {
    const own = new Map<string, TreeNode>()
    for (const change of this.#changes.entries()) if (change.kind === 'put') own.set(change.path, change.node)
    return own
  }

  #put(dir: string, name: string, node: TreeNode): void {
    let entry = this.#withOrigin(node)
    if (entry.children !== undefined && entry.children.size > 0) entry = entry.withChildren(EMPTY_CHILDREN)
    if (name === '') return this.#editor.put('', entry)
    if (dir !== this.#dir || this.#epoch !== this.#editor.epoch) this.#enter(dir, name)
    this.#editor.putIn(this.#handle!, this.#at, name, entry)
  }

  /** Entries come in runs of one directory; its place is looked up once for each run. */
  #enter(dir: string, name: string): void {
    this.#at = this.#directory(dir, joinPath(dir, name))
    this.#handle = this.#editor.directory(this.#at, joinPath(dir, name))
    // A place found through symlinks holds only until one of them is replaced, which no epoch tells.
    this.#dir = this.#at === dir ? dir : undefined
    this.#epoch = this.#editor.epoch
  }

  #link(path: string, target: string): void {
    const parent = this.#follow(parentOf(target), path, (_, node) => node)
    const source = parent === undefined ? target : joinPath(parent, baseNameOf(target))
    const at = joinPath(this.#directory(parentOf(path), path), baseNameOf(path))
    if (parent === undefined || at === source) {
      const reason = at === source ? 'it is the link itself' : 'it does not exist'
      throw new LayerError(
        'LAYER_LINK_INVALID',
        `hard link ${JSON.stringify(path)}: target ${JSON.stringify(target)} cannot be linked: ${reason}`,
        { data: { path, target } },
      )
    }
    this.#editor.link(at, source)
  }

  #withOrigin(node: TreeNode): TreeNode {
    return this.#origin === undefined || node.origin === this.#origin
      ? node
      : node.with({ origin: this.#origin })
  }

  /** The directory that an entry goes into, symlinks followed, made where it is missing. */
  #directory(wanted: string, path: string): string {
    if (this.#editor.lookup(wanted)?.kind === 'dir') return wanted
    const found = this.#follow(wanted, path, (at, node) => {
      if (node !== undefined) return node
      const made = new TreeNode({ kind: 'dir', children: EMPTY_CHILDREN, origin: this.#origin })
      this.#editor.put(at, made)
      return made
    })
    if (found !== undefined) return found
    throw new LayerError(
      'LAYER_ENTRY_INVALID',
      `entry ${JSON.stringify(path)} lies below something that is not a directory`,
      { data: { path } },
    )
  }

  /** Walks to a directory inside the root; `undefined` when `see` says nothing is there or it is no directory. */
  #follow(
    path: string,
    entry: string,
    see: (at: string, node: TreeNode | undefined) => TreeNode | undefined,
  ): string | undefined {
    const todo = path === '' ? [] : path.split('/').reverse()
    let here = ''
    let budget = SYMLINKS_MAX
    while (todo.length > 0) {
      const name = todo.pop()!
      if (name === '' || name === '.') continue
      if (name === '..') {
        here = parentOf(here)
        continue
      }
      const at = joinPath(here, name)
      const node = see(at, this.#editor.lookup(at))
      if (node?.kind === 'dir') here = at
      else if (node?.kind === 'symlink') {
        if (budget-- === 0) {
          throw new LayerError(
            'LAYER_PATH_INVALID',
            `too many symlinks in the path of ${JSON.stringify(entry)}`,
            {
              data: { path: entry },
            },
          )
        }
        if (node.target.startsWith('/')) here = ''
        todo.push(...node.target.split('/').reverse())
      } else return undefined
    }
    return here
  }
}
