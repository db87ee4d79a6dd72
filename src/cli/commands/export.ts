import { diffTrees, EMPTY_TREE, encodeLayer } from 'lamella/unionfs'
import { STORE, type Command } from '../command.js'
import { openImageTree } from '../store.js'

export const command: Command = {
  name: 'export',
  summary: 'write the files of an image as one tar',
  synopsis: '[options] IMAGE',
  description:
    'All layers flattened into one, on stdout, as docker export does for a container. Deterministic.',
  options: [STORE],
  examples: ['lamella export app | tar t'],
  operands: [1, 1],
  async run(args, io) {
    const { store, tree } = await openImageTree(args, io, args.operands[0]!)
    await using _ = store
    for await (const chunk of encodeLayer(diffTrees(EMPTY_TREE, tree))) await io.write(chunk)
    return 0
  },
}
