// Key schemes: what counts under each, with real builds (facts 2.6).
import { describe, expect, test } from 'vitest'
import { build, buildkitScheme, classicScheme, type KeyScheme } from '../../src/builder/index.js'
import { createMemoryStore } from '../../src/store/index.js'
import { executor } from './executor.js'
import { folderOf } from './fixtures.js'

async function second(scheme: KeyScheme, first: string, after: string) {
  const store = createMemoryStore()
  const dir = folderOf({ f1: '1', 'e/f1': '1', f2: '2' })
  const run = async (text: string) =>
    (await build({ store, context: dir, executor, keyScheme: scheme, dockerfile: { text } })).steps.at(-1)!
      .outcome
  await run(first)
  return run(after)
}

describe('classic: the text counts, where BuildKit looks at what it means', () => {
  test.each([
    ['nothing changed', 'FROM scratch\nCOPY f1 /o\nRUN a', 'FROM scratch\nCOPY f1 /o\nRUN a', 'hit', 'hit'],
    ['content', 'FROM scratch\nCOPY f1 /o', 'FROM scratch\nCOPY f2 /o', 'miss', 'miss'],
    ['same file elsewhere', 'FROM scratch\nCOPY f1 /o', 'FROM scratch\nCOPY e/f1 /o', 'hit', 'miss'],
    ['LABEL in between', 'FROM scratch\nRUN a', 'FROM scratch\nLABEL a=b\nRUN a', 'hit', 'miss'],
    ['CMD in between', 'FROM scratch\nCOPY f1 /o', 'FROM scratch\nCMD x\nCOPY f1 /o', 'hit', 'miss'],
    ['a comment in between', 'FROM scratch\nRUN a', 'FROM scratch\n# b\nRUN a', 'hit', 'hit'],
    ['text of RUN', 'FROM scratch\nRUN a', 'FROM scratch\nRUN b', 'miss', 'miss'],
    ['an earlier step', 'FROM scratch\nRUN a\nRUN c', 'FROM scratch\nRUN b\nRUN c', 'miss', 'miss'],
  ])('%s', async (_, first, after, buildkit, classic) => {
    expect(await second(buildkitScheme, first, after)).toBe(buildkit)
    expect(await second(classicScheme, first, after)).toBe(classic)
  })
})

test("schemes do not see each other's keys", async () => {
  const store = createMemoryStore()
  const run = async (keyScheme: KeyScheme) => {
    const dockerfile = { text: 'FROM scratch\nWORKDIR /w\nRUN a\n' }
    const { steps } = await build({ store, executor, keyScheme, dockerfile })
    return steps.filter(({ vertex }) => vertex.op.kind !== 'image').map(({ outcome }) => outcome)
  }
  expect(await run(buildkitScheme)).toEqual(['miss', 'miss'])
  expect(await run(classicScheme)).toEqual(['miss', 'miss'])
  expect(await run(buildkitScheme)).toEqual(['hit', 'hit'])
  expect(await run(classicScheme)).toEqual(['hit', 'hit'])
})

test("a scheme of one's own needs nothing but its map", async () => {
  // Knows RUN by its text alone, whatever it stands on.
  const careless: KeyScheme = {
    name: 'careless',
    map: (vertex, map) => ({
      ...buildkitScheme.map(vertex, map),
      ...(vertex.op.kind === 'exec' && { definitions: map.deps.map(() => ({ selector: undefined })) }),
    }),
  }
  expect(await second(careless, 'FROM scratch\nRUN a', 'FROM scratch\nRUN a')).toBe('hit')
})
