// A root file system on disk, as the lower directories of an overlay: one folder for each layer on its chain, made once and
// kept; one for what a view has beyond its layers. Effect.
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { chainIDs, hexOf } from '../../../digest.js'
import { BuildError, throwIfAborted } from '../../../errors.js'
import { encodeTar, type Store } from '../../../store/index.js'
import {
  diffTrees,
  EMPTY_TREE,
  openTree,
  type Changeset,
  type LayerRef,
  type Tree,
} from '../../../unionfs/index.js'
import { feed } from './child.js'
import { fileCommand, removeFolder, type SandboxHost } from './host.js'
import { overlayEntries } from './overlay-tar.js'

/** Folder names are a part of the chainID, so that the paths of a mount's layers fit into one page. */
const NAME_LENGTH = 24
/** Beyond this many layers the paths would not fit; the root is then one folder. */
export const LAYERS_MAX = 120

export interface RootfsOptions {
  readonly host: SandboxHost
  /** Where the folders are: `layers/` and `runs/` below it. */
  readonly folder: string
  readonly store: Store
}

/**
 * Lower directories, relative to the folder, topmost first, for the stack; only layers that are not on disk are written.
 * A folder becomes visible whole, by rename; two processes may write the same at once.
 */
export async function materialiseLayers(
  options: RootfsOptions,
  layers: readonly LayerRef[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const chain = chainIDs(layers.map((layer) => layer.diffID)).map((id) => hexOf(id).slice(0, NAME_LENGTH))
  if (layers.length > LAYERS_MAX)
    return [await materialiseWhole(options, layers, `${chain.at(-1)!}-flat`, signal)]
  const lowers: string[] = []
  for (const [index, name] of chain.entries()) {
    throwIfAborted(signal)
    if (!existsSync(join(options.folder, 'layers', name))) {
      const before = await openTree(options.store, layers.slice(0, index))
      const after = await openTree(options.store, layers.slice(0, index + 1))
      await makeFolder(options, name, after, diffTrees(before, after))
    }
    lowers.unshift(`layers/${name}`)
  }
  return lowers
}

async function materialiseWhole(
  options: RootfsOptions,
  layers: readonly LayerRef[],
  name: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  throwIfAborted(signal)
  if (!existsSync(join(options.folder, 'layers', name))) {
    const tree = await openTree(options.store, layers)
    await makeFolder(options, name, tree, diffTrees(EMPTY_TREE, tree))
  }
  return `layers/${name}`
}

async function makeFolder(
  options: RootfsOptions,
  name: string,
  after: Tree,
  changeset: Changeset,
): Promise<void> {
  const target = join(options.folder, 'layers', name)
  const draft = join(options.folder, 'layers', `.draft-${process.pid}-${randomBytes(6).toString('hex')}`)
  mkdirSync(draft, { recursive: true })
  try {
    await unpackChanges(options.host, draft, after, changeset)
    renameSync(draft, target)
  } catch (error) {
    removeFolder(options.host, draft)
    // Another process was first; its folder is as good.
    if (!existsSync(target)) throw error
  }
}

/** Writes the changes that make `after` into a folder, in the form of an overlay's layer. */
export async function unpackChanges(
  host: SandboxHost,
  folder: string,
  after: Tree,
  changeset: Changeset,
): Promise<void> {
  copyRoot(host, folder, after)
  const entries = overlayEntries(after, changeset, host.privileged ? 'trusted' : 'user')
  if (entries.length === 0) return
  const owner = host.privileged ? '--same-owner' : '--no-same-owner'
  const options = [
    '--numeric-owner',
    owner,
    '-p',
    '--xattrs',
    '--xattrs-include=*',
    '--delay-directory-restore',
  ]
  const command = fileCommand(host, 'tar', [
    '-x',
    '-f',
    '-',
    '-C',
    folder,
    ...options,
    '--warning=no-timestamp',
  ])
  const { exitCode, stderr } = await feed(command, encodeTar(entries))
  if (exitCode === 0) return
  throw new BuildError(
    'EXECUTOR_MISSING',
    `the root file system could not be written to ${folder}: ${stderr.trim()}`,
    {
      data: { executor: 'sandbox', folder, exitCode },
    },
  )
}

/** The overlay's root directory is that of its upper: it must look like the tree's. */
export function copyRoot(host: SandboxHost, folder: string, tree: Tree): void {
  chmodSync(folder, tree.root.mode)
  if (host.privileged) chownSync(folder, tree.root.uid, tree.root.gid)
}

/** Removes the folders of runs whose process has gone. Their mounts went with their namespaces. */
export function removeStaleRuns({ folder, host }: RootfsOptions): void {
  for (const [part, pattern] of [
    ['runs', /^(\d+)-/],
    ['layers', /^\.draft-(\d+)-/],
  ] as const) {
    const names = existsSync(join(folder, part)) ? readdirSync(join(folder, part)) : []
    for (const name of names) {
      const pid = pattern.exec(name)?.[1]
      if (pid !== undefined && !isAlive(Number(pid))) removeFolder(host, join(folder, part, name))
    }
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM'
  }
}
