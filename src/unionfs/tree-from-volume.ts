// A memfs Volume as a tree: its state now, copied. memfs itself is not imported.
//
// It reads the volume's inodes, not its API: memfs applies permission bits to everyone, so a file of mode 0 could not be
// read, and reading would move access times. The fields are those of the memfs version that package.json pins.
import { encodePath, splitPath } from '../path.js'
import { childrenOf } from './children.js'
import { TreeNode, bytesSource, splitTime, type NodeInit } from './node.js'
import { Tree } from './tree.js'

/** What is used of memfs's inodes. */
interface MemfsNode {
  readonly ino: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly rdev: number
  readonly mtime: Date
  readonly buf: Uint8Array
  readonly size: number
  readonly symlink?: string
}

/** memfs's directory entry; `children` has `.` and `..` too. */
interface MemfsLink {
  readonly children: Map<string | number, MemfsLink | undefined>
  getNode(): unknown
}

const TYPE_MASK = 0o170000
const KINDS: Readonly<Record<number, TreeNode['kind']>> = {
  0o100000: 'file',
  0o040000: 'dir',
  0o120000: 'symlink',
  0o020000: 'chardev',
  0o060000: 'blockdev',
  0o010000: 'fifo',
  0o140000: 'socket',
}

/**
 * The files of a volume below `root` as a tree. Contents are copied: later writes to the volume do not show. Hard links
 * stay together. A symlink gets Linux's mode 0777 and its target's length as size (memfs: 0666 and 0). Times have memfs's
 * milliseconds.
 *
 * @param volume  a memfs `Volume`, or an `fs` that `createFsFromVolume` made
 * @param root  a directory or file of the volume, symlinks not followed; default `/`
 * @throws TypeError when there is nothing at `root`, or `volume` is not memfs's
 */
export function treeFromVolume(volume: object, root = '/'): Tree {
  let link = rootOf(volume)
  for (const name of splitPath(root)) link = link?.children.get(name)
  if (link === undefined) throw new TypeError(`the volume has nothing at ${JSON.stringify(root)}`)
  return new VolumeReader(link).read()
}

function rootOf(volume: object): MemfsLink | undefined {
  const { __vol: inner = volume } = volume as { readonly __vol?: object }
  const { _core: core } = inner as { readonly _core?: { readonly root?: MemfsLink } }
  if (core?.root === undefined) throw new TypeError('not a memfs Volume')
  return core.root
}

class VolumeReader {
  readonly #root: MemfsLink
  /** How many names within the root each linked inode has. */
  readonly #names = new Map<MemfsNode, number>()
  readonly #nodes = new Map<MemfsNode, TreeNode>()

  constructor(root: MemfsLink) {
    this.#root = root
  }

  read(): Tree {
    this.#countNames(this.#root)
    return new Tree(this.#node(this.#root))
  }

  #countNames(link: MemfsLink): void {
    const inode = link.getNode() as MemfsNode
    if (kindOf(inode) === 'dir') for (const [, child] of entriesOf(link)) this.#countNames(child)
    else if (inode.nlink > 1) this.#names.set(inode, (this.#names.get(inode) ?? 0) + 1)
  }

  #node(link: MemfsLink): TreeNode {
    const inode = link.getNode() as MemfsNode
    if (kindOf(inode) === 'dir') {
      const entries = entriesOf(link).map(([name, child]) => [name, this.#node(child)] as const)
      return new TreeNode({ ...initOf(inode), children: childrenOf(entries) })
    }
    const known = this.#nodes.get(inode)
    if (known !== undefined) return known
    const node = new TreeNode({ ...initOf(inode), nlink: this.#names.get(inode) ?? 1 })
    this.#nodes.set(inode, node)
    return node
  }
}

function entriesOf(link: MemfsLink): (readonly [string, MemfsLink])[] {
  return [...link.children].flatMap(([name, child]) =>
    child === undefined || name === '.' || name === '..' ? [] : [[String(name), child] as const],
  )
}

function initOf(inode: MemfsNode): NodeInit {
  const kind = kindOf(inode)
  const init: NodeInit = {
    kind,
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    ...splitTime(BigInt(inode.mtime.getTime()) * 1_000_000n),
  }
  if (kind === 'file') {
    const bytes = new Uint8Array(inode.buf.subarray(0, inode.size))
    return { ...init, size: bytes.length, source: bytes.length === 0 ? undefined : bytesSource(bytes) }
  }
  if (kind === 'symlink') {
    const target = inode.symlink ?? ''
    return { ...init, mode: 0o777, target, size: encodePath(target).length }
  }
  if (kind === 'chardev' || kind === 'blockdev') {
    // makedev of old Linux, which is all that fits into memfs's number.
    return { ...init, rdevMajor: (inode.rdev >>> 8) & 0xfff, rdevMinor: inode.rdev & 0xff }
  }
  return init
}

function kindOf(inode: MemfsNode): TreeNode['kind'] {
  return KINDS[inode.mode & TYPE_MASK] ?? 'file'
}
