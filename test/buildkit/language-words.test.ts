// Words and here-documents as a live BuildKit 0.25 expands them. See language.test.ts for how this is recorded.
import { describe, expect, test } from 'vitest'
import { expandHeredoc, expandWord, type Escape } from '../../src/builder/dockerfile/index.js'
import { DockerfileError } from '../../src/errors.js'
import { askExpansions, askHeredocs } from './language-oracle.js'
import { readTable } from './language-table.js'

describe('expansion', () => {
  /** `=value` or `!reason`. */
  interface Table {
    readonly variables: Readonly<Record<string, string>>
    readonly escape: Escape
    readonly words: readonly (readonly [word: string, outcome?: string])[]
  }
  const tables = readTable<Table>('expansions', (all) =>
    all.map(({ variables, escape, words }) => ({
      variables,
      escape,
      words: askExpansions(
        words.map(([word]) => word),
        variables,
        escape,
      ),
    })),
  )

  /** Words are recorded with a letter around them: BuildKit trims what VOLUME gets. */
  function outcome(word: string, variables: ReadonlyMap<string, string>, escape: Escape): string {
    try {
      return `=${expandWord(`<${word}>`, variables, { escape }).value.slice(1, -1)}`
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      return `!${String(error.data.reason)}`
    }
  }

  test('has at least 1,500 rows', () => {
    expect(tables.reduce((sum, { words }) => sum + words.length, 0)).toBeGreaterThanOrEqual(1500)
  })

  test.each(tables)('of words, escape $escape', ({ variables, escape, words }) => {
    const env = new Map(Object.entries(variables))
    const wrong = words.flatMap(([word, theirs]) => {
      const got = outcome(word, env, escape)
      return got === theirs ? [] : [{ word, got, theirs }]
    })
    expect(wrong.map((it) => JSON.stringify(it)).slice(0, 5)).toEqual([])
  })

  interface HeredocTable {
    readonly variables: Readonly<Record<string, string>>
    readonly bodies: readonly (readonly [body: string, outcome?: string])[]
  }
  const heredocs = readTable<HeredocTable>('heredocs', (all) =>
    all.map(({ variables, bodies }) => ({
      variables,
      bodies: askHeredocs(
        bodies.map(([body]) => body),
        variables,
      ),
    })),
  )

  test('of here-documents', () => {
    const wrong = heredocs.flatMap(({ variables, bodies }) => {
      const env = new Map(Object.entries(variables))
      return bodies.flatMap(([body, theirs]) => {
        let got
        try {
          got = `=${expandHeredoc(`${body}\n`, env).value.slice(0, -1)}`
        } catch (error) {
          if (!(error instanceof DockerfileError)) throw error
          got = `!${String(error.data.reason)}`
        }
        return got === theirs ? [] : [{ body, got, theirs }]
      })
    })
    expect(wrong.map((it) => JSON.stringify(it)).slice(0, 5)).toEqual([])
  })
})
