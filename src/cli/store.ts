// Where the store is, and opening it.
import { homedir, userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Tree } from 'lamella/unionfs'
import { UsageError, type Arguments, type Io } from './command.js'
import { parsePrintable } from './format.js'

/** `--store DIR`, else `$LAMELLA_STORE`, else `$XDG_DATA_HOME/lamella`, which defaults to `~/.local/share/lamella`. */
export function storePath(args: Arguments, env: Io['env']): string {
  const given = args.string('store') ?? nonEmpty(env.LAMELLA_STORE)
  if (given !== undefined) return given
  const data = nonEmpty(env.XDG_DATA_HOME) ?? join(homedir() || userInfo().homedir, '.local/share')
  if (isAbsolute(data)) return join(data, 'lamella')
  throw new UsageError('no home directory: say where the store is with --store or $LAMELLA_STORE')
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

/** Opens the store; without `create` a missing one is an error that says how stores come about. */
export async function openStore(args: Arguments, io: Io, options: { readonly create?: boolean } = {}) {
  const { openDiskStore } = await import('lamella/store')
  return openDiskStore(storePath(args, io.env), { create: options.create ?? false })
}

/** The image that a person named, with its tree ready to be looked at. */
export async function openImageTree(args: Arguments, io: Io, name: string) {
  const store = await openStore(args, io)
  const { readImage, resolveImage } = await import('lamella/oci')
  const { openTree } = await import('lamella/unionfs')
  const image = await readImage(store.blobs, await resolveImage(store, name))
  return { store, image, tree: await openTree(store, image.layers) }
}

/** A path as people type it or as `ls` printed it; symlinks are followed inside the tree. */
export function resolvePrinted(tree: Tree, path: string): ReturnType<Tree['resolve']> {
  return tree.resolve(path, {}) ?? tree.resolve(parsePrintable(path), {})
}
