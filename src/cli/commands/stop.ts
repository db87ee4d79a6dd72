import { stopContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { forEach, signalOption, STOP_TIME, stopTimeMs } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'stop',
  summary: 'end what runs in containers',
  synopsis: '[options] CONTAINER…',
  description:
    'The command gets SIGTERM, or the signal of the container or its image (STOPSIGNAL), and is killed when the time is\n' +
    'over. What it wrote is kept.',
  options: [
    { name: 'signal', short: 's', value: 'SIGNAL', help: 'instead of it, by name or number' },
    STOP_TIME,
    STORE,
  ],
  operands: [1, Infinity],
  async run(args, io) {
    const timeoutMs = stopTimeMs(args)
    const signal = signalOption(args, 'signal')
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      await stopContainer(store, name, { timeoutMs, signal })
      await io.write(`${name}\n`)
    })
  },
}
