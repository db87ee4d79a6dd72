// The writer's one form: golden bytes, PAX only where ustar cannot, and everything read back.
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../src/digest.js'
import { decodePath, encodePath } from '../../src/path.js'
import { encodeTar, scanTar, type BlobReader, type TarInput } from '../../src/store/index.js'
import { runs } from '../chance.js'

const plain = { mode: 0o644, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0 }
const bytesOf = (...entries: TarInput[]) => Buffer.concat([...encodeTar(entries)])
const text = (value: string) => [new Uint8Array(Buffer.from(value))]
const file = (path: string, more: Partial<TarInput> = {}): TarInput => ({
  kind: 'file',
  path,
  ...plain,
  ...more,
})

describe('golden bytes', () => {
  test('a file, field by field', () => {
    const bytes = bytesOf(
      file('dir/name', {
        mode: 0o4755,
        uid: 1000,
        gid: 8,
        mtimeSec: 1_700_000_000,
        size: 3,
        content: text('abc'),
      }),
    )
    const field = (at: number, length: number) => bytes.toString('latin1', at, at + length)
    expect(bytes).toHaveLength(512 + 512 + 1024)
    expect(field(0, 100)).toBe('dir/name'.padEnd(100, '\0'))
    expect(field(100, 48)).toBe('0004755\x000001750\x000000010\x0000000000003\x0014524770400\0')
    expect(field(148, 8)).toMatch(/^0[0-7]{5}\0 $/)
    expect(field(156, 101)).toBe('0'.padEnd(101, '\0'))
    expect(field(257, 72)).toBe('ustar\x0000'.padEnd(72, '\0'))
    expect(field(329, 16)).toBe('0000000\x000000000\0')
    expect(field(345, 167)).toBe(''.padEnd(167, '\0'))
    expect(field(512, 512)).toBe('abc'.padEnd(512, '\0'))
    expect(bytes.subarray(1024).every((byte) => byte === 0)).toBe(true)
  })

  // Changing this changes every layer's digest: name it in the changelog.
  test('everything at once has one digest', () => {
    const xattrs = new Map([
      ['user.b', Uint8Array.of(0, 1, 255)],
      ['user.a', Uint8Array.of(10)],
    ])
    const bytes = bytesOf(
      { kind: 'dir', path: '', ...plain, mode: 0o755 },
      { kind: 'dir', path: 'd', ...plain, mode: 0o1777 },
      file('d/ünï', { size: 1, content: text('x'), mtimeSec: -2, mtimeNsec: 500_000_000, xattrs }),
      { kind: 'link', path: 'd/hard', linkpath: 'd/ünï', ...plain },
      { kind: 'symlink', path: 'd/link', linkpath: 't'.repeat(120), ...plain, mode: 0o777 },
      { kind: 'chardev', path: 'd/null', ...plain, devMajor: 1, devMinor: 3 },
      { kind: 'fifo', path: 'd/p', ...plain, uid: 4294967294 },
    )
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(
      '58e4295b06a850c70b012af0fe8b9bdc816f2199485b97d4fe97d11505f16d49',
    )
  })
})

/** How many PAX headers an entry gets. */
const paxHeaders = (entry: TarInput) => {
  const bytes = bytesOf(entry)
  return bytes[156] === 0x78 ? 1 : 0
}

describe('PAX only where ustar cannot', () => {
  const parts = (...lengths: number[]) => lengths.map((length, i) => String(i % 10).repeat(length)).join('/')
  test.each<[string, TarInput, number]>([
    ['100 bytes', file('n'.repeat(100)), 0],
    ['101 bytes without a slash', file('n'.repeat(101)), 1],
    ['split at the slash', file(parts(100, 100)), 0],
    ['a prefix of 155 bytes', file(parts(155, 100)), 0],
    ['a prefix of 156 bytes', file(parts(156, 99)), 1],
    ['a name of 101 bytes behind the last slash that fits', file(parts(154, 101)), 1],
    ['many parts, one slash that fits', file(parts(50, 50, 50, 49, 49)), 0],
    ['a directory of 99 bytes', { ...file('d'.repeat(99)), kind: 'dir' }, 0],
    ['a directory of 100 bytes: its slash is too much', { ...file('d'.repeat(100)), kind: 'dir' }, 1],
    ['not ASCII', file('é'), 1],
    ['not UTF-8: there is no other way', file('\udcff'), 0],
    ['not UTF-8 and long', file('\udcff'.repeat(101)), 1],
    ['uid of 21 bits', file('f', { uid: 0o7777777 }), 0],
    ['uid of 22 bits', file('f', { uid: 0o10000000 }), 1],
    ['last second of 33 bits', file('f', { mtimeSec: 0o77777777777 }), 0],
    ['one more second', file('f', { mtimeSec: 0o100000000000 }), 1],
    ['before the epoch', file('f', { mtimeSec: -1 }), 1],
    ['a fraction', file('f', { mtimeNsec: 1 }), 1],
    ['a link of 100 bytes', { ...file('l'), kind: 'symlink', linkpath: 'x'.repeat(100) }, 0],
    ['a link of 101 bytes', { ...file('l'), kind: 'symlink', linkpath: 'x'.repeat(101) }, 1],
    ['an xattr', file('f', { xattrs: new Map([['user.x', new Uint8Array(0)]]) }), 1],
  ])('%s: %i', (_, entry, want) => {
    expect(paxHeaders(entry)).toBe(want)
    const [back] = [...scanTar(bytesOf(entry))]
    const path = entry.kind === 'dir' ? `${entry.path}/` : entry.path
    expect(back).toMatchObject({
      path,
      uid: entry.uid,
      mtimeSec: entry.mtimeSec,
      mtimeNsec: entry.mtimeNsec,
      linkpath: entry.linkpath ?? '',
    })
  })
})

