// Values that Go's standard library reads for BuildKit, with its rules and messages: booleans, integers, durations, one line of
// CSV.
import { quote } from './text.js'

/** A value that cannot be read; the message is the one that Go gives. */
export class ValueError extends Error {}

/** strconv.ParseBool. */
export function parseBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false
  return undefined
}

/** strconv.ParseInt(text, 10, 32). @throws ValueError */
export function parseInt32(text: string): number {
  if (!/^[+-]?[0-9]+$/.test(text))
    throw new ValueError(`strconv.ParseInt: parsing ${quote(text)}: invalid syntax`)
  const value = Number(text)
  if (value > 0x7fffffff || value < -0x80000000) {
    throw new ValueError(`strconv.ParseInt: parsing ${quote(text)}: value out of range`)
  }
  return value
}

/** strconv.ParseUint(text, base, 32), `undefined` where that fails. */
export function parseUint32(text: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(text)) return undefined
  const value = Number.parseInt(text, base)
  return value > 0xffffffff ? undefined : value
}

const UNIT_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  '\u00b5s': 1_000n,
  '\u03bcs': 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

const INT64_MAX = (1n << 63n) - 1n

/** time.ParseDuration, in nanoseconds. @throws ValueError */
export function parseDuration(text: string): bigint {
  const invalid = (): ValueError => new ValueError(`time: invalid duration ${quoteBytes(text)}`)
  let rest = text
  const negative = rest.startsWith('-')
  if (negative || rest.startsWith('+')) rest = rest.slice(1)
  if (rest === '0') return 0n
  if (rest === '' || text.length > 256) throw invalid()
  let total = 0n
  while (rest !== '') {
    const number = /^([0-9]*)(?:\.([0-9]*))?/.exec(rest)!
    const whole = number[1]!
    const fraction = number[2] ?? ''
    if (whole === '' && fraction === '') throw invalid()
    rest = rest.slice(number[0].length)
    const unit = /^[^.0-9]*/.exec(rest)![0]
    if (unit === '') throw new ValueError(`time: missing unit in duration ${quoteBytes(text)}`)
    const unitNs = UNIT_NS[unit]
    if (unitNs === undefined) {
      throw new ValueError(`time: unknown unit ${quoteBytes(unit)} in duration ${quoteBytes(text)}`)
    }
    rest = rest.slice(unit.length)
    total += BigInt(whole || '0') * unitNs
    if (fraction !== '') total += (BigInt(fraction) * unitNs) / 10n ** BigInt(fraction.length)
    if (total > INT64_MAX) throw invalid()
  }
  return negative ? -total : total
}

/** Go's `time` package quotes bytes, not characters. */
function quoteBytes(text: string): string {
  let out = ''
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte)
    if (byte >= 0x80 || byte < 0x20) out += `\\x${byte.toString(16).padStart(2, '0')}`
    else out += char === '"' || char === '\\' ? `\\${char}` : char
  }
  return `"${out}"`
}

/** Go's Duration.String: `1h30m0s`, `1.5s`, `10ms`, `0s`. @param ns  nanoseconds */
export function formatDuration(ns: number): string {
  const sign = ns < 0 ? '-' : ''
  const value = Math.abs(ns)
  if (value === 0) return '0s'
  if (value < 1e3) return `${sign}${value}ns`
  if (value < 1e6) return `${sign}${decimal(value, 3)}\u00b5s`
  if (value < 1e9) return `${sign}${decimal(value, 6)}ms`
  const minutes = Math.floor(value / 60e9)
  const hours = Math.floor(minutes / 60)
  const seconds = `${decimal(value - minutes * 60e9, 9)}s`
  if (hours > 0) return `${sign}${hours}h${minutes % 60}m${seconds}`
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : sign + seconds
}

/** An integer over a power of ten, without trailing zeros. */
function decimal(value: number, digits: number): string {
  const scale = 10 ** digits
  const fraction = String(value % scale)
    .padStart(digits, '0')
    .replace(/0+$/, '')
  return `${Math.floor(value / scale)}${fraction === '' ? '' : `.${fraction}`}`
}

/** One record of CSV, as encoding/csv reads it. @throws ValueError */
export function parseCsvLine(text: string): string[] {
  if (text === '') throw new ValueError('EOF')
  const fields: string[] = []
  let at = 0
  for (;;) {
    const field = text[at] === '"' ? quotedField(text, at + 1) : plainField(text, at)
    fields.push(field.value)
    if (field.end === text.length) return fields
    at = field.end + 1
  }
}

interface CsvField {
  readonly value: string
  /** Offset of the comma behind it, or the text's length. */
  readonly end: number
}

function plainField(text: string, from: number): CsvField {
  const comma = text.indexOf(',', from)
  const end = comma === -1 ? text.length : comma
  const value = text.slice(from, end)
  const mark = value.indexOf('"')
  if (mark !== -1) throw csvError(from + mark, 'bare " in non-quoted-field')
  return { value, end }
}

function quotedField(text: string, from: number): CsvField {
  let value = ''
  for (let at = from; ;) {
    const mark = text.indexOf('"', at)
    if (mark === -1) throw csvError(at, 'extraneous or missing " in quoted-field')
    value += text.slice(at, mark)
    at = mark + 1
    if (at === text.length || text[at] === ',') return { value, end: at }
    if (text[at] !== '"') throw csvError(mark, 'extraneous or missing " in quoted-field')
    value += '"'
    at++
  }
}

function csvError(at: number, problem: string): ValueError {
  return new ValueError(`parse error on line 1, column ${at + 1}: ${problem}`)
}
