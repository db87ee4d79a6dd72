// Where the store is, and opening it.
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Arguments, Io } from './command.js'

/** `--store DIR`, else `$LAMELLA_STORE`, else `$XDG_DATA_HOME/lamella`, which defaults to `~/.local/share/lamella`. */
export function storePath(args: Arguments, env: Io['env']): string {
  const given = args.string('store') ?? nonEmpty(env.LAMELLA_STORE)
  return given ?? join(nonEmpty(env.XDG_DATA_HOME) ?? join(homedir(), '.local/share'), 'lamella')
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
