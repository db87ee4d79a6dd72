// The mutable inodes of a view. One is made for each lower node on a path that changes (copy-up), and for each new file;
// everything else stays a TreeNode of the immutable lower tree.
//
// A node that was copied up and not changed since is *clean*: freezing it gives the very TreeNode that it came from, so
// that snapshots share it and a diff skips it.
import { encodePath } from '../../path.js'
import type { Children } from '../children.js'
import { TreeNode, nextIno, type NodeKind, type Xattrs } from '../node.js'
import { FileData } from './file-data.js'
import type { Mount } from './mounts.js'
import type { Superblock } from './superblock.js'

export type AnyNode = UpperNode | TreeNode

export interface Clock {
  sec: number
  nsec: number
}

/** One name of an inode. */
export interface Link {
  parent: UpperNode
  name: string
}

export interface UpperInit {
  readonly kind: NodeKind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly target?: string
}

export class UpperNode {
  readonly superblock: Superblock
  readonly kind: NodeKind
  readonly ino: number
  mode: number
  uid: number
  gid: number
  atimeSec: number
  atimeNsec: number
  mtimeSec: number
  mtimeNsec: number
  ctimeSec: number
  ctimeNsec: number
  readonly btimeSec: number
  readonly btimeNsec: number
  /** Replaced, never mutated: snapshots share it. */
  xattrs: Xattrs | undefined
  readonly target: string
  /** The lower node that this is a copy of. */
  readonly origin: TreeNode | undefined
  /** Every name that this inode has, as places in the upper; the root and unlinked nodes have none. */
  links: Link[] = []
  readonly dir: DirState | undefined
  readonly data: FileData | undefined
  /** Open descriptors: an unlinked file keeps its bytes while there are some. */
  openCount = 0
  /** The node as a tree has it; `undefined` while it differs from the last freeze. */
  frozen: TreeNode | undefined
  /** What is mounted over this directory or file. */
  mounted: Mount | undefined

  private constructor(
    superblock: Superblock,
    init: UpperInit | TreeNode,
    origin: TreeNode | undefined,
    time: Clock,
  ) {
    this.superblock = superblock
    this.kind = init.kind
    this.ino = origin?.ino ?? nextIno()
    this.mode = init.mode
    this.uid = init.uid
    this.gid = init.gid
    this.atimeSec = time.sec
    this.atimeNsec = time.nsec
    this.mtimeSec = time.sec
    this.mtimeNsec = time.nsec
    this.ctimeSec = time.sec
    this.ctimeNsec = time.nsec
    this.btimeSec = time.sec
    this.btimeNsec = time.nsec
    this.xattrs = origin?.xattrs
    this.target = init.target ?? ''
    this.origin = origin
    this.dir = init.kind === 'dir' ? new DirState(origin?.children) : undefined
    this.data = init.kind === 'file' ? new FileData(superblock.storage, origin) : undefined
    this.frozen = origin
    this.mounted = undefined
  }

  static create(superblock: Superblock, init: UpperInit, now: Clock): UpperNode {
    return new UpperNode(superblock, init, undefined, now)
  }

  /** Metadata, content reference and inode number are the lower node's. */
  static copyUp(superblock: Superblock, origin: TreeNode): UpperNode {
    return new UpperNode(superblock, origin, origin, { sec: origin.mtimeSec, nsec: origin.mtimeNsec })
  }

  get size(): number {
    return this.data === undefined ? (this.origin?.size ?? this.#targetSize()) : this.data.size
  }

  /** Names of the inode; for directories see `linkCount`. */
  get nlink(): number {
    return this.superblock.root === this ? 1 : this.links.length
  }

  #targetSize(): number {
    return this.kind === 'symlink' ? encodePath(this.target).byteLength : 0
  }

  /** Notes that content or metadata changed: what snapshots know of this node and of the directories above is stale. */
  touch(): void {
    if (this.frozen === undefined) return
    // A loop: by renaming, directories become deeper than a stack is.
    const stale: UpperNode[] = [this]
    for (let node = stale.pop(); node !== undefined; node = stale.pop()) {
      if (node.frozen === undefined) continue
      node.frozen = undefined
      for (const { parent, name } of node.links) {
        ;(parent.dir!.pending ??= new Set()).add(name)
        stale.push(parent)
      }
    }
  }

  /** Notes that the entry `name` of this directory is another one, or that it changed within. */
  entryChanged(name: string): void {
    ;(this.dir!.pending ??= new Set()).add(name)
    this.touch()
  }

