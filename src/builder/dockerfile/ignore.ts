// `.dockerignore` files and the patterns of --exclude: reading them, and asking which paths they leave out.
// @see moby/patternmatcher (patternmatcher.go, ignorefile/ignorefile.go)
import { DockerfileError } from '../../errors.js'
import { decodePath, parentOf } from '../../path.js'
import { compileIgnorePattern, type IgnorePattern } from './ignore-pattern.js'
import { matchPath, PatternError } from './match-path.js'
import { SourceText, trim } from './text.js'

/** What was found for a directory, for asking about what lies in it. One flag per pattern. */
export type ParentMatch = Uint8Array

export interface IgnoreMatch {
  readonly matched: boolean
  /** Hand it in with the entries of this directory. */
  readonly state: ParentMatch
}

export interface IgnoreMatcher {
  readonly patterns: readonly IgnorePattern[]
  /** Some pattern begins with `!`. */
  readonly hasExclusions: boolean
  /**
   * Whether a path is left out, as a walk from the root would find. Paths are relative, `a/b`; the last matching pattern
   * wins, and a pattern that matches a parent matches the path.
   */
  matches(path: string): boolean
  /** The same for an entry of a directory whose own match is known; without one, `path` lies at the top. */
  matchesUsingParent(path: string, parent?: ParentMatch): IgnoreMatch
  /** Whether the path or one of its parents matches, each pattern looked at from the root. */
  matchesOrParentMatches(path: string): boolean
  /** Whether a `!` pattern could match something below a directory that is left out. `false`: the walk can turn around. */
  mayReinclude(dir: string): boolean
}

/**
 * The patterns of an ignore file, cleaned: comments and blank lines dropped, blanks at the ends gone, paths cleaned, one leading
 * slash gone.
 */
export function parseIgnoreFile(text: string | Uint8Array, file = '.dockerignore'): string[] {
  const source = new SourceText(file, typeof text === 'string' ? text : decodePath(text))
  const patterns: string[] = []
  for (let number = 1; number <= source.lineCount; number++) {
    const line = source.line(number)
    const pattern = cleanLine(number === 1 && line.charCodeAt(0) === 0xfeff ? line.slice(1) : line)
    if (pattern !== undefined) patterns.push(pattern)
  }
  return patterns
}

function cleanLine(line: string): string | undefined {
  if (line.startsWith('#')) return undefined
  const text = trim(line)
  if (text === '') return undefined
  const exclusion = text.startsWith('!')
  let pattern = exclusion ? trim(text.slice(1)) : text
  if (pattern !== '') pattern = cleanPath(pattern)
  if (pattern.length > 1 && pattern.startsWith('/')) pattern = pattern.slice(1)
  return exclusion ? `!${pattern}` : pattern
}

/** Go's filepath.Clean on Linux. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/')
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (!rooted) parts.push('..')
  }
  const joined = parts.join('/')
  if (rooted) return `/${joined}`
  return joined === '' ? '.' : joined
}

export interface IgnoreOptions {
  /** Name for errors. */
  readonly file?: string | undefined
}

/**
 * @param patterns  as `parseIgnoreFile` gives them, or the values of --exclude
 * @throws DockerfileError IGNORE_PATTERN_INVALID; the range is the line `n` for the n-th pattern
 */
export function createIgnoreMatcher(patterns: readonly string[], options: IgnoreOptions = {}): IgnoreMatcher {
  const compiled: IgnorePattern[] = []
  patterns.forEach((given, index) => {
    const text = trim(given)
    if (text === '') return
    try {
      compiled.push(compileOne(cleanPath(text)))
    } catch (error) {
      if (!(error instanceof PatternError)) throw error
      const line = index + 1
      throw new DockerfileError('IGNORE_PATTERN_INVALID', error.message, {
        file: options.file ?? '.dockerignore',
        range: { start: { line, column: 1 }, end: { line, column: given.length + 1 } },
        line: given,
      })
    }
  })
  return new Matcher(compiled)
}

