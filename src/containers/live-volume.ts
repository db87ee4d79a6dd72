// Volumes that containers of this process have mounted: one view each, which all of them share, and saving it.
//
// Between processes a volume is not live. Whoever saves puts its own changes on top of what is stored by then: of two that
// changed one path the later wins, all else of both stays.
import { readSharedFolder } from '../builder/index.js'
import type { Store } from '../store/index.js'
import { openTree, UnionView, type LayerRef, type Tree } from '../unionfs/index.js'
import { recoverVolumes, saveVolume, type VolumeFolder } from './save-volume.js'
import { findVolume } from './volumes.js'

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
    readonly createdMs: number,
    tree: Tree,
    layers: readonly LayerRef[],
    private readonly forget: () => void,
  ) {
    this.view = UnionView.open(tree)
    this.#saved = tree
    this.#layers = layers
  }

  static async open(store: Store, name: string, forget: () => void): Promise<LiveVolume> {
    await recoverVolumes(store)
    const { layers, createdMs } = await findVolume(store.documents, name)
    return new LiveVolume(store, name, createdMs, await openTree(store, layers), layers, forget)
  }

  /** What a folder that shows the volume is a folder of, for `recoverVolumes`. */
  get about(): VolumeFolder {
    return { volume: this.name, createdMs: this.createdMs, layers: this.#layers }
  }

  /** What runs in sandboxes have made of it by now and is not stored yet; `undefined` where there are none. */
  async liveChange(): Promise<{ readonly before: Tree; readonly after: Tree } | undefined> {
    const after = await readSharedFolder(this.store, this.name)
    return after && { before: this.#saved, after }
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
    const { layers, isOurs } = await saveVolume(this.store, this.name, this.#saved, this.#layers, tree)
    this.#saved = tree
    this.#layers = isOurs ? layers : undefined
  }
}
