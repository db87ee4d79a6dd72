// UnionView: an immutable tree below, a writable upper above, and node:fs over both. The semantics are in kernel/, Node's
// API in fs/; this file holds them together.
import type { Env } from '../env.js'
import type { ChangeSummary, Changeset } from './changeset.js'
import { diffTrees } from './diff.js'
import { createFs } from './fs/facade.js'
import type { NodeFs } from './host-contract.js'
import { Kernel } from './kernel/kernel.js'
import { Superblock } from './kernel/superblock.js'
import { Tree, EMPTY_TREE } from './tree.js'
import { summarizeChanges } from './diff.js'

export interface ViewOptions {
  /** Who acts. Default: root, whom no permission stops. Any other user is checked as Linux does it. */
  readonly uid?: number
  readonly gid?: number
  /** Supplementary groups. */
  readonly groups?: readonly number[]
  /** Permission bits that new files do not get. Default 0o022. */
  readonly umask?: number
  /** Clock and dice. */
  readonly env?: Env
}

/**
 * A writable filesystem over a tree. Nothing of the tree is copied until it is written to; the tree itself never
 * changes. Every call answers what Linux answers on the merged tree (docs/unionfs.md).
 */
export class UnionView {
  /** The tree that `diff` compares with. */
  readonly base: Tree
  readonly #options: ViewOptions
  readonly #superblock: Superblock
  readonly #kernel: Kernel
  #fs: NodeFs | undefined
  #snapshot: Tree

  constructor(tree: Tree = EMPTY_TREE, options: ViewOptions = {}, base: Tree = tree) {
    this.base = base
    this.#options = options
    this.#superblock = new Superblock(tree)
    this.#snapshot = tree
    const { uid = 0, gid = uid === 0 ? 0 : uid, groups = [], umask = 0o022, env } = options
    this.#kernel = new Kernel(this.#superblock, { uid, gid, groups }, umask, env)
  }

  static open(tree?: Tree, options?: ViewOptions): UnionView {
    return new UnionView(tree, options)
  }

  /** The whole of node:fs over this view. Relative paths start at the root. */
  get fs(): NodeFs {
    return (this.#fs ??= createFs(this.#kernel))
  }

  /** The same files as another process sees them: with its own identity, umask and open files. For executors. */
  fsFor(options: Omit<ViewOptions, 'env'>): NodeFs {
    const { uid = 0, gid = uid === 0 ? 0 : uid, groups = [], umask = 0o022 } = options
    return createFs(new Kernel(this.#superblock, { uid, gid, groups }, umask, this.#options.env))
  }

  /** The present state as a tree; later changes do not show in it. Cost follows the changes since the last call. */
  snapshot(): Tree {
    const root = this.#superblock.freeze()
    if (root !== this.#snapshot.root) this.#snapshot = new Tree(root)
    return this.#snapshot
  }

  /** A second view on the present state. Both go on independently; `diff` of both is against the same base. */
  fork(options: ViewOptions = {}): UnionView {
    return new UnionView(this.snapshot(), { ...this.#options, ...options }, this.base)
  }

  /** What differs from the base, and really does: writing equal bytes and metadata is no change. */
  diff(): Changeset {
    return diffTrees(this.base, this.snapshot())
  }

  /** `diff` as people read it: `A /new`, `C /changed`, `D /gone`. */
  changes(): ChangeSummary[] {
    return summarizeChanges(this.base, this.diff())
  }
}
