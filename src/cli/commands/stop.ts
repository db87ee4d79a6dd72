import { stopContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { forEach, STOP_TIME, stopTimeMs } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'stop',
  summary: 'end what runs in containers',
  synopsis: '[options] CONTAINER…',
  description:
    'The command gets SIGTERM, and what it wrote is kept. When the time is over the process that runs it is killed: the\n' +
    'container is then as it was before that run.',
  options: [STOP_TIME, STORE],
  operands: [1, Infinity],
  async run(args, io) {
    const timeoutMs = stopTimeMs(args)
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      await stopContainer(store, name, { timeoutMs })
      await io.write(`${name}\n`)
    })
  },
}
