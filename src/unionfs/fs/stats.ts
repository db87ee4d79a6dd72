// Node's Stats, BigIntStats, StatFs and Dirent over the nodes of a view.
import { TreeNode, type NodeKind } from '../node.js'
import { linkCount, type AnyNode } from '../kernel/upper.js'

/** File type bits of st_mode (sys/stat.h). */
export const S_IFMT = 0o170000
export const TYPE_BITS: Readonly<Record<NodeKind, number>> = {
  fifo: 0o010000,
  chardev: 0o020000,
  dir: 0o040000,
  blockdev: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
}

const BLOCK_SIZE = 4096
/** What a directory's st_size is on most disk filesystems; Linux gives it no meaning. */
const DIRECTORY_SIZE = 4096

abstract class StatsBase<N extends number | bigint> {
  declare readonly mode: N

  abstract isType(bits: number): boolean

  isDirectory(): boolean {
    return this.isType(TYPE_BITS.dir)
  }
  isFile(): boolean {
    return this.isType(TYPE_BITS.file)
  }
  isBlockDevice(): boolean {
    return this.isType(TYPE_BITS.blockdev)
  }
  isCharacterDevice(): boolean {
    return this.isType(TYPE_BITS.chardev)
  }
  isSymbolicLink(): boolean {
    return this.isType(TYPE_BITS.symlink)
  }
  isFIFO(): boolean {
    return this.isType(TYPE_BITS.fifo)
  }
  isSocket(): boolean {
    return this.isType(TYPE_BITS.socket)
  }
}

/** A Date of milliseconds with a fraction, rounded as Node does. */
function dateOf(ms: number): Date {
  return new Date(Math.round(ms))
}

/** The Date fields are made when first asked for: four Dates cost more than the rest of a stat. */
export class Stats extends StatsBase<number> {
  #atime: Date | undefined
  #mtime: Date | undefined
  #ctime: Date | undefined
  #birthtime: Date | undefined

  constructor(
    readonly dev: number,
    override readonly mode: number,
    readonly nlink: number,
    readonly uid: number,
    readonly gid: number,
    readonly rdev: number,
    readonly blksize: number,
    readonly ino: number,
    readonly size: number,
    readonly blocks: number,
    readonly atimeMs: number,
    readonly mtimeMs: number,
    readonly ctimeMs: number,
    readonly birthtimeMs: number,
  ) {
    super()
  }

  isType(bits: number): boolean {
    return (this.mode & S_IFMT) === bits
  }

