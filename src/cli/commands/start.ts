import { findContainer } from 'lamella/containers'
import { STORE, UsageError, type Command } from '../command.js'
import { EXECUTOR, forEach, INTERACTIVE, runInBackground, runInForeground } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'start',
  summary: 'run the command of containers again',
  synopsis: '[options] CONTAINER…',
  description:
    'In the files that earlier runs left. Leaves them running and prints their names; with --attach or --interactive it\n' +
    "stays until the command of the one CONTAINER ends, and has the command's exit code.",
  options: [
    { name: 'attach', short: 'a', help: 'stay until it ends, and print what it prints' },
    INTERACTIVE,
    EXECUTOR,
    STORE,
  ],
  operands: [1, Infinity],
  async run(args, io) {
    await using store = await openStore(args, io)
    if (args.flag('attach') || args.flag('interactive')) {
      if (args.operands.length > 1) throw new UsageError('only one container can be attached to')
      const info = await findContainer(store, args.operands[0]!)
      return await runInForeground(store, info, args, io)
    }
    return await forEach(args.operands, io, async (name) => {
      const info = await findContainer(store, name)
      // As docker: one that runs is as it should be.
      if (info.status !== 'running') await runInBackground(store, info, args, io)
      await io.write(`${name}\n`)
    })
  },
}
