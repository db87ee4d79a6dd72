// fsck: each kind of damage is found, named, and repaired as far as it can be.
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { MEDIA_TYPES } from '../../src/descriptor.js'
import { diffIDOfUncompressed, digestOf, hexOf, type Digest } from '../../src/digest.js'
import {
  checkStore,
  createMemoryStore,
  openDiskStore,
  openLayerBlob,
  repairStore,
  type Problem,
  type Store,
} from '../../src/store/index.js'
import { makeFolder } from './folder.js'
import { putDocument, putImage } from './image.js'

async function open(): Promise<{ store: Store; folder: string }> {
  const folder = makeFolder()
  const store = await openDiskStore(folder, { durability: 'none' })
  onTestFinished(() => store.close())
  return { store, folder }
}

function damage(folder: string, digest: Digest): void {
  const file = join(folder, 'blobs/sha256', hexOf(digest))
  const bytes = readFileSync(file)
  bytes[bytes.length >> 1]! ^= 0x10
  chmodSync(file, 0o644)
  writeFileSync(file, bytes)
}

/** Codes with what they are about. */
function brief(problems: readonly Problem[]): string[] {
  return problems.map((problem) => {
    const about = 'digest' in problem ? problem.digest : 'key' in problem ? problem.key : ''
    return `${problem.severity} ${problem.code} ${about}`.trim()
  })
}

test('a sound store has no problems; progress goes to the end', async () => {
  const { store } = await open()
  const image = await putImage(store, ['a', 'gzip:b'])
  await store.refs.set('app', image.target)
  await store.records.write({ put: [['key', Buffer.from('value')]] })
  await store.sidecars.put('kind', 'key', Buffer.from('value'))
  const progress: number[][] = []
  expect(await checkStore(store, { onProgress: (...at) => void progress.push(at) })).toEqual([])
  const [done, total] = progress.at(-1)!
  expect(done).toBe(total)
  expect(progress).toHaveLength(image.all.length)
})

test('a flipped bit in any blob is found, and only there', async () => {
  const { store, folder } = await open()
  const image = await putImage(store, ['a', 'b'])
  await store.refs.set('app', image.target)
  for (const digest of image.all) {
    damage(folder, digest)
    expect(brief(await checkStore(store))).toContain(`error BLOB_DAMAGED ${digest}`)
    expect(brief(await checkStore(store, { skipContent: true })).join()).not.toContain('BLOB_DAMAGED')
    damage(folder, digest)
  }
  expect(await checkStore(store)).toEqual([])
})

test('a damaged blob stays until one is told; then it is missed, and a put heals it', async () => {
  const { store, folder } = await open()
  const image = await putImage(store, ['a'])
  await store.refs.set('app', image.target)
  damage(folder, image.layers[0]!)
  const found = await checkStore(store)
  expect(brief(found)).toEqual([`error BLOB_DAMAGED ${image.layers[0]}`])
  expect(await repairStore(store, found)).toEqual({ repaired: [], left: found })
  expect(await checkStore(store)).toEqual(found)
  expect((await repairStore(store, found, { removeDamaged: true })).repaired).toEqual(found)
  expect(brief(await checkStore(store))).toEqual([`error BLOB_MISSING ${image.layers[0]}`])
  await putImage(store, ['a'])
  expect(await checkStore(store)).toEqual([])
})

test('the uncompressed form of a layer can be made again, so it is repaired without being told', async () => {
  const { store, folder } = await open()
  const image = await putImage(store, ['plain', 'gzip:packed'])
  await store.refs.set('app', image.target)
  const layer = { mediaType: MEDIA_TYPES.layerGzip, digest: image.layers[1]!, size: 1 }
  const unpack = () => openLayerBlob(store, layer, diffIDOfUncompressed(image.diffIDs[1]!))
  await unpack()
  expect(await checkStore(store)).toEqual([])
  damage(folder, image.diffIDs[1]!)
  damage(folder, image.layers[0]!)
  const found = await checkStore(store)
  expect(brief(found)).toEqual([
    `error BLOB_DAMAGED ${image.layers[0]}`,
    `warning BLOB_DAMAGED ${image.diffIDs[1]}`,
  ])
  const { repaired, left } = await repairStore(store, found)
  expect([brief(repaired), brief(left)]).toEqual([[brief(found)[1]], [brief(found)[0]]])
  await unpack()
  expect(brief(await checkStore(store))).toEqual([brief(found)[0]])
  // With its compressed form damaged too, it cannot.
  damage(folder, image.diffIDs[1]!)
  damage(folder, image.layers[1]!)
  expect(brief(await checkStore(store)).filter((line) => line.startsWith('warning'))).toEqual([])
})

