// Command-line options as getopt_long(3) reads them: clusters, values attached or apart, long names and their
// abbreviations, operands anywhere, `--`. Pure.
import { UsageError } from './process.js'

export interface OptionSpec {
  /** Letters of flags. */
  readonly flags?: string
  /** Letters of options with a value. */
  readonly values?: string
  /** Long name → letter of the flag or value option that it means. */
  readonly long?: Readonly<Record<string, string>>
  /** Stop at the first operand, as programs do that run other programs. */
  readonly stopAtOperand?: boolean
}

export interface Options {
  has(letter: string): boolean
  /** The last value given. */
  value(letter: string): string | undefined
  readonly all: readonly (readonly [letter: string, value: string | undefined])[]
  readonly operands: readonly string[]
}

/** @throws UsageError on an unknown option or a missing value */
export function parseOptions(args: readonly string[], spec: OptionSpec): Options {
  const all: [string, string | undefined][] = []
  const operands: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (arg === '--') {
      operands.push(...args.slice(at + 1))
      break
    }
    if (arg.startsWith('--')) at += readLong(arg, args[at + 1], spec, all)
    else if (arg.startsWith('-') && arg !== '-') at += readCluster(arg, args[at + 1], spec, all)
    else if (spec.stopAtOperand === true) {
      operands.push(...args.slice(at))
      break
    } else operands.push(arg)
  }
  return {
    has: (letter) => all.some(([name]) => name === letter),
    value: (letter) => all.findLast(([name]) => name === letter)?.[1],
    all,
    operands,
  }
}

type Found = [string, string | undefined][]

/** @returns how many further arguments were used */
function readLong(arg: string, next: string | undefined, spec: OptionSpec, all: Found): number {
  const equals = arg.indexOf('=')
  const name = equals === -1 ? arg.slice(2) : arg.slice(2, equals)
  const names = Object.keys(spec.long ?? {})
  const matches = names.includes(name) ? [name] : names.filter((known) => known.startsWith(name))
  const letter = matches.length === 1 ? spec.long![matches[0]!]! : undefined
  if (letter === undefined) throw new UsageError(`unrecognized option '--${name}'`)
  if (!(spec.values ?? '').includes(letter)) {
    all.push([letter, equals === -1 ? undefined : arg.slice(equals + 1)])
    return 0
  }
  const value = equals === -1 ? next : arg.slice(equals + 1)
  if (value === undefined) throw new UsageError(`option '--${name}' requires an argument`)
  all.push([letter, value])
  return equals === -1 ? 1 : 0
}

function readCluster(arg: string, next: string | undefined, spec: OptionSpec, all: Found): number {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg[at]!
    if ((spec.values ?? '').includes(letter)) {
      const attached = arg.slice(at + 1)
      const value = attached === '' ? next : attached
      if (value === undefined) throw new UsageError(`option requires an argument -- '${letter}'`)
      all.push([letter, value])
      return attached === '' ? 1 : 0
    }
    if (!(spec.flags ?? '').includes(letter)) throw new UsageError(`invalid option -- '${letter}'`)
    all.push([letter, undefined])
  }
  return 0
}
