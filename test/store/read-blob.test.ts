// readBlob: a whole blob in one piece, by the store's own short way or derived from `get`; right bytes or an error.
import { chmodSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { digestOf, hexOf, type Digest } from '../../src/digest.js'
import { openDiskStore, readBlob, type BlobStore, type Store } from '../../src/store/index.js'
import { makeFolder } from './folder.js'

const KIB = 1 << 10
/** The shortest way ends before 64 KiB, the short one at 256 KiB. */
const SIZES = [0, 1, 2 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 3 * 1024 * KIB + 5]

const bytesOf = (size: number) => Buffer.alloc(size, 'lamella')

async function inStore(fn: (store: Store, folder: string) => Promise<void>): Promise<void> {
  const folder = makeFolder()
  const store = await openDiskStore(folder, { durability: 'none' })
  try {
    await fn(store, folder)
  } finally {
    await store.close()
  }
}

/** The same store without its short way. */
function derived({ put, get, stat, delete: remove, list }: BlobStore): BlobStore {
  return { put, get, stat, delete: remove, list }
}

describe.each([
  ['by the store', (blobs: BlobStore) => blobs],
  ['derived', derived],
])('%s', (_, view) => {
  test.each(SIZES)('%d bytes', async (size) => {
    await inStore(async (store) => {
      const bytes = bytesOf(size)
      const { digest } = await store.blobs.put(bytes)
      expect(Buffer.compare(await readBlob(view(store.blobs), digest), bytes)).toBe(0)
    })
  })

  test.each(SIZES.slice(1))('%d bytes, damaged or cut', async (size) => {
    await inStore(async (store, folder) => {
      const { digest } = await store.blobs.put(bytesOf(size))
      const path = join(folder, 'blobs/sha256', hexOf(digest))
      chmodSync(path, 0o644)
      const damaged = readFileSync(path)
      damaged[size >> 1]! ^= 1
      writeFileSync(path, damaged)
      await expect(readBlob(view(store.blobs), digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
      truncateSync(path, size - 1)
      await expect(readBlob(view(store.blobs), digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    })
  })

  test('one that is not there, and a store that is closed', async () => {
    let blobs: BlobStore | undefined
    const missing: Digest = digestOf('missing')
    await inStore(async (store) => {
      blobs = view(store.blobs)
      await expect(readBlob(blobs, missing)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    })
    await expect(readBlob(blobs!, missing)).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })
})

describe('a blob on disk, read at once', () => {
  test.each([0, 1, 2048, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 3_000_000])(
    '%i bytes: right, in memory of its own, and an error when a bit of them is not',
    async (size) => {
      const folder = makeFolder()
      const store = await openDiskStore(folder, { durability: 'none' })
      onTestFinished(() => store.close())
      const bytes = Buffer.alloc(size, 'a blob ')
      const { digest } = await store.blobs.put(bytes)
      const first = await readBlob(store.blobs, digest)
      await readBlob(store.blobs, (await store.blobs.put(Buffer.from('another'))).digest)
      expect(bytes.equals(first)).toBe(true)
      expect(first.buffer.byteLength).toBe(size)
      if (size === 0) return
      const path = join(folder, 'blobs/sha256', hexOf(digest))
      chmodSync(path, 0o644)
      for (const damaged of [bytes.subarray(1), Buffer.concat([bytes.subarray(1), Buffer.from('!')])]) {
        writeFileSync(path, damaged)
        await expect(readBlob(store.blobs, digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
      }
      rmSync(path)
      await expect(readBlob(store.blobs, digest)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' })
    },
  )
})
