// Reads of parts of a blob: bytes that are not what they were never come out, in whatever way they are asked for.
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { assert, asyncProperty, integer, nat, property, tuple } from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { hexOf, type Digest } from '../../src/digest.js'
import { applyGc, openBlob, openDiskStore, planGc, type Store } from '../../src/store/index.js'
import type { DiskStoreOptions } from '../../src/store/disk-store.js'
import {
  commitDiff,
  EMPTY_TREE,
  openTree,
  bytesSource,
  TreeEditor,
  TreeNode,
  UnionView,
  type LayerRef,
} from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { makeFolder } from './folder.js'

async function open(folder: string, options: DiskStoreOptions = {}): Promise<Store> {
  const store = await openDiskStore(folder, { durability: 'none', ...options })
  onTestFinished(() => store.close())
  return store
}

const fileOf = (folder: string, digest: Digest) => join(folder, 'blobs/sha256', hexOf(digest))
const sumsOf = (folder: string, digest: Digest) => join(folder, 'lamella/sidecars/block-sums', hexOf(digest))

/** Flips bits of one byte in place; the file's time is another afterwards, unless it is asked to be the same. */
function flip(file: string, at: number, { keepTime = false, bits = 0x20 } = {}): void {
  const { atime, mtime } = statSync(file)
  const bytes = readFileSync(file)
  bytes[at]! ^= bits
  chmodSync(file, 0o644)
  writeFileSync(file, bytes)
  if (keepTime) utimesSync(file, atime, mtime)
}

function noise(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 0xff)
}

const DAMAGED = { code: 'DIGEST_MISMATCH' }

describe.each([
  ['small', 50_000],
  ['large', 3_000_000],
])('a %s blob', (_, size) => {
  const content = noise(size)

  async function prepare() {
    const folder = makeFolder()
    const first = await open(folder)
    const { digest } = await first.blobs.put([content.subarray(0, 1000), content.subarray(1000)])
    await first.close()
    return { folder, digest, file: fileOf(folder, digest) }
  }

  test('every range is as written, whatever was read before', async () => {
    const { folder, digest } = await prepare()
    const reader = await openBlob((await open(folder)).blobs, digest)
    const range = tuple(nat(size), nat(20_000))
    assert(
      property(range, ([offset, most]) => {
        const length = Math.min(most, size - offset)
        expect(Buffer.compare(reader.read(offset, length), content.subarray(offset, offset + length))).toBe(0)
      }),
      { numRuns: runs(300) },
    )
  })

  test('damage before the first read: no part comes out, and no sums are made', async () => {
    const { folder, digest, file } = await prepare()
    flip(file, size - 1)
    const { blobs } = await open(folder)
    const reader = await openBlob(blobs, digest)
    expect(() => reader.read(0, 10)).toThrow(expect.objectContaining(DAMAGED))
    await expect(drain(blobs.get(digest, { offset: 3, length: 4 }))).rejects.toMatchObject(DAMAGED)
    expect(existsSync(sumsOf(folder, digest))).toBe(false)
  })

  test('damage after sums were made: found in the blocks it hit', async () => {
    const { folder, digest, file } = await prepare()
    const before = await open(folder)
    ;(await openBlob(before.blobs, digest)).read(0, 10)
    await before.close()
    expect(existsSync(sumsOf(folder, digest))).toBe(size > 1 << 20)
    flip(file, 20_000)
    const reader = await openBlob((await open(folder)).blobs, digest)
    expect(() => reader.read(19_000, 2000)).toThrow(expect.objectContaining(DAMAGED))
    // Of a large blob the rest can still be read.
    if (size > 1 << 20) expect(reader.read(40_000, 100)).toEqual(content.subarray(40_000, 40_100))
  })

  test('damage while the blob is open and was read', async () => {
    const { folder, digest, file } = await prepare()
    utimesSync(file, 1, 1)
    const reader = await openBlob((await open(folder)).blobs, digest)
    expect(reader.read(100, 100)).toEqual(content.subarray(100, 200))
    flip(file, 150)
    expect(() => reader.read(100, 100)).toThrow(expect.objectContaining(DAMAGED))
    flip(file, 150)
    expect(reader.read(100, 100)).toEqual(content.subarray(100, 200))
  })

  test('a file that was cut', async () => {
    const { folder, digest, file } = await prepare()
    const reader = await openBlob((await open(folder)).blobs, digest)
    reader.read(0, 10)
    chmodSync(file, 0o644)
    writeFileSync(file, content.subarray(0, size - 10))
    expect(() => reader.read(size - 100, 100)).toThrow()
    const again = await openBlob((await open(folder)).blobs, digest)
    expect(() => again.read(0, 10)).toThrow(expect.objectContaining(DAMAGED))
  })

  test('a put heals it, also for a reader that is open', async () => {
    const { folder, digest, file } = await prepare()
    flip(file, 5)
    const store = await open(folder)
    const reader = await openBlob(store.blobs, digest)
    expect(() => reader.read(0, 10)).toThrow(expect.objectContaining(DAMAGED))
    await store.blobs.delete(digest)
    await store.blobs.put(content)
    expect(reader.read(0, 10)).toEqual(content.subarray(0, 10))
  })

  test('verifyReads: false reads what is there', async () => {
    const { folder, digest, file } = await prepare()
    flip(file, 5)
    const reader = await openBlob((await open(folder, { verifyReads: false })).blobs, digest)
    expect(reader.read(5, 1)).toEqual(Uint8Array.of(content[5]! ^ 0x20))
    expect(existsSync(sumsOf(folder, digest))).toBe(false)
  })

  test('what this process wrote itself is found damaged too', async () => {
    const folder = makeFolder()
    const { blobs } = await open(folder)
    const { digest } = await blobs.put([content])
    await new Promise((done) => setTimeout(done, 20))
    const reader = await openBlob(blobs, digest)
    expect(reader.read(0, 5)).toEqual(content.subarray(0, 5))
    flip(fileOf(folder, digest), 3)
    expect(() => reader.read(0, 5)).toThrow(expect.objectContaining(DAMAGED))
  })
})

