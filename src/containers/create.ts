// Making a container: its record, then its volumes. Nothing of the image is read but its documents, unless a volume is
// filled from it.
import { systemEnv, type Env } from '../env.js'
import { ContainerError, ImageError } from '../errors.js'
import { DEFAULT_PATH } from '../builder/index.js'
import { readImage, resolveImage, type ContainerConfig, type Image } from '../oci/index.js'
import type { DocumentEdit, Store } from '../store/index.js'
import { openTree, Tree } from '../unionfs/index.js'
import {
  CONTAINER_KIND,
  infoOf,
  recordValue,
  rootsOf,
  type ContainerInfo,
  type ContainerMount,
  type ContainerRecord,
  type ContainerSettings,
} from './container.js'
import { mountTarget, parseVolumeFlag, type MountRequest } from './mounts.js'
import { checkContainerName, checkVolumeName, randomName, suggestName } from './names.js'
import { readRecords, requireFree } from './records.js'
import { signalOf } from './signals.js'
import { provideVolume } from './volumes.js'

export interface CreateContainerOptions {
  /** Default: a made-up one. */
  readonly name?: string | undefined
  /** Replaces the image's CMD. */
  readonly cmd?: readonly string[] | undefined
  /** Replaces the image's ENTRYPOINT, and then its CMD does not count. */
  readonly entrypoint?: readonly string[] | undefined
  /** Added to the image's ENV. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Default: the image's WORKDIR. */
  readonly cwd?: string | undefined
  /** Default: the image's USER. */
  readonly user?: string | undefined
  /** Added to the image's. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Text is read as docker's `-v`. */
  readonly mounts?: readonly (MountRequest | string)[] | undefined
  readonly network?: ContainerSettings['network'] | undefined
  readonly readOnlyRoot?: boolean | undefined
  /** What its commands may use; only executors that can keep a limit run them then. */
  readonly limits?: ContainerSettings['limits']
  /** Default: the first 12 digits of the id. */
  readonly hostname?: string | undefined
  /** Names that can be resolved besides, with their addresses; for executors that show an /etc/hosts. */
  readonly extraHosts?: ContainerSettings['extraHosts']
  readonly removeOnExit?: boolean | undefined
  /** Run its command on a terminal. */
  readonly tty?: boolean | undefined
  /** Default: the image's STOPSIGNAL, else SIGTERM. */
  readonly stopSignal?: string | undefined
  readonly stopTimeoutMs?: number | undefined
  /** Clock and dice. */
  readonly clock?: Env | undefined
}

/**
 * Makes a container of an image. Durable when the promise is fulfilled; what was made so far goes when it is rejected.
 *
 * @param image  as `resolveImage` takes it
 * @throws ContainerError CONTAINER_NAME_IN_USE | CONTAINER_NAME_INVALID | VOLUME_NAME_INVALID | MOUNT_INVALID
 * @throws ImageError IMAGE_NOT_FOUND, IMAGE_INVALID
 */
export async function createContainer(
  store: Store,
  image: string,
  options: CreateContainerOptions = {},
): Promise<ContainerInfo> {
  const clock = options.clock ?? systemEnv
  const found = await readImage(store.blobs, await resolveImage(store, image))
  const requests = withImageVolumes(readMounts(options.mounts ?? []), found.config.config ?? {})
  const id = randomName(clock)
  const draft: Omit<ContainerRecord, 'name'> = {
    id,
    image: { name: image, descriptor: found.descriptor },
    settings: settingsOf(found.config.config ?? {}, options),
    mounts: requests.map((request) => mountOf(request, clock)),
    status: 'created',
    exitCode: undefined,
    error: undefined,
    createdMs: Number(clock.now() / 1_000_000n),
    startedMs: undefined,
    finishedMs: undefined,
    removeOnExit: options.removeOnExit ?? false,
    layer: undefined,
  }
  const record = await store.documents.change((edit) => putNamed(edit, draft, options.name))
  try {
    await requireImage(store, found)
    await provideVolumes(store, found, requests, record.mounts, clock)
  } catch (error) {
    await store.documents.change((edit) => edit.delete(CONTAINER_KIND, id))
    throw error
  }
  return infoOf(record, undefined)
}

async function putNamed(
  edit: DocumentEdit,
  draft: Omit<ContainerRecord, 'name'>,
  wanted: string | undefined,
): Promise<ContainerRecord> {
  const records = await readRecords(edit)
  requireFree(records, wanted)
  const isTaken = (name: string) => records.some((record) => record.name === name)
  const name = wanted === undefined ? suggestName(draft.id, isTaken) : checkContainerName(wanted)
  const record = { ...draft, name }
  await edit.put(CONTAINER_KIND, draft.id, recordValue(record), rootsOf(record))
  return record
}

