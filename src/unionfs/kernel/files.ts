// System calls on open files: open, read, write, truncate. The order of the checks is that of do_open and may_open in
// fs/namei.c.
import { fail } from './fault.js'
import { isPermitted, MAY_READ, MAY_WRITE, modeAfterWrite, S_ISVTX } from './identity.js'
import { stampContent, type Kernel, type OpenFile } from './kernel.js'
import { createAt } from './names.js'
import type { Walk } from './resolve.js'
import { UpperNode, type AnyNode } from './upper.js'

/** Flags of open(2) on Linux (asm-generic/fcntl.h). */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  ACCMODE: 3,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  DIRECT: 0o40000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  NOATIME: 0o1000000,
  SYNC: 0o4010000,
} as const

export function isReadable(flags: number): boolean {
  return (flags & O.ACCMODE) !== O.WRONLY
}

export function isWritable(flags: number): boolean {
  return (flags & O.ACCMODE) !== O.RDONLY
}

/** @returns the new descriptor */
export function open(kernel: Kernel, path: string, flags: number, mode: number): number {
  // __O_TMPFILE needs an inode without a name; nothing in Node asks for it.
  const node =
    (flags & O.CREAT) === 0 ? openExisting(kernel, path, flags) : openOrCreate(kernel, path, flags, mode)
  // Only what is mounted somewhere can be behind a read-only mount.
  const isMounted = node.superblock.mounts.size > 0 && !isWritable(flags)
  const isReadOnly = isMounted && kernel.isReadOnly(kernel.walk(path, true))
  return kernel.open({ node, flags, path, position: 0, isReadOnly })
}

function openExisting(kernel: Kernel, path: string, flags: number): UpperNode {
  const walk = kernel.walk(path, (flags & O.NOFOLLOW) === 0)
  return enter(kernel, walk, flags)
}

function openOrCreate(kernel: Kernel, path: string, flags: number, mode: number): UpperNode {
  if ((flags & O.DIRECTORY) !== 0) fail('EINVAL')
  const isExclusive = (flags & O.EXCL) !== 0
  const follows = !isExclusive && (flags & O.NOFOLLOW) === 0
  const walk = kernel.walkToParent(path)
  for (;;) {
    // The path ends in a directory: `/`, `.` or `..`.
    if (walk.lastKind !== 'name') fail(isExclusive ? 'EEXIST' : 'EISDIR')
    if (walk.hasTrailingSlash) fail('EISDIR')
    const child = walk.child()
    if (child === 'ENAMETOOLONG') fail(child)
    if (child === undefined) {
      const node = createAt(kernel, walk, 'file', mode & 0o7777 & ~kernel.umask)
      return node
    }
    if (child.kind === 'symlink' && follows) {
      const problem = walk.walkLinkToParent(child)
      if (problem !== undefined) fail(problem)
      continue
    }
    if (isExclusive) fail('EEXIST')
    if (child.kind === 'dir') fail('EISDIR')
    if (isKeptInSticky(kernel, walk.node, child)) fail('EACCES')
    walk.names.push(walk.last)
    walk.nodes.push(child)
    return enter(kernel, walk, flags)
  }
}

/**
 * Whether O_CREAT must not open what others put into a sticky directory (may_create_in_sticky). Regular files and fifos are
 * open to it with fs.protected_regular=0 and fs.protected_fifos=0, the kernel's defaults; nothing else is.
 */
function isKeptInSticky(kernel: Kernel, dir: AnyNode, node: AnyNode): boolean {
  if (node.kind === 'file' || node.kind === 'fifo') return false
  const isShared = (dir.mode & S_ISVTX) !== 0 && (dir.mode & 0o002) !== 0
  return isShared && node.uid !== dir.uid && node.uid !== kernel.identity.uid
}

