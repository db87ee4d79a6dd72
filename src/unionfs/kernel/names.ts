// System calls that make, move and remove names: mkdir, mknod, symlink, link, unlink, rmdir, rename. The order of the
// checks is that of fs/namei.c, because it decides which error wins.
import type { NodeKind } from '../node.js'
import { encodePath } from '../../path.js'
import { fail } from './fault.js'
import {
  isOwner,
  isPermitted,
  isStickyFor,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  S_ISGID,
  S_ISUID,
  isInGroup,
  type Identity,
} from './identity.js'
import { releaseIfUnused, stampContent, stampMeta, type Kernel } from './kernel.js'
import { isMountPoint } from './mounts.js'
import { PATH_MAX, type Walk } from './resolve.js'
import { UpperNode, entryCount, type AnyNode } from './upper.js'

/** The entry that a walk stopped before. @throws Fault ENAMETOOLONG */
function lastChild(walk: Walk): AnyNode | undefined {
  const child = walk.child()
  return child === 'ENAMETOOLONG' ? fail(child) : child
}

/** Walks to where a new entry shall be, and checks that nothing is there (filename_create). */
function walkToNew(kernel: Kernel, path: string, isDirectory: boolean): Walk {
  const walk = kernel.walkToParent(path)
  if (walk.lastKind !== 'name') fail('EEXIST')
  if (lastChild(walk) !== undefined) fail('EEXIST')
  if (walk.hasTrailingSlash && !isDirectory) fail('ENOENT')
  return walk
}

/** Owner, group and mode of a new inode (inode_init_owner, mode_strip_sgid). */
export function ownership(kernel: Kernel, parent: AnyNode, kind: NodeKind, mode: number) {
  const { identity: who } = kernel
  const inherits = (parent.mode & S_ISGID) !== 0
  const gid = inherits ? parent.gid : who.gid
  let bits = mode
  if (inherits && kind === 'dir') bits |= S_ISGID
  else if (
    inherits &&
    (bits & (S_ISGID | 0o010)) === (S_ISGID | 0o010) &&
    who.uid !== 0 &&
    !isInGroup(who, gid)
  ) {
    bits &= ~S_ISGID
  }
  return { kind, mode: bits, uid: who.uid, gid }
}

/** Makes the entry at which `walk` stopped. */
export function createAt(
  kernel: Kernel,
  walk: Walk,
  kind: NodeKind,
  mode: number,
  target?: string,
): UpperNode {
  kernel.checkCreate(walk.node)
  const parent = kernel.own(walk)
  const init = ownership(kernel, parent, kind, mode)
  const node = UpperNode.create(
    parent.superblock,
    target === undefined ? init : { ...init, target },
    kernel.now(),
  )
  parent.attach(walk.last, node)
  stampContent(kernel, parent)
  kernel.notify('rename', parent, walk.last)
  return node
}

export function mkdir(kernel: Kernel, path: string, mode: number): void {
  const walk = walkToNew(kernel, path, true)
  createAt(kernel, walk, 'dir', mode & 0o1777 & ~kernel.umask)
}

/** @param rdev device numbers, for devices only */
export function mknod(
  kernel: Kernel,
  path: string,
  kind: 'file' | 'chardev' | 'blockdev' | 'fifo' | 'socket',
  mode: number,
  rdev: readonly [major: number, minor: number] = [0, 0],
): void {
  const walk = walkToNew(kernel, path, false)
  kernel.checkCreate(walk.node)
  const isDevice = kind === 'chardev' || kind === 'blockdev'
  if (isDevice && kernel.identity.uid !== 0) fail('EPERM')
  createAt(kernel, walk, kind, mode & 0o7777 & ~kernel.umask, isDevice ? `${rdev[0]}:${rdev[1]}` : undefined)
}

export function symlink(kernel: Kernel, target: string, path: string): void {
  if (target === '') fail('ENOENT')
  if (encodePath(target).byteLength >= PATH_MAX) fail('ENAMETOOLONG')
  createAt(kernel, walkToNew(kernel, path, false), 'symlink', 0o777, target)
}

export function link(kernel: Kernel, existing: string, path: string): void {
  const from = kernel.walk(existing, false)
  const to = walkToNew(kernel, path, false)
  const source = from.node
  if (!isSameMount(kernel, from, to)) fail('EXDEV')
  if (!isLinkable(kernel.identity, source)) fail('EPERM')
  kernel.checkCreate(to.node)
  if (source.kind === 'dir') fail('EPERM')
  const node = kernel.own(from)
  const parent = kernel.own(to)
  parent.attach(to.last, node)
  stampMeta(kernel, node)
  stampContent(kernel, parent)
  kernel.notify('rename', parent, to.last)
}

/** fs.protected_hardlinks=1, as distributions set it: who does not own a file links it only if it could be written. */
function isLinkable(who: Identity, node: AnyNode): boolean {
  if (isOwner(who, node)) return true
  const isSetId = (node.mode & S_ISUID) !== 0 || (node.mode & (S_ISGID | 0o010)) === (S_ISGID | 0o010)
  return node.kind === 'file' && !isSetId && isPermitted(who, node, MAY_READ | MAY_WRITE)
}

function isSameMount(kernel: Kernel, from: Walk, to: Walk): boolean {
  return kernel.mountOf(from) === kernel.mountOf(to)
}

