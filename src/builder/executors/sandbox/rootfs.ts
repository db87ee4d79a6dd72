// A root file system on disk, as the lower directories of an overlay: one folder for each layer on its chain, made once and
// kept; one for what a view has beyond its layers. Effect.
import { chmodSync, chownSync, existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { chainIDs, hexOf } from '../../../digest.js'
import { BuildError, throwIfAborted } from '../../../errors.js'
import { encodeTar, type Store, type TarInput } from '../../../store/index.js'
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
import { overlayEntries, rootEntry } from './overlay-tar.js'
import { draftName } from './scratch.js'

/** Folder names are a part of the chainID, so that the paths of a mount's layers fit into one page. */
const NAME_LENGTH = 24
/** Beyond this many layers the paths would not fit; the root is then one folder. */
export const LAYERS_MAX = 120

export interface RootfsOptions {
  readonly host: SandboxHost
  /** Where the folders are: `layers/`, `runs/` and `owners/` below it. */
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
  const draft = join(options.folder, 'layers', draftName(options.folder))
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
  await writeRoot(host, folder, after)
  const entries = overlayEntries(after, changeset, host.privileged ? 'trusted' : 'user')
  if (entries.length > 0) await extract(host, folder, entries)
}

async function extract(host: SandboxHost, folder: string, entries: readonly TarInput[]): Promise<void> {
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
export async function writeRoot(host: SandboxHost, folder: string, tree: Tree): Promise<void> {
  const { mode, uid, gid, xattrs } = tree.root
  if (xattrs !== undefined && xattrs.size > 0) await extract(host, folder, [rootEntry(tree.root)])
  if (host.privileged) chownSync(folder, uid, gid)
  // After the owner: chown(2) takes set-id bits away.
  chmodSync(folder, mode)
}
