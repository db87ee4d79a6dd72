// `.dockerignore` and --exclude. @see moby/patternmatcher
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createIgnoreMatcher, matchPath, parseIgnoreFile } from '../../src/builder/dockerfile/index.js'
import { DockerfileError } from '../../src/errors.js'
import { runs } from '../chance.js'
import { cpuMs } from '../cost.js'
import { readRows } from './data.js'

const rows = readRows('ignore.txt').map((line) => {
  const [patterns, path, want] = line.split('\t')
  return { patterns: patterns!, path: path!, out: want === 'out' }
})

describe('table', () => {
  test('has at least 70 rows', () => expect(rows.length).toBeGreaterThanOrEqual(70))
  test.each(rows)('$patterns | $path', ({ patterns, path, out }) => {
    const matcher = createIgnoreMatcher(patterns.split(','))
    expect(matcher.matches(path)).toBe(out)
    expect(walk(matcher, path)).toBe(out)
  })
})

/** Asks for every parent first, as a walk of a folder does. */
function walk(matcher: ReturnType<typeof createIgnoreMatcher>, path: string): boolean {
  let state: Uint8Array | undefined
  let matched = false
  const parts = path.split('/')
  for (let i = 1; i <= parts.length; i++) {
    ;({ matched, state } = matcher.matchesUsingParent(parts.slice(0, i).join('/'), state))
  }
  return matched
}

describe('parseIgnoreFile', () => {
  test.each([
    { text: '', want: [] },
    { text: 'a\nb', want: ['a', 'b'] },
    { text: 'a\r\nb\r\n', want: ['a', 'b'] },
    { text: '\ufeffa\n', want: ['a'] },
    { text: 'a\n\ufeffb\n', want: ['a', '\ufeffb'] },
    { text: '# comment\n #not\n#\n', want: ['#not'] },
    { text: '  a  \n\t\n', want: ['a'] },
    { text: '/a\n//b\n/', want: ['a', 'b', '/'] },
    { text: 'a/\n./b\nc//d\ne/../f\n../g', want: ['a', 'b', 'c/d', 'f', '../g'] },
    { text: '!a\n! b\n!/c/\n!', want: ['!a', '!b', '!c', '!'] },
    { text: '\\#a\n\\!b', want: ['\\#a', '\\!b'] },
    { text: '.', want: ['.'] },
  ])('$text', ({ text, want }) => {
    expect(parseIgnoreFile(text)).toEqual(want)
    expect(parseIgnoreFile(new TextEncoder().encode(text))).toEqual(want)
  })
})

test('a lone ! and patterns that cannot be read are errors with a place', () => {
  const fail = (patterns: string[]): DockerfileError => {
    try {
      createIgnoreMatcher(patterns, { file: 'x.dockerignore' })
    } catch (error) {
      if (error instanceof DockerfileError) return error
    }
    throw new Error('did not fail')
  }
  expect(fail(['a', '!'])).toMatchObject({
    code: 'IGNORE_PATTERN_INVALID',
    message: 'illegal exclusion pattern: "!"',
    location: {
      file: 'x.dockerignore',
      range: { start: { line: 2, column: 1 }, end: { line: 2, column: 2 } },
      line: '!',
    },
  })
  for (const pattern of ['[', 'a[', '[a-', '[]', '\\', 'a\\', '![', '[z-a]x[', '[a-]']) {
    expect(fail([pattern])).toMatchObject({
      code: 'IGNORE_PATTERN_INVALID',
      message: 'syntax error in pattern',
    })
  }
})

test('a walk from the root and a look at the whole path can differ, as they do in BuildKit', () => {
  const matcher = createIgnoreMatcher(['*/x', '!a'])
  expect(matcher.matches('a/x')).toBe(true)
  expect(matcher.matchesOrParentMatches('a/x')).toBe(false)
})

describe('mayReinclude', () => {
  test.each([
    { patterns: ['a'], dir: 'a', want: false },
    { patterns: ['a', '!b'], dir: 'a', want: false },
    { patterns: ['a', '!a/b'], dir: 'a', want: true },
    { patterns: ['a', '!a/b/c'], dir: 'a/b', want: true },
    { patterns: ['a', '!a/b/c'], dir: 'a/d', want: false },
    { patterns: ['a', '!a/*.md'], dir: 'a', want: true },
    { patterns: ['a', '!**/x'], dir: 'a/b', want: true },
    { patterns: ['a', '!a/b'], dir: 'ab', want: false },
  ])('$patterns below $dir', ({ patterns, dir, want }) => {
    expect(createIgnoreMatcher(patterns).mayReinclude(dir)).toBe(want)
  })

  const name = fc.constantFrom('a', 'b', 'c', 'ab')
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
  const pattern = fc
    .tuple(
      fc.boolean(),
      fc.array(fc.oneof(name, fc.constantFrom('*', '**', 'a*', '?')), { minLength: 1, maxLength: 3 }),
    )
    .map(([exclusion, parts]) => (exclusion ? '!' : '') + parts.join('/'))

  test('a walk that turns around where it may finds the same files', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, (patterns, file) => {
        const matcher = createIgnoreMatcher(patterns)
        const parts = file.split('/')
        for (let i = 1; i < parts.length; i++) {
          const dir = parts.slice(0, i).join('/')
          if (matcher.matches(dir) && !matcher.mayReinclude(dir)) expect(matcher.matches(file)).toBe(true)
        }
      }),
      { numRuns: runs(2_000) },
    )
  })
})

describe('matchPath is filepath.Match', () => {
  test.each(
    readRows('match.txt').map((line) => {
      const [pattern, name, want] = line.split('\t')
      return { pattern: pattern!, name: name!, want: want! }
    }),
  )('$pattern | $name', ({ pattern, name, want }) => {
    if (want === 'bad') expect(() => matchPath(pattern, name)).toThrow('syntax error in pattern')
    else expect(matchPath(pattern, name)).toBe(want === 'yes')
  })
})

test('no pattern makes a match slow', () => {
  const path = `${'a'.repeat(250)}/${'a'.repeat(250)}`
  for (const pattern of [
    `${'*a'.repeat(60)}*b`,
    `${'**/'.repeat(60)}b`,
    `${'**a'.repeat(60)}b`,
    `${'?*'.repeat(60)}b`,
  ]) {
    const match = () => expect(createIgnoreMatcher([pattern]).matches(path)).toBe(false)
    expect(cpuMs(match)).toBeLessThan(2_000)
  }
})
