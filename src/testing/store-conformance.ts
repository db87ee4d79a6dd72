// What every BlobStore and every Store must do, as cases for any test runner. An implementation of one's own, or a
// wrapper around ours, passes these or is not one.
import { strict as assert } from 'node:assert'
import { MEDIA_TYPES, type Descriptor } from '../descriptor.js'
import { digestOf, EMPTY_DIGEST, type Digest } from '../digest.js'
import type { Env } from '../env.js'
import {
  applyGc,
  checkStore,
  openBlob,
  planGc,
  readBlob,
  readVerified,
  verifyBlob,
  type BlobStore,
  type Store,
} from '../store/index.js'

export interface ConformanceCase {
  readonly name: string
  /** Rejects when the implementation does not conform. */
  run(): Promise<void>
}

/** @param make  a fresh, empty one for each case; `clear` removes what it left behind */
export type Make<T> = () => Promise<{ readonly value: T; clear?(): Promise<void> }>

function casesOf<T>(make: Make<T>, table: Record<string, (value: T) => Promise<void>>): ConformanceCase[] {
  return Object.entries(table).map(([name, check]) => ({
    name,
    async run() {
      const { value, clear } = await make()
      try {
        await check(value)
      } finally {
        await clear?.()
      }
    },
  }))
}

const bytesOf = (text: string) => new TextEncoder().encode(text)
const HELLO = bytesOf('hello')
const ABSENT = digestOf('absent')

/** Bytes without a pattern, the same for the same seed. */
function noise(length: number, seed = 1): Uint8Array {
  const out = new Uint8Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    out[i] = state >>> 16
  }
  return out
}

async function* later(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    await Promise.resolve()
    yield chunk
  }
}

async function* broken(): AsyncGenerator<Uint8Array> {
  yield noise(600_000)
  throw Object.assign(new Error('line cut'), { code: 'ECONNRESET' })
}

async function rejectsWith(code: string, call: () => Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert.equal((error as { code?: unknown }).code, code, String(error))
    return true
  })
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk.slice())
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

async function digestsIn(blobs: BlobStore): Promise<Digest[]> {
  const out: Digest[] = []
  for await (const { digest } of blobs.list()) out.push(digest)
  return out.sort()
}

