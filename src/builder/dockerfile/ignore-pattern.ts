// One pattern of an ignore file, compiled to steps and run without backtracking: time grows with path times pattern, never
// faster. The steps are those of the regular expression that moby/patternmatcher builds, its oddities included: `**` swallows
// a following slash, a class may match a slash, `^` outside a class only matches at the start.
// @see moby/patternmatcher patternmatcher.go (Pattern.compile)
import { PatternError } from './match-path.js'

export interface IgnorePattern {
  /** The cleaned pattern without `!`. */
  readonly text: string
  /** `!pattern`: lets in again what earlier patterns left out. */
  readonly exclusion: boolean
  /** Whether the whole path matches; parents are the matcher's business. */
  match(path: string): boolean
}

const SLASH = 0x2f
const NEWLINE = 0x0a

/** Accepts one code point. */
type Accept = (code: number) => boolean

interface Step {
  readonly accept: Accept
  /** As often as it can, also never. */
  readonly repeat: boolean
}

/** `(.*\/)?`: nothing, or anything that ends in a slash. */
interface DirsStep {
  readonly dirs: true
}

/** `^`: only at the start of the path. */
interface StartStep {
  readonly start: true
}

type AnyStep = Step | DirsStep | StartStep

const notSlash: Accept = (code) => code !== SLASH
const notNewline: Accept = (code) => code !== NEWLINE

function literal(code: number): Accept {
  return (other) => other === code
}

/** @throws PatternError */
export function compileIgnorePattern(text: string, exclusion: boolean): IgnorePattern {
  return { text, exclusion, match: compile(text) }
}

function compile(text: string): (path: string) => boolean {
  const special = /[*?\\[\]]/.exec(text)
  if (special === null) return (path) => path === text
  const inner = text.slice(0, -2)
  if (text.endsWith('**') && special.index === inner.length && inner !== '') {
    return (path) => path.startsWith(inner)
  }
  if (text.startsWith('**') && !/[*?\\[\]]/.test(text.slice(2))) return suffixMatch(text.slice(2))
  return program(text, special.index)
}

/** `**` before a text without wildcards: the end of the path counts, whatever stands before it. */
function suffixMatch(suffix: string): (path: string) => boolean {
  if (suffix === '') return () => true
  if (!suffix.startsWith('/')) return (path) => path.endsWith(suffix)
  const bare = suffix.slice(1)
  return (path) => path.endsWith(suffix) || path === bare
}

function program(text: string, prefixLength: number): (path: string) => boolean {
  const steps = new Compiler(text).steps()
  const prefix = text[0] === '^' || text.includes('^') ? '' : text.slice(0, prefixLength)
  const suffix = literalSuffix(text)
  return (path) => path.startsWith(prefix) && path.endsWith(suffix) && run(steps, path)
}

/** The plain text behind the last special character: a quick way to say no. */
function literalSuffix(text: string): string {
  const tail = /[^*?\\[\]^]*$/.exec(text.slice(Math.max(0, text.length - 64)))![0]
  const before = text[text.length - tail.length - 1]
  // The character behind a backslash is escaped, a slash behind `**` may be swallowed.
  if (before === '\\') return tail.slice(tail.codePointAt(0)! > 0xffff ? 2 : 1)
  return before === '*' && tail.startsWith('/') ? tail.slice(1) : tail
}

class Compiler {
  readonly #text: string
  readonly #steps: AnyStep[] = []
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  steps(): readonly AnyStep[] {
    while (this.#at < this.#text.length) this.#step()
    return this.#steps
  }

  #next(): number {
    const code = this.#text.codePointAt(this.#at)!
    this.#at += code > 0xffff ? 2 : 1
    return code
  }

