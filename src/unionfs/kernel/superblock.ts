// One mounted filesystem: an immutable lower tree, the mutable nodes above it, and what lies between both: copy-up of paths
// and link groups, and freezing into a tree again.
import { childrenOf, type Children } from '../children.js'
import { joinPath, parentOf, baseNameOf } from '../../path.js'
import type { Mount } from './mounts.js'
import { TreeNode } from '../node.js'
import { UpperStorage } from './file-data.js'
import { UpperNode } from './upper.js'

/** What a superblock asks of the tree below it. */
export interface LowerTree {
  readonly root: TreeNode
  /** Paths of a hard-link group. */
  linksOf(node: TreeNode): readonly string[]
}

let deviceCount = 0

export class Superblock {
  readonly lower: LowerTree
  readonly root: UpperNode
  readonly storage: UpperStorage
  /** st_dev. */
  readonly dev: number
  readonly isReadOnly: boolean
  /** Whether something was ever mounted on one of its directories, or below. */
  hasMountPoints = false
  /** Where it is mounted; nowhere for most views' own. */
  readonly mounts = new Set<Mount>()
  /** Directories that were copied up, by their path in the lower tree. */
  readonly #copied = new Map<string, UpperNode>()
  readonly #lowerPaths = new WeakMap<UpperNode, string>()

  constructor(
    lower: LowerTree,
    options: { readonly isReadOnly?: boolean; readonly storage?: UpperStorage } = {},
  ) {
    this.lower = lower
    this.storage = options.storage ?? new UpperStorage()
    this.dev = 0x4c00 + ++deviceCount
    this.isReadOnly = options.isReadOnly ?? false
    this.root = UpperNode.copyUp(this, lower.root)
    this.#noteCopy(this.root, '')
  }

  /** The upper node for an entry of an upper directory; copies it up where it is still a lower one. */
  copyUp(parent: UpperNode, name: string): UpperNode {
    const node = parent.child(name)
    if (node === undefined) throw new Error(`copy-up of an absent entry: ${name}`)
    if (node instanceof UpperNode) return node
    if (node.nlink > 1 && node.kind !== 'dir') return this.#copyUpLinks(node)
    const copy = UpperNode.copyUp(this, node)
    this.#adopt(parent, name, copy)
    const lowerPath = this.#lowerPaths.get(parent)
    if (node.kind === 'dir' && lowerPath !== undefined) this.#noteCopy(copy, joinPath(lowerPath, name))
    return copy
  }

  /**
   * Copies a hard-linked lower file up under every name that it still has, so that all of them are one inode. A name is
   * found by its path in the lower tree: a lower directory that was moved, and any above an entry that changed, has been
   * copied up, so the deepest copied directory on the path is where the rest of the path still lies as it lay.
   */
  #copyUpLinks(node: TreeNode): UpperNode {
    const copy = UpperNode.copyUp(this, node)
    for (const path of this.lower.linksOf(node)) {
      const parent = this.#currentDirectory(parentOf(path))
      if (parent?.child(baseNameOf(path)) === node) this.#adopt(parent, baseNameOf(path), copy)
    }
    // Names that had gone before are not counted any more; the tree's own count differs then.
    if (copy.links.length !== node.nlink) copy.touch()
    return copy
  }

  #adopt(parent: UpperNode, name: string, copy: UpperNode): void {
    copy.links.push({ parent, name })
    parent.dir!.adopt(name, copy)
  }

  #noteCopy(copy: UpperNode, lowerPath: string): void {
    this.#copied.set(lowerPath, copy)
    this.#lowerPaths.set(copy, lowerPath)
  }

  /** The upper node of a lower directory wherever it is now, or `undefined` when it was removed. */
  #currentDirectory(lowerPath: string): UpperNode | undefined {
    const known = this.#copied.get(lowerPath)
    if (known !== undefined) return known.links.length === 0 && known !== this.root ? undefined : known
    const parent = this.#currentDirectory(parentOf(lowerPath))
    const name = baseNameOf(lowerPath)
    if (parent === undefined) return undefined
    // Anything but the lower's own entry means that the directory was removed, and perhaps replaced.
    const child = parent.child(name)
    if (child === undefined || child instanceof UpperNode || child.kind !== 'dir') return undefined
    return this.copyUp(parent, name)
  }

  /** The lower node whose content and metadata a node still has; for directories their entries do not count. */
  frozenMetaOf(node: UpperNode): TreeNode | undefined {
    const { origin } = node
    if (origin === undefined || !hasMetaOf(node, origin)) return undefined
    return (node.data?.isUnchanged(origin) ?? true) ? origin : undefined
  }

  /** The present state as a node of an immutable tree. Cost follows what changed since the last call. */
  freeze(): TreeNode {
    return freezeTree(this.root)
  }
}

