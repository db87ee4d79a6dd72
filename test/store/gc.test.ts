// What is garbage, what is not, and what changes between plan and apply. Over both stores.
import * as fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { MEDIA_TYPES } from '../../src/descriptor.js'
import { diffIDOfUncompressed, digestOf, hexOf, type Digest } from '../../src/digest.js'
import type { Executor } from '../../src/builder/executor.js'
import { loadArchive, saveArchive } from '../../src/oci/index.js'
import {
  applyGc,
  checkStore,
  createMemoryStore,
  diskUsage,
  openDiskStore,
  openLayerBlob,
  planGc,
  type Store,
} from '../../src/store/index.js'
import { runs } from '../chance.js'
import { addImage, buildCase, fixedEnv, writingExecutor } from '../builder/fixtures.js'
import { makeFolder } from './folder.js'
import { digestsIn, putDocument, putImage } from './image.js'

/** A day ahead: all that was put is older than the grace time. */
const later = () => Date.now() + 24 * 3_600_000

const makers: Record<string, () => Promise<Store>> = {
  memory: async () => createMemoryStore(),
  disk: () => openDiskStore(makeFolder(), { durability: 'none' }),
}

async function gc(store: Store, keep: readonly Digest[] = []): Promise<Digest[]> {
  const plan = await planGc(store, { nowMs: later(), keep })
  const { removed } = await applyGc(store, plan, { nowMs: later() })
  expect(removed).toEqual(plan.remove)
  return removed.map(({ digest }) => digest)
}

