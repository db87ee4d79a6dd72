// Whole files: a directory of cases with what they parse to, and one of files that must fail, with the place of the fault.
// `RECORD=1` writes the expectations anew; look at the difference before you keep it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  detectSyntax,
  locationOf,
  parseDockerfile,
  parseInstruction,
  type AnyInstruction,
  type Dockerfile,
} from '../../src/builder/dockerfile/index.js'
import { DockerfileError, type SourceRange } from '../../src/errors.js'
import { decodePath } from '../../src/path.js'
import { readData } from './data.js'

const folder = new URL('data/', import.meta.url)
const record = process.env.RECORD === '1'

function place({ start, end }: SourceRange): string {
  return `${start.line}:${start.column}-${end.line}:${end.column}`
}

/** One instruction on one line: keyword, place, what it says; empty lists and absent values left out. */
function dumpInstruction(instruction: AnyInstruction): string {
  const { kind, keyword, text, range, flags, ...rest } = instruction
  const shown = Object.entries(rest).filter(([, value]) => !isNothing(value))
  const flagText = flags.map((flag) => ` ${flag.name}@${place(flag.range)}`).join('')
  const said = JSON.stringify(Object.fromEntries(shown))
  return `${keyword} ${kind} ${place(range)}${flagText} ${JSON.stringify(text)} ${said}`
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === false || (Array.isArray(value) && value.length === 0)
}

function dump(dockerfile: Dockerfile): string {
  const lines = [`escape ${dockerfile.escape}`]
  for (const { name, value, range } of dockerfile.directives) {
    lines.push(`directive ${place(range)} ${name}=${value}`)
  }
  for (const { message, range } of dockerfile.warnings) lines.push(`warning ${place(range)} ${message}`)
  lines.push(...dockerfile.globalArgs.map(dumpInstruction))
  for (const { index, name, from, instructions } of dockerfile.stages) {
    lines.push(`stage ${index} ${name ?? ''}`.trimEnd())
    lines.push(...[from, ...instructions].map((each) => `  ${dumpInstruction(each)}`))
  }
  return `${lines.join('\n')}\n`
}

describe('files that parse', () => {
  test.each(readdirSync(new URL('parse', folder)))('%s', (name) => {
    const expected = new URL(`parse/${name}/expected`, folder)
    const got = dump(parseDockerfile(readFileSync(new URL(`parse/${name}/Dockerfile`, folder))))
    if (record) writeFileSync(expected, got)
    expect(got).toBe(readFileSync(expected, 'utf8'))
  })
})

describe('files that must fail', () => {
  const names = readdirSync(new URL('must-fail', folder)).sort()
  const got = new Map(
    names.map((name) => [name, failure(readFileSync(new URL(`must-fail/${name}`, folder)))]),
  )

  function failure(bytes: Uint8Array): string {
    try {
      parseDockerfile(bytes, { file: 'F' })
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      const { file, range, line } = error.location
      expect(file).toBe('F')
      expect(line).toBe((decodePath(bytes).split('\n')[range.start.line - 1] ?? '').replace(/\r+$/, ''))
      return `${error.code}\t${place(range)}\t${error.message}`
    }
    return 'PARSED'
  }

  if (record) {
    const rows = names.map((name) => `${name}\t${got.get(name)}`)
    writeFileSync(new URL('errors.txt', folder), `${rows.join('\n')}\n`)
  }
  const expected = new Map(
    readData('errors.txt')
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)]),
  )

  test('every file has its row', () => expect([...expected.keys()].sort()).toEqual(names))
  test.each(names)('%s', (name) => {
    expect(got.get(name)).not.toBe('PARSED')
    expect(got.get(name)?.toWellFormed()).toBe(expected.get(name))
  })
})

describe('parseInstruction', () => {
  test('reads ONBUILD triggers, here-documents included', () => {
    const { stages } = parseDockerfile('FROM a\nONBUILD COPY <<A /x\nbody\nA\n')
    const [onbuild] = stages[0]!.instructions
    expect(onbuild).toMatchObject({ kind: 'onbuild', expression: 'COPY <<A /x\nbody\nA' })
    const trigger = parseInstruction((onbuild as { expression: string }).expression)
    expect(trigger).toMatchObject({ kind: 'copy', inline: [{ name: 'A', content: 'body\n' }], dest: '/x' })
  })

  test('errors point where they are told to', () => {
    const dockerfile = parseDockerfile('FROM scratch\nFROM  a\n')
    const at = locationOf(dockerfile, dockerfile.stages[1]!.from)
    expect(at).toEqual({
      file: 'Dockerfile',
      line: 'FROM  a',
      range: { start: { line: 2, column: 1 }, end: { line: 2, column: 8 } },
    })
    for (const text of ['RUM x', 'COPY a', 'RUN <<E', 'RUN a\nRUN b', '', 'CMD [1]', 'COPY --x a b']) {
      expect(() => parseInstruction(text, { at })).toThrow(expect.objectContaining({ location: at }))
    }
  })
})

test('strings and bytes parse alike; bytes that are not UTF-8 survive', () => {
  const text = '\ufeffFROM a\nRUN echo é\n'
  expect(parseDockerfile(new TextEncoder().encode(text))).toEqual(parseDockerfile(text))
  const bytes = Uint8Array.from([
    ...new TextEncoder().encode('FROM a\nCOPY <<E /x\n'),
    0xff,
    0x0a,
    0x45,
    0x0a,
  ])
  expect(parseDockerfile(bytes).stages[0]!.instructions[0]).toMatchObject({
    inline: [{ content: '\udcff\n' }],
  })
})

// bufio.Scanner's limit: 65,535 bytes without the line end.
test.each([
  { length: 65_531, text: 'x', ok: true },
  { length: 65_532, text: 'x', ok: false },
  { length: 32_765, text: 'é', ok: true },
  { length: 32_766, text: 'é', ok: false },
])('a line of RUN and $length times $text', ({ length, text, ok }) => {
  const file = `FROM a\nRUN ${text.repeat(length)}\n`
  if (ok) expect(parseDockerfile(file).stages[0]!.instructions).toHaveLength(1)
  else expect(() => parseDockerfile(file)).toThrow(/greater than max allowed size of 65535/)
})

// @see moby/buildkit frontend/dockerfile/parser/directives.go (DetectSyntax)
test.each([
  { text: '# syntax=a/b:1\nFROM x', want: 'a/b:1' },
  { text: '# syntax=a/b:1 --flag\nFROM x', want: 'a/b:1' },
  { text: '#!/bin/sh\n# SYNTAX = a\n', want: 'a' },
  { text: '\ufeff# escape=`\n# syntax=a\n', want: 'a' },
  { text: '# syntax=a\r\nFROM x\r\n', want: 'a' },
  { text: '// syntax=a\n', want: 'a' },
  { text: '{"syntax": "a", "b": 1}', want: 'a' },
  { text: '#!x\n{"syntax": "a"}', want: 'a' },
  { text: '{"syntax": 1}', want: undefined },
  { text: '\n# syntax=a\n', want: undefined },
  { text: '# note\n# syntax=a\n', want: undefined },
  { text: 'FROM a\n', want: undefined },
  { text: '#!', want: undefined },
  { text: '', want: undefined },
])('detectSyntax $text', ({ text, want }) => expect(detectSyntax(text)).toBe(want))
