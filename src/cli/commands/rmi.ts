import { refNameOf } from 'lamella/oci'
import { STORE, type Command } from '../command.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'rmi',
  summary: 'remove names of images',
  synopsis: '[options] NAME…',
  description:
    "Only the names go; what no name and no cache record needs any more is removed by 'lamella gc'. 'lamella reflog\n" +
    "NAME' still lists what a removed name pointed at.",
  options: [STORE],
  operands: [1, Number.POSITIVE_INFINITY],
  async run(args, io) {
    await using store = await openStore(args, io)
    let missing = 0
    for (const operand of args.operands) {
      const exact = await store.refs.get(operand)
      const name = exact === undefined ? refNameOf(operand) : operand
      const target = exact ?? (await store.refs.get(name))
      if (target === undefined) {
        io.note(`ERROR: no image named ${JSON.stringify(name)} [REF_NOT_FOUND]\n`)
        missing++
        continue
      }
      await store.refs.set(name, undefined, target.digest)
      await io.write(`untagged ${name} (${target.digest})\n`)
    }
    return missing === 0 ? 0 : 1
  },
}
