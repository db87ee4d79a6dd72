// What do the store's guarantees cost? Streams against plain sha256 over the same bytes, small blobs against the bare calls
// of the file system that any store of loose files must make, and against cacache and pnpm's store where they are
// installed (`npm i --no-save cacache@20 @pnpm/store.cafs@1000`).
import { createHash } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  checkStore,
  createMemoryStore,
  openDiskStore,
  planGc,
  planPrune,
  readBlob,
  verifyBlob,
} from 'lamella/store'

export const group = 'store'

const MIB = 1 << 20

function noise(length) {
  const out = Buffer.allocUnsafe(length)
  for (let i = 0; i + 4 <= length; i += 4) out.writeUInt32LE(Math.imul(i + 1, 2654435761) >>> 0, i)
  return out
}

function cut(bytes, size) {
  const out = []
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.subarray(at, at + size))
  return out
}

function plainDigest(chunks) {
  const hash = createHash('sha256')
  for (const chunk of chunks) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}

/** Nanoseconds that each run of `fn` took, sorted. `before` is not timed. */
async function times(rounds, fn, before = () => undefined) {
  const out = []
  for (let i = 0; i < rounds; i++) {
    const prepared = await before(i)
    const start = process.hrtime.bigint()
    await fn(prepared, i)
    out.push(Number(process.hrtime.bigint() - start))
  }
  return out.toSorted((a, b) => a - b)
}

const at = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]

function row(name, question, sorted, more) {
  return {
    name,
    question,
    n: sorted.length,
    p50Ns: at(sorted, 0.5),
    p99Ns: at(sorted, 0.99),
    check: true,
    ...more,
  }
}