describe.each(Object.entries(makers))('gc: %s', (_, make) => {
  const open = async () => {
    const store = await make()
    onTestFinished(() => store.close())
    return store
  }

  test('a ref keeps manifest, config and layers; the rest goes, with its bytes', async () => {
    const store = await open()
    const kept = await putImage(store, ['base', 'app'])
    const gone = await putImage(store, ['base', 'other'])
    await store.refs.set('app', kept.target)
    const plan = await planGc(store, { nowMs: later() })
    const want = gone.all.filter((digest) => !kept.all.includes(digest))
    expect(plan.remove.map(({ digest }) => digest).sort()).toEqual([...want].sort())
    expect(plan.removeBytes).toBe(plan.remove.reduce((sum, { size }) => sum + size, 0))
    expect(plan.keptCount).toBe(kept.all.length)
    expect(await digestsIn(store)).toHaveLength(kept.all.length + want.length)
    expect((await applyGc(store, plan, { nowMs: later() })).removedBytes).toBe(plan.removeBytes)
    expect(await digestsIn(store)).toEqual([...kept.all].sort())
    expect((await planGc(store, { nowMs: later() })).remove).toEqual([])
  })

  test('an index keeps the manifests that are there; a missing platform is reported and no error', async () => {
    const store = await open()
    const image = await putImage(store, ['base'])
    const absent = { mediaType: MEDIA_TYPES.manifest, digest: digestOf('arm64'), size: 5 }
    const index = await putDocument(store, MEDIA_TYPES.index, {
      schemaVersion: 2,
      manifests: [absent, image.target],
    })
    await store.refs.set('multi', index)
    const plan = await planGc(store, { nowMs: later() })
    expect(plan.remove).toEqual([])
    expect(plan.missing.map(({ digest }) => digest)).toEqual([absent.digest])
  })

  test('the uncompressed twin of a layer stays as long as a config names it', async () => {
    const store = await open()
    const image = await putImage(store, ['gzip:base'])
    await store.refs.set('app', image.target)
    expect((await planGc(store, { nowMs: later() })).missing).toEqual([])
    const layer = { mediaType: MEDIA_TYPES.layerGzip, digest: image.layers[0]!, size: 1 }
    await openLayerBlob(store, layer, diffIDOfUncompressed(image.diffIDs[0]!))
    expect(await digestsIn(store)).toContain(image.diffIDs[0])
    expect(await gc(store)).toEqual([])
    await store.refs.set('app', undefined)
    expect(await gc(store)).toContain(image.diffIDs[0])
    expect(await digestsIn(store)).toEqual([])
  })

  test('a lease keeps what it names, with all that hangs on it, until it ends', async () => {
    const store = await open()
    const image = await putImage(store, ['base'])
    const lease = await store.leases.create({ ttlMs: 1e12 })
    await store.leases.add(lease.id, [image.target.digest])
    expect(await gc(store)).toEqual([])
    await store.leases.release(lease.id)
    expect((await gc(store)).sort()).toEqual([...image.all].sort())
  })

  test('a document keeps what it names, with all that hangs on it, until it is deleted', async () => {
    const store = await open()
    const image = await putImage(store, ['base'])
    await store.documents.change((edit) => edit.put('container', 'c', {}, [image.target.digest]))
    expect(await gc(store)).toEqual([])
    expect((await diskUsage(store)).inDocuments.count).toBe(image.all.length)
    await store.documents.change((edit) => edit.delete('container', 'c'))
    expect((await gc(store)).sort()).toEqual([...image.all].sort())
  })

  test('what the caller keeps stays', async () => {
    const store = await open()
    const { digest } = await store.blobs.put(Buffer.from('a layer of the build cache'))
    expect(await gc(store, [digest])).toEqual([])
    expect(await gc(store)).toEqual([digest])
  })

  test('young blobs stay; a put of bytes that are there makes them young again', async () => {
    const store = await open()
    const { digest } = await store.blobs.put(Buffer.from('x'))
    const plan = await planGc(store)
    expect(plan.remove).toEqual([])
    expect(plan.young.map((blob) => blob.digest)).toEqual([digest])
    expect((await planGc(store, { graceMs: 0, nowMs: Date.now() + 1000 })).remove).toHaveLength(1)
  })

  test('why: a former target of a ref, or nothing that is known', async () => {
    const store = await open()
    const [old, current] = [await putImage(store, ['old']), await putImage(store, ['new'])]
    const { digest: stray } = await store.blobs.put(Buffer.from('stray'))
    await store.refs.set('app', old.target)
    await store.refs.set('app', current.target)
    const plan = await planGc(store, { nowMs: later() })
    const why = new Map(plan.remove.map(({ digest, reason, ref }) => [digest, [reason, ref]]))
    expect(why.get(stray)).toEqual(['unreferenced', undefined])
    for (const digest of old.all) expect(why.get(digest)).toEqual(['replaced', 'app'])
    const kept = await planGc(store, { nowMs: later(), keepHistoryMs: 1e15 })
    expect(kept.remove.map(({ digest }) => digest)).toEqual([stray])
  })

  test('the index of a layer goes with it, and only with it', async () => {
    const store = await open()
    const [kept, gone] = [await putImage(store, ['kept']), await putImage(store, ['gone'])]
    await store.refs.set('app', kept.target)
    for (const { layers } of [kept, gone]) {
      await store.sidecars.put('layer-index', hexOf(layers[0]!), Buffer.from('index'))
    }
    await gc(store)
    expect(await store.sidecars.list('layer-index')).toEqual([hexOf(kept.layers[0]!)])
  })

  test('documents go before what hangs on them', async () => {
    const store = await open()
    const image = await putImage(store, ['a', 'b'])
    const order = (await planGc(store, { nowMs: later() })).remove.map(({ digest }) => digest)
    const documents = new Set([image.target.digest, image.config])
    expect(order.slice(0, 2).every((digest) => documents.has(digest))).toBe(true)
  })

  describe('between plan and apply', () => {
    test('tagged: it stays', async () => {
      const store = await open()
      const image = await putImage(store, ['a'])
      const plan = await planGc(store, { nowMs: later() })
      await store.refs.set('late', image.target)
      const { removed, spared } = await applyGc(store, plan, { nowMs: later() })
      expect(removed).toEqual([])
      expect(spared.map(({ digest }) => digest).sort()).toEqual([...image.all].sort())
      expect(await digestsIn(store)).toEqual([...image.all].sort())
    })

    test('leased: it stays', async () => {
      const store = await open()
      const image = await putImage(store, ['a'])
      const plan = await planGc(store, { nowMs: later() })
      const lease = await store.leases.create({ ttlMs: 1e12 })
      await store.leases.add(lease.id, image.layers)
      await applyGc(store, plan, { nowMs: later() })
      expect(await digestsIn(store)).toEqual([...image.layers].sort())
    })

    test('put again: it stays', async () => {
      const store = await open()
      const { digest } = await store.blobs.put(Buffer.from('x'))
      const old = Date.now() + 2 * 3_600_000
      const plan = await planGc(store, { nowMs: old })
      expect(plan.remove).toHaveLength(1)
      await store.blobs.delete(digest)
      await store.blobs.put(Buffer.from('x'))
      const { spared } = await applyGc(store, plan, { nowMs: Date.now() })
      expect(spared.map((item) => item.digest)).toEqual([digest])
    })
  })

  test('a damaged document: an error, and nothing is removed', async () => {
    const store = await open()
    const { digest, size } = await store.blobs.put(Buffer.from('{"schemaVersion":'))
    await store.refs.set('broken', { mediaType: MEDIA_TYPES.manifest, digest, size })
    await store.blobs.put(Buffer.from('stray'))
    await expect(planGc(store, { nowMs: later() })).rejects.toMatchObject({ code: 'STORE_UNREADABLE' })
  })

  test('a second run removes nothing, and nothing reachable ever goes', async () => {
    const contents = fc.array(fc.array(fc.constantFrom('a', 'b', 'c', 'gzip:d'), { maxLength: 3 }), {
      maxLength: 5,
    })
    await fc.assert(
      fc.asyncProperty(contents, fc.array(fc.nat(4), { maxLength: 3 }), async (images, tagged) => {
        const store = await make()
        const made = []
        for (const layers of images) made.push(await putImage(store, layers))
        const want = new Set<Digest>()
        for (const i of tagged) {
          const image = made[i]
          if (image === undefined) continue
          await store.refs.set(`r${i}`, image.target)
          for (const digest of image.all) want.add(digest)
        }
        await gc(store)
        expect(await digestsIn(store)).toEqual([...want].sort())
        expect(await gc(store)).toEqual([])
        await store.close()
      }),
      { numRuns: runs(25) },
    )
  })
})

