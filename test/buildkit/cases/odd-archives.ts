// Archives for ADD that no archiver writes: unknown types, global headers, faults behind the end, compressions that are cut.
import { crc32 } from 'node:zlib'
import { entry, pax } from '../../tar/craft.js'

const END = new Uint8Array(1024)
const T = '12345670000\0'

const tar = (...entries: readonly Uint8Array[]): Buffer => Buffer.concat([...entries, END])
const dir = (name: string, mode = '0000750\0'): Uint8Array => entry({ name, mode, type: '5', mtime: T })
const file = (name: string, content = name, more = {}): Uint8Array =>
  entry({ name, mtime: T, ...more }, content)
const link = (name: string, linkname: string, type: '1' | '2'): Uint8Array =>
  entry({ name, linkname, type, mtime: T, mode: '0000640\0' })

/** With one bit turned, so many bytes before the end. */
function spoiled(bytes: Uint8Array, beforeEnd: number): Uint8Array {
  const out = Uint8Array.from(bytes)
  out[out.length - beforeEnd]! ^= 1
  return out
}

/** Text that does not compress well. */
function noise(length: number): string {
  let text = ''
  for (let x = 1; text.length < length; x = (x * 1_103_515_245 + 12_345) & 0x7fffffff)
    text += String.fromCharCode(33 + (x % 90))
  return text
}

/** One stored block, made by hand: what zlib writes differs with its version. At most 65,535 bytes. @see RFC 1951 3.2.4 */
function gzipped(content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content as Uint8Array)
  const block = Buffer.from([1, 0, 0, 0, 0])
  block.writeUInt16LE(bytes.length, 1)
  block.writeUInt16LE(~bytes.length & 0xffff, 3)
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(bytes), 0)
  trailer.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]), block, bytes, trailer])
}

const G = gzipped(tar(file('a')))
const LARGE = gzipped(tar(file('a', noise(6_000)), file('b')))
/** `tar --format=gnu -S` of 100,000 bytes with `hello` at 50,000. */
const OLD_SPARSE = Buffer.from('H4sIAAAAAAACA+3QTQrDIBCG4TmKR5hR24vkBFkUuggYTHL/iIQsWmghQVfvs5kfReFbZmlOi2eMtRYf1Wpvj6DqLfhoomXwKm6QDrZlHbNzklNaf937d34rHbX4lUhtg5ZEzsTq/toHx0MAGnq/pikRAwAAAAAAAAAAAAAAADrZARtXC5MAKAAA', 'base64') // prettier-ignore

