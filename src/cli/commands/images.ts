import { readImage, type Image } from 'lamella/oci'
import type { Ref, Store } from 'lamella/store'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatAge, formatBytes, shortDigest, table } from '../format.js'
import { openStore } from '../store.js'

/** Layers' bytes as stored. */
function sizeOf(image: Image): number {
  return image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0)
}

/** A ref may point at what is not an image (an artifact) or is damaged: listed all the same, so that it can be seen. */
async function describeRef(store: Store, { name, target }: Ref) {
  const image = await readImage(store.blobs, target).catch(() => undefined)
  return {
    name,
    digest: target.digest,
    created: image?.config.created,
    platform: image === undefined ? undefined : `${image.config.os}/${image.config.architecture}`,
    layers: image?.layers.length,
    sizeBytes: image === undefined ? undefined : sizeOf(image),
  }
}

export const command: Command = {
  name: 'images',
  summary: 'list the images in the store',
  synopsis: '[options]',
  options: [JSON_OUTPUT, { name: 'quiet', short: 'q', help: 'print digests only' }, STORE],
  operands: [0, 0],
  async run(args, io) {
    await using store = await openStore(args, io)
    const refs = await store.refs.list()
    const rows = await Promise.all(refs.map((ref) => describeRef(store, ref)))
    if (args.flag('json')) await io.write(JSON.stringify(rows, undefined, 2) + '\n')
    else if (args.flag('quiet')) await io.write(rows.map(({ digest }) => digest + '\n').join(''))
    else {
      const cells = rows.map((row) => [
        row.name,
        shortDigest(row.digest),
        formatAge(row.created, Date.now()),
        row.layers === undefined ? '-' : String(row.layers),
        row.sizeBytes === undefined ? 'not an image' : formatBytes(row.sizeBytes),
      ])
      await io.write(table(['NAME', 'DIGEST', 'CREATED', '>LAYERS', '>SIZE'], cells))
    }
    return 0
  },
}
