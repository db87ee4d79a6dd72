// The shell executor beside Debian's sh: sixty RUN lines, equal exit code and equal tree (kinds, modes, owners, links,
// contents). What Debian gives is recorded; where a sandbox and Debian's programs are at hand, the record itself is
// checked. RECORD=1 writes it anew.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { sandboxExecutor, shellExecutor, treeAfter, type Executor } from '../../src/builder/index.js'
import { createMemoryStore } from '../../src/store/index.js'
import { commitDiff, EMPTY_TREE, UnionView, type LayerRef, type Tree } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import { debianRoot, isDebian } from './debian-root.js'
import {
  canSandbox,
  configuration,
  effectOf,
  removeSandboxFolders,
  requestFor,
  sandboxFolder,
} from './harness.js'
import { isRoot } from './sandbox-harness.js'
import { RUN_LINES } from './run-lines.js'

interface Recorded {
  readonly line: string
  readonly exitCode: number
  readonly effect: Readonly<Record<string, string>>
}

const file = fileURLToPath(new URL('recorded/run-lines.json', import.meta.url))
afterAll(removeSandboxFolders)

async function resultOf(
  executor: Executor,
  root: Tree,
  line: string,
  layers?: readonly LayerRef[],
): Promise<Recorded> {
  const request = requestFor(UnionView.open(root), line, { layers })
  const result = await executor.run(request)
  return { line, exitCode: result.exitCode, effect: normalised(effectOf(root, treeAfter(request, result))) }
}

/** The day in /etc/shadow is today's. */
function normalised(effect: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(effect).map(([path, what]) => [path, what.replace(/^(.*?:[!*]:)\d{5}:/gm, '$1DAY:')]),
  )
}

async function debianResults(): Promise<Recorded[]> {
  const root = debianRoot()
  const store = createMemoryStore()
  const layers = [await commitDiff(store, EMPTY_TREE, root)]
  const sandbox = sandboxExecutor({ store, folder: sandboxFolder() })
  const out: Recorded[] = []
  for (const line of RUN_LINES) out.push(await resultOf(sandbox, root, line, layers))
  return out
}

const canCompare = canSandbox && isDebian && isRoot
if (process.env.RECORD === '1' && canCompare)
  writeFileSync(file, `${JSON.stringify(await debianResults(), null, 1)}\n`)

const recorded = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Recorded[]) : []

peerTest('the record is what Debian gives here and now', canCompare, async () => {
  expect(await debianResults()).toEqual(recorded)
})

/** Lines on which the shell executor is known to differ, with what differs. */
const KNOWN_DIFFERENCES: Readonly<Record<string, string>> = {}

describe('the shell executor gives what Debian’s sh gives', () => {
  test('sixty lines are recorded', () => expect(recorded.map(({ line }) => line)).toEqual(RUN_LINES))

  const shell = shellExecutor()
  const root = configuration()
  for (const expected of recorded) {
    const run = KNOWN_DIFFERENCES[expected.line] === undefined ? test : test.fails
    run(expected.line.replaceAll('\n', '⏎'), async () => {
      expect(await resultOf(shell, root, expected.line)).toEqual(expected)
    })
  }

  test('at most five of sixty differ', () =>
    expect(Object.keys(KNOWN_DIFFERENCES).length).toBeLessThanOrEqual(5))
})
