// The view against the kernel. Random layer stacks and random calls are run on a real overlay mount and on a view; every
// result, every error with its message, and the whole final trees have to be equal.
//
// RECORD=1 writes recorded/overlay.json anew from the kernel's answers.
//
// Live where there are root and overlayfs; the recorded cases are replayed everywhere.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { runs, SEED } from '../chance.js'
import { peerTest } from '../peers.js'
import type { Case, Outcome } from './case.js'
import { firstDifference, program, runOnView, shrink } from './compare.js'
import { makeCase } from './generate.js'
import { canMount, KERNEL, MOUNT_OPTIONS, runOnKernel } from './kernel.js'

const OPERATIONS = runs(20_000)
const STEPS = 80
const RECORDED_STEPS = 40
const RECORDED_CASES = 50
const PARALLEL = 2

const recordPath = fileURLToPath(new URL('./recorded/overlay.json', import.meta.url))

interface Recording {
  readonly kernel: string
  readonly mountOptions: string
  readonly node: string
  readonly cases: readonly { readonly case: Case; readonly outcome: Outcome }[]
}

/** A failing case as a message that can be worked with: made small, as a program, with both answers. */
async function explain(testCase: Case): Promise<string> {
  const differs = async (candidate: Case) =>
    firstDifference(candidate, await runOnKernel(candidate), runOnView(candidate)) !== undefined
  const small = await shrink(testCase, differs)
  const difference = firstDifference(small, await runOnKernel(small), runOnView(small))
  return `${program(small)}\n${JSON.stringify(difference, null, 2)}`
}

async function runLive(): Promise<number> {
  const seeds = Array.from({ length: Math.ceil(OPERATIONS / STEPS) }, (_, i) => SEED + i)
  let count = 0
  const failures: Case[] = []
  const work = async () => {
    for (let seed = seeds.pop(); seed !== undefined && failures.length === 0; seed = seeds.pop()) {
      const testCase = makeCase(seed, STEPS)
      const kernel = await runOnKernel(testCase)
      if (firstDifference(testCase, kernel, runOnView(testCase)) !== undefined) failures.push(testCase)
      count += testCase.steps.length
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  for (const failure of failures.slice(0, 1)) expect.fail(await explain(failure))
  return count
}

const isLive = await canMount()

describe('the view against kernel overlayfs', () => {
  peerTest('live', isLive, async () => {
    const count = await runLive()
    console.log(`differential: ${count} operations against kernel ${KERNEL} overlayfs (${MOUNT_OPTIONS})`)
    expect(count).toBeGreaterThanOrEqual(OPERATIONS)
  })

  if (process.env.RECORD === '1') {
    test('record', async () => {
      const cases = []
      for (let i = 0; i < RECORDED_CASES; i++) {
        const testCase = makeCase(1_000_000 + i, RECORDED_STEPS)
        cases.push({ case: testCase, outcome: await runOnKernel(testCase) })
      }
      const recording: Recording = {
        kernel: KERNEL.replace(/^(\d+\.\d+).*/, '$1'),
        mountOptions: MOUNT_OPTIONS,
        node: process.version,
        cases,
      }
      writeFileSync(recordPath, `${JSON.stringify(recording)}\n`)
      expect(cases).toHaveLength(RECORDED_CASES)
    })
  }

  test('recorded', () => {
    const { cases } = JSON.parse(readFileSync(recordPath, 'utf8')) as Recording
    expect(cases.length).toBeGreaterThan(0)
    for (const { case: testCase, outcome } of cases) {
      const difference = firstDifference(testCase, outcome, runOnView(testCase))
      if (difference !== undefined)
        expect.fail(`${program(testCase)}\n${JSON.stringify(difference, null, 2)}`)
    }
  })

  test('the comparison sees a difference', () => {
    const { cases } = JSON.parse(readFileSync(recordPath, 'utf8')) as Recording
    // Of a case that is compared to its end.
    const { case: testCase, outcome } = cases.find((one) =>
      one.case.steps.every(({ call }) => call !== 'cpSync'),
    )!
    const path = '/'
    const changed = { ...outcome, tree: { ...outcome.tree, [path]: { mode: '40700' } } }
    expect(firstDifference(testCase, changed, runOnView(testCase))?.at).toBe(path)
  })
})
