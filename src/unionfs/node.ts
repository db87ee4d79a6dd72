// The nodes of a tree: immutable, shared between trees, one object per inode. Pure.
//
// One class for all kinds, so that a path walk meets one hidden class and stays monomorphic (measured: three times
// faster than a class a kind). Memory decides the rest, for a tree may have a million nodes: what most of a layer's nodes
// have in common is one record that they share, what only one kind has is one slot, and times are two small integers,
// because a bigint costs 24 bytes. 96 bytes a node; with a field for each it was 152.
import type { DiffID } from '../digest.js'
import type { Children } from './children.js'

export type NodeKind = 'file' | 'dir' | 'symlink' | 'chardev' | 'blockdev' | 'fifo' | 'socket'

/** Extended attributes: full name (`user.x`, `security.capability`) to bytes. Never mutated once in a node. */
export type Xattrs = ReadonlyMap<string, Uint8Array>

/** Where a file's bytes are. One per blob or upper, shared by its files. */
export interface ContentSource {
  /** Exactly `length` bytes from `offset`; may share memory with the source: never write into it. */
  read(offset: number, length: number): Uint8Array
}

/** The layer that brought a node; `undefined` in a node for what was made in memory. */
export interface Origin {
  readonly diffID: DiffID
}

/** Metadata common to all kinds. */
export interface Meta {
  /** Permission bits with set-id and sticky, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Whole seconds since the epoch; may be negative. */
  readonly mtimeSec: number
  /** 0 to 999,999,999. */
  readonly mtimeNsec: number
  readonly xattrs: Xattrs | undefined
}

let lastIno = 1

export interface NodeInit extends Partial<Meta> {
  readonly kind: NodeKind
  readonly size?: number
  readonly source?: ContentSource | undefined
  readonly offset?: number
  readonly target?: string
  readonly rdevMajor?: number
  readonly rdevMinor?: number
  readonly children?: Children | undefined
  readonly origin?: Origin | undefined
  readonly nlink?: number
  readonly ino?: number
}

/** What nodes have in common. @internal */
export class SharedMeta {
  readonly kind: NodeKind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly xattrs: Xattrs | undefined
  readonly origin: Origin | undefined

  constructor(
    kind: NodeKind,
    mode: number,
    uid: number,
    gid: number,
    xattrs: Xattrs | undefined,
    origin: Origin | undefined,
  ) {
    this.kind = kind
    this.mode = mode
    this.uid = uid
    this.gid = gid
    this.xattrs = xattrs
    this.origin = origin
  }
}

/** What only one kind has: a file's source, a directory's children, a symlink's target, a device's numbers. */
type OwnPart = ContentSource | Children | string | undefined

/** Records that were used lately, by a hash of their numbers; a record that is not found is made again, no harm. */
const recent: (SharedMeta | undefined)[] = Array.from({ length: 256 }, () => undefined)

function share(
  kind: NodeKind,
  mode: number,
  uid: number,
  gid: number,
  xattrs: Xattrs | undefined,
  origin: Origin | undefined,
): SharedMeta {
  const slot = (kind.length ^ (mode * 5) ^ (mode >>> 7) ^ Math.imul(uid, 31) ^ Math.imul(gid, 17)) & 255
  const known = recent[slot]
  if (
    known !== undefined &&
    known.kind === kind &&
    known.mode === mode &&
    known.uid === uid &&
    known.gid === gid &&
    known.xattrs === xattrs &&
    known.origin === origin
  ) {
    return known
  }
  return (recent[slot] = new SharedMeta(kind, mode, uid, gid, xattrs, origin))
}

/**
 * One inode of a tree. Two names with the same TreeNode object are hard links of one file; `nlink` counts the names that
 * this tree has for it. A change makes a new node (`with`); `ino` survives, so that identity can be followed.
 */
export class TreeNode implements Meta {
  readonly #shared: SharedMeta
  readonly #own: OwnPart
  readonly ino: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  /** Names of this inode in its tree; 1 for all but hard-linked files (a directory's st_nlink is derived elsewhere). */
  readonly nlink: number
  /** Bytes of a file; length in bytes of a symlink's target; 0 otherwise. */
  readonly size: number
  /** Where a file's content begins in its source. */
  readonly offset: number
  /** Files only: sha256 hex of the content, computed at most once. Written by `contentDigest` alone. @internal */
  contentSha256: string | undefined

  /**
   * By its facts; or, for decoders that make a hundred thousand at once, by the parts a node is made of, which spares an
   * object for each.
   */
  constructor(init: NodeInit)
  /** @internal */
  constructor(shared: SharedMeta, own: OwnPart, size: number, offset: number, sec: number, nsec: number)
  constructor(first: NodeInit | SharedMeta, own?: OwnPart, size = 0, offset = 0, sec = 0, nsec = 0) {
    if (first instanceof SharedMeta) {
      this.#shared = first
      this.#own = own
      this.ino = ++lastIno
      this.mtimeSec = sec
      this.mtimeNsec = nsec
      this.nlink = 1
      this.size = size
      this.offset = offset
    } else {
      this.#shared = sharedOf(first)
      this.#own = ownOf(first)
      this.ino = first.ino ?? ++lastIno
      this.mtimeSec = first.mtimeSec ?? 0
      this.mtimeNsec = first.mtimeNsec ?? 0
      this.nlink = first.nlink ?? 1
      this.size = first.size ?? 0
      this.offset = first.offset ?? 0
    }
    this.contentSha256 = undefined
  }

