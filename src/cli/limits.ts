// --memory, --pids-limit and --cpus, as docker has them.
import type { ExecLimits } from 'lamella/builder'
import { type Arguments, type OptionSpec, UsageError } from './command.js'

export const LIMIT_OPTIONS: readonly OptionSpec[] = [
  { name: 'memory', short: 'm', value: 'SIZE', help: 'how much memory a command may use, e.g. 512m' },
  { name: 'pids-limit', value: 'COUNT', help: 'how many processes and threads it may have at once' },
  { name: 'cpus', value: 'NUMBER', help: 'how many processors it may use, e.g. 1.5' },
]

const POWERS = ['', 'k', 'm', 'g', 't', 'p']

/** Units are powers of 1024, whichever way they are written. @see docker/go-units RAMInBytes */
function memory(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text)
  if (match === null) throw new UsageError(`--memory ${text}: expected a size such as 512m`)
  return Math.floor(Number(match[1]) * 1024 ** POWERS.indexOf(match[2]!.toLowerCase()))
}

function count(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new UsageError(`--pids-limit ${text}: expected a number`)
  return Number(text)
}

function processors(text: string): number {
  if (!/^\d*\.?\d+$/.test(text)) throw new UsageError(`--cpus ${text}: expected a number such as 1.5`)
  return Number(text)
}

/** @returns `undefined` when nothing is limited; 0 and less mean that, as with docker. @throws UsageError */
export function limits(args: Arguments): ExecLimits | undefined {
  const read = (name: string, parse: (text: string) => number): number | undefined => {
    const text = args.string(name)
    const value = text === undefined ? 0 : parse(text)
    return value > 0 ? value : undefined
  }
  const memoryBytes = read('memory', memory)
  const pids = read('pids-limit', count)
  const cpus = read('cpus', processors)
  return (memoryBytes ?? pids ?? cpus) ? { memoryBytes, pids, cpus } : undefined
}
