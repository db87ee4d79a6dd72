// Layers of a store as trees, and trees as layers of a store. Trees are remembered per stack of layers and store: what has
// a digest never changes.
import type { Descriptor } from '../descriptor.js'
import { chainIDs, type ChainID, type DiffID } from '../digest.js'
import { LayerError } from '../errors.js'
import { normalizePath } from '../path.js'
import { commitLayer, openLayerBlob, scanTar, type BlobReader, type Store } from '../store/index.js'
import { applySource } from './apply.js'
import type { Change, Changeset } from './changeset.js'
import { containerdChanges } from './containerd-changes.js'
import { diffTrees } from './diff.js'
import { encodeLayer, type LayerPart } from './layer-codec.js'
import { encodeLayerIndex } from './layer-index-writer.js'
import { keepIndex, loadXxh64, readIndexed } from './stored-index.js'
import { EMPTY_TREE, type Tree } from './tree.js'
import { treeFromRows } from './tree-from-index.js'
import { parseWhiteout } from './whiteout.js'

/** A layer as images name it. */
export interface LayerRef {
  readonly descriptor: Descriptor
  readonly diffID: DiffID
}

/** Trees that a store's memo holds; they share all that their stacks have in common. */
const TREES_MAX = 256

/** Per store: trees by chainID, least recently used first. */
const memos = new WeakMap<Store, Map<ChainID, Promise<Tree>>>()

/**
 * The merged tree of a stack of layers, base first. A stack that was opened before in this process costs a lookup; one
 * that extends it costs its own layers.
 *
 * @throws StoreError BLOB_NOT_FOUND, DIGEST_MISMATCH
 * @throws LayerError from a layer that cannot be read or applied; `data` has `diffID`, `path` and `offset`
 */
export async function openTree(store: Store, layers: readonly LayerRef[]): Promise<Tree> {
  const memo = memos.get(store) ?? new Map<ChainID, Promise<Tree>>()
  memos.set(store, memo)
  const chain = chainIDs(layers.map((layer) => layer.diffID))
  let known = layers.length
  while (known > 0 && !memo.has(chain[known - 1]!)) known--
  let below: Promise<Tree> = known === 0 ? Promise.resolve(EMPTY_TREE) : touch(memo, chain[known - 1]!)
  for (let i = known; i < layers.length; i++)
    below = remember(memo, chain[i]!, addLayer(store, below, layers[i]!))
  return below
}

function touch(memo: Map<ChainID, Promise<Tree>>, key: ChainID): Promise<Tree> {
  const tree = memo.get(key)!
  memo.delete(key)
  memo.set(key, tree)
  return tree
}

function remember(memo: Map<ChainID, Promise<Tree>>, key: ChainID, tree: Promise<Tree>): Promise<Tree> {
  memo.set(key, tree)
  tree.catch(() => memo.delete(key))
  for (const oldest of memo.keys()) {
    if (memo.size <= TREES_MAX) break
    memo.delete(oldest)
  }
  return tree
}

async function addLayer(store: Store, below: Promise<Tree>, layer: LayerRef): Promise<Tree> {
  const [lower, archive] = await Promise.all([below, openLayerBlob(store, layer.descriptor, layer.diffID)])
  const changes = await readIndexed(store, layer.diffID, archive)
  try {
    return treeFromRows(lower, changes) ?? applySource(lower, changes)
  } catch (error) {
    throw error instanceof LayerError ? located(error, archive, layer.diffID) : error
  }
}

/**
 * Makes a layer's index, unless it is there and whole. Opening a tree does it by itself; a layer that has just come in is
 * still in the page cache, which makes this the cheapest moment.
 *
 * @throws as `openTree`, for what can be wrong with a layer by itself
 */
export async function indexLayer(store: Store, layer: LayerRef): Promise<void> {
  await readIndexed(store, layer.diffID, await openLayerBlob(store, layer.descriptor, layer.diffID))
}

/** Adds where in the archive the entry at fault is; only an error pays for the second scan. */
function located(error: LayerError, archive: BlobReader, diffID: DiffID): LayerError {
  const path = error.data.path
  let offset: number | undefined
  for (const entry of scanTar(archive)) {
    const at = normalizePath(entry.path)
    if (at === path || parseWhiteout(at)?.path === path) offset = entry.offset
  }
  return new LayerError(error.code, `${error.message} (entry at byte ${offset} of layer ${diffID})`, {
    data: { ...error.data, offset, diffID },
    cause: error,
  })
}

export interface CommitDiffOptions {
  /**
   * What counts as a change and what comes along with it. `containerd`: as in the layers that containerd and Docker write,
   * times in whole seconds and the directories above each change; see `containerdChanges`. Default `exact`: what differs,
   * nanoseconds kept.
   */
  readonly form?: 'exact' | 'containerd'
}

/**
 * Stores what makes `upper` out of `lower` as a layer: diff → tar → blob, contents read once and streamed. Equal trees
 * give the same digest on every machine. Idempotent.
 *
 * @throws LayerError as `encodeLayer`
 */
export async function commitDiff(
  store: Store,
  lower: Tree,
  upper: Tree,
  options: CommitDiffOptions = {},
): Promise<LayerRef> {
  return commitChanges(store, layerChanges(lower, upper, options))
}

/** What a layer that makes `upper` out of `lower` holds. */
export function layerChanges(lower: Tree, upper: Tree, options: CommitDiffOptions = {}): Changeset {
  return options.form === 'containerd' ? containerdChanges(lower, upper) : diffTrees(lower, upper)
}

/**
 * Stores a changeset as a layer. Where parts of it are ranges of an earlier layer, the layer's index is left to whoever
 * opens it first: what is in a range is not looked at.
 *
 * @param onPart  told the offset in the layer's tar at which each part begins
 * @throws LayerError as `encodeLayer`
 */
export async function commitChanges(
  store: Store,
  parts: readonly LayerPart[],
  onPart?: (offset: number) => void,
): Promise<LayerRef> {
  const dataOffsets: number[] = []
  const tar = encodeLayer(parts, {
    onEntry(_index, offset, dataOffset) {
      dataOffsets.push(dataOffset)
      onPart?.(offset)
    },
  })
  const layer = await commitLayer(store, tar)
  if (parts.every(isChange)) {
    await keepIndex(store, layer.diffID, encodeLayerIndex(parts, await loadXxh64(), dataOffsets))
  }
  return layer
}

function isChange(part: LayerPart): part is Change {
  return part.kind !== 'range'
}
