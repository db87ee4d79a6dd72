// The patterns of ${v#p} and ${v/p/r}: `*`, `?`, escapes, nothing else. Matched by hand in bounded time; results equal those
// of the regular expressions that BuildKit makes of them, where `.` does not match a line end.
// @see moby/buildkit frontend/dockerfile/shell/lex.go (convertShellPatternToRegex)

/** Why a pattern is refused, with the pattern as BuildKit's message shows it. */
export interface PatternProblem {
  readonly pattern: string
  readonly problem: string
}

/** One character, or any one but a line end. */
const ANY = -1
const NEWLINE = 0x0a
const BACKSLASH = 0x5c

/** A pattern cut at its stars: `segments[0]` starts where the match starts, before each further one stands a star. */
type Segments = readonly (readonly number[])[]

function codePoints(text: string): number[] {
  return Array.from(text, (char) => char.codePointAt(0)!)
}

function fromCodePoints(codes: readonly number[], from = 0, to = codes.length): string {
  let out = ''
  for (let i = from; i < to; i++) out += String.fromCodePoint(codes[i]!)
  return out
}

function compile(pattern: readonly number[]): Segments | PatternProblem {
  const segments: number[][] = [[]]
  for (let i = 0; i < pattern.length; i++) {
    const code = pattern[i]!
    if (code === 0x2a) {
      segments.push([])
    } else if (code === 0x3f) {
      segments.at(-1)!.push(ANY)
    } else if (code === BACKSLASH) {
      const next = pattern[++i]
      // `}` and `/` had to be escaped to get past the end of the operand; the escape is no part of the pattern.
      if (next === undefined || !'*?\\}/'.includes(String.fromCodePoint(next))) {
        const shown = next === undefined ? '\ufffd' : String.fromCodePoint(next)
        return { pattern: fromCodePoints(pattern), problem: `invalid escape '\\${shown}'` }
      }
      segments.at(-1)!.push(next)
    } else {
      segments.at(-1)!.push(code)
    }
  }
  return segments
}

function isProblem(compiled: Segments | PatternProblem): compiled is PatternProblem {
  return 'problem' in compiled
}

function fits(segment: readonly number[], value: readonly number[], at: number): boolean {
  if (at < 0 || at + segment.length > value.length) return false
  for (let i = 0; i < segment.length; i++) {
    const code = value[at + i]
    if (segment[i] === ANY ? code === NEWLINE : code !== segment[i]) return false
  }
  return true
}

function endOfLine(value: readonly number[], from: number): number {
  const end = value.indexOf(NEWLINE, from)
  return end === -1 ? value.length : end
}

/**
 * End of the match that starts exactly at `start`, or -1. A star spans no line end, so segments between two stars lie on one
 * line up to the first segment that itself holds a line end, and that one can stand in one place only.
 */
function matchAt(segments: Segments, value: readonly number[], start: number, greedy: boolean): number {
  if (!fits(segments[0]!, value, start)) return -1
  let at = start + segments[0]!.length
  let next = 1
  while (next < segments.length) {
    let crossing = next
    while (crossing < segments.length && !segments[crossing]!.includes(NEWLINE)) crossing++
    const line = endOfLine(value, at)
    const anchored = segments[crossing]
    const limit = anchored === undefined ? line : line - anchored.indexOf(NEWLINE)
    const end = pack(segments, next, crossing, value, at, limit, greedy)
    if (end === -1) return -1
    if (anchored === undefined) return end
    if (limit < end || !fits(anchored, value, limit)) return -1
    at = limit + anchored.length
    next = crossing + 1
  }
  return at
}

/**
 * Places segments [from, to) into [at, limit): lazily each as early, greedily as late as it can be. @returns the end of the
 * last one, or -1
 */
function pack(
  segments: Segments,
  from: number,
  to: number,
  value: readonly number[],
  at: number,
  limit: number,
  greedy: boolean,
): number {
  if (limit < at) return -1
  if (greedy) {
    let room = limit
    let end = at
    for (let i = to - 1; i >= from; i--) {
      const segment = segments[i]!
      let place = room - segment.length
      while (place >= at && !fits(segment, value, place)) place--
      if (place < at) return -1
      if (i === to - 1) end = place + segment.length
      room = place
    }
    return end
  }
  for (let i = from; i < to; i++) {
    const segment = segments[i]!
    while (at + segment.length <= limit && !fits(segment, value, at)) at++
    if (at + segment.length > limit) return -1
    at += segment.length
  }
  return at
}

