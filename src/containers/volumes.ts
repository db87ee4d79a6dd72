// Volumes: trees that outlive containers. This file knows what is stored; live-volume.ts has what is mounted now.
import { systemEnv, type Env } from '../env.js'
import { ContainerError } from '../errors.js'
import type { Document, DocumentReader, Store } from '../store/index.js'
import { commitDiff, EMPTY_TREE, type LayerRef, type Tree } from '../unionfs/index.js'
import { layerRoots, recordOf, CONTAINER_KIND, type ContainerRecord } from './container.js'
import { checkVolumeName, randomName } from './names.js'

/** Kind of the documents; their keys are the volumes' names. */
export const VOLUME_KIND = 'volumes'

export interface VolumeInfo {
  readonly name: string
  /** Milliseconds since the epoch. */
  readonly createdMs: number
  readonly labels: Readonly<Record<string, string>>
  /** Made for one container that named none. */
  readonly anonymous: boolean
  /** The content, base first; empty for a volume that nothing was written to. */
  readonly layers: readonly LayerRef[]
}

const VERSION = 1

/** @throws ContainerError CONTAINER_RECORD_INVALID */
function volumeOf({ key, value }: Document): VolumeInfo {
  const { version, ...volume } = value as VolumeInfo & { readonly version?: unknown }
  if (version === VERSION && volume.name === key && Array.isArray(volume.layers)) return volume
  throw new ContainerError(
    'CONTAINER_RECORD_INVALID',
    `the record of volume ${key} has version ${String(version)}, not ${VERSION}`,
    { data: { volume: key, version } },
  )
}

export function volumeValue(volume: VolumeInfo): unknown {
  return { version: VERSION, ...volume }
}

export interface CreateVolumeOptions {
  /** Default: a random one, and the volume is anonymous. */
  readonly name?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Clock and dice. */
  readonly clock?: Env | undefined
}

/** Makes a volume; one that is there already is left as it is, and given. @throws ContainerError VOLUME_NAME_INVALID */
export async function createVolume(store: Store, options: CreateVolumeOptions = {}): Promise<VolumeInfo> {
  const env = options.clock ?? systemEnv
  const name = options.name === undefined ? randomName(env) : checkVolumeName(options.name)
  return store.documents.change(async (edit) => {
    const known = await edit.get(VOLUME_KIND, name)
    if (known !== undefined) return volumeOf(known)
    const volume: VolumeInfo = {
      name,
      createdMs: Number(env.now() / 1_000_000n),
      labels: options.labels ?? {},
      anonymous: options.name === undefined,
      layers: [],
    }
    await edit.put(VOLUME_KIND, name, volumeValue(volume))
    return volume
  })
}

export async function allVolumes(store: Store): Promise<VolumeInfo[]> {
  return (await store.documents.list(VOLUME_KIND)).map(volumeOf)
}

/** @throws ContainerError VOLUME_NOT_FOUND */
export async function findVolume(documents: DocumentReader, name: string): Promise<VolumeInfo> {
  const document = await documents.get(VOLUME_KIND, checkVolumeName(name))
  if (document !== undefined) return volumeOf(document)
  throw new ContainerError('VOLUME_NOT_FOUND', `no volume ${JSON.stringify(name)}`, {
    data: { volume: name },
  })
}

/** The containers that mount a volume, running or not. */
export async function usersOf(documents: DocumentReader, name: string): Promise<ContainerRecord[]> {
  const records = (await documents.list(CONTAINER_KIND)).map(recordOf)
  return records.filter(({ mounts }) =>
    mounts.some((mount) => mount.type === 'volume' && mount.volume === name),
  )
}

/**
 * Removes a volume. Its bytes go with the next gc.
 * @throws ContainerError VOLUME_NOT_FOUND; VOLUME_IN_USE (data: containers) while a container mounts it, running or not
 */
export async function removeVolume(store: Store, name: string): Promise<void> {
  await store.documents.change(async (edit) => {
    await findVolume(edit, name)
    const users = (await usersOf(edit, name)).map((record) => record.name)
    if (users.length > 0) {
      throw new ContainerError('VOLUME_IN_USE', `volume ${name} is in use by ${users.join(', ')}`, {
        data: { volume: name, containers: users },
      })
    }
    await edit.delete(VOLUME_KIND, name)
  })
}

export interface PruneVolumesOptions {
  /** Also named volumes. Default false: only anonymous ones, as docker does. */
  readonly all?: boolean | undefined
}

/** Volumes that no container mounts: what `pruneVolumes` would remove. */
export async function planPruneVolumes(
  store: Store,
  options: PruneVolumesOptions = {},
): Promise<VolumeInfo[]> {
  const records = (await store.documents.list(CONTAINER_KIND)).map(recordOf)
  const used = new Set(
    records.flatMap(({ mounts }) => mounts.flatMap((mount) => (mount.type === 'volume' ? mount.volume : []))),
  )
  const volumes = await allVolumes(store)
  return volumes.filter(({ name, anonymous }) => !used.has(name) && (anonymous || options.all === true))
}

/** Removes volumes that no container mounts. @returns those that went; one that came into use meanwhile stays */
export async function pruneVolumes(store: Store, plan: readonly VolumeInfo[]): Promise<VolumeInfo[]> {
  const removed: VolumeInfo[] = []
  for (const volume of plan) {
    const isGone = await removeVolume(store, volume.name).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ContainerError && ['VOLUME_IN_USE', 'VOLUME_NOT_FOUND'].includes(error.code)) {
          return false
        }
        throw error
      },
    )
    if (isGone) removed.push(volume)
  }
  return removed
}

/**
 * Makes sure that a container's volume is there, and fills an empty one with what the image has at its place: the
 * directory's entries, its owner and its mode. @see docker docs, volumes § Populate a volume using a container
 *
 * @param contentOf  gives the image's directory, `undefined` where there is none; asked only for an empty volume
 */
export async function provideVolume(
  store: Store,
  volume: Pick<VolumeInfo, 'name' | 'anonymous'>,
  contentOf: () => Promise<Tree | undefined>,
  clock: Env,
): Promise<void> {
  const present = await store.documents.get(VOLUME_KIND, volume.name)
  if (present !== undefined && volumeOf(present).layers.length > 0) return
  const content = await contentOf()
  const layer = content && (await commitDiff(store, EMPTY_TREE, content))
  await store.documents.change(async (edit) => {
    const document = await edit.get(VOLUME_KIND, volume.name)
    const known: VolumeInfo = document
      ? volumeOf(document)
      : { ...volume, createdMs: Number(clock.now() / 1_000_000n), labels: {}, layers: [] }
    const fills = layer !== undefined && known.layers.length === 0
    if (document !== undefined && !fills) return
    const next = fills ? { ...known, layers: [layer] } : known
    await edit.put(VOLUME_KIND, volume.name, volumeValue(next), next.layers.flatMap(layerRoots))
  })
}
