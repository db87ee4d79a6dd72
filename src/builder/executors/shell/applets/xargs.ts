// xargs(1): command lines made of standard input. GNU findutils 4.9, run one after another.
import { parseOptions } from '../options.js'
import { UsageError } from '../process.js'
import type { Applet, AppletIO } from '../process.js'

const DECODER = new TextDecoder()

function readItems(io: AppletIO, text: string, separator: string | undefined, byLine: boolean): string[] {
  if (separator !== undefined) {
    const items = text.split(separator)
    return items.at(-1) === '' ? items.slice(0, -1) : items
  }
  if (byLine)
    return text
      .split('\n')
      .map((line) => unquote(line.trim(), io))
      .filter((line) => line !== '')
  return splitWords(text)
}

/** Blanks and line ends separate; quotes and backslashes protect. @throws UsageError */
function splitWords(text: string): string[] {
  const words: string[] = []
  const pattern = /\s+|"([^"\n]*)"|'([^'\n]*)'|\\([\s\S])|([^\s"'\\]+)|(["'])/g
  let word: string | undefined
  for (const [whole, double, single, escaped, plain, open] of text.matchAll(pattern)) {
    if (open !== undefined) throw new UsageError(`unmatched ${open === '"' ? 'double' : 'single'} quote`)
    const part = double ?? single ?? escaped ?? plain
    if (part === undefined && /^\s/.test(whole)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else word = (word ?? '') + (part ?? '')
  }
  if (word !== undefined) words.push(word)
  return words
}

const unquote = (line: string, _io: AppletIO): string =>
  line.replaceAll(/"([^"]*)"|'([^']*)'|\\(.)/g, '$1$2$3')

const unescape = (text: string): string =>
  text.replaceAll(
    /\\([nt0\\])/g,
    (_, letter: string) => ({ n: '\n', t: '\t', '0': '\0', '\\': '\\' })[letter]!,
  )

export const xargs: Applet = async (args, io) => {
  const options = parseOptions(args, {
    flags: '0rtpx',
    values: 'IinLlPdasEe',
    long: {
      null: '0',
      'no-run-if-empty': 'r',
      replace: 'I',
      'max-args': 'n',
      'max-lines': 'L',
      'max-procs': 'P',
      delimiter: 'd',
      'arg-file': 'a',
      verbose: 't',
    },
    stopAtOperand: true,
  })
  const command = options.operands.length === 0 ? ['echo'] : options.operands
  const replace = options.value('I')
  const delimiter = options.value('d')
  const separator = options.has('0') ? '\0' : delimiter === undefined ? undefined : unescape(delimiter)
  const file = options.value('a')
  const text = DECODER.decode(
    file === undefined ? io.stdin : (io.fs.readFileSync(io.path(file)) as Uint8Array),
  )
  const lines = options.value('L')
  const items = readItems(io, text, separator, replace !== undefined || lines !== undefined)
  if (items.length === 0 && (options.has('r') || replace !== undefined)) return 0
  const size = replace === undefined ? Number(options.value('n') ?? lines ?? Infinity) : 1
  if (!(size >= 1)) throw new UsageError(`value ${String(size)} should be >= 1`)
  return runAll(io, command, items, {
    size,
    replace,
    split: lines !== undefined && replace === undefined,
    verbose: options.has('t'),
  })
}

interface Plan {
  readonly size: number
  readonly replace: string | undefined
  /** Items are lines, which hold several words. */
  readonly split: boolean
  readonly verbose: boolean
}

async function runAll(
  io: AppletIO,
  command: readonly string[],
  items: readonly string[],
  plan: Plan,
): Promise<number> {
  let code = 0
  for (let at = 0; at === 0 || at < items.length; at += plan.size) {
    const part = items.slice(at, plan.size === Infinity ? undefined : at + plan.size)
    const words = plan.split ? part.flatMap(splitWords) : part
    const { replace } = plan
    const argv =
      replace === undefined
        ? [...command, ...words]
        : command.map((word) => word.replaceAll(replace, () => part[0] ?? ''))
    if (plan.verbose) io.warn(argv.join(' '))
    const status = await io.exec(argv, new Uint8Array())
    if (status === 255) return 124
    if (status === 126 || status === 127) return status
    if (status !== 0) code = 123
    if (plan.size === Infinity) break
  }
  return code
}