// OCI image-spec v1.1 image-layout.md § index.json: entries need no ref name
test('what another tool put into index.json without a name is a root too', async () => {
  const { readFileSync, writeFileSync } = await import('node:fs')
  const folder = makeFolder()
  const store = await openDiskStore(folder)
  const image = await putImage(store, ['a'])
  await store.refs.set('x', image.target)
  const text = readFileSync(`${folder}/index.json`, 'utf8')
  const index = JSON.parse(text) as { manifests: { annotations?: unknown }[] }
  delete index.manifests[0]!.annotations
  writeFileSync(`${folder}/index.json`, JSON.stringify(index))
  expect(await store.refs.list()).toEqual([])
  expect(await gc(store)).toEqual([])
  await store.close()
})

test('df: images with their own and shared bytes, and the rest', async () => {
  const store = createMemoryStore()
  const [a, b] = [await putImage(store, ['base', 'a']), await putImage(store, ['base', 'b'])]
  await store.refs.set('a:1', a.target)
  await store.refs.set('a:latest', a.target)
  await store.refs.set('b', b.target)
  const cached = await store.blobs.put(Buffer.from('cached'))
  const leased = await store.blobs.put(Buffer.from('leased..'))
  await store.blobs.put(Buffer.from('stray'))
  const lease = await store.leases.create()
  await store.leases.add(lease.id, [leased.digest, a.layers[0]!])
  const usage = await diskUsage(store, { keep: [cached.digest, b.layers[1]!] })
  const sizeOf = async (digests: readonly Digest[]) => {
    let sum = 0
    for (const digest of digests) sum += (await store.blobs.stat(digest))!.size
    return sum
  }
  expect(usage.images).toEqual([
    {
      names: ['a:1', 'a:latest'],
      digest: a.target.digest,
      blobs: 4,
      size: await sizeOf(a.all),
      uniqueBytes: (await sizeOf(a.all)) - 2048,
      sharedBytes: 2048,
      missing: 0,
    },
    {
      names: ['b'],
      digest: b.target.digest,
      blobs: 4,
      size: await sizeOf(b.all),
      uniqueBytes: (await sizeOf(b.all)) - 2048,
      sharedBytes: 2048,
      missing: 0,
    },
  ])
  const inImages = (await sizeOf(a.all)) + (await sizeOf(b.all)) - 2048
  expect(usage.inImages).toEqual({ count: 7, size: inImages })
  expect(usage.leased).toEqual({ count: 1, size: 8 })
  expect(usage.cache).toEqual({ count: 1, size: 6 })
  expect(usage.unreferenced).toEqual({ count: 1, size: 5 })
  expect(usage.total).toEqual({ count: 10, size: inImages + 19 })
})

