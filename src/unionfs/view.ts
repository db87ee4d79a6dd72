// UnionView: an immutable tree below, a writable upper above, and node:fs over both. The semantics are in kernel/, Node's
// API in fs/; this file holds them together, and has what node:fs has no words for.
import type { Env } from '../env.js'
import type { ChangeSummary, Changeset } from './changeset.js'
import { diffTrees, summarizeChanges } from './diff.js'
import { attempt } from './fs/errno.js'
import { createFs } from './fs/facade.js'
import { toPath, type PathArgument } from './fs/arguments.js'
import type { NodeFs } from './host-contract.js'
import * as attributes from './kernel/attributes.js'
import { UpperStorage } from './kernel/file-data.js'
import { Kernel } from './kernel/kernel.js'
import { bindOn, mountOn, unmount } from './kernel/mounts.js'
import * as names from './kernel/names.js'
import { Superblock } from './kernel/superblock.js'
import { UpperNode } from './kernel/upper.js'
import type { Origin } from './node.js'
import { Trace } from './trace.js'
import { EMPTY_TREE, Tree } from './tree.js'

export interface ViewOptions {
  /** Who acts. Default: root, whom no permission stops. Any other user is checked as Linux does it. */
  readonly uid?: number
  /** Default: 0 for root, else the same number as `uid`. */
  readonly gid?: number
  /** Supplementary groups. */
  readonly groups?: readonly number[]
  /** Permission bits that new files do not get. Default 0o022. */
  readonly umask?: number
  /** Clock and dice. */
  readonly env?: Env
  /** How many bytes of written files it may hold, in pages of 4096 bytes, as tmpfs(5) `size`: then ENOSPC. Default no limit. */
  readonly sizeBytes?: number | undefined
}

export interface FollowOptions {
  /** Whether a symlink at the end of the path is followed. Default true. */
  readonly followLast?: boolean
}

export interface MknodOptions {
  /** Permission bits, from which the umask is taken. Default 0o666. */
  readonly mode?: number
  /** Device numbers. */
  readonly rdev?: readonly [major: number, minor: number]
}

export interface MountOptions {
  /** Every attempt to change something there fails with EROFS. Default false. */
  readonly readOnly?: boolean
  /** As for a view; for trees only, since a view that is mounted has a say of its own. */
  readonly sizeBytes?: number | undefined
}

