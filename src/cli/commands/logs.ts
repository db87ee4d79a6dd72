import { followLog, readLog, type LogEntry } from 'lamella/containers'
import { STORE, UsageError, type Command, type Io } from '../command.js'
import { openStore } from '../store.js'

async function print({ stream, bytes, timeMs }: LogEntry, withTime: boolean, io: Io): Promise<void> {
  const time = withTime ? `${new Date(timeMs).toISOString()} ` : ''
  if (stream === 'stderr') io.note(time + new TextDecoder().decode(bytes))
  else await io.write(Buffer.concat([Buffer.from(time), bytes]))
}

/** As docker: who called it off knows why, a script does not. */
const EXIT_INTERRUPTED = 130

export const command: Command = {
  name: 'logs',
  summary: 'print what a container has printed',
  synopsis: '[options] CONTAINER',
  description:
    'Its standard output to ours, its standard error to ours, as they came. All of its runs, oldest first.',
  options: [
    { name: 'follow', short: 'f', help: 'go on until its run ends' },
    { name: 'timestamps', short: 't', help: 'the time before each line' },
    { name: 'tail', short: 'n', value: 'LINES', help: 'only the last so many; all is the default' },
    STORE,
  ],
  operands: [1, 1],
  async run(args, io) {
    const text = args.string('tail') ?? 'all'
    if (!/^(\d{1,9}|all)$/.test(text)) throw new UsageError(`--tail ${text}: expected a number or all`)
    const withTime = args.flag('timestamps')
    await using store = await openStore(args, io)
    const name = args.operands[0]!
    const known = await readLog(store, name)
    const skipped = text === 'all' ? 0 : Math.max(0, known.length - Number(text))
    if (!args.flag('follow')) {
      for (const entry of known.slice(skipped)) await print(entry, withTime, io)
      return 0
    }
    let at = 0
    for await (const entry of followLog(store, name, { signal: io.signal })) {
      if (at++ >= skipped) await print(entry, withTime, io)
    }
    return io.signal.aborted ? EXIT_INTERRUPTED : 0
  },
}
