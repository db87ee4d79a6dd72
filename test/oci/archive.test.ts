import { spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { pack, type Header } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chainIDs, digestOf, diffIDOfUncompressed, hexOf, type DiffID } from '../../src/digest.js'
import {
  encodeConfig,
  loadArchive,
  loadLayout,
  readImage,
  resolveImage,
  saveArchive,
  writeImage,
  type ImageConfig,
} from '../../src/oci/index.js'
import {
  checkStore,
  commitLayer,
  createMemoryStore,
  openDiskStore,
  type Store,
} from '../../src/store/index.js'
import { openTree } from '../../src/unionfs/index.js'
import { findProgram, peerTest } from '../peers.js'

let scratch: string
beforeAll(() => void (scratch = mkdtempSync(join(tmpdir(), 'lamella-archive-'))))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

type Entry = Partial<Header> & { readonly name: string } & { readonly body?: Uint8Array | string }

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack()
  for (const { body, ...headers } of entries) archive.entry(headers, Buffer.from(body ?? ''))
  archive.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of archive) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function* chunked(bytes: Uint8Array, size = 1000): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size)
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

const layerA = await tar([{ name: 'a', body: 'one', mtime: new Date(0) }])
const layerB = await tar([{ name: 'b', body: 'x'.repeat(5 << 20), mtime: new Date(0) }])
const diffIDs = [layerA, layerB].map((layer) => diffIDOfUncompressed(digestOf(layer)))

function configOf(ids: readonly DiffID[]): ImageConfig {
  return {
    os: 'linux',
    architecture: 'amd64',
    config: { Cmd: ['/a'] },
    rootfs: { type: 'layers', diff_ids: ids },
    history: ids.map((_, i) => ({ created_by: `step ${i}` })),
  }
}

async function storeWithImage(store: Store, name: string) {
  const layers = [
    await commitLayer(store, [new Uint8Array(layerA)]),
    await commitLayer(store, [new Uint8Array(layerB)]),
  ]
  const image = await writeImage(store.blobs, { config: configOf(diffIDs), layers })
  await store.refs.set(name, image.descriptor)
  return image
}

const configBytes = Buffer.from(encodeConfig(configOf(diffIDs)))
const configHex = hexOf(digestOf(configBytes))

/** The forms of docker save, and what each looks like from outside. */
const FORMS: Readonly<Record<string, () => Promise<Buffer>>> = {
  'docker 1.10 to 24: folders with layer.tar': () =>
    tar([
      { name: `${'1'.repeat(64)}/layer.tar`, body: layerA },
      { name: `${'2'.repeat(64)}/layer.tar`, body: layerB },
      { name: `${configHex}.json`, body: configBytes },
      {
        name: 'manifest.json',
        body: JSON.stringify([
          {
            Config: `${configHex}.json`,
            RepoTags: ['app:1', 'docker.io/library/app:2'],
            Layers: ['1', '2'].map((digit) => `${digit.repeat(64)}/layer.tar`),
          },
        ]),
      },
      { name: 'repositories', body: '{}' },
    ]),
  'a layer that is a symlink to another folder’s': () =>
    tar([
      { name: 'x/layer.tar', type: 'symlink', linkname: '../y/layer.tar' },
      { name: 'y/layer.tar', body: layerA },
      { name: 'z/layer.tar', body: layerB },
      { name: 'c.json', body: configBytes },
      {
        name: 'manifest.json',
        body: JSON.stringify([
          { Config: 'c.json', RepoTags: ['app:1', 'app:2'], Layers: ['x/layer.tar', './z/layer.tar'] },
        ]),
      },
    ]),
  'docker 25: manifest.json over an OCI layout, gzip layers, gzip outside': async () =>
    gzipSync(
      await tar([
        { name: `blobs/sha256/${hexOf(digestOf(gzipSync(layerA)))}`, body: gzipSync(layerA) },
        { name: `blobs/sha256/${hexOf(digestOf(layerB))}`, body: layerB },
        { name: `blobs/sha256/${configHex}`, body: configBytes },
        {
          name: 'manifest.json',
          body: JSON.stringify([
            {
              Config: `blobs/sha256/${configHex}`,
              RepoTags: ['app:1', 'app:2'],
              Layers: [gzipSync(layerA), layerB].map((layer) => `blobs/sha256/${hexOf(digestOf(layer))}`),
            },
          ]),
        },
      ]),
    ),
}

