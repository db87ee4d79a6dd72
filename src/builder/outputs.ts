// Built images written out of the store: archives, layouts, tars, folders. An effect file.
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { BuildError, throwIfAborted } from '../errors.js'
import {
  encodeIndex,
  exportImageFiles,
  parseIndex,
  refNameOf,
  type ExportedImage,
  type ImageExport,
  type ImageToSave,
} from '../oci/index.js'
import { besidePlace, writeFileWhole, type Store } from '../store/index.js'
import { checkoutTree, diffTrees, EMPTY_TREE, encodeLayer, openTree, type Change } from '../unionfs/index.js'
import { timeOfEpoch } from './image-draft.js'
import type { BuildOutput, ByteSink } from './output-spec.js'
import type { LayerRef } from './vertex.js'

/** What there is to write. */
export interface OutputImage extends ImageToSave {
  readonly layers: readonly LayerRef[]
}

export interface OutputOptions {
  /** Nanoseconds since 1970. */
  readonly now: () => bigint
  readonly signal: AbortSignal | undefined
  /** SOURCE_DATE_EPOCH: the time of every file of `tar` and `local`, and of the image as `oci` and `docker` describe it. */
  readonly epoch?: number | undefined
}

/** @throws BuildError OUTPUT_INVALID when a file is in the place of a folder, or the reverse. Costs no build. */
export function checkOutput(output: BuildOutput): void {
  if (output.type === 'image' || typeof output.dest !== 'string') return
  const { dest } = output
  const isFolder = output.type === 'local' || (output.type !== 'tar' && output.tar === false)
  const found = statSync(dest, { throwIfNoEntry: false })
  if (found === undefined || found.isDirectory() === isFolder) return
  const what = isFolder
    ? `destination directory ${dest} is a file`
    : `destination file ${dest} is a directory`
  throw new BuildError('OUTPUT_INVALID', what, { data: { dest } })
}

/**
 * Writes one output. A file appears whole: it is made beside its place and moved there; so does each file of a folder.
 *
 * @returns what an archive or layout holds
 * @throws what the disk throws; AbortError when the signal fires
 */
export async function writeOutput(
  store: Store,
  image: OutputImage,
  output: BuildOutput,
  options: OutputOptions,
): Promise<ExportedImage | undefined> {
  throwIfAborted(options.signal)
  switch (output.type) {
    case 'image':
      return undefined
    case 'local':
      await writeFolder(store, image, output.dest, options)
      return undefined
    case 'tar': {
      const tree = await openTree(store, image.layers)
      const changes = timed(diffTrees(EMPTY_TREE, tree), options.epoch)
      await writeBytes(encodeLayer(changes), output.dest, options)
      return undefined
    }
    default:
      return writeImage(store, image, output, options)
  }
}

function timed(changes: readonly Change[], epoch: number | undefined): readonly Change[] {
  if (epoch === undefined) return changes
  const time = { mtimeSec: epoch, mtimeNsec: 0 }
  return changes.map((change) =>
    change.kind === 'put' ? { ...change, node: change.node.with(time) } : change,
  )
}

async function writeImage(
  store: Store,
  image: OutputImage,
  output: Extract<BuildOutput, { readonly type: 'oci' | 'docker' }>,
  options: OutputOptions,
): Promise<ExportedImage> {
  const { dest, type, tar = true, names: own = [], ...settings } = output
  const names = [...new Set([...image.names, ...own.map(refNameOf)])]
  const seconds = options.epoch ?? Number(options.now() / 1_000_000_000n)
  const exported = {
    mediaTypes: type,
    ...settings,
    created: timeOfEpoch(seconds),
    signal: options.signal,
  }
  return exportImageFiles(store, { descriptor: image.descriptor, names }, exported, async (it) => {
    if (!tar && typeof dest === 'string') await writeLayout(it, dest, options)
    else await writeBytes(it.archive(type === 'docker'), dest, options)
    return { descriptor: it.descriptor, configDigest: it.configDigest, names: it.names }
  })
}

/**
 * An OCI layout, as BuildKit's client fills one: what is in the folder stays, but for the entry that had a name of the image.
 * @see moby/buildkit client/ociindex/ociindex.go
 */
async function writeLayout(image: ImageExport, folder: string, { signal }: OutputOptions): Promise<void> {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  mkdirSync(join(folder, 'ingest'), { recursive: true })
  for (const { path, content } of image.files) {
    if (!existsSync(join(folder, path))) await writeFileWhole(join(folder, path), content(), { signal })
  }
  const index = join(folder, 'index.json')
  const before = existsSync(index) ? parseIndex(readFileSync(index)).manifests : []
  await writeFileWhole(index, [encodeIndex(joined(before, namedEntries(image)))], { signal })
}

/** A layout always has a name for what it holds. */
function namedEntries({ entries, names }: ImageExport): readonly Descriptor[] {
  if (names.length > 0) return entries
  return entries.map((entry) => ({
    ...entry,
    annotations: { ...entry.annotations, [REF_NAME_ANNOTATION]: 'latest' },
  }))
}

const NAMES = ['io.containerd.image.name', REF_NAME_ANNOTATION]

function joined(before: readonly Descriptor[], added: readonly Descriptor[]): readonly Descriptor[] {
  const nameOf = ({ annotations }: Descriptor): string =>
    NAMES.map((name) => annotations?.[name] ?? '').join('\0')
  const taken = new Set(added.map(nameOf))
  return [...before.filter((entry) => !taken.has(nameOf(entry))), ...added]
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

/** Into a folder that may have files; see `CheckoutOptions.merge`. What is not whole yet is in a folder of its own in it. */
async function writeFolder(
  store: Store,
  image: OutputImage,
  dest: string,
  { epoch, signal }: OutputOptions,
): Promise<void> {
  const tree = await openTree(store, image.layers)
  mkdirSync(dest, { recursive: true, mode: 0o700 })
  await besidePlace(join(dest, '.lamella'), async (staging) => {
    mkdirSync(staging, { mode: 0o700 })
    await checkoutTree(tree, dest, {
      merge: { staging },
      owners: false,
      devices: true,
      mtimeSec: epoch,
      signal,
    })
  })
}