// Whatever bit flips, in whatever file of the store that is not derived: it is found, or the store cannot be opened, or
// nothing reads differently.
test('every flipped bit in index.json, oci-layout, a reflog, a lease, a document', async () => {
  const { store, folder } = await open()
  const [a, b] = [await putImage(store, ['a']), await putImage(store, ['b'])]
  await store.refs.set('app:1', a.target)
  await store.refs.set('app:1', b.target)
  const lease = await store.leases.create()
  await store.leases.add(lease.id, a.all)
  await store.documents.change((edit) => edit.put('container', 'c', { pid: 1 }, [a.target.digest]))
  const files = [
    'index.json',
    'oci-layout',
    `lamella/reflog/${readdirSync(join(folder, 'lamella/reflog'))[0]}`,
    `lamella/leases/${lease.id}`,
    'lamella/documents/container/c.json',
  ]
  const state = async (of: Store) =>
    JSON.stringify([
      await of.refs.list(),
      await of.refs.untagged(),
      (await of.refs.history('app:1')).map(({ timeNs, ...change }) => [String(timeNs), change]),
      (await of.leases.list()).map(({ expiresNs, ...more }) => [String(expiresNs), more]),
      await of.documents.list('container'),
    ])
  const before = await state(store)
  let bits = 0
  for (const name of files) {
    const file = join(folder, name)
    const good = readFileSync(file)
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      writeFileSync(file, bad)
      const seen = await inspect(folder, state)
      const isFine = seen === before
      expect(
        isFine || typeof seen !== 'string',
        `${name}, bit ${bit}: ${String(bad.subarray((bit >> 3) - 5, (bit >> 3) + 5))}`,
      ).toBe(true)
      bits++
    }
    writeFileSync(file, good)
  }
  expect(await inspect(folder, state)).toBe(before)
  expect(bits).toBeGreaterThan(10_000)
})

/** The state of a store; its problems when it has any; the error when it cannot be opened. */
async function inspect(folder: string, state: (of: Store) => Promise<string>): Promise<unknown> {
  let store: Store
  try {
    store = await openDiskStore(folder, { durability: 'none' })
  } catch (error) {
    return { error }
  }
  try {
    const problems = (await checkStore(store, { skipContent: true })).filter(
      ({ severity }) => severity !== 'note',
    )
    return problems.length > 0 ? { problems } : await state(store)
  } finally {
    await store.close()
  }
}

test('an image that is replaced and swept while fsck looks at it is no finding', async () => {
  const { store } = await open()
  const old = await putImage(store, ['old'])
  await store.refs.set('app', old.target)
  let looked = 0
  const watched: Store = {
    ...store,
    refs: {
      ...store.refs,
      async list() {
        const refs = await store.refs.list()
        if (looked++ === 1) {
          await store.refs.set('app', (await putImage(store, ['new'])).target)
          for (const digest of old.all) await store.blobs.delete(digest)
        }
        return refs
      },
    },
  }
  expect((await checkStore(watched)).filter(({ severity }) => severity !== 'note')).toEqual([])
  expect(looked).toBeGreaterThan(2)
})