describe('loadArchive', () => {
  test.each(Object.keys(FORMS))('%s', async (form) => {
    await using store = createMemoryStore()
    const loaded = await loadArchive(store, chunked(await FORMS[form]!()))
    expect(loaded.map(({ names }) => names)).toEqual([['app:1', 'app:2']])
    const image = await readImage(store.blobs, await resolveImage(store, 'app:2'))
    expect(image.manifest.config.digest).toBe(digestOf(configBytes))
    expect(chainIDs(image.layers.map(({ diffID }) => diffID))).toEqual(chainIDs(diffIDs))
    expect(await store.leases.list()).toEqual([])
  })

  test('before 1.10: repositories and a chain of json files', async () => {
    const json = (value: object) => JSON.stringify(value)
    const archive = await tar([
      { name: 'repositories', body: json({ 'me/old': { v1: 'top' } }) },
      {
        name: 'base/json',
        body: json({
          id: 'base',
          created: '2014-01-01T00:00:00Z',
          container_config: { Cmd: ['/bin/sh', '-c', 'x'] },
        }),
      },
      { name: 'base/layer.tar', body: layerA },
      {
        name: 'top/json',
        body: json({
          id: 'top',
          parent: 'base',
          os: 'linux',
          architecture: 'arm64',
          config: { Env: ['A=1'] },
        }),
      },
      { name: 'top/layer.tar', body: layerB },
    ])
    await using store = createMemoryStore()
    expect((await loadArchive(store, chunked(archive)))[0]!.names).toEqual(['me/old:v1'])
    const image = await readImage(store.blobs, await resolveImage(store, 'me/old:v1'))
    expect(image.config).toMatchObject({ architecture: 'arm64', config: { Env: ['A=1'] } })
    expect(image.config.history?.map((entry) => entry.created_by)).toEqual(['/bin/sh -c x', undefined])
    expect(image.layers.map(({ diffID }) => diffID)).toEqual(diffIDs)
  })

  const good = { Config: 'c.json', RepoTags: [], Layers: ['l.tar'] }
  const members = (manifest: unknown, extra: readonly Entry[] = []): Entry[] => [
    { name: 'c.json', body: encodeConfig(configOf([diffIDs[0]!])) },
    { name: 'l.tar', body: layerA },
    ...extra,
    { name: 'manifest.json', body: typeof manifest === 'string' ? manifest : JSON.stringify(manifest) },
  ]
  test.each<[string, readonly Entry[], string, string]>([
    ['no image archive', [{ name: 'x', body: 'y' }], 'ARCHIVE_INVALID', 'not an image archive'],
    ['manifest.json that is no JSON', members('{'), 'ARCHIVE_INVALID', 'manifest.json'],
    ['manifest.json that is no list', members({}), 'ARCHIVE_INVALID', 'manifest.json'],
    [
      'a Config that is no string',
      members([{ ...good, Config: 1 }]),
      'ARCHIVE_INVALID',
      'manifest.json[0]: Config',
    ],
    [
      'Layers that are no strings',
      members([{ ...good, Layers: [1] }]),
      'ARCHIVE_INVALID',
      'manifest.json[0].Layers',
    ],
    ['a missing layer', members([{ ...good, Layers: ['none'] }]), 'ARCHIVE_INVALID', 'none'],
    ['too few layers', members([{ ...good, Layers: [] }]), 'IMAGE_INVALID', 'diff_ids'],
    [
      'links in a circle',
      members(
        [{ ...good, Layers: ['p'] }],
        [
          { name: 'p', type: 'symlink', linkname: 'q' },
          { name: 'q', type: 'symlink', linkname: 'p' },
        ],
      ),
      'ARCHIVE_INVALID',
      'deep',
    ],
    [
      'a layer that is not the one of the config',
      members([{ ...good, Layers: ['other.tar'] }], [{ name: 'other.tar', body: layerB }]),
      'IMAGE_INVALID',
      'DiffID',
    ],
    [
      'a gzip layer that is not the one of the config',
      members([{ ...good, Layers: ['o.tgz'] }], [{ name: 'o.tgz', body: gzipSync(layerB) }]),
      'DIGEST_MISMATCH',
      'sha256',
    ],
    [
      'a blob that is not what its name says',
      [{ name: `blobs/sha256/${'a'.repeat(64)}`, body: 'x' }, ...members([good])],
      'DIGEST_MISMATCH',
      'a'.repeat(64),
    ],
  ])('refuses %s', async (_, entries, code, message) => {
    await using store = createMemoryStore()
    const loading = loadArchive(store, chunked(await tar(entries)), { tag: 'x' })
    await expect(loading).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
    expect(await store.refs.list()).toEqual([])
  })

  test('refuses an archive that is cut short', async () => {
    await using store = createMemoryStore()
    const archive = await FORMS['docker 1.10 to 24: folders with layer.tar']!()
    await expect(loadArchive(store, chunked(archive.subarray(0, 3 << 20)))).rejects.toThrow()
    expect(await store.refs.list()).toEqual([])
  })

  test('stops at the signal', async () => {
    await using store = createMemoryStore()
    const controller = new AbortController()
    const archive = await FORMS['docker 1.10 to 24: folders with layer.tar']!()
    const loading = loadArchive(store, chunked(archive), {
      signal: controller.signal,
      onProgress: (bytes) => bytes > 100_000 && controller.abort(),
    })
    await expect(loading).rejects.toMatchObject({ code: 'ABORT_ERR' })
    expect(await store.refs.list()).toEqual([])
  })
})

