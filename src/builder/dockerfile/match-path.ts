// Go's filepath.Match: `*` and `?` within one path component, `[a-z]`, `[^a]`, backslash. COPY's wildcards are this.
// @see Go path/filepath/match.go

/** What Go says of a pattern that it cannot read. */
export const BAD_PATTERN = 'syntax error in pattern'

/** A pattern that cannot be read. Callers know the file and turn it into an error with a place. */
export class PatternError extends Error {
  readonly pattern: string
  constructor(pattern: string) {
    super(BAD_PATTERN)
    this.pattern = pattern
  }
}

interface Chunk {
  readonly star: boolean
  readonly text: string
  readonly rest: string
}

/** Whether the whole name matches. @throws PatternError when a fault is met before the name is known not to match */
export function matchPath(pattern: string, name: string): boolean {
  let rest = pattern
  let at = 0
  while (rest !== '') {
    const chunk = nextChunk(rest)
    rest = chunk.rest
    if (chunk.star && chunk.text === '') return !name.includes('/', at)
    const end = matchChunk(pattern, chunk.text, name, at)
    if (end !== -1 && (end === name.length || rest !== '')) {
      at = end
      continue
    }
    const later = chunk.star ? matchLater(pattern, chunk.text, name, at, rest === '') : -1
    if (later === -1) return false
    at = later
  }
  return at === name.length
}

/** Tries a chunk behind a star at every later place up to the next slash. @returns where it ends, or -1 */
function matchLater(pattern: string, chunk: string, name: string, from: number, last: boolean): number {
  for (let at = from; at < name.length && name[at] !== '/'; at++) {
    const end = matchChunk(pattern, chunk, name, at + 1)
    if (end !== -1 && (!last || end === name.length)) return end
  }
  return -1
}

/** The text up to the next star that stands in no class. */
function nextChunk(pattern: string): Chunk {
  let start = 0
  while (pattern[start] === '*') start++
  let inClass = false
  let at = start
  for (; at < pattern.length; at++) {
    const char = pattern[at]
    if (char === '\\') at++
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '*' && !inClass) break
  }
  const end = Math.min(at, pattern.length)
  return { star: start > 0, text: pattern.slice(start, end), rest: pattern.slice(end) }
}

/** End of the match of a star-free chunk at `from`, or -1. Reads the chunk to its end in any case, for its faults. */
function matchChunk(pattern: string, chunk: string, name: string, from: number): number {
  let at = from
  let failed = false
  for (let i = 0; i < chunk.length;) {
    if (at >= name.length) failed = true
    const char = chunk[i]!
    if (char === '[') {
      const code = failed ? -1 : name.codePointAt(at)!
      const set = readClass(pattern, chunk, i + 1, code)
      i = set.end
      if (!failed) at += code > 0xffff ? 2 : 1
      if (!set.matched) failed = true
    } else if (char === '?') {
      i++
      if (failed) continue
      if (name[at] === '/') failed = true
      at += name.codePointAt(at)! > 0xffff ? 2 : 1
    } else {
      if (char === '\\' && ++i === chunk.length) throw new PatternError(pattern)
      if (!failed && chunk[i] !== name[at]) failed = true
      at++
      i++
    }
  }
  return failed ? -1 : at
}

function readClass(
  pattern: string,
  chunk: string,
  from: number,
  code: number,
): { end: number; matched: boolean } {
  let at = from
  const negated = chunk[at] === '^'
  if (negated) at++
  let matched = false
  for (let ranges = 0; ; ranges++) {
    if (chunk[at] === ']' && ranges > 0) return { end: at + 1, matched: matched !== negated }
    const low = readClassChar(pattern, chunk, at)
    let high = low
    if (chunk[low.end] === '-') high = readClassChar(pattern, chunk, low.end + 1)
    if (low.code <= code && code <= high.code) matched = true
    at = high.end
  }
}

function readClassChar(pattern: string, chunk: string, from: number): { code: number; end: number } {
  let at = from
  if (at >= chunk.length || chunk[at] === '-' || chunk[at] === ']') throw new PatternError(pattern)
  if (chunk[at] === '\\') at++
  const code = chunk.codePointAt(at)
  if (code === undefined) throw new PatternError(pattern)
  const end = at + (code > 0xffff ? 2 : 1)
  if (end >= chunk.length) throw new PatternError(pattern)
  return { code, end }
}