/** Freezes a node after all below it that changed. A loop, because directories may be deeper than a stack is. */
function freezeTree(root: UpperNode): TreeNode {
  const stack = [root]
  for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
    const depth = stack.length
    if (node.frozen === undefined) pushChanged(node, stack)
    if (stack.length > depth) continue
    node.frozen ??= node.dir === undefined ? freezeLeaf(node) : freezeDirectory(node)
    stack.pop()
  }
  return root.frozen!
}

/** The entries of a directory that have to be frozen before it. */
function pushChanged(node: UpperNode, stack: UpperNode[]): void {
  for (const name of node.dir?.pending ?? []) {
    const child = node.child(name)
    if (child instanceof UpperNode && child.frozen === undefined) stack.push(child)
  }
}

function freezeLeaf(node: UpperNode): TreeNode {
  const { origin } = node
  const content = node.data?.freeze()
  const isContentSame = origin !== undefined && (node.data?.isUnchanged(origin) ?? true)
  if (origin !== undefined && isContentSame) {
    if (origin.nlink === node.nlink && hasMetaOf(node, origin)) return origin
    // The content's digest, if it is known, stays known.
    return origin.with({ ...metaOf(node), nlink: node.nlink, origin: undefined })
  }
  return new TreeNode({
    kind: node.kind,
    ino: node.ino,
    ...metaOf(node),
    nlink: node.nlink,
    target: node.target,
    size: content?.size ?? node.size,
    source: content?.source,
    offset: content?.offset ?? 0,
  })
}

function freezeDirectory(node: UpperNode): TreeNode {
  const dir = node.dir!
  const children = freezeChildren(node)
  dir.frozenChildren = children
  dir.pending = undefined
  const { origin } = node
  const isMetaSame = origin !== undefined && hasMetaOf(node, origin)
  if (isMetaSame && (origin.children ?? NO_CHILDREN) === children) return origin
  return new TreeNode({
    kind: 'dir',
    ino: node.ino,
    ...metaOf(node),
    children,
    origin: isMetaSame ? origin.origin : undefined,
  })
}

const NO_CHILDREN = childrenOf([])

function freezeChildren(node: UpperNode): Children {
  const dir = node.dir!
  const before = dir.frozenChildren ?? dir.lower ?? NO_CHILDREN
  if (dir.pending === undefined) return before
  const changes = new Map<string, TreeNode | undefined>()
  for (const name of dir.pending) {
    const child = node.child(name)
    const frozen = child instanceof UpperNode ? child.frozen : child
    if (before.get(name) !== frozen) changes.set(name, frozen)
  }
  return changes.size === 0 ? before : before.with(changes)
}

function metaOf(node: UpperNode) {
  return {
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    mtimeSec: node.mtimeSec,
    mtimeNsec: node.mtimeNsec,
    xattrs: node.xattrs,
  }
}

function hasMetaOf(node: UpperNode, other: TreeNode): boolean {
  return (
    node.mode === other.mode &&
    node.uid === other.uid &&
    node.gid === other.gid &&
    node.mtimeSec === other.mtimeSec &&
    node.mtimeNsec === other.mtimeNsec &&
    node.xattrs === other.xattrs
  )
}
