// Words: variables, quotes, escapes. @see moby/buildkit frontend/dockerfile/shell/lex.go
import { describe, expect, test } from 'vitest'
import {
  expandHeredoc,
  expandInstruction,
  expandWord,
  expandWords,
  parseInstruction,
  type Escape,
  type Instruction,
} from '../../src/builder/dockerfile/index.js'
import { DockerfileError } from '../../src/errors.js'
import { cpuMs } from '../cost.js'
import { decodeCell, readData } from './data.js'

interface Row {
  readonly word: string
  readonly want: string
  readonly escape: Escape
}

function readTable(): { env: Map<string, string>; rows: Row[] } {
  const env = new Map<string, string>()
  const rows: Row[] = []
  let escape: Escape = '\\'
  for (const line of readData('expansions.txt').split('\n')) {
    if (line === '' || line.startsWith('# ')) continue
    if (line.startsWith('@env ')) {
      const at = line.indexOf('=')
      env.set(line.slice(5, at), decodeCell(line.slice(at + 1)))
    } else if (line.startsWith('@escape ')) {
      escape = line.slice(8) === '`' ? '`' : '\\'
    } else {
      const [word, want] = line.split(/\t\t+/)
      rows.push({ word: decodeCell(word!), want: want!, escape })
    }
  }
  return { env, rows }
}

const { env, rows } = readTable()

/** The result in the table's form. */
function outcome(word: string, escape: Escape): string {
  try {
    return expandWord(word, env, { escape }).value.replaceAll('\n', '␤').replaceAll('\t', '␉') || '␀'
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    expect(error.code).toBe('EXPANSION_INVALID')
    return `! ${String(error.data.reason)}`
  }
}

describe('table', () => {
  test('has at least 250 rows', () => expect(rows.length).toBeGreaterThanOrEqual(250))
  test.each(rows)('$escape $word', ({ word, want, escape }) => expect(outcome(word, escape)).toBe(want))
})

describe('which variables were looked up', () => {
  test.each([
    { word: 'x', used: [], unset: [] },
    { word: '$A$B$C', used: ['A'], unset: ['B', 'C'] },
    { word: '${A:-$B}', used: ['A'], unset: ['B'] },
    { word: '${B:-$A}', used: ['A'], unset: ['B'] },
    { word: '${B:+$C}', used: [], unset: ['C', 'B'] },
    { word: '${A#$C}', used: ['A'], unset: ['C'] },
    { word: '${A/$B/$C}', used: ['A'], unset: ['B', 'C'] },
    { word: '${E}', used: ['E'], unset: [] },
    { word: "'$A'", used: [], unset: [] },
    { word: '\\$A', used: [], unset: [] },
    { word: '$1 $@', used: [], unset: ['1', '@'] },
  ])('$word', ({ word, used, unset }) => {
    const result = expandWord(word, new Map([['A', 'a'], ['E', '']])) // prettier-ignore
    expect([...result.used]).toEqual(used)
    expect([...result.unset]).toEqual(unset)
  })
})

// Splitting comes after expansion; what is quoted, and what a quoted variable holds, does not split.
describe('expandWords', () => {
  const lists = new Map([
    ['L', '80 81  82'],
    ['N', ''],
  ])
  test.each([
    { text: '', want: [] },
    { text: 'a b', want: ['a', 'b'] },
    { text: '  a\tb  ', want: ['a', 'b'] },
    { text: '$L', want: ['80', '81', '82'] },
    { text: 'x$L', want: ['x80', '81', '82'] },
    { text: '"$L"', want: ['80 81  82'] },
    { text: "'a b' c", want: ['a b', 'c'] },
    { text: 'a\\ b c', want: ['a b', 'c'] },
    { text: '$N', want: [] },
    { text: "a '' b", want: ['a', 'b'] },
    { text: 'a"b c"d e', want: ['ab cd', 'e'] },
    { text: '${L}/tcp', want: ['80', '81', '82/tcp'] },
    { text: 'cat <<EOF', want: ['cat', '<<EOF'] },
    { text: 'cat <<  EOF x', want: ['cat', '<<  EOF', 'x'] },
    { text: 'a < b', want: ['a', '<', 'b'] },
    { text: 'a\u00a0b\u2003c', want: ['a', 'b', 'c'] },
  ])('$text', ({ text, want }) => expect(expandWords(text, lists).values).toEqual(want))
})

// Bodies of COPY and ADD: quotes are ordinary, the escape is a backslash whatever the directive says.
describe('expandHeredoc', () => {
  test.each([
    { text: 'say "$V" \'$V\'\n', want: 'say "v" \'v\'\n' },
    { text: '\\$V \\\\ \\n\n', want: '$V \\ n\n' },
    { text: '`$V`', want: '`v`' },
    { text: '${U:-"d"}', want: '"d"' },
    { text: "it's", want: "it's" },
    { text: '$U', want: '' },
  ])('$text', ({ text, want }) => expect(expandHeredoc(text, new Map([['V', 'v']])).value).toBe(want))
})

describe('keeping things as they are written', () => {
  const vars = new Map([['V', 'v']])
  test.each([
    { word: '"$V" $U', options: { keepQuotes: true }, want: '"v" ' },
    { word: "'$V'", options: { keepQuotes: true }, want: "'$V'" },
    { word: '\\a\\$V', options: { keepEscapes: true }, want: '\\a\\$V' },
    { word: '$U ${U} ${U:-x} ${U/a/b} $V', options: { keepUnset: true }, want: '$U ${U} ${U:-x} ${U/a/b} v' },
    { word: '"\\$V"', options: { keepQuotes: true, keepEscapes: true }, want: '"\\$V"' },
  ])('$word', ({ word, options, want }) => expect(expandWord(word, vars, options).value).toBe(want))
})

