// Whatever happens to a folder between two builds, what is remembered of it never shows.
import * as fc from 'fast-check'
import {
  chmodSync,
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ContentSelector } from '../../src/builder/content-selector.js'
import { contentKeyOf } from '../../src/builder/contenthash.js'
import { openContext } from '../../src/builder/context.js'
import { createIgnoreMatcher } from '../../src/builder/dockerfile/index.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'
import { runs } from '../chance.js'
import { removeTree } from '../remove.js'

const NAMES = ['a', 'b', 'd', 'd/a', 'd/e', 'd/e/f', 'g', 'g/h', 'd-x', '.git']
const name = fc.constantFrom(...NAMES)

/** One thing that someone does to a folder; what cannot be done is not done. */
const edit = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), name, text: fc.string({ maxLength: 3 }) }),
  fc.record({ kind: fc.constant('mkdir' as const), name }),
  fc.record({ kind: fc.constant('remove' as const), name }),
  fc.record({ kind: fc.constant('rename' as const), name, to: name }),
  fc.record({ kind: fc.constant('chmod' as const), name, mode: fc.constantFrom(0o755, 0o700, 0o644) }),
  fc.record({ kind: fc.constant('link' as const), name, to: name }),
  fc.record({ kind: fc.constant('symlink' as const), name, to: name }),
  fc.record({ kind: fc.constant('touch' as const), name, time: fc.constantFrom(1, 2, 1_700_000_000) }),
  fc.record({ kind: fc.constant('copy' as const), name, to: name }),
)
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never

function apply(dir: string, change: Edit): void {
  const at = join(dir, change.name)
  try {
    if (change.kind === 'write') writeFileSync(at, change.text)
    else if (change.kind === 'mkdir') mkdirSync(at, { recursive: true })
    else if (change.kind === 'remove') rmSync(at, { recursive: true })
    else if (change.kind === 'rename') renameSync(at, join(dir, change.to))
    else if (change.kind === 'chmod') chmodSync(at, change.mode)
    else if (change.kind === 'link') linkSync(at, join(dir, change.to))
    else if (change.kind === 'symlink') symlinkSync(change.to, at)
    else if (change.kind === 'touch') utimesSync(at, change.time, change.time)
    else cpSync(at, join(dir, change.to), { recursive: true, preserveTimestamps: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
  }
}

const SELECTORS: readonly (readonly ContentSelector[])[] = [
  [{ path: '/' }],
  [{ path: '/d' }],
  [{ path: '/*', wildcard: true }],
  [{ path: '/', exclude: ['d/e'] }],
]
const IGNORES = [undefined, ['.git'], ['d', '!d/e']]

async function look(
  dir: string,
  store: Store | undefined,
  selectors: readonly ContentSelector[],
  ignore?: string[],
) {
  const context = openContext(dir, { store, ignore: ignore && createIgnoreMatcher(ignore) })
  try {
    return await contentKeyOf(context.result(), selectors)
  } catch (error) {
    return (error as { code?: string }).code
  } finally {
    await context.save()
  }
}

test('a folder looked at again and again has the key that a first look gives (law)', async () => {
  const round = fc.record({
    edits: fc.array(edit, { maxLength: 4 }),
    selectors: fc.constantFrom(...SELECTORS),
    ignore: fc.constantFrom(...IGNORES),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 8 }), async (rounds) => {
      const dir = mkdtempSync(join(tmpdir(), 'lamella-law-'))
      const store = createMemoryStore()
      try {
        for (const { edits, selectors, ignore } of rounds) {
          for (const change of edits) apply(dir, change)
          const remembered = await look(dir, store, selectors, ignore)
          expect(remembered).toBe(await look(dir, undefined, selectors, ignore))
        }
      } finally {
        removeTree(dir)
      }
    }),
    { numRuns: runs(150) },
  )
})
