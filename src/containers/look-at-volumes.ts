// Volumes as they are: what runs that were killed wrote into them is stored first.
import type { Store } from '../store/index.js'
import { openTree, type Tree } from '../unionfs/index.js'
import { recoverVolumes } from './save-volume.js'
import { allVolumes, findVolume, usersOf, type VolumeInfo } from './volumes.js'

/** Sorted by name. */
export async function listVolumes(store: Store): Promise<VolumeInfo[]> {
  await recoverVolumes(store)
  return allVolumes(store)
}

/** The volume's files as they were last saved. @throws ContainerError VOLUME_NOT_FOUND */
export async function readVolume(store: Store, name: string): Promise<Tree> {
  await recoverVolumes(store)
  return openTree(store, (await findVolume(store.documents, name)).layers)
}

/** One volume and the names of the containers that mount it. @throws ContainerError VOLUME_NOT_FOUND */
export async function inspectVolume(
  store: Store,
  name: string,
): Promise<VolumeInfo & { readonly usedBy: readonly string[] }> {
  await recoverVolumes(store)
  const volume = await findVolume(store.documents, name)
  const users = await usersOf(store.documents, name)
  return { ...volume, usedBy: users.map((record) => record.name) }
}
