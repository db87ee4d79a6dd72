// Removing containers: record, log, and what only they had.
import { ContainerError } from '../errors.js'
import type { Store } from '../store/index.js'
import { CONTAINER_KIND, type ContainerInfo } from './container.js'
import { openLog } from './logs.js'
import type { Container } from './open.js'
import { findContainer, listContainers } from './records.js'
import { pruneVolumes, usersOf, findVolume, type VolumeInfo } from './volumes.js'

export interface RemoveContainerOptions {
  /** Also its anonymous volumes, unless another container mounts them. Default false. */
  readonly volumes?: boolean | undefined
}

/**
 * Removes a container that does not run. Its image, its named volumes and host folders stay; its files go with the next
 * gc. To remove a running one, stop it first.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND; CONTAINER_RUNNING; CONTAINER_BUSY while a process has it open
 */
export async function removeContainer(
  store: Store,
  idOrName: string,
  options: RemoveContainerOptions = {},
): Promise<void> {
  const info = await findContainer(store, idOrName)
  if (info.status === 'running') {
    throw new ContainerError('CONTAINER_RUNNING', `container ${info.name} is running: stop it first`, {
      data: { id: info.id, name: info.name, pid: info.pid },
    })
  }
  const hold = await store.documents.hold(CONTAINER_KIND, info.id)
  if (hold === undefined) {
    throw new ContainerError('CONTAINER_BUSY', `container ${info.name} is open in another place`, {
      data: { id: info.id, name: info.name, pid: info.pid },
    })
  }
  let isGone = false
  try {
    await removeRecord(store, info, options)
    isGone = true
  } finally {
    hold.release({ forget: isGone })
  }
}

/** Removes a container that the caller has open. @internal */
export async function removeOpened(container: Container, options: RemoveContainerOptions): Promise<void> {
  const { store, info } = container
  await removeRecord(store, info, options)
  await container.discard()
}

async function removeRecord(
  store: Store,
  info: ContainerInfo,
  options: RemoveContainerOptions,
): Promise<void> {
  await store.documents.change((edit) => edit.delete(CONTAINER_KIND, info.id))
  const log = await openLog(store, info.id)
  log.remove()
  if (options.volumes !== true) return
  const own: VolumeInfo[] = []
  for (const mount of info.mounts) {
    if (mount.type !== 'volume' || !mount.anonymous) continue
    if ((await usersOf(store.documents, mount.volume)).length > 0) continue
    const volume = await findVolume(store.documents, mount.volume).catch(() => undefined)
    if (volume !== undefined) own.push(volume)
  }
  await pruneVolumes(store, own)
}

/** Containers that have ended, or never ran. */
export async function planPruneContainers(store: Store): Promise<ContainerInfo[]> {
  return (await listContainers(store)).filter(({ status, pid }) => status !== 'running' && pid === undefined)
}