  /** Puts a node under a free name of this directory. */
  attach(name: string, node: UpperNode): void {
    this.dir!.set(name, node, this.child(name))
    node.links.push({ parent: this, name })
    // Other names of the inode show the new link count.
    node.touch()
    this.entryChanged(name)
  }

  /** Takes the entry `name` away. */
  detach(name: string): void {
    const node = this.child(name)
    this.dir!.set(name, undefined, node)
    if (node instanceof UpperNode) {
      const at = node.links.findIndex((link) => link.parent === this && link.name === name)
      node.links.splice(at, 1)
      // Another name of the inode shows the new link count.
      node.touch()
    }
    this.entryChanged(name)
  }

  /** The entry `name` of this directory. */
  child(name: string): AnyNode | undefined {
    return this.dir!.find(name)
  }
}

/** The entries of an upper directory: those of its lower, if it has one, and what differs from them. */
export class DirState {
  /** `undefined` in a directory that was made here: nothing of a lower shows through (it is opaque). */
  readonly lower: Children | undefined
  /** `null` is a whiteout. */
  overrides: Map<string, UpperNode | null> | undefined
  /** Names whose entry differs from `frozenChildren`, or from `lower` before the first freeze. */
  pending: Set<string> | undefined
  frozenChildren: Children | undefined
  #sizeDelta = 0
  #subdirDelta = 0
  #names: readonly string[] | undefined

  constructor(lower: Children | undefined) {
    this.lower = lower
  }

  find(name: string): AnyNode | undefined {
    if (this.overrides !== undefined) {
      const over = this.overrides.get(name)
      if (over !== undefined) return over ?? undefined
    }
    return this.lower?.get(name)
  }

  get size(): number {
    return (this.lower?.size ?? 0) + this.#sizeDelta
  }

  get subdirs(): number {
    return (this.lower === undefined ? 0 : countSubdirs(this.lower)) + this.#subdirDelta
  }

  /** Replaces the entry `name`, which was `before`. */
  set(name: string, node: UpperNode | undefined, before: AnyNode | undefined): void {
    const overrides = (this.overrides ??= new Map())
    if (node === undefined && this.lower?.get(name) === undefined) overrides.delete(name)
    else overrides.set(name, node ?? null)
    this.#sizeDelta += Number(node !== undefined) - Number(before !== undefined)
    this.#subdirDelta += Number(node?.kind === 'dir') - Number(before?.kind === 'dir')
    if ((node === undefined) !== (before === undefined)) this.#names = undefined
  }

  /** Puts the copy of a lower entry in its place; nothing changes for those who look. */
  adopt(name: string, copy: UpperNode): void {
    ;(this.overrides ??= new Map()).set(name, copy)
  }

  /** Names of the entries. Shared: never write into it. */
  names(): readonly string[] {
    if (this.overrides === undefined) return this.lower?.names() ?? []
    return (this.#names ??= this.#mergedNames())
  }

  #mergedNames(): readonly string[] {
    const overrides = this.overrides!
    const out: string[] = []
    if (this.lower !== undefined) {
      for (const name of this.lower.names()) if (!overrides.has(name)) out.push(name)
    }
    for (const [name, node] of overrides) if (node !== null) out.push(name)
    return out
  }
}

const subdirCounts = new WeakMap<Children, number>()

function countSubdirs(children: Children): number {
  let count = subdirCounts.get(children)
  if (count === undefined) {
    count = 0
    for (const [, node] of children.entries()) if (node.kind === 'dir') count++
    subdirCounts.set(children, count)
  }
  return count
}

/** st_nlink: names of a file; a directory has its own name, its `.`, and the `..` of each sub-directory. */
export function linkCount(node: AnyNode): number {
  if (node.kind !== 'dir') return node.nlink
  if (node instanceof TreeNode) return 2 + (node.children === undefined ? 0 : countSubdirs(node.children))
  // A removed directory is still there for those who hold it open, with no names.
  const isRemoved = node.links.length === 0 && node.superblock.root !== node
  return isRemoved ? 0 : 2 + node.dir!.subdirs
}

/** The entry `name` of a directory. */
export function childOf(dir: AnyNode, name: string): AnyNode | undefined {
  return dir instanceof TreeNode ? dir.children?.get(name) : dir.child(name)
}

/** Names in a directory. Shared: never write into it. Sorted by bytes where nothing was written. */
export function namesIn(dir: AnyNode): readonly string[] {
  return dir instanceof TreeNode ? (dir.children?.names() ?? []) : dir.dir!.names()
}

export function entryCount(dir: AnyNode): number {
  return dir instanceof TreeNode ? (dir.children?.size ?? 0) : dir.dir!.size
}
