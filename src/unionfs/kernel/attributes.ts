// System calls on metadata: chmod, chown, utimes, access, readlink, xattrs. They act on a node that the caller found, so
// that one function serves the path and the descriptor form.
import type { Xattrs } from '../node.js'
import { encodePath } from '../../path.js'
import { fail } from './fault.js'
import { dropCapability } from './files.js'
import {
  isInGroup,
  isOwner,
  isPermitted,
  MAY_READ,
  MAY_WRITE,
  modeAfterChown,
  S_ISGID,
  S_ISVTX,
} from './identity.js'
import { stampMeta, type Kernel } from './kernel.js'
import { type AnyNode, type UpperNode } from './upper.js'

export interface Time {
  readonly sec: number
  readonly nsec: number
}

/** "Leave as it is" for chown(2). */
export const UNCHANGED_ID = 0xffff_ffff

export function chmod(kernel: Kernel, node: UpperNode, mode: number): void {
  const { identity: who } = kernel
  if (!isOwner(who, node)) fail('EPERM')
  // Linux has no mode for symlinks.
  if (node.kind === 'symlink') fail('ENOTSUP')
  let bits = mode & 0o7777
  if (who.uid !== 0 && !isInGroup(who, node.gid)) bits &= ~S_ISGID
  node.mode = bits
  stampMeta(kernel, node)
  kernel.notifyChange(node)
}

export function chown(kernel: Kernel, node: UpperNode, uid: number, gid: number): void {
  const { identity: who } = kernel
  const newUid = uid === UNCHANGED_ID ? node.uid : uid
  const newGid = gid === UNCHANGED_ID ? node.gid : gid
  if (who.uid !== 0) {
    const ownsIt = who.uid === node.uid
    if (uid !== UNCHANGED_ID && !(ownsIt && uid === node.uid)) fail('EPERM')
    if (gid !== UNCHANGED_ID && !(ownsIt && (isInGroup(who, gid) || gid === node.gid))) fail('EPERM')
    if (!ownsIt && node.kind !== 'dir' && modeAfterChown(who, node.mode, node.gid) !== node.mode)
      fail('EPERM')
  }
  if (node.kind !== 'dir') {
    node.mode = modeAfterChown(who, node.mode, node.gid)
    dropCapability(node)
  }
  node.uid = newUid
  node.gid = newGid
  stampMeta(kernel, node)
  kernel.notifyChange(node)
}

export function utimes(kernel: Kernel, node: UpperNode, atime: Time, mtime: Time): void {
  if (!isOwner(kernel.identity, node)) fail('EPERM')
  node.atimeSec = atime.sec
  node.atimeNsec = atime.nsec
  node.mtimeSec = mtime.sec
  node.mtimeNsec = mtime.nsec
  stampMeta(kernel, node)
  kernel.notifyChange(node)
}

/** @param mode bits as access(2): 4 read, 2 write, 1 execute; 0 asks whether it is there */
export function access(kernel: Kernel, path: string, mode: number): void {
  const node = kernel.get(path, true)
  if ((mode & MAY_WRITE) !== 0 && kernel.isReadOnly(kernel.walk(path, true))) fail('EROFS')
  if (mode !== 0 && !isPermitted(kernel.identity, node, mode)) fail('EACCES')
}

/** Target of a symlink, as a path string. */
export function readlink(kernel: Kernel, path: string): string {
  const node = kernel.get(path, false)
  return node.kind === 'symlink' ? node.target : fail('EINVAL')
}

const XATTR_NAME_MAX = 255
const XATTR_SIZE_MAX = 65536

/** Which xattrs a node may have, and who may touch them (xattr(7), xattr_permission in fs/xattr.c). */
function checkXattr(kernel: Kernel, node: AnyNode, name: string, writes: boolean): void {
  const length = encodePath(name).byteLength
  if (length === 0 || length > XATTR_NAME_MAX) fail('ERANGE')
  const { identity: who } = kernel
  if (name.startsWith('user.')) {
    if (node.kind !== 'file' && node.kind !== 'dir') fail(writes ? 'EPERM' : 'ENODATA')
    if (writes && node.kind === 'dir' && (node.mode & S_ISVTX) !== 0 && !isOwner(who, node)) fail('EPERM')
    if (!isPermitted(who, node, writes ? MAY_WRITE : MAY_READ)) fail('EACCES')
  } else if (name.startsWith('trusted.')) {
    if (who.uid !== 0) fail(writes ? 'EPERM' : 'ENODATA')
  } else if (name.startsWith('security.') || name.startsWith('system.posix_acl_')) {
    if (writes && who.uid !== 0) fail('EPERM')
  } else {
    const isChecked = !name.startsWith('system.')
    if (isChecked && !isPermitted(who, node, writes ? MAY_WRITE : MAY_READ)) fail('EACCES')
    fail('ENOTSUP')
  }
  if (name === 'user.' || name === 'trusted.' || name === 'security.') fail('EINVAL')
}

/** Value of an xattr; shared: never write into it. */
export function getXattr(kernel: Kernel, node: AnyNode, name: string): Uint8Array {
  checkXattr(kernel, node, name, false)
  return node.xattrs?.get(name) ?? fail('ENODATA')
}

/** Names of the xattrs, sorted. `trusted.*` shows to root alone. */
export function listXattrs(kernel: Kernel, node: AnyNode): string[] {
  const names = [...(node.xattrs?.keys() ?? [])].sort()
  return kernel.identity.uid === 0 ? names : names.filter((name) => !name.startsWith('trusted.'))
}

export function setXattr(
  kernel: Kernel,
  node: UpperNode,
  name: string,
  value: Uint8Array,
  rule: 'any' | 'create' | 'replace',
): void {
  if (value.byteLength > XATTR_SIZE_MAX) fail('E2BIG')
  checkXattr(kernel, node, name, true)
  const before = node.xattrs?.get(name)
  if (rule === 'create' && before !== undefined) fail('EEXIST')
  if (rule === 'replace' && before === undefined) fail('ENODATA')
  changeXattrs(kernel, node, (map) => map.set(name, Uint8Array.from(value)))
}

export function removeXattr(kernel: Kernel, node: UpperNode, name: string): void {
  checkXattr(kernel, node, name, true)
  if (!node.xattrs?.has(name)) fail('ENODATA')
  changeXattrs(kernel, node, (map) => map.delete(name))
}

function changeXattrs(kernel: Kernel, node: UpperNode, change: (map: Map<string, Uint8Array>) => void): void {
  const map = new Map<string, Uint8Array>(node.xattrs as Xattrs | undefined)
  change(map)
  node.xattrs = map.size === 0 ? undefined : map
  stampMeta(kernel, node)
  kernel.notifyChange(node)
}
