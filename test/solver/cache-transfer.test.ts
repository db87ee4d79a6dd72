// Caches that travel: BuildKit's cacheconfig.v0 as folder and inline, and what a builder that imports them finds.
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { build, type BuildEvent, type BuildOptions } from '../../src/builder/index.js'
import type { CacheConfig, CacheRecord } from '../../src/builder/cache-config.js'
import { importCacheConfig } from '../../src/builder/cache-import.js'
import { digestOf, type Digest } from '../../src/digest.js'
import { createMemoryStore, readBlob, type Store } from '../../src/store/index.js'
import vectors from './data/buildkit-keys.json' with { type: 'json' }
import { executor } from './executor.js'
import { folderOf, tempFolder, type TreeSpec } from './fixtures.js'

const DOCKERFILE = `FROM scratch AS make
COPY d /src/
RUN write /out x
FROM scratch
COPY --from=make /out /o
COPY f1 /o2
RUN use
`

const project = () => folderOf(vectors.tree as unknown as TreeSpec)

async function run(store: Store, context: string, more: Partial<BuildOptions> = {}) {
  const events: BuildEvent[] = []
  const result = await build({
    store,
    context,
    executor,
    dockerfile: { text: DOCKERFILE },
    onEvent: (event) => events.push(event),
    ...more,
  })
  const outcomes = Object.fromEntries(
    result.steps.map(({ vertex, outcome }) => [vertex.label.name.replace(/^\[.*?\] /, ''), outcome]),
  )
  return { result, outcomes, events }
}

function readConfig(folder: string): { config: CacheConfig; manifest: { layers: { digest: string }[] } } {
  const read = (digest: string) =>
    JSON.parse(readFileSync(join(folder, 'blobs/sha256', digest.slice(7)), 'utf8'))
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))
  const manifest = read(index.manifests[0].digest)
  expect(manifest.config.mediaType).toBe('application/vnd.buildkit.cacheconfig.v0')
  return { config: read(manifest.config.digest), manifest }
}

describe('type=local', () => {
  test('another store finds everything, and pulls only what it needs', async () => {
    const dir = project()
    const dest = tempFolder()
    const first = await run(createMemoryStore(), dir, { cacheTo: [{ type: 'local', dest, mode: 'max' }] })
    const store = createMemoryStore()
    const second = await run(store, dir, { cacheFrom: [{ type: 'local', src: dest }] })
    expect(second.outcomes).toMatchObject({ 'COPY f1 /o2': 'hit', 'RUN use': 'hit', 'COPY d /src/': 'hit' })
    expect(second.result.image.digest).toBe(first.result.image.digest)
    // Layers of the other stage were never asked for.
    const make = first.result.steps.find(({ vertex }) => vertex.label.name.includes('write'))!
    expect(await store.blobs.stat(make.layers!.at(-1)!.descriptor.digest)).toBeUndefined()
  })

  test("what was found in it is one's own afterwards", async () => {
    const dir = project()
    const dest = tempFolder()
    await run(createMemoryStore(), dir, { cacheTo: [{ type: 'local', dest, mode: 'max' }] })
    const store = createMemoryStore()
    await run(store, dir, { cacheFrom: [{ type: 'local', src: dest }] })
    expect((await run(store, dir)).outcomes).toMatchObject({ 'RUN use': 'hit' })
  })

  test('max has the other stages, min only what the image is made of', async () => {
    const dir = project()
    const outcome = async (mode: 'min' | 'max') => {
      const dest = tempFolder()
      await run(createMemoryStore(), dir, { cacheTo: [{ type: 'local', dest, mode }] })
      writeFileSync(join(dir, 'f1'), 'changed')
      const { outcomes } = await run(createMemoryStore(), dir, { cacheFrom: [{ type: 'local', src: dest }] })
      writeFileSync(join(dir, 'f1'), '1')
      return outcomes
    }
    const miss = { 'COPY f1 /o2': 'miss', 'RUN use': 'miss', 'COPY --from=make /out /o': 'hit' }
    expect(await outcome('max')).toMatchObject({ ...miss, 'RUN write /out x': 'hit' })
    expect(await outcome('min')).toMatchObject(miss)
  })

  test('the document: sorted, self-contained, with the digests that BuildKit has', async () => {
    const dest = tempFolder()
    await build({
      store: createMemoryStore(),
      context: project(),
      dockerfile: { text: 'FROM scratch\nCOPY f1 /o/\n' },
      cacheTo: [{ type: 'local', dest, mode: 'max' }],
    })
    const { config, manifest } = readConfig(dest)
    const records = config.records!
    const [content, copy] = vectors.rows.map(({ want }) => want)
    expect(records.map(({ digest }) => digest).sort()).toEqual([content, copy].sort())
    const at = records.findIndex(({ digest }) => digest === content)
    expect(records.find(({ digest }) => digest === copy)).toEqual({
      layers: [{ layer: 0, createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) }],
      digest: copy,
      inputs: [[{ link: at }]],
    })
    expect(config.layers).toEqual([{ blob: manifest.layers[0]!.digest, parent: -1 }])
    expect(manifest.layers[0]).toMatchObject({
      annotations: {
        'containerd.io/uncompressed': expect.any(String),
        'buildkit/createdat': expect.any(String),
      },
    })
  })

  test('equal caches are equal documents', async () => {
    const documents = []
    const dir = project()
    for (const concurrency of [1, 8]) {
      const dest = tempFolder()
      const env = { now: () => 1_700_000_000_000_000_000n, randomId: () => 'x', concurrency }
      await run(createMemoryStore(), dir, { env, cacheTo: [{ type: 'local', dest, mode: 'max' }] })
      documents.push(readConfig(dest).config)
    }
    expect(documents[1]).toEqual(documents[0])
  })

  test('a layer that is damaged is refused, one that is gone is a miss', async () => {
    const dir = project()
    const dest = tempFolder()
    const { result } = await run(createMemoryStore(), dir, {
      cacheTo: [{ type: 'local', dest, mode: 'max' }],
    })
    const path = join(dest, 'blobs/sha256', result.layers.at(-1)!.descriptor.digest.slice(7))
    const bytes = readFileSync(path)
    chmodSync(path, 0o644)
    writeFileSync(path, Buffer.concat([bytes.subarray(1), bytes.subarray(0, 1)]))
    await expect(
      run(createMemoryStore(), dir, { cacheFrom: [{ type: 'local', src: dest }] }),
    ).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })

  test('a folder without a cache is a warning, and the build goes on', async () => {
    const src = tempFolder()
    const { events, outcomes } = await run(createMemoryStore(), project(), {
      cacheFrom: [{ type: 'local', src }],
    })
    expect(outcomes['RUN use']).toBe('miss')
    expect(events).toContainEqual(expect.objectContaining({ kind: 'warning', code: 'CACHE_IMPORT_INVALID' }))
    rmSync(src, { recursive: true })
  })
})