  #one(accept: Accept): void {
    this.#steps.push({ accept, repeat: false })
  }

  #step(): void {
    const code = this.#next()
    switch (String.fromCodePoint(code)) {
      case '*':
        return this.#star()
      case '?':
        return this.#one(notSlash)
      case '^':
        this.#steps.push({ start: true })
        return
      case '\\':
        return this.#one(this.#escaped())
      case '[':
        return this.#class()
      default:
        this.#one(literal(code))
    }
  }

  #star(): void {
    if (this.#text[this.#at] !== '*') {
      this.#steps.push({ accept: notSlash, repeat: true })
      return
    }
    this.#at++
    if (this.#text[this.#at] === '/') this.#at++
    if (this.#at === this.#text.length) this.#steps.push({ accept: notNewline, repeat: true })
    else this.#steps.push({ dirs: true })
  }

  /**
   * After a backslash. Punctuation is itself; a letter or digit means what it means in Go's regular expressions, because that
   * is where patternmatcher passes it on to.
   */
  #escaped(): Accept {
    if (this.#at >= this.#text.length) throw new PatternError(this.#text)
    const code = this.#next()
    const char = String.fromCodePoint(code)
    const known = ESCAPES[char]
    if (known !== undefined) return known
    if (/^[A-Za-z0-9]$/.test(char) || code >= 0x80) throw new PatternError(this.#text)
    return literal(code)
  }

  /**
   * A class. `*` and `?` inside are rewritten before the class is seen: `[*]` reads `[[^/]*]`, which is the class of `[`, `^`
   * and `/`, any number of times, and then a `]`.
   */
  #class(): void {
    const negated = this.#text[this.#at] === '^'
    if (negated) this.#at++
    const ranges: [number, number][] = []
    const accepts: Accept[] = []
    for (let first = true; ; first = false) {
      if (this.#at >= this.#text.length) throw new PatternError(this.#text)
      const char = this.#text[this.#at]!
      if (char === ']' && !first) {
        this.#at++
        return this.#one(classOf(ranges, accepts, negated))
      }
      if (char === '*' || char === '?') return this.#rewrittenWildcard(ranges, accepts, negated)
      const low = this.#classItem(accepts)
      if (low === undefined) continue
      const isRange = this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']'
      if (!isRange) {
        ranges.push([low, low])
        continue
      }
      this.#at++
      const high = this.#classItem(accepts)
      if (high === undefined || high < low) throw new PatternError(this.#text)
      ranges.push([low, high])
    }
  }

  #rewrittenWildcard(ranges: [number, number][], accepts: Accept[], negated: boolean): void {
    const star = this.#next() === 0x2a
    const twice = star && this.#text[this.#at] === '*'
    // `[**]` would read `[(.*/)?]`: too odd to be meant.
    if (twice) throw new PatternError(this.#text)
    for (const char of '[^/') ranges.push([char.codePointAt(0)!, char.codePointAt(0)!])
    this.#steps.push({ accept: classOf(ranges, accepts, negated), repeat: star })
  }

  /** One character of a class; `undefined` for a set like `\d`, which goes to `accepts`. */
  #classItem(accepts: Accept[]): number | undefined {
    if (this.#at >= this.#text.length) throw new PatternError(this.#text)
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.#text.slice(this.#at, this.#at + 16))
    if (posix !== null) {
      const set = POSIX[posix[2]!]
      if (set === undefined) throw new PatternError(this.#text)
      this.#at += posix[0].length
      accepts.push(posix[1] === '' ? set : (code) => !set(code))
      return undefined
    }
    const code = this.#next()
    if (code !== 0x5c) return code
    const char = this.#text[this.#at]
    if (char !== undefined && 'dDsSwW'.includes(char)) {
      accepts.push(this.#escaped())
      return undefined
    }
    const accept = this.#escaped()
    const escaped = this.#text.codePointAt(this.#at - 1)!
    return accept(escaped) ? escaped : CONTROLS[String.fromCodePoint(escaped)]
  }
}

function classOf(ranges: readonly [number, number][], accepts: readonly Accept[], negated: boolean): Accept {
  return (code) =>
    (ranges.some(([low, high]) => low <= code && code <= high) || accepts.some((accept) => accept(code))) !==
    negated
}

const isDigitCode: Accept = (code) => code >= 0x30 && code <= 0x39
const isUpperCode: Accept = (code) => code >= 0x41 && code <= 0x5a
const isLowerCode: Accept = (code) => code >= 0x61 && code <= 0x7a
const isAlphaCode: Accept = (code) => isUpperCode(code) || isLowerCode(code)
const isWordCode: Accept = (code) => isAlphaCode(code) || isDigitCode(code) || code === 0x5f
const isSpaceCode: Accept = (code) => code === 0x20 || code === 9 || code === 10 || code === 12 || code === 13
const isGraphCode: Accept = (code) => code > 0x20 && code < 0x7f

/** Go's `\a \f \n \r \t \v`. */
const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }

const ESCAPES: Readonly<Record<string, Accept>> = {
  d: isDigitCode,
  D: (code) => !isDigitCode(code),
  s: isSpaceCode,
  S: (code) => !isSpaceCode(code),
  w: isWordCode,
  W: (code) => !isWordCode(code),
  ...Object.fromEntries(Object.entries(CONTROLS).map(([char, code]) => [char, literal(code)])),
}

const POSIX: Readonly<Record<string, Accept>> = {
  alnum: (code) => isAlphaCode(code) || isDigitCode(code),
  alpha: isAlphaCode,
  ascii: (code) => code < 0x80,
  blank: (code) => code === 0x20 || code === 9,
  cntrl: (code) => code < 0x20 || code === 0x7f,
  digit: isDigitCode,
  graph: isGraphCode,
  lower: isLowerCode,
  print: (code) => code >= 0x20 && code < 0x7f,
  punct: (code) => isGraphCode(code) && !isAlphaCode(code) && !isDigitCode(code),
  space: (code) => isSpaceCode(code) || code === 11,
  upper: isUpperCode,
  word: isWordCode,
  xdigit: (code) => isDigitCode(code) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66),
}

/**
 * Runs the steps over a path with the set of all steps that could come next. State 2i is "before step i", state 2i+1 is
 * "inside the `(.*\/)?` of step i".
 */
function run(steps: readonly AnyStep[], path: string): boolean {
  const size = 2 * steps.length + 1
  let current = new Uint8Array(size)
  let next = new Uint8Array(size)
  enter(steps, current, 0, 0)
  for (let at = 0; at < path.length;) {
    const code = path.codePointAt(at)!
    at += code > 0xffff ? 2 : 1
    let alive = false
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i]!
      if ('dirs' in step) {
        if (current[2 * i + 1] === 0 || code === NEWLINE) continue
        next[2 * i + 1] = 1
        alive = true
        if (code === SLASH) enter(steps, next, i + 1, at)
      } else if ('accept' in step && current[2 * i] !== 0 && step.accept(code)) {
        alive = true
        enter(steps, next, step.repeat ? i : i + 1, at)
      }
    }
    if (!alive) return false
    ;[current, next] = [next, current]
    next.fill(0)
  }
  return current[size - 1] !== 0
}

/** Marks step `i` and every step that can be reached from it without reading anything. */
function enter(steps: readonly AnyStep[], states: Uint8Array, i: number, at: number): void {
  while (states[2 * i] === 0) {
    states[2 * i] = 1
    const step = steps[i]
    if (step === undefined) return
    if ('dirs' in step) states[2 * i + 1] = 1
    else if ('start' in step ? at !== 0 : !step.repeat) return
    i++
  }
}