describe('saveArchive', () => {
  test.each([
    ['docker-archive', undefined],
    ['oci-archive', undefined],
    ['oci-archive', 'gzip'],
  ] as const)('%s %s: loads back the same, and has the same bytes twice', async (format, compression) => {
    await using store = createMemoryStore()
    const image = await storeWithImage(store, 'app:1')
    const images = [{ descriptor: image.descriptor, names: ['app:1', 'app:2'] }]
    const first = await collect(saveArchive(store, images, { format, compression }))
    expect(digestOf(await collect(saveArchive(store, images, { format, compression })))).toBe(digestOf(first))
    await using other = createMemoryStore()
    const loaded = await loadArchive(other, chunked(first, 70_000))
    expect(loaded.flatMap(({ names }) => names).toSorted()).toEqual(['app:1', 'app:2'])
    const back = await readImage(other.blobs, await resolveImage(other, 'app:1'))
    expect(back.config).toEqual(image.config)
    expect(back.layers.map(({ diffID }) => diffID)).toEqual(diffIDs)
  })

  const skopeo = findProgram('skopeo')
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(skopeo!, ['--insecure-policy', ...args], {
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(stderr)
    return stdout
  }

  peerTest('skopeo reads what we save, and we load what skopeo saves', skopeo !== undefined, async () => {
    await using store = await openDiskStore(join(scratch, 'store'))
    const image = await storeWithImage(store, 'app:1')
    for (const format of ['docker-archive', 'oci-archive'] as const) {
      const file = join(scratch, `${format}.tar`)
      const bytes = saveArchive(store, [{ descriptor: image.descriptor, names: ['app:1'] }], { format })
      await pipeline(Readable.from(bytes), createWriteStream(file))
      expect(JSON.parse(run('inspect', `${format}:${file}`))).toMatchObject({
        Os: 'linux',
        Architecture: 'amd64',
      })
      for (const target of ['docker-archive', 'oci-archive'] as const) {
        const copy = join(scratch, `${format}-${target}.tar`)
        run('copy', `${format}:${file}`, `${target}:${copy}:app:1`)
        await using other = createMemoryStore()
        await loadArchive(other, createReadStream(copy))
        const back = await readImage(other.blobs, await resolveImage(other, 'app:1'))
        expect(back.layers.map(({ diffID }) => diffID)).toEqual(diffIDs)
        expect(back.config.config).toEqual({ Cmd: ['/a'] })
      }
    }
    expect(JSON.parse(readFileSync(join(scratch, 'store/oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    })
  })
})

describe('what is no layer gets no name', () => {
  const garbage = Buffer.alloc(3000, 'not a tar')
  const climbing = Buffer.from(layerA)
  // The name of its entry, and the sum of its header.
  climbing.write('../a', 0)
  climbing.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of climbing.subarray(0, 512)) sum += byte
  climbing.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)

  async function archiveOf(layer: Uint8Array, diffID: DiffID): Promise<Buffer> {
    const config = Buffer.from(encodeConfig(configOf([diffID])))
    return tar([
      { name: 'layer.tar', body: layer },
      { name: 'c.json', body: config },
      {
        name: 'manifest.json',
        body: JSON.stringify([{ Config: 'c.json', RepoTags: ['app:1'], Layers: ['layer.tar'] }]),
      },
    ])
  }

  const plain = (layer: Uint8Array) => archiveOf(layer, diffIDOfUncompressed(digestOf(layer)))

  test.each<[string, () => Promise<Buffer>, string]>([
    ['a layer of other bytes', () => plain(garbage), 'TAR_HEADER_INVALID'],
    ['a layer that is cut', () => plain(layerB.subarray(0, 5000)), 'TAR_TRUNCATED'],
    [
      'a compressed layer that is none',
      () => archiveOf(gzipSync(garbage), diffIDOfUncompressed(digestOf(garbage))),
      'TAR_HEADER_INVALID',
    ],
    [
      'a compressed layer of another tar',
      () => archiveOf(gzipSync(layerA), diffIDOfUncompressed(digestOf(layerB))),
      'DIGEST_MISMATCH',
    ],
    [
      'a compressed layer that is cut',
      () => archiveOf(gzipSync(layerA).subarray(0, 60), diffIDOfUncompressed(digestOf(layerA))),
      'COMPRESSION_INVALID',
    ],
  ])('%s', async (_, make, code) => {
    await using store = createMemoryStore()
    await expect(loadArchive(store, chunked(await make()))).rejects.toMatchObject({ code })
    expect(await store.refs.list()).toEqual([])
    expect(await store.leases.list()).toEqual([])
  })

  test('an OCI archive whose compressed layer is not what its diffID says', async () => {
    await using store = createMemoryStore()
    const layer = gzipSync(layerA)
    const { digest, size } = await store.blobs.put(layer)
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
    const image = await writeImage(store.blobs, {
      config: configOf([diffIDs[1]!]),
      layers: [{ descriptor: { mediaType, digest, size }, diffID: diffIDs[1]! }],
    })
    const saved = collect(
      saveArchive(store, [{ descriptor: image.descriptor, names: ['app:1'] }], { format: 'oci-archive' }),
    )
    await using target = createMemoryStore()
    await expect(loadArchive(target, chunked(await saved))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await target.refs.list()).toEqual([])
    // Told not to look, it is taken: the bytes as stored are right.
    await loadArchive(target, chunked(await saved), { checkLayers: 'none' })
    expect(await target.refs.list()).toHaveLength(1)
    // So fsck has to tell.
    expect((await checkStore(target)).filter(({ severity }) => severity !== 'note')).toMatchObject([
      { code: 'LAYER_INVALID', severity: 'error', digest, diffID: diffIDs[1] },
    ])
  })

  test('a check of one’s own: opened as a tree, which a path that climbs is not', async () => {
    await using store = createMemoryStore()
    const load = loadArchive(store, chunked(await plain(climbing)), { checkLayers: openTree })
    await expect(load).rejects.toMatchObject({ code: 'LAYER_PATH_INVALID' })
    expect(await store.refs.list()).toEqual([])
  })

  test('attestations are passed over', async () => {
    await using store = createMemoryStore()
    const { digest, size } = await store.blobs.put(Buffer.from('{"_type":"statement"}'))
    const attestation = { mediaType: 'application/vnd.in-toto+json', digest, size }
    const image = await writeImage(store.blobs, {
      config: { ...configOf([diffIDOfUncompressed(digest)]), os: 'unknown', architecture: 'unknown' },
      layers: [{ descriptor: attestation, diffID: diffIDOfUncompressed(digest) }],
    })
    await store.refs.set('app:1', image.descriptor)
    await using target = createMemoryStore()
    expect(await loadLayout(target, store)).toHaveLength(1)
  })
})

// Found by attacking: each ended in a TypeError, or in an image that nobody could use.
describe('documents that are not what they must be', () => {
  const legacy = (repositories: string, json: string) =>
    tar([
      { name: 'repositories', body: repositories },
      { name: 'i/json', body: json },
      { name: 'i/layer.tar', body: layerA },
    ])
  test.each([
    ['repositories null', 'null', '{}', 'repositories'],
    ['repositories a list', '[1]', '{}', 'repositories'],
    ['a repository null', '{"a":null}', '{}', 'repositories.a'],
    ['a repository a string', '{"a":"i"}', '{}', 'repositories.a'],
    ['json null', '{"a":{"b":"i"}}', 'null', 'i/json'],
    ['a parent that is a number', '{"a":{"b":"i"}}', '{"parent":5}', 'i/json: parent'],
    ['an os that is a list', '{"a":{"b":"i"}}', '{"os":[]}', 'i/json: os'],
    [
      'a Cmd that is a string',
      '{"a":{"b":"i"}}',
      '{"container_config":{"Cmd":"x"}}',
      'i/json: container_config.Cmd',
    ],
    [
      'a container_config that is a string',
      '{"a":{"b":"i"}}',
      '{"container_config":"x"}',
      'i/json: container_config.Cmd',
    ],
  ])('before 1.10: %s', async (_, repositories, json, place) => {
    const loading = loadArchive(createMemoryStore(), chunked(await legacy(repositories, json)))
    await expect(loading).rejects.toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining(`${place}: `) as unknown,
    })
  })

  test('before 1.10: fields that are null, as Go writes them, and names that are no plain ones', async () => {
    const store = createMemoryStore()
    await loadArchive(
      store,
      chunked(await legacy('{"__proto__":{"b":"i"}}', '{"parent":null,"container_config":{"Cmd":null}}')),
    )
    expect((await store.refs.list()).map(({ name }) => name)).toEqual(['__proto__:b'])
  })

  async function ociArchive(
    mediaType: string,
    document: unknown,
    blobs: readonly Uint8Array[] = [],
  ): Promise<Buffer> {
    const bytes = Buffer.from(JSON.stringify(document))
    const entry = { mediaType, digest: digestOf(bytes), size: bytes.length }
    return tar([
      { name: 'oci-layout', body: '{"imageLayoutVersion":"1.0.0"}' },
      ...[bytes, ...blobs].map((blob) => ({ name: `blobs/sha256/${hexOf(digestOf(blob))}`, body: blob })),
      { name: 'index.json', body: JSON.stringify({ schemaVersion: 2, manifests: [entry] }) },
    ])
  }

  test("a manifest of Docker's schema 1 is refused", async () => {
    const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
    const archive = await ociArchive(type, { schemaVersion: 1, fsLayers: [], history: [] })
    await expect(loadArchive(createMemoryStore(), chunked(archive))).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      message: expect.stringContaining('schema 1') as unknown,
    })
  })

  test('an artifact is kept as it is: it has no layers to look into', async () => {
    const empty = Buffer.from('{}')
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(empty), size: 2 }
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const document = { schemaVersion: 2, mediaType, artifactType: 'a/b', config, layers: [] }
    const [loaded] = await loadArchive(
      createMemoryStore(),
      chunked(await ociArchive(mediaType, document, [empty])),
    )
    expect(loaded!.descriptor.mediaType).toBe(mediaType)
  })
})