/** What can be mounted: a tree, which is copied on write, or another view, which is shared. */
export type MountSource = Tree | UnionView

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

  /**
   * @param tree  what the view shows at first
   * @param base  what `diff` compares with; default `tree`
   */
  constructor(tree: Tree = EMPTY_TREE, options: ViewOptions = {}, base: Tree = tree) {
    this.base = base
    this.#options = options
    const { uid = 0, gid = uid, groups = [], umask = 0o022, env, sizeBytes } = options
    this.#superblock = new Superblock(tree, { storage: new UpperStorage(sizeBytes) })
    this.#snapshot = tree
    this.#kernel = new Kernel(this.#superblock, { uid, gid, groups }, umask, env)
  }

  static open(tree?: Tree, options?: ViewOptions): UnionView {
    return new UnionView(tree, options)
  }

  /** The whole of node:fs over this view. Relative paths start at the root. */
  get fs(): NodeFs {
    return (this.#fs ??= createFs(this.#kernel))
  }

  /**
   * The same files as another process sees them: with its own identity, umask and open files. For executors, which run
   * a step's commands as the step's user.
   */
  fsFor(options: Omit<ViewOptions, 'env' | 'sizeBytes'>): NodeFs {
    const { uid = 0, gid = uid === 0 ? 0 : uid, groups = [], umask = 0o022 } = options
    return createFs(new Kernel(this.#superblock, { uid, gid, groups }, umask, this.#options.env))
  }

  /** The present state as a tree; later changes do not show in it. Cost follows the changes since the last call. */
  snapshot(): Tree {
    const root = this.#superblock.freeze()
    if (root !== this.#snapshot.root) this.#snapshot = new Tree(root)
    return this.#snapshot
  }

  /** A second view on the present state, without the mounts. Both go on independently; `diff` is against the same base. */
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

  /**
   * Which layer brought what is at `path`: its content and its metadata as they are. `undefined` when that was made or
   * changed in a view, or the tree does not know its layers.
   *
   * @throws Node's error (syscall `whence`) when nothing is there
   */
  whence(path: PathArgument, options: FollowOptions = {}): Origin | undefined {
    const node = attempt('whence', path, undefined, () =>
      this.#kernel.get(toPath(path), options.followLast ?? true),
    )
    if (!(node instanceof UpperNode)) return node.origin
    // A directory belongs to the layer that made it what it is, whatever lies in it.
    return node.superblock.frozenMetaOf(node)?.origin
  }

  /**
   * Mounts a tree or a view over a directory, or one whose root is a file over a file. What is below it is hidden, belongs to the mount, and is no part of the
   * diff or of snapshots of this view. Names cannot be moved or linked across (EXDEV). A view can be mounted in several
   * others at once, read-only in some: all see the same files.
   *
   * @returns ends the mount; what lay there shows again
   * @throws Node's error (syscall `mount`) ENOENT, ENOTDIR, or EBUSY when the view is mounted within itself
   */
  mount(path: PathArgument, source: MountSource, options: MountOptions = {}): () => void {
    const name = toPath(path)
    const superblock =
      source instanceof UnionView
        ? source.#superblock
        : new Superblock(source, { storage: this.#storageFor(options.sizeBytes) })
    const mount = attempt('mount', path, undefined, () =>
      mountOn(this.#kernel, name, superblock, options.readOnly ?? false),
    )
    return () => unmount(mount)
  }

  #storageFor(sizeBytes: number | undefined): UpperStorage {
    return sizeBytes === undefined ? this.#superblock.storage : new UpperStorage(sizeBytes)
  }

  /**
   * Makes what is at a path a mount of its own, as `mount --bind PATH PATH`: the same files, which are part of the diff and
   * of snapshots as before, with a say of their own on whether they can be changed. In one that cannot, another can. Of a
   * file with several names in the view, all are meant.
   *
   * @returns ends it
   * @throws Node's error (syscall `mount`) ENOENT
   */
  bind(path: PathArgument, options: Pick<MountOptions, 'readOnly'> = {}): () => void {
    const name = toPath(path)
    const mount = attempt('mount', path, undefined, () =>
      bindOn(this.#kernel, name, options.readOnly ?? false),
    )
    return () => unmount(mount)
  }

  /** What the view holds: files whose bytes are in memfs, open descriptors. */
  stats(): { readonly upperFiles: number; readonly openFiles: number } {
    return { upperFiles: this.#superblock.storage.inodeCount, openFiles: this.#kernel.openFileCount }
  }

  /** Begins to record what is asked of this view; `stop()` ends it. */
  trace(): Trace {
    return new Trace(this.#kernel)
  }

  /** Makes a file, device, fifo or socket, as mknod(2). */
  mknod(
    path: PathArgument,
    kind: 'file' | 'chardev' | 'blockdev' | 'fifo' | 'socket',
    options: MknodOptions = {},
  ): void {
    attempt('mknod', path, undefined, () =>
      names.mknod(this.#kernel, toPath(path), kind, options.mode ?? 0o666, options.rdev),
    )
  }

  /** A copy of an extended attribute's bytes, or `undefined` where there is none; as getxattr(2). */
  getxattr(path: PathArgument, name: string, options: FollowOptions = {}): Uint8Array | undefined {
    try {
      return attempt('getxattr', path, undefined, () => {
        const node = this.#kernel.get(toPath(path), options.followLast ?? true)
        return Uint8Array.from(attributes.getXattr(this.#kernel, node, name))
      })
    } catch (error) {
      if ((error as { code?: string }).code === 'ENODATA') return undefined
      throw error
    }
  }

  /** Names of the extended attributes, sorted; as listxattr(2). */
  listxattr(path: PathArgument, options: FollowOptions = {}): string[] {
    return attempt('listxattr', path, undefined, () =>
      attributes.listXattrs(this.#kernel, this.#kernel.get(toPath(path), options.followLast ?? true)),
    )
  }

  /** @param options.rule  `create` fails with EEXIST where it is set, `replace` with ENODATA where it is not */
  setxattr(
    path: PathArgument,
    name: string,
    value: Uint8Array,
    options: FollowOptions & { readonly rule?: 'create' | 'replace' } = {},
  ): void {
    this.#change('setxattr', path, options, (node) =>
      attributes.setXattr(this.#kernel, node, name, value, options.rule ?? 'any'),
    )
  }

  /** @throws ENODATA where it is not set */
  removexattr(path: PathArgument, name: string, options: FollowOptions = {}): void {
    this.#change('removexattr', path, options, (node) => attributes.removeXattr(this.#kernel, node, name))
  }

  #change(
    syscall: string,
    path: PathArgument,
    options: FollowOptions,
    body: (node: UpperNode) => void,
  ): void {
    attempt(syscall, path, undefined, () =>
      body(this.#kernel.ownPath(toPath(path), options.followLast ?? true)),
    )
  }
}