export function blobStoreCases(make: Make<BlobStore>): ConformanceCase[] {
  return casesOf(make, {
    async 'put gives digest and size; get gives the bytes back'(blobs) {
      const digest = digestOf(HELLO)
      assert.deepEqual(await blobs.put(HELLO), { digest, size: 5 })
      assert.deepEqual(await drain(blobs.get(digest)), HELLO)
      assert.equal((await blobs.stat(digest))?.size, 5)
    },

    async 'a blob is the same however it is chunked'(blobs) {
      const whole = noise(3_000_000)
      const digest = digestOf(whole)
      for (const cut of [4096, 65_536, 300_000, 1 << 20, (1 << 20) + 1]) {
        const chunks: Uint8Array[] = []
        for (let at = 0; at < whole.length; at += cut) chunks.push(whole.subarray(at, at + cut))
        for (const source of [chunks, later(...chunks)]) {
          await blobs.delete(digest)
          assert.deepEqual(await blobs.put(source), { digest, size: whole.length })
          assert.equal(digestOf(await readBlob(blobs, digest)), digest)
        }
      }
    },

    async 'a source may reuse its buffer'(blobs) {
      const buffer = new Uint8Array(400_000)
      function* reusing(): Generator<Uint8Array> {
        for (const fill of [1, 2, 3]) yield buffer.fill(fill)
        for (const fill of [4, 5]) yield buffer.fill(fill).subarray(0, 1000)
      }
      const { digest, size } = await blobs.put(reusing())
      const got = await readBlob(blobs, digest)
      assert.equal(size, 1_202_000)
      assert.deepEqual(
        [0, 399_999, 400_000, 800_000, 1_199_999, 1_200_000, 1_201_000].map((at) => got[at]),
        [1, 1, 2, 3, 3, 4, 5],
      )
    },

    async 'the empty blob'(blobs) {
      assert.deepEqual(await blobs.put([]), { digest: EMPTY_DIGEST, size: 0 })
      assert.equal((await readBlob(blobs, EMPTY_DIGEST)).byteLength, 0)
      assert.equal((await openBlob(blobs, EMPTY_DIGEST)).read(0, 0).byteLength, 0)
    },

    async 'wrong digest or size: an error, and the store is as it was'(blobs) {
      const digest = digestOf(HELLO)
      for (const source of [() => HELLO, () => [HELLO], () => later(HELLO)]) {
        await rejectsWith('DIGEST_MISMATCH', () => blobs.put(source(), { digest: ABSENT }))
        await rejectsWith('SIZE_MISMATCH', () => blobs.put(source(), { size: 4 }))
        await rejectsWith('SIZE_MISMATCH', () => blobs.put(source(), { digest, size: 6 }))
      }
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'a blob that is there does not excuse wrong bytes'(blobs) {
      const digest = digestOf(HELLO)
      await blobs.put(HELLO)
      await rejectsWith('DIGEST_MISMATCH', () => blobs.put(later(bytesOf('jello')), { digest }))
      await rejectsWith('SIZE_MISMATCH', () => blobs.put(later(HELLO, HELLO), { digest, size: 5 }))
      assert.deepEqual(await readBlob(blobs, digest), HELLO)
    },

    async 'a stream that is longer than promised is not read to its end'(blobs) {
      let pulled = 0
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (;;) {
          pulled++
          yield HELLO
        }
      }
      await rejectsWith('SIZE_MISMATCH', () => blobs.put(endless(), { size: 50 }))
      assert.ok(pulled < 20, `${pulled} chunks were pulled`)
    },

    async 'an error of the source comes through; nothing is stored'(blobs) {
      await rejectsWith('ECONNRESET', () => blobs.put(broken()))
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'put is idempotent, also at the same time'(blobs) {
      const bytes = noise(700_000)
      const puts = Array.from({ length: 8 }, (_, i) => blobs.put(i % 2 ? later(bytes) : bytes))
      const infos = await Promise.all(puts)
      assert.ok(infos.every(({ digest }) => digest === digestOf(bytes)))
      assert.deepEqual(await digestsIn(blobs), [digestOf(bytes)])
    },

    async 'a signal stops a put; nothing is stored'(blobs) {
      const controller = new AbortController()
      async function* stopping(): AsyncGenerator<Uint8Array> {
        yield HELLO
        controller.abort()
        yield HELLO
      }
      await rejectsWith('ABORT_ERR', () => blobs.put(stopping(), {}, { signal: controller.signal }))
      await rejectsWith('ABORT_ERR', () => blobs.put(HELLO, {}, { signal: controller.signal }))
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'absence is undefined, false, or BLOB_NOT_FOUND'(blobs) {
      assert.equal(await blobs.stat(ABSENT), undefined)
      assert.equal(await blobs.delete(ABSENT), false)
      await rejectsWith('BLOB_NOT_FOUND', () => drain(blobs.get(ABSENT)))
      await rejectsWith('BLOB_NOT_FOUND', () => openBlob(blobs, ABSENT))
    },

    async 'delete removes'(blobs) {
      const { digest } = await blobs.put(HELLO)
      assert.equal(await blobs.delete(digest), true)
      assert.equal(await blobs.stat(digest), undefined)
      assert.deepEqual(await digestsIn(blobs), [])
      await blobs.put(HELLO)
      assert.deepEqual(await readBlob(blobs, digest), HELLO)
    },

    async 'ranges are cut at the end'(blobs) {
      const bytes = noise(2_500_000)
      const { digest } = await blobs.put(bytes)
      for (const [offset, length] of [
        [0, 10],
        [1_048_570, 20],
        [2_499_990, 100],
        [2_500_000, 1],
        [9_000_000, 1],
        [5, 0],
        [100, 2_000_000],
      ] as const) {
        const got = await drain(blobs.get(digest, { offset, length }))
        assert.deepEqual(got, bytes.slice(offset, offset + length), `${offset}+${length}`)
      }
      await assert.rejects(() => drain(blobs.get(digest, { offset: -1, length: 1 })), RangeError)
    },

    async 'a range whose digest is known is verified'(blobs) {
      const bytes = noise(10_000)
      const { digest } = await blobs.put(bytes)
      const [offset, length] = [3000, 5000]
      const right = digestOf(bytes.subarray(offset, offset + length))
      const got = await drain(blobs.get(digest, { offset, length, digest: right }))
      assert.equal(digestOf(got), right)
      await rejectsWith('DIGEST_MISMATCH', () => drain(blobs.get(digest, { offset, length, digest: ABSENT })))
      await rejectsWith('DIGEST_MISMATCH', () =>
        drain(blobs.get(digest, { offset: 6000, length, digest: right })),
      )
      const reader = await openBlob(blobs, digest)
      assert.equal(digestOf(readVerified(reader, offset, length, right)), right)
      assert.throws(() => readVerified(reader, offset + 1, length, right), { code: 'DIGEST_MISMATCH' })
    },

    async 'verify passes what is sound and misses what is not there'(blobs) {
      for (const size of [0, 5, 300_000, 3_500_000]) {
        await verifyBlob(blobs, (await blobs.put(noise(size))).digest)
      }
      await rejectsWith('BLOB_NOT_FOUND', () => verifyBlob(blobs, ABSENT))
    },

    async 'list tells every blob with its size'(blobs) {
      const sizes = new Map<Digest, number>()
      for (const size of [0, 1, 5, 4096]) sizes.set((await blobs.put(noise(size))).digest, size)
      const listed = new Map<Digest, number>()
      for await (const { digest, size } of blobs.list()) listed.set(digest, size)
      assert.deepEqual(new Map([...listed].sort()), new Map([...sizes].sort()))
    },

    async 'a reader reads any range within the blob, and no other'(blobs) {
      const bytes = noise(100_000)
      const { digest } = await blobs.put(bytes)
      const reader = await openBlob(blobs, digest)
      assert.equal(reader.size, 100_000)
      assert.equal(reader.digest, digest)
      for (const [offset, length] of [
        [0, 0],
        [0, 100_000],
        [99_999, 1],
        [512, 512],
      ] as const) {
        const got = reader.read(offset, length)
        assert.deepEqual(Uint8Array.from(got), bytes.slice(offset, offset + length))
      }
      for (const [offset, length] of [
        [0, 100_001],
        [100_000, 1],
        [-1, 1],
        [1, -1],
      ] as const) {
        assert.throws(() => reader.read(offset, length), { code: 'SIZE_MISMATCH' })
      }
    },

    async 'more readers than there may be open files'(blobs) {
      const digests: Digest[] = []
      for (let i = 0; i < 300; i++) digests.push((await blobs.put(bytesOf(`blob ${i}`))).digest)
      const readers = await Promise.all(digests.map((digest) => openBlob(blobs, digest)))
      for (let round = 0; round < 2; round++) {
        readers.forEach((reader, i) =>
          assert.equal(new TextDecoder().decode(reader.read(5, reader.size - 5)), `${i}`),
        )
      }
    },

    async 'ingest: goes on where the source broke off, and becomes a blob'(blobs) {
      if (blobs.ingest === undefined) return
      const whole = Uint8Array.from([...noise(600_000), ...HELLO])
      const first = await blobs.ingest('big')
      await rejectsWith('ECONNRESET', () => first.append(broken()))
      assert.equal(first.size, 600_000)
      await first.close()
      await first.close()
      assert.deepEqual(await digestsIn(blobs), [])
      const second = await blobs.ingest('big')
      assert.equal(second.size, 600_000)
      await second.append([HELLO])
      const info = { digest: digestOf(whole), size: whole.length }
      assert.deepEqual(await second.commit(info), info)
      assert.deepEqual(await readBlob(blobs, info.digest), whole)
      const third = await blobs.ingest('big')
      assert.equal(third.size, 0)
      await third.discard()
      await rejectsWith('STORE_CLOSED', () => third.append(HELLO))
    },

    async 'ingest: one at a time under a name, and names are apart'(blobs) {
      if (blobs.ingest === undefined) return
      const a = await blobs.ingest('a')
      await rejectsWith('INGEST_BUSY', () => blobs.ingest!('a'))
      const b = await blobs.ingest('../b')
      await a.append(HELLO)
      await b.append(later(HELLO, HELLO))
      assert.deepEqual([a.size, b.size], [5, 10])
      await a.discard()
      await (await blobs.ingest('a')).close()
      assert.equal((await b.commit()).size, 10)
    },

    async 'ingest: what is wrong at the end is begun anew'(blobs) {
      if (blobs.ingest === undefined) return
      for (const expect of [{ digest: ABSENT }, { size: 4 }]) {
        const ingest = await blobs.ingest('x')
        assert.equal(ingest.size, 0)
        await ingest.append(HELLO)
        await rejectsWith('digest' in expect ? 'DIGEST_MISMATCH' : 'SIZE_MISMATCH', () =>
          ingest.commit(expect),
        )
      }
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'a reader of a deleted blob says so'(blobs) {
      if (blobs.open === undefined) return
      const { digest } = await blobs.put(HELLO)
      const reader = await blobs.open(digest)
      reader.read(0, 1)
      await blobs.delete(digest)
      assert.throws(() => reader.read(0, 1), { code: 'BLOB_NOT_FOUND' })
    },
  })
}

export interface StoreSubject {
  readonly store: Store
  /** The clock of the store's Env, which the cases move; see `movableEnv`. */
  readonly clock: { ns: bigint }
}

/** An Env whose clock stands still until it is moved. */
export function movableEnv(): { env: Env; clock: { ns: bigint } } {
  const clock = { ns: 1_700_000_000_000_000_000n }
  let id = 0
  const env: Env = {
    now: () => clock.ns,
    randomId: () => (++id).toString(16).padStart(16, '0'),
    concurrency: 2,
  }
  return { env, clock }
}

async function target(store: Store, text: string): Promise<Descriptor> {
  const { digest, size } = await store.blobs.put(bytesOf(text))
  return { mediaType: MEDIA_TYPES.manifest, digest, size }
}

export function storeCases(make: Make<StoreSubject>): ConformanceCase[] {
  return [
    ...refCases(make),
    ...leaseCases(make),
    ...derivedCases(make),
    ...documentCases(make),
    ...lifeCases(make),
  ]
}

function refCases(make: Make<StoreSubject>): ConformanceCase[] {
  return casesOf(make, {
    async 'refs: what is set is got, annotations included'({ store }) {
      const plain = await target(store, 'a')
      const rich = {
        ...(await target(store, 'b')),
        annotations: { 'org.example': 'x' },
        platform: { os: 'linux', architecture: 'amd64' },
      }
      await store.refs.set('node:20', plain)
      await store.refs.set('a', rich)
      assert.deepEqual(await store.refs.get('node:20'), plain)
      assert.deepEqual(await store.refs.get('a'), rich)
      assert.equal(await store.refs.get('other'), undefined)
      assert.deepEqual(await store.refs.list(), [
        { name: 'a', target: rich },
        { name: 'node:20', target: plain },
      ])
    },

    async 'refs: compare and set'({ store }) {
      const [a, b] = [await target(store, 'a'), await target(store, 'b')]
      await rejectsWith('REF_CONFLICT', () => store.refs.set('x', a, b.digest))
      await store.refs.set('x', a, null)
      await rejectsWith('REF_CONFLICT', () => store.refs.set('x', b, null))
      await rejectsWith('REF_CONFLICT', () => store.refs.set('x', b, b.digest))
      await rejectsWith('REF_CONFLICT', () => store.refs.set('x', undefined, b.digest))
      assert.deepEqual(await store.refs.get('x'), a)
      await store.refs.set('x', b, a.digest)
      await store.refs.set('x', undefined, b.digest)
      assert.equal(await store.refs.get('x'), undefined)
      await store.refs.set('x', undefined)
      await rejectsWith('REF_CONFLICT', () => store.refs.set('x', undefined, a.digest))
    },

    async 'refs: of many that compare and set at once, one wins'({ store }) {
      const targets = await Promise.all(Array.from({ length: 10 }, (_, i) => target(store, `t${i}`)))
      const results = await Promise.allSettled(targets.map((t) => store.refs.set('x', t, null)))
      const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [targets[i]!] : []))
      assert.equal(won.length, 1)
      assert.deepEqual(await store.refs.get('x'), won[0])
    },

    async 'refs: a target that is not there, a name that is none'({ store }) {
      const absent = { mediaType: MEDIA_TYPES.manifest, digest: ABSENT, size: 6 }
      await rejectsWith('BLOB_NOT_FOUND', () => store.refs.set('x', absent))
      const a = await target(store, 'a')
      for (const name of ['', 'a\nb', 'a\0', '\u0085', '\ud800']) {
        await rejectsWith('REF_INVALID', () => store.refs.set(name, a))
      }
      assert.deepEqual(await store.refs.list(), [])
    },

    async 'refs: an image that lacks a part gets no name; platforms of an index may lack'({ store }) {
      const put = async (mediaType: string, value: unknown): Promise<Descriptor> => {
        const { digest, size } = await store.blobs.put(bytesOf(JSON.stringify(value)))
        return { mediaType, digest, size }
      }
      const layer = { mediaType: MEDIA_TYPES.layer, digest: ABSENT, size: 6 }
      const config = await put(MEDIA_TYPES.config, { rootfs: { type: 'layers', diff_ids: [ABSENT] } })
      const image = await put(MEDIA_TYPES.manifest, { schemaVersion: 2, config, layers: [layer] })
      await rejectsWith('BLOB_NOT_FOUND', () => store.refs.set('x', image))
      const foreign = { ...layer, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' }
      await store.refs.set(
        'y',
        await put(MEDIA_TYPES.manifest, { schemaVersion: 2, config, layers: [foreign] }),
      )
      const absent = { mediaType: MEDIA_TYPES.manifest, digest: ABSENT, size: 6 }
      const index = await put(MEDIA_TYPES.index, { schemaVersion: 2, manifests: [absent] })
      await store.refs.set('z', index)
      assert.deepEqual(
        (await store.refs.list()).map(({ name }) => name),
        ['y', 'z'],
      )
      await store.blobs.put(bytesOf('absent'))
      await store.refs.set('x', image)
    },

    async 'refs: history, newest first'({ store, clock }) {
      const [a, b] = [await target(store, 'a'), await target(store, 'b')]
      await store.refs.set('x', a)
      clock.ns += 5n
      await store.refs.set('x', b)
      clock.ns += 5n
      await store.refs.set('x', undefined)
      const start = clock.ns - 10n
      assert.deepEqual(await store.refs.history('x'), [
        { timeNs: start + 10n, before: b, after: undefined },
        { timeNs: start + 5n, before: a, after: b },
        { timeNs: start, before: undefined, after: a },
      ])
      assert.deepEqual(await store.refs.history('never'), [])
    },
  })
}

function leaseCases(make: Make<StoreSubject>): ConformanceCase[] {
  const HOUR_NS = 3_600_000_000_000n
  return casesOf(make, {
    async 'leases: hold digests until they expire; 24 hours unless told'({ store, clock }) {
      const lease = await store.leases.create()
      assert.equal(lease.expiresNs, clock.ns + 24n * HOUR_NS)
      await store.leases.add(lease.id, [ABSENT, EMPTY_DIGEST])
      await store.leases.add(lease.id, [ABSENT])
      const [held, ...others] = await store.leases.list()
      assert.deepEqual(others, [])
      assert.deepEqual(new Set(held?.digests), new Set([ABSENT, EMPTY_DIGEST]))
      clock.ns += 24n * HOUR_NS
      assert.deepEqual(await store.leases.list(), [])
      await rejectsWith('REF_NOT_FOUND', () => store.leases.add(lease.id, []))
    },

    async 'leases: adding renews'({ store, clock }) {
      const lease = await store.leases.create({ ttlMs: 3_600_000 })
      clock.ns += HOUR_NS - 1n
      await store.leases.add(lease.id, [])
      clock.ns += HOUR_NS - 1n
      assert.equal((await store.leases.list()).length, 1)
      clock.ns += 1n
      assert.equal((await store.leases.list()).length, 0)
    },

    async 'leases: release ends one, and only that one'({ store }) {
      const [a, b] = [await store.leases.create(), await store.leases.create()]
      await store.leases.release(a.id)
      await store.leases.release(a.id)
      assert.deepEqual(
        (await store.leases.list()).map(({ id }) => id),
        [b.id],
      )
      await rejectsWith('REF_NOT_FOUND', () => store.leases.add(a.id, [ABSENT]))
      await rejectsWith('REF_NOT_FOUND', () => store.leases.add('../../index.json', [ABSENT]))
    },
  })
}

function derivedCases(make: Make<StoreSubject>): ConformanceCase[] {
  return casesOf(make, {
    async 'records: write, read, delete'({ store: { records } }) {
      assert.equal(records.get('a'), undefined)
      assert.deepEqual([...records.keys('')], [])
      await records.write({ delete: ['a'] })
      await records.write({
        put: [
          ['a', HELLO],
          ['empty', new Uint8Array(0)],
        ],
      })
      assert.deepEqual(new Uint8Array(records.get('a') ?? []), HELLO)
      assert.equal(records.get('empty')?.byteLength, 0)
      await records.write({ put: [['b', HELLO]], delete: ['a', 'never'] })
      assert.equal(records.get('a'), undefined)
      assert.deepEqual([...records.keys('')], ['b', 'empty'])
    },

    async 'records: a value belongs to the caller'({ store: { records } }) {
      const value = HELLO.slice()
      await records.write({ put: [['a', value]] })
      value.fill(0)
      const got = records.get('a')!
      await records.write({ put: [['b', noise(100)]] })
      records.get('b')
      assert.deepEqual(new Uint8Array(got), HELLO)
      got.fill(0)
      assert.deepEqual(new Uint8Array(records.get('a')!), HELLO)
    },

    async 'records: a value that was peeked at stays what it was'({ store: { records } }) {
      if (records.peek === undefined) return
      assert.equal(records.peek('a'), undefined)
      await records.write({ put: [['a', HELLO]] })
      const seen = records.peek('a')!
      await records.write({ put: [['a', noise(100)]] })
      records.peek('a')
      assert.deepEqual(new Uint8Array(seen), HELLO)
      await records.write({ delete: ['a'] })
      assert.equal(records.peek('a'), undefined)
    },

    async 'records: keys by prefix, in byte order'({ store: { records } }) {
      const names = ['b', 'a', 'a/2', 'a/10', 'a\u{1f600}', 'a\uffff', 'ab', 'k'.repeat(500)]
      await records.write({ put: names.map((name) => [name, HELLO] as const) })
      assert.deepEqual([...records.keys('a')], ['a', 'a/10', 'a/2', 'ab', 'a\uffff', 'a\u{1f600}'])
      assert.deepEqual([...records.keys('a/')], ['a/10', 'a/2'])
      assert.deepEqual([...records.keys('c')], [])
      assert.deepEqual([...records.keys('k')], ['k'.repeat(500)])
    },

    async 'records: limits, and a batch that breaks one changes nothing'({ store: { records } }) {
      await records.write({ put: [['big', noise(1 << 20)]] })
      assert.equal(digestOf(records.get('big')!), digestOf(noise(1 << 20)))
      for (const [key, value] of [
        ['', HELLO],
        ['k'.repeat(501), HELLO],
        ['huge', new Uint8Array((1 << 20) + 1)],
      ] as const) {
        const batch = { put: [['good', HELLO] as const, [key, value] as const] }
        await assert.rejects(() => records.write(batch), RangeError)
      }
      assert.equal(records.get('good'), undefined)
    },

    async 'sidecars: put, get, list, delete'({ store: { sidecars } }) {
      assert.equal(sidecars.get('layer-index', 'abc'), undefined)
      assert.deepEqual(await sidecars.list('layer-index'), [])
      await sidecars.put('layer-index', 'abc', HELLO)
      await sidecars.put('layer-index', 'abc', noise(10_000))
      await sidecars.put('layer-index', 'b', new Uint8Array(0))
      assert.deepEqual(new Uint8Array(sidecars.get('layer-index', 'abc')!), noise(10_000))
      assert.equal(sidecars.get('layer-index', 'b')?.byteLength, 0)
      assert.equal(sidecars.get('other', 'abc'), undefined)
      assert.deepEqual(await sidecars.list('layer-index'), ['abc', 'b'])
      await sidecars.delete('layer-index', 'abc')
      await sidecars.delete('layer-index', 'abc')
      assert.deepEqual(await sidecars.list('layer-index'), ['b'])
    },

    async 'sidecars: names that could leave the folder'({ store: { sidecars } }) {
      for (const [kind, key] of [
        ['..', 'a'],
        ['a', '../b'],
        ['a', ''],
        ['A', 'a'],
        ['a/b', 'c'],
      ] as const) {
        assert.throws(() => sidecars.get(kind, key), RangeError)
        await assert.rejects(() => sidecars.put(kind, key, HELLO), RangeError)
      }
    },
  })
}

function documentCases(make: Make<StoreSubject>): ConformanceCase[] {
  return casesOf(make, {
    async 'documents: put, get, list, delete; a value is what JSON makes of it'({ store: { documents } }) {
      assert.equal(await documents.get('volumes', 'data'), undefined)
      assert.deepEqual(await documents.list('volumes'), [])
      const value = { name: 'däta', list: [1, null, { a: true }] }
      await documents.change(async (edit) => {
        await edit.put('volumes', 'data', value, [ABSENT])
        await edit.put('volumes', 'Data_2.x-y', 'text')
        await edit.put('others', 'data', 0)
        assert.deepEqual(await edit.get('volumes', 'data'), { key: 'data', value, roots: [ABSENT] })
      })
      value.list.length = 0
      const stored = { name: 'däta', list: [1, null, { a: true }] }
      assert.deepEqual(await documents.list('volumes'), [
        { key: 'Data_2.x-y', value: 'text', roots: [] },
        { key: 'data', value: stored, roots: [ABSENT] },
      ])
      assert.deepEqual(await documents.roots(), [{ kind: 'volumes', key: 'data', digest: ABSENT }])
      const deleted = await documents.change(async (edit) => [
        await edit.delete('volumes', 'data'),
        await edit.delete('volumes', 'data'),
      ])
      assert.deepEqual(deleted, [true, false])
      assert.equal(await documents.get('volumes', 'data'), undefined)
      assert.deepEqual(await documents.roots(), [])
    },

    async 'documents: changes are made one after the other, and an error ends one'({ store: { documents } }) {
      const count = async () => ((await documents.get('k', 'n'))?.value as number | undefined) ?? 0
      const add = () =>
        documents.change(async (edit) => {
          const before = ((await edit.get('k', 'n'))?.value as number | undefined) ?? 0
          await new Promise((resolve) => setTimeout(resolve, 1))
          await edit.put('k', 'n', before + 1)
        })
      await Promise.all(Array.from({ length: 10 }, add))
      assert.equal(await count(), 10)
      await assert.rejects(
        documents.change(async () => Promise.reject(new Error('no'))),
        /no/,
      )
      await add()
      assert.equal(await count(), 11)
    },

    async 'documents: names are plain file names'({ store: { documents } }) {
      for (const [kind, key] of [
        ['../x', 'a'],
        ['A', 'a'],
        ['k', ''],
        ['k', '.'],
        ['k', '..'],
        ['k', 'a/b'],
        ['k', '-a'],
        ['k', 'ä'],
      ] as const) {
        await assert.rejects(() => documents.get(kind, key), RangeError)
        await assert.rejects(() => documents.change((edit) => edit.put(kind, key, 1)), RangeError)
        await assert.rejects(() => documents.hold(kind, key), RangeError)
      }
    },

    async 'documents: one holder at a time, whether the document is there or not'({ store: { documents } }) {
      assert.equal(await documents.holder('k', 'a'), undefined)
      const hold = await documents.hold('k', 'a')
      assert.notEqual(hold, undefined)
      assert.equal(await documents.hold('k', 'a'), undefined)
      assert.notEqual(await documents.hold('k', 'b'), undefined)
      assert.notEqual(await documents.holder('k', 'a'), undefined)
      await documents.change((edit) => edit.put('k', 'a', 1))
      hold!.release()
      assert.equal(await documents.holder('k', 'a'), undefined)
      const next = await documents.hold('k', 'a')
      // A second release is not the next holder's.
      hold!.release()
      assert.notEqual(await documents.holder('k', 'a'), undefined)
      next!.release({ forget: true })
      assert.equal(await documents.holder('k', 'a'), undefined)
      assert.notEqual(await documents.hold('k', 'a'), undefined)
    },

    async 'documents: gc keeps what they name, with all that hangs on it, until they are deleted'({ store }) {
      const { digest } = await target(store, 'kept by a document')
      await store.documents.change((edit) => edit.put('k', 'a', 1, [digest]))
      const collect = async () => {
        const options = { nowMs: Date.now() + 100 * 24 * 3_600_000 }
        return applyGc(store, await planGc(store, options), options)
      }
      await collect()
      assert.notEqual(await store.blobs.stat(digest), undefined)
      assert.deepEqual(await checkStore(store), [])
      await store.documents.change((edit) => edit.delete('k', 'a'))
      await collect()
      assert.equal(await store.blobs.stat(digest), undefined)
      await store.documents.change((edit) => edit.put('k', 'a', 1, [digest]))
      assert.deepEqual(
        (await checkStore(store)).map(({ code, severity }) => `${severity} ${code}`),
        ['error DOCUMENT_DANGLING'],
      )
    },
  })
}

function lifeCases(make: Make<StoreSubject>): ConformanceCase[] {
  return casesOf(make, {
    async 'exclusive: one at a time, refs wait, and it ends with errors too'({ store }) {
      const a = await target(store, 'a')
      const events: string[] = []
      const first = store.exclusive(async () => {
        events.push('first begins')
        await new Promise((resolve) => setTimeout(resolve, 20))
        events.push('first ends')
        throw new Error('failed')
      })
      const tag = store.refs.set('x', a).then(() => events.push('tagged'))
      const second = store.exclusive(async () => events.push('second'))
      await assert.rejects(first, /failed/)
      await Promise.all([tag, second])
      assert.deepEqual(events.slice(0, 2), ['first begins', 'first ends'])
      assert.deepEqual(events.slice(2).sort(), ['second', 'tagged'])
    },

    async 'documents: what is put, and leased, while they are changed waits for nothing'({ store }) {
      const a = await target(store, 'a')
      const lease = await store.leases.create()
      await store.documents.change(async (edit) => {
        await store.blobs.put(bytesOf('a'))
        await store.leases.add(lease.id, [a.digest])
        await edit.put('container', 'c', {}, [a.digest])
      })
      assert.deepEqual((await store.documents.get('container', 'c'))?.roots, [a.digest])
    },

    async 'exclusive: a put of bytes that are there waits, and holds against a sweep'({ store }) {
      const a = await target(store, 'a')
      let put: Promise<unknown> = Promise.resolve()
      let isPut = false
      await store.exclusive(async () => {
        put = store.blobs.put(bytesOf('a')).then(() => (isPut = true))
        await new Promise((resolve) => setTimeout(resolve, 20))
        assert.equal(isPut, false)
        await store.blobs.delete(a.digest)
      })
      await put
      assert.deepEqual(await readBlob(store.blobs, a.digest), bytesOf('a'))
    },

    async 'close is idempotent; afterwards everything says STORE_CLOSED'({ store }) {
      const a = await target(store, 'a')
      await store.records.write({ put: [['k', HELLO]] })
      await store.close()
      await store.close()
      const closed = { code: 'STORE_CLOSED' }
      assert.throws(() => store.records.get('k'), closed)
      assert.throws(() => store.sidecars.get('a', 'b'), closed)
      await rejectsWith('STORE_CLOSED', () => store.blobs.put(HELLO))
      await rejectsWith('STORE_CLOSED', () => drain(store.blobs.get(a.digest)))
      await rejectsWith('STORE_CLOSED', () => digestsIn(store.blobs))
      await rejectsWith('STORE_CLOSED', () => store.refs.get('x'))
      await rejectsWith('STORE_CLOSED', () => store.refs.set('x', a))
      await rejectsWith('STORE_CLOSED', () => store.leases.list())
      await rejectsWith('STORE_CLOSED', () => store.documents.list('k'))
      await rejectsWith('STORE_CLOSED', () => store.documents.change(async () => 1))
      await rejectsWith('STORE_CLOSED', () => store.exclusive(async () => 1))
    },
  })
}
