// What every Store must do, as cases for any test runner: names, leases, exclusion and closing here, the rest beside it.
import { strict as assert } from 'node:assert'
import { MEDIA_TYPES, type Descriptor } from '../descriptor.js'
import { EMPTY_DIGEST } from '../digest.js'
import { readBlob } from '../store/index.js'
import {
  ABSENT,
  HELLO,
  bytesOf,
  casesOf,
  digestsIn,
  drain,
  rejectsWith,
  target,
  type ConformanceCase,
  type Make,
  type StoreSubject,
} from './conformance.js'
import { derivedCases, documentCases } from './kept-conformance.js'

/**
 * The cases of the Store contract (src/store/store.ts); those of its BlobStore are `blobStoreCases`.
 * @param make  a fresh, empty store for each case
 */
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