// @see moby/buildkit frontend/dockerfile/instructions/commands.go (Expand)
describe('which words of an instruction expand', () => {
  const vars = new Map([
    ['V', 'v w'],
    ['N', ''],
  ])
  const expand = (text: string): Instruction =>
    expandInstruction(parseInstruction(text) as Instruction, vars, { escape: '\\' }).instruction

  test.each([
    {
      text: 'ENV $V=$V b="$V"',
      want: {
        pairs: [
          { key: 'v w', value: 'v w' },
          { key: 'b', value: 'v w' },
        ],
      },
    },
    { text: 'LABEL a=$V', want: { pairs: [{ key: 'a', value: 'v w' }] } },
    { text: 'WORKDIR /$V', want: { path: '/v w' } },
    { text: 'USER $V:$N', want: { user: 'v w:' } },
    { text: 'VOLUME $V /x', want: { volumes: ['v w', '/x'] } },
    { text: 'VOLUME ["$V", "a b"]', want: { volumes: ['v w', 'a b'] } },
    { text: 'STOPSIGNAL $V', want: { signal: 'v w' } },
    { text: 'EXPOSE $V 80', want: { ports: ['v', 'w', '80'] } },
    {
      text: 'COPY --chown=$V --chmod=$V $V /$V',
      want: { chown: 'v w', chmod: 'v w', sources: ['v w'], dest: '/v w' },
    },
    { text: 'COPY --chown=$N a b', want: { chown: undefined } },
    { text: 'COPY --from=$V --exclude=$V a b', want: { from: '$V', exclude: ['$V'] } },
    { text: 'ADD --checksum=$V $V b', want: { checksum: 'v w', sources: ['v w'] } },
    { text: 'COPY <<A <<"B" /\n$V\nA\n$V\nB', want: { inline: [{ content: 'v w\n' }, { content: '$V\n' }] } },
    {
      text: 'RUN --mount=target=$V echo $V',
      want: { mounts: ['target=$V'], command: { args: ['echo $V'] } },
    },
    { text: 'CMD $V', want: { command: { args: ['$V'] } } },
    { text: 'ENTRYPOINT ["$V"]', want: { command: { args: ['$V'] } } },
    { text: 'ARG A=$V', want: { args: [{ name: 'A', value: '$V' }] } },
    { text: 'HEALTHCHECK CMD $V', want: { test: ['CMD-SHELL', '$V'] } },
    { text: 'SHELL ["$V"]', want: { shell: ['$V'] } },
    { text: 'MAINTAINER $V', want: { maintainer: '$V' } },
    { text: 'ONBUILD RUN $V', want: { expression: 'RUN $V' } },
  ])('$text', ({ text, want }) => expect(expand(text)).toMatchObject(want))

  test('one instruction sees the variables as they were before it', () => {
    expect(expand('ENV V=new a=$V')).toMatchObject({ pairs: [{ value: 'new' }, { value: 'v w' }] })
  })

  test('every word is told with what it looked up', () => {
    const seen: string[][] = []
    expandInstruction(parseInstruction('COPY $X $X $V /') as Instruction, vars, {
      escape: '\\',
      onWord: ({ unset }) => seen.push([...unset]),
    })
    expect(seen).toEqual([['X'], ['X'], [], []])
  })
})

describe('errors', () => {
  test('point at the place that is given, else into the word', () => {
    const at = { file: 'D', range: { start: { line: 3, column: 2 }, end: { line: 3, column: 5 } }, line: 'x' }
    expect(() => expandWord('${', new Map(), { at })).toThrow(expect.objectContaining({ location: at }))
    expect(() => expandWord('a${', new Map())).toThrow(
      expect.objectContaining({
        message: 'failed to process "a${": syntax error: missing \'}\'',
        location: {
          file: '<word>',
          line: 'a${',
          range: { start: { line: 1, column: 1 }, end: { line: 1, column: 4 } },
        },
      }),
    )
  })

  test('nesting and growth are bounded', () => {
    const deep = '${A:-'.repeat(10_000) + '}'.repeat(10_000)
    expect(() => expandWord(deep, new Map())).toThrow(/nested too deeply/)
    const big = new Map([['A', 'x'.repeat(1 << 20)]])
    expect(() => expandWord('$A'.repeat(17), big)).toThrow(/longer than 16 MiB/)
    const long = new Map([['A', 'a'.repeat(1 << 16)]])
    expect(() => expandWord(`\${A//a/${'b'.repeat(1 << 12)}}`, long)).toThrow(/longer than 16 MiB/)
  })

  test('patterns cost no more than text times pattern', () => {
    const value = new Map([['A', `${'a'.repeat(30_000)}c`]])
    const work = () => {
      expandWord(`\${A##${'*a'.repeat(400)}*b}`, value)
      expandWord(`\${A//${'a*'.repeat(400)}b/x}`, value)
      expandWord(`\${A%%b*${'a*'.repeat(400)}}`, value)
    }
    expect(cpuMs(work)).toBeLessThan(10_000)
  })
})
