// An index is made in several ways: of changes, of an archive in memory or behind a reader, of a stream that passes in
// chunks of any size. All are the same bytes, and of an archive that is no layer the same error.
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import xxhash from 'xxhash-wasm'
import { MEDIA_TYPES } from '../../src/descriptor.js'
import { digestOf, hexOf, type DiffID } from '../../src/digest.js'
import { LayerError } from '../../src/errors.js'
import { loadArchive, saveArchive, writeImage, type LayerCheck } from '../../src/oci/index.js'
import {
  bytesReader,
  commitLayer,
  createMemoryStore,
  openLayerBlob,
  scanTar,
  type TarEntry,
} from '../../src/store/index.js'
import {
  EMPTY_TREE,
  applyChangeset,
  comparePaths,
  diffTrees,
  encodeLayer,
  indexingStore,
  ingestLayer,
  openTree,
  readLayer,
} from '../../src/unionfs/index.js'
import { contentSourceOf } from '../../src/unionfs/layer-codec.js'
import type { Xxh64 } from '../../src/unionfs/layer-index-format.js'
import { encodeLayerIndex } from '../../src/unionfs/layer-index-writer.js'
import { decodeLayerIndex } from '../../src/unionfs/layer-index.js'
import { LayerIndexer, indexTar } from '../../src/unionfs/layer-indexer.js'
import { treeFromRows } from '../../src/unionfs/tree-from-index.js'
import { runs } from '../chance.js'
import { END, archive, block, entry, pax, type Header } from '../tar/craft.js'
import { dump, trees } from './arbitrary.js'

let xxh64: Xxh64
beforeAll(async () => {
  xxh64 = (await xxhash()).h64Raw
})

const RUNS = runs(600)

/** Cuts by turns of the given sizes. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!
    out.push(bytes.slice(at, at + size))
    at += size
  }
  return out
}

/** As a stream whose memory is used again for each chunk, at odd addresses. */
function streamed(bytes: Uint8Array, sizes: readonly number[]): Uint8Array {
  const indexer = new LayerIndexer()
  const memory = new Uint8Array(Math.max(...sizes) + 8)
  for (const [i, chunk] of cut(bytes, sizes).entries()) {
    const at = i % 7
    memory.set(chunk, at)
    indexer.push(memory.subarray(at, at + chunk.length))
    memory.fill(0xff)
  }
  return indexer.finish(xxh64)
}

/** What came of it, comparable. */
function outcome(make: () => Uint8Array): string {
  try {
    return Buffer.from(make()).toString('hex')
  } catch (error) {
    if (!(error instanceof LayerError)) throw error
    return `${error.code} at ${error.data.offset}`
  }
}

function expectOneIndex(bytes: Uint8Array, sizes: readonly number[]): string {
  const want = outcome(() => encodeLayerIndex(readLayer(bytes), xxh64))
  expect(outcome(() => indexTar(bytes, xxh64))).toBe(want)
  expect(outcome(() => indexTar(bytesReader(digestOf(bytes), bytes), xxh64))).toBe(want)
  for (const some of [sizes, [bytes.length]]) {
    const got = outcome(() => streamed(bytes, some))
    // That its end is missing is the last thing that is known of a stream; another fault may come first.
    if (want.startsWith('TAR_TRUNCATED')) expect(got).toMatch(/^[A-Z_]+ at \d+$/)
    else expect(got).toBe(want)
  }
  return want
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 700 }), fc.constantFrom(512, 1024, 4096, 65_536)), {
  minLength: 1,
  maxLength: 4,
})

const piece = fc.constantFrom(
  'a',
  'bc',
  '.',
  '..',
  '/',
  '/',
  './',
  '.wh.',
  '.w',
  'x.wh.',
  'é',
  '.b',
  ' ',
  'n'.repeat(60),
)
const name = fc.array(piece, { maxLength: 5 }).map((parts) => parts.join('').slice(0, 100))
const number = (digits: number) =>
  fc.oneof(
    fc.nat(0o777).map((n) => `${n.toString(8).padStart(digits, '0')}\0`),
    fc.nat(0o777).map((n) => `${n.toString(8).padStart(digits - 1, '0')} \0`),
    fc.nat(0o777).map((n) => n.toString(8).padStart(digits + 1, '0')),
    fc.nat(0o777).map((n) => n.toString(8).padStart(digits, ' ')),
    fc.constantFrom('', '8', '0000\x001', '\x80\0\0\0\0\0\0\x01', '-1', '00 00'),
  )
