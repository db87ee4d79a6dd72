// The state behind a view's system calls: root, identity, clock, open descriptors, and who watches. The calls themselves
// are functions over it: names.ts, files.ts, attributes.ts. None of them knows anything of Node.
import type { Env } from '../../env.js'
import { systemEnv } from '../../env.js'
import { TreeNode } from '../node.js'
import { fail, type ErrnoCode } from './fault.js'
import { isPermitted, MAY_EXEC, MAY_WRITE, type Identity } from './identity.js'
import { crossMounts, mountAt, type Mount } from './mounts.js'
import { Walk, walkPlain, type LookupObserver, type WalkContext } from './resolve.js'
import type { Superblock } from './superblock.js'
import { UpperNode, type AnyNode, type Clock } from './upper.js'

/** What happened to an entry. `path` is from the root, without symlinks. */
export interface ChangeEvent {
  /** `rename`: the entry came or went. `change`: its content or metadata did. */
  readonly kind: 'rename' | 'change'
  readonly path: string
}

/** An open file description. */
export interface OpenFile {
  readonly node: UpperNode
  readonly flags: number
  readonly path: string
  position: number
  /** It was opened through a mount that takes no changes. */
  readonly isReadOnly: boolean
}

const FIRST_FD = 3
const FD_MAX = 2 ** 31 - 1

export class Kernel implements WalkContext {
  readonly superblock: Superblock
  identity: Identity
  /** Bits that new files do not get. */
  umask: number
  observer: LookupObserver | undefined
  /** Told which directories were listed, by path. */
  listObserver: ((path: string) => void) | undefined
  readonly changeListeners = new Set<(event: ChangeEvent) => void>()
  readonly #env: Env
  readonly #files = new Map<number, OpenFile>()
  readonly #freeFds: number[] = []
  #nextFd = FIRST_FD
  readonly #clock: Clock = { sec: 0, nsec: 0 }

  constructor(superblock: Superblock, identity: Identity, umask: number, env: Env = systemEnv) {
    this.superblock = superblock
    this.identity = identity
    this.umask = umask
    this.#env = env
  }

  /** Whether something was ever mounted here: without, every node belongs to the one superblock. */
  get hasMounts(): boolean {
    return this.superblock.hasMountPoints
  }

  get root(): UpperNode {
    return this.superblock.root
  }

  randomId(): string {
    return this.#env.randomId()
  }

  /** The present time; the object is reused by the next call. */
  now(): Clock {
    const clock = this.#clock
    if (this.#env === systemEnv) {
      const ms = Date.now()
      clock.sec = Math.floor(ms / 1000)
      clock.nsec = (ms % 1000) * 1_000_000
    } else {
      const ns = this.#env.now()
      const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
      clock.sec = Number((ns - nsec) / 1_000_000_000n)
      clock.nsec = Number(nsec)
    }
    return clock
  }

  /** The node at a path, or an error code; creates no error object. */
  find(path: string, followsLast: boolean): AnyNode | ErrnoCode {
    if (this.identity.uid === 0 && this.observer === undefined) {
      const node = walkPlain(this.superblock.root, path)
      if (node !== undefined) return node
    }
    return new Walk(this).walk(path, followsLast)
  }

  /** The node at a path. @throws Fault */
  get(path: string, followsLast: boolean): AnyNode {
    const found = this.find(path, followsLast)
    return typeof found === 'string' ? fail(found) : found
  }

  walk(path: string, followsLast: boolean): Walk {
    const walk = new Walk(this)
    const found = walk.walk(path, followsLast)
    return typeof found === 'string' ? fail(found) : walk
  }

  walkToParent(path: string): Walk {
    const walk = new Walk(this)
    const problem = walk.walkToParent(path)
    return problem === undefined ? walk : fail(problem)
  }

  /** The node that a walk reached as an upper node, so that a descriptor stays on it whatever happens to its names. */
  hold(walk: Walk): UpperNode {
    let node = crossMounts(this.superblock.root)
    for (const name of walk.names) node = crossMounts(node.superblock.copyUp(node, name))
    return node
  }

  /** Like `hold`, ready to be changed. @throws Fault EROFS */
  own(walk: Walk): UpperNode {
    const node = this.hold(walk)
    if ((this.hasMounts || this.superblock.isReadOnly) && this.isReadOnly(walk)) fail('EROFS')
    return node
  }

  /** Whether nothing can be changed where a walk ended: that is a matter of the mount, not of the file. */
  isReadOnly(walk: Walk): boolean {
    return (this.mountOf(walk) ?? this.superblock).isReadOnly
  }

  /** The mount that a walk ended in: names are not moved or linked from one into another. */
  mountOf(walk: Walk): Mount | undefined {
    return this.hasMounts ? mountAt(this.superblock.root, walk.names) : undefined
  }