/** May this entry be removed from its directory? (may_delete) */
function checkDelete(
  kernel: Kernel,
  { node: parent, last }: Walk,
  victim: AnyNode,
  asDirectory: boolean,
): void {
  if (!isPermitted(kernel.identity, parent, MAY_WRITE | MAY_EXEC)) fail('EACCES')
  if (isStickyFor(kernel.identity, parent, victim)) fail('EPERM')
  if (asDirectory) {
    if (victim.kind !== 'dir') fail('ENOTDIR')
    if (isMountPoint(parent, last)) fail('EBUSY')
  } else if (isMountPoint(parent, last)) fail('EBUSY')
  else if (victim.kind === 'dir') fail('EISDIR')
}

export function unlink(kernel: Kernel, path: string): void {
  const walk = kernel.walkToParent(path)
  if (walk.lastKind !== 'name') fail('EISDIR')
  const victim = lastChild(walk)
  if (victim === undefined) fail('ENOENT')
  if (walk.hasTrailingSlash) fail(victim.kind === 'dir' ? 'EISDIR' : 'ENOTDIR')
  checkDelete(kernel, walk, victim, false)
  removeEntry(kernel, walk)
}

export function rmdir(kernel: Kernel, path: string): void {
  const walk = kernel.walkToParent(path)
  if (walk.lastKind === 'dotdot') fail('ENOTEMPTY')
  if (walk.lastKind === 'dot') fail('EINVAL')
  if (walk.lastKind === 'root') fail('EBUSY')
  const victim = lastChild(walk)
  if (victim === undefined) fail('ENOENT')
  checkDelete(kernel, walk, victim, true)
  if (entryCount(victim) > 0) fail('ENOTEMPTY')
  removeEntry(kernel, walk)
}

function removeEntry(kernel: Kernel, walk: Walk): void {
  const parent = kernel.own(walk)
  dropName(kernel, parent, walk.last)
  stampContent(kernel, parent)
  kernel.notify('rename', parent, walk.last)
}

/** Takes a name away; the inode lives on while it has others or is open. */
function dropName(kernel: Kernel, parent: UpperNode, name: string): void {
  const victim = parent.child(name)!
  // A lower inode with one name, and nobody holding it, simply stops being seen.
  if (!(victim instanceof UpperNode) && (victim.nlink === 1 || victim.kind === 'dir')) {
    parent.detach(name)
    return
  }
  const node = parent.superblock.copyUp(parent, name)
  parent.detach(name)
  stampMeta(kernel, node)
  releaseIfUnused(node)
}

export function rename(kernel: Kernel, oldPath: string, newPath: string): void {
  const from = kernel.walkToParent(oldPath)
  const to = kernel.walkToParent(newPath)
  if (!isSameMount(kernel, from, to)) fail('EXDEV')
  if (from.lastKind !== 'name' || to.lastKind !== 'name') fail('EBUSY')
  const source = lastChild(from)
  if (source === undefined) fail('ENOENT')
  const victim = lastChild(to)
  const isDirectory = source.kind === 'dir'
  if (!isDirectory && (from.hasTrailingSlash || to.hasTrailingSlash)) fail('ENOTDIR')
  if (isAtOrBelow(to, to.names.length, from)) fail('EINVAL')
  if (isAtOrBelow(from, from.names.length, to)) fail('ENOTEMPTY')
  if (isSameInode(from, source, to, victim)) return
  checkDelete(kernel, from, source, isDirectory)
  if (victim === undefined) kernel.checkCreate(to.node)
  else checkDelete(kernel, to, victim, isDirectory)
  const isSameParent = from.path === to.path
  // A directory that changes its parent has its `..` rewritten.
  if (isDirectory && !isSameParent && !isPermitted(kernel.identity, source, MAY_WRITE)) fail('EACCES')
  if (isMountPoint(from.node, from.last) || isMountPoint(to.node, to.last)) fail('EBUSY')
  if (victim?.kind === 'dir' && entryCount(victim) > 0) fail('ENOTEMPTY')
  move(kernel, from, to, victim !== undefined)
}

/** Whether the first `depth` names of `walk` lead to the entry `ancestor.last`, or below it. */
function isAtOrBelow(walk: Walk, depth: number, ancestor: Walk): boolean {
  const length = ancestor.names.length
  if (depth <= length || walk.names[length] !== ancestor.last) return false
  for (let i = 0; i < length; i++) if (walk.names[i] !== ancestor.names[i]) return false
  return true
}

function isSameInode(from: Walk, source: AnyNode, to: Walk, victim: AnyNode | undefined): boolean {
  if (victim !== source) return false
  if (from.last === to.last && from.path === to.path) return true
  // Two names of one inode. (A tree may hold one node object in two places without meaning a link.)
  return source instanceof UpperNode ? source.links.length > 1 : source.nlink > 1
}

function move(kernel: Kernel, from: Walk, to: Walk, replaces: boolean): void {
  const oldParent = kernel.own(from)
  const newParent = kernel.own(to)
  const node = oldParent.superblock.copyUp(oldParent, from.last)
  if (replaces) dropName(kernel, newParent, to.last)
  oldParent.detach(from.last)
  newParent.attach(to.last, node)
  stampMeta(kernel, node)
  stampContent(kernel, oldParent)
  if (newParent !== oldParent) stampContent(kernel, newParent)
  kernel.notify('rename', oldParent, from.last)
  kernel.notify('rename', newParent, to.last)
}
