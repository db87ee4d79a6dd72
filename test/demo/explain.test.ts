// `lamella build --explain` and `--dry-run` on the example after each of the demo's changes: the file that caused the misses
// is named, in both Dockerfiles, by the command line as a user calls it.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SCENARIOS } from '../../examples/demo/scenarios.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const app = join(root, 'examples/node-app')
const scratch = mkdtempSync(join(tmpdir(), 'lamella-explain-test-'))
const store = join(scratch, 'store')
const executor = join(scratch, 'executor.mjs')
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Explained {
  readonly name: string
  readonly outcome: string
  readonly step: number
  readonly reasons: readonly { readonly kind: string; readonly path?: string }[]
  readonly cause?: number
  readonly cost?: { readonly ms: number; readonly bytes: number }
}

beforeAll(() => {
  writeFileSync(
    executor,
    `import { functionsExecutor } from ${JSON.stringify(pathToFileURL(join(root, 'dist/builder/index.js')).href)}
import { nodeFunctions } from ${JSON.stringify(pathToFileURL(join(root, 'examples/functions/index.mjs')).href)}
export default functionsExecutor(nodeFunctions)
`,
  )
  // leaves node:20 in the store
  const demo = spawnSync(process.execPath, [join(root, 'examples/demo.mjs'), '--json', '--store', store], {
    encoding: 'utf8',
  })
  expect([demo.status, demo.stderr]).toEqual([0, ''])
})

function explain(project: string, dockerfile: string, ...flags: string[]): Explained[] {
  const options = ['--store', store, '-q', '--explain', '--json', '--executor', executor, ...flags]
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'dist/cli/main.js'), 'build', ...options, '-f', join(project, dockerfile), project],
    { encoding: 'utf8' },
  )
  expect([status, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as Explained[]
}

describe.each(['Dockerfile.naive', 'Dockerfile.optimised'])('%s', (dockerfile) => {
  test.each([
    { scenario: 'case 1', file: 'src/lib/log.ts' },
    { scenario: 'case 2', file: 'package.json' },
  ])('$scenario: the first miss names $file, the rest follow from it', ({ scenario, file }) => {
    const project = join(scratch, `${dockerfile}-${scenario}`)
    cpSync(app, project, { recursive: true, filter: (path) => relative(app, path) !== 'packages' })
    explain(project, dockerfile)
    SCENARIOS.find(({ name }) => name === scenario)!.change(project, 'explained')

    for (const flags of [['--dry-run'], []]) {
      const steps = explain(project, dockerfile, ...flags)
      const misses = steps.filter(({ outcome }) => outcome !== 'hit')
      expect(misses.length).toBeGreaterThan(1)
      const [first, ...rest] = misses
      expect(first!.name).toContain(
        scenario === 'case 1' || dockerfile.endsWith('naive') ? '] COPY . .' : '] COPY package* .',
      )
      expect(first!.reasons).toEqual([{ kind: 'file', path: file, change: 'content' }])
      expect(first!.cost).toBeDefined()
      for (const { cause, reasons } of rest) {
        expect([cause, reasons.at(-1)?.kind]).toEqual([first!.step, 'earlier-step'])
        // COPY . . reads the manifest too
        for (const { path } of reasons.slice(0, -1)) expect(path).toBe(file)
      }
    }
    expect(explain(project, dockerfile).filter(({ outcome }) => outcome !== 'hit')).toEqual([])
  })
})
