// Storing what has changed in a volume, on top of what others have stored meanwhile; and what killed runs left in folders.
import { recoverSharedFolders } from '../builder/index.js'
import { ContainerError, LayerError } from '../errors.js'
import type { Store } from '../store/index.js'
import {
  applyChangeset,
  commitDiff,
  diffTrees,
  EMPTY_TREE,
  openTree,
  type LayerRef,
  type Tree,
} from '../unionfs/index.js'
import { layerRoots } from './container.js'
import { findVolume, VOLUME_KIND, volumeValue } from './volumes.js'

/** More layers than this are written as one. */
const LAYERS_MAX = 16

/**
 * Stores what turned `before` into `after`; a crash leaves the old or the new state.
 *
 * @param known  the stored layers that `before` is, where it is nothing but these
 * @returns the volume's layers by now, and whether they are `after`: nobody else had stored anything
 * @throws ContainerError VOLUME_NOT_FOUND
 */
export async function saveVolume(
  store: Store,
  name: string,
  before: Tree,
  known: readonly LayerRef[] | undefined,
  after: Tree,
): Promise<{ readonly layers: readonly LayerRef[]; readonly isOurs: boolean }> {
  const changes = diffTrees(before, after)
  for (;;) {
    const stored = await findVolume(store.documents, name)
    const below = await openTree(store, stored.layers)
    const isOurs = sameLayers(known, stored.layers)
    const layers = await storeLayers(
      store,
      stored.layers,
      below,
      isOurs ? after : merge(below, changes, after),
    )
    const isStored = await store.documents.change(async (edit) => {
      const now = await findVolume(edit, name)
      if (!sameLayers(now.layers, stored.layers)) return false
      const next = { ...now, layers }
      await edit.put(VOLUME_KIND, name, volumeValue(next), layers.flatMap(layerRoots))
      return true
    })
    // A gc without a grace time may have come between the layer and its mention.
    if (isStored && (await areThere(store, layers))) return { layers, isOurs }
  }
}

/** What is written down of a folder that shows a volume while runs have it. */
export interface VolumeFolder {
  readonly volume: string
  /** Tells it from another one of the name. */
  readonly createdMs: number
  /** What was stored when the folder was filled, where that was all. */
  readonly layers?: readonly LayerRef[] | undefined
}

/**
 * Stores what has changed in the folder of a volume since one of those who share it last stored it: also that a file is gone
 * which another of them made and stored.
 *
 * @param noted  of the folder
 * @returns what to note of it from here on; `undefined` where what is stored is not what the folder shows
 */
export async function saveVolumeFolder(
  store: Store,
  noted: VolumeFolder | undefined,
  tree: Tree,
): Promise<VolumeFolder | undefined> {
  if (noted?.layers === undefined) return undefined
  const before = await openTree(store, noted.layers).catch(() => undefined)
  if (before === undefined) return undefined
  const { layers } = await saveVolume(store, noted.volume, before, undefined, tree)
  const isAll = diffTrees(await openTree(store, layers), tree).length === 0
  return isAll ? { ...noted, layers } : undefined
}

/** Stores what killed runs left in the folders of volumes; a volume that was removed meanwhile is not made again. */
export async function recoverVolumes(store: Store): Promise<void> {
  await recoverSharedFolders(store, async (about, after) => {
    const { volume, createdMs, layers } = about as VolumeFolder
    try {
      const stored = await findVolume(store.documents, volume)
      if (stored.createdMs !== createdMs) return
      // Layers that others have replaced meanwhile may have gone: the folder as it is counts then.
      const before = await openTree(store, layers ?? stored.layers).catch(() =>
        openTree(store, stored.layers),
      )
      await saveVolume(store, volume, before, undefined, after)
    } catch (error) {
      if (!(error instanceof ContainerError && error.code === 'VOLUME_NOT_FOUND')) throw error
    }
  })
}

/** Our changes on top of another process's; where they cannot go together (a file here, a directory there) ours stand. */
function merge(below: Tree, changes: ReturnType<typeof diffTrees>, ours: Tree): Tree {
  try {
    return applyChangeset(below, changes)
  } catch (error) {
    if (error instanceof LayerError) return ours
    throw error
  }
}

async function storeLayers(
  store: Store,
  before: readonly LayerRef[],
  below: Tree,
  after: Tree,
): Promise<readonly LayerRef[]> {
  if (diffTrees(below, after).length === 0) return before
  return before.length < LAYERS_MAX
    ? [...before, await commitDiff(store, below, after)]
    : [await commitDiff(store, EMPTY_TREE, after)]
}

function sameLayers(a: readonly LayerRef[] | undefined, b: readonly LayerRef[]): boolean {
  return a !== undefined && a.length === b.length && a.every(({ diffID }, i) => diffID === b[i]!.diffID)
}

async function areThere(store: Store, layers: readonly LayerRef[]): Promise<boolean> {
  for (const { descriptor } of layers) {
    if ((await store.blobs.stat(descriptor.digest)) === undefined) return false
  }
  return true
}
