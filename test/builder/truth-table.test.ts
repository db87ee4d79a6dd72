// The truth table of data/truth-table.ts: two builds each over one store, with an image `base` in it.
import { describe, expect, test } from 'vitest'
import { createMemoryStore } from '../../src/store/index.js'
import { HITS, MISSES, MORE_HITS, type Side, type TruthRow } from './data/truth-table.js'
import { addImage, buildCase, fixedEnv, type Built } from './fixtures.js'

async function buildTwice(row: TruthRow): Promise<readonly [Built, Built]> {
  const store = createMemoryStore({ env: fixedEnv })
  await addImage(store, 'base:latest', { 'etc/hosts': '=x' })
  const side = (own: Side = {}) =>
    buildCase(
      {
        dockerfile: `${own.dockerfile ?? row.dockerfile}\n`,
        context: own.context ?? row.context ?? {},
        options: { ...row.options, ...own.options },
      },
      store,
    )
  return [await side(row.first), await side(row.second)]
}

function outcomeOf(built: Built, begins: string | undefined): string {
  const steps = built.steps.filter(({ vertex }) => {
    const text = vertex.label.instruction?.toUpperCase()
    if (text === undefined || vertex.op.kind === 'image') return false
    if (vertex.label.name.includes('LINK COPY')) return false
    return begins === undefined ? /^(COPY|ADD|RUN)/.test(text) : text.startsWith(begins.toUpperCase())
  })
  const last = steps
    .toSorted((a, b) => a.vertex.label.location!.range.start.line - b.vertex.label.location!.range.start.line)
    .at(-1)
  return last === undefined ? 'no such step' : last.outcome === 'off' ? 'miss' : last.outcome
}

describe('HIT', () => {
  test.each([...HITS, ...MORE_HITS])('$change', async (row) => {
    const [, second] = await buildTwice(row)
    expect(outcomeOf(second, row.step)).toBe('hit')
  })
})

describe('MISS', () => {
  test.each(MISSES)('$change', async (row) => {
    const [, second] = await buildTwice(row)
    expect(outcomeOf(second, row.step)).toBe('miss')
  })
})

// facts 2.3: the copied layer is reused, with the same diffID, and only the merge is done again
test('--link: after an earlier RUN changed, the layer of the copy is the old one', async () => {
  const [first, second] = await buildTwice({
    change: '',
    want: 'hit',
    context: { f1: '=1' },
    first: { dockerfile: 'FROM base\nRUN write /a 1\nCOPY --link f1 /o/' },
    second: { dockerfile: 'FROM base\nRUN write /a 2\nCOPY --link f1 /o/' },
  })
  const diffIDs = [first, second].map(({ config }) => config.rootfs.diff_ids)
  expect(diffIDs[1]!.at(-1)).toBe(diffIDs[0]!.at(-1))
  expect(diffIDs[1]!.at(-2)).not.toBe(diffIDs[0]!.at(-2))
})

test('a plain COPY after a changed RUN is a layer of its own making, though with equal bytes', async () => {
  const [first, second] = await buildTwice({
    change: '',
    want: 'miss',
    context: { f1: '@5 =1' },
    first: { dockerfile: 'FROM base\nRUN write /a 1\nCOPY f1 /o/' },
    second: { dockerfile: 'FROM base\nRUN write /a 2\nCOPY f1 /o/' },
  })
  expect(outcomeOf(second, 'COPY')).toBe('miss')
  expect(second.config.rootfs.diff_ids.at(-1)).toBe(first.config.rootfs.diff_ids.at(-1))
})

// facts 2.1: what has the same key is built once
test('equal steps of two stages run once', async () => {
  let runs = 0
  const store = createMemoryStore({ env: fixedEnv })
  await addImage(store, 'base:latest', {})
  await buildCase(
    {
      dockerfile:
        'FROM base AS a\nRUN write /x 1\nFROM base AS b\nRUN write /x 1\nFROM scratch\nCOPY --from=a / /a\nCOPY --from=b / /b\n',
      options: {
        executor: {
          name: 'counting',
          capabilities: { mounts: [], networks: ['default'], binaries: false },
          run: async ({ view }) => {
            runs++
            view.fs.writeFileSync('/x', '1')
            return { exitCode: 0 }
          },
        },
      },
    },
    store,
  )
  expect(runs).toBe(1)
})
