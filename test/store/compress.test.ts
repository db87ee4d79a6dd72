// gzip and zstd streams, both ways, and what is wrong with damaged ones.
import { execFileSync } from 'node:child_process'
import { gunzipSync, gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MEDIA_TYPES } from '../../src/descriptor.js'
import { compress, compressionOf, decompress, sniffCompression } from '../../src/store/compress.js'
import { unzstdByLibrary, zstdByLibrary } from '../../src/store/zstd.js'
import { runs } from '../chance.js'
import { findProgram, peerTest } from '../peers.js'

async function collect(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const out: Uint8Array[] = []
  for await (const chunk of chunks) out.push(chunk.slice())
  return Buffer.concat(out)
}

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.subarray(at, at + size))
  return out
}

const TEXT = Buffer.from('layer upon layer, '.repeat(60_000) + Math.PI)

// OCI image-spec v1.1 layer.md § `+gzip` and `+zstd` media types; Docker's image manifest v2 schema 2
describe('compressionOf', () => {
  test.each([
    [MEDIA_TYPES.layer, 'none'],
    [MEDIA_TYPES.layerGzip, 'gzip'],
    [MEDIA_TYPES.layerZstd, 'zstd'],
    [MEDIA_TYPES.dockerLayer, 'none'],
    [MEDIA_TYPES.dockerLayerGzip, 'gzip'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'gzip'],
  ])('%s is %s', (mediaType, want) => expect(compressionOf(mediaType)).toBe(want))

  test('of what is no layer: MEDIA_TYPE_UNSUPPORTED', () => {
    expect(() => compressionOf(MEDIA_TYPES.config)).toThrow(
      expect.objectContaining({ code: 'MEDIA_TYPE_UNSUPPORTED' }),
    )
  })
})

// RFC 1952 2.3.1; RFC 8878 3.1.1 (frame) and 3.1.2 (skippable frame: 0x184D2A50 to 5F)
test.each([
  [[0x1f, 0x8b, 8, 0], 'gzip'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'zstd'],
  [[0x50, 0x2a, 0x4d, 0x18], 'zstd'],
  [[0x5f, 0x2a, 0x4d, 0x18], 'zstd'],
  [[0x60, 0x2a, 0x4d, 0x18], 'none'],
  [[0x28, 0xb5, 0x2f], 'none'],
  [[], 'none'],
])('sniff %j: %s', (head, want) => expect(sniffCompression(Uint8Array.from(head))).toBe(want))

describe.each(['none', 'gzip', 'zstd'] as const)('%s', (kind) => {
  test('decompress ∘ compress is the identity, whatever the chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 5000 }),
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 700 }),
        async (bytes, a, b) => {
          const packed = await collect(compress(cut(bytes, a), kind))
          expect(sniffCompression(packed) === kind || kind === 'none').toBe(true)
          expect(await collect(decompress(cut(packed, b), kind))).toEqual(Buffer.from(bytes))
        },
      ),
      { numRuns: runs(60) },
    )
  })

  test('the output does not depend on how the input is chunked', async () => {
    const whole = await collect(compress([TEXT], kind, { level: 4 }))
    expect(await collect(compress(cut(TEXT, 999), kind, { level: 4 }))).toEqual(whole)
  })

  test('more than sizeMax: LAYER_LIMIT, long before the end', async () => {
    const bomb = await collect(compress(cut(new Uint8Array(16 << 20), 1 << 20), kind))
    let seen = 0
    const reading = (async () => {
      for await (const chunk of decompress(cut(bomb, 65_536), kind, { sizeMax: 1 << 20 })) {
        seen += chunk.length
      }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'LAYER_LIMIT' })
    expect(seen).toBeLessThanOrEqual(1 << 20)
  })

  test('an error of the source comes through as it is', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield (await collect(compress([TEXT], kind))).subarray(0, 20)
      throw Object.assign(new Error('cut'), { code: 'ECONNRESET' })
    }
    await expect(collect(decompress(broken(), kind))).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})

describe.each(['gzip', 'zstd'] as const)('%s that is wrong', (kind) => {
  test('cut short anywhere: COMPRESSION_INVALID', async () => {
    const small = await collect(compress([Buffer.from('hello, layers')], kind))
    for (let length = 0; length < small.length; length++) {
      await expect(
        collect(decompress([small.subarray(0, length)], kind)),
        `${length} of ${small.length} bytes`,
      ).rejects.toMatchObject({ code: 'COMPRESSION_INVALID' })
    }
  })

  test('something else: COMPRESSION_INVALID', async () => {
    await expect(collect(decompress([Buffer.from('a tar, perhaps?')], kind))).rejects.toMatchObject({
      code: 'COMPRESSION_INVALID',
    })
  })

  test('several members in a row are one stream', async () => {
    const one = await collect(compress([Buffer.from('one')], kind))
    const two = await collect(compress([Buffer.from('two')], kind))
    expect(String(await collect(decompress([one, two], kind)))).toBe('onetwo')
  })
})

test('gzip is deterministic: no time, no name, system 255', async () => {
  const packed = await collect(compress([TEXT], 'gzip'))
  expect([...packed.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
  expect(gunzipSync(packed)).toEqual(TEXT)
})

test('gzip with damaged content fails its own checksum', async () => {
  const packed = gzipSync(TEXT)
  packed[packed.length - 6]! ^= 1
  await expect(collect(decompress([packed], 'gzip'))).rejects.toMatchObject({ code: 'COMPRESSION_INVALID' })
})

// Without zstd in node:zlib the libraries do it; with it they must still agree with it.
describe('zstd by library', () => {
  const zstd = findProgram('zstd')

  test('content of several frames, at several levels', async () => {
    const content = Buffer.concat(Array.from({ length: 18 }, (_, i) => Buffer.alloc(1 << 20, `frame ${i}`)))
    for (const level of [1, 3]) {
      const packed = await collect(zstdByLibrary([content], level))
      expect((await collect(unzstdByLibrary(cut(packed, 1777)))).equals(content)).toBe(true)
    }
  })

  peerTest('the zstd program reads what we write', zstd !== undefined, async () => {
    const packed = await collect(zstdByLibrary(cut(TEXT, 100_000), 3))
    expect(execFileSync(zstd!, ['-dc'], { input: packed, maxBuffer: 1 << 24 }).equals(TEXT)).toBe(true)
  })

  peerTest('we read what the zstd program writes, long windows too', zstd !== undefined, async () => {
    for (const args of [['-1'], ['-19'], ['--long=27', '-3'], ['--no-check']]) {
      const packed = execFileSync(zstd!, ['-c', ...args], { input: TEXT, maxBuffer: 1 << 24 })
      expect((await collect(unzstdByLibrary(cut(packed, 4000)))).equals(TEXT), args.join(' ')).toBe(true)
    }
  })
})