describe('references', () => {
  test('a ref whose target is gone: dropped only when told', async () => {
    const { store } = await open()
    const image = await putImage(store, ['a'])
    await store.refs.set('x', image.target)
    await store.refs.set('y', image.target)
    await store.blobs.delete(image.target.digest)
    const found = await checkStore(store)
    expect(found[0]).toMatchObject({ code: 'REF_DANGLING', severity: 'error', names: ['x', 'y'] })
    expect(brief(found.slice(1))).toEqual(
      expect.arrayContaining([
        `note BLOB_UNREFERENCED ${image.config}`,
        `note BLOB_UNREFERENCED ${image.layers[0]}`,
      ]),
    )
    expect((await repairStore(store, found)).repaired).toEqual([])
    expect(await store.refs.list()).toHaveLength(2)
    expect((await repairStore(store, found, { removeDangling: true })).repaired).toEqual([found[0]])
    expect(await store.refs.list()).toEqual([])
  })

  test.each(['config', 'layers'] as const)('a manifest whose %s is gone', async (part) => {
    const { store } = await open()
    const image = await putImage(store, ['a'])
    await store.refs.set('x', image.target)
    const digest = [image[part]].flat()[0]!
    await store.blobs.delete(digest)
    const [problem] = await checkStore(store)
    expect(problem).toMatchObject({
      code: 'BLOB_MISSING',
      severity: 'error',
      digest,
      from: image.target.digest,
    })
  })

  // OCI image-spec v1.1 image-layout.md § Blobs: the blobs directory may lack what is referred to
  test('a platform that was never fetched is only noted', async () => {
    const { store } = await open()
    const absent = { mediaType: MEDIA_TYPES.manifest, digest: digestOf('arm64'), size: 5 }
    await store.refs.set(
      'multi',
      await putDocument(store, MEDIA_TYPES.index, { schemaVersion: 2, manifests: [absent] }),
    )
    expect(brief(await checkStore(store))).toEqual([`note PART_MISSING ${absent.digest}`])
  })

  test('a descriptor with a wrong size; a document that is none', async () => {
    const { store } = await open()
    const { digest } = await store.blobs.put(Buffer.from('not json'))
    const config = { mediaType: MEDIA_TYPES.config, digest, size: 9 }
    await store.refs.set(
      'x',
      await putDocument(store, MEDIA_TYPES.manifest, { schemaVersion: 2, config, layers: [] }),
    )
    expect(brief(await checkStore(store)).sort()).toEqual([
      `error DOCUMENT_INVALID ${digest}`,
      `error SIZE_WRONG ${digest}`,
    ])
  })

  test('what is leased or kept is not unreferenced', async () => {
    const store = createMemoryStore()
    const [a, b, c] = [
      await store.blobs.put(Buffer.from('a')),
      await store.blobs.put(Buffer.from('b')),
      await store.blobs.put(Buffer.from('c')),
    ]
    const lease = await store.leases.create()
    await store.leases.add(lease.id, [a.digest])
    expect(brief(await checkStore(store, { keep: [b.digest] }))).toEqual([
      `note BLOB_UNREFERENCED ${c.digest}`,
    ])
  })
})

