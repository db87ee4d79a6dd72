// The reader's rules, one by one; archives are crafted, GNU tar's own are in gnu-tar.test.ts.
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../src/digest.js'
import { LayerError } from '../../src/errors.js'
import { bytesReader, scanTar, type BlobReader, type TarEntry } from '../../src/store/index.js'
import { archive, block, entry, pax, paxRecord, END, type Header } from './craft.js'

const scan = (bytes: Uint8Array) => [...scanTar(bytes)]
const only = (...parts: Uint8Array[]): TarEntry => {
  const entries = scan(archive(...parts))
  expect(entries).toHaveLength(1)
  return entries[0]!
}
const failure = (bytes: Uint8Array, limits = {}) => {
  try {
    for (const _ of scanTar(bytes, limits)) void _
  } catch (error) {
    expect(error).toBeInstanceOf(LayerError)
    return { code: (error as LayerError).code, offset: (error as LayerError).data.offset }
  }
  return 'no error'
}
const bytes = (...values: number[]) => Uint8Array.from(values)

// GNU tar manual § Basic Tar Format; Go archive/tar's reader for white space and NULs
describe('numbers', () => {
  test.each<[string, Header, Partial<TarEntry>]>([
    ['octal with NUL', { uid: '0001750\0' }, { uid: 1000 }],
    ['octal with blanks', { uid: '  1750 \0' }, { uid: 1000 }],
    ['octal over the whole field', { uid: '77777777' }, { uid: 0o77777777 }],
    ['empty', { uid: '\0\0\0\0\0\0\0\0' }, { uid: 0 }],
    ['base-256', { uid: bytes(0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe) }, { uid: 4294967294 }],
    ['mode without file type bits', { mode: '0104755\0' }, { mode: 0o4755 }],
    [
      'base-256 negative time',
      { mtime: bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe) },
      { mtimeSec: -2 },
    ],
    ['time after 2242', { mtime: bytes(0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0) }, { mtimeSec: 2 ** 33 }],
    ['devices', { type: '3', devmajor: '0000010\0', devminor: '0000377\0' }, { devMajor: 8, devMinor: 255 }],
  ])('%s', (_, header, want) => expect(only(entry(header))).toMatchObject(want))

  test.each<[string, Header]>([
    ['not octal', { uid: '0000008\0' }],
    ['text after the number', { uid: '12 x\0' }],
    [
      'negative size',
      { size: bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) },
    ],
    ['negative uid', { uid: bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) }],
    ['beyond 2^53', { mtime: bytes(0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) }],
  ])('refused: %s', (_, header) => {
    const first = entry({}, 'content')
    expect(failure(archive(first, block(header)))).toEqual({
      code: 'TAR_HEADER_INVALID',
      offset: first.length,
    })
  })
})

describe('headers', () => {
  test('a wrong checksum is refused, a signed one is not', () => {
    expect(failure(archive(block({ checksum: 'wrong' })))).toEqual({ code: 'TAR_HEADER_INVALID', offset: 0 })
    expect(only(block({ name: bytes(0x66, 0xc3, 0xa9), checksum: 'signed' })).path).toBe('fé')
  })

  test.each<[string, Header, string]>([
    ['ustar joins the prefix', { prefix: 'a/b', name: 'c' }, 'a/b/c'],
    ['GNU has no prefix', { prefix: '00000000001', name: 'c', magic: 'ustar  \0' }, 'c'],
    ['v7 has no prefix', { prefix: 'x', name: 'c', magic: '' }, 'c'],
    ['a name over the whole field', { name: 'n'.repeat(100), magic: '' }, 'n'.repeat(100)],
    ['bytes that are not UTF-8', { name: bytes(0x61, 0xff) }, 'a\udcff'],
  ])('%s', (_, header, path) => expect(only(entry(header)).path).toBe(path))

  test('star keeps times behind a shorter prefix', () => {
    const header = block({ prefix: `${'p'.repeat(130)}\x0000000000001 00000000002`, name: 'c' })
    header.set(Buffer.from('tar\0'), 508)
    header.set(Buffer.from('        '), 148)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
    expect(only(header).path).toBe(`${'p'.repeat(130)}/c`)
  })

  test.each([
    ['\0', 'f', 'file'],
    ['0', 'f', 'file'],
    ['7', 'f', 'file'],
    ['0', 'd/', 'dir'],
    ['\0', 'd/', 'dir'],
    ['5', 'd', 'dir'],
    ['D', 'd', 'dir'],
    ['1', 'l', 'link'],
    ['2', 'l', 'symlink'],
    ['3', 'c', 'chardev'],
    ['4', 'b', 'blockdev'],
    ['6', 'p', 'fifo'],
  ])('type %j of %s is a %s', (type, name, kind) => {
    expect(only(block({ type, name, linkname: 't' })).kind).toBe(kind)
  })

  test('an unknown type is refused, a volume label is passed over', () => {
    expect(failure(archive(block({ type: 'Q' })))).toEqual({ code: 'TAR_HEADER_INVALID', offset: 0 })
    expect(scan(archive(block({ type: 'V', name: 'label' })))).toEqual([])
  })

  // Go archive/tar isHeaderOnlyType: such sizes are not sizes of data
  test.each(['1', '2', '3', '4', '5', '6'])('type %s has no data whatever its size says', (type) => {
    const entries = scan(
      archive(block({ type, size: '00000001000\0', linkname: 't' }), block({ name: 'next' })),
    )
    expect(entries.map(({ path, size }) => [path, size])).toEqual([
      ['f', 0],
      ['next', 0],
    ])
  })
})

