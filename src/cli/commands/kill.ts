import { killContainer } from 'lamella/containers'
import { STORE, UsageError, type Command } from '../command.js'
import { forEach } from '../container-options.js'
import { openStore } from '../store.js'

const SIGNALS = ['SIGKILL', 'SIGTERM', 'SIGINT'] as const
const NUMBERS: Readonly<Record<string, string>> = { 2: 'SIGINT', 9: 'SIGKILL', 15: 'SIGTERM' }

function signalOf(text: string): (typeof SIGNALS)[number] {
  const upper = text.toUpperCase()
  const name = NUMBERS[upper] ?? (upper.startsWith('SIG') ? upper : `SIG${upper}`)
  const known = SIGNALS.find((signal) => signal === name)
  if (known !== undefined) return known
  throw new UsageError(`--signal ${text}: expected KILL, TERM or INT`)
}

export const command: Command = {
  name: 'kill',
  summary: 'send a signal to what runs in containers',
  synopsis: '[options] CONTAINER…',
  description: 'What was written until then is kept.',
  options: [{ name: 'signal', short: 's', value: 'SIGNAL', help: 'KILL (default), TERM or INT' }, STORE],
  operands: [1, Infinity],
  async run(args, io) {
    const signal = signalOf(args.string('signal') ?? 'KILL')
    await using store = await openStore(args, io)
    return await forEach(args.operands, io, async (name) => {
      await killContainer(store, name, { signal })
      await io.write(`${name}\n`)
    })
  },
}