/** A gc may have taken an image that lost its name before the container's record kept it. */
async function requireImage(store: Store, { descriptor }: Image): Promise<void> {
  if ((await store.blobs.stat(descriptor.digest)) !== undefined) return
  throw new ImageError('IMAGE_NOT_FOUND', `the image ${descriptor.digest} was removed meanwhile`, {
    data: { digest: descriptor.digest },
  })
}

/** @throws ContainerError MOUNT_INVALID when two have one target */
function readMounts(mounts: readonly (MountRequest | string)[]): MountRequest[] {
  const requests = mounts.map((mount) => {
    if (typeof mount === 'string') return parseVolumeFlag(mount)
    if (mount.type === 'volume' && mount.volume !== undefined) checkVolumeName(mount.volume)
    return { ...mount, target: mountTarget(mount.target) }
  })
  const twice = requests.find(({ target }, i) => requests.findIndex((other) => other.target === target) < i)
  if (twice === undefined) return requests
  throw new ContainerError('MOUNT_INVALID', `two mounts at ${twice.target}`, {
    data: { target: twice.target },
  })
}

/** What the image declares as VOLUME and the caller does not mount itself is an anonymous volume. */
function withImageVolumes(requests: readonly MountRequest[], config: ContainerConfig): MountRequest[] {
  const targets = new Set(requests.map(({ target }) => target))
  const declared = Object.keys(config.Volumes ?? {}).filter((path) => path.replace(/\/+/g, '') !== '')
  const own = [...new Set(declared.map((path) => mountTarget(path.startsWith('/') ? path : `/${path}`)))]
  return [
    ...requests,
    ...own.filter((path) => !targets.has(path)).map((target) => ({ type: 'volume' as const, target })),
  ]
}

function mountOf(request: MountRequest, clock: Env): ContainerMount {
  const { target } = request
  switch (request.type) {
    case 'tmpfs':
      return {
        type: 'tmpfs',
        target,
        readOnly: request.readOnly ?? false,
        sizeBytes: request.sizeBytes,
        mode: request.mode,
      }
    case 'bind':
      return { type: 'bind', target, source: request.source, readOnly: request.readOnly ?? false }
    case 'volume': {
      const anonymous = request.volume === undefined
      const volume = request.volume ?? randomName(clock)
      return { type: 'volume', target, volume, anonymous, readOnly: request.readOnly ?? false }
    }
  }
}

async function provideVolumes(
  store: Store,
  image: Image,
  requests: readonly MountRequest[],
  mounts: readonly ContainerMount[],
  clock: Env,
): Promise<void> {
  for (const [i, mount] of mounts.entries()) {
    if (mount.type !== 'volume') continue
    const request = requests[i]!
    const copies = request.type === 'volume' && request.noCopy !== true
    const contentOf = async () => (copies ? directoryOf(store, image, mount.target) : undefined)
    await provideVolume(store, { name: mount.volume, anonymous: mount.anonymous }, contentOf, clock)
  }
}

/** What the image has at a mount's target, if it is a directory. */
export async function directoryOf(store: Store, image: Image, target: string): Promise<Tree | undefined> {
  const tree = await openTree(store, image.layers)
  const node = tree.resolve(target)?.node
  return node?.kind === 'dir' ? new Tree(node) : undefined
}

function settingsOf(config: ContainerConfig, options: CreateContainerOptions): ContainerSettings {
  const env = new Map((config.Env ?? []).map(splitPair))
  for (const [name, value] of Object.entries(options.env ?? {})) env.set(name, value)
  if (!env.has('PATH')) env.set('PATH', DEFAULT_PATH)
  const cwd = options.cwd ?? config.WorkingDir ?? ''
  return {
    entrypoint: options.entrypoint ?? config.Entrypoint ?? [],
    cmd: options.cmd ?? (options.entrypoint === undefined ? (config.Cmd ?? []) : []),
    env: [...env],
    cwd: cwd === '' ? '/' : absolute(cwd),
    user: options.user ?? config.User ?? '',
    labels: { ...config.Labels, ...options.labels },
    network: options.network ?? 'default',
    readOnlyRoot: options.readOnlyRoot ?? false,
    limits: options.limits,
    tty: options.tty,
    stopSignal: signalOf(options.stopSignal ?? config.StopSignal),
    stopTimeoutMs: options.stopTimeoutMs,
    hostname: options.hostname,
    extraHosts: options.extraHosts,
  }
}

/** @throws ContainerError MOUNT_INVALID */
function absolute(cwd: string): string {
  if (cwd.startsWith('/')) return cwd
  throw new ContainerError('MOUNT_INVALID', `the working directory ${JSON.stringify(cwd)} is not absolute`, {
    data: { cwd },
  })
}

function splitPair(pair: string): [name: string, value: string] {
  const at = pair.indexOf('=')
  return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
}
