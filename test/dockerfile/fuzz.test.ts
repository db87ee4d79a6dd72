// Damaged and invented files: every one parses or gives a DockerfileError with a range inside the file, soon, and nothing
// else. What parses is expanded and checked too. The pattern matchers get the inputs that ruin backtracking ones.
import * as fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  createIgnoreMatcher,
  type Dockerfile,
  expandInstruction,
  expandWord,
  expandWords,
  formatChecks,
  formatChecksJson,
  lintDockerfile,
  locationOf,
  matchPath,
  parseDockerfile,
  parseIgnoreFile,
  parseInstruction,
  PatternError,
} from '../../src/builder/dockerfile/index.js'
import { DockerfileError, LamellaError, type SourceRange } from '../../src/errors.js'
import { runs } from '../chance.js'
import { cpuMs } from '../cost.js'

const RUNS = runs(10_000)
/** CPU time, a hundred times and more what any of it takes. */
const LIMIT_MS = 5000

const data = new URL('data/', import.meta.url)
const seeds = [
  ...readdirSync(new URL('parse', data)).map((name) => `parse/${name}/Dockerfile`),
  ...readdirSync(new URL('must-fail', data)).map((name) => `must-fail/${name}`),
].map((name) => new Uint8Array(readFileSync(new URL(name, data))))

/** Pieces that mean something somewhere. */
const WORDS =
  'FROM RUN COPY ADD ENV ARG LABEL ONBUILD HEALTHCHECK CMD EXPOSE SHELL VOLUME USER WORKDIR STOPSIGNAL AS NONE ' +
  "--from= --mount= type=cache, --link --exclude= -- --interval=1s --platform= <<E <<-E <<'E' E # check= " +
  '${ } $a :- :? %% ## // / * [ ] { " \' \\ ` , = ; : @ 0 -1 99999999999999999999 a b/c ..'
const BLANKS = [
  '\nE\n',
  '\\\n',
  '\n',
  '\r\n',
  '\t',
  ' ',
  '# check=',
  '# escape=`\n',
  '\u0000',
  '\ufeff',
  '\u00a0',
]
const STRANGE = ['\u0130', '\u{1f600}', '\udcff']
const TOKENS = [...WORDS.split(' '), ...BLANKS, ...STRANGE]

const inventedFile = fc
  .array(fc.constantFrom(...TOKENS), { maxLength: 60 })
  .map((parts) => `FROM a\n${parts.join('')}`)

interface Edit {
  readonly at: number
  readonly drop: number
  readonly insert: string
}

const edits = fc.array(
  fc.record({
    at: fc.nat(),
    drop: fc.nat({ max: 8 }),
    insert: fc.oneof(fc.constantFrom(...TOKENS), fc.string()),
  }),
  { minLength: 1, maxLength: 4 },
)

function applyEdits(seed: Uint8Array, list: readonly Edit[]): Uint8Array {
  let bytes = Buffer.from(seed)
  for (const { at, drop, insert } of list) {
    const from = at % (bytes.length + 1)
    bytes = Buffer.concat([bytes.subarray(0, from), Buffer.from(insert), bytes.subarray(from + drop)])
  }
  return bytes
}

/** Lines as an editor counts them. */
function checkRange({ start, end }: SourceRange, lines: number): void {
  expect(start.line).toBeGreaterThanOrEqual(1)
  expect(start.column).toBeGreaterThanOrEqual(1)
  expect(end.line).toBeLessThanOrEqual(lines)
  expect(end.line > start.line || (end.line === start.line && end.column >= start.column)).toBe(true)
}

function parseOrRefuse(bytes: Uint8Array): Dockerfile | undefined {
  const lines = Buffer.from(bytes).toString('latin1').split('\n').length
  const before = process.cpuUsage()
  try {
    const dockerfile = parseDockerfile(bytes)
    for (const { from, instructions } of dockerfile.stages) {
      for (const { range } of [from, ...instructions]) checkRange(range, lines)
    }
    return dockerfile
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    checkRange(error.location.range, lines)
    return undefined
  } finally {
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(LIMIT_MS)
  }
}

const ENV = new Map([
  ['a', 'x/y:z'],
  ['PATH', '/bin:/usr/bin'],
])

function expandAll(dockerfile: Dockerfile): void {
  for (const { instructions } of dockerfile.stages) {
    for (const instruction of instructions) {
      const at = locationOf(dockerfile, instruction)
      refuses(() => expandInstruction(instruction, ENV, { escape: dockerfile.escape, at }))
      if (instruction.kind === 'onbuild') refuses(() => parseInstruction(instruction.expression, { at }))
    }
  }
}

/** Runs it; a DockerfileError is as good as a value. */
function refuses(action: () => unknown): void {
  try {
    action()
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
  }
}

