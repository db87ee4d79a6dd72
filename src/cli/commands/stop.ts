import { stopContainer } from 'lamella/containers'
import { STORE, UsageError, type Command } from '../command.js'
import { forEach } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'stop',
  summary: 'end what runs in containers',
  synopsis: '[options] CONTAINER…',
  description:
    'The command gets SIGTERM, and what it wrote is kept. When the time is over the process that runs it is killed: the\n' +
    'container is then as it was before that run.',
  options: [
    { name: 'time', short: 't', value: 'SECONDS', help: 'how long to wait before killing it (default: 10)' },
    STORE,
  ],
  operands: [1, Infinity],
  async run(args, io) {
    const text = args.string('time') ?? '10'
    if (!/^\d{1,6}$/.test(text)) throw new UsageError(`--time ${text}: expected seconds`)
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      await stopContainer(store, name, { timeoutMs: Number(text) * 1000 })
      await io.write(`${name}\n`)
    })
  },
}
