import { createContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { CREATE_OPTIONS, createOptions } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'create',
  summary: 'make a container, and run nothing',
  synopsis: '[options] IMAGE [COMMAND…]',
  description: "Options end at IMAGE. Prints the container's id; 'lamella start' runs it.",
  options: [...CREATE_OPTIONS, STORE],
  examples: ['lamella create --name job app make all'],
  operands: [1, Infinity],
  optionsEndAtOperand: 1,
  async run(args, io) {
    const options = createOptions(args, io)
    await using store = await openStore(args, io)
    const { id } = await createContainer(store, args.operands[0]!, options)
    await io.write(`${id}\n`)
    return 0
  },
}