function exercise(bytes: Uint8Array): void {
  const dockerfile = parseOrRefuse(bytes)
  if (dockerfile !== undefined) expandAll(dockerfile)
  const report = lintDockerfile(bytes, { ignore: createIgnoreMatcher(['*.md']) })
  expect(report.error !== undefined || dockerfile !== undefined).toBe(true)
  expect(formatChecks(report)).not.toBe('')
  JSON.parse(formatChecksJson(report))
}

test(`${RUNS} damaged files`, () => {
  const damaged = fc.tuple(fc.constantFrom(...seeds), edits)
  fc.assert(
    fc.property(damaged, ([seed, list]) => exercise(applyEdits(seed, list))),
    { numRuns: RUNS },
  )
})

test('invented files', () => {
  fc.assert(
    fc.property(inventedFile, (text) => exercise(new TextEncoder().encode(text))),
    { numRuns: runs(5_000) },
  )
})

test('files of arbitrary bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), exercise), { numRuns: runs(2_000) })
})

test('words: a value or an error; the same twice; no variables, no change of them', () => {
  const word = fc.array(fc.constantFrom(...TOKENS), { maxLength: 20 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(word, fc.constantFrom('\\' as const, '`' as const), (text, escape) => {
      refuses(() => {
        const once = expandWord(text, ENV, { escape })
        expect(expandWord(text, ENV, { escape })).toEqual(once)
        for (const name of once.used) expect(ENV.has(name)).toBe(true)
        for (const name of once.unset) expect(ENV.has(name)).toBe(false)
        if (!text.includes('$')) expect([...once.used, ...once.unset]).toEqual([])
      })
      refuses(() => expandWords(text, ENV, { escape }))
    }),
    { numRuns: RUNS },
  )
})

test('a quoted word is its content', () => {
  const plain = fc.string({ unit: fc.constantFrom(...'ab \\$"{}`/*é\t') })
  fc.assert(
    fc.property(plain, (text) => {
      expect(expandWord(`'${text}'`, ENV, { escape: '\\' }).value).toBe(text)
      const escaped = text.replace(/[\\"$]/g, '\\$&')
      expect(expandWord(`"${escaped}"`, ENV, { escape: '\\' }).value).toBe(text)
    }),
  )
})

test('ignore files: a matcher or a typed error', () => {
  const text = fc.array(fc.constantFrom(...TOKENS, '**', '**/', '!', '?', '^', '-'), { maxLength: 20 })
  const path = fc.array(fc.constantFrom('a', 'b', 'c.md', '..', '.', '*'), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(text, path, (parts, components) => {
      try {
        const matcher = createIgnoreMatcher(parseIgnoreFile(parts.join('')))
        matcher.matchesOrParentMatches(components.join('/'))
        matcher.mayReinclude(components.join('/'))
      } catch (error) {
        if (!(error instanceof PatternError) && !(error instanceof LamellaError)) throw error
      }
    }),
    { numRuns: runs(5_000) },
  )
})

// What takes exponential time in a matcher that backtracks over `*`.
test.each([
  {
    name: 'expansion #',
    run: () => expandWord(`\${v#${'*a'.repeat(500)}b}`, new Map([['v', 'a'.repeat(20_000)]])),
  },
  {
    name: 'expansion %%',
    run: () => expandWord(`\${v%%${'a*'.repeat(500)}b}`, new Map([['v', 'a'.repeat(20_000)]])),
  },
  {
    name: 'expansion //',
    run: () => expandWord(`\${v//${'a*'.repeat(50)}b/c}`, new Map([['v', 'a'.repeat(5000)]])),
  },
  { name: 'ignore', run: () => createIgnoreMatcher([`${'**/a*'.repeat(60)}b`]).matches('a/'.repeat(300)) },
  { name: 'match', run: () => matchPath(`${'*a'.repeat(500)}b`, 'a'.repeat(20_000)) },
  { name: 'quotes', run: () => parseDockerfile(`FROM a\nENV ${'a="\\"" '.repeat(9000)}\n`) },
  { name: 'heredoc names', run: () => parseDockerfile(`FROM a\nRUN ${'<<"a '.repeat(10_000)}\n`) },
  { name: 'blanks', run: () => parseDockerfile(`FROM a\nRUN a${' '.repeat(60_000)}b\n`) },
  { name: 'continuations', run: () => parseDockerfile(`FROM a\nRUN a ${'\\\n'.repeat(50_000)}b\n`) },
  { name: 'flags', run: () => parseDockerfile(`FROM a\nCOPY ${'--exclude=a '.repeat(5000)}b c\n`) },
  { name: 'nesting', run: () => expandWord('${a:-'.repeat(100_000), new Map()) },
  { name: 'growth', run: () => expandWord('${a}'.repeat(10_000), new Map([['a', 'a'.repeat(100_000)]])) },
  {
    name: 'suggestions',
    run: () => lintDockerfile(`FROM a\nARG ${'b'.repeat(60_000)}\nENV c=$${'d'.repeat(60_000)}`),
  },
])('$name does not hang', ({ run }) => {
  expect(cpuMs(() => refuses(run))).toBeLessThan(LIMIT_MS)
})