// POSIX.1-2024 pax § pax Extended Header
describe('PAX', () => {
  test('local records hold for one entry and win over the header and GNU names', () => {
    const first = Buffer.concat([
      entry({ type: 'L', name: '././@LongLink' }, 'gnu name\0'),
      pax({ path: 'pax/näme', uid: '4294967294', gid: '9', mtime: '-1.5', linkpath: 'unused', size: '3' }),
      entry({ name: 'short', size: '00000000000\0' }),
      Buffer.concat([Buffer.from('abc'), new Uint8Array(509)]),
    ])
    const [a, b] = scan(archive(first, entry({ name: 'b' })))
    expect(a).toMatchObject({
      offset: 0,
      path: 'pax/näme',
      uid: 4294967294,
      gid: 9,
      mtimeSec: -2,
      mtimeNsec: 500_000_000,
      size: 3,
    })
    expect(b).toMatchObject({ offset: first.length, path: 'b', uid: 0, mtimeSec: 0 })
  })

  test('global records hold on, local ones win, an empty value takes back', () => {
    const entries = scan(
      archive(
        pax({ uid: '5', gid: '6', mtime: '7.25' }, 'g'),
        entry({ name: 'a' }),
        pax({ uid: '8' }),
        entry({ name: 'b' }),
        pax({ gid: '' }, 'g'),
        entry({ name: 'c', gid: '0000001\0' }),
      ),
    )
    expect(entries.map(({ uid, gid, mtimeSec, mtimeNsec }) => [uid, gid, mtimeSec, mtimeNsec])).toEqual([
      [5, 6, 7, 250_000_000],
      [8, 6, 7, 250_000_000],
      [5, 1, 7, 250_000_000],
    ])
  })

  test.each([
    ['0', 0, 0],
    ['1.5', 1, 500_000_000],
    ['1.1234567899', 1, 123_456_789],
    ['-1', -1, 0],
    ['-0.000000001', -1, 999_999_999],
    ['1.', 1, 0],
    ['-0.0', 0, 0],
  ])('mtime %s', (mtime, sec, nsec) => {
    expect(only(pax({ mtime }), entry({}))).toMatchObject({ mtimeSec: sec, mtimeNsec: nsec })
  })

  test('xattrs are bytes', () => {
    const value = bytes(0, 255, 10, 61, 0xc3)
    const { xattrs } = only(
      pax({ 'SCHILY.xattr.security.capability': value, 'SCHILY.xattr.user.e': '' }),
      entry({}),
    )
    expect([...xattrs!.keys()]).toEqual(['security.capability', 'user.e'])
    expect(Buffer.compare(xattrs!.get('security.capability')!, value)).toBe(0)
  })

  test.each<[string, Uint8Array]>([
    ['no length', Buffer.from('path=x\n')],
    ['length past the end', Buffer.from('99 path=x\n')],
    ['length too short', Buffer.from('3 path=x\n')],
    ['no line end', Buffer.from('9 path=xy')],
    ['no equals sign', Buffer.from('7 path\n')],
    ['no keyword', Buffer.from('5 =x\n')],
    ['NUL in a path', paxRecord('path', 'a\0b')],
    ['uid not a number', paxRecord('uid', '12a')],
    ['negative uid', paxRecord('uid', '-1')],
    ['size beyond 2^53', paxRecord('size', '99999999999999999')],
    ['mtime not a time', paxRecord('mtime', '1e3')],
  ])('refused: %s', (_, records) => {
    expect(failure(archive(entry({ type: 'x' }, records), entry({})))).toEqual({
      code: 'TAR_PAX_INVALID',
      offset: 0,
    })
  })
})

