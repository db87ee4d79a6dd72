// Volumes that containers of this process have mounted: one view each, which all of them share, and saving it.
//
// Between processes a volume is not live. Whoever saves puts its own changes on top of what is stored by then: of two that
// changed one path the later wins, all else of both stays.
import { LayerError } from '../errors.js'
import type { Store } from '../store/index.js'
import {
  applyChangeset,
  commitDiff,
  diffTrees,
  EMPTY_TREE,
  openTree,
  UnionView,
  type LayerRef,
  type Tree,
} from '../unionfs/index.js'
import { layerRoots } from './container.js'
import { findVolume, VOLUME_KIND, volumeValue } from './volumes.js'

/** More layers than this are written as one. */
const LAYERS_MAX = 16

const live = new WeakMap<Store, Map<string, Promise<LiveVolume>>>()

/**
 * The volume as this process sees it; ends with `release`.
 * @throws ContainerError VOLUME_NOT_FOUND
 */
export async function acquireVolume(store: Store, name: string): Promise<LiveVolume> {
  const known = live.get(store) ?? new Map<string, Promise<LiveVolume>>()
  live.set(store, known)
  let opening = known.get(name)
  if (opening === undefined) {
    opening = LiveVolume.open(store, name, () => void known.delete(name))
    known.set(name, opening)
    opening.catch(() => known.delete(name))
  }
  const volume = await opening
  volume.users++
  return volume
}

export class LiveVolume {
  users = 0
  readonly view: UnionView
  /** What of the view is stored. */
  #saved: Tree
  /** The stored layers that are the same as `#saved`; `undefined` once another process has added to them. */
  #layers: readonly LayerRef[] | undefined
  #saving: Promise<unknown> = Promise.resolve()

  private constructor(
    readonly store: Store,
    readonly name: string,
    tree: Tree,
    layers: readonly LayerRef[],
    private readonly forget: () => void,
  ) {
    this.view = UnionView.open(tree)
    this.#saved = tree
    this.#layers = layers
  }

  static async open(store: Store, name: string, forget: () => void): Promise<LiveVolume> {
    const { layers } = await findVolume(store.documents, name)
    return new LiveVolume(store, name, await openTree(store, layers), layers, forget)
  }

  /** Gives up one use. What was not saved is lost with the last. */
  release(): void {
    if (--this.users === 0) this.forget()
  }

  /** Stores what has changed; a crash leaves the old or the new state. @throws ContainerError VOLUME_NOT_FOUND */
  save(): Promise<void> {
    const result = this.#saving.then(() => this.#save())
    this.#saving = result.catch(() => undefined)
    return result
  }

  async #save(): Promise<void> {
    const tree = this.view.snapshot()
    if (tree.root === this.#saved.root) return
    const changes = diffTrees(this.#saved, tree)
    for (;;) {
      const before = await findVolume(this.store.documents, this.name)
      const below = await openTree(this.store, before.layers)
      const isOurs = sameLayers(this.#layers, before.layers)
      const after = isOurs ? tree : merge(below, changes, tree)
      const layers = await storeLayers(this.store, before.layers, below, after)
      const isStored = await this.store.documents.change(async (edit) => {
        const now = await findVolume(edit, this.name)
        if (!sameLayers(now.layers, before.layers)) return false
        const next = { ...now, layers }
        await edit.put(VOLUME_KIND, this.name, volumeValue(next), layers.flatMap(layerRoots))
        return true
      })
      // A gc without a grace time may have come between the layer and its mention.
      if (!isStored || !(await areThere(this.store, layers))) continue
      this.#saved = tree
      this.#layers = isOurs ? layers : undefined
      return
    }
  }
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
