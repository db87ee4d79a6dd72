// Signals by name and number, as Linux has them on x86-64, ARM and RISC-V. Pure. @see signal(7)
import { ContainerError } from '../errors.js'

const NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  )
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...NAMES.map((name, i) => [name, i + 1] as const),
  ['IOT', 6] as const,
  ['CLD', 17] as const,
  ['POLL', 29] as const,
])
const RT_MIN = 34
const RT_MAX = 64

/**
 * The number of a signal: `9`, `KILL`, `SIGKILL` in any case, `RTMIN+3`, `RTMAX-1`.
 * @throws ContainerError SIGNAL_INVALID
 */
export function signalNumber(text: string): number {
  const name = text.trim().toUpperCase().replace(/^SIG/, '')
  const number = /^\d{1,2}$/.test(name) ? Number(name) : (NUMBERS.get(name) ?? realTime(name))
  const isSignal = number !== undefined && number >= 1 && number <= RT_MAX
  // Two are the C library's own.
  if (isSignal && number !== 32 && number !== 33) return number
  throw new ContainerError('SIGNAL_INVALID', `${JSON.stringify(text)} is no signal`, {
    data: { signal: text },
  })
}

function realTime(name: string): number | undefined {
  const match = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (match === null) return undefined
  const offset = Number(match[3] ?? 0) * (match[2] === '-' ? -1 : 1)
  const number = (match[1] === 'MIN' ? RT_MIN : RT_MAX) + offset
  return number >= RT_MIN ? number : undefined
}

/** `SIGTERM` of 15; the number itself where a signal has no name of its own. */
export function signalName(number: number): string {
  const name = NAMES[number - 1]
  return name === undefined ? String(number) : `SIG${name}`
}

/** In the form that is stored; `undefined` for none. @throws ContainerError SIGNAL_INVALID */
export function signalOf(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : signalName(signalNumber(text))
}
