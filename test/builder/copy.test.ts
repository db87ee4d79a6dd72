// The table of data/copy.ts, each row a build of its own.
import { describe, expect, test } from 'vitest'
import { COPY_ROWS, type CopyRow } from './data/copy.js'
import { buildCase, failureOf, textOf, treeOf, type Case } from './fixtures.js'

function caseOf(row: CopyRow): Case {
  return {
    dockerfile: `FROM ${row.base === undefined ? 'scratch' : 'base'}\n${row.lines}\n`,
    ...(row.context === undefined ? {} : { context: row.context }),
    ...(row.base === undefined ? {} : { base: row.base }),
  }
}

describe('COPY, ADD, WORKDIR', () => {
  test('rules have names of their own', () => {
    expect(new Set(COPY_ROWS.map(({ rule }) => rule)).size).toBe(COPY_ROWS.length)
  })

  test.each(COPY_ROWS.filter(({ error }) => error === undefined))('$rule', async (row) => {
    const { tree } = await buildCase(caseOf(row))
    const times = row.times ?? false
    expect(textOf(tree, times)).toEqual(textOf(treeOf(row.want!), times))
  })

  test.each(COPY_ROWS.filter(({ error }) => error !== undefined))('$rule', async (row) => {
    const failure = await failureOf(caseOf(row))
    expect(failure).toMatchObject({ code: row.error!.code, location: { file: 'Dockerfile' } })
    if (row.error!.message !== undefined) expect(failure.message).toMatch(row.error!.message)
  })
})