  get atime(): Date {
    return (this.#atime ??= dateOf(this.atimeMs))
  }
  get mtime(): Date {
    return (this.#mtime ??= dateOf(this.mtimeMs))
  }
  get ctime(): Date {
    return (this.#ctime ??= dateOf(this.ctimeMs))
  }
  get birthtime(): Date {
    return (this.#birthtime ??= dateOf(this.birthtimeMs))
  }
}

const NS_PER_MS = 1_000_000n

export class BigIntStats extends StatsBase<bigint> {
  readonly atimeMs: bigint
  readonly mtimeMs: bigint
  readonly ctimeMs: bigint
  readonly birthtimeMs: bigint
  readonly atime: Date
  readonly mtime: Date
  readonly ctime: Date
  readonly birthtime: Date

  constructor(
    readonly dev: bigint,
    override readonly mode: bigint,
    readonly nlink: bigint,
    readonly uid: bigint,
    readonly gid: bigint,
    readonly rdev: bigint,
    readonly blksize: bigint,
    readonly ino: bigint,
    readonly size: bigint,
    readonly blocks: bigint,
    readonly atimeNs: bigint,
    readonly mtimeNs: bigint,
    readonly ctimeNs: bigint,
    readonly birthtimeNs: bigint,
  ) {
    super()
    this.atimeMs = atimeNs / NS_PER_MS
    this.mtimeMs = mtimeNs / NS_PER_MS
    this.ctimeMs = ctimeNs / NS_PER_MS
    this.birthtimeMs = birthtimeNs / NS_PER_MS
    this.atime = new Date(Number(this.atimeMs))
    this.mtime = new Date(Number(this.mtimeMs))
    this.ctime = new Date(Number(this.ctimeMs))
    this.birthtime = new Date(Number(this.birthtimeMs))
  }

  isType(bits: number): boolean {
    return (this.mode & BigInt(S_IFMT)) === BigInt(bits)
  }
}

export function modeOf(node: AnyNode): number {
  return TYPE_BITS[node.kind] | node.mode
}

function rdevOf(node: AnyNode): number {
  if (node.kind !== 'chardev' && node.kind !== 'blockdev') return 0
  const [major = 0, minor = 0] = node.target.split(':').map(Number)
  // makedev(3): the low 8 bits of minor, 12 of major, then the rest of minor.
  return (minor & 0xff) + (major & 0xfff) * 0x100 + (minor - (minor & 0xff)) * 0x1000
}

function ms(sec: number, nsec: number): number {
  return sec * 1000 + nsec / 1e6
}

export function statsOf(node: AnyNode, dev: number): Stats {
  const size = node.kind === 'dir' ? DIRECTORY_SIZE : node.size
  const mtime = ms(node.mtimeSec, node.mtimeNsec)
  const isLower = node instanceof TreeNode
  return new Stats(
    dev,
    modeOf(node),
    linkCount(node),
    node.uid,
    node.gid,
    rdevOf(node),
    BLOCK_SIZE,
    node.ino,
    size,
    Math.ceil(size / 512),
    // A tree keeps no other time than mtime.
    isLower ? mtime : ms(node.atimeSec, node.atimeNsec),
    mtime,
    isLower ? mtime : ms(node.ctimeSec, node.ctimeNsec),
    isLower ? mtime : ms(node.btimeSec, node.btimeNsec),
  )
}

function ns(sec: number, nsec: number): bigint {
  return BigInt(sec) * 1_000_000_000n + BigInt(nsec)
}

export function bigIntStatsOf(node: AnyNode, dev: number): BigIntStats {
  const size = node.kind === 'dir' ? DIRECTORY_SIZE : node.size
  const mtime = ns(node.mtimeSec, node.mtimeNsec)
  const isLower = node instanceof TreeNode
  return new BigIntStats(
    BigInt(dev),
    BigInt(modeOf(node)),
    BigInt(linkCount(node)),
    BigInt(node.uid),
    BigInt(node.gid),
    BigInt(rdevOf(node)),
    BigInt(BLOCK_SIZE),
    BigInt(node.ino),
    BigInt(size),
    BigInt(Math.ceil(size / 512)),
    isLower ? mtime : ns(node.atimeSec, node.atimeNsec),
    mtime,
    isLower ? mtime : ns(node.ctimeSec, node.ctimeNsec),
    isLower ? mtime : ns(node.btimeSec, node.btimeNsec),
  )
}

/** Node's StatFs; numbers or bigints. */
export class StatFs<N extends number | bigint = number> {
  constructor(
    readonly type: N,
    readonly bsize: N,
    readonly blocks: N,
    readonly bfree: N,
    readonly bavail: N,
    readonly files: N,
    readonly ffree: N,
  ) {}
}

/** An entry of a directory. `path` is the name that Node 20 has for `parentPath`. */
export class Dirent<Name extends string | Uint8Array = string> {
  readonly name: Name
  readonly parentPath: string
  readonly path: string
  readonly #kind: NodeKind

  constructor(name: Name, parentPath: string, kind: NodeKind) {
    this.name = name
    this.parentPath = parentPath
    this.path = parentPath
    this.#kind = kind
  }

  isDirectory(): boolean {
    return this.#kind === 'dir'
  }
  isFile(): boolean {
    return this.#kind === 'file'
  }
  isBlockDevice(): boolean {
    return this.#kind === 'blockdev'
  }
  isCharacterDevice(): boolean {
    return this.#kind === 'chardev'
  }
  isSymbolicLink(): boolean {
    return this.#kind === 'symlink'
  }
  isFIFO(): boolean {
    return this.#kind === 'fifo'
  }
  isSocket(): boolean {
    return this.#kind === 'socket'
  }
}
