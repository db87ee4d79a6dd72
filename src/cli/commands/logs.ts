import { followLog, readLog, type LogEntry } from 'lamella/containers'
import { STORE, UsageError, type Arguments, type Command, type Io } from '../command.js'
import { duration } from '../format.js'
import { openStore } from '../store.js'

async function print({ stream, bytes, timeMs }: LogEntry, withTime: boolean, io: Io): Promise<void> {
  const time = withTime ? `${new Date(timeMs).toISOString()} ` : ''
  if (stream === 'stderr') io.note(time + new TextDecoder().decode(bytes))
  else await io.write(Buffer.concat([Buffer.from(time), bytes]))
}

/** Milliseconds since the epoch. @throws UsageError @see moby/moby api/types/time, GetTimestamp */
function timeOption(args: Arguments, name: string): number | undefined {
  const text = args.string(name)
  if (text === undefined) return undefined
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  const date = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? Date.now() - duration(text, name) : date
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
    {
      name: 'since',
      value: 'TIME',
      help: 'only what came after it: 2026-01-31T12:00:00Z, seconds of the epoch, or 10m',
    },
    { name: 'until', value: 'TIME', help: 'only what came before it' },
    STORE,
  ],
  operands: [1, 1],
  async run(args, io) {
    const text = args.string('tail') ?? 'all'
    if (!/^(\d{1,9}|all)$/.test(text)) throw new UsageError(`--tail ${text}: expected a number or all`)
    const withTime = args.flag('timestamps')
    const [since, until] = [timeOption(args, 'since'), timeOption(args, 'until')]
    const isWithin = ({ timeMs }: LogEntry): boolean =>
      timeMs >= (since ?? 0) && timeMs <= (until ?? Infinity)
    await using store = await openStore(args, io)
    const name = args.operands[0]!
    const known = (await readLog(store, name)).filter(isWithin)
    const skipped = text === 'all' ? 0 : Math.max(0, known.length - Number(text))
    if (!args.flag('follow')) {
      for (const entry of known.slice(skipped)) await print(entry, withTime, io)
      return 0
    }
    let at = 0
    for await (const entry of followLog(store, name, { signal: io.signal })) {
      if (isWithin(entry) && at++ >= skipped) await print(entry, withTime, io)
    }
    return io.signal.aborted ? EXIT_INTERRUPTED : 0
  },
}
