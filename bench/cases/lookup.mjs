// What does it cost to ask the cache about one step? Memory, and disk with a growing index.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CacheStore, recordId, rootKeyId } from 'lamella/builder'
import { createMemoryStore, openDiskStore } from 'lamella/store'

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

/** Asks about steps all over the index, in an order that no cache of pages can foresee. */
function measure(store, count, rounds) {
  const cache = new CacheStore(store)
  const batch = 100
  const questions = Array.from({ length: batch * rounds }, (_, i) => step((i * 7_919) % count))
  const times = []
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint()
    for (let i = round * batch; i < (round + 1) * batch; i++) {
      const { link, record, diffID } = questions[i]
      const [id] = cache.query([link], 0, record)
      if (cache.record(id, record).result.layers[0].diffID !== diffID)
        throw new Error(`wrong answer for ${i}`)
    }
    times.push(Number(process.hrtime.bigint() - start) / batch)
  }
  return times.toSorted((a, b) => a - b)
}

const at = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]

function row(name, times, more) {
  return {
    name,
    question: 'from the key of its input to the layers of its result, one step',
    n: times.length * 100,
    p50Ns: at(times, 0.5),
    p99Ns: at(times, 0.99),
    check: true,
    ...more,
  }
}

export async function* run({ quick }) {
  // The digest of a record is computed once a step and so not part of the question.
  if (recordId(digest('aa', 1), 0).length !== 71) throw new Error('digests have changed their form')
  const rounds = quick ? 100 : 400
  {
    const count = 10_000
    const store = createMemoryStore()
    await fill(store, count)
    measure(store, count, rounds)
    const times = measure(store, count, rounds)
    yield row('memory, 10,000 records', times, {
      baseline: '2 us',
      ratio: at(times, 0.5) / 2_000,
      target: '<= 1',
    })
  }
  let first
  for (const count of quick ? [1_000, 100_000] : [1_000, 100_000, 1_000_000]) {
    const folder = mkdtempSync(join(tmpdir(), 'lamella-bench-lookup-'))
    try {
      const store = await openDiskStore(folder, { durability: 'none' })
      await fill(store, count)
      measure(store, count, rounds)
      const times = measure(store, count, rounds)
      await store.close()
      const p50 = at(times, 0.5)
      const name = `disk, ${count.toLocaleString('en')} records`
      yield row(name, times, { baseline: '10 us', ratio: p50 / 10_000, target: '<= 1' })
      if (first === undefined) first = p50
      else
        yield row(`${name}, against 1,000`, times, {
          baseline: 'disk, 1,000 records',
          ratio: p50 / first,
          target: '<= 1.5',
        })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
