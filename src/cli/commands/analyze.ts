import { readImage, resolveImage, type Image } from 'lamella/oci'
import { openLayerBlob, type Store } from 'lamella/store'
import { analyzeChangesets, contentDigest, openTree, readLayer } from 'lamella/unionfs'
import { JSON_OUTPUT, STORE, type Command } from '../command.js'
import { formatBytes, printable, shortDigest, table } from '../format.js'
import { openStore } from '../store.js'

const WASTED_SHOWN = 20

async function changesetsOf(store: Store, image: Image) {
  return Promise.all(
    image.layers.map(async ({ descriptor, diffID }) =>
      readLayer(await openLayerBlob(store, descriptor, diffID)),
    ),
  )
}

/** Bytes of this image that other images of the store hold too: whole layers, and single files by content. */
async function sharedWith(store: Store, image: Image) {
  const others: Image[] = []
  for (const { target } of await store.refs.list()) {
    const other = await readImage(store.blobs, target).catch(() => undefined)
    if (other !== undefined && other.descriptor.digest !== image.descriptor.digest) others.push(other)
  }
  const layers = new Set(others.flatMap((other) => other.layers.map(({ diffID }) => diffID)))
  const layerBytes = image.layers
    .filter(({ diffID }) => layers.has(diffID))
    .reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  const contents = new Set<string>()
  for (const other of others) {
    const tree = await openTree(store, other.layers)
    for (const { node } of tree.walk())
      if (node.kind === 'file' && node.size > 0) contents.add(contentDigest(node))
  }
  let fileBytes = 0
  let files = 0
  for (const { node } of (await openTree(store, image.layers)).walk()) {
    if (node.kind !== 'file' || node.size === 0 || !contents.has(contentDigest(node))) continue
    fileBytes += node.size
    files++
  }
  return { images: others.length, layerBytes, files, fileBytes }
}

export const command: Command = {
  name: 'analyze',
  summary: 'show what the layers of an image cost and share',
  synopsis: '[options] IMAGE',
  description:
    'Per layer what it adds, overwrites and deletes; bytes that are carried though a later layer replaced or removed\n' +
    'them; the efficiency as dive computes it; and what other images of the store hold too, by layer and by file.',
  options: [JSON_OUTPUT, STORE],
  operands: [1, 1],
  async run(args, io) {
    await using store = await openStore(args, io)
    const image = await readImage(store.blobs, await resolveImage(store, args.operands[0]!))
    const analysis = analyzeChangesets(await changesetsOf(store, image))
    const shared = await sharedWith(store, image)
    if (args.flag('json')) {
      const layers = analysis.layers.map((layer, i) => ({ diffID: image.layers[i]!.diffID, ...layer }))
      await io.write(JSON.stringify({ ...analysis, layers, shared }, undefined, 2) + '\n')
      return 0
    }
    const totals = ({ paths, bytes }: { paths: number; bytes: number }) =>
      paths === 0 ? '-' : `${paths} (${formatBytes(bytes)})`
    const rows = analysis.layers.map((layer, i) => [
      String(i + 1),
      shortDigest(image.layers[i]!.diffID),
      formatBytes(image.layers[i]!.descriptor.size),
      totals(layer.added),
      totals(layer.overwritten),
      totals(layer.deleted),
    ])
    await io.write(table(['>#', 'LAYER', '>SIZE', '>ADDED', '>OVERWRITTEN', '>DELETED'], rows))
    await io.write(
      `\nefficiency ${(analysis.efficiency * 100).toFixed(2)} %, wasted ${formatBytes(analysis.wastedBytes)}\n` +
        `shared with ${shared.images} other images: ${formatBytes(shared.layerBytes)} in layers, ` +
        `${formatBytes(shared.fileBytes)} in ${shared.files} files\n`,
    )
    const wasted = analysis.wasted.filter(({ bytes }) => bytes > 0).slice(0, WASTED_SHOWN)
    if (wasted.length > 0) {
      const cells = wasted.map(({ path, count, bytes }) => [
        String(count),
        formatBytes(bytes),
        `/${printable(path)}`,
      ])
      await io.write('\n' + table(['>LAYERS', '>BYTES', 'PATH'], cells))
    }
    return 0
  },
}
