// Mounting a superblock over a directory or a file of another, and making a place a mount of its own. A superblock may be
// mounted at several places: they show the same files.
import { fail } from './fault.js'
import type { Kernel } from './kernel.js'
import type { Superblock } from './superblock.js'
import { UpperNode, childOf, type AnyNode } from './upper.js'

/** One place at which a superblock shows. */
export interface Mount {
  readonly superblock: Superblock
  /** What shows there: the root of the superblock, or `point` itself. */
  readonly root: UpperNode
  /** Nothing can be changed through this mount. */
  readonly isReadOnly: boolean
  /** What it covers. */
  readonly point: UpperNode
  /** What the point was before: a mount of its own, or nothing. */
  readonly before: Mount | undefined
}

/** @throws Fault ENOTDIR where one of the two is a directory and the other is not */
export function mountOn(kernel: Kernel, path: string, superblock: Superblock, isReadOnly: boolean): Mount {
  const walk = kernel.walk(path, true)
  if ((walk.node.kind === 'dir') !== (superblock.root.kind === 'dir')) fail('ENOTDIR')
  const point = kernel.hold(walk)
  // A superblock that is seen within itself would make paths without end.
  if (isWithin(point.superblock, superblock)) fail('EBUSY')
  return attachMount(kernel, { superblock, root: superblock.root, isReadOnly, point, before: point.mounted })
}

/** `mount --bind -o ro PATH PATH`: the same file or directory, with a say of its own on whether it can be changed. */
export function bindOn(kernel: Kernel, path: string, isReadOnly: boolean): Mount {
  const point = kernel.hold(kernel.walk(path, true))
  const { superblock } = point
  return attachMount(kernel, { superblock, root: point, isReadOnly, point, before: point.mounted })
}

function attachMount(kernel: Kernel, mount: Mount): Mount {
  mount.superblock.mounts.add(mount)
  mount.point.mounted = mount
  // All that look at the superblock see it, whichever process mounted it.
  kernel.superblock.hasMountPoints = true
  mount.point.superblock.hasMountPoints = true
  return mount
}

/** Whether `inner` is `outer`, or is mounted somewhere below it. */
function isWithin(inner: Superblock, outer: Superblock): boolean {
  if (inner === outer) return true
  for (const { point } of inner.mounts) {
    if (point.superblock !== inner && isWithin(point.superblock, outer)) return true
  }
  return false
}

export function unmount(mount: Mount): void {
  mount.superblock.mounts.delete(mount)
  if (mount.point.mounted === mount) mount.point.mounted = mount.before
}

/** What shows at a node: the root of what is mounted on it, or itself. */
export function crossMounts<Node extends AnyNode | undefined>(node: Node): Node | UpperNode {
  let at: Node | UpperNode = node
  while (at instanceof UpperNode && at.mounted !== undefined && at.mounted.root !== at) at = at.mounted.root
  return at
}

/** Whether something is mounted on an entry of a directory: such an entry cannot be moved or removed. */
export function isMountPoint(dir: AnyNode, name: string): boolean {
  const entry = childOf(dir, name)
  return entry instanceof UpperNode && entry.mounted !== undefined
}

/** The mount that a way of names from a root ends in; `undefined` is the root's own. */
export function mountAt(root: UpperNode, names: readonly string[]): Mount | undefined {
  let mount: Mount | undefined
  let at: AnyNode | undefined = root
  for (let i = 0; at !== undefined; i++) {
    while (at instanceof UpperNode && at.mounted !== undefined) {
      mount = at.mounted
      if (mount.root === at) break
      at = mount.root
    }
    if (i === names.length) break
    at = childOf(at, names[i]!)
  }
  return mount
}
