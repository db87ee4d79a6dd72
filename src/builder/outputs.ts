// Built images written out of the store: archives, layouts, tars, folders. An effect file.
import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { throwIfAborted } from '../errors.js'
import { refNameOf, saveArchive, saveLayout, type ImageToSave } from '../oci/index.js'
import { besidePlace, openDiskStore, writeFileWhole, type Store } from '../store/index.js'
import { checkoutTree, diffTrees, EMPTY_TREE, encodeLayer, openTree } from '../unionfs/index.js'
import type { BuildOutput, ByteSink } from './output-spec.js'
import type { LayerRef } from './vertex.js'

/** What there is to write. */
export interface OutputImage extends ImageToSave {
  readonly layers: readonly LayerRef[]
}

export interface OutputOptions {
  readonly signal: AbortSignal | undefined
}

/**
 * Writes one output. A file or folder appears whole: it is made beside its place and moved there.
 * @throws what the disk throws; AbortError when the signal fires, and nothing is left behind
 */
export async function writeOutput(
  store: Store,
  image: OutputImage,
  output: BuildOutput,
  options: OutputOptions,
): Promise<void> {
  throwIfAborted(options.signal)
  switch (output.type) {
    case 'image':
      return
    case 'local':
      return writeFolder(store, image, output.dest, options)
    case 'tar': {
      const tree = await openTree(store, image.layers)
      return writeBytes(encodeLayer(diffTrees(EMPTY_TREE, tree)), output.dest, options)
    }
    default:
      return writeArchive(store, image, output, options)
  }
}

async function writeArchive(
  store: Store,
  image: OutputImage,
  output: Extract<BuildOutput, { readonly type: 'oci' | 'docker' }>,
  options: OutputOptions,
): Promise<void> {
  const names = [...new Set([...image.names, ...(output.names ?? []).map(refNameOf)])]
  const images = [{ descriptor: image.descriptor, names }]
  const settings = {
    signal: options.signal,
    ...(output.compression === undefined ? {} : { compression: output.compression }),
  }
  if (output.tar !== false || typeof output.dest !== 'string') {
    const format = output.type === 'oci' ? 'oci-archive' : 'docker-archive'
    return writeBytes(saveArchive(store, images, { ...settings, format }), output.dest, options)
  }
  await using layout = await openDiskStore(output.dest, { create: true })
  const refs = names.length > 0 ? names : ['latest']
  await saveLayout(store, [{ descriptor: image.descriptor, names: refs }], layout, settings)
}

async function writeBytes(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  dest: string | ByteSink,
  options: OutputOptions,
): Promise<void> {
  if (typeof dest !== 'string') {
    for await (const chunk of chunks) {
      throwIfAborted(options.signal)
      await dest(chunk)
    }
    return
  }
  mkdirSync(dirname(dest), { recursive: true })
  await writeFileWhole(dest, chunks, { signal: options.signal })
}

/** An empty or absent folder is filled at once; into another one the files are copied, replacing what has their names. */
async function writeFolder(
  store: Store,
  image: OutputImage,
  dest: string,
  { signal }: OutputOptions,
): Promise<void> {
  const tree = await openTree(store, image.layers)
  if (!existsSync(dest) || readdirSync(dest).length === 0)
    return void (await checkoutTree(tree, dest, { signal }))
  await besidePlace(dest.replace(/(?<=.)\/+$/, ''), async (folder) => {
    await checkoutTree(tree, folder, { signal })
    cpSync(folder, dest, { recursive: true, force: true, preserveTimestamps: true, verbatimSymlinks: true })
  })
}