  get kind(): NodeKind {
    return this.#shared.kind
  }

  get mode(): number {
    return this.#shared.mode
  }

  get uid(): number {
    return this.#shared.uid
  }

  get gid(): number {
    return this.#shared.gid
  }

  get xattrs(): Xattrs | undefined {
    return this.#shared.xattrs
  }

  get origin(): Origin | undefined {
    return this.#shared.origin
  }

  /** Files only: content is `source.read(offset, size)`; `undefined` when size is 0. */
  get source(): ContentSource | undefined {
    return this.#shared.kind === 'file' ? (this.#own as ContentSource | undefined) : undefined
  }

  /** Directories only. */
  get children(): Children | undefined {
    return this.#shared.kind === 'dir' ? (this.#own as Children | undefined) : undefined
  }

  /** Symlink: its target as a path string. Devices: `major:minor`. Otherwise ''. */
  get target(): string {
    return typeof this.#own === 'string' ? this.#own : ''
  }

  get mtimeNs(): bigint {
    return BigInt(this.mtimeSec) * 1_000_000_000n + BigInt(this.mtimeNsec)
  }

  /** Device numbers; `[0, 0]` for what is not a device. */
  get rdev(): readonly [major: number, minor: number] {
    if (this.kind !== 'chardev' && this.kind !== 'blockdev') return [0, 0]
    const [major, minor] = this.target.split(':')
    return [Number(major), Number(minor)]
  }

  /** A node that differs in the given fields and keeps its `ino`. */
  with(changes: Partial<NodeInit>): TreeNode {
    const node = new TreeNode({ ...this.#init(), ...changes })
    if (!('size' in changes) && !('source' in changes) && !('offset' in changes)) {
      node.contentSha256 = this.contentSha256
    }
    return node
  }

  #init(): NodeInit {
    return {
      kind: this.kind,
      ino: this.ino,
      mode: this.mode,
      uid: this.uid,
      gid: this.gid,
      mtimeSec: this.mtimeSec,
      mtimeNsec: this.mtimeNsec,
      xattrs: this.xattrs,
      nlink: this.nlink,
      size: this.size,
      source: this.source,
      offset: this.offset,
      target: this.target,
      children: this.children,
      origin: this.origin,
    }
  }

  /** This directory with other entries; itself when they are the same object. */
  withChildren(children: Children): TreeNode {
    if (this.children === children) return this
    // Spelled out: it is what every edit does to every directory above it.
    return new TreeNode({
      kind: this.kind,
      ino: this.ino,
      mode: this.mode,
      uid: this.uid,
      gid: this.gid,
      mtimeSec: this.mtimeSec,
      mtimeNsec: this.mtimeNsec,
      xattrs: this.xattrs,
      origin: this.origin,
      nlink: this.nlink,
      children,
    })
  }

  /** The file's bytes; may share memory with the source: never write into it. Empty for what is not a file. */
  content(): Uint8Array {
    return this.source === undefined || this.size === 0 ? EMPTY : this.source.read(this.offset, this.size)
  }
}

function sharedOf(init: NodeInit): SharedMeta {
  const { kind, xattrs } = init
  const mode = init.mode ?? (kind === 'dir' ? 0o755 : kind === 'symlink' ? 0o777 : 0o644)
  const some = xattrs === undefined || xattrs.size === 0 ? undefined : xattrs
  return share(kind, mode, init.uid ?? 0, init.gid ?? 0, some, init.origin)
}

/** The slot of a kind: only that kind's own field counts. */
function ownOf(init: NodeInit): OwnPart {
  switch (init.kind) {
    case 'file':
      return init.source
    case 'dir':
      return init.children
    case 'symlink':
      return init.target ?? ''
    case 'chardev':
    case 'blockdev':
      // A target that is left over from another kind is no pair of numbers.
      return init.rdevMajor === undefined ? init.target || '0:0' : `${init.rdevMajor}:${init.rdevMinor ?? 0}`
    default:
      return undefined
  }
}

const EMPTY = new Uint8Array(0)

/** A fresh inode number, larger than all before. Views use it for the inodes that they make. */
export function nextIno(): number {
  return ++lastIno
}

/** Splits nanoseconds since the epoch for `Meta`, rounding towards the past as POSIX does for times before 1970. */
export function splitTime(timeNs: bigint): { mtimeSec: number; mtimeNsec: number } {
  const nsec = ((timeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  return { mtimeSec: Number((timeNs - nsec) / 1_000_000_000n), mtimeNsec: Number(nsec) }
}

/** A content source over bytes in memory. */
export function bytesSource(bytes: Uint8Array): ContentSource {
  return { read: (offset, length) => bytes.subarray(offset, offset + length) }
}
