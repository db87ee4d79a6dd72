import { waitContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { forEach } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'wait',
  summary: 'wait until containers have ended, and print their exit codes',
  synopsis: '[options] CONTAINER…',
  description: 'One that was run with --rm takes its exit code with it, and has none to print.',
  options: [STORE],
  operands: [1, Infinity],
  async run(args, io) {
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      const info = await waitContainer(store, name, { signal: io.signal })
      if (info !== undefined) await io.write(`${info.exitCode ?? 0}\n`)
    })
  },
}
