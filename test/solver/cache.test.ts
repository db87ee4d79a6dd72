// The cache index: its bytes, its links, what is kept and what is forgotten.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { digestOf, type Digest, type DiffID } from '../../src/digest.js'
import { CacheStore, keyIdOf, rootKeyId, storedResult, type KeyLink } from '../../src/builder/cache.js'
import { recordId } from '../../src/builder/key.js'
import { decodeIds, decodeKeyRecord, encodeIds, encodeKeyRecord } from '../../src/builder/record-codec.js'
import type { LayerRef } from '../../src/builder/vertex.js'
import { createMemoryStore } from '../../src/store/index.js'

const digest = (text: string): Digest => digestOf(text)
const record = (text: string): Digest => recordId(digest(text), 0)
const root = (text: string, selector?: string): KeyLink => ({
  id: rootKeyId(digest(text), 0),
  selector: selector === undefined ? undefined : digest(selector),
})

async function layerIn(store: ReturnType<typeof createMemoryStore>, text: string): Promise<LayerRef> {
  const { digest: name, size } = await store.blobs.put(new TextEncoder().encode(text))
  const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: name, size }
  return { descriptor, diffID: name as string as DiffID }
}

const request = (name: string, inputs: readonly (readonly KeyLink[])[], layers: readonly LayerRef[]) => ({
  record: record(name),
  inputs,
  layers,
  costMs: 12,
  costBytes: 345,
})

