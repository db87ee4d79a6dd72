// Files between the host and a container, by the rules of `docker cp`. The copying itself: host-copy.ts.
import { ContainerError } from '../errors.js'
import type { Store } from '../store/index.js'
import { UnionView } from '../unionfs/index.js'
import { claimContainer, openedHere, readContainer, type Container } from './open.js'
import { findContainer } from './records.js'

export interface CopyOptions {
  /** Keep owners. Default: what comes into a container is root's, what goes out is the caller's. */
  readonly archive?: boolean | undefined
  /** Follow a symlink that is the source itself. Default false: the link is copied. */
  readonly followLinks?: boolean | undefined
}

/**
 * Copies a file or folder of the host into a container, mounts included, and saves it. A folder goes into an existing
 * directory; `FOLDER/.` stands for what is in it.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND | CONTAINER_BUSY
 * @throws ContainerError COPY_INVALID for a folder over a file, a place that is not there, or what cannot be copied
 */
export async function copyInto(
  store: Store,
  hostPath: string,
  idOrName: string,
  path: string,
  options: CopyOptions = {},
): Promise<void> {
  const { hostFs, copyPath } = await import('./host-copy.js')
  await withContainer(store, idOrName, async (container) => {
    const { fs } = await container.mountView()
    const owner = options.archive === true ? undefined : { uid: 0, gid: 0 }
    copyPath(
      { fs: hostFs, path: hostPath },
      { fs, path: rooted(path) },
      { owner, followLinks: options.followLinks },
    )
    await container.save()
  })
}

/**
 * Copies a file or directory of a container to the host. From a container that another process has open, what was last
 * saved is copied, without mounts.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND | COPY_INVALID
 */
export async function copyOut(
  store: Store,
  idOrName: string,
  path: string,
  hostPath: string,
  options: CopyOptions = {},
): Promise<void> {
  const { hostFs, copyPath, ownIds } = await import('./host-copy.js')
  const owner = options.archive === true ? undefined : ownIds()
  const copy = ({ fs }: UnionView) =>
    copyPath(
      { fs, path: rooted(path) },
      { fs: hostFs, path: hostPath },
      { owner, followLinks: options.followLinks },
    )
  try {
    await withContainer(store, idOrName, async (container) => copy(await container.mountView()))
  } catch (error) {
    if (!(error instanceof ContainerError) || error.code !== 'CONTAINER_BUSY') throw error
    copy(UnionView.open((await readContainer(store, idOrName)).tree))
  }
}

/** As docker: a path in a container begins at the root, whether it says so or not. */
function rooted(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}

async function withContainer(
  store: Store,
  idOrName: string,
  work: (container: Container) => Promise<void>,
): Promise<void> {
  const { id } = await findContainer(store, idOrName)
  const here = openedHere(store, id)
  if (here !== undefined) return work(here)
  const container = await claimContainer(store, id)
  try {
    await work(container)
  } finally {
    await container.close()
  }
  return undefined
}
