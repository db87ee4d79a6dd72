// An open container: its files to work on, and saving them. One process at a time has a container open.
import { systemEnv, type Env } from '../env.js'
import { ContainerError } from '../errors.js'
import { readImage, type Image } from '../oci/index.js'
import type { DocumentHold, Store } from '../store/index.js'
import {
  commitDiff,
  diffTrees,
  openTree,
  summarizeChanges,
  UnionView,
  type ChangeSummary,
  type Tree,
} from '../unionfs/index.js'
import { attach, emptyView, mountAll, type Attachment, type MountedView } from './attachments.js'
import { CONTAINER_KIND, infoOf, type ContainerInfo, type ContainerRecord } from './container.js'
import { directoryOf } from './create.js'
import { findRecord, updateRecord } from './records.js'
import { provideVolume } from './volumes.js'

export interface OpenContainerOptions {
  /** Clock and dice. */
  readonly clock?: Env | undefined
}

/** The containers that this process has open, for `exec` and `stop` by name. */
const opened = new WeakMap<Store, Map<string, Container>>()

export function openedHere(store: Store, id: string): Container | undefined {
  return opened.get(store)?.get(id)
}

/**
 * Opens a container to work on its files; nothing is run. The files are the image's and what earlier work left, with
 * volumes and host folders in place. Ends with `close`.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND
 * @throws ContainerError CONTAINER_BUSY (data: pid) while this or another process has it open
 */
export async function openContainer(
  store: Store,
  idOrName: string,
  options: OpenContainerOptions = {},
): Promise<Container> {
  const container = await claimContainer(store, idOrName, options)
  try {
    await container.mountView()
    return container
  } catch (error) {
    await container.close()
    throw error
  }
}

/** As `openContainer`, with nothing mounted yet. @internal */
export async function claimContainer(
  store: Store,
  idOrName: string,
  options: OpenContainerOptions = {},
): Promise<Container> {
  const { id, name } = await findRecord(store.documents, idOrName)
  const hold = await store.documents.hold(CONTAINER_KIND, id)
  if (hold === undefined) throw await busy(store, id, name)
  try {
    // What was read before may be older than what the last holder wrote.
    const record = await findRecord(store.documents, id)
    const container = await Container.open(store, hold, record, options.clock ?? systemEnv)
    const here = opened.get(store) ?? new Map<string, Container>()
    opened.set(store, here.set(id, container))
    return container
  } catch (error) {
    hold.release()
    throw error
  }
}

async function busy(store: Store, id: string, name: string): Promise<ContainerError> {
  const pid = (await store.documents.holder(CONTAINER_KIND, id))?.pid
  const who = pid === undefined ? 'this process' : `process ${pid}`
  return new ContainerError('CONTAINER_BUSY', `container ${name} is open in ${who}`, {
    data: { id, name, pid },
  })
}

/** The files of a container that nobody need have open: as last saved, or as they are now where this process has it open. */
export async function readContainer(
  store: Store,
  idOrName: string,
): Promise<{
  readonly info: ContainerInfo
  /** The image's files. */
  readonly base: Tree
  /** The container's, without what is mounted. */
  readonly tree: Tree
}> {
  const record = await findRecord(store.documents, idOrName)
  const here = openedHere(store, record.id)
  if (here !== undefined) return { info: here.info, base: here.base, tree: here.snapshot() }
  const image = await readImage(store.blobs, record.image.descriptor)
  const base = await openTree(store, image.layers)
  const tree = record.layer === undefined ? base : await openTree(store, [...image.layers, record.layer])
  const info = infoOf(record, await store.documents.holder(CONTAINER_KIND, record.id))
  return { info, base, tree }
}

/** What a container changed of its image, as `docker diff` prints it. */
export async function containerChanges(store: Store, idOrName: string): Promise<ChangeSummary[]> {
  const { base, tree } = await readContainer(store, idOrName)
  return changesBetween(base, tree)
}

/** Without the root directory itself, as docker: its time alone would say nothing. */
function changesBetween(base: Tree, tree: Tree): ChangeSummary[] {
  return summarizeChanges(base, diffTrees(base, tree)).filter(({ path }) => path !== '/')
}

/** What kinds of runs a container has under way. @internal */
export interface ActiveRuns {
  /** In the view: any number. */
  live: number
  /** On a copy of the root: one, and nothing beside it. */
  copied: number
}

export class Container implements AsyncDisposable {
  /** The image's files. */
  readonly base: Tree
  readonly image: Image
  /** @internal */
  readonly attached: readonly Attachment[]
  /** @internal */
  readonly active: ActiveRuns = { live: 0, copied: 0 }
  #record: ContainerRecord
  /** The container's own files; what is mounted is beside them. */
  #root: UnionView
  #mounted: MountedView | undefined
  #savedTree: Tree
  #saving: Promise<unknown> = Promise.resolve()
  #isClosed = false

  private constructor(
    readonly store: Store,
    private readonly hold: DocumentHold,
    record: ContainerRecord,
    image: Image,
    trees: { readonly base: Tree; readonly tree: Tree },
    attached: readonly Attachment[],
    /** @internal */
    readonly clock: Env,
  ) {
    this.#record = record
    this.image = image
    this.base = trees.base
    this.#savedTree = trees.tree
    this.#root = new UnionView(trees.tree, { env: clock }, trees.base)
    this.attached = attached
  }

