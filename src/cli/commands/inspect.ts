import { findContainer, inspectVolume } from 'lamella/containers'
import { formatPlatform, readImage, resolveImage } from 'lamella/oci'
import type { Store } from 'lamella/store'
import { JSON_OUTPUT, STORE, UsageError, type Command } from '../command.js'
import { containerShape, imageShape, volumeShape } from '../docker-shape.js'
import { formatError } from '../errors.js'
import { openStore } from '../store.js'
import { parseTemplate } from '../template.js'

const KINDS = ['container', 'image', 'volume'] as const
type Kind = (typeof KINDS)[number]

async function describeImage(store: Store, name: string): Promise<unknown> {
  const target = await resolveImage(store, name)
  const refs = await store.refs.list()
  const { descriptor, manifest, config, layers } = await readImage(store.blobs, target)
  return {
    digest: descriptor.digest,
    names: refs.filter((ref) => ref.target.digest === target.digest).map((ref) => ref.name),
    mediaType: descriptor.mediaType,
    platform: formatPlatform(config),
    created: config.created,
    sizeBytes: layers.reduce((sum, layer) => sum + layer.descriptor.size, 0),
    layers: layers.map((layer) => ({ diffID: layer.diffID, ...layer.descriptor })),
    config,
    manifest,
  }
}

const DESCRIBE: Readonly<Record<Kind, (store: Store, name: string) => Promise<unknown>>> = {
  container: findContainer,
  image: describeImage,
  volume: inspectVolume,
}

/** For templates. */
const SHAPES = { container: containerShape, image: imageShape, volume: volumeShape }

interface Description {
  readonly value: unknown
  readonly shape: () => object
}

const ABSENT: ReadonlySet<unknown> = new Set([
  'CONTAINER_NOT_FOUND',
  'IMAGE_NOT_FOUND',
  'REFERENCE_INVALID',
  'VOLUME_NOT_FOUND',
  'VOLUME_NAME_INVALID',
])

/** The first kind that has something of the name. @returns the error of the images' when none has */
async function describe(store: Store, name: string, kinds: readonly Kind[]): Promise<Description> {
  let missing: unknown
  for (const kind of kinds) {
    try {
      const value = await DESCRIBE[kind](store, name)
      return { value, shape: () => SHAPES[kind](value as never) }
    } catch (error) {
      if (!ABSENT.has((error as { code?: unknown }).code)) throw error
      if (kind === 'image' || kinds.length === 1) missing = error
    }
  }
  if (kinds.length === 1 || (missing as { code?: unknown }).code === 'REFERENCE_INVALID') throw missing
  throw new Error(`no container, image or volume ${JSON.stringify(name)}`, { cause: missing })
}

export const command: Command = {
  name: 'inspect',
  summary: 'print everything known of containers, images or volumes, as JSON',
  synopsis: '[options] NAME…',
  description: 'A name that several have is the container’s, then the image’s, unless --type says which.',
  options: [
    {
      name: 'format',
      short: 'f',
      value: 'TEMPLATE',
      help: 'print this of each instead, e.g. {{.State.Status}} or {{json .Config}}',
    },
    { name: 'type', value: 'KIND', help: `one of ${KINDS.join(', ')}` },
    { ...JSON_OUTPUT, help: 'print JSON, as always' },
    STORE,
  ],
  operands: [1, Number.POSITIVE_INFINITY],
  async run(args, io) {
    const type = args.string('type')
    const kinds = type === undefined ? KINDS : KINDS.filter((kind) => kind === type)
    if (kinds.length === 0) throw new UsageError(`--type ${type}: expected one of ${KINDS.join(', ')}`)
    await using store = await openStore(args, io)
    const format = args.string('format')
    const render = format === undefined || format === 'json' ? undefined : parseTemplate(format)
    const out: unknown[] = []
    let exitCode = 0
    for (const name of args.operands) {
      try {
        const found = await describe(store, name, kinds)
        if (render === undefined) out.push(found.value)
        else await io.write(`${render(found.shape())}\n`)
      } catch (error) {
        if (error instanceof UsageError) throw error
        io.note(formatError(error))
        exitCode = 1
      }
    }
    if (format === 'json') await io.write(JSON.stringify(out) + '\n')
    else if (render === undefined) await io.write(JSON.stringify(out, undefined, 2) + '\n')
    return exitCode
  },
}