describe('bytes of a record', () => {
  const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`))
  const anyDigest = hex(64).map((digits) => `sha256:${digits}` as Digest)
  const link = fc.record({ id: hex(40), selector: fc.option(anyDigest, { nil: undefined }) })
  const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
  const layer = fc.record({
    descriptor: fc.record(
      {
        mediaType: fc.oneof(fc.constant('application/vnd.oci.image.layer.v1.tar'), fc.string()),
        digest: anyDigest,
        size: whole,
        annotations: fc.dictionary(fc.string(), fc.string(), { minKeys: 1, noNullPrototype: true }),
      },
      { requiredKeys: ['mediaType', 'digest', 'size'], noNullPrototype: true },
    ),
    diffID: anyDigest,
  })
  const result = fc.record({
    layers: fc.array(layer, { maxLength: 4 }),
    createdMs: whole,
    lastUsedMs: whole,
    useCount: whole,
    costMs: whole,
    costBytes: whole,
  })
  const anyRecord = fc.record({
    digest: anyDigest,
    inputs: fc.array(fc.array(link, { maxLength: 3 }), { maxLength: 3 }),
    result: fc.option(result, { nil: undefined }),
  })

  test('decode(encode(x)) = x (law)', () => {
    fc.assert(
      fc.property(anyRecord, (value) => {
        const { digest: name, inputs, result: stored } = decodeKeyRecord(encodeKeyRecord(value as never))!
        expect({ digest: name, inputs, result: stored }).toEqual(value)
      }),
    )
  })

  test('names of annotations that every object has', () => {
    const annotations = Object.fromEntries([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
    const stored = {
      layers: [
        {
          descriptor: { mediaType: 'x', digest: digest('l'), size: 1, annotations },
          diffID: digest('d') as string as DiffID,
        },
      ],
      createdMs: 1,
      lastUsedMs: 2,
      useCount: 3,
      costMs: 4,
      costBytes: 5,
    }
    const bytes = encodeKeyRecord({ digest: digest('k'), inputs: [], result: stored })
    expect(Object.entries(decodeKeyRecord(bytes)!.result!.layers[0]!.descriptor.annotations!)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
  })

  test('a record that is cut short, or of another version, is no record (law)', () => {
    fc.assert(
      fc.property(anyRecord, fc.nat(), (value, at) => {
        const bytes = encodeKeyRecord(value as never)
        expect(decodeKeyRecord(bytes.subarray(0, at % bytes.length))).toBeUndefined()
        expect(decodeKeyRecord(Uint8Array.from([9, ...bytes.subarray(1)]))).toBeUndefined()
      }),
    )
  })

  test('arbitrary bytes never throw (law)', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void decodeKeyRecord(bytes)))
  })

  // Stores on disk hold these bytes: a change here needs a new version number, or old caches are read wrong.
  test('golden', () => {
    const name = (digit: string) => `sha256:${digit.repeat(64)}` as Digest
    const bytes = encodeKeyRecord({
      digest: name('a'),
      inputs: [[{ id: 'b'.repeat(40), selector: name('c') }], [{ id: 'd'.repeat(40), selector: undefined }]],
      result: {
        layers: [
          {
            descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: name('e'), size: 300 },
            diffID: name('e') as string as DiffID,
          },
        ],
        createdMs: 1_700_000_000_000,
        lastUsedMs: 1_700_000_000_000,
        useCount: 1,
        costMs: 5,
        costBytes: 300,
      },
    })
    const time = '80d095ffbc31'
    const links = `0201${'b'.repeat(40)}01${'c'.repeat(64)}01${'d'.repeat(40)}00`
    const result = `${time}${time}0105ac0201${'e'.repeat(64)}01ac020100`
    expect(Buffer.from(bytes).toString('hex')).toBe(`0101${'a'.repeat(64)}${links}${result}`)
  })

  test('ids side by side', () => {
    fc.assert(fc.property(fc.array(hex(40)), (ids) => void expect(decodeIds(encodeIds(ids))).toEqual(ids)))
  })
})

describe('links', () => {
  test('a key is found from each of its inputs, by key and selector', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const inputs = [[root('base', 's')], [root('source')]]
    const id = cache.resolve(record('op'), inputs)
    cache.save(id, request('op', inputs, [await layerIn(store, 'l')]))
    expect(cache.query([root('base', 's')], 0, record('op'))).toEqual([id])
    expect(cache.query([root('source')], 1, record('op'))).toEqual([id])
    for (const [links, input, name] of [
      [[root('base')], 0, 'op'],
      [[root('base', 'other')], 0, 'op'],
      [[root('base', 's')], 1, 'op'],
      [[root('base', 's')], 0, 'other op'],
      [[], 0, 'op'],
    ] as const) {
      expect(cache.query(links, input, record(name))).toEqual([])
    }
  })

  test('inputs that lead to a key already give that key, in whatever way they are known', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const id = cache.resolve(record('op'), [[root('a')], [root('b')]])
    cache.save(id, request('op', [[root('a')], [root('b')]], []))
    expect(cache.resolve(record('op'), [[root('x'), root('a')], [root('b')]])).toBe(id)
    expect(cache.resolve(record('op'), [[root('a')], [root('c')]])).not.toBe(id)
  })

  test('new keys are made of what leads to them: the same in every store', () => {
    const resolve = () => new CacheStore(createMemoryStore()).resolve(record('op'), [[root('a'), root('b')]])
    expect(resolve()).toBe(resolve())
    const cache = new CacheStore(createMemoryStore())
    expect(cache.resolve(record('op'), [[root('b'), root('a')]])).toBe(resolve())
  })

  test('connecting is written once, and kept in the record for exports', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const id = cache.resolve(record('op'), [[root('content')]])
    cache.save(id, request('op', [[root('content')]], []))
    cache.connect([root('definition', 's')], 0, record('op'), [id])
    await cache.flush()
    expect(new CacheStore(store).query([root('definition', 's')], 0, record('op'))).toEqual([id])
    expect(new CacheStore(store).record(id)!.inputs).toEqual([[root('content'), root('definition', 's')]])
    let writes = 0
    const counted = Object.create(store, {
      records: {
        value: {
          ...store.records,
          get: (key: string) => store.records.get(key),
          write: async () => void writes++,
        },
      },
    })
    const again = new CacheStore(counted)
    again.connect([root('definition', 's')], 0, record('op'), [id])
    await again.flush()
    expect(writes).toBe(0)
  })
})

describe('results', () => {
  test('pending ones are seen at once, and by others after a flush', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const id = keyIdOf(record('op'))
    cache.save(id, request('op', [], [await layerIn(store, 'l')]))
    expect((await cache.usable(id))!.costBytes).toBe(345)
    expect(await new CacheStore(store).usable(id)).toBeUndefined()
    await cache.flush()
    expect((await new CacheStore(store).usable(id))!.layers).toHaveLength(1)
  })

  test('a key that collides is told apart by its whole digest', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const id = keyIdOf(record('op'))
    cache.save(id, request('op', [], []))
    expect(cache.record(id, record('op'))).toBeDefined()
    expect(cache.record(id, record('other'))).toBeUndefined()
    expect(await cache.usable(id, record('other'))).toBeUndefined()
  })

  test('damage is a miss', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const id = keyIdOf(record('op'))
    cache.save(id, request('op', [], []))
    await cache.flush()
    await store.records.write({ put: [[`k${id}`, new Uint8Array([1, 2, 3])]] })
    expect(await new CacheStore(store).usable(id)).toBeUndefined()
  })

  test('removing forgets the key and the links to it, and nothing else', async () => {
    const store = createMemoryStore()
    const cache = new CacheStore(store)
    const ids = ['one', 'two'].map((name) => {
      const id = cache.resolve(record(name), [[root('base')]])
      cache.save(id, request(name, [[root('base')]], []))
      return id
    })
    await cache.flush()
    await cache.remove([ids[0]!])
    const after = new CacheStore(store)
    expect(after.query([root('base')], 0, record('one'))).toEqual([])
    expect(after.query([root('base')], 0, record('two'))).toEqual([ids[1]])
    expect([...after.entries()].map(([id]) => id)).toEqual([ids[1]])
  })

  test('a stored result opens its layers only when its tree is asked for', async () => {
    const store = createMemoryStore()
    const missing = {
      descriptor: { mediaType: 'x', digest: digest('gone'), size: 1 },
      diffID: digest('gone') as string as DiffID,
    }
    const result = storedResult(store, [missing])
    expect(result.layers).toHaveLength(1)
    await expect(result.tree()).rejects.toThrow()
  })
})
