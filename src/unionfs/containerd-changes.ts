// Differences of two trees as containerd's and Docker's differs see them, for layers that are theirs byte for byte. Pure.
// @see containerd/continuity fs/diff_unix.go sameDirent, containerd pkg/archive/tar.go changeWriter
import { parentOf } from '../path.js'
import type { Change, Changeset } from './changeset.js'
import { diffTrees, sameInode } from './diff.js'
import type { TreeNode } from './node.js'
import type { Tree } from './tree.js'

const CAPABILITY = 'security.capability'

/**
 * What makes `upper` out of `lower`, in whole seconds. A directory is changed when its mode or owner is; its time alone
 * is no change. The directories above a change come along, changed or not, with the times they have now; the root never
 * does. What is then as it was before is left out, so that a layer applied to its own base and compared again gives the
 * same layer.
 */
export function containerdChanges(lower: Tree, upper: Tree): Changeset {
  const out: Change[] = []
  const written = new Set([''])
  let parent = ''
  const addDirectory = (path: string): void => {
    if (written.has(path)) return
    addDirectory(parentOf(path))
    written.add(path)
    out.push({ kind: 'put', path, node: asWritten(upper.lookup(path)!) })
  }
  for (const change of realChanges(lower, diffTrees(lower, upper))) {
    const above = parentOf(change.path)
    if (above !== parent) addDirectory((parent = above))
    if (change.kind === 'put' && change.node.kind === 'dir') {
      if (written.has(change.path)) continue
      written.add(change.path)
    }
    out.push(change)
  }
  return out
}

function* realChanges(lower: Tree, changes: Changeset): Iterable<Change> {
  const opaque = new Set(changes.flatMap((change) => (change.kind === 'opaque' ? [change.path] : [])))
  for (const change of changes) {
    if (change.path === '') continue
    if (change.kind !== 'put') {
      yield change
      continue
    }
    const { path } = change
    const node = asWritten(change.node)
    const isNew = node.kind === 'dir' ? opaque.has(path) : node === change.node
    const before = isNew ? undefined : lower.lookup(path)
    if (before !== undefined && isSame(before, node)) continue
    yield node === change.node ? change : { kind: 'put', path, node }
  }
}

/** Hard links are left to the comparison of trees. */
function isSame(before: TreeNode, after: TreeNode): boolean {
  if (after.kind !== 'dir') return after.nlink < 2 && before.nlink < 2 && sameInode(before, after)
  const { mtimeSec, mtimeNsec } = before
  return before.kind === 'dir' && sameInode(before, after.with({ mtimeSec, mtimeNsec }))
}

/** What a layer says of a node: no fractions of seconds, and of its extended attributes only capabilities. */
function asWritten(node: TreeNode): TreeNode {
  const { xattrs } = node
  const kept = xattrs === undefined || [...xattrs.keys()].every((name) => name === CAPABILITY)
  // Times before 1970 are cut towards the past, as their whole seconds are.
  if (kept) return node.mtimeNsec === 0 ? node : node.with({ mtimeNsec: 0 })
  const value = xattrs.get(CAPABILITY)
  return node.with({ mtimeNsec: 0, xattrs: value === undefined ? undefined : new Map([[CAPABILITY, value]]) })
}