const plain = (digits: number) => fc.nat(0o777).map((n) => `${n.toString(8).padStart(digits, '0')}\0`)
const mostly = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: usual, weight: 6 }, { arbitrary: odd, weight: 1 })

const header: fc.Arbitrary<Header> = fc.record({
  name: mostly(
    fc.array(fc.constantFrom('a', 'b', '.c'), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
    name,
  ),
  prefix: mostly(fc.constant(''), name),
  type: mostly(fc.constantFrom('0', '0', '5'), fc.constantFrom('\0', '1', '2', '7', 'g')),
  magic: mostly(fc.constant('ustar\u000000'), fc.constantFrom('ustar  \0', '', 'ustar \0')),
  linkname: fc.constant('a'),
  mode: mostly(plain(7), number(7)),
  uid: mostly(plain(7), number(7)),
  gid: mostly(plain(7), number(7)),
  mtime: mostly(plain(11), number(11)),
})
const content = fc.constantFrom('', 'x', 'y'.repeat(512), 'z'.repeat(1500))
/** A file's size is its content's; what has none says so. */
const part = fc
  .record({ header, content })
  .map((one) => entry(one.header, one.header.type === '0' ? one.content : ''))

describe('every way makes the same index', () => {
  test('of trees', () => {
    fc.assert(
      fc.property(trees, trees, sizes, (a, b, chunks) => {
        const bytes = Buffer.concat([...encodeLayer(diffTrees(a, b))])
        expect(expectOneIndex(bytes, chunks)).toMatch(/^4c414d494458/)
      }),
      { numRuns: runs(150) },
    )
  })

  test('of headers in any spelling, and archives that end anywhere', () => {
    let refused = 0
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), fc.nat(2000), sizes, (parts, lost, chunks) => {
        const whole = archive(...parts)
        const bytes = new Uint8Array(whole.subarray(0, Math.max(0, whole.length - (lost % 2 ? lost : 0))))
        if (!expectOneIndex(bytes, chunks).startsWith('4c')) refused++
      }),
      { numRuns: RUNS },
    )
    expect(refused).toBeGreaterThan(RUNS / 20)
    expect(refused).toBeLessThan(RUNS * 0.9)
  })

  test('of extension headers that lie across chunks', () => {
    const bytes = archive(
      pax({ path: 'd/pax', uid: '4000000000', mtime: '-1.5', 'SCHILY.xattr.user.x': 'v'.repeat(3000) }),
      entry({ name: 'short' }, 'content'),
      entry({ type: 'L', name: '././@LongLink' }, `d/${'long'.repeat(50)}\0`),
      block({ name: 'cut', type: '2', linkname: '../target' }),
      pax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.realsize': '100',
        'GNU.sparse.name': 's',
      }),
      entry({ name: 'sparse' }, '2\n5\n3\n50\n1\n'.padEnd(512, '\0') + 'abcd'),
      pax({ gid: '7' }, 'g'),
      entry({ name: 'after/global' }, 'x'),
      block({ name: 'd/.wh.gone' }),
    )
    for (let size = 1; size <= 1600; size += size < 20 ? 1 : 97) {
      expect(expectOneIndex(bytes, [size])).toMatch(/^4c414d494458/)
    }
  })

  test('many directories, and such as are made to have one hash', () => {
    const names = collidingNames(64)
    const parts = Array.from({ length: 3000 }, (_, i) => block({ name: `d${i % 1500}/sub${i % 7}/f${i}` }))
    expectOneIndex(archive(...parts, ...names.map((at) => block({ name: `${at}/f` }))), [4096])
  })
})

/** Directory names whose FNV-1a hashes have the same low 14 bits, more than the table has slots. */
function collidingNames(count: number): string[] {
  const found: string[] = []
  for (let i = 0; found.length < count; i++) {
    const text = `k${i}`
    let hash = 0x811c9dc5
    for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193)
    hash ^= hash >>> 15
    if ((hash & 0x3fff) === 0x1234) found.push(text)
  }
  return found
}

/** Without what a header more in front of each entry moves. */
const unmoved = (entry: TarEntry) => ({ ...entry, offset: 0, dataOffset: 0 })

test('a comment before each entry changes nothing: the plain reading of a header is the full one', () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const entries = (bytes: Uint8Array) => {
        const out: unknown[] = []
        try {
          for (const one of scanTar(bytes)) out.push(unmoved(one))
        } catch (error) {
          out.push((error as LayerError).code)
        }
        return out
      }
      // A global header is no entry that a comment could belong to.
      fc.pre(parts.every((one) => one[156] !== 0x67))
      const commented = parts.flatMap((one) => [pax({ comment: 'x' }), one])
      expect(entries(archive(...parts))).toEqual(entries(archive(...commented)))
    }),
    { numRuns: RUNS },
  )
})

