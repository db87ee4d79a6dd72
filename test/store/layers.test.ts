// Layers as blobs: committing a tar, and random access to compressed ones.
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { MEDIA_TYPES, type Descriptor } from '../../src/descriptor.js'
import { digestOf, diffIDOfUncompressed } from '../../src/digest.js'
import { commitLayer, createMemoryStore, openLayerBlob, type Store } from '../../src/store/index.js'
import { compress } from '../../src/store/compress.js'

const TAR = Buffer.concat([Buffer.from('as good as a tar'), Buffer.alloc(2_000_000, 'x')])
const DIFF_ID = diffIDOfUncompressed(digestOf(TAR))

async function putCompressed(store: Store, kind: 'gzip' | 'zstd'): Promise<Descriptor> {
  const { digest, size } = await store.blobs.put(compress([TAR], kind))
  return { mediaType: kind === 'gzip' ? MEDIA_TYPES.layerGzip : MEDIA_TYPES.layerZstd, digest, size }
}

test('a tar that was made here is stored as it is: its digest is its diffID', async () => {
  const store = createMemoryStore()
  const { descriptor, diffID } = await commitLayer(store, [TAR.subarray(0, 700), TAR.subarray(700)])
  expect(diffID).toBe(DIFF_ID)
  expect(descriptor).toEqual({ mediaType: MEDIA_TYPES.layer, digest: DIFF_ID, size: TAR.length })
  const reader = await openLayerBlob(store, descriptor, diffID)
  expect(Buffer.from(reader.read(0, 16)).toString()).toBe('as good as a tar')
})

describe.each(['gzip', 'zstd'] as const)('a layer that came in as %s', (kind) => {
  test('keeps its blob and gains an uncompressed one, once', async () => {
    const store = createMemoryStore()
    const descriptor = await putCompressed(store, kind)
    let reads = 0
    const get = store.blobs.get.bind(store.blobs)
    store.blobs.get = (digest, range) => {
      reads++
      return get(digest, range)
    }
    const open = () => openLayerBlob(store, descriptor, DIFF_ID)
    const readers = await Promise.all([open(), open(), open()])
    await open()
    expect(reads).toBe(1)
    expect(readers.map(({ size, digest }) => [size, digest])).toEqual(
      Array.from({ length: 3 }, () => [TAR.length, DIFF_ID]),
    )
    expect(digestOf(readers[0]!.read(0, TAR.length))).toBe(DIFF_ID)
    expect(await store.blobs.stat(descriptor.digest)).toBeDefined()
  })

  test('that is not the one that the config names: DIGEST_MISMATCH, and nothing is kept', async () => {
    const store = createMemoryStore()
    const descriptor = await putCompressed(store, kind)
    const other = diffIDOfUncompressed(digestOf('other'))
    await expect(openLayerBlob(store, descriptor, other)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await store.blobs.stat(digestOf(TAR))).toBeUndefined()
  })
})

test('a layer that unpacks to more than the limit: LAYER_LIMIT', async () => {
  const store = createMemoryStore()
  const descriptor = await putCompressed(store, 'gzip')
  await expect(openLayerBlob(store, descriptor, DIFF_ID, { sizeMax: 1_000_000 })).rejects.toMatchObject({
    code: 'LAYER_LIMIT',
  })
  const reader = await openLayerBlob(store, descriptor, DIFF_ID, { sizeMax: TAR.length })
  expect(reader.size).toBe(TAR.length)
})

test('a layer that is not there: BLOB_NOT_FOUND; not a layer: MEDIA_TYPE_UNSUPPORTED; not gzip: COMPRESSION_INVALID', async () => {
  const store = createMemoryStore()
  const gone = { mediaType: MEDIA_TYPES.layerGzip, digest: digestOf(gzipSync(TAR)), size: 1 }
  await expect(openLayerBlob(store, gone, DIFF_ID)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
  const { digest, size } = await store.blobs.put(Buffer.from('{}'))
  await expect(
    openLayerBlob(store, { mediaType: MEDIA_TYPES.config, digest, size }, DIFF_ID),
  ).rejects.toMatchObject({ code: 'MEDIA_TYPE_UNSUPPORTED' })
  await expect(
    openLayerBlob(store, { mediaType: MEDIA_TYPES.layerGzip, digest, size }, DIFF_ID),
  ).rejects.toMatchObject({ code: 'COMPRESSION_INVALID' })
})
