// Processes that build, load, save, tag, prune, collect and check in one store: at once, and killed at random moments.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cacheRoots } from '../../src/builder/index.js'
import { readImage, saveArchive } from '../../src/oci/index.js'
import {
  applyGc,
  checkStore,
  createMemoryStore,
  openDiskStore,
  planGc,
  type Store,
} from '../../src/store/index.js'
import { openTree } from '../../src/unionfs/index.js'
import { addImage } from '../builder/fixtures.js'
import type { BuildWorkerLine } from './build-worker.js'
import { Dice, SEED } from '../chance.js'
import { makeFolder } from './folder.js'
import { buildWorker, startWorker, type WorkerProgram } from './processes.js'

let program: WorkerProgram
beforeAll(async () => {
  program = await buildWorker('build-worker')
})
afterAll(() => program.remove())

/** A folder with a store that has a base image, and an archive to load. */
async function prepare(): Promise<{ folder: string; store: Store }> {
  const folder = makeFolder()
  mkdirSync(folder, { recursive: true })
  const store = await openDiskStore(join(folder, 'store'))
  await addImage(store, 'base:latest', {
    'bin/sh': `=${'sh '.repeat(10_000)}`,
    'etc/passwd': '=root:x:0:0::/:',
  })
  const other = createMemoryStore()
  await addImage(other, 'loaded:latest', { x: `=${'x'.repeat(50_000)}` })
  const descriptor = (await other.refs.get('loaded:latest'))!
  const chunks: Uint8Array[] = []
  const saved = saveArchive(other, [{ descriptor, names: ['loaded:latest'] }], { format: 'oci-archive' })
  for await (const chunk of saved) chunks.push(chunk)
  writeFileSync(join(folder, 'archive.tar'), Buffer.concat(chunks))
  return { folder, store }
}

/** What each name may point at, by the `/result` of its image; of one lane, whose processes come one after the other. */
type Lane = Map<string, Set<string | null>>

interface Tally {
  promised: number
  builds: number
  lost: number
}

function follow(lane: Lane, lines: readonly BuildWorkerLine[], tally: Tally): void {
  for (const line of lines) {
    if (line.kind === 'intent') {
      const may = lane.get(line.name) ?? new Set([null])
      lane.set(line.name, may.add(line.result))
    } else if (line.kind === 'ref') {
      lane.set(line.name, new Set([line.result]))
      tally.promised++
    } else if (line.kind === 'did') {
      if (Number(line.what) < 9) tally.builds++
      if (line.what.startsWith('lost')) tally.lost++
    }
  }
}

/** Every name points at what it may, whole and readable to the last byte; from then on it must stay that. */
async function checkLane(store: Store, lane: Lane): Promise<void> {
  for (const [name, may] of lane) {
    const found = await resultOf(store, name)
    expect([...may], name).toContain(found)
    lane.set(name, new Set([found]))
  }
}

async function resultOf(store: Store, name: string): Promise<string | null> {
  const target = await store.refs.get(name)
  if (target === undefined) return null
  const tree = await openTree(store, (await readImage(store.blobs, target)).layers)
  for (const { node } of tree.walk()) if (node.kind === 'file') node.content()
  const result = Buffer.from(tree.lookup('result')!.content()).toString()
  return `${result.slice(0, 14)} ${result.slice(-6)}`
}

async function checkWhole(store: Store, skipContent: boolean): Promise<void> {
  const problems = await checkStore(store, { skipContent })
  expect(problems.filter(({ severity }) => severity !== 'note')).toEqual([])
}

test('8 processes × 50 mixed operations: build, tag, load, save, gc, prune, rmi, fsck', async () => {
  const { folder, store } = await prepare()
  const runs = Array.from({ length: 8 }, (_, i) =>
    startWorker<BuildWorkerLine>(program, [folder, `p${i}`, String(SEED + i), '50', 'none']),
  )
  const tally = { promised: 0, builds: 0, lost: 0 }
  for (const { ended } of runs) {
    const { lines, code, stderr } = await ended
    expect(code, stderr).toBe(0)
    expect(lines.at(-1)).toEqual({ kind: 'done' })
    const lane: Lane = new Map()
    follow(lane, lines, tally)
    await checkLane(store, lane)
  }
  await checkWhole(store, false)
  expect(await store.leases.list()).toEqual([])
  await applyGc(store, await planGc(store, { graceMs: 0, keep: await cacheRoots(store) }))
  await checkWhole(store, false)
  console.info(`build processes: 400 operations, ${JSON.stringify(tally)}`)
  expect(tally.builds).toBeGreaterThan(100)
  await store.close()
})

test('builds killed at 200 random moments: every promised image is there and whole, and the next build is right', async () => {
  const { folder, store } = await prepare()
  const KILLS = 201
  const LANES = 3
  let kills = 0
  const tally = { promised: 0, builds: 0, lost: 0 }
  const lanes = Array.from({ length: LANES }, async (_, i) => {
    const lane: Lane = new Map()
    const dice = new Dice(SEED + i)
    for (let round = 0; kills < KILLS; round++) {
      const durability = round % 4 === 0 ? 'full' : 'none'
      const seed = String(SEED + i + LANES * round)
      const run = startWorker<BuildWorkerLine>(program, [folder, `k${i}`, seed, '1000000', durability])
      // By what it has done rather than by the clock, so that a busy machine tests as much.
      await run.said(1 + dice.below(8))
      await new Promise((done) => setTimeout(done, dice.next() * 15))
      run.child.kill('SIGKILL')
      const { lines, signal, stderr } = await run.ended
      expect(signal, stderr).toBe('SIGKILL')
      kills++
      follow(lane, lines, tally)
      await checkLane(store, lane)
      if (kills % 20 === 0) await checkWhole(store, true)
    }
  })
  await Promise.all(lanes)
  await checkWhole(store, false)
  expect(tally.promised).toBeGreaterThan(KILLS / 2)
  for (const { id } of await store.leases.list()) await store.leases.release(id)
  await applyGc(store, await planGc(store, { graceMs: 0, keep: await cacheRoots(store) }))
  await checkWhole(store, false)
  console.info(`build processes: ${kills} kills, ${JSON.stringify(tally)}`)
  await store.close()
})
