import { readImage, resolveImage, type Image } from 'lamella/oci'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatAge, formatBytes, printable, shortDigest, table } from '../format.js'
import { openStore } from '../store.js'

const CREATED_BY_MAX = 60

/** Each history entry with the layer that it made; newest first, as `docker history` lists them. */
function historyRows(image: Image) {
  let next = 0
  const rows = (image.config.history ?? []).map((entry) => {
    const layer = entry.empty_layer === true ? undefined : image.layers[next++]
    return {
      createdBy: entry.created_by ?? '',
      created: entry.created,
      comment: entry.comment,
      diffID: layer?.diffID,
      sizeBytes: layer?.descriptor.size ?? 0,
    }
  })
  // Images made by tools that record no history still have layers; they are shown rather than left out.
  const unnamed = image.layers.slice(next).map((layer) => ({
    createdBy: '',
    created: undefined,
    comment: undefined,
    diffID: layer.diffID,
    sizeBytes: layer.descriptor.size,
  }))
  return [...rows, ...unnamed].toReversed()
}

function shorten(text: string): string {
  const line = printable(text.replace(/\s+/g, ' '))
  return line.length > CREATED_BY_MAX ? `${line.slice(0, CREATED_BY_MAX - 1)}…` : line
}

export const command: Command = {
  name: 'history',
  summary: 'show the instructions and layers of an image',
  synopsis: '[options] IMAGE',
  description:
    'Newest first. Sizes are of the layers as stored; an instruction that changed only the config has none.',
  options: [JSON_OUTPUT, { name: 'no-trunc', help: 'do not shorten instructions and digests' }, STORE],
  operands: [1, 1],
  async run(args, io) {
    await using store = await openStore(args, io)
    const rows = historyRows(await readImage(store.blobs, await resolveImage(store, args.operands[0]!)))
    if (args.flag('json')) {
      await io.write(JSON.stringify(rows, undefined, 2) + '\n')
      return 0
    }
    const whole = args.flag('no-trunc')
    const cells = rows.map((row) => [
      row.diffID === undefined ? '-' : whole ? row.diffID : shortDigest(row.diffID),
      formatAge(row.created, Date.now()),
      row.diffID === undefined ? '0B' : formatBytes(row.sizeBytes),
      whole ? printable(row.createdBy) : shorten(row.createdBy),
      row.comment ?? '',
    ])
    await io.write(table(['LAYER', 'CREATED', '>SIZE', 'CREATED BY', 'COMMENT'], cells))
    return 0
  },
}
