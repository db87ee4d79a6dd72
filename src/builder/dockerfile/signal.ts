// The names and numbers that STOPSIGNAL accepts on Linux.
// @see moby/sys/signal (ParseSignal, SignalMap for linux)
import { DockerfileError, type SourceLocation } from '../../errors.js'

const NUMBERS: Readonly<Record<string, number>> = {
  ABRT: 6,
  ALRM: 14,
  BUS: 7,
  CHLD: 17,
  CLD: 17,
  CONT: 18,
  FPE: 8,
  HUP: 1,
  ILL: 4,
  INT: 2,
  IO: 29,
  IOT: 6,
  KILL: 9,
  PIPE: 13,
  POLL: 29,
  PROF: 27,
  PWR: 30,
  QUIT: 3,
  SEGV: 11,
  STKFLT: 16,
  STOP: 19,
  SYS: 31,
  TERM: 15,
  TRAP: 5,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  USR1: 10,
  USR2: 12,
  VTALRM: 26,
  WINCH: 28,
  XCPU: 24,
  XFSZ: 25,
  RTMIN: 34,
  RTMAX: 64,
}

/** @returns the number. @throws DockerfileError ARGUMENT_INVALID */
export function parseSignal(text: string, at?: SourceLocation): number {
  const number = signalNumber(text)
  if (number !== undefined) return number
  const range = { start: { line: 1, column: 1 }, end: { line: 1, column: text.length + 1 } }
  throw new DockerfileError(
    'ARGUMENT_INVALID',
    `invalid signal: ${text}`,
    at ?? { file: '<signal>', range, line: text },
  )
}

function signalNumber(text: string): number | undefined {
  if (/^[+-]?[0-9]{1,18}$/.test(text)) return Number(text) === 0 ? undefined : Number(text)
  const name = text.toUpperCase().replace(/^SIG/, '')
  if (Object.hasOwn(NUMBERS, name)) return NUMBERS[name]
  // RTMIN+1 … RTMIN+15 and RTMAX-14 … RTMAX-1.
  const offset = /^RT(MIN\+|MAX-)([1-9][0-9]?)$/.exec(name)
  if (offset === null) return undefined
  const count = Number(offset[2])
  if (offset[1] === 'MIN+') return count <= 15 ? 34 + count : undefined
  return count <= 14 ? 64 - count : undefined
}