describe('type=inline', () => {
  test('an image carries the records of its own layers', async () => {
    const dir = project()
    const store = createMemoryStore()
    const first = await run(store, dir, { tags: ['app'], cacheTo: [{ type: 'inline' }] })
    const config = JSON.parse(
      new TextDecoder().decode(await readBlob(store.blobs, first.result.configDigest)),
    )
    const records = JSON.parse(
      Buffer.from(config['moby.buildkit.cache.v0'], 'base64').toString(),
    ) as readonly CacheRecord[]
    expect(records.flatMap(({ layers = [] }) => layers.map(({ layer }) => layer)).sort()).toEqual([0, 1, 2])

    // The same image in a store that has no records of its own.
    const other = createMemoryStore()
    for await (const { digest } of store.blobs.list()) await other.blobs.put(store.blobs.get(digest))
    await other.refs.set(first.result.names[0]!, first.result.image)
    const second = await run(other, dir, { cacheFrom: [{ type: 'inline', image: 'app' }] })
    expect(second.outcomes).toMatchObject({ 'COPY f1 /o2': 'hit', 'RUN use': 'hit' })
  })
})

describe('documents that are not what they should be', () => {
  const digest = (text: string): Digest => digestOf(text)
  const source = { layers: new Map(), read: async function* () {} }
  test.each<[string, unknown]>([
    ['null', null],
    ['records that are no list', { records: {} }],
    ['a record without a digest', { records: [{}] }],
    ['a link that leads nowhere', { records: [{ digest: digest('a'), inputs: [[{ link: 7 }]] }] }],
    ['a link that is no number', { records: [{ digest: digest('a'), inputs: [[{ link: 'x' }]] }] }],
    ['a record that stands on itself', { records: [{ digest: digest('a'), inputs: [[{ link: 0 }]] }] }],
    [
      'two records that stand on each other',
      {
        records: [
          { digest: digest('a'), inputs: [[{ link: 1 }]] },
          { digest: digest('b'), inputs: [[{ link: 0 }]] },
        ],
      },
    ],
    ['a result without its layer', { records: [{ digest: digest('a'), layers: [{ layer: 3 }] }] }],
    [
      'layers that loop',
      {
        records: [{ digest: digest('a'), layers: [{ layer: 0 }] }],
        layers: [{ blob: digest('l'), parent: 1 }, { blob: digest('m') }],
      },
    ],
    [
      'a selector that is no digest',
      { records: [{ digest: digest('b') }, { digest: digest('a'), inputs: [[{ link: 0, selector: 'x' }]] }] },
    ],
  ])('%s', (_, document) => {
    expect(() => importCacheConfig(document, source)).toThrow(
      expect.objectContaining({ code: 'CACHE_IMPORT_INVALID' }),
    )
  })

  test('a long chain of records is no stack overflow', () => {
    const records = Array.from({ length: 50_000 }, (_, i) => ({
      digest: digest(String(i)),
      ...(i > 0 && { inputs: [[{ link: i - 1 }]] }),
    }))
    expect(importCacheConfig({ records }, source).records.size).toBe(50_000)
    const last = records.length - 1
    const reversed = records.map(({ digest: each }, i) => ({
      digest: each,
      ...(i < last && { inputs: [[{ link: i + 1 }]] }),
    }))
    expect(importCacheConfig({ records: reversed }, source).records.size).toBe(50_000)
  })
})
