// Laws of building, over random contexts and Dockerfiles. Seeds are printed by fast-check; what it finds becomes a named test.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createMemoryStore } from '../../src/store/index.js'
import { runs } from '../chance.js'
import { addImage, buildCase, fixedEnv, textOf, type TreeText } from './fixtures.js'

/** Small alphabets, so that two variants often agree in part. */
const content = fc.constantFrom('=1', '=2', '755 =1', '@9 =1')
const context: fc.Arbitrary<TreeText> = fc
  .record(
    {
      f1: content,
      f2: content,
      'd/a': content,
      'd/b': content,
      'd/s/a': content,
      'e/a': content,
      'd/l': fc.constantFrom('->a', '->b', '->../f1'),
      l: fc.constantFrom('->f1', '->d'),
      '.dockerignore': fc.constantFrom('=f2', '=d/b', '=**/a\n!d/a'),
    },
    { requiredKeys: ['f1', 'd/a'] },
  )
  .map((files) => Object.fromEntries(Object.entries(files).filter(([, value]) => value !== undefined)))

const line = fc.constantFrom(
  'COPY f1 /o/',
  'COPY f* /o/',
  'COPY d /o',
  'COPY d/* /o/',
  'COPY */a /p/',
  'COPY . /all',
  'COPY l /l',
  'COPY --chown=5:6 --chmod=640 d /o',
  'COPY --link d /linked',
  'ADD f1 d /o/',
  'COPY --from=side / /side',
  'COPY --from=side /x /y',
  'RUN write /ran 1',
  'RUN write /ran 2',
  'RUN --mount=source=d,target=/m ls /m; write /mounted 1',
  'ENV A=1',
  'ENV A=2',
  'ARG B=1',
  'WORKDIR /w',
  'USER 5',
  'LABEL x=1',
)
const dockerfile = fc
  .tuple(
    fc.constantFrom('RUN write /x 1', 'RUN write /x 1; write /z 2', 'COPY f1 /x'),
    fc.array(line, { maxLength: 5 }),
  )
  .map(([side, lines]) => ['FROM base AS side', side, 'FROM base', ...lines, ''].join('\n'))

const variant = fc.record({ context, dockerfile, concurrency: fc.constantFrom(1, 8) })

async function storeWithBase() {
  const store = createMemoryStore({ env: fixedEnv })
  await addImage(store, 'base:latest', { 'etc/hosts': '=x' })
  return store
}

describe('laws', () => {
  // What the cache gives is what building would have given; with an epoch, times differ nowhere.
  test('a build over any cache = a cold build', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(variant, { minLength: 2, maxLength: 4 }), async (variants) => {
        const store = await storeWithBase()
        for (const { context: files, dockerfile: text, concurrency } of variants) {
          const it = { dockerfile: text, context: files, options: { sourceDateEpoch: 7, concurrency } }
          const outcome = async (target: typeof store) => {
            try {
              const { image, tree } = await buildCase(it, target)
              return { digest: image.digest, tree: textOf(tree, true) }
            } catch (error) {
              return { code: (error as { code: string }).code }
            }
          }
          expect(await outcome(store)).toEqual(await outcome(await storeWithBase()))
        }
      }),
      { numRuns: runs(60) },
    )
  })

  test('building twice runs nothing the second time', async () => {
    await fc.assert(
      fc.asyncProperty(variant, async ({ context: files, dockerfile: text }) => {
        const store = await storeWithBase()
        const it = { dockerfile: text, context: files }
        const first = await buildCase(it, store).catch(() => undefined)
        if (first === undefined) return
        const second = await buildCase(it, store)
        expect(second.image).toEqual(first.image)
        const ran = second.steps.filter(
          ({ outcome, vertex }) => outcome === 'miss' && vertex.inputs.length > 0,
        )
        expect(ran.map(({ vertex }) => vertex.label.name)).toEqual([])
      }),
      { numRuns: runs(100) },
    )
  })
})