/** What applying the archive's changes to nothing gives, and what its index gives straight. */
function bothTrees(bytes: Uint8Array): { applied: unknown; direct: unknown } {
  const index = decodeLayerIndex(indexTar(bytes, xxh64), { source: contentSourceOf(bytes), xxh64 })!
  const direct = treeFromRows(EMPTY_TREE, index)
  try {
    return { applied: dump(applyChangeset(EMPTY_TREE, readLayer(bytes))), direct: direct && dump(direct) }
  } catch (error) {
    return { applied: error, direct: direct && dump(direct) }
  }
}

describe('a tree made straight from an index is what applying its changes makes', () => {
  test('of trees', () => {
    let count = 0
    fc.assert(
      fc.property(trees, (tree) => {
        const { applied, direct } = bothTrees(Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))]))
        if (direct === undefined) return
        count++
        expect(direct).toEqual(applied)
      }),
      { numRuns: runs(300) },
    )
    expect(count).toBeGreaterThan(100)
  })

  const step = fc.record({
    path: fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }).map((at) => at.join('/')),
    type: fc.constantFrom('0', '5', '5', '5', '2'),
  })
  const toPart = ({ path, type }: { path: string; type: string }) =>
    block({ name: type === '5' ? `${path}/` : path, type, linkname: type === '2' ? 'b' : '' })

  test('of entries in any order', () => {
    const counts = { direct: 0, applied: 0 }
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), fc.boolean(), (steps, isSorted) => {
        const order = isSorted ? steps.toSorted((a, b) => comparePaths(a.path, b.path)) : steps
        const { applied, direct } = bothTrees(archive(block({ name: './', type: '5' }), ...order.map(toPart)))
        if (direct !== undefined) expect(direct).toEqual(applied)
        counts[direct === undefined ? 'applied' : 'direct']++
      }),
      { numRuns: RUNS },
    )
    expect(counts.direct).toBeGreaterThan(RUNS / 20)
    expect(counts.applied).toBeGreaterThan(RUNS / 20)
  })

  test.each([
    ['a directory of many', [block({ name: 'd/', type: '5' }), ...many('d', 2000)], true],
    ['no directory', [block({ name: 'd/f' })], false],
    ['a file in place of one', [block({ name: 'd' }), block({ name: 'd/f' })], false],
    [
      'a symlink in place of one',
      [block({ name: 'd', type: '2', linkname: '.' }), block({ name: 'd/f' })],
      false,
    ],
    ['a name twice', [block({ name: 'a' }), block({ name: 'a' })], false],
    ['names out of order', [block({ name: 'b' }), block({ name: 'a' })], false],
    ['a whiteout', [block({ name: '.wh.a' })], false],
    ['a hard link', [block({ name: 'a' }), block({ name: 'b', type: '1', linkname: 'a' })], false],
    ['a directory without entries', [block({ name: 'd/', type: '5' }), block({ name: 'e' })], true],
    [
      'breadth first',
      ['a/', 'b/', 'a/f'].map((name) => block({ name, type: name.endsWith('/') ? '5' : '0' })),
      false,
    ],
    ['nothing', [], true],
  ])('%s', (_, parts, isDirect) => {
    const { applied, direct } = bothTrees(archive(...parts))
    expect(direct !== undefined).toBe(isDirect)
    if (isDirect) expect(direct).toEqual(applied)
  })

  test('not on top of something', () => {
    const below = applyChangeset(EMPTY_TREE, readLayer(archive(block({ name: 'x' }))))
    const bytes = archive(block({ name: 'y' }))
    const index = decodeLayerIndex(indexTar(bytes, xxh64), { source: contentSourceOf(bytes), xxh64 })!
    expect(treeFromRows(below, index)).toBeUndefined()
  })
})

function many(dir: string, count: number): Uint8Array[] {
  const names = Array.from({ length: count }, (_, i) => `${dir}/${i}`).sort()
  return names.map((name) => block({ name }))
}