/** Opens the node that a walk reached (may_open). */
function enter(kernel: Kernel, walk: Walk, flags: number): UpperNode {
  const { node } = walk
  if ((flags & O.DIRECTORY) !== 0 && node.kind !== 'dir') fail('ENOTDIR')
  if (node.kind === 'symlink') fail('ELOOP')
  const truncates = (flags & O.TRUNC) !== 0
  const writes = isWritable(flags) || truncates
  if (node.kind === 'dir' && writes) fail('EISDIR')
  const want = (isReadable(flags) ? MAY_READ : 0) | (writes ? MAY_WRITE : 0)
  if (!isPermitted(kernel.identity, node, want)) fail('EACCES')
  // There are no drivers behind devices and no other processes behind pipes and sockets.
  if (node.kind !== 'dir' && node.kind !== 'file') fail('ENXIO')
  const upper = writes ? kernel.own(walk) : kernel.hold(walk)
  if (truncates) {
    upper.data!.truncate(0)
    contentWritten(kernel, upper)
  }
  return upper
}

/** What every change of content does to the metadata (file_update_time, file_remove_privs). */
function contentWritten(kernel: Kernel, node: UpperNode): void {
  node.mode = modeAfterWrite(kernel.identity, node.mode, node.gid)
  dropCapability(node)
  stampContent(kernel, node)
  kernel.notifyChange(node)
}

/** File capabilities do not survive a change of content or owner, whoever makes it (cap_inode_killpriv). */
export function dropCapability(node: UpperNode): void {
  if (!node.xattrs?.has('security.capability')) return
  const rest = new Map(node.xattrs)
  rest.delete('security.capability')
  node.xattrs = rest.size === 0 ? undefined : rest
}

/**
 * Reads up to `length` bytes into `target` from `at`.
 * @param position  where in the file; `undefined` reads at the descriptor's position and moves it
 */
export function read(
  kernel: Kernel,
  fd: number,
  target: Uint8Array,
  at: number,
  length: number,
  position: number | undefined,
): number {
  const file = kernel.file(fd)
  if (!isReadable(file.flags)) fail('EBADF')
  if (file.node.data === undefined) fail('EISDIR')
  const count = file.node.data.read(target, at, length, position ?? file.position)
  if (position === undefined) file.position += count
  return count
}

/**
 * Writes `bytes`, or as many of them as there is room for; `position` as in `read`. A descriptor opened for appending always
 * writes at the end. @returns how many
 */
export function write(kernel: Kernel, fd: number, bytes: Uint8Array, position: number | undefined): number {
  const file = kernel.file(fd)
  if (!isWritable(file.flags)) fail('EBADF')
  const { node } = file
  if (bytes.byteLength === 0) return 0
  const start = (file.flags & O.APPEND) !== 0 ? node.size : (position ?? file.position)
  const count = node.data!.write(bytes, start)
  if (position === undefined) file.position = start + count
  contentWritten(kernel, node)
  return count
}

/** As `write`, until all is written. @throws Fault ENOSPC where there was room for a part only, which is written then */
export function writeAll(kernel: Kernel, fd: number, bytes: Uint8Array, position?: number): number {
  for (let at = 0; at < bytes.byteLength;) {
    at += write(kernel, fd, bytes.subarray(at), position === undefined ? undefined : position + at)
  }
  return bytes.byteLength
}

export function ftruncate(kernel: Kernel, fd: number, size: number): void {
  const file = kernel.file(fd)
  if (!isWritable(file.flags) || file.node.data === undefined) fail('EINVAL')
  truncateNode(kernel, file, size)
}

function truncateNode(kernel: Kernel, file: OpenFile, size: number): void {
  file.node.data!.truncate(size)
  contentWritten(kernel, file.node)
}

/** The whole content from the descriptor's position on; may share memory: never write into it. */
export function remaining(kernel: Kernel, fd: number): Uint8Array {
  const file = kernel.file(fd)
  if (!isReadable(file.flags)) fail('EBADF')
  if (file.node.data === undefined) fail('EISDIR')
  const bytes = file.node.data.bytes().subarray(file.position)
  file.position += bytes.byteLength
  return bytes
}

/** The content of the file at a path, without a descriptor; may share memory: never write into it. */
export function contentAt(kernel: Kernel, path: string): Uint8Array {
  const node: AnyNode = kernel.get(path, true)
  if (!isPermitted(kernel.identity, node, MAY_READ)) fail('EACCES')
  if (node.kind === 'dir') fail('EISDIR')
  if (node.kind !== 'file') fail('ENXIO')
  return node instanceof UpperNode ? node.data!.bytes() : node.content()
}
