// Variables and quotes in the words of instructions. Leaf of this room: the parser uses it to find here-documents, the
// planner to expand words.
// @see moby/buildkit frontend/dockerfile/shell/lex.go
import { DockerfileError, type SourceLocation } from '../../errors.js'
import type { Escape } from './ast.js'
import { replacePattern, trimPrefix, trimSuffix } from './shell-pattern.js'
import { isDigit, isLetter, isSpace, quote } from './text.js'

export interface ExpandOptions {
  /** Default backslash. */
  readonly escape?: Escape | undefined
  /** Quotes are dropped unless this is set. */
  readonly keepQuotes?: boolean | undefined
  /** Escape characters are dropped unless this is set. */
  readonly keepEscapes?: boolean | undefined
  /** Quotes are ordinary characters: here-document bodies. */
  readonly plainQuotes?: boolean | undefined
  /** A variable that is not set stays as it is written. */
  readonly keepUnset?: boolean | undefined
  /** What errors point at; without it they point into the word itself. */
  readonly at?: SourceLocation | undefined
}

export interface Usage {
  /** Variables that were looked up and found. */
  readonly used: ReadonlySet<string>
  /** Variables that were looked up and not found. */
  readonly unset: ReadonlySet<string>
}

export interface Expansion extends Usage {
  readonly value: string
}

export interface ListExpansion extends Usage {
  readonly values: readonly string[]
}

/** Deeper `${a:-${b:-…}}` than anyone writes; the bound keeps a hostile file from exhausting the stack. */
const DEPTH_MAX = 500
/** Far above what a kernel accepts as a variable; the bound stops `ENV a=$a$a` chains from filling the memory. */
const LENGTH_MAX = 1 << 24

const EMPTY: ReadonlySet<string> = new Set()

/**
 * Expands one word; the result is one word, blanks included.
 *
 * `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}`, `w`, `p` and
 * `r` expand too; single quotes are literal, double quotes expand, the escape character takes the next one literally.
 *
 * @throws DockerfileError EXPANSION_INVALID
 */
export function expandWord(
  word: string,
  env: ReadonlyMap<string, string>,
  options: ExpandOptions = {},
): Expansion {
  if (isPlain(word, options.escape)) return { value: word, used: EMPTY, unset: EMPTY }
  const expander = new Expander(word, env, options)
  const value = expander.run(undefined)
  return { value, used: expander.used, unset: expander.unset }
}

/**
 * Expands a text and splits it at blanks, after expansion; quoted blanks, and blanks in quoted variables, don't split.
 *
 * @throws DockerfileError EXPANSION_INVALID
 */
export function expandWords(
  text: string,
  env: ReadonlyMap<string, string>,
  options: ExpandOptions = {},
): ListExpansion {
  const expander = new Expander(text, env, options)
  const words = new Words()
  expander.run(words)
  return { values: words.finish(), used: expander.used, unset: expander.unset }
}

/** Expands the body of a COPY or ADD here-document: quotes are ordinary, the escape character is always a backslash. */
export function expandHeredoc(
  text: string,
  env: ReadonlyMap<string, string>,
  options: Pick<ExpandOptions, 'at'> = {},
): Expansion {
  return expandWord(text, env, { at: options.at, plainQuotes: true })
}

/** Variables that an expansion looked up and did not find before it failed with `error`. */
export function unsetIn(error: unknown): readonly string[] {
  const unset = error instanceof DockerfileError ? error.data.unset : undefined
  return Array.isArray(unset) ? unset.filter((name) => typeof name === 'string') : []
}

/** Nothing in the word can mean anything but itself. */
function isPlain(word: string, escape: Escape = '\\'): boolean {
  for (let i = 0; i < word.length; i++) {
    const code = word.charCodeAt(i)
    if (code === 0x24 || code === 0x22 || code === 0x27 || code === 0xfeff || (code & 0xf800) === 0xd800)
      return false
    if (word[i] === escape) return false
  }
  return true
}

/** Splits what the expander emits. Raw characters never split. */
class Words {
  readonly #done: string[] = []
  #word = ''
  #inWord = false

  add(char: string): void {
    if (!isSpace(char.codePointAt(0)!)) return this.addRaw(char)
    // A blank ends a word only when it holds something: `''` alone is no word and does not end one.
    if (this.#inWord && this.#word !== '') {
      this.#done.push(this.#word)
      this.#word = ''
      this.#inWord = false
    }
  }

  addAll(text: string): void {
    for (const char of text) this.add(char)
  }

  addRaw(text: string): void {
    this.#word += text
    this.#inWord = true
  }

  /** Loses what the word holds so far. */
  forget(): void {
    this.#word = ''
  }

  finish(): string[] {
    if (this.#word !== '') this.#done.push(this.#word)
    this.#word = ''
    return this.#done
  }
}

class Expander {
  readonly used = new Set<string>()
  readonly unset = new Set<string>()
  readonly #word: string
  readonly #text: string
  readonly #env: ReadonlyMap<string, string>
  readonly #escape: Escape
  readonly #options: ExpandOptions
  #rawEscapes: boolean
  #words: Words | undefined
  #at = 0
  #depth = 0