describe('the sums themselves', () => {
  const size = 2_000_000
  const content = noise(size)

  async function prepare() {
    const folder = makeFolder()
    const first = await open(folder)
    const { digest } = await first.blobs.put([content])
    await first.close()
    const second = await open(folder)
    ;(await openBlob(second.blobs, digest)).read(0, 1)
    await second.close()
    return { folder, digest, sums: sumsOf(folder, digest) }
  }

  test('damaged or of another form, they are made anew', async () => {
    const { folder, digest, sums } = await prepare()
    const good = readFileSync(sums)
    for (const change of [
      () => flip(sums, 100),
      () => writeFileSync(sums, good.subarray(0, 40)),
      () => writeFileSync(sums, ''),
      () => rmSync(sums),
    ]) {
      change()
      const store = await open(folder)
      expect((await openBlob(store.blobs, digest)).read(5000, 10)).toEqual(content.subarray(5000, 5010))
      await store.close()
      expect(readFileSync(sums)).toEqual(good)
    }
  })

  test('right in form but wrong, the digest decides', async () => {
    const { folder, digest, sums } = await prepare()
    const good = readFileSync(sums)
    const store = await open(folder)
    const other = Uint8Array.from(good.subarray(0, -8))
    other[16]! ^= 1
    await store.sidecars.put('block-sums', hexOf(digest), other)
    expect((await openBlob(store.blobs, digest)).read(0, 10)).toEqual(content.subarray(0, 10))
    await store.close()
    expect(readFileSync(sums)).toEqual(good)
  })

  test('they go with their blob', async () => {
    const { folder, sums } = await prepare()
    const store = await open(folder)
    await applyGc(store, await planGc(store, { graceMs: 0 }))
    expect(readdirSync(join(folder, 'blobs/sha256'))).toEqual([])
    expect(existsSync(sums)).toBe(false)
  })
})