describe('ends', () => {
  test('no end marker, one zero block, garbage and a second archive behind it', () => {
    const one = entry({ name: 'one' }, 'x')
    for (const rest of [
      [],
      [new Uint8Array(512)],
      [END],
      [END, Buffer.from('garbage')],
      [END, entry({}), END],
    ]) {
      expect(scan(Buffer.concat([one, ...rest])).map(({ path }) => path)).toEqual(['one'])
    }
    expect(scan(new Uint8Array(0))).toEqual([])
  })

  test('content without its padding at the very end is whole', () => {
    expect(scan(Buffer.concat([block({ size: '00000000003\0' }), Buffer.from('abc')]))).toHaveLength(1)
  })

  test.each<[string, Uint8Array, number]>([
    ['inside a header', Buffer.concat([entry({}), block({}).subarray(0, 511)]), 512],
    ['inside content', Buffer.concat([block({ size: '00000000004\0' }), Buffer.from('abc')]), 0],
    ['inside PAX records', pax({ path: 'x' }).subarray(0, 515), 0],
    ['after an extension header', pax({ path: 'x' }), 0],
    ['1 TB declared', archive(block({ size: '15432030140000\0'.slice(0, 12) })), 0],
  ])('cut: %s', (_, data, offset) => expect(failure(data)).toEqual({ code: 'TAR_TRUNCATED', offset }))
})

describe('limits', () => {
  test('entries, extension headers, sparse files', () => {
    expect(failure(archive(entry({}), entry({})), { entriesMax: 1 })).toEqual({
      code: 'LAYER_LIMIT',
      offset: 512,
    })
    expect(failure(archive(pax({ comment: 'x'.repeat(100) }), entry({})), { extensionBytesMax: 99 })).toEqual(
      {
        code: 'LAYER_LIMIT',
        offset: 0,
      },
    )
    expect(failure(archive(block({ type: 'L', size: '77777777777\0' })))).toMatchObject({
      code: 'LAYER_LIMIT',
    })
    const hole = pax({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.realsize': '1099511627776',
    })
    expect(failure(archive(hole, entry({}, '0\n'.padEnd(512, '\0'))))).toEqual({
      code: 'LAYER_LIMIT',
      offset: 0,
    })
  })
})

// GNU tar manual § Storing Sparse Files
describe('sparse maps', () => {
  const sparse = (map: string, size: string, content: string) =>
    archive(
      pax({ 'GNU.sparse.map': map, 'GNU.sparse.size': size, 'GNU.sparse.name': 'real' }),
      entry({}, content),
    )

  test('0.1 with its real name', () => {
    const [file] = scan(sparse('2,3,7,1', '10', 'abcd'))
    expect(file).toMatchObject({ path: 'real', size: 10 })
    expect(file!.sparse!.runs).toEqual([
      { offset: 2, length: 3 },
      { offset: 7, length: 1 },
    ])
  })

  test.each([
    ['overlapping', '2,3,4,1', '10', 'abcd'],
    ['descending', '7,1,2,3', '10', 'abcd'],
    ['past the end', '2,3,7,4', '10', 'abcdefg'],
    ['uneven', '2,3,7', '10', 'abc'],
    ['more than the data', '2,3', '10', 'ab'],
    ['less than the data', '2,1', '10', 'ab'],
  ])('refused: %s', (_, map, size, content) => {
    expect(failure(sparse(map, size, content))).toEqual({ code: 'TAR_SPARSE_INVALID', offset: 0 })
  })

  test.each(['', '1\n', 'x\n', '1\n\n', '1\n5', '99999999999999999999\n'])(
    '1.0 with the map %j is refused',
    (map) => {
      const header = pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' })
      const result = failure(archive(header, entry({}, map)))
      expect(result).toMatchObject({ code: 'TAR_SPARSE_INVALID', offset: 0 })
    },
  )
})

test('a blob read through a window gives what memory gives, with few and bounded reads', () => {
  const parts = Array.from({ length: 400 }, (_, i) =>
    i % 50 === 7
      ? entry({ name: `big${i}` }, new Uint8Array(600_000).fill(i))
      : Buffer.concat([pax({ path: `${'long/'.repeat(40)}${i}` }), entry({}, 'x'.repeat(i * 3))]),
  )
  const all = archive(...parts)
  let reads = 0
  let most = 0
  const inner = bytesReader('sha256:0' as Digest, all)
  const reader: BlobReader = {
    ...inner,
    read: (offset, length) => {
      reads++
      most = Math.max(most, length)
      return inner.read(offset, length).slice()
    },
  }
  expect([...scanTar(reader)]).toEqual(scan(all))
  expect(most).toBeLessThanOrEqual(256 * 1024)
  expect(reads).toBeLessThan(60)
})
