import { containerChanges } from 'lamella/containers'
import { readImage, resolveImage } from 'lamella/oci'
import type { Store } from 'lamella/store'
import { diffTrees, openTree, summarizeChanges, type Tree } from 'lamella/unionfs'
import { JSON_OUTPUT, STORE, UsageError, type Command } from '../command.js'
import { formatBytes, printable, table } from '../format.js'
import { openStore } from '../store.js'

const AT_LAYER = /^(.+)#(\d+)$/

/** `IMAGE` is the whole image, `IMAGE#3` its first three layers, `IMAGE#0` nothing. */
async function treeOf(store: Store, text: string): Promise<Tree> {
  const match = AT_LAYER.exec(text)
  const image = await readImage(store.blobs, await resolveImage(store, match?.[1] ?? text))
  const count = match === null ? image.layers.length : Number(match[2])
  if (count > image.layers.length) {
    throw new UsageError(`${text}: the image has ${image.layers.length} layers`)
  }
  return openTree(store, image.layers.slice(0, count))
}

function bytesAt(tree: Tree, path: string): number {
  const node = tree.lookup(path.slice(1))
  return node?.kind === 'file' ? node.size : 0
}

export const command: Command = {
  name: 'diff',
  summary: 'show what differs between two images, two layers of one, or a container and its image',
  synopsis: '[options] A [B]',
  description:
    'A and B are images; NAME#N is the first N layers of one. Printed as docker diff does: A added, C changed, D deleted,\n' +
    'with the bytes that B has more or less at each path. A alone is a container: what it changed of its image.',
  options: [JSON_OUTPUT, STORE],
  examples: ['lamella diff app:v1 app:v2', "lamella diff 'app#2' 'app#3'"],
  operands: [1, 2],
  async run(args, io) {
    await using store = await openStore(args, io)
    if (args.operands.length === 1) {
      const changes = await containerChanges(store, args.operands[0]!)
      await io.write(
        args.flag('json')
          ? JSON.stringify(changes, undefined, 2) + '\n'
          : changes.map(({ kind, path }) => `${kind} ${printable(path)}\n`).join(''),
      )
      return 0
    }
    const [before, after] = [await treeOf(store, args.operands[0]!), await treeOf(store, args.operands[1]!)]
    const changes = summarizeChanges(before, diffTrees(before, after)).map(({ kind, path }) => ({
      kind,
      path,
      bytesBefore: bytesAt(before, path),
      bytesAfter: bytesAt(after, path),
    }))
    if (args.flag('json')) {
      await io.write(JSON.stringify(changes, undefined, 2) + '\n')
      return 0
    }
    const rows = changes.map(({ kind, path, bytesBefore, bytesAfter }) => {
      const delta = bytesAfter - bytesBefore
      return [
        kind,
        delta === 0 ? '' : `${delta > 0 ? '+' : '-'}${formatBytes(Math.abs(delta))}`,
        printable(path),
      ]
    })
    await io.write(table(['', '>BYTES', 'PATH'], rows))
    return 0
  },
}
