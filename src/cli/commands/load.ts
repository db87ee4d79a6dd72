import { createReadStream, statSync } from 'node:fs'
import { loadArchive, loadLayout, type LayerCheck, type LoadedImage } from 'lamella/oci'
import { openDiskStore, type Store } from 'lamella/store'
import { indexingStore, openTree } from 'lamella/unionfs'
import { STORE, type Arguments, type Command, type Io } from '../command.js'
import { openStore } from '../store.js'

async function load(store: Store, args: Arguments, io: Io): Promise<LoadedImage[]> {
  const input = args.string('input') ?? '-'
  // Opened as trees, by the indexes that layers gain while they come in.
  const checkLayers: LayerCheck | 'none' = args.flag('skip-layers') ? 'none' : openTree
  const options = { signal: io.signal, tag: args.string('tag'), checkLayers }
  if (input !== '-' && statSync(input).isDirectory()) {
    await using layout = await openDiskStore(input, { create: false })
    return await loadLayout(store, layout, options)
  }
  return loadArchive(
    args.flag('skip-layers') ? store : indexingStore(store),
    input === '-' ? io.stdin() : createReadStream(input, { highWaterMark: 1 << 20 }),
    options,
  )
}

export const command: Command = {
  name: 'load',
  summary: 'take images in from an archive or a layout folder',
  synopsis: '[options]',
  description:
    'Reads what docker save (any version), podman, skopeo and buildah write: docker archives and OCI archives, plain,\n' +
    'gzip or zstd, and OCI layout folders. Everything is verified before a name points at it.',
  options: [
    { name: 'input', short: 'i', value: 'FILE', help: 'an archive or a layout folder; - is stdin (default)' },
    { name: 'tag', short: 't', value: 'NAME', help: 'name for an image that the archive does not name' },
    { name: 'skip-layers', help: 'do not open the layers; what is wrong in them shows when they are used' },
    STORE,
  ],
  examples: ['docker save node:20 | lamella load', 'lamella load -i image.tar.gz'],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io, { create: true })
    const loaded = await load(store, args, io)
    for (const { descriptor, names } of loaded) {
      await io.write(`loaded ${descriptor.digest}${names.map((name) => ` ${name}`).join('')}\n`)
    }
    return 0
  },
}
