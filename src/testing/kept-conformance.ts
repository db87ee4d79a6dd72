// What a Store keeps beside blobs and names, as cases: records, sidecars, documents. store-conformance.ts lists them.
import { strict as assert } from 'node:assert'
import { digestOf } from '../digest.js'
import { applyGc, checkStore, planGc } from '../store/index.js'
import {
  ABSENT,
  HELLO,
  casesOf,
  noise,
  target,
  type ConformanceCase,
  type Make,
  type StoreSubject,
} from './conformance.js'

export function derivedCases(make: Make<StoreSubject>): ConformanceCase[] {
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

export function documentCases(make: Make<StoreSubject>): ConformanceCase[] {
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
