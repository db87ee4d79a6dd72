// A host folder as a tree that is read when it is looked at, and the way back: changes of a view written into the folder.
// Effect. Host symlinks are kept as links and never followed, neither on reading nor on writing.
import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  lutimesSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  type BigIntStats,
} from 'node:fs'
import { Buffer } from 'node:buffer'
import { decodePath, encodePath, compareNames, splitPath } from '../path.js'
import type { Change, Changeset } from './changeset.js'
import { childrenOf, type Children } from './children.js'
import { contentChunks } from './content.js'
import { splitTime, TreeNode, type ContentSource, type NodeKind } from './node.js'
import { Tree } from './tree.js'

const SLASH = Buffer.from('/')

function below(folder: Buffer, name: string): Buffer {
  return Buffer.concat([folder, SLASH, encodePath(name)])
}

/**
 * The tree of a host folder. A directory is read when first looked into, and then stays as it was seen; a file's bytes are
 * read each time, and one that became shorter since reads as zeros at its end. Hard links show as separate files.
 */
export function hostTree(folder: string): Tree {
  const path = Buffer.from(folder)
  const root = nodeAt(path)
  if (root.kind !== 'dir') throw new TypeError(`not a directory: ${folder}`)
  // Nothing in it counts as linked, so nothing has to be searched for links.
  return new Tree(root, new Map())
}

function nodeAt(path: Buffer): TreeNode {
  const stats = lstatSync(path, { bigint: true })
  const kind = kindOf(stats)
  const meta = {
    kind,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    ...splitTime(stats.mtimeNs),
  }
  if (kind === 'file') return new TreeNode({ ...meta, size: Number(stats.size), source: new HostFile(path) })
  if (kind === 'dir') return new TreeNode({ ...meta, children: new HostChildren(path) })
  if (kind === 'symlink') {
    const target = readlinkSync(path, { encoding: 'buffer' })
    return new TreeNode({ ...meta, target: decodePath(target), size: target.byteLength })
  }
  const { major, minor } = deviceNumbers(stats.rdev)
  return new TreeNode({ ...meta, rdevMajor: major, rdevMinor: minor })
}

function kindOf(stats: BigIntStats): NodeKind {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'dir'
  if (stats.isSymbolicLink()) return 'symlink'
  if (stats.isCharacterDevice()) return 'chardev'
  if (stats.isBlockDevice()) return 'blockdev'
  return stats.isFIFO() ? 'fifo' : 'socket'
}

/** As makedev(3) packs them. */
function deviceNumbers(rdev: bigint): { major: number; minor: number } {
  return { major: Number((rdev >> 8n) & 0xfffn), minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n)) }
}

class HostFile implements ContentSource {
  readonly #path: Buffer

  constructor(path: Buffer) {
    this.#path = path
  }

  read(offset: number, length: number): Uint8Array {
    const out = new Uint8Array(length)
    const fd = openSync(this.#path, 'r')
    try {
      for (let at = 0; at < length;) {
        const count = readSync(fd, out, at, length - at, offset + at)
        if (count === 0) break
        at += count
      }
    } finally {
      closeSync(fd)
    }
    return out
  }
}

class HostChildren implements Children {
  readonly #folder: Buffer
  #names: readonly string[] | undefined
  #nodes: Map<string, TreeNode> | undefined

  constructor(folder: Buffer) {
    this.#folder = folder
  }

  get size(): number {
    return this.names().length
  }

  names(): readonly string[] {
    this.#names ??= readdirSync(this.#folder, { encoding: 'buffer' }).map(decodePath).sort(compareNames)
    return this.#names
  }

