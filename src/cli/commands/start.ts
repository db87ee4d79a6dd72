import { findContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { EXECUTOR, INTERACTIVE, runInBackground, runInForeground } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'start',
  summary: 'run the command of a container again',
  synopsis: '[options] CONTAINER',
  description:
    'In the files that earlier runs left. Stays until the command ends, and has its exit code; with --detach it is left\n' +
    'running.',
  options: [
    { name: 'detach', short: 'd', help: "leave it running, and print the container's name" },
    { name: 'attach', short: 'a', help: 'stay until it ends; the default' },
    INTERACTIVE,
    EXECUTOR,
    STORE,
  ],
  operands: [1, 1],
  async run(args, io) {
    await using store = await openStore(args, io)
    const info = await findContainer(store, args.operands[0]!)
    if (!args.flag('detach')) return await runInForeground(store, info.id, args, io)
    await runInBackground(store, info, args, io)
    await io.write(`${info.name}\n`)
    return 0
  },
}
