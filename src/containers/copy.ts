// Files between the host and a container, by the rules of `docker cp`. The copying itself: host-copy.ts.
import { tarContext } from '../builder/index.js'
import { ContainerError } from '../errors.js'
import type { Store } from '../store/index.js'
import { diffTrees, EMPTY_TREE, encodeLayer, UnionView } from '../unionfs/index.js'
import { emptyView } from './attachments.js'
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
  await reading(store, idOrName, copy)
}

/**
 * A file or directory of a container as a tar, under its own name; what is in a directory for `PATH/.`. Owners are kept.
 * Where another process has the container open: as last saved, without mounts.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND | COPY_INVALID
 */
export async function copyOutArchive(
  store: Store,
  idOrName: string,
  path: string,
  options: Pick<CopyOptions, 'followLinks'> = {},
): Promise<Iterable<Uint8Array>> {
  const { copyPath } = await import('./host-copy.js')
  const collected = emptyView()
  const from = rooted(path)
  await reading(store, idOrName, ({ fs }) => {
    const follows = options.followLinks === true || /\/\.?$/.test(from)
    if (fs.lstatSync(from, { throwIfNoEntry: false })?.isSymbolicLink() === true && follows) {
      const target = fs.realpathSync(from, 'utf8') as string
      copyPath({ fs, path: target }, { fs: collected.fs, path: '/' }, { owner: undefined })
    } else copyPath({ fs, path: from }, { fs: collected.fs, path: '/' }, { owner: undefined })
  })
  return encodeLayer(diffTrees(EMPTY_TREE, collected.snapshot()).filter((change) => change.path !== ''))
}

/**
 * Unpacks a tar, compressed or not, into a directory of a container, mounts included, and saves it. Owners are the tar's.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND | CONTAINER_BUSY; COPY_INVALID where the path is no directory; LayerError
 */
export async function copyInArchive(
  store: Store,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
  idOrName: string,
  path: string,
): Promise<void> {
  const { copyPath } = await import('./host-copy.js')
  const source = UnionView.open((await tarContext(bytes)).tree)
  await withContainer(store, idOrName, async (container) => {
    const { fs } = await container.mountView()
    const target = rooted(path)
    if (fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new ContainerError('COPY_INVALID', `${target} is not a directory of ${container.info.name}`, {
        data: { path: target },
      })
    }
    for (const name of source.fs.readdirSync('/') as string[]) {
      copyPath({ fs: source.fs, path: `/${name}` }, { fs, path: target }, { owner: undefined })
    }
    await container.save()
  })
}

async function reading(store: Store, idOrName: string, copy: (view: UnionView) => void): Promise<void> {
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
