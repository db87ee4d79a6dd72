// What content digests need to know of a tree, and the same of a `Tree`, whose digests are kept with its nodes.
import type { Digest } from '../digest.js'
import type { NodeKind, Tree, TreeNode } from '../unionfs/index.js'
import { combineDir, treeNodeDigest, type Owned } from './content-header.js'

/** The least that digests need to know of a tree; `N` is whatever stands for a node. */
export interface NodeAccess<N> {
  readonly root: N
  kind(node: N): NodeKind
  /** Of a symlink. */
  target(node: N): string
  /** Entry of a directory; `undefined` when there is none or the node is not a directory. */
  child(node: N, name: string): N | undefined
  /** Names in a directory, in byte order. */
  names(node: N): readonly string[]
  /** Entry of the `at`-th name of a directory; default: by its name. */
  childAt?(node: N, at: number): N
  /** Digest of the node itself: header and content of a file, header of anything else. */
  nodeDigest(node: N): Digest
  /** Digest of a directory with all below it; memoised. */
  dirDigest(node: N): Digest
  /** What can change beside the content, for explanations. */
  meta(node: N): Owned
  /** Digest that a file would have with another mode and owner, for explanations: tells whether its content changed as well. */
  digestWith(node: N, meta: Owned): Digest
  /**
   * Does the long part of `checksum` ahead, in slices, so that timers and signals get their turn: a directory with all below
   * it, or just some nodes.
   */
  prepare?(nodes: N | readonly N[]): Promise<void>
}

const nodeDigests = new WeakMap<TreeNode, Digest>()
const dirDigests = new WeakMap<TreeNode, Digest>()

/**
 * Digests over a `Tree`; those of nodes and directories are kept with the nodes, which trees share.
 *
 * @param rootHeader  instead of the root directory's own header. The root of a build context never reaches BuildKit, and
 *                    counts as the digest of nothing. @see checksum.go HandleChange
 */
export function treeAccess(tree: Tree, rootHeader?: Digest): NodeAccess<TreeNode> {
  const { root } = tree
  return {
    root,
    kind: (node) => node.kind,
    target: (node) => node.target,
    child: (node, name) => node.children?.get(name),
    names: (node) => node.children?.names() ?? [],
    meta: ({ mode, uid, gid }) => ({ mode, uid, gid }),
    nodeDigest: (node) => (node === root && rootHeader !== undefined ? rootHeader : nodeDigest(node)),
    digestWith: treeNodeDigest,
    dirDigest: (node) =>
      node === root && rootHeader !== undefined ? combineChildren(rootHeader, node) : dirDigest(node),
  }
}

function nodeDigest(node: TreeNode): Digest {
  let digest = nodeDigests.get(node)
  if (digest === undefined) nodeDigests.set(node, (digest = treeNodeDigest(node)))
  return digest
}

/** Depth is bounded by the length of paths, not by the number of files. */
function dirDigest(node: TreeNode): Digest {
  let digest = dirDigests.get(node)
  if (digest === undefined) dirDigests.set(node, (digest = combineChildren(nodeDigest(node), node)))
  return digest
}

function combineChildren(header: Digest, node: TreeNode): Digest {
  const names = node.children?.names() ?? []
  const digests = names.map((name) => {
    const child = node.children!.get(name)!
    return child.kind === 'dir' ? dirDigest(child) : nodeDigest(child)
  })
  return combineDir(header, names, digests)
}
