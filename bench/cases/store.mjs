// What do the store's guarantees cost? Streams against plain sha256 over the same bytes, small blobs against the bare calls
// of the file system that any store of loose files must make, and against cacache and pnpm's store, neither of which syncs
// anything: they are compared with durability none.
import { createHash, hash } from 'node:crypto'
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

/** Calls by turns, blob by blob, so that a disk that others use is as slow for all. Sorted nanoseconds by name. */
async function byTurns(count, candidates) {
  const out = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]))
  for (let i = 0; i < count; i++) {
    for (const [name, fn] of Object.entries(candidates)) out[name].push(...(await times(1, () => fn(i))))
  }
  for (const list of Object.values(out)) list.sort((a, b) => a - b)
  return out
}

const makeBlobs = (count, name) =>
  Array.from({ length: count }, (_, i) => Buffer.alloc(2048, `blob ${i} ${name}`))

async function* smallBlobs(quick) {
  yield* await inFolder((folder) => unsynced(folder, makeBlobs(quick ? 500 : 3000, 'none')))
  yield* await inFolder((folder) => synced(folder, makeBlobs(quick ? 64 : 192, 'full')))
}

/** Without any sync, beside stores that do not sync. */
async function unsynced(folder, blobs) {
  for (const name of ['raw/tmp', 'raw/blobs']) mkdirSync(join(folder, name), { recursive: true })
  // Only this group needs them.
  const { default: cacache } = await import('cacache')
  const { checkPkgFilesIntegrity, createCafs } = await import('@pnpm/store.cafs')
  const store = await openDiskStore(join(folder, 'store'), { durability: 'none' })
  const [npm, pnpm] = [join(folder, 'cacache'), join(folder, 'pnpm')]
  const cafs = createCafs(pnpm)
  const [digests, keys, files] = [[], [], []]
  const puts = await byTurns(blobs.length, {
    raw: (i) => rawPut(join(folder, 'raw'), `${i}`, blobs[i], false),
    ours: async (i) => digests.push((await store.blobs.put(blobs[i])).digest),
    cacache: async (i) => keys.push(await cacache.put(npm, `${i}`, blobs[i], { algorithms: ['sha256'] })),
    pnpm: (i) => files.push(cafs.addFile(blobs[i], 0o644)),
  })
  const same = (bytes, i) => {
    if (!blobs[i].equals(bytes)) throw new Error('other bytes')
  }
  const gets = await byTurns(blobs.length, {
    raw: (i) => {
      const bytes = readFileSync(join(folder, 'raw/blobs', `${i}`))
      mustBe(`sha256:${hash('sha256', bytes, 'hex')}`, digests[i], 'digest')
      same(bytes, i)
    },
    ours: async (i) => same(await readBlob(store.blobs, digests[i]), i),
    cacache: async (i) => same(await cacache.get.byDigest(npm, keys[i]), i),
    // Reads and hashes a file; what it has read it does not give.
    pnpm: (i) => mustBe(checkPkgFilesIntegrity(pnpm, pnpmIndex(files[i])).passed, true, 'pnpm'),
  })
  await store.close()
  const question = '2 KiB blobs, one after the other, nothing synced'
  return [
    ...rowsAgainst('put', question, puts, 'open, write, close, rename in a loop'),
    ...rowsAgainst('get', `${question}, verified`, gets, 'readFile and sha256 in a loop'),
  ]
}

function pnpmIndex({ integrity }) {
  return { files: { file: { integrity: integrity.toString(), mode: 0o644, size: 2048, checkedAt: 1 } } }
}

/** Ours against the others, and against the bare calls, which say how much faster than the others one can be at all. */
function rowsAgainst(what, question, { raw, ours, cacache, pnpm }, calls) {
  const ratio = (theirs, mine) => at(theirs, 0.5) / at(mine, 0.5)
  return [
    row(`${what} 2 KiB`, question, ours, { baseline: calls, ratio: ratio(ours, raw) }),
    row(`${what} 2 KiB, to cacache`, question, ours, {
      baseline: 'cacache 20 (speed)',
      ratio: ratio(cacache, ours),
      target: '>= 3',
    }),
    row(`${what} 2 KiB, to pnpm's store`, question, ours, {
      baseline: '@pnpm/store.cafs 1000 (speed)',
      ratio: ratio(pnpm, ours),
      target: '>= 3',
    }),
    row(`${what} 2 KiB, floor`, calls, raw, {
      baseline: '@pnpm/store.cafs 1000 (speed)',
      ratio: ratio(pnpm, raw),
    }),
  ]
}

async function synced(folder, blobs) {
  for (const name of ['raw/tmp', 'raw/blobs']) mkdirSync(join(folder, name), { recursive: true })
  const store = await openDiskStore(join(folder, 'store'), { durability: 'full' })
  const together = 16
  const others = makeBlobs(blobs.length * together, 'at once')
  const results = await byTurns(blobs.length, {
    raw: (i) => rawPut(join(folder, 'raw'), `${i}`, blobs[i], true),
    ours: (i) => store.blobs.put(blobs[i]),
    many: (i) =>
      Promise.all(others.slice(i * together, (i + 1) * together).map((bytes) => store.blobs.put(bytes))),
  })
  await store.close()
  const baseline = 'open, write, fsync, rename, fsync'
  const perBlob = results.many.map((ns) => ns / together)
  const ratio = (mine) => at(mine, 0.5) / at(results.raw, 0.5)
  return [
    row('put 2 KiB, synced', '2 KiB blobs, one after the other', results.ours, {
      baseline,
      ratio: ratio(results.ours),
    }),
    row(`put 2 KiB, synced, ${together} at once`, 'per blob', perBlob, { baseline, ratio: ratio(perBlob) }),
  ]
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
