import {
  refNameOf,
  resolveImage,
  saveArchive,
  saveLayout,
  type ImageToSave,
  type SaveOptions,
} from 'lamella/oci'
import { openDiskStore, writeFileWhole, type Compression, type Store } from 'lamella/store'
import { STORE, UsageError, type Arguments, type Command, type Io } from '../command.js'
import { openStore } from '../store.js'

const FORMATS = ['docker-archive', 'oci-archive', 'oci'] as const

function format(args: Arguments): (typeof FORMATS)[number] {
  const text = args.string('format') ?? 'docker-archive'
  const known = FORMATS.find((name) => name === text)
  if (known !== undefined) return known
  throw new UsageError(`--format ${text}: expected one of ${FORMATS.join(', ')}`)
}

/** `gzip`, `zstd:19`, `none`. */
function compression(args: Arguments): { compression?: Compression; level?: number } {
  const text = args.string('compression')
  if (text === undefined) return {}
  const match = /^(none|gzip|zstd)(?::(\d+))?$/.exec(text)
  if (match === null)
    throw new UsageError(`--compression ${text}: expected none, gzip[:LEVEL] or zstd[:LEVEL]`)
  return {
    compression: match[1] as Compression,
    ...(match[2] === undefined ? {} : { level: Number(match[2]) }),
  }
}

async function imagesToSave(store: Store, names: readonly string[]): Promise<ImageToSave[]> {
  const refs = await store.refs.list()
  const images: { descriptor: ImageToSave['descriptor']; names: string[] }[] = []
  for (const name of names) {
    const descriptor = await resolveImage(store, name)
    // An image named by its digest goes out without a name.
    const ref = refs.find((entry) => entry.name === name || entry.name === safeRefName(name))?.name
    const known = images.find((image) => image.descriptor.digest === descriptor.digest)
    if (known === undefined) images.push({ descriptor, names: ref === undefined ? [] : [ref] })
    else if (ref !== undefined) known.names.push(ref)
  }
  return images
}

function safeRefName(name: string): string | undefined {
  try {
    return refNameOf(name)
  } catch {
    return undefined
  }
}

async function save(store: Store, args: Arguments, io: Io): Promise<void> {
  const kind = format(args)
  const output = args.string('output')
  const images = await imagesToSave(store, args.operands)
  const options = { ...compression(args), signal: io.signal }
  if (kind === 'oci') {
    if (output === undefined) throw new UsageError('--format oci writes a folder: give it with --output DIR')
    await using target = await openDiskStore(output)
    return await saveLayout(store, images, target, options)
  }
  const archive = saveArchive(store, images, { ...options, format: kind } satisfies SaveOptions)
  if (output !== undefined) return writeFileWhole(output, archive, { signal: io.signal })
  for await (const chunk of archive) await io.write(chunk)
}

export const command: Command = {
  name: 'save',
  summary: 'write images into an archive or a layout folder',
  synopsis: '[options] IMAGE…',
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'FILE',
      help: 'where to (default: stdout); a folder for --format oci',
    },
    { name: 'format', value: 'FORMAT', help: 'docker-archive (default), oci-archive or oci' },
    {
      name: 'compression',
      value: 'KIND[:LEVEL]',
      help: 'of layers: none, gzip or zstd (default: none in a docker archive, else as stored)',
    },
    STORE,
  ],
  examples: [
    'lamella save app | docker load',
    'lamella save --format oci-archive --compression gzip:9 -o app.tar app',
  ],
  operands: [1, Number.POSITIVE_INFINITY],
  async run(args, io) {
    await using store = await openStore(args, io)
    await save(store, args, io)
    return 0
  },
}
