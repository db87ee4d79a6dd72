// What does it cost to ask the cache about one step? Memory, and disk with a growing index.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CacheStore, recordId, rootKeyId } from 'lamella/builder'
import { createMemoryStore, openDiskStore } from 'lamella/store'
import { spread } from '../timing.mjs'

export const group = 'lookup'

const LAYER = 'application/vnd.oci.image.layer.v1.tar'

/** A digest that depends on nothing but its number; one string, as a hash gives it, not a chain of pieces. */
function digest(kind, i) {
  return Buffer.from(`sha256:${kind}${i.toString(16).padStart(64 - kind.length, '0')}`).toString('latin1')
}

/** Step `i`: what it stands on, what it is, and the layer that it gave. */
function step(i) {
  const selector = digest('5e', 0)
  const link = { id: rootKeyId(digest('aa', i), 0), selector }
  return { link, record: digest('bb', i), diffID: digest('cc', i) }
}

async function fill(store, count) {
  const cache = new CacheStore(store)
  for (let i = 0; i < count; i++) {
    const { link, record, diffID } = step(i)
    const id = cache.resolve(record, [[link]])
    const layers = [{ descriptor: { mediaType: LAYER, digest: diffID, size: 1024 }, diffID }]
    cache.save(id, { record, inputs: [[link]], layers, costMs: 1, costBytes: 1024 })
    if (i % 20_000 === 19_999) await cache.flush()
  }
  await cache.flush()
}

const BATCH = 100

/** Asks about steps all over the index, in an order that no cache of pages can foresee. `ask(round)` gives ns of a step. */
function asker(store, count) {
  const cache = new CacheStore(store)
  return (round) => {
    const questions = Array.from({ length: BATCH }, (_, i) => step(((round * BATCH + i) * 7_919) % count))
    const start = process.hrtime.bigint()
    for (const { link, record, diffID } of questions) {
      const [id] = cache.query([link], 0, record)
      if (cache.record(id, record).result.layers[0].diffID !== diffID)
        throw new Error(`wrong answer for ${link.id}`)
    }
    return Number(process.hrtime.bigint() - start) / BATCH
  }
}

/** The indexes take turns, so that a drift of the machine's speed meets all; the first half warms up. */
function measure(askers, rounds) {
  const times = askers.map(() => [])
  for (let round = 0; round < rounds * 2; round++) {
    for (const [i, ask] of askers.entries()) {
      const ns = ask(round)
      if (round >= rounds) times[i].push(ns)
    }
  }
  return times.map((list) => ({ ...spread(list), n: list.length * BATCH }))
}

const question = 'from the key of its input to the layers of its result, one step'

export async function* run({ quick }) {
  // The digest of a record is computed once a step and so not part of the question.
  if (recordId(digest('aa', 1), 0).length !== 71) throw new Error('digests have changed their form')
  const rounds = quick ? 100 : 400
  {
    const count = 10_000
    const store = createMemoryStore()
    await fill(store, count)
    const [times] = measure([asker(store, count)], rounds)
    const name = 'memory, 10,000 records'
    yield {
      name,
      question,
      ...times,
      baseline: '2 us',
      ratio: times.p50Ns / 2_000,
      target: '<= 1',
      check: true,
    }
  }
  const counts = quick ? [1_000, 100_000] : [1_000, 100_000, 1_000_000]
  const folder = mkdtempSync(join(tmpdir(), 'lamella-bench-lookup-'))
  const stores = []
  try {
    for (const count of counts) {
      const store = await openDiskStore(join(folder, String(count)), { durability: 'none' })
      stores.push(store)
      await fill(store, count)
    }
    const askers = counts.map((count, i) => asker(stores[i], count))
    yield* diskRows(counts, measure(askers, rounds))
  } finally {
    for (const store of stores) await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function* diskRows(counts, times) {
  for (const [i, own] of times.entries()) {
    const name = `disk, ${counts[i].toLocaleString('en')} records`
    yield {
      name,
      question,
      ...own,
      baseline: '10 us',
      ratio: own.p50Ns / 10_000,
      target: '<= 1',
      check: true,
    }
    if (i === 0) continue
    const baseline = `disk, ${counts[0].toLocaleString('en')} records`
    const ratio = own.p50Ns / times[0].p50Ns
    yield {
      name: `${name}, against 1,000`,
      question,
      ...own,
      baseline,
      ratio,
      target: '<= 1.5',
      check: true,
    }
  }
}
