// However a blob is cut into chunks, and whatever becomes of a chunk's memory afterwards: the same digest, the same bytes.
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlobWriter, feed } from '../../src/store/blob-writer.js'
import { nodeFs } from '../../src/store/node-fs.js'
import { runs } from '../chance.js'
import { makeFolder } from './folder.js'

const KIB = 1 << 10
const MIB = 1 << 20

/** Around every size at which a chunk is treated in another way. */
const size = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.integer({ min: KIB - 2, max: KIB + 2 }),
  fc.integer({ min: 2 * KIB, max: 60 * KIB }),
  fc.integer({ min: 256 * KIB - 2, max: 256 * KIB + 2 }),
  fc.integer({ min: MIB - 2, max: MIB + 2 }),
)
/** Runs of chunks of one size, so that blocks are filled by small ones too. */
const chunkSizes = fc
  .array(fc.record({ size, count: fc.constantFrom(1, 1, 2, 20, 300) }), { maxLength: 6 })
  .map((runs) =>
    runs.flatMap((run) =>
      Array.from({ length: run.size > KIB * 4 ? Math.min(run.count, 20) : run.count }, () => run.size),
    ),
  )
  .map((sizes) => sizes.slice(0, 700))

test('chunks of any sizes, one memory for all', async () => {
  const folder = makeFolder()
  let files = 0
  await fc.assert(
    fc.asyncProperty(chunkSizes, async (sizes) => {
      const path = join(folder, `${files++}`)
      const fd = openSync(path, 'wx')
      const want = createHash('sha256')
      let bytes = 0
      const memory = new Uint8Array(Math.max(1, ...sizes))
      function* chunks() {
        for (const [i, length] of sizes.entries()) {
          const chunk = memory.subarray(0, length)
          for (let at = 0; at < length; at += 61) chunk[at] = i * 7 + at
          want.update(chunk)
          bytes += length
          yield chunk
          chunk.fill(0xee, 0, Math.min(length, 100))
        }
      }
      const writer = new BlobWriter(nodeFs, fd, {})
      await feed(writer, chunks(), undefined)
      const info = await writer.finish()
      closeSync(fd)
      const digest = `sha256:${want.digest('hex')}`
      expect(info).toEqual({ digest, size: bytes })
      expect(`sha256:${createHash('sha256').update(readFileSync(path)).digest('hex')}`).toBe(digest)
    }),
    { numRuns: runs(60) },
  )
})
