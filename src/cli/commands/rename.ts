import { renameContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'rename',
  summary: 'give a container another name',
  synopsis: '[options] CONTAINER NAME',
  options: [STORE],
  operands: [2, 2],
  async run(args, io) {
    await using store = await openStore(args, io)
    await renameContainer(store, args.operands[0]!, args.operands[1]!)
    return 0
  },
}
