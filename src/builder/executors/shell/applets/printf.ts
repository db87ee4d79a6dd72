// printf as dash has it: octal escapes are bytes, the format is used again while there are arguments. Pure.
// @see POSIX.1-2017, utilities/printf
import { UsageError } from '../process.js'
import type { Applet } from '../process.js'

const encoder = new TextEncoder()
const ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '\\': 92,
  '"': 34,
  "'": 39,
}

class Bytes {
  readonly parts: number[] = []
  /** `\c`, or a `%b` with it: nothing follows. */
  stopped = false

  text(text: string): void {
    for (const byte of encoder.encode(text)) this.parts.push(byte)
  }

  /** Text with backslash escapes. `%b` writes octal with a leading 0 and knows `\c`. */
  escaped(text: string, isArgument: boolean): void {
    const pattern = isArgument
      ? /^\\(?:0([0-7]{0,3})|([0-7]{1,3})|x([\da-fA-F]{1,2})|(.))/s
      : /^\\(?:(?!)()|([0-7]{1,3})|x([\da-fA-F]{1,2})|(.))/s
    let rest = text
    while (rest !== '' && !this.stopped) {
      const match = rest.startsWith('\\') ? pattern.exec(rest) : null
      if (match === null) {
        const plain = /^(?:\\|[^\\]+)/.exec(rest)![0]
        this.text(plain)
        rest = rest.slice(plain.length)
        continue
      }
      rest = rest.slice(match[0].length)
      this.#escape(match[1] ?? match[2], match[3], match[4])
    }
  }

  #escape(octal: string | undefined, hex: string | undefined, letter: string | undefined): void {
    if (octal !== undefined) this.parts.push(Number.parseInt(octal || '0', 8) & 0xff)
    else if (hex !== undefined) this.parts.push(Number.parseInt(hex, 16))
    else if (letter === 'c') this.stopped = true
    else if (ESCAPES[letter!] !== undefined) this.parts.push(ESCAPES[letter!]!)
    else this.text(`\\${letter!}`)
  }
}

interface Conversion {
  readonly flags: string
  readonly width: number
  readonly precision: number | undefined
  readonly letter: string
}

/** One pass over the format. @returns how many arguments it took */
function formatOnce(format: string, args: readonly string[], out: Bytes, problems: string[]): number {
  let taken = 0
  const next = (): string | undefined => args[taken++]
  const pattern = /%([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?([a-zA-Z%])|[^%]+|%/gs
  for (const [whole, flags, width, precision, letter] of format.matchAll(pattern)) {
    if (out.stopped) break
    if (letter === undefined) {
      if (whole === '%') throw new UsageError('%: missing format character', 2)
      out.escaped(whole, false)
    } else if (letter === '%') out.text('%')
    else {
      const count = (text: string | undefined): number =>
        text === '*' ? Number(next() ?? 0) : Number(text || 0)
      const columns = count(width)
      const digits = precision === undefined ? undefined : count(precision)
      const conversion = {
        flags: (flags ?? '') + (columns < 0 ? '-' : ''),
        width: Math.abs(columns),
        precision: digits,
        letter,
      }
      convert(conversion, next(), out, problems)
    }
  }
  return taken
}

function convert(conversion: Conversion, argument: string | undefined, out: Bytes, problems: string[]): void {
  const { letter, precision } = conversion
  if (letter === 'b') return out.escaped(argument ?? '', true)
  if (letter === 's') return out.text(pad(conversion, (argument ?? '').slice(0, precision)))
  if (letter === 'c') return out.text(pad(conversion, (argument ?? '').slice(0, 1)))
  if ('diouxX'.includes(letter))
    return out.text(pad(conversion, integerText(conversion, numberOf(argument, problems))))
  if ('feEgG'.includes(letter))
    return out.text(pad(conversion, floatText(conversion, numberOf(argument, problems))))
  throw new UsageError(`%${letter}: invalid directive`, 2)
}

/** Decimal, octal, hexadecimal, or a quote before a character. */
function numberOf(argument: string | undefined, problems: string[]): number {
  const text = (argument ?? '').trim()
  if (text === '') return 0
  if (/^["']./.test(text)) return text.codePointAt(1)!
  const value = /^[-+]?0[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number(text)
  if (!Number.isNaN(value)) return value
  problems.push(`${text}: expected numeric value`)
  return Number.parseFloat(text) || 0
}

function integerText({ flags, precision, letter }: Conversion, value: number): string {
  const whole = BigInt(Math.trunc(value))
  const unsigned = whole < 0n ? BigInt.asUintN(64, whole) : whole
  const base = letter === 'o' ? 8 : letter === 'x' || letter === 'X' ? 16 : 10
  const isSigned = letter === 'd' || letter === 'i'
  const magnitude = isSigned ? (whole < 0n ? -whole : whole) : unsigned
  let digits = magnitude.toString(base).padStart(precision ?? 1, '0')
  if (letter === 'X') digits = digits.toUpperCase()
  if (flags.includes('#') && magnitude !== 0n)
    digits = (base === 16 ? `0${letter}` : base === 8 ? '0' : '') + digits
  const sign =
    isSigned && whole < 0n
      ? '-'
      : flags.includes('+') && isSigned
        ? '+'
        : flags.includes(' ') && isSigned
          ? ' '
          : ''
  return sign + digits
}

function floatText({ flags, precision = 6, letter }: Conversion, value: number): string {
  const exponent = (text: string): string => text.replace(/e([+-])(\d)$/, 'e$10$2')
  const forms: Readonly<Record<string, () => string>> = {
    f: () => value.toFixed(precision),
    e: () => exponent(value.toExponential(precision)),
    g: () => exponent(String(Number(value.toPrecision(precision || 1)))),
  }
  const text = forms[letter.toLowerCase()]!()
  const signed = value >= 0 && flags.includes('+') ? `+${text}` : text
  return letter === letter.toUpperCase() ? signed.toUpperCase() : signed
}

function pad({ flags, width, letter, precision }: Conversion, text: string): string {
  if (flags.includes('-')) return text.padEnd(width)
  const zero =
    flags.includes('0') &&
    'diouxXfeEgG'.includes(letter) &&
    (precision === undefined || 'feEgG'.includes(letter))
  if (!zero) return text.padStart(width)
  const sign = /^[-+ ]|^0[xX]/.exec(text)?.[0] ?? ''
  return sign + text.slice(sign.length).padStart(width - sign.length, '0')
}

export const printf: Applet = (args, io) => {
  const [format, ...rest] = args[0] === '--' ? args.slice(1) : args
  if (format === undefined) throw new UsageError('usage: printf format [arg ...]', 2)
  const out = new Bytes()
  const problems: string[] = []
  let at = 0
  do {
    const taken = formatOnce(format, rest.slice(at), out, problems)
    if (taken === 0) break
    at += taken
  } while (at < rest.length && !out.stopped)
  io.out(Uint8Array.from(out.parts))
  for (const problem of problems) io.warn(problem)
  return problems.length === 0 ? 0 : 1
}