describe('a file of a layer', () => {
  const big = noise(1_500_000)

  async function commit(folder: string): Promise<LayerRef> {
    const store = await open(folder)
    const editor = new TreeEditor(EMPTY_TREE)
    editor.put('big', new TreeNode({ kind: 'file', size: big.length, source: bytesSource(big) }))
    editor.put('small', new TreeNode({ kind: 'file', size: 100, source: bytesSource(big), offset: 7 }))
    const layer = await commitDiff(store, EMPTY_TREE, editor.finish())
    await store.close()
    return layer
  }

  // Node's form of what read(2) answers for a disk that fails.
  const EIO = {
    code: 'EIO',
    errno: -5,
    syscall: 'read',
    cause: expect.objectContaining(DAMAGED) as unknown,
  }

  test.each<[string, (fs: UnionView['fs']) => unknown]>([
    ['readFileSync', (fs) => fs.readFileSync('/big')],
    ['readFile', (fs) => fs.promises.readFile('/big')],
    [
      'a callback',
      (fs) => new Promise((done, fail) => fs.readFile('/big', (e, b) => (e ? fail(e) : done(b)))),
    ],
    ['read at a place', (fs) => fs.readSync(fs.openSync('/big', 'r'), Buffer.alloc(10), 0, 10, 700_000)],
    ['a stream', async (fs) => drain(fs.createReadStream('/big') as AsyncIterable<Uint8Array>)],
    ['a file handle', async (fs) => (await fs.promises.open('/big')).readFile()],
  ])('%s: EIO', async (_, read) => {
    const folder = makeFolder()
    const layer = await commit(folder)
    flip(fileOf(folder, layer.descriptor.digest), 700_000 + 1024)
    const { fs } = new UnionView(await openTree(await open(folder), [layer]))
    await expect((async () => read(fs))()).rejects.toMatchObject(EIO)
  })

  test('copyFile, and a write that must copy up first', async () => {
    const folder = makeFolder()
    const layer = await commit(folder)
    const { fs } = new UnionView(await openTree(await open(folder), [layer]))
    fs.readFileSync('/small')
    flip(fileOf(folder, layer.descriptor.digest), 700_000)
    expect(() => fs.appendFileSync('/big', 'x')).toThrow(expect.objectContaining({ code: 'EIO' }))
    fs.copyFileSync('/small', '/other')
    expect(fs.statSync('/big').size).toBe(big.length)
  })

  test('an index is only made of right bytes', async () => {
    const folder = makeFolder()
    const layer = await commit(folder)
    rmSync(join(folder, 'lamella/sidecars/layer-index'), { recursive: true })
    flip(fileOf(folder, layer.descriptor.digest), 100)
    await expect(openTree(await open(folder), [layer])).rejects.toMatchObject(DAMAGED)
  })

  test('any byte of a layer, at random: an error or the right content, never another', async () => {
    const folder = makeFolder()
    const layer = await commit(folder)
    const file = fileOf(folder, layer.descriptor.digest)
    const { size } = statSync(file)
    let found = 0
    await assert(
      asyncProperty(nat(size - 1), integer({ min: 1, max: 255 }), async (at, bits) => {
        flip(file, at, { bits })
        const store = await openDiskStore(folder, { durability: 'none' })
        try {
          const { fs } = new UnionView(await openTree(store, [layer]))
          expect(Buffer.compare(fs.readFileSync('/big') as Buffer, big)).toBe(0)
          expect(Buffer.compare(fs.readFileSync('/small') as Buffer, big.subarray(7, 107))).toBe(0)
        } catch (error) {
          expect(error).toMatchObject({ code: 'EIO' })
          found++
        } finally {
          await store.close()
          flip(file, at, { bits })
        }
      }),
      { numRuns: runs(150) },
    )
    expect(found).toBeGreaterThan(100)
  })
})

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks) void chunk
}
