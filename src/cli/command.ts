// What a command is, how its arguments are read, and what its --help prints.
import { parseArgs } from 'node:util'

export interface OptionSpec {
  /** Long name without the dashes. */
  readonly name: string
  readonly short?: string
  /** What stands for the value in the help, e.g. `DIR`; left out for a flag. */
  readonly value?: string
  /** May be given several times. */
  readonly multiple?: boolean
  readonly help: string
}

export interface Io {
  /** Data. Resolves when it was handed on; a closed pipe ends the command quietly. */
  write(data: string | Uint8Array): Promise<void>
  /**
   * From now on the command goes on when nobody reads its data any more, instead of ending: what it does must be brought
   * to its end.
   */
  outliveReader(): void
  /** Progress, notes and errors. */
  note(text: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: () => AsyncIterable<Uint8Array>
  /** Reads no more of it: a command that was given it has ended. */
  endStdin(): void
  /** Whether standard input is a terminal. */
  readonly stdinIsTerminal: () => boolean
  /** What the terminal behind stderr can do; `undefined` when there is none. */
  readonly terminal: { readonly columns: () => number; readonly rows: () => number } | undefined
  /** Whether somebody would read the data on a screen. */
  readonly isTerminal: boolean
  /** Fires at SIGINT and SIGTERM. */
  readonly signal: AbortSignal
}

export interface Arguments {
  readonly operands: readonly string[]
  /** The last value given. */
  string(name: string): string | undefined
  strings(name: string): readonly string[]
  flag(name: string): boolean
}

export interface Command {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** After `lamella NAME`, e.g. `[options] IMAGE [GLOB]`. */
  readonly synopsis: string
  /** A paragraph or two for --help. */
  readonly description?: string
  readonly options: readonly OptionSpec[]
  readonly examples?: readonly string[]
  /** What comes after the operand with this number, from 1, is not ours to read: `lamella run IMAGE ls -l`. */
  readonly optionsEndAtOperand?: number
  /** Least and most operands. */
  readonly operands: readonly [min: number, max: number]
  /** @returns the exit code */
  run(args: Arguments, io: Io): Promise<number>
}

/** A wrong command line: exit code 2, and a pointer to the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export const HELP: OptionSpec = { name: 'help', short: 'h', help: 'show this help' }
export const STORE: OptionSpec = {
  name: 'store',
  value: 'DIR',
  help: 'the store (default: $LAMELLA_STORE, else $XDG_DATA_HOME/lamella)',
}
export const JSON_OUTPUT: OptionSpec = { name: 'json', help: 'print JSON' }

/** `-h` is the help's unless the command has another use for it: docker's `run -h NAME`. */
function withHelp({ options }: Command): readonly OptionSpec[] {
  const { short: _, ...long } = HELP
  return [...options, options.some(({ short }) => short === HELP.short) ? long : HELP]
}

export function readArguments(command: Command, argv: readonly string[]): Arguments {
  const options = withHelp(command)
  const { values, positionals } = parse(options, argv, command.optionsEndAtOperand)
  const args: Arguments = {
    operands: positionals,
    string: (name) => values.get(name)?.at(-1),
    strings: (name) => values.get(name) ?? [],
    flag: (name) => values.get(name)?.at(-1) === 'true',
  }
  const [min, max] = command.operands
  if (args.flag('help')) return args
  if (positionals.length < min) throw new UsageError(`missing ${missingOperand(command, positionals.length)}`)
  if (positionals.length > max)
    throw new UsageError(`unexpected argument ${JSON.stringify(positionals[max])}`)
  return args
}

function missingOperand(command: Command, at: number): string {
  const names = command.synopsis.split(' ').filter((word) => /^\[?[A-Z]/.test(word))
  return names[at] ?? 'argument'
}

function parse(options: readonly OptionSpec[], argv: readonly string[], endAtOperand = Infinity) {
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      options.map(({ name, short, value }) => [
        name,
        {
          type: value === undefined ? ('boolean' as const) : ('string' as const),
          ...(short === undefined ? {} : { short }),
        },
      ]),
    ),
  })
  const values = new Map<string, string[]>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (positionals.length === endAtOperand) {
      positionals.push(...argv.slice(token.index + 1))
      break
    }
    if (token.kind !== 'option') continue
    const spec = options.find(({ name }) => name === token.name)
    if (spec === undefined) throw new UsageError(unknownOption(token.rawName, options))
    const known = values.get(spec.name)
    const value = optionValue(spec, token.rawName, token.value)
    if (known === undefined || spec.multiple !== true) values.set(spec.name, [value])
    else known.push(value)
  }
  return { values, positionals }
}

function optionValue(spec: OptionSpec, rawName: string, value: string | undefined): string {
  if (spec.value !== undefined) {
    if (value === undefined) throw new UsageError(`${rawName} needs a value: ${rawName} ${spec.value}`)
    return value
  }
  if (value === undefined) return 'true'
  if (value === 'true' || value === 'false') return value
  throw new UsageError(`${rawName} takes no value but true or false, not ${JSON.stringify(value)}`)
}

function unknownOption(rawName: string, options: readonly OptionSpec[]): string {
  const near = nearest(
    rawName.replace(/^-+/, ''),
    options.map(({ name }) => name),
  )
  return `unknown option ${rawName}${near === undefined ? '' : ` (did you mean --${near}?)`}`
}

/** The name that is at most two edits away, if there is one. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.min(3, word.length)
  for (const name of names) {
    const distance = editDistance(word, name)
    if (distance < bestDistance) [best, bestDistance] = [name, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

export function helpText(command: Command): string {
  const rows = withHelp(command).map(({ name, short, value, help }) => [
    `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
    help,
  ])
  const width = Math.min(26, Math.max(...rows.map(([left]) => left!.length)))
  const lines = [`Usage: lamella ${command.name} ${command.synopsis}`, '']
  lines.push(...wrap(sentence(command.summary), HELP_WIDTH))
  if (command.description !== undefined) {
    lines.push('', ...wrap(command.description.replaceAll('\n', ' '), HELP_WIDTH))
  }
  lines.push('', 'Options:', ...rows.map(([left, right]) => optionLine(left!, right!, width)))
  if (command.examples !== undefined)
    lines.push('', 'Examples:', ...command.examples.map((line) => `  ${line}`))
  return lines.join('\n') + '\n'
}

function optionLine(left: string, right: string, width: number): string {
  const [first = '', ...more] = wrap(right, HELP_WIDTH - width - 4)
  const indent = ' '.repeat(width + 4)
  const head = left.length > width ? `  ${left}\n${indent}${first}` : `  ${left.padEnd(width)}  ${first}`
  return [head, ...more.map((line) => indent + line)].join('\n')
}

/** What a terminal has at least. */
export const HELP_WIDTH = 80

/** Words in lines of at most so many characters; a longer word has a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1) + '.'
}
