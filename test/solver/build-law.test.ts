// A cached build is a cold build: whatever is changed in which order, and whoever built before.
import * as fc from 'fast-check'
import { chmodSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LamellaError } from '../../src/errors.js'
import { build, predictBuild, type BuildOptions } from '../../src/builder/index.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'
import { runs } from '../chance.js'
import { executor } from './executor.js'
import { folderOf } from './fixtures.js'

const LINES = [
  'COPY a /out/',
  'COPY d /out/',
  'COPY . /all/',
  'COPY --exclude=a d /out/',
  'COPY d/* /flat/',
  'COPY --link a /linked/',
  'COPY --from=tools /tool /bin/',
  'RUN write /made x',
  'RUN write /made y',
  'RUN --mount=type=bind,source=d,target=/m use',
  'WORKDIR /w',
  'ENV A=1',
  'ENV A=2',
  'LABEL l=1',
] as const

const dockerfile = fc
  .record({
    tools: fc.constantFrom('one', 'two'),
    lines: fc.array(fc.constantFrom(...LINES), { maxLength: 5 }),
  })
  .map(({ tools, lines }) =>
    [
      'FROM scratch AS tools',
      `RUN write /tool t && write /other ${tools}`,
      'FROM scratch',
      ...lines,
      '',
    ].join('\n'),
  )

const edit = fc.oneof(
  fc.record({ path: fc.constantFrom('a', 'd/a', 'd/b', 'c'), text: fc.constantFrom('', '1', '2') }),
  fc.record({ path: fc.constantFrom('a', 'd/a', 'd/b'), mode: fc.constantFrom(0o644, 0o755) }),
  fc.record({ path: fc.constantFrom('d/b', 'c') }),
  fc.record({ path: fc.constant('d/link'), target: fc.constantFrom('a', 'b') }),
)
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never

function apply(dir: string, change: Edit): void {
  const at = join(dir, change.path)
  if ('text' in change) writeFileSync(at, change.text)
  else if ('mode' in change) {
    writeFileSync(at, 'm')
    chmodSync(at, change.mode)
  } else {
    rmSync(at, { force: true })
    if ('target' in change) symlinkSync(change.target, at)
  }
}

/** The result, or the code of the error: a dangling link that a wildcard matches fails every build alike. */
async function attempt<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof LamellaError) return error.code
    throw error
  }
}

test('any history of edits and Dockerfiles (law)', async () => {
  const round = fc.record({
    edits: fc.array(edit, { maxLength: 3 }),
    text: dockerfile,
    noCache: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 5 }), async (rounds) => {
      const dir = folderOf({ a: 'a', 'd/a': 'a', 'd/b': 'b', 'd/s/f': 'f' })
      const store = createMemoryStore()
      for (const { edits, text, noCache } of rounds) {
        for (const change of edits) apply(dir, change)
        const options = (into: Store): BuildOptions => ({
          store: into,
          context: dir,
          executor,
          dockerfile: { text },
          sourceDateEpoch: 1_600_000_000,
          rewriteTimestamp: true,
        })
        const cold = await attempt(build(options(createMemoryStore())))
        const predicted = await attempt(predictBuild(options(store)))
        const cached = await attempt(build(options(store)))
        if (typeof cold === 'string' || typeof cached === 'string') {
          expect(cached).toBe(cold)
          continue
        }
        expect(cached.image.digest).toBe(cold.image.digest)
        // A prediction may leave a step open; what it says holds.
        const outcomes = new Map(cached.steps.map(({ vertex, outcome }) => [vertex.label.name, outcome]))
        for (const { vertex, outcome } of predicted as typeof cached.steps) {
          if (outcome === 'hit' || outcome === 'miss') expect(outcomes.get(vertex.label.name)).toBe(outcome)
        }
        if (noCache)
          expect((await build({ ...options(store), noCache })).image.digest).toBe(cold.image.digest)
      }
    }),
    { numRuns: runs(40) },
  )
})