describe('ingestLayer', () => {
  const KIND = 'layer-index'
  const tar = archive(block({ name: 'd/', type: '5' }), entry({ name: 'd/f' }, 'content'))

  test('stores the layer and its index in one pass', async () => {
    await fc.assert(
      fc.asyncProperty(trees, sizes, fc.boolean(), async (tree, chunks, isAsync) => {
        const store = createMemoryStore()
        const bytes = Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))])
        const parts = cut(bytes, chunks)
        const layer = await ingestLayer(store, isAsync ? later(parts) : parts)
        expect(layer.diffID).toBe(digestOf(bytes))
        const index = store.sidecars.get(KIND, hexOf(layer.diffID))!
        expect(Buffer.compare(index, indexTar(bytes, xxh64))).toBe(0)
        expect(dump(await openTree(store, [layer]))).toEqual(dump(tree))
      }),
      { numRuns: runs(100) },
    )
  })

  test('bytes that are no layer are stored and named', async () => {
    const store = createMemoryStore()
    const bytes = archive(entry({ name: '../up' }, 'x'))
    await expect(ingestLayer(store, [bytes])).rejects.toMatchObject({
      code: 'LAYER_PATH_INVALID',
      data: { offset: 0 },
    })
    expect(await store.blobs.stat(digestOf(bytes))).toBeDefined()
    expect(store.sidecars.get(KIND, hexOf(digestOf(bytes)))).toBeUndefined()
  })

  test('a source that fails leaves nothing', async () => {
    const store = createMemoryStore()
    async function* broken() {
      yield tar.subarray(0, 600)
      throw new Error('the line broke')
    }
    await expect(ingestLayer(store, broken())).rejects.toThrow('the line broke')
    for await (const blob of store.blobs.list()) throw new Error(`${blob.digest} is there`)
  })
})

describe('indexingStore', () => {
  const KIND = 'layer-index'
  const tar = archive(block({ name: 'd/', type: '5' }), entry({ name: 'd/f' }, 'content'.repeat(1000)))

  test('a stream that is a layer gains its index, anything else none', async () => {
    const store = createMemoryStore()
    const indexing = indexingStore(store)
    const { digest } = await indexing.blobs.put(later(cut(tar, [700])), { size: tar.length })
    expect(Buffer.compare(store.sidecars.get(KIND, hexOf(digest))!, indexTar(tar, xxh64))).toBe(0)
    const others = [
      gzipSync(tar),
      Buffer.from('{"a":1}'),
      new Uint8Array(2048),
      tar.subarray(0, 1500),
      new Uint8Array(0),
    ]
    for (const bytes of others) {
      const info = await indexing.blobs.put([bytes])
      expect(info).toEqual({ digest: digestOf(bytes), size: bytes.length })
    }
    expect(await store.sidecars.list(KIND)).toEqual([hexOf(digest)])
  })

  test('so does what a compressed layer unpacks to', async () => {
    const store = indexingStore(createMemoryStore())
    const packed = gzipSync(tar)
    const { digest, size } = await store.blobs.put([packed])
    const diffID = digestOf(tar) as string as DiffID
    await openLayerBlob(store, { mediaType: MEDIA_TYPES.layerGzip, digest, size }, diffID)
    expect(await store.sidecars.list(KIND)).toEqual([hexOf(diffID)])
  })

  test('bytes that are not what was promised leave none', async () => {
    const store = createMemoryStore()
    const expect_ = { digest: digestOf('other') }
    await expect(indexingStore(store).blobs.put([tar], expect_)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
    expect(await store.sidecars.list(KIND)).toEqual([])
  })

  test('a load reads no layer again: its indexes are there when the layers are opened', async () => {
    const made = createMemoryStore()
    const layer = await commitLayer(made, [tar])
    const config = {
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers' as const, diff_ids: [layer.diffID] },
    }
    const { descriptor } = await writeImage(made.blobs, { config, layers: [layer] })
    for (const format of ['docker-archive', 'oci-archive'] as const) {
      for (const compression of ['none', 'gzip', 'zstd'] as const) {
        if (format === 'docker-archive' && compression !== 'none') continue
        const packed = saveArchive(made, [{ descriptor, names: ['a:1'] }], { format, compression })
        const store = createMemoryStore()
        let indexes: readonly string[] = []
        const checkLayers: LayerCheck = async (...given) => {
          indexes = await store.sidecars.list(KIND)
          return openTree(...given)
        }
        await loadArchive(indexingStore(store), packed, { checkLayers })
        // A compressed layer is unpacked when it is opened.
        expect([format, compression, indexes.length]).toEqual([
          format,
          compression,
          compression === 'none' ? 1 : 0,
        ])
        expect(await store.sidecars.list(KIND)).toEqual([hexOf(layer.diffID)])
      }
    }
  })
})

async function* later(chunks: readonly Uint8Array[]) {
  yield* chunks
}

test('an archive without any entry', () => {
  expectOneIndex(END, [100])
  expectOneIndex(new Uint8Array(0), [1])
})
