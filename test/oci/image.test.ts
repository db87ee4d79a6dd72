import { describe, expect, test } from 'vitest'
import {
  canonicalJson,
  describe as describeBytes,
  MEDIA_TYPES,
  type Descriptor,
  type Platform,
} from '../../src/descriptor.js'
import { copyImage, readImage, resolveImage, writeImage, type ImageConfig } from '../../src/oci/index.js'
import { commitLayer, createMemoryStore, MemoryBlobStore, type Store } from '../../src/store/index.js'

async function makeImage(store: Store, platform: Platform, text = 'layer') {
  const layer = await commitLayer(store, [new TextEncoder().encode(text)])
  const config: ImageConfig = { ...platform, rootfs: { type: 'layers', diff_ids: [layer.diffID] } }
  return writeImage(store.blobs, { config, layers: [layer] })
}

async function putIndex(store: Store, manifests: readonly Descriptor[]): Promise<Descriptor> {
  const bytes = canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests })
  await store.blobs.put(bytes)
  return describeBytes(MEDIA_TYPES.index, bytes)
}

const amd64: Platform = { os: 'linux', architecture: 'amd64' }
const arm64: Platform = { os: 'linux', architecture: 'arm64', variant: 'v8' }

describe('readImage', () => {
  test('takes the manifest of the platform out of an index, nested ones too', async () => {
    await using store = createMemoryStore()
    const images = [await makeImage(store, amd64), await makeImage(store, arm64)]
    const inner = await putIndex(
      store,
      images.map(({ descriptor }, i) => ({ ...descriptor, platform: [amd64, arm64][i]! })),
    )
    const outer = await putIndex(store, [inner])
    const read = async (platform?: Platform) =>
      (await readImage(store.blobs, outer, { platform })).config.architecture
    expect(await read(arm64)).toBe('arm64')
    expect(await read({ os: 'linux', architecture: 'arm64' })).toBe('arm64')
    expect(await read()).toBe('amd64')
    await expect(read({ os: 'linux', architecture: 's390x' })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
      data: { platforms: ['linux/amd64', 'linux/arm64/v8'] },
    })
  })

  test('refuses an index that holds itself too deep, and layers that the config does not know', async () => {
    await using store = createMemoryStore()
    const image = await makeImage(store, amd64)
    let index = await putIndex(store, [image.descriptor])
    for (let depth = 0; depth < 9; depth++) index = await putIndex(store, [index])
    await expect(readImage(store.blobs, index)).rejects.toMatchObject({ code: 'IMAGE_INVALID' })

    const bytes = canonicalJson({ schemaVersion: 2, config: image.manifest.config, layers: [] })
    await store.blobs.put(bytes)
    await expect(readImage(store.blobs, describeBytes(MEDIA_TYPES.manifest, bytes))).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      data: { field: 'config.rootfs.diff_ids' },
    })
  })
})

describe('writeImage', () => {
  test('is idempotent, and refuses layers that are not those of the config', async () => {
    await using store = createMemoryStore()
    const first = await makeImage(store, amd64)
    expect((await makeImage(store, amd64)).descriptor).toEqual(first.descriptor)
    await expect(writeImage(store.blobs, { config: first.config, layers: [] })).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
    })
  })
})

describe('resolveImage', () => {
  test.each([
    ['node:20', true],
    ['docker.io/library/node:20', true],
    ['app', true],
    ['app:latest', true],
    ['node', false],
    ['node:21', false],
    ['odd name', true],
  ])('%s', async (name, isThere) => {
    await using store = createMemoryStore()
    const { descriptor } = await makeImage(store, amd64)
    for (const ref of ['node:20', 'app:latest', 'odd name']) await store.refs.set(ref, descriptor)
    if (isThere) expect(await resolveImage(store, name)).toEqual(descriptor)
    else {
      await expect(resolveImage(store, name)).rejects.toMatchObject({
        code: 'IMAGE_NOT_FOUND',
        message: expect.stringContaining('app:latest, node:20'),
      })
    }
  })

  test('a digest, its beginning, and a pinned reference', async () => {
    await using store = createMemoryStore()
    const one = await makeImage(store, amd64, 'one')
    const two = await makeImage(store, amd64, 'two')
    await store.refs.set('one:1', one.descriptor)
    await store.refs.set('two:1', two.descriptor)
    const { digest } = two.descriptor
    for (const name of [
      digest,
      digest.slice(7, 19),
      digest.slice(0, 14),
      `two@${digest}`,
      `two:1@${digest}`,
    ]) {
      expect((await resolveImage(store, name)).digest).toBe(digest)
    }
    await expect(resolveImage(store, `one:1@sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    })
  })
})

test('copyImage copies children before parents, and nothing twice', async () => {
  await using store = createMemoryStore()
  const image = await makeImage(store, amd64)
  const index = await putIndex(store, [image.descriptor])
  const puts: string[] = []
  class CountingBlobStore extends MemoryBlobStore {
    override put(...args: Parameters<MemoryBlobStore['put']>) {
      puts.push(args[1]?.digest ?? '')
      return super.put(...args)
    }
  }
  const counting = new CountingBlobStore()
  await copyImage(store.blobs, counting, index)
  expect(puts).toEqual([
    image.manifest.config.digest,
    image.manifest.layers[0]!.digest,
    image.descriptor.digest,
    index.digest,
  ])
  await copyImage(store.blobs, counting, index)
  expect(puts).toHaveLength(4)
})