  /** The superblock of the node that a walk reached: that of the last upper node on its way. */
  superblockOf(walk: Walk): Superblock {
    for (let i = walk.nodes.length - 1; i >= 0; i--) {
      const node = walk.nodes[i]!
      if (node instanceof UpperNode) return node.superblock
    }
    return this.superblock
  }

  /** st_dev at a path that is there. */
  deviceAt(path: string, followsLast: boolean): number {
    return this.hasMounts ? this.superblockOf(this.walk(path, followsLast)).dev : this.superblock.dev
  }

  /** Like `own`, by path. */
  ownPath(path: string, followsLast: boolean): UpperNode {
    return this.own(this.walk(path, followsLast))
  }

  /** May an entry be made in this directory? (may_create) */
  checkCreate(parent: AnyNode): void {
    if (isRemoved(parent)) fail('ENOENT')
    if (!isPermitted(this.identity, parent, MAY_WRITE | MAY_EXEC)) fail('EACCES')
  }

  open(file: OpenFile): number {
    const fd = this.#freeFds.length > 0 ? this.#takeLowestFree() : this.#nextFd++
    if (fd > FD_MAX) fail('EMFILE')
    file.node.openCount++
    this.#files.set(fd, file)
    return fd
  }

  #takeLowestFree(): number {
    let at = 0
    for (let i = 1; i < this.#freeFds.length; i++) if (this.#freeFds[i]! < this.#freeFds[at]!) at = i
    const fd = this.#freeFds[at]!
    this.#freeFds[at] = this.#freeFds[this.#freeFds.length - 1]!
    this.#freeFds.pop()
    return fd
  }

  /** @throws Fault EBADF */
  file(fd: number): OpenFile {
    return this.#files.get(fd) ?? fail('EBADF')
  }

  close(fd: number): void {
    const { node } = this.file(fd)
    this.#files.delete(fd)
    this.#freeFds.push(fd)
    node.openCount--
    releaseIfUnused(node)
  }

  get openFileCount(): number {
    return this.#files.size
  }

  /** Tells the watchers. Costs nothing while there are none. */
  notify(kind: ChangeEvent['kind'], parent: UpperNode, name: string): void {
    if (this.changeListeners.size === 0) return
    this.#tell({ kind, path: `${pathOf(parent, this)}/${name}` })
  }

  /** Tells the watchers that a node changed, under each of its names. */
  notifyChange(node: UpperNode): void {
    if (this.changeListeners.size === 0) return
    if (node.links.length === 0) this.#tell({ kind: 'change', path: pathOf(node, this) || '/' })
    for (const link of node.links) this.notify('change', link.parent, link.name)
  }

  #tell(event: ChangeEvent): void {
    for (const listener of this.changeListeners) listener(event)
  }
}

/** A directory that was removed and is still held open: nothing can be made in it. */
export function isRemoved(dir: AnyNode): boolean {
  return !(dir instanceof TreeNode) && dir.links.length === 0 && dir.superblock.root !== dir
}

/** Gives back the bytes of a file that nobody can reach any more. */
export function releaseIfUnused(node: UpperNode): void {
  if (node.openCount === 0 && node.links.length === 0 && node.superblock.root !== node) node.data?.release()
}

/** Path of an upper directory from the root of the view, '' for the root itself. */
function pathOf(node: UpperNode, kernel: Kernel): string {
  const names: string[] = []
  let at = node
  for (;;) {
    if (at.superblock.root === at) {
      const point: UpperNode | undefined =
        at.superblock === kernel.superblock ? undefined : pointIn(at, kernel)
      if (point === undefined) break
      at = point
      continue
    }
    const link = at.links[0]
    if (link === undefined) break
    names.push(link.name)
    at = link.parent
  }
  return names.length === 0 ? '' : '/' + names.reverse().join('/')
}

/** Where a mounted root shows in a kernel's view; the first of several places. */
function pointIn(root: UpperNode, kernel: Kernel): UpperNode | undefined {
  for (const { point } of root.superblock.mounts) {
    const { superblock } = point
    if (superblock === root.superblock) continue
    if (superblock === kernel.superblock || pointIn(superblock.root, kernel) !== undefined) return point
  }
  return undefined
}

/** Sets mtime and ctime to now: the content changed. */
export function stampContent(kernel: Kernel, node: UpperNode): void {
  const { sec, nsec } = kernel.now()
  node.mtimeSec = sec
  node.mtimeNsec = nsec
  node.ctimeSec = sec
  node.ctimeNsec = nsec
  node.touch()
}

/** Sets ctime to now: metadata changed. */
export function stampMeta(kernel: Kernel, node: UpperNode): void {
  const { sec, nsec } = kernel.now()
  node.ctimeSec = sec
  node.ctimeNsec = nsec
  node.touch()
}
