// Mounting a superblock over a directory of another.
import { fail } from './fault.js'
import type { Kernel } from './kernel.js'
import type { Superblock } from './superblock.js'
import type { UpperNode } from './upper.js'

/** @returns the directory that is covered now */
export function mountOn(
  kernel: Kernel,
  path: string,
  superblock: Superblock,
  isReadOnly: boolean,
): UpperNode {
  const walk = kernel.walk(path, true)
  if (walk.node.kind !== 'dir') fail('ENOTDIR')
  // A superblock that is seen twice, or within itself, would make paths without end.
  if (superblock === kernel.superblock || superblock.mountPoint !== undefined) fail('EBUSY')
  const point = kernel.hold(walk)
  superblock.mountPoint = point
  superblock.isReadOnly = isReadOnly
  point.mounted = superblock
  return point
}

export function unmount(point: UpperNode, superblock: Superblock): void {
  if (point.mounted !== superblock) return
  point.mounted = undefined
  superblock.mountPoint = undefined
  superblock.isReadOnly = false
}
