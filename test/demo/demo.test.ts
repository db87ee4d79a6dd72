// `npm run demo` from the outside: its tables, its exit code, and that other tools read the store that it leaves.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canSandbox } from '../executors/harness.js'
import { findProgram, peerTest } from '../peers.js'
import { expectedResults } from '../../examples/demo/scenarios.mjs'
import { createPainter, formatBytes, formatTable } from '../../examples/demo/table.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const demo = join(root, 'examples/demo.mjs')
const store = mkdtempSync(join(tmpdir(), 'lamella-demo-test-'))
afterAll(() => rmSync(store, { recursive: true, force: true }))

interface Report {
  readonly dockerfile: string
  readonly scenario: string
  readonly rows: readonly {
    readonly instruction: string
    readonly result: string
    readonly bytes?: number
    readonly by?: string
  }[]
  readonly bytesAdded: number
  readonly image: string
}

let reports: readonly Report[] = []
let answer: { ok: boolean; reports: Report[]; services: { ok: boolean }[]; executor: string } | undefined

beforeAll(() => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [demo, '--json', '--store', store], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  answer = JSON.parse(stdout)
  reports = answer!.reports
})

const CACHED = { naive: 6, optimised: 8 } as const

/** The instructions that make steps, by what the issue of the demo says of each case. */
describe('the tables', () => {
  test.each([
    { dockerfile: 'naive', scenario: 'cold', kept: 0 },
    { dockerfile: 'optimised', scenario: 'cold', kept: 0 },
    { dockerfile: 'naive', scenario: 'unchanged', kept: CACHED.naive },
    { dockerfile: 'optimised', scenario: 'unchanged', kept: CACHED.optimised },
    // FROM and WORKDIR stay; everything from COPY . . on is built again
    { dockerfile: 'naive', scenario: 'case 1', kept: 2 },
    { dockerfile: 'naive', scenario: 'case 2', kept: 2 },
    // everything up to npx prisma generate stays
    { dockerfile: 'optimised', scenario: 'case 1', kept: 6 },
    // everything from COPY package* . on is built again
    { dockerfile: 'optimised', scenario: 'case 2', kept: 2 },
  ])('$dockerfile, $scenario: the first $kept steps are CACHED', ({ dockerfile, scenario, kept }) => {
    const report = reports.find((each) => each.dockerfile === dockerfile && each.scenario === scenario)!
    const steps = report.rows.filter(({ result }) => result !== 'config')
    expect(steps.map(({ result }) => result)).toEqual(
      steps.map((_, index) => (index < kept ? 'CACHED' : 'built')),
    )
    for (const { instruction, result, by } of steps) {
      expect([instruction, by]).toEqual([
        instruction,
        result === 'built' && instruction.startsWith('RUN') ? 'functions' : undefined,
      ])
    }
  })

  test('an unchanged build adds nothing and gives the same image', () => {
    for (const report of reports.filter(({ scenario }) => scenario === 'unchanged')) {
      const cold = reports.find((each) => each.dockerfile === report.dockerfile && each.scenario === 'cold')
      expect([report.bytesAdded, report.image]).toEqual([0, cold!.image])
    }
  })

  test('the services that were built answer', () => {
    expect([answer?.ok, answer?.executor, answer?.services.map(({ ok }) => ok)]).toEqual([
      true,
      'functions',
      [true, true],
    ])
  })
})

describe('the store that the demo leaves', () => {
  const skopeo = findProgram('skopeo')
  peerTest('skopeo reads it', skopeo !== undefined, () => {
    const image = `oci:${store}:parcel-desk:optimised`
    const seen = JSON.parse(execFileSync(skopeo!, ['inspect', image], { encoding: 'utf8' })) as {
      Digest: string
    }
    expect(seen.Digest).toBe(reports.findLast(({ dockerfile }) => dockerfile === 'optimised')!.image)
  })
})

describe('with the sandbox: npm, esbuild and prisma themselves', () => {
  peerTest(
    'the tables hold there too, and the services answer',
    canSandbox && findProgram('npm') !== undefined,
    () => {
      const args = [demo, '--json', '--rm', '--executor', 'sandbox']
      // Of a locale that the machine lacks bash warns.
      const env = { ...process.env, LC_ALL: 'C' }
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
      expect(stderr).toBe('')
      const answered = JSON.parse(stdout) as NonNullable<typeof answer>
      expect([status, answered.ok, answered.executor]).toEqual([0, true, 'sandbox'])
      const ran = answered.reports.flatMap(({ rows }) => rows.flatMap(({ by }) => by ?? []))
      expect(ran).toEqual(Array(16).fill('sandbox'))
    },
  )
})

test('--help and wrong calls', () => {
  const help = spawnSync(process.execPath, [demo, '--help'], { encoding: 'utf8' })
  expect([help.status, help.stdout]).toEqual([0, expect.stringContaining('Usage: npm run demo')])
  const wrong = spawnSync(process.execPath, [demo, '--nonsense'], { encoding: 'utf8' })
  expect([wrong.status, wrong.stdout]).toEqual([2, ''])
})

test('a row that is not as it must be is marked, and the table says so', () => {
  const rows = [
    { instruction: 'FROM a', result: 'CACHED', expected: 'CACHED', milliseconds: 0, bytes: 0 },
    { instruction: 'COPY . .', result: 'CACHED', expected: 'built', milliseconds: 0, bytes: 0 },
  ]
  const report = { dockerfile: 'd', title: 't', rows, milliseconds: 1, bytesAdded: 0, asExpected: false }
  const text = formatTable(report, createPainter({ isTTY: false })) as string
  expect(text).toMatch(/COPY \. \. .*<- must be built/)
  expect(text).not.toMatch(/FROM a .*<-/)
  expect(text).toContain('WRONG')
})

test.each([
  { from: undefined, want: ['CACHED', 'CACHED', 'CACHED'] },
  { from: 'FROM', want: ['built', 'built', 'built'] },
  { from: 'COPY', want: ['CACHED', 'built', 'built'] },
])('expected results from $from', ({ from, want }) => {
  expect(expectedResults(['FROM x', 'COPY . .', 'RUN y'], from)).toEqual(want)
})

test.each([
  { bytes: 0, want: '-' },
  { bytes: 999, want: '999 B' },
  { bytes: 1000, want: '1.0 kB' },
  { bytes: 999_949, want: '999.9 kB' },
  { bytes: 999_950, want: '1.0 MB' },
])('$bytes bytes → $want', ({ bytes, want }) => expect(formatBytes(bytes)).toBe(want))