function mustBe(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: ${actual} instead of ${expected}`)
}

async function inFolder(fn) {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-bench-store-'))
  try {
    return await fn(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function* run({ quick }) {
  yield* streams(quick)
  yield* smallBlobs(quick)
  yield* marking(quick)
}

async function* streams(quick) {
  const bytes = noise((quick ? 64 : 256) * MIB)
  const rounds = quick ? 3 : 7
  const inMiB = cut(bytes, MIB)
  const digest = plainDigest(inMiB)
  const sha = await times(rounds, () => plainDigest(inMiB))
  const baseline = 'plain sha256'
  for (const [name, chunks] of [
    ['1 MiB', inMiB],
    ['64 KiB', cut(bytes, 64 << 10)],
    ['2 KiB', cut(bytes, 2048)],
  ]) {
    const rows = await inFolder(async (folder) => {
      const store = await openDiskStore(folder, { durability: 'none' })
      const put = await times(
        rounds,
        async () => mustBe((await store.blobs.put(chunks)).digest, digest, 'put'),
        () => store.blobs.delete(digest),
      )
      const question = `put ${bytes.length / MIB} MiB in chunks of ${name}, nothing synced`
      const rows = [
        row(`put, chunks of ${name}`, question, put, {
          baseline,
          ratio: at(sha, 0.5) / at(put, 0.5),
          target: '>= 0.8',
          bytes: bytes.length,
        }),
      ]
      if (name === '1 MiB') {
        const verify = await times(rounds, () => verifyBlob(store.blobs, digest))
        const check = await times(rounds, async () => mustBe((await checkStore(store)).length, 1, 'check'))
        for (const [what, sorted] of [
          ['verify', verify],
          ['fsck', check],
        ]) {
          const ratio = at(sha, 0.5) / at(sorted, 0.5)
          rows.push(row(what, `${what} of the same blob`, sorted, { baseline, ratio, target: '>= 0.8' }))
        }
      }
      await store.close()
      return rows
    })
    yield* rows
  }
}

/** What any store of loose files must do for one blob. */
function rawPut(folder, name, bytes, isSynced) {
  const temp = join(folder, 'tmp', name)
  const fd = openSync(temp, 'wx', 0o444)
  writeSync(fd, bytes)
  if (isSynced) fsyncSync(fd)
  closeSync(fd)
  renameSync(temp, join(folder, 'blobs', name))
  if (!isSynced) return
  const parent = openSync(join(folder, 'blobs'))
  fsyncSync(parent)
  closeSync(parent)
}

async function* smallBlobs(quick) {
  for (const durability of ['none', 'full']) {
    const count = durability === 'none' ? (quick ? 500 : 3000) : quick ? 50 : 200
    const blobs = Array.from({ length: count }, (_, i) => Buffer.alloc(2048, `blob ${i} ${durability}`))
    const question = `2 KiB blobs, one after the other, durability ${durability}`
    const { raw, rawGet, put, get } = await inFolder(async (folder) => {
      for (const name of ['raw/tmp', 'raw/blobs']) mkdirSync(join(folder, name), { recursive: true })
      const store = await openDiskStore(join(folder, 'store'), { durability })
      const digests = []
      // By turns, so that a disk that others use is as slow for both.
      const raw = []
      const put = []
      for (let i = 0; i < count; i++) {
        raw.push(
          ...(await times(1, () => rawPut(join(folder, 'raw'), `${i}`, blobs[i], durability === 'full'))),
        )
        put.push(...(await times(1, async () => digests.push((await store.blobs.put(blobs[i])).digest))))
      }
      const rawGet = await times(count, (_, i) => readFileSync(join(folder, 'raw/blobs', `${i}`)))
      const get = await times(count, async (_, i) => {
        if (!blobs[i].equals(await readBlob(store.blobs, digests[i]))) throw new Error('other bytes')
      })
      await store.close()
      const sort = (list) => list.toSorted((a, b) => a - b)
      return { raw: sort(raw), rawGet, put: sort(put), get }
    })
    const more = (mine, theirs, baseline) => ({ baseline, ratio: at(mine, 0.5) / at(theirs, 0.5) })
    const calls = durability === 'none' ? 'open, write, rename' : 'open, write, fsync, rename, fsync'
    yield row(`put 2 KiB, ${durability}`, question, put, more(put, raw, calls))
    if (durability === 'none') {
      yield row('get 2 KiB, verified', question, get, more(get, rawGet, 'readFile, unverified'))
      yield* peers(blobs, { put, get })
    }
  }
}

async function* peers(blobs, { put, get }) {
  const cacache = await import('cacache').then((module) => module.default).catch(() => undefined)
  const cafs = await import('@pnpm/store.cafs').catch(() => undefined)
  const question = 'the same blobs, in another store, without fsync'
  const against = (mine, theirs, name) => ({
    baseline: `lamella: this takes so many times as long`,
    ratio: at(theirs, 0.5) / at(mine, 0.5),
    name,
    target: '>= 3',
  })
  if (cacache !== undefined) {
    const [theirPut, theirGet] = await inFolder(async (folder) => {
      const keys = []
      const options = { algorithms: ['sha256'] }
      const puts = await times(blobs.length, async (_, i) =>
        keys.push(await cacache.put(folder, `${i}`, blobs[i], options)),
      )
      const gets = await times(blobs.length, (_, i) => cacache.get.byDigest(folder, keys[i]))
      return [puts, gets]
    })
    yield row('cacache: put', question, theirPut, against(put, theirPut, 'cacache: put'))
    yield row('cacache: get by digest', question, theirGet, against(get, theirGet, 'cacache: get by digest'))
  }
  if (cafs !== undefined) {
    const theirPut = await inFolder((folder) => {
      const store = cafs.createCafs(folder)
      return times(blobs.length, (_, i) => store.addFile(blobs[i], 0o644))
    })
    yield row('pnpm store: put', question, theirPut, against(put, theirPut, 'pnpm store: put'))
  }
}

async function* marking(quick) {
  const count = quick ? 1_000 : 10_000
  const store = createMemoryStore()
  const config = await store.blobs.put(Buffer.from('{}'))
  const perImage = 10
  for (let image = 0; image < count / perImage; image++) {
    const layers = []
    for (let i = 0; i < perImage; i++) {
      const { digest, size } = await store.blobs.put(Buffer.from(`layer ${image} ${i}`))
      layers.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size })
    }
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const document = {
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', ...config },
      layers,
    }
    const { digest, size } = await store.blobs.put(Buffer.from(JSON.stringify(document)))
    await store.refs.set(`image:${image}`, { mediaType, digest, size })
  }
  const nowMs = Date.now() + 1e9
  const sorted = await times(quick ? 3 : 7, async () => {
    const plan = await planGc(store, { nowMs })
    mustBe(plan.remove.length, 0, 'garbage')
    mustBe(plan.keptCount, count + count / perImage + 1, 'kept')
  })
  yield row(`gc: mark ${count.toLocaleString('en')} layers`, 'in memory, all reachable', sorted, {
    baseline: '1 s',
    ratio: at(sorted, 0.5) / 1e9,
    target: '<= 1',
  })
  const records = Array.from({ length: count }, (_, i) => ({
    key: `${i}`,
    size: MIB,
    lastUsedMs: nowMs - ((i * 7919) % 100) * 1e7,
    useCount: i % 13,
    type: 'regular',
    shared: false,
  }))
  const half = { maxUsedSpace: (count / 2) * MIB }
  const prune = await times(quick ? 2 : 3, () => {
    const plan = planPrune(records, [half], { nowMs, space: { total: 1e12, free: 1e12 } })
    mustBe(plan.remove.length, count / 2 + 1, 'pruned')
  })
  yield row(
    `prune: plan half of ${count.toLocaleString('en')} records`,
    'one at a time, as BuildKit ranks',
    prune,
    {},
  )
}