describe('what lies beside the blobs', () => {
  test('damaged sidecars and records: found and removed', async () => {
    const { store, folder } = await open()
    await store.sidecars.put('layer-index', 'bad', Buffer.from('abc'))
    await store.sidecars.put('layer-index', 'good', Buffer.from('abc'))
    appendFileSync(join(folder, 'lamella/sidecars/layer-index/bad'), 'x')
    await store.records.write({ put: [['good', Buffer.from('a')]] })
    await writeRawRecord(folder, 'bad-record', Buffer.from('never sealed'))
    expect(store.records.get('bad-record')).toBeUndefined()
    const found = await checkStore(store)
    expect(brief(found).sort()).toEqual(['warning RECORD_DAMAGED bad-record', 'warning SIDECAR_DAMAGED bad'])
    expect((await repairStore(store, found)).left).toEqual([])
    expect(await checkStore(store)).toEqual([])
    expect(store.records.get('good')).toBeDefined()
    expect(await store.sidecars.list('layer-index')).toEqual(['good'])
  })

  test('a file among the blobs that is none', async () => {
    const { store, folder } = await open()
    writeFileSync(join(folder, 'blobs/sha256/notes.txt'), 'x')
    mkdirSync(join(folder, 'blobs/sha256', hexOf(digestOf('folder'))))
    const found = await checkStore(store)
    expect(brief(found)).toEqual(['warning BLOB_MISNAMED', 'warning BLOB_MISNAMED'])
    expect((await repairStore(store, found)).left).toEqual(found)
  })

  test.each(['tmp', 'locks', 'ingest', 'records', 'sidecars', 'holds', 'leases', 'reflog', 'documents'])(
    'a file in the place of the folder %s',
    async (name) => {
      const { store, folder } = await open()
      await store.refs.set('app', (await putImage(store, ['a'])).target)
      await store.close()
      const path = join(folder, 'lamella', name)
      rmSync(path, { recursive: true, force: true })
      writeFileSync(path, 'x')
      const again = await openDiskStore(folder, { durability: 'none' })
      onTestFinished(() => again.close())
      const use = async () => {
        const { target } = await putImage(again, ['b'])
        await again.refs.set('app', target)
        await again.records.write({ put: [['k', Buffer.from('v')]] })
        await again.sidecars.put('kind', 'key', Buffer.from('s'))
        await again.leases.release((await again.leases.create()).id)
        await again.documents.change((edit) => edit.put('container', 'c', 1))
        await (await again.blobs.ingest!('i')).discard()
      }
      const used = await use().then(
        () => undefined,
        (error: unknown) => error,
      )
      if (used !== undefined) expect(used).toMatchObject({ code: 'STORE_WRITE_FAILED' })
      const found = (await checkStore(again)).filter(({ severity }) => severity !== 'note')
      expect(brief(found)).toContain('error FOLDER_INVALID')
      const isDerived = !['leases', 'reflog', 'documents'].includes(name)
      const { left } = await repairStore(again, found)
      expect(left.some(({ code }) => code === 'FOLDER_INVALID')).toBe(!isDerived)
      if (!isDerived) return
      await use()
      expect((await checkStore(again)).filter(({ severity }) => severity !== 'note')).toEqual([])
    },
  )

  test('a folder in the place of a blob: a put says so', async () => {
    const { store, folder } = await open()
    const bytes = Buffer.from('blob')
    mkdirSync(join(folder, 'blobs/sha256', hexOf(digestOf(bytes)), 'x'), { recursive: true })
    await expect(store.blobs.put(bytes)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' })
    expect(await store.blobs.stat(digestOf(bytes))).toBeUndefined()
    expect((await checkStore(store))[0]!.message).toContain('it is a folder')
  })

  test('an index.json that cannot be read', async () => {
    const { store, folder } = await open()
    const [a, b] = [await putImage(store, ['a']), await putImage(store, ['b'])]
    await store.refs.set('app', a.target)
    await store.refs.set('app', b.target)
    await store.refs.set('gone', a.target)
    await store.refs.set('gone', undefined)
    const torn = '{"schemaVersion":2,"manif'
    writeFileSync(join(folder, 'index.json'), torn)
    const found = await checkStore(store)
    expect(brief(found)).toEqual(['error INDEX_INVALID'])
    expect((await repairStore(store, found)).left).toEqual(found)
    await expect(store.refs.list()).rejects.toMatchObject({ code: 'STORE_UNREADABLE' })
    expect((await repairStore(store, found, { restoreIndex: true })).repaired).toEqual(found)
    expect(await store.refs.list()).toEqual([{ name: 'app', target: b.target }])
    expect(readFileSync(join(folder, 'lamella/index.json.damaged'), 'utf8')).toBe(torn)
    expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
    // One that can be read is left alone.
    expect(await store.refs.restore()).toEqual([])
  })

  test('a document that was damaged, and one whose blob is gone', async () => {
    const { store, folder } = await open()
    const { digest } = await store.blobs.put(Buffer.from('a layer of a container'))
    await store.documents.change((edit) => edit.put('container', 'c1', { name: 'c1' }, [digest]))
    expect(await checkStore(store)).toEqual([])
    await store.blobs.delete(digest)
    expect(brief(await checkStore(store))).toEqual([`error DOCUMENT_DANGLING ${digest}`])
    writeFileSync(join(folder, 'lamella/documents/container/c1.json'), '{"roots":[],"val')
    const found = await checkStore(store)
    expect(brief(found)).toEqual(['error DOCUMENT_DAMAGED c1'])
    expect((await repairStore(store, found)).left).toEqual(found)
  })

  test('a cache index that a crash has torn is begun anew, instead of killing the process', async () => {
    const { store, folder } = await open()
    await store.records.write({ put: [['key', Buffer.alloc(50_000)]] })
    await store.close()
    const file = join(folder, 'lamella/records/data.mdb')
    const whole = readFileSync(file)
    for (const bytes of [
      whole.subarray(0, whole.length - 4096),
      whole.subarray(0, 8192),
      Buffer.alloc(whole.length),
      Buffer.alloc(0),
    ]) {
      writeFileSync(file, bytes)
      utimesSync(file, 1, 1)
      const again = await openDiskStore(folder, { durability: 'none' })
      expect(again.records.get('key')).toBeUndefined()
      await again.records.write({ put: [['key', Buffer.from('new')]] })
      expect(Buffer.from(again.records.get('key')!).toString()).toBe('new')
      await again.close()
    }
  })
})

test('a young cache index that is something else is begun anew too', async () => {
  const { store, folder } = await open()
  await store.records.write({ put: [['key', Buffer.alloc(50_000)]] })
  await store.close()
  rmSync(join(folder, 'lamella/records/recent'))
  writeFileSync(join(folder, 'lamella/records/data.mdb'), Buffer.alloc(100_000, 'x'))
  const again = await openDiskStore(folder, { durability: 'none' })
  expect(again.records.get('key')).toBeUndefined()
  await again.close()
})

async function writeRawRecord(folder: string, key: string, value: Uint8Array): Promise<void> {
  const { open: openLmdb } = createRequire(import.meta.url)('lmdb') as typeof import('lmdb')
  const database = openLmdb<Uint8Array, Uint8Array>({
    path: join(folder, 'lamella/records'),
    encoding: 'binary',
    keyEncoding: 'binary',
  })
  await database.put(Buffer.from(key), value)
  await database.close()
}
