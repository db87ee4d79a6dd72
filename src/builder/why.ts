// Which instruction of an image wrote a file, and which wrote or removed it before: layers and history side by side. Trees
// tell, so that a file counts as written where its layer really has it.
import type { DiffID } from '../digest.js'
import { normalizePath } from '../path.js'
import type { HistoryEntry, Image } from '../oci/index.js'
import type { Store } from '../store/index.js'
import { openTree, type NodeKind, type Tree, type TreeNode } from '../unionfs/index.js'

export interface PathEvent {
  /** Added, changed, deleted. */
  readonly change: 'A' | 'C' | 'D'
  /** Place of the layer in the image, from 0, base first. */
  readonly layer: number
  readonly diffID: DiffID
  /** The instruction as the history has it, e.g. `COPY . . # buildkit`; `undefined` where the history does not say. */
  readonly createdBy: string | undefined
  /** RFC 3339. */
  readonly created: string | undefined
  /** What was there afterwards; `undefined` after a deletion. */
  readonly entry: PathEntry | undefined
}

export interface PathEntry {
  readonly kind: NodeKind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of a file. */
  readonly size: number
  /** Of a symlink. */
  readonly target: string | undefined
}

export interface PathHistory {
  /** The path without symlinks on the way, from the root: `/usr/bin/x`. */
  readonly path: string
  /** Newest first; empty for a path that no layer ever had. */
  readonly events: readonly PathEvent[]
}

/**
 * The history of one path. Symlinks on the way are followed as the finished image has them; a symlink at the end is what
 * is asked about.
 *
 * @throws StoreError, LayerError when a layer cannot be read
 */
export async function whyPath(store: Store, image: Image, path: string): Promise<PathHistory> {
  const { layers } = image
  const whole = await openTree(store, layers)
  const at = whole.resolve(path, { followLast: false })?.path ?? normalizePath(path)
  const entries = layerEntries(image.config.history ?? [])
  const events: PathEvent[] = []
  let before: TreeNode | undefined
  for (let i = 0; i < layers.length; i++) {
    const tree: Tree = await openTree(store, layers.slice(0, i + 1))
    const after = tree.lookup(at)
    const change = changeOf(before, after)
    if (change !== undefined) {
      const { created_by: createdBy, created } = entries[i] ?? {}
      events.unshift({
        change,
        layer: i,
        diffID: layers[i]!.diffID,
        createdBy,
        created,
        entry: entryOf(after),
      })
    }
    before = after
  }
  return { path: `/${at}`, events }
}

function changeOf(
  before: TreeNode | undefined,
  after: TreeNode | undefined,
): PathEvent['change'] | undefined {
  if (before === after) return undefined
  if (before === undefined) return 'A'
  if (after === undefined) return 'D'
  if (before.kind !== 'dir' || after.kind !== 'dir') return 'C'
  return sameMeta(before, after) ? undefined : 'C'
}

/** A directory is a new node whenever something below it changes; only its own metadata counts here. */
function sameMeta(a: TreeNode, b: TreeNode): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.xattrs === b.xattrs &&
    a.mtimeNs === b.mtimeNs
  )
}

function entryOf(node: TreeNode | undefined): PathEntry | undefined {
  if (node === undefined) return undefined
  const { kind, mode, uid, gid, size } = node
  return { kind, mode, uid, gid, size, target: kind === 'symlink' ? node.target : undefined }
}

/** The history entries that have a layer, base first. */
function layerEntries(history: readonly HistoryEntry[]): HistoryEntry[] {
  return history.filter((entry) => entry.empty_layer !== true)
}
