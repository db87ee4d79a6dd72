// Characters as Go classifies them, and places in a file. BuildKit is written in Go, so what counts as a blank or a letter
// is Go's `unicode` package, which differs from JavaScript's `\s`: U+0085 is a blank, U+FEFF is not.
import type { DockerfileErrorCode, SourceLocation, SourceRange } from '../../errors.js'
import { DockerfileError } from '../../errors.js'

/** Go's unicode.IsSpace. */
export function isSpace(code: number): boolean {
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d)
  return (
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  )
}

const LETTER = /^\p{L}$/u
const DIGIT = /^\p{Nd}$/u

/** Go's unicode.IsLetter. @param code a code point */
export function isLetter(code: number): boolean {
  if (code < 0x80) return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a)
  return LETTER.test(String.fromCodePoint(code))
}

/** Go's unicode.IsDigit. @param code a code point */
export function isDigit(code: number): boolean {
  if (code < 0x80) return code >= 0x30 && code <= 0x39
  return DIGIT.test(String.fromCodePoint(code))
}

/** The blanks between words of an instruction: [\t\v\f\r ]. Narrower than `isSpace`. */
export function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || (code >= 0x0b && code <= 0x0d)
}

/** Index of the first character at or after `from` that is no space. */
export function skipSpaces(text: string, from: number): number {
  while (from < text.length && isSpace(text.charCodeAt(from))) from++
  return from
}

export function trimStart(text: string): string {
  return text.slice(skipSpaces(text, 0))
}

export function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(0, end)
}

/** Go's strings.TrimSpace. */
export function trim(text: string): string {
  return trimEnd(trimStart(text))
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
}

/** Go's `%q`: double quotes, backslash escapes, what cannot be printed as a number. */
export function quote(text: string): string {
  if (/^[ !#-[\]-~]*$/.test(text)) return `"${text}"`
  let out = '"'
  for (const char of text)
    out += ESCAPES[char] ?? (/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char) ? char : numbered(char))
  return `${out}"`
}

function numbered(char: string): string {
  const code = char.codePointAt(0)!
  const hex = code.toString(16)
  if (code < 0x80) return `\\x${hex.padStart(2, '0')}`
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}

/** A file's text cut into lines; lines are numbered from 1. */
export class SourceText {
  readonly file: string
  readonly text: string
  readonly #starts: number[] = [0]

  constructor(file: string, text: string) {
    this.file = file
    this.text = text
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1)
    // Text after the last line end is a line only when there is some, as for bufio.Scanner.
    if (this.#starts.length > 1 && this.#starts.at(-1) === text.length) this.#starts.pop()
  }

  get lineCount(): number {
    return this.#starts.length
  }

  /** The line with its end. */
  rawLine(line: number): string {
    return this.text.slice(this.#starts[line - 1], this.#starts[line] ?? this.text.length)
  }

  /** The line without its end: every trailing `\r` and `\n` is gone. */
  line(line: number): string {
    let end = this.#starts[line] ?? this.text.length
    const start = this.#starts[line - 1] ?? end
    while (end > start && isLineEnd(this.text.charCodeAt(end - 1))) end--
    return this.text.slice(start, end)
  }

  lines(): string[] {
    return this.#starts.map((_, index) => this.line(index + 1))
  }

  /** The whole of the given lines. */
  rangeOfLines(first: number, last: number = first): SourceRange {
    const from = Math.min(Math.max(first, 1), this.lineCount)
    const to = Math.min(Math.max(last, from), this.lineCount)
    return { start: { line: from, column: 1 }, end: { line: to, column: this.line(to).length + 1 } }
  }

  /** @param lines  those that BuildKit names, where they differ from the range's */
  locate(range: SourceRange, lines?: readonly number[]): SourceLocation {
    const location = { file: this.file, range, line: this.line(range.start.line) }
    return lines === undefined ? location : { ...location, buildkitLines: lines }
  }

  error(
    code: DockerfileErrorCode,
    message: string,
    range: SourceRange,
    options: {
      readonly data?: Readonly<Record<string, unknown>>
      readonly cause?: unknown
      readonly lines?: readonly number[] | undefined
    } = {},
  ): DockerfileError {
    const { lines, ...rest } = options
    return new DockerfileError(code, message, this.locate(range, lines), rest)
  }
}

/** All lines from one to another, both included. */
export function lineNumbers(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
}

function isLineEnd(code: number): boolean {
  return code === 0x0a || code === 0x0d
}

/** A piece of a logical line: where in the file its first character stands. Columns from 1. */
interface Piece {
  readonly at: number
  readonly line: number
  readonly column: number
}

/**
 * One instruction's text with continuations joined, which remembers where every character came from, so that an error in
 * the joined text points into the file.
 */
export class LogicalLine {
  readonly #source: SourceText
  readonly #pieces: Piece[] = []
  text = ''
  /** The last line of the file that belongs to it, here-documents included. */
  lastLine = 0

  constructor(source: SourceText) {
    this.#source = source
  }

  append(text: string, line: number, column: number): void {
    this.#pieces.push({ at: this.text.length, line, column })
    this.text += text
  }

  /** Place of the character at `offset`. */
  position(offset: number): { line: number; column: number } {
    let low = 0
    let high = this.#pieces.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.#pieces[middle]!.at > offset) high = middle
      else low = middle
    }
    const piece = this.#pieces[low]
    if (piece === undefined) return { line: 1, column: 1 }
    return { line: piece.line, column: piece.column + (offset - piece.at) }
  }

  /** Range of [from, to) of the joined text. */
  range(from: number, to: number): SourceRange {
    const start = this.position(from)
    if (to <= from) return { start, end: start }
    const last = this.position(to - 1)
    return { start, end: { line: last.line, column: last.column + 1 } }
  }

  error(
    code: DockerfileErrorCode,
    message: string,
    from: number,
    to: number,
    options?: { readonly data?: Readonly<Record<string, unknown>>; readonly cause?: unknown },
  ): DockerfileError {
    const first = this.#pieces[0]?.line ?? 1
    const lines = first < this.lastLine ? lineNumbers(first, this.lastLine) : undefined
    return this.#source.error(code, message, this.range(from, to), { ...options, lines })
  }
}
