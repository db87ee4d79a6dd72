import { killContainer } from 'lamella/containers'
import { STORE, type Command } from '../command.js'
import { forEach, signalOption } from '../container-options.js'
import { openStore } from '../store.js'

export const command: Command = {
  name: 'kill',
  summary: 'send a signal to what runs in containers',
  synopsis: '[options] CONTAINER…',
  description: 'What was written until then is kept. Only KILL is waited for.',
  options: [{ name: 'signal', short: 's', value: 'SIGNAL', help: 'by name or number; default KILL' }, STORE],
  operands: [1, Infinity],
  async run(args, io) {
    const signal = signalOption(args, 'signal') ?? 'KILL'
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      await killContainer(store, name, { signal })
      await io.write(`${name}\n`)
    })
  },
}