describe('a build under way, and a gc without grace time', () => {
  const everything = async (store: Store) => {
    await applyGc(store, await planGc(store, { graceMs: 0, nowMs: later() }), { nowMs: later() })
  }

  /** Runs `at` before or after each put of a blob, by its number. */
  function interrupting(store: Store, when: 'before' | 'after', at: (count: number) => Promise<void>): Store {
    let count = 0
    const { blobs } = store
    return {
      ...store,
      blobs: {
        ...blobs,
        async put(...args) {
          const mine = ++count
          if (when === 'before') await at(mine)
          const info = await blobs.put(...args)
          if (when === 'after') await at(mine)
          return info
        },
      },
    }
  }

  const DOCKERFILE = 'FROM base\nCOPY a /a\nRUN write /b 1\nRUN read /a; write /c 2\n'

  test.each(['before', 'after'] as const)('%s any put of the build', async (when) => {
    for (let n = 1; ; n++) {
      const store = createMemoryStore({ env: fixedEnv })
      await addImage(store, 'base:latest', { 'etc/x': '=x' })
      let collected = 0
      const watched = interrupting(store, when, async (count) => {
        if (count !== n) return
        collected++
        await everything(store)
      })
      const { image } = await buildCase(
        { dockerfile: DOCKERFILE, context: { a: '=1' }, options: { tags: ['app'] } },
        watched,
      )
      expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
      expect((await store.refs.get('app:latest'))?.digest).toBe(image.digest)
      if (collected === 0) {
        expect(n).toBeGreaterThan(5)
        break
      }
    }
  })

  test('while a RUN goes on, with its base found in the cache and the cache forgotten', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'base:latest', { 'etc/x': '=x' })
    await buildCase({ dockerfile: 'FROM base\nCOPY a /a\n', context: { a: '=1' } }, store)
    const executor: Executor = {
      ...writingExecutor,
      async run(request) {
        for (const key of store.records.keys('')) await store.records.write({ delete: [key] })
        await everything(store)
        return writingExecutor.run(request)
      },
    }
    await buildCase(
      { dockerfile: DOCKERFILE, context: { a: '=1' }, options: { tags: ['app'], executor } },
      store,
    )
    expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
    expect(await store.leases.list()).toEqual([])
  })

  test('a load, before or after any of its puts', async () => {
    const source = createMemoryStore({ env: fixedEnv })
    await addImage(source, 'app:latest', { x: '=1', y: `=${'y'.repeat(100_000)}` })
    const target = (await source.refs.get('app:latest'))!
    const images = [{ descriptor: target, names: ['app:latest'] }]
    for (const format of ['oci-archive', 'docker-archive'] as const) {
      const chunks: Uint8Array[] = []
      for await (const chunk of saveArchive(source, images, { format })) chunks.push(chunk)
      for (let n = 1; ; n++) {
        const store = createMemoryStore()
        let collected = 0
        const watched = interrupting(store, 'before', async (count) => {
          if (count !== n) return
          collected++
          await everything(store)
        })
        await loadArchive(watched, piecesOf(chunks))
        expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
        expect(await store.refs.list()).toHaveLength(1)
        if (collected === 0) break
      }
    }
  })
})

async function* piecesOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
