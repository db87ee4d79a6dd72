// Every change that the store makes to the disk fails once, or is the last one before a crash: at each of them, for each
// kind of crash, the store opens again, every ref that was promised is there and whole, and work goes on. Of the store's
// own operations; build-faults.test.ts has builds, loads and prunes.
import { describe, expect, test } from 'vitest'
import { applyGc, planGc } from '../../src/store/index.js'
import { SimFs } from './sim-fs.js'
import { countChanges, nothing, openSim, putTagged, run, setRef, trial, verify, type Work } from './trials.js'

const later = () => Date.now() + 24 * 3_600_000

const WORKS: Record<string, Work> = {
  async ingest(store, promised) {
    const large = [Buffer.alloc(200_000, 'gathered'), Buffer.alloc(300_000, 'on its own')]
    promised.blobs.add((await store.blobs.put(large)).digest)
    await putTagged(store, promised, 'new', ['base', 'gzip:top'])
    // The same again: nothing but what is there.
    await putTagged(store, promised, 'new', ['base', 'gzip:top'])
  },

  async 'resumed ingest'(store, promised) {
    for (const part of ['first', 'second']) {
      const ingest = await store.blobs.ingest!('big')
      try {
        await ingest.append([Buffer.alloc(200_000, part), Buffer.alloc(300_000, part)])
        if (ingest.size >= 1_000_000) promised.blobs.add((await ingest.commit()).digest)
      } finally {
        await ingest.close()
      }
    }
  },

  async tag(store, promised) {
    await putTagged(store, promised, 'a', ['one'])
    await putTagged(store, promised, 'a', ['two'])
    await setRef(store, promised, 'b', promised.refs.get('a'))
    await setRef(store, promised, 'a', undefined)
  },

  async lease(store, promised) {
    const lease = await store.leases.create()
    promised.leases.set(lease.id, [])
    const { digest } = await store.blobs.put(Buffer.from('leased'))
    await store.leases.add(lease.id, [digest])
    promised.leases.set(lease.id, [digest])
    const other = await store.leases.create()
    promised.leases.set(other.id, [])
    promised.leases.delete(other.id)
    await store.leases.release(other.id)
  },

  async documents(store, promised) {
    const layer = await store.blobs.put(Buffer.from('of a container'))
    await store.documents.change(async (edit) => {
      for (const [key, value] of [
        ['a', 1],
        ['b', 1],
        ['a', 2],
      ] as const) {
        promised.documents.set(key, [...(promised.documents.get(key) ?? [undefined]), value])
        await edit.put('container', key, value, [layer.digest])
        promised.documents.set(key, [value])
      }
      promised.documents.set('b', [1, undefined])
      await edit.delete('container', 'b')
      promised.documents.set('b', [undefined])
    })
  },

  async gc(store, promised) {
    await putTagged(store, promised, 'old', ['base', 'old'])
    await putTagged(store, promised, 'kept', ['base', 'kept'])
    await setRef(store, promised, 'old', undefined)
    promised.blobs.clear()
    await applyGc(store, await planGc(store, { nowMs: later() }), { nowMs: later() })
  },
}

let trials = 0

describe.each(Object.entries(WORKS))('%s', (_, work) => {
  test('power cut at every change, durability full', async () => {
    const count = await countChanges(work, 'full')
    for (let at = 1; at <= count; at++) {
      for (const crash of ['lost', 'kept', 1, 2, 3, 4] as const) {
        await trial({ work: work, fault: { kind: 'stop', at }, crash: crash, durability: 'full' })
        trials++
      }
    }
    expect(count).toBeGreaterThan(5)
  })

  test('process killed at every change, durability none', async () => {
    const count = await countChanges(work, 'none')
    for (let at = 1; at <= count; at++) {
      await trial({ work: work, fault: { kind: 'stop', at }, crash: 'kept', durability: 'none' })
      trials++
    }
  })

  test('every change fails once: the disk is full, or broken', async () => {
    const count = await countChanges(work, 'full')
    for (let at = 1; at <= count; at++) {
      for (const code of ['ENOSPC', 'EIO']) {
        await trial({ work: work, fault: { kind: 'fail', at, code }, crash: 'kept', durability: 'full' })
        trials++
      }
    }
  })
})

test('the making of the store itself, stopped at every change', async () => {
  const fresh = new SimFs()
  await (await openSim(fresh)).close()
  for (let at = 1; at <= fresh.changes; at++) {
    for (const crash of ['lost', 'kept', 1, 2, 3, 4] as const) {
      const fs = new SimFs()
      fs.inject({ kind: 'stop', at })
      await expect(openSim(fs)).rejects.toBeDefined()
      fs.crash(crash)
      const promised = nothing()
      expect(await run(fs, promised, WORKS.tag!, 'full'), `change ${at}, crash ${crash}`).toBeUndefined()
      await verify(fs, promised)
      trials++
    }
  }
})

test('a store without fsync would not pass: the simulation sees what is missing', async () => {
  const count = await countChanges(WORKS.tag!, 'none')
  let broken = 0
  for (let at = 1; at <= count; at++) {
    await trial({ work: WORKS.tag!, fault: { kind: 'stop', at }, crash: 'lost', durability: 'none' }).catch(
      () => broken++,
    )
  }
  expect(broken).toBeGreaterThan(0)
})

test('the number of trials', () => {
  console.info(`faults: ${trials} trials`)
  expect(trials).toBeGreaterThan(1000)
})