  constructor(text: string, env: ReadonlyMap<string, string>, options: ExpandOptions) {
    this.#word = text
    // Go's scanner drops a byte order mark at the start and reads bytes that are not UTF-8 as U+FFFD.
    const wellFormed = text.isWellFormed() ? text : text.toWellFormed()
    this.#text = wellFormed.charCodeAt(0) === 0xfeff ? wellFormed.slice(1) : wellFormed
    this.#env = env
    this.#escape = options.escape ?? '\\'
    this.#options = options
    this.#rawEscapes = options.keepEscapes ?? false
  }

  /** Expands to the end of the text. */
  run(words: Words | undefined): string {
    this.#words = words
    const result = this.#until(undefined, this.#rawEscapes, words)
    if (result.length > LENGTH_MAX) throw this.#error('the result is longer than 16 MiB')
    return result
  }

  #peek(): string {
    const code = this.#text.codePointAt(this.#at)
    return code === undefined ? '' : code < 0x10000 ? this.#text[this.#at]! : String.fromCodePoint(code)
  }

  #next(): string {
    const char = this.#peek()
    this.#at += char.length
    return char
  }

  #atEnd(): boolean {
    return this.#at >= this.#text.length
  }

  #error(message: string): DockerfileError {
    const word = this.#word
    const location: SourceLocation = this.#options.at ?? {
      file: '<word>',
      range: { start: { line: 1, column: 1 }, end: { line: 1, column: word.length + 1 } },
      line: word,
    }
    return new DockerfileError(
      'EXPANSION_INVALID',
      `failed to process ${quote(word)}: ${message}`,
      location,
      {
        data: { word, reason: message, unset: [...this.unset] },
      },
    )
  }

  /** Expands up to `stop`, which is consumed, or to the end of the text when there is none. */
  #until(stop: string | undefined, rawEscapes: boolean, words?: Words): string {
    if (++this.#depth > DEPTH_MAX) throw this.#error('substitutions are nested too deeply')
    const outer = this.#rawEscapes
    this.#rawEscapes = rawEscapes
    let result = ''
    while (!this.#atEnd()) {
      const char = this.#peek()
      if (char === stop) {
        this.#at += char.length
        this.#leave(outer)
        return result
      }
      if (char === '$') {
        const value = this.#dollar()
        result += value
        words?.addAll(value)
      } else if ((char === '"' || char === "'") && this.#options.plainQuotes !== true) {
        const value = char === '"' ? this.#doubleQuote() : this.#singleQuote()
        result += value
        words?.addRaw(value)
      } else if (char === '<' && words !== undefined && this.#text[this.#at + 1] === '<') {
        const opening = this.#heredocOpening()
        result += opening
        words.addRaw(opening)
      } else {
        result += this.#plain(words)
      }
      if (result.length > LENGTH_MAX) throw this.#error('the result is longer than 16 MiB')
    }
    if (stop !== undefined)
      throw this.#error(`unexpected end of statement while looking for matching ${stop}`)
    this.#leave(outer)
    return result
  }

  #leave(rawEscapes: boolean): void {
    this.#rawEscapes = rawEscapes
    this.#depth--
  }

  /** One ordinary or escaped character. */
  #plain(words: Words | undefined): string {
    const char = this.#next()
    if (char !== this.#escape) {
      words?.add(char)
      return char
    }
    const kept = this.#rawEscapes ? char : ''
    if (kept !== '') words?.addRaw(kept)
    // An escape character at the very end vanishes.
    const escaped = this.#next()
    if (escaped !== '') words?.addRaw(escaped)
    return kept + escaped
  }

  /** `<<` and the blanks behind it, not all of which count: they don't split, so that `<< EOF` is one word. */
  #heredocOpening(): string {
    const start = this.#at
    this.#at += 2
    while (' \t\r'.includes(this.#text[this.#at] ?? '\n')) this.#at++
    return this.#text.slice(start, this.#at)
  }

  #singleQuote(): string {
    const start = this.#at
    const end = this.#text.indexOf("'", start + 1)
    if (end === -1) {
      this.#at = this.#text.length
      throw this.#error('unexpected end of statement while looking for matching single-quote')
    }
    this.#at = end + 1
    return this.#options.keepQuotes === true
      ? this.#text.slice(start, end + 1)
      : this.#text.slice(start + 1, end)
  }

  #doubleQuote(): string {
    const mark = this.#next()
    const kept = this.#options.keepQuotes === true ? mark : ''
    let result = kept
    for (;;) {
      const char = this.#peek()
      if (char === '') {
        throw this.#error('unexpected end of statement while looking for matching double-quote')
      }
      if (char === '"') {
        this.#at++
        return result + kept
      }
      result += char === '$' ? this.#dollar() : this.#quotedChar()
    }
  }

  /** Inside double quotes the escape character counts only before `"`, `$` and itself; elsewhere it stays. */
  #quotedChar(): string {
    const char = this.#next()
    if (char !== this.#escape) return char
    const kept = this.#rawEscapes ? char : ''
    const next = this.#peek()
    if (next === '') return kept
    if (next === '"' || next === '$' || next === this.#escape) return kept + this.#next()
    return kept + char
  }

  #dollar(): string {
    this.#at++
    if (this.#peek() !== '{') {
      const name = this.#name()
      if (name === '') return '$'
      const value = this.#lookup(name)
      return value ?? (this.#options.keepUnset === true ? `$${name}` : '')
    }
    this.#at++
    const first = this.#peek()
    if (first === '') throw this.#error("syntax error: missing '}'")
    if (first === '{' || first === '}' || first === ':') throw this.#error('syntax error: bad substitution')
    return this.#braced(this.#name())
  }

  /** After `${name`. */
  #braced(name: string): string {
    let operator = this.#next()
    if (operator === '}') {
      const value = this.#lookup(name)
      return value ?? (this.#options.keepUnset === true ? `\${${name}}` : '')
    }
    if (operator === '/') return this.#replace(name)
    let modifier = operator === '' ? '\ufffd' : operator
    const emptyIsUnset = operator === ':'
    if (emptyIsUnset) {
      operator = this.#next()
      modifier += operator === '' ? '\ufffd' : operator
    } else if (!'+-?#%'.includes(operator) || operator === '') {
      throw this.#error(`unsupported modifier (${modifier}) in substitution`)
    }
    const isPattern = operator === '#' || operator === '%'
    if (emptyIsUnset && isPattern) throw this.#error(`unsupported modifier (${modifier}) in substitution`)
    const word = this.#operand('}', isPattern, "syntax error: missing '}'")
    return this.#apply(name, operator, modifier, word)
  }

  /** The word after an operator. Whatever goes wrong at the end of the text is told as the missing delimiter. */
  #operand(stop: string, rawEscapes: boolean, missing: string): string {
    // BuildKit 0.25 reads the operand into the buffer of the word around it: in a list, `7${p:-8}` is `8`.
    this.#words?.forget()
    try {
      return this.#until(stop, rawEscapes)
    } catch (error) {
      if (this.#atEnd() && error instanceof DockerfileError) throw this.#error(missing)
      throw error
    }
  }

  #apply(name: string, operator: string, modifier: string, word: string): string {
    const value = this.#lookup(name)
    if (value === undefined && this.#options.keepUnset === true) return `\${${name}${modifier}${word}}`
    const missing = value === undefined || (modifier.length > 1 && value === '')
    switch (operator) {
      case '-':
        return missing ? word : value
      case '+':
        return missing ? '' : word
      case '?':
        if (!missing) return value
        throw this.#error(
          `${name}: ${word || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`,
        )
      case '#':
      case '%':
        return this.#trim(operator, word, value ?? '')
      default:
        throw this.#error(`unsupported modifier (${modifier}) in substitution`)
    }
  }

  /** `#` and `%` take the shortest match, doubled the longest. */
  #trim(operator: '#' | '%', word: string, value: string): string {
    const greedy = word.startsWith(operator)
    const pattern = greedy ? word.slice(1) : word
    const result = operator === '#' ? trimPrefix(pattern, value, greedy) : trimSuffix(pattern, value, greedy)
    if (typeof result === 'string') return result
    throw this.#error(`invalid pattern (${result.pattern}) in substitution: ${result.problem}`)
  }

  #replace(name: string): string {
    const all = this.#peek() === '/'
    if (all) this.#at++
    const pattern = this.#operand('/', true, "syntax error: missing '/' in ${}")
    const replacement = this.#operand('}', true, "syntax error: missing '}'")
    const value = this.#lookup(name)
    if (value === undefined && this.#options.keepUnset === true)
      return `\${${name}/${pattern}/${replacement}}`
    const result = replacePattern(pattern, value ?? '', replacement, all, LENGTH_MAX)
    if (typeof result === 'string') return result
    throw this.#error(`invalid pattern (${result.pattern}) in substitution: ${result.problem}`)
  }

  /** Letters, digits and `_`; a leading digit takes digits only; one of `@*#?-$!0` is a name by itself. */
  #name(): string {
    const start = this.#at
    const first = this.#text.codePointAt(start)
    if (first === undefined) return ''
    if (isDigit(first)) {
      this.#skip(isDigit)
    } else if ('@*#?-$!'.includes(String.fromCodePoint(first))) {
      this.#at++
    } else {
      this.#skip((code) => code === 0x5f || isLetter(code) || isDigit(code))
    }
    return this.#text.slice(start, this.#at)
  }

  #skip(accept: (code: number) => boolean): void {
    for (;;) {
      const code = this.#text.codePointAt(this.#at)
      if (code === undefined || !accept(code)) return
      this.#at += code > 0xffff ? 2 : 1
    }
  }

  #lookup(name: string): string | undefined {
    const value = this.#env.get(name)
    if (value === undefined) this.unset.add(name)
    else this.used.add(name)
    return value
  }
}
