// Mounting a superblock over a directory of another. One may be mounted at several places: they show the same files.
import { fail } from './fault.js'
import type { Kernel } from './kernel.js'
import type { Superblock } from './superblock.js'
import type { UpperNode } from './upper.js'

/** One place at which a superblock shows. */
export interface Mount {
  readonly superblock: Superblock
  /** The root of what is mounted. */
  readonly root: UpperNode
  /** Nothing can be changed through this mount. */
  readonly isReadOnly: boolean
  /** The directory that it covers. */
  readonly point: UpperNode
}

export function mountOn(kernel: Kernel, path: string, superblock: Superblock, isReadOnly: boolean): Mount {
  const walk = kernel.walk(path, true)
  if (walk.node.kind !== 'dir') fail('ENOTDIR')
  const point = kernel.hold(walk)
  // A superblock that is seen within itself would make paths without end.
  if (isWithin(point.superblock, superblock)) fail('EBUSY')
  const mount: Mount = { superblock, root: superblock.root, isReadOnly, point }
  superblock.mounts.add(mount)
  point.mounted = mount
  // All that look at the superblock see it, whichever process mounted it.
  kernel.superblock.hasMountPoints = true
  point.superblock.hasMountPoints = true
  return mount
}

/** Whether `inner` is `outer`, or is mounted somewhere below it. */
function isWithin(inner: Superblock, outer: Superblock): boolean {
  if (inner === outer) return true
  for (const { point } of inner.mounts) if (isWithin(point.superblock, outer)) return true
  return false
}

export function unmount(mount: Mount): void {
  mount.superblock.mounts.delete(mount)
  if (mount.point.mounted === mount) mount.point.mounted = undefined
}
