// Many processes on one store: at once, and killed at random moments.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Digest } from '../../src/digest.js'
import { applyGc, checkStore, openDiskStore, planGc, readBlob, type Store } from '../../src/store/index.js'
import { Dice, SEED } from '../chance.js'
import { makeFolder } from './folder.js'
import { buildWorker, startWorker, type WorkerProgram } from './processes.js'
import type { WorkerLine } from './worker.js'

let program: WorkerProgram
beforeAll(async () => {
  program = await buildWorker()
})
afterAll(() => program.remove())

/** What the lines of one lane promise; its processes come one after the other. */
interface Lane {
  readonly refs: Map<string, Digest | null>
  readonly intents: Map<string, Digest | null>
  readonly records: Set<string>
  counts: number
  gcs: number
}

function emptyLane(): Lane {
  return { refs: new Map(), intents: new Map(), records: new Set(), counts: 0, gcs: 0 }
}

function follow(lane: Lane, lines: readonly WorkerLine[]): void {
  for (const line of lines) {
    if (line.kind === 'intent') lane.intents.set(line.name, line.digest)
    else if (line.kind === 'ref') {
      lane.refs.set(line.name, line.digest)
      lane.intents.delete(line.name)
    } else if (line.kind === 'record') lane.records.add(line.key)
    else if (line.kind === 'count') lane.counts++
    else if (line.kind === 'gc') lane.gcs++
  }
}

/** Every ref is one of what it may be; then that is what it is. */
async function checkRefs(store: Store, lane: Lane): Promise<void> {
  for (const name of new Set([...lane.refs.keys(), ...lane.intents.keys()])) {
    const found = (await store.refs.get(name))?.digest ?? null
    const allowed = [lane.refs.get(name) ?? null]
    if (lane.intents.has(name)) allowed.push(lane.intents.get(name)!)
    expect(allowed, name).toContain(found)
    lane.refs.set(name, found)
  }
  lane.intents.clear()
}

async function checkWhole(store: Store, skipContent = false): Promise<void> {
  const problems = (await checkStore(store, { skipContent })).filter(({ severity }) => severity !== 'note')
  expect(problems).toEqual([])
}

async function sharedCount(store: Store): Promise<number> {
  const target = await store.refs.get('shared')
  if (target === undefined) return 0
  const manifest = JSON.parse(Buffer.from(await readBlob(store.blobs, target.digest)).toString()) as {
    config: { digest: Digest }
  }
  const config = Buffer.from(await readBlob(store.blobs, manifest.config.digest)).toString()
  return Number((JSON.parse(config) as { text: string }).text.split(' ')[1])
}

test('8 processes × 50 mixed operations: no lost ref, nothing dangling, no deadlock', async () => {
  const folder = makeFolder()
  const runs = Array.from({ length: 8 }, (_, i) =>
    startWorker(program, [folder, 'mixed', `p${i}`, String(SEED + i), '50', 'none']),
  )
  const ends = await Promise.all(runs.map(({ ended }) => ended))
  const store = await openDiskStore(folder)
  let counts = 0
  let gcs = 0
  for (const { lines, code, stderr } of ends) {
    expect(code, stderr).toBe(0)
    expect(lines.at(-1)).toEqual({ kind: 'done' })
    const lane = emptyLane()
    follow(lane, lines)
    expect(lane.intents.size).toBe(0)
    await checkRefs(store, lane)
    for (const key of lane.records) expect(Buffer.from(store.records.get(key) ?? []).toString()).toBe(key)
    counts += lane.counts
    gcs += lane.gcs
  }
  expect(await sharedCount(store)).toBe(counts)
  expect(counts).toBeGreaterThan(20)
  expect(gcs).toBeGreaterThan(20)
  await checkWhole(store)
  expect(await store.leases.list()).toEqual([])
  console.info(`processes: 400 operations, ${counts} compare-and-sets, ${gcs} gcs`)
  await store.close()
})

test('processes killed at 210 random moments: every promised ref is there and whole', async () => {
  const folder = makeFolder()
  const KILLS = 210
  const LANES = 3
  const store = await openDiskStore(folder)
  let kills = 0
  let promised = 0
  let counts = 0
  const lanes = Array.from({ length: LANES }, async (_, i) => {
    const lane = emptyLane()
    const dice = new Dice(SEED + i)
    for (let round = 0; kills < KILLS; round++) {
      const durability = round % 4 === 0 ? 'full' : 'none'
      const seed = String(SEED + i + LANES * round)
      const run = startWorker(program, [folder, 'forever', `k${i}`, seed, '0', durability])
      // By what it has done rather than by the clock, so that a busy machine tests as much.
      await run.said(1 + dice.below(12))
      await new Promise((done) => setTimeout(done, dice.next() * 10))
      run.child.kill('SIGKILL')
      const { lines, signal, stderr } = await run.ended
      expect(signal, stderr).toBe('SIGKILL')
      kills++
      follow(lane, lines)
      promised += lines.filter(({ kind }) => kind === 'ref').length
      await checkRefs(store, lane)
      if (kills % 10 === 0) await checkWhole(store, true)
    }
    for (const key of lane.records) expect(Buffer.from(store.records.get(key) ?? []).toString()).toBe(key)
    counts += lane.counts
  })
  await Promise.all(lanes)
  await checkWhole(store)
  // A process may be killed between the change and its telling.
  const total = await sharedCount(store)
  expect(total).toBeGreaterThanOrEqual(counts)
  expect(total).toBeLessThanOrEqual(counts + kills)
  expect(promised).toBeGreaterThan(KILLS / 2)
  // The leases of the dead still shield; without them all garbage can go.
  for (const { id } of await store.leases.list()) await store.leases.release(id)
  await applyGc(store, await planGc(store, { graceMs: 0 }))
  expect((await planGc(store, { graceMs: 0 })).remove).toEqual([])
  await checkWhole(store)
  console.info(`processes: ${kills} kills, ${promised} promised refs, ${total} compare-and-sets`)
  await store.close()
})