/** First match at or after `from`, as [start, end]. */
function search(segments: Segments, value: readonly number[], from: number): [number, number] | undefined {
  const crosses = segments.some((segment) => segment.includes(NEWLINE))
  for (let start = from; start <= value.length; start++) {
    if (!fits(segments[0]!, value, start)) continue
    const end = matchAt(segments, value, start, true)
    if (end !== -1) return [start, end]
    // Without a line end in the pattern a later start on this line has only less room for the rest.
    if (!crosses) start = endOfLine(value, start)
  }
  return undefined
}

/** `${value#pattern}`, greedy `${value##pattern}`. */
export function trimPrefix(pattern: string, value: string, greedy: boolean): string | PatternProblem {
  const codes = codePoints(value)
  const rest = trimCodes(codePoints(pattern), codes, greedy)
  return Array.isArray(rest) ? fromCodePoints(rest) : (rest as PatternProblem)
}

/** `${value%pattern}`, greedy `${value%%pattern}`: both are turned around, as BuildKit does it. */
export function trimSuffix(pattern: string, value: string, greedy: boolean): string | PatternProblem {
  const rest = trimCodes(reversePattern(codePoints(pattern)), codePoints(value).reverse(), greedy)
  return Array.isArray(rest) ? fromCodePoints(rest.reverse()) : (rest as PatternProblem)
}

function trimCodes(pattern: readonly number[], value: number[], greedy: boolean): number[] | PatternProblem {
  const segments = compile(pattern)
  if (isProblem(segments)) return segments
  const end = matchAt(segments, value, 0, greedy)
  return end === -1 ? value : value.slice(end)
}

/** Turns a pattern around and keeps every backslash before the character that it escapes. */
function reversePattern(pattern: readonly number[]): number[] {
  const out: number[] = Array.from({ length: pattern.length })
  const last = pattern.length - 1
  for (let i = 0; i <= last; i++) {
    const to = last - i
    if (pattern[i] === BACKSLASH && i !== last) {
      out[to - 1] = BACKSLASH
      out[to] = pattern[++i]!
    } else {
      out[to] = pattern[i]!
    }
  }
  return out
}

/**
 * `${value/pattern/replacement}`, all: `${value//pattern/replacement}`. Always greedy. With `all`, `$` in the replacement is
 * read as Go's regexp templates do: `$0` is the match, other names are empty, `$$` is `$`.
 *
 * @param lengthMax  results are cut off beyond it; the caller refuses them
 */
export function replacePattern(
  pattern: string,
  value: string,
  replacement: string,
  all: boolean,
  lengthMax: number,
): string | PatternProblem {
  const segments = compile(codePoints(pattern))
  if (isProblem(segments)) return segments
  const codes = codePoints(value)
  if (!all) {
    const match = search(segments, codes, 0)
    if (match === undefined) return value
    return fromCodePoints(codes, 0, match[0]) + replacement + fromCodePoints(codes, match[1])
  }
  let out = ''
  let done = 0
  let from = 0
  while (from <= codes.length && out.length <= lengthMax) {
    const match = search(segments, codes, from)
    if (match === undefined) break
    const [start, end] = match
    out += fromCodePoints(codes, done, start)
    // An empty match right after another match does not count.
    if (end > done || start === 0) out += expandTemplate(replacement, fromCodePoints(codes, start, end))
    done = end
    from = Math.max(from + 1, end)
  }
  return out + fromCodePoints(codes, done)
}

/** @see Go regexp.Expand */
function expandTemplate(template: string, match: string): string {
  if (!template.includes('$')) return template
  const reference = /\$(?:\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/uy
  let out = ''
  let at = 0
  while (at < template.length) {
    if (template[at] !== '$') {
      out += template[at++]
      continue
    }
    reference.lastIndex = at
    const found = reference.exec(template)
    if (found !== null) {
      if ((found[1] ?? found[2]) === '0') out += match
      at += found[0].length
      continue
    }
    out += '$'
    at += template[at + 1] === '$' ? 2 : 1
  }
  return out
}