describe('content', () => {
  test.each<[string, TarInput]>([
    ['too short', file('f', { size: 4, content: text('abc') })],
    ['too long', file('f', { size: 2, content: text('abc') })],
    ['none', file('f', { size: 2 })],
    ['a device number without form', { ...file('d'), kind: 'chardev', devMajor: 2 ** 21 }],
    ['an xattr name without form', file('f', { xattrs: new Map([['user.a=b', Uint8Array.of(1)]]) })],
  ])('refused: %s', (_, entry) => {
    expect(() => bytesOf(entry)).toThrow(expect.objectContaining({ code: 'LAYER_ENTRY_INVALID' }))
  })

  test('chunks are never written to again, and hold what was said of offsets', () => {
    const kept: { chunk: Uint8Array; copy: Buffer }[] = []
    const offsets: number[] = []
    const entries = Array.from({ length: 300 }, (_, i) => {
      const bytes = new Uint8Array((i * 7919) % 90_000).fill(i)
      return file(`f${i}`, { size: bytes.length, content: [bytes] })
    })
    const options = {
      onEntry: (_index: number, _offset: number, dataOffset: number) => void offsets.push(dataOffset),
    }
    for (const chunk of encodeTar(entries, options)) kept.push({ chunk, copy: Buffer.from(chunk) })
    for (const { chunk, copy } of kept) expect(Buffer.compare(chunk, copy)).toBe(0)
    const archive = Buffer.concat(kept.map(({ chunk }) => chunk))
    expect([...scanTar(archive)].map(({ dataOffset }) => dataOffset)).toEqual(offsets)
    expect(kept.every(({ chunk }) => chunk.length <= 256 * 1024)).toBe(true)
  })

  test('a file of more than 8 GiB', () => {
    const piece = new Uint8Array(1 << 28)
    const size = 33 * piece.length
    function* content() {
      for (let i = 0; i < 33; i++) yield piece
    }
    // Only the chunks that are not the content are kept.
    const chunks: { at: number; bytes: Uint8Array }[] = []
    let length = 0
    for (const bytes of encodeTar([file('big', { size, content: content() }), file('after')])) {
      if (bytes !== piece) chunks.push({ at: length, bytes })
      length += bytes.length
    }
    const reader: BlobReader = {
      digest: 'sha256:0' as Digest,
      size: length,
      read: (offset, wanted) => {
        const chunk = chunks.findLast(({ at }) => at <= offset)!
        const out = new Uint8Array(wanted)
        out.set(chunk.bytes.subarray(offset - chunk.at, offset - chunk.at + wanted))
        return out
      },
    }
    expect([...scanTar(reader)].map((entry) => [entry.path, entry.size])).toEqual([
      ['big', size],
      ['after', 0],
    ])
  })
})

test('decode(encode(x)) = x', () => {
  const name = fc
    .stringMatching(/^[a-z.é\udc80-\udcff-]{1,40}$/)
    .filter((part) => part !== '.' && part !== '..')
  const input = fc.record({
    // Escaped bytes that are UTF-8 together are no spelling of a name: the round trip makes one of it.
    path: fc
      .array(name, { minLength: 1, maxLength: 12 })
      .map((parts) => decodePath(encodePath(parts.join('/')))),
    kind: fc.constantFrom('file' as const, 'dir' as const, 'fifo' as const),
    mode: fc.nat(0o7777),
    uid: fc.nat(0xffff_fffe),
    gid: fc.nat(0xffff_fffe),
    mtimeSec: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    mtimeNsec: fc.nat(999_999_999),
    xattrs: fc.option(
      fc
        .dictionary(fc.stringMatching(/^[a-z.]{1,20}$/), fc.uint8Array({ maxLength: 40 }))
        .map((o) => new Map(Object.entries(o))),
      { nil: undefined },
    ),
  })
  fc.assert(
    fc.property(fc.array(input, { maxLength: 6 }), (entries) => {
      const back = [...scanTar(bytesOf(...entries))]
      expect(back).toHaveLength(entries.length)
      for (const [i, entry] of entries.entries()) {
        const { path, kind, mode, uid, gid, mtimeSec, mtimeNsec } = back[i]!
        const want = kind === 'dir' ? `${entry.path}/` : entry.path
        expect([path, kind, mode, uid, gid, mtimeSec, mtimeNsec]).toEqual([
          want,
          entry.kind,
          entry.mode,
          entry.uid,
          entry.gid,
          entry.mtimeSec,
          entry.mtimeNsec,
        ])
        const xattrs = (map: ReadonlyMap<string, Uint8Array> | undefined) =>
          [...(map ?? [])].map(([key, value]) => [key, [...value]]).sort()
        expect(xattrs(back[i]!.xattrs)).toEqual(xattrs(entry.xattrs))
      }
    }),
    { numRuns: runs(500) },
  )
})
