// What every BlobStore must do, as cases for any test runner. An implementation of one's own, or a wrapper around ours,
// passes these or is not one.
import { strict as assert } from 'node:assert'
import { digestOf, EMPTY_DIGEST, type Digest } from '../digest.js'
import { openBlob, readBlob, readVerified, verifyBlob, type BlobStore } from '../store/index.js'
import {
  ABSENT,
  HELLO,
  broken,
  bytesOf,
  casesOf,
  digestsIn,
  drain,
  later,
  noise,
  rejectsWith,
  type ConformanceCase,
  type Make,
} from './conformance.js'

/**
 * The cases of the BlobStore contract (src/store/blobs.ts). Those of methods that a store may leave out pass where it does.
 * @param make  a fresh, empty store for each case
 */
export function blobStoreCases(make: Make<BlobStore>): ConformanceCase[] {
  return casesOf(make, {
    async 'put gives digest and size; get gives the bytes back'(blobs) {
      const digest = digestOf(HELLO)
      assert.deepEqual(await blobs.put(HELLO), { digest, size: 5 })
      assert.deepEqual(await drain(blobs.get(digest)), HELLO)
      assert.equal((await blobs.stat(digest))?.size, 5)
    },

    async 'a blob is the same however it is chunked'(blobs) {
      const whole = noise(3_000_000)
      const digest = digestOf(whole)
      for (const cut of [4096, 65_536, 300_000, 1 << 20, (1 << 20) + 1]) {
        const chunks: Uint8Array[] = []
        for (let at = 0; at < whole.length; at += cut) chunks.push(whole.subarray(at, at + cut))
        for (const source of [chunks, later(...chunks)]) {
          await blobs.delete(digest)
          assert.deepEqual(await blobs.put(source), { digest, size: whole.length })
          assert.equal(digestOf(await readBlob(blobs, digest)), digest)
        }
      }
    },

    async 'a source may reuse its buffer'(blobs) {
      const buffer = new Uint8Array(400_000)
      function* reusing(): Generator<Uint8Array> {
        for (const fill of [1, 2, 3]) yield buffer.fill(fill)
        for (const fill of [4, 5]) yield buffer.fill(fill).subarray(0, 1000)
      }
      const { digest, size } = await blobs.put(reusing())
      const got = await readBlob(blobs, digest)
      assert.equal(size, 1_202_000)
      assert.deepEqual(
        [0, 399_999, 400_000, 800_000, 1_199_999, 1_200_000, 1_201_000].map((at) => got[at]),
        [1, 1, 2, 3, 3, 4, 5],
      )
    },

    async 'the empty blob'(blobs) {
      assert.deepEqual(await blobs.put([]), { digest: EMPTY_DIGEST, size: 0 })
      assert.equal((await readBlob(blobs, EMPTY_DIGEST)).byteLength, 0)
      assert.equal((await openBlob(blobs, EMPTY_DIGEST)).read(0, 0).byteLength, 0)
    },

    async 'wrong digest or size: an error, and the store is as it was'(blobs) {
      const digest = digestOf(HELLO)
      for (const source of [() => HELLO, () => [HELLO], () => later(HELLO)]) {
        await rejectsWith('DIGEST_MISMATCH', () => blobs.put(source(), { digest: ABSENT }))
        await rejectsWith('SIZE_MISMATCH', () => blobs.put(source(), { size: 4 }))
        await rejectsWith('SIZE_MISMATCH', () => blobs.put(source(), { digest, size: 6 }))
      }
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'a blob that is there does not excuse wrong bytes'(blobs) {
      const digest = digestOf(HELLO)
      await blobs.put(HELLO)
      await rejectsWith('DIGEST_MISMATCH', () => blobs.put(later(bytesOf('jello')), { digest }))
      await rejectsWith('SIZE_MISMATCH', () => blobs.put(later(HELLO, HELLO), { digest, size: 5 }))
      assert.deepEqual(await readBlob(blobs, digest), HELLO)
    },

    async 'a stream that is longer than promised is not read to its end'(blobs) {
      let pulled = 0
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (;;) {
          pulled++
          yield HELLO
        }
      }
      await rejectsWith('SIZE_MISMATCH', () => blobs.put(endless(), { size: 50 }))
      assert.ok(pulled < 20, `${pulled} chunks were pulled`)
    },

    async 'an error of the source comes through; nothing is stored'(blobs) {
      await rejectsWith('ECONNRESET', () => blobs.put(broken()))
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'put is idempotent, also at the same time'(blobs) {
      const bytes = noise(700_000)
      const puts = Array.from({ length: 8 }, (_, i) => blobs.put(i % 2 ? later(bytes) : bytes))
      const infos = await Promise.all(puts)
      assert.ok(infos.every(({ digest }) => digest === digestOf(bytes)))
      assert.deepEqual(await digestsIn(blobs), [digestOf(bytes)])
    },

    async 'a signal stops a put; nothing is stored'(blobs) {
      const controller = new AbortController()
      async function* stopping(): AsyncGenerator<Uint8Array> {
        yield HELLO
        controller.abort()
        yield HELLO
      }
      await rejectsWith('ABORT_ERR', () => blobs.put(stopping(), {}, { signal: controller.signal }))
      await rejectsWith('ABORT_ERR', () => blobs.put(HELLO, {}, { signal: controller.signal }))
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'absence is undefined, false, or BLOB_NOT_FOUND'(blobs) {
      assert.equal(await blobs.stat(ABSENT), undefined)
      assert.equal(await blobs.delete(ABSENT), false)
      await rejectsWith('BLOB_NOT_FOUND', () => drain(blobs.get(ABSENT)))
      await rejectsWith('BLOB_NOT_FOUND', () => openBlob(blobs, ABSENT))
    },

    async 'delete removes'(blobs) {
      const { digest } = await blobs.put(HELLO)
      assert.equal(await blobs.delete(digest), true)
      assert.equal(await blobs.stat(digest), undefined)
      assert.deepEqual(await digestsIn(blobs), [])
      await blobs.put(HELLO)
      assert.deepEqual(await readBlob(blobs, digest), HELLO)
    },

    async 'ranges are cut at the end'(blobs) {
      const bytes = noise(2_500_000)
      const { digest } = await blobs.put(bytes)
      for (const [offset, length] of [
        [0, 10],
        [1_048_570, 20],
        [2_499_990, 100],
        [2_500_000, 1],
        [9_000_000, 1],
        [5, 0],
        [100, 2_000_000],
      ] as const) {
        const got = await drain(blobs.get(digest, { offset, length }))
        assert.deepEqual(got, bytes.slice(offset, offset + length), `${offset}+${length}`)
      }
      await assert.rejects(() => drain(blobs.get(digest, { offset: -1, length: 1 })), RangeError)
    },

    async 'a range whose digest is known is verified'(blobs) {
      const bytes = noise(10_000)
      const { digest } = await blobs.put(bytes)
      const [offset, length] = [3000, 5000]
      const right = digestOf(bytes.subarray(offset, offset + length))
      const got = await drain(blobs.get(digest, { offset, length, digest: right }))
      assert.equal(digestOf(got), right)
      await rejectsWith('DIGEST_MISMATCH', () => drain(blobs.get(digest, { offset, length, digest: ABSENT })))
      await rejectsWith('DIGEST_MISMATCH', () =>
        drain(blobs.get(digest, { offset: 6000, length, digest: right })),
      )
      const reader = await openBlob(blobs, digest)
      assert.equal(digestOf(readVerified(reader, offset, length, right)), right)
      assert.throws(() => readVerified(reader, offset + 1, length, right), { code: 'DIGEST_MISMATCH' })
    },

    async 'verify passes what is sound and misses what is not there'(blobs) {
      for (const size of [0, 5, 300_000, 3_500_000]) {
        await verifyBlob(blobs, (await blobs.put(noise(size))).digest)
      }
      await rejectsWith('BLOB_NOT_FOUND', () => verifyBlob(blobs, ABSENT))
    },

    async 'list tells every blob with its size'(blobs) {
      const sizes = new Map<Digest, number>()
      for (const size of [0, 1, 5, 4096]) sizes.set((await blobs.put(noise(size))).digest, size)
      const listed = new Map<Digest, number>()
      for await (const { digest, size } of blobs.list()) listed.set(digest, size)
      assert.deepEqual(new Map([...listed].sort()), new Map([...sizes].sort()))
    },

    async 'a reader reads any range within the blob, and no other'(blobs) {
      const bytes = noise(100_000)
      const { digest } = await blobs.put(bytes)
      const reader = await openBlob(blobs, digest)
      assert.equal(reader.size, 100_000)
      assert.equal(reader.digest, digest)
      for (const [offset, length] of [
        [0, 0],
        [0, 100_000],
        [99_999, 1],
        [512, 512],
      ] as const) {
        const got = reader.read(offset, length)
        assert.deepEqual(Uint8Array.from(got), bytes.slice(offset, offset + length))
      }
      for (const [offset, length] of [
        [0, 100_001],
        [100_000, 1],
        [-1, 1],
        [1, -1],
      ] as const) {
        assert.throws(() => reader.read(offset, length), { code: 'SIZE_MISMATCH' })
      }
    },

    async 'more readers than there may be open files'(blobs) {
      const digests: Digest[] = []
      for (let i = 0; i < 300; i++) digests.push((await blobs.put(bytesOf(`blob ${i}`))).digest)
      const readers = await Promise.all(digests.map((digest) => openBlob(blobs, digest)))
      for (let round = 0; round < 2; round++) {
        readers.forEach((reader, i) =>
          assert.equal(new TextDecoder().decode(reader.read(5, reader.size - 5)), `${i}`),
        )
      }
    },

    async 'ingest: goes on where the source broke off, and becomes a blob'(blobs) {
      if (blobs.ingest === undefined) return
      const whole = Uint8Array.from([...noise(600_000), ...HELLO])
      const first = await blobs.ingest('big')
      await rejectsWith('ECONNRESET', () => first.append(broken()))
      assert.equal(first.size, 600_000)
      await first.close()
      await first.close()
      assert.deepEqual(await digestsIn(blobs), [])
      const second = await blobs.ingest('big')
      assert.equal(second.size, 600_000)
      await second.append([HELLO])
      const info = { digest: digestOf(whole), size: whole.length }
      assert.deepEqual(await second.commit(info), info)
      assert.deepEqual(await readBlob(blobs, info.digest), whole)
      const third = await blobs.ingest('big')
      assert.equal(third.size, 0)
      await third.discard()
      await rejectsWith('STORE_CLOSED', () => third.append(HELLO))
    },

    async 'ingest: one at a time under a name, and names are apart'(blobs) {
      if (blobs.ingest === undefined) return
      const a = await blobs.ingest('a')
      await rejectsWith('INGEST_BUSY', () => blobs.ingest!('a'))
      const b = await blobs.ingest('../b')
      await a.append(HELLO)
      await b.append(later(HELLO, HELLO))
      assert.deepEqual([a.size, b.size], [5, 10])
      await a.discard()
      await (await blobs.ingest('a')).close()
      assert.equal((await b.commit()).size, 10)
    },

    async 'ingest: what is wrong at the end is begun anew'(blobs) {
      if (blobs.ingest === undefined) return
      for (const expect of [{ digest: ABSENT }, { size: 4 }]) {
        const ingest = await blobs.ingest('x')
        assert.equal(ingest.size, 0)
        await ingest.append(HELLO)
        await rejectsWith('digest' in expect ? 'DIGEST_MISMATCH' : 'SIZE_MISMATCH', () =>
          ingest.commit(expect),
        )
      }
      assert.deepEqual(await digestsIn(blobs), [])
    },

    async 'a reader of a deleted blob says so'(blobs) {
      if (blobs.open === undefined) return
      const { digest } = await blobs.put(HELLO)
      const reader = await blobs.open(digest)
      reader.read(0, 1)
      await blobs.delete(digest)
      assert.throws(() => reader.read(0, 1), { code: 'BLOB_NOT_FOUND' })
    },
  })
}