  get(name: string): TreeNode | undefined {
    this.#nodes ??= new Map()
    const known = this.#nodes.get(name)
    if (known !== undefined) return known
    if (name === '' || name === '.' || name === '..' || !this.#has(name)) return undefined
    const node = nodeAt(below(this.#folder, name))
    this.#nodes.set(name, node)
    return node
  }

  #has(name: string): boolean {
    return this.names().includes(name)
  }

  *entries(): Generator<readonly [string, TreeNode]> {
    for (const name of this.names()) yield [name, this.get(name)!]
  }

  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children {
    return childrenOf(this.entries()).with(changes)
  }
}

/** Contents of the files that a changeset puts, where they were written to meanwhile. */
type Staged = ReadonlyMap<Change, Buffer>

/**
 * Applies a changeset to a host folder. Paths are those of a tree: nothing is written through a symlink, because what is in
 * the way of a path is replaced, not followed. Owners are set when the process is root.
 *
 * Contents are written into a folder of their own first, and take their places by rename: a file that was moved is read
 * from where it still is, and a file is the old or the new one whenever this is cut short.
 */
export function writeChanges(folder: string, changeset: Changeset): void {
  if (changeset.length === 0) return
  const root = Buffer.from(folder)
  const staging = Buffer.from(mkdtempSync(`${folder}/.lamella-`))
  try {
    const staged = stage(staging, changeset)
    apply(root, changeset, staged)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
  // The staging folder has moved the times of the folder itself.
  for (const change of changeset) if (change.kind === 'put' && change.path === '') setMeta(root, change.node)
}

function stage(staging: Buffer, changeset: Changeset): Staged {
  const staged = new Map<Change, Buffer>()
  for (const change of changeset) {
    if (change.kind !== 'put' || change.node.kind !== 'file') continue
    const path = below(staging, String(staged.size))
    const fd = openSync(path, 'wx', 0o600)
    try {
      for (const chunk of contentChunks(change.node)) writeFileSync(fd, chunk)
    } finally {
      closeSync(fd)
    }
    staged.set(change, path)
  }
  return staged
}

function apply(root: Buffer, changeset: Changeset, staged: Staged): void {
  const directories: Change[] = []
  // Deletions count for what was there before, wherever they stand in a changeset.
  const ordered = [...changeset].sort((a, b) => Number(isAddition(a)) - Number(isAddition(b)))
  for (const change of ordered) {
    const path = pathIn(root, change.path)
    if (change.kind === 'delete') rmSync(path, { recursive: true, force: true })
    else if (change.kind === 'opaque') emptyDirectory(path)
    else if (change.kind === 'link') {
      rmSync(path, { recursive: true, force: true })
      linkSync(pathIn(root, change.target), path)
    } else {
      putNode(path, change.node, staged.get(change))
      if (change.node.kind === 'dir') directories.push(change)
    }
  }
  // Last, and from the deepest up: what is written into a directory changes its mtime.
  for (const change of directories.reverse()) {
    if (change.kind === 'put') setMeta(pathIn(root, change.path), change.node)
  }
}

function isAddition(change: Change): boolean {
  return change.kind === 'put' || change.kind === 'link'
}

/** @throws Node's ELOOP when somebody put a symlink where the tree has a directory */
function pathIn(root: Buffer, path: string): Buffer {
  let at = root
  for (const [i, name] of splitPath(path).entries()) {
    if (i > 0 && lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() === true)
      throw symlinkInTheWay(at)
    at = below(at, name)
  }
  return at
}

function symlinkInTheWay(path: Buffer): Error {
  const message = `ELOOP: too many symbolic links encountered, open '${path.toString()}'`
  return Object.assign(new Error(message), { code: 'ELOOP', syscall: 'open', path: path.toString() })
}

function emptyDirectory(path: Buffer): void {
  for (const name of readdirSync(path, { encoding: 'buffer' })) {
    rmSync(Buffer.concat([path, SLASH, name]), { recursive: true, force: true })
  }
}

function putNode(path: Buffer, node: TreeNode, staged: Buffer | undefined): void {
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (node.kind === 'dir') {
    if (there?.isDirectory()) return
    rmSync(path, { force: true })
    mkdirSync(path)
    return
  }
  if (there?.isDirectory() || staged === undefined) rmSync(path, { recursive: true, force: true })
  if (staged !== undefined) renameSync(staged, path)
  else if (node.kind === 'symlink') symlinkSync(Buffer.from(encodePath(node.target)), path)
  // Node has no call that makes devices, fifos and sockets.
  else return
  setMeta(path, node)
}

function setMeta(path: Buffer, node: TreeNode): void {
  if (process.getuid?.() === 0) lchownSync(path, node.uid, node.gid)
  const seconds = node.mtimeSec + node.mtimeNsec / 1e9
  if (node.kind === 'symlink') {
    lutimesSync(path, seconds, seconds)
    return
  }
  chmodSync(path, node.mode)
  utimesSync(path, seconds, seconds)
}