/** What is odd in an archive, or in what it is packed with, as Go's archive/tar and compress/gzip take it. */
export const ODD_ARCHIVES: Readonly<Record<string, Uint8Array>> = {
  'gz + zeros': Buffer.concat([G, Buffer.alloc(100)]),
  'gz + garbage': Buffer.concat([G, Buffer.from('garbage here and more')]),
  'gz + gz of text': Buffer.concat([G, gzipped('text')]),
  'gz + magic only': Buffer.concat([G, Buffer.from([0x1f, 0x8b])]),
  'gz bad crc': spoiled(G, 6),
  'gz bad size': spoiled(G, 2),
  'gz large, bad crc': spoiled(LARGE, 6),
  'gz large + garbage': Buffer.concat([LARGE, Buffer.from('garbage')]),
  'gz corrupt in the middle': Buffer.concat([G.subarray(0, 10), Buffer.from([0, 0, 4, 0xff, 0xfb]), file('a', noise(3_000)).subarray(0, 1024), Buffer.alloc(99, 7)]),
  'gz no trailer': G.subarray(0, G.length - 8),
  'gz no trailer half': G.subarray(0, G.length - 4),
  'gz no end blocks + garbage': Buffer.concat([gzipped(file('a')), Buffer.from('xx')]),
  'gz no end blocks bad crc': spoiled(gzipped(file('a')), 6),
  'gz name header': Buffer.concat([Buffer.from([0x1f,0x8b,8,8,0,0,0,0,0,3]), Buffer.from('name\0'), G.subarray(10)]),
  'gz tail after end in tar': gzipped(Buffer.concat([tar(file('a')), Buffer.alloc(20000, 7)])),
  'gz one zero block': gzipped(Buffer.concat([file('a'), Buffer.alloc(512)])),
  'one zero block': Buffer.concat([file('a'), Buffer.alloc(512)]),
  'one zero block then garbage': Buffer.concat([file('a'), Buffer.alloc(512), Buffer.alloc(512, 65)]),
  'one zero block then entry': Buffer.concat([file('a'), Buffer.alloc(512), file('b'), END]),
  'half zero block': Buffer.concat([file('a'), Buffer.alloc(300)]),
  'no padding at the end': Buffer.concat([file('a')]).subarray(0, 513),
  'content then short padding': Buffer.concat([file('a')]).subarray(0, 700),
  ...Object.fromEntries(['6', '7', '0', '\0', 'S', 'V', 'M', 'N', 'D', 'A', 'X', 'Z', '8', '9', ' ', '\x01', 'K', 'L', 's', 'G', 'I', 'E'].map((t) => [`type ${JSON.stringify(t)}`, tar(file('b'), entry({ name: 'u', type: t, mtime: T }, 'data'), file('c'))])),
  ...Object.fromEntries(['7', 'S', 'V', 'D', 'A', 'Z', '8'].map((t) => [`first type ${JSON.stringify(t)}`, tar(entry({ name: 'u', type: t, mtime: T }, 'data'), file('c'))])),
  'global pax first': tar(pax({ comment: 'abc' }, 'g'), file('a')),
  'global pax mid': tar(file('a'), pax({ comment: 'abc' }, 'g'), file('b')),
  'global pax path': tar(pax({ path: 'zz', uid: '7', mtime: '1400000000' }, 'g'), file('a'), file('b')),
  'global pax bad': tar(file('a'), entry({ name: 'g', type: 'g' }, 'nonsense'), file('b')),
  'global only': tar(pax({ comment: 'abc' }, 'g')),
  'pax bad record': tar(file('z'), entry({ name: 'x', type: 'x' }, 'nonsense'), file('b')),
  'pax path empty': tar(pax({ path: '' }), file('a')),
  'pax uid empty': tar(pax({ uid: '' }), file('a')),
  'pax size': tar(pax({ size: '3' }), entry({ name: 'a', size: '00000000000\0' }, 'abc')),
  'pax size bad': tar(pax({ size: 'x' }), file('a')),
  'pax uid bad': tar(pax({ uid: 'x' }), file('a')),
  'pax mtime bad': tar(pax({ mtime: 'x' }), file('a')),
  'pax then nothing': tar(file('a'), pax({ path: 'b' })),
  'pax twice': tar(pax({ path: 'b' }), pax({ path: 'c', uid: '8' }), file('a')),
  'pax linkpath': tar(file('a'), pax({ linkpath: 'y' }), link('l', 'x', '2')),
  'pax trailing slash': tar(pax({ path: 'b/' }), file('a')),
  'reg trailing slash': tar(file('b/', '')),
  'reg trailing slash with content': tar(file('b/', 'cc')),
  'sym trailing slash': tar(link('l/', 'x', '2')),
  'dir with size': tar(entry({ name: 'd/', type: '5', mtime: T }, 'data'), file('b')),
  'symlink with size': tar(entry({ name: 'l', type: '2', linkname: 'x', mtime: T }, 'data'), file('b')),
  'hardlink with size': tar(file('a'), entry({ name: 'l', type: '1', linkname: 'a', mtime: T }, 'data'), file('b')),
  'fifo with size': tar(entry({ name: 'l', type: '6', mtime: T }, 'data'), file('b')),
  'gnu long name': tar(entry({ name: '././@LongLink', type: 'L', magic: 'ustar  \0' }, 'x'.repeat(150) + '\0'), file('a', 'a', { magic: 'ustar  \0' })),
  'gnu long link': tar(entry({ name: '././@LongLink', type: 'K', magic: 'ustar  \0' }, 'y'.repeat(150) + '\0'), entry({ name: 'l', type: '2', linkname: 'x', magic: 'ustar  \0', mtime: T })),
  'long prefix': tar(file('a', 'a', { prefix: 'p/q' })),
  'prefix without ustar': tar(file('a', 'a', { prefix: 'p/q', magic: '' })),
  'name empty': tar(file('', 'a')),
  'name empty second': tar(file('z'), file('', 'a')),
  'name dot': tar(file('.', 'a')),
  'name dotdot': tar(file('..', 'a')),
  'name slash': tar(file('/', '')),
  'dir slash': tar(dir('/'), file('a')),
  'symlink empty': tar(link('l', '', '2')),
  'hardlink empty': tar(link('l', '', '1')),
  'hardlink self': tar(file('a'), link('a', 'a', '1')),
  'hardlink abs': tar(file('a'), link('b', '/a', '1')),
  'hardlink over existing': tar(file('a'), file('b'), link('b', 'a', '1')),
  'hardlink over dir': tar(file('a'), dir('b/'), link('b', 'a', '1')),
  'non utf8 name': tar(file('a\xff', 'a')),
  'non utf8 link': tar(link('l', 'x', '2'), entry({ name: 'm', type: '2', linkname: '\xff\xfe', mtime: T })),
  'signed checksum': tar(entry({ name: 'a\xff', checksum: 'signed' }, 'x')),
  'base256 uid': tar(entry({ name: 'a', uid: Buffer.from([0x80,0,0,0,1,0,0,5]) }, 'x')),
  'base256 size': tar(entry({ name: 'a', size: Buffer.from([0x80,0,0,0,0,0,0,0,0,0,0,1]) }, 'x')),
  'base256 neg mtime': tar(entry({ name: 'a', mtime: Buffer.from([0xff,0xff,0xff,0xff,0xff,0xff,0xff,0xff,0xff,0xff,0xff,0xf0]) }, 'x')),
  'spaces in octal': tar(entry({ name: 'a', mode: ' 644 \0\0\0', uid: '     5 \0' }, 'x')),
  'bad octal mode': tar(file('z'), entry({ name: 'a', mode: 'zzzz\0\0\0\0' }, 'x')),
  'mode with type bits': tar(entry({ name: 'a', mode: '0100755\0' }, 'x')),
  'mode huge': tar(entry({ name: 'a', mode: '7777777\0' }, 'x')),
  'huge mtime': tar(entry({ name: 'a', mtime: '77777777777\0' }, 'x')),
  'LIBARCHIVE xattr': tar(pax({ 'LIBARCHIVE.xattr.user.a': 'dg==' }), file('a')),
  'old gnu sparse': OLD_SPARSE,
  'gnu sparse 1.0': tar(pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'sp', 'GNU.sparse.realsize': '2000' }), entry({ name: 'a', mtime: T }, Buffer.concat([Buffer.from('1\n1000\n5\n'.padEnd(512, '\0')), Buffer.from('hello')]))),
  'gnu sparse 0.1': tar(pax({ 'GNU.sparse.map': '1000,5', 'GNU.sparse.size': '2000', 'GNU.sparse.name': 'sp', 'GNU.sparse.numblocks': '1' }), entry({ name: 'a', mtime: T }, Buffer.from('hello'))),
  'v7 header': tar(entry({ name: 'a', magic: '\0\0\0\0\0\0\0\0', mtime: T }, 'x')),
  'v7 type 5 no slash': tar(entry({ name: 'd', type: '5', magic: '\0\0\0\0\0\0\0\0', mtime: T })),
  'sock name conflicts': tar(dir('a/'), file('a/b'), file('a/b/c')),
  'dup names differ': tar(file('a'), file('./a', '2'), file('d/../a', '3')),
  'dir mode 0': tar(dir('d/', '0000000\0'), file('d/f')),
  'dir suid': tar(dir('d/', '0006755\0')),
  'text starting zeros': Buffer.concat([Buffer.alloc(512), file('a'), END]),
  'zeros two then entry': Buffer.concat([END, file('a'), END]),
  '511 zeros': Buffer.alloc(511),
  '512 zeros': Buffer.alloc(512),
  'zip': Buffer.from('PK\x03\x04rest'),
  'gz of gz': gzipped(gzipped(tar(file('a')))),
  'gz header only': Buffer.from([0x1f,0x8b,8,0,0,0,0,0,0,3]),
  'bz header only': Buffer.from('BZh9'),
  'bz bad': Buffer.from('BZh9aaaaaaaaaaaaaaaaaaa'),
  'xz header only': Buffer.from([0xfd,0x37,0x7a,0x58,0x5a,0]),
  'zstd magic only': Buffer.from([0x28,0xb5,0x2f,0xfd]),
  'zstd skippable then text': Buffer.from([0x50,0x2a,0x4d,0x18,4,0,0,0,1,2,3,4]),
} // prettier-ignore