function compileOne(text: string): IgnorePattern {
  const exclusion = text.startsWith('!')
  const pattern = exclusion ? text.slice(1) : text
  if (pattern === '') throw new IllegalExclusion(text)
  matchPath(pattern, '.')
  return compileIgnorePattern(pattern, exclusion)
}

class IllegalExclusion extends PatternError {
  override readonly message = 'illegal exclusion pattern: "!"'
}

/** Directories whose match is kept at hand; walks ask for many entries of few directories. */
const MEMO_MAX = 1024

class Matcher implements IgnoreMatcher {
  readonly patterns: readonly IgnorePattern[]
  readonly hasExclusions: boolean
  /** Of each `!` pattern, the text before its first special character. */
  readonly #exclusionPrefixes: readonly string[]
  readonly #memo = new Map<string, ParentMatch>()

  constructor(patterns: readonly IgnorePattern[]) {
    this.patterns = patterns
    const exclusions = patterns.filter((pattern) => pattern.exclusion)
    this.hasExclusions = exclusions.length > 0
    this.#exclusionPrefixes = exclusions.map(({ text }) => text.slice(0, /[*?[\]^\\]|$/.exec(text)!.index))
  }

  matches(path: string): boolean {
    const parent = parentOf(path)
    return this.matchesUsingParent(path, parent === '' ? undefined : this.#stateOf(parent)).matched
  }

  #stateOf(dir: string): ParentMatch {
    const known = this.#memo.get(dir)
    if (known !== undefined) return known
    // From the top down, not recursively: a path may be as deep as it likes.
    let state: ParentMatch | undefined
    for (let end = dir.indexOf('/'); ; end = dir.indexOf('/', end + 1)) {
      const ancestor = end === -1 ? dir : dir.slice(0, end)
      state = this.#memo.get(ancestor) ?? this.matchesUsingParent(ancestor, state).state
      if (this.#memo.size >= MEMO_MAX) this.#memo.clear()
      this.#memo.set(ancestor, state)
      if (end === -1) return state
    }
  }

  matchesUsingParent(path: string, parent?: ParentMatch): IgnoreMatch {
    const state = new Uint8Array(this.patterns.length)
    let matched = false
    for (let i = 0; i < this.patterns.length; i++) {
      const pattern = this.patterns[i]!
      // A pattern that could change nothing is not asked, and then counts as not matching for what lies below.
      if (parent?.[i] !== 1 && (pattern.exclusion !== matched || !this.#asks(pattern, path, parent))) continue
      state[i] = 1
      matched = !pattern.exclusion
    }
    return { matched, state }
  }

  #asks(pattern: IgnorePattern, path: string, parent: ParentMatch | undefined): boolean {
    return pattern.match(path) || (parent === undefined && matchesParent(pattern, path))
  }

  matchesOrParentMatches(path: string): boolean {
    const parents = parentsAsWritten(path)
    let matched = false
    for (const pattern of this.patterns) {
      if (pattern.exclusion !== matched) continue
      if (pattern.match(path) || parents.some((parent) => pattern.match(parent))) matched = !pattern.exclusion
    }
    return matched
  }

  mayReinclude(dir: string): boolean {
    const below = `${dir}/`
    return this.#exclusionPrefixes.some((prefix) => prefix.startsWith(below) || below.startsWith(prefix))
  }
}

/** The directories above a path that need not be clean: those of Go's filepath.Dir, `/` with an empty name above it. */
function parentsAsWritten(path: string): string[] {
  const dir = cleanPath(path.slice(0, path.lastIndexOf('/') + 1))
  if (dir === '.') return []
  const parts = dir.split('/')
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'))
}

function matchesParent(pattern: IgnorePattern, path: string): boolean {
  for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
    if (end > 0 && pattern.match(path.slice(0, end))) return true
  }
  return false
}
