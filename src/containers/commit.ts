// A container's files as an image: the image that it was made of, with what the container changed as a further layer.
// @see moby/moby daemon/commit.go
import { systemEnv, type Env } from '../env.js'
import {
  readImage,
  refNameOf,
  writeImage,
  type ContainerConfig,
  type HistoryEntry,
  type Image,
  type ImageConfig,
} from '../oci/index.js'
import type { Store } from '../store/index.js'
import { commitDiff, diffTrees } from '../unionfs/index.js'
import type { ContainerInfo } from './container.js'
import { readContainer } from './open.js'

export interface CommitContainerOptions {
  /** Names that the image gets. */
  readonly tags?: readonly string[] | undefined
  /** For the image's history. */
  readonly message?: string | undefined
  readonly author?: string | undefined
  /** Instructions of a Dockerfile that change the config, as docker's --change has them: `CMD ["a"]`, `ENV A=1`, … */
  readonly changes?: readonly string[] | undefined
  /** Laid over the config: what the container was run with, and this. */
  readonly config?: Partial<ContainerConfig> | undefined
  /** Clock and dice. */
  readonly clock?: Env | undefined
}

/**
 * Makes an image of a container as it was last saved, or as it is now where this process has it open. Mounts are no part
 * of it. The container goes on as it is.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND, CHANGE_INVALID; DockerfileError; ImageError REFERENCE_INVALID
 */
export async function commitContainer(
  store: Store,
  idOrName: string,
  options: CommitContainerOptions = {},
): Promise<Image> {
  const clock = options.clock ?? systemEnv
  const names = (options.tags ?? []).map(refNameOf)
  const { info, base, tree } = await readContainer(store, idOrName)
  const lease = await store.leases.create()
  try {
    const from = await readImage(store.blobs, info.image.descriptor)
    const changed = diffTrees(base, tree).length > 0
    const layers = changed ? [...from.layers, await commitDiff(store, base, tree)] : from.layers
    await store.leases.add(
      lease.id,
      layers.map(({ descriptor }) => descriptor.digest),
    )
    const created = new Date(Number(clock.now() / 1_000_000n)).toISOString()
    const entry: HistoryEntry = {
      created,
      ...(options.author === undefined ? {} : { author: options.author }),
      created_by: [...info.settings.entrypoint, ...info.settings.cmd].join(' '),
      ...(options.message === undefined ? {} : { comment: options.message }),
      ...(changed ? {} : { empty_layer: true }),
    }
    const { author: _, ...config } = from.config
    const author = options.author ?? from.config.author
    const own = { ...from.config, config: configOf(from.config.config ?? {}, info) }
    const image = await writeImage(store.blobs, {
      config: {
        ...config,
        created,
        ...(author === undefined ? {} : { author }),
        config: { ...(await withChanges(own, options.changes ?? [])), ...options.config },
        rootfs: { type: 'layers', diff_ids: layers.map(({ diffID }) => diffID) },
        history: [...(from.config.history ?? []), entry],
      },
      layers,
    })
    for (const name of names) await store.refs.set(name, image.descriptor)
    return image
  } finally {
    await store.leases.release(lease.id)
  }
}

async function withChanges(image: ImageConfig, changes: readonly string[]): Promise<ContainerConfig> {
  if (changes.length === 0) return image.config ?? {}
  const { changedConfig } = await import('./commit-changes.js')
  return changedConfig(image, changes)
}

/** The image's config with what the container was made with. */
function configOf(config: ContainerConfig, { settings }: ContainerInfo): ContainerConfig {
  const { Entrypoint: _e, Cmd: _c, User: _u, Labels: _l, ...rest } = config
  return {
    ...rest,
    Env: settings.env.map(([name, value]) => `${name}=${value}`),
    WorkingDir: settings.cwd,
    ...(settings.entrypoint.length === 0 ? {} : { Entrypoint: settings.entrypoint }),
    ...(settings.cmd.length === 0 ? {} : { Cmd: settings.cmd }),
    ...(settings.user === '' ? {} : { User: settings.user }),
    ...(Object.keys(settings.labels).length === 0 ? {} : { Labels: settings.labels }),
  }
}
