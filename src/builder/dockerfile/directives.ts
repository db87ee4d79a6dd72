// Parser directives: `# key = value` lines at the very top of a file.
// @see moby/buildkit frontend/dockerfile/parser/directives.go
import type { Directive, Escape } from './ast.js'
import { isSpace, skipSpaces, type SourceText } from './text.js'

const KEYS = new Set(['syntax', 'escape', 'check'])

/** Go's `\s`: ASCII only. */
function isAsciiSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0c || code === 0x0d
}

function isAsciiLetter(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a)
}

/** `key = value` after the comment sign, key in lower case. `undefined` for any other text or an unknown key. */
export function readDirective(text: string): { name: Directive['name']; value: string } | undefined {
  let at = skipSpaces(text, 0)
  const start = at
  if (!isAsciiLetter(text.charCodeAt(at))) return undefined
  while (isAsciiLetter(text.charCodeAt(at)) || (text.charCodeAt(at) >= 0x30 && text.charCodeAt(at) <= 0x39))
    at++
  const name = text.slice(start, at).toLowerCase()
  while (isAsciiSpace(text.charCodeAt(at))) at++
  if (text[at] !== '=' || !KEYS.has(name)) return undefined
  let from = at + 1
  let to = text.length
  while (to > from && isAsciiSpace(text.charCodeAt(to - 1))) to--
  while (from < to && isAsciiSpace(text.charCodeAt(from))) from++
  if (from < to) return { name: name as Directive['name'], value: text.slice(from, to) }
  // BuildKit's expression wants one character of value; when there are only blanks it takes the last.
  return at + 1 < text.length ? { name: name as Directive['name'], value: text.slice(-1) } : undefined
}

/** Reads the directives of a file while its lines pass by; anything that is not a directive ends them. */
export class DirectiveReader {
  readonly directives: Directive[] = []
  escape: Escape = '\\'
  readonly #source: SourceText
  readonly #seen = new Set<string>()
  #done = false

  constructor(source: SourceText) {
    this.#source = source
  }

  /**
   * @param line    a line without its end
   * @param number  its number, from 1
   * @returns       whether the line is a directive
   * @throws DockerfileError DIRECTIVE_INVALID for a repeated key or an escape character that is none
   */
  read(line: string, number: number): boolean {
    if (this.#done) return false
    const directive = line.startsWith('#') ? readDirective(line.slice(1)) : undefined
    if (directive === undefined) {
      this.#done = true
      return false
    }
    const { name, value } = directive
    const range = this.#source.rangeOfLines(number)
    // BuildKit counts a line only when it has read it.
    const lines = [number - 1]
    if (this.#seen.has(name)) {
      const message = `only one ${name} parser directive can be used`
      throw this.#source.error('DIRECTIVE_INVALID', message, range, { lines })
    }
    this.#seen.add(name)
    if (name === 'escape') {
      if (value !== '\\' && value !== '`') {
        const message = `invalid escape token '${value}' does not match \` or \\`
        throw this.#source.error('DIRECTIVE_INVALID', message, range, { data: { value }, lines })
      }
      this.escape = value
    }
    this.directives.push({ name, value, range })
    return true
  }
}

/**
 * The value of the `check` directive, up to its first blank, found as BuildKit finds it before it parses: behind a byte order
 * mark and a `#!` line, too.
 */
export function findCheckDirective(source: SourceText): { value: string; line: number } | undefined {
  let number = 1
  if (stripBom(source.line(1)).startsWith('#!')) number = 2
  for (const seen = new Set<string>(); number <= source.lineCount; number++) {
    const line = number === 1 ? stripBom(source.line(1)) : source.line(number)
    const directive = line.startsWith('#') ? readDirective(line.slice(1)) : undefined
    if (directive === undefined || seen.has(directive.name)) return undefined
    seen.add(directive.name)
    if (directive.name === 'check') return { value: directive.value.split(' ')[0]!, line: number }
  }
  return undefined
}

/**
 * The frontend that a file asks for with `# syntax=`, `// syntax=` or `{"syntax": …}`.
 *
 * @see moby/buildkit frontend/dockerfile/parser/directives.go (DetectSyntax)
 */
export function detectSyntax(text: string): string | undefined {
  let rest = stripBom(text)
  if (rest.startsWith('#!')) rest = rest.includes('\n') ? rest.slice(rest.indexOf('\n') + 1) : ''
  const value = findSyntax(rest, '#') ?? findSyntax(rest, '//')
  if (value !== undefined) return value.split(' ')[0]
  try {
    const parsed: unknown = JSON.parse(rest)
    const syntax =
      typeof parsed === 'object' && parsed !== null ? (parsed as { syntax?: unknown }).syntax : undefined
    return typeof syntax === 'string' ? syntax : undefined
  } catch {
    return undefined
  }
}

function findSyntax(text: string, comment: string): string | undefined {
  const seen = new Set<string>()
  for (const line of text.split('\n')) {
    const directive = line.startsWith(comment) ? readDirective(line.slice(comment.length)) : undefined
    if (directive === undefined || seen.has(directive.name)) return undefined
    seen.add(directive.name)
    if (directive.name === 'syntax') return directive.value
  }
  return undefined
}

export function stripBom(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

/** Whether a line is a comment: its first character that is no space is `#`. */
export function isComment(line: string): boolean {
  for (let i = 0; i < line.length; i++) {
    const code = line.charCodeAt(i)
    if (!isSpace(code)) return code === 0x23
  }
  return false
}