  /** @internal Use `openContainer`. */
  static async open(
    store: Store,
    hold: DocumentHold,
    record: ContainerRecord,
    clock: Env,
  ): Promise<Container> {
    const image = await readImage(store.blobs, record.image.descriptor)
    const base = await openTree(store, image.layers)
    const tree = record.layer === undefined ? base : await openTree(store, [...image.layers, record.layer])
    for (const mount of record.mounts) {
      // One that is missing was lost between the container's record and its own.
      if (mount.type !== 'volume') continue
      const content = () => directoryOf(store, image, mount.target)
      if ((await store.documents.get('volumes', mount.volume)) === undefined) {
        await provideVolume(store, { name: mount.volume, anonymous: mount.anonymous }, content, clock)
      }
    }
    return new Container(
      store,
      hold,
      record,
      image,
      { base, tree },
      await attach(store, record.mounts),
      clock,
    )
  }

  get id(): string {
    return this.#record.id
  }

  get info(): ContainerInfo {
    return infoOf(this.#record, { pid: undefined })
  }

  /**
   * The container's files with volumes and host folders in place: `view.fs` is node:fs over them. Writes are kept by
   * `save`. A run by an executor that works on a copy puts another view in this one's place.
   *
   * @throws ContainerError CONTAINER_CLOSED
   */
  get view(): UnionView {
    this.#requireOpen()
    return this.#root
  }

  /** Puts volumes and host folders in place, unless they are. @throws ContainerError MOUNT_FAILED @internal */
  async mountView(): Promise<UnionView> {
    this.#requireOpen()
    this.#mounted ??= await mountAll(this.#root, this.#record.mounts, this.attached)
    return this.#root
  }

  /** Writes what changed in host folders, for whoever looks at them from outside. @internal */
  flush(): void {
    this.#mounted?.flush()
  }

  /** The files without what is mounted. */
  snapshot(): Tree {
    return this.#root.snapshot()
  }

  /** What differs from the image, as `docker diff` prints it. */
  changes(): ChangeSummary[] {
    return changesBetween(this.base, this.snapshot())
  }

  /**
   * The view as a run sees it: where the root is read-only, another one with the same files. @internal
   * @returns the view, and what takes it down
   */
  async viewForRun(): Promise<{ readonly view: UnionView; readonly end: () => void }> {
    const view = await this.mountView()
    if (!this.#record.settings.readOnlyRoot) return { view, end: () => {} }
    const outer = emptyView()
    const unmount = outer.mount('/', view, { readOnly: true })
    return { view: outer, end: unmount }
  }

  /** Puts the outcome of a run on a copy in place of the files. @internal */
  async replaceRoot(tree: Tree): Promise<void> {
    const wasMounted = this.#mounted !== undefined
    this.#mounted?.end()
    this.#mounted = undefined
    this.#root = new UnionView(tree, { env: this.clock }, this.base)
    if (wasMounted) await this.mountView()
  }

  /**
   * Stores the container's files, and those of its volumes and host folders. Each is kept as it was or as it is now,
   * whenever this is cut short.
   *
   * @throws ContainerError CONTAINER_NOT_FOUND when the container was removed meanwhile; CONTAINER_CLOSED
   */
  async save(): Promise<void> {
    return this.#saveWith({})
  }

  /** As `save`, together with a change of state. @internal */
  async update(changes: Partial<ContainerRecord>, options: { readonly files: boolean }): Promise<void> {
    this.#requireOpen()
    if (options.files) return this.#saveWith(changes)
    this.#record = await updateRecord(this.store, this.id, changes)
  }

  /** Ends the use of the container; what was not saved is lost, but for host folders, which are written. Idempotent. */
  async close(): Promise<void> {
    await this.#end({})
  }

  /** As `close`, when the container is no more. @internal */
  async discard(): Promise<void> {
    await this.#end({ forget: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #end(options: { readonly forget?: boolean }): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#saving
    this.#mounted?.end()
    for (const { release } of this.attached) release()
    opened.get(this.store)?.delete(this.id)
    this.hold.release(options)
  }

  #requireOpen(): void {
    if (!this.#isClosed) return
    throw new ContainerError('CONTAINER_CLOSED', `container ${this.#record.name} was closed`, {
      data: { id: this.id },
    })
  }

  #saveWith(changes: Partial<ContainerRecord>): Promise<void> {
    this.#requireOpen()
    const result = this.#saving.then(() => this.#save(changes))
    this.#saving = result.catch(() => undefined)
    return result
  }

  async #save(changes: Partial<ContainerRecord>): Promise<void> {
    const failures: unknown[] = []
    try {
      this.flush()
    } catch (error) {
      failures.push(error)
    }
    for (const { save } of this.attached) await save().catch((error: unknown) => void failures.push(error))
    const tree = this.snapshot()
    const isSame = tree.root === this.#savedTree.root
    if (!isSame || Object.keys(changes).length > 0) {
      for (;;) {
        const layer = isSame ? this.#record.layer : await this.#layerOf(tree)
        this.#record = await updateRecord(this.store, this.id, { ...changes, layer })
        // A gc without a grace time may have come between the layer and its mention.
        if (layer === undefined || (await this.store.blobs.stat(layer.descriptor.digest)) !== undefined) break
      }
      this.#savedTree = tree
    }
    if (failures.length > 0) throw failures[0]
  }

  async #layerOf(tree: Tree): Promise<ContainerRecord['layer']> {
    return diffTrees(this.base, tree).length === 0 ? undefined : commitDiff(this.store, this.base, tree)
  }
}
