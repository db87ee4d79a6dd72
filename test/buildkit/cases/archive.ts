// ADD of archives: what is one, what is in it, and what stands in its way.
import { gzipSync } from 'node:zlib'
import { entry, pax } from '../../tar/craft.js'
import type { BuildCase } from '../case.js'
import { ODD_ARCHIVES } from './odd-archives.js'

/** `t/` and `t/f`, in the compressions that Node cannot write. */
const BZIP2 = 'QlpoOTFBWSZTWUiOKu0AAKP7kNmAAAFAAP+EAANhYB4ABAAACCAAchKSNGmhoAManqCKKmj01NDR6h5Q0P1S/GdaG9QPVFFLHstRodyp0tJUFIEh2JLQLuIF0IBvjIcEBkQcvFzQwddZJCUPDQvsMbXxgZXOcJqdsqjCvYYiIgfi7kinChIJEcVdoA==' // prettier-ignore
const XZ = '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AHtdADoLvBunjDRE4cIHdeFdIo4bqyfkUx3HpPrZx8cWW2EPABjTnyLyRwG+8NrVxPnqoVcCJ1p8tTg8ugTP4cqAIsyRF0N7o546sApoCeyM03866vwUTtS/NqQnaWCMYGOiUW4XTMD2REItyTnr4m1v60JuBOwFBdkZVb/hOAAA1/ymOkIec78AAZcBgFAAAB1Ds3+xxGf7AgAAAAAEWVo=' // prettier-ignore
const ZSTD = 'KLUv/WQAJ5UDAHQDdC8AMDAwMDc1NTAwNgAxMjMzNDQ0NzAwMAAxNwAgNXVzdGFyADAwdC9mNjQ0MjY1NwAgMGhpABcAmSPHAwfTAANqAeQOkBiKtUKABAADIAwDULAUgNUDpnkhZ4PgGYLQHDNaVPagBXAXPLwiGJ/AEApTeUs=' // prettier-ignore

const END = new Uint8Array(1024)
const T = '12345670000\0'

function tar(...entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...entries, END])
}

const dir = (name: string, mode = '0000750\0', more = {}): Uint8Array =>
  entry({ name, mode, type: '5', mtime: T, uid: '0000005\0', gid: '0000006\0', ...more })
const file = (name: string, content = name, more = {}): Uint8Array =>
  entry({ name, mtime: T, uid: '0000005\0', gid: '0000006\0', ...more }, content)
const link = (name: string, linkname: string, type: '1' | '2'): Uint8Array =>
  entry({ name, linkname, type, mtime: T, mode: '0000640\0' })

const ARCHIVES: Readonly<Record<string, Uint8Array>> = {
  plain: tar(dir('d/'), file('d/f'), file('g')),
  gzip: gzipSync(tar(dir('d/'), file('d/f'))),
  'gzip twice': Buffer.concat([gzipSync(tar(dir('d/')).subarray(0, 512)), gzipSync(tar(file('d/f')))]),
  'without its end': Buffer.concat([file('a'), file('b')]),
  'cut in a header': tar(file('a'), file('b')).subarray(0, 1100),
  'cut in a content': tar(file('a', 'x'.repeat(700))).subarray(0, 900),
  'with garbage after the end': Buffer.concat([tar(file('a')), Buffer.from('garbage')]),
  'a bad second header': Buffer.concat([file('a'), entry({ name: 'b', checksum: 'wrong' }), END]),
  'a bad first header': Buffer.concat([entry({ name: 'b', checksum: 'wrong' }), END]),
  'only zeros': Buffer.from(END),
  'an empty file': Buffer.alloc(0),
  'gzip of nothing': gzipSync(''),
  'gzip of a text': gzipSync('text'),
  'gzip, cut': gzipSync(tar(dir('d/'), file('d/f', 'x'.repeat(3000)))).subarray(0, 60),
  'a text': Buffer.from('text'),
  'modes and bits': tar(dir('d/', '0002750\0'), file('d/s', '', { mode: '0004711\0' }), file('n', '', { mode: '0000000\0' }), dir('t/', '0001777\0')),
  'the root entry': tar(dir('./', '0000700\0'), file('./a')),
  'no folders, dots and doubled slashes': tar(file('./a//b/../c'), file('d/./e')),
  'absolute names': tar(dir('/d/'), file('/d/f'), link('/l', '/d/f', '2')),
  'a name above': tar(file('a'), file('../b')),
  'a name above and back': tar(file('d/../../o/b')),
  symlinks: tar(file('a'), link('l', 'a', '2'), link('abs', '/etc/x', '2'), link('up', '../../x', '2'), link('dang', 'nope', '2')),
  'a file through a link': tar(dir('d/'), link('l', 'd', '2'), file('l/f')),
  'a file through a link above': tar(link('l', '../..', '2'), file('l/f')),
  'a folder over a link to one': tar(dir('d/'), link('l', 'd', '2'), dir('l/'), file('l/f')),
  'hard links': tar(file('a'), link('b', 'a', '1'), link('c', './a', '1')),
  'a hard link to what comes later': tar(link('b', 'a', '1'), file('a')),
  'a hard link above': tar(link('b', '../x', '1')),
  'a hard link to a link': tar(file('a'), link('l', 'a', '2'), link('h', 'l', '1')),
  'a hard link to a folder': tar(dir('d/'), link('h', 'd', '1')),
  'the same name twice': tar(file('a', '1'), file('a', '22')),
  'a file, then a folder': tar(file('a'), dir('a/'), file('a/f')),
  'a folder, then a file': tar(dir('a/'), file('a')),
  'a full folder, then a file': tar(dir('a/'), file('a/f'), file('a')),
  'a folder twice': tar(dir('a/'), file('a/f'), dir('a/', '0000700\0')),
  devices: tar(entry({ name: 'null', type: '3', devmajor: '0000001\0', devminor: '0000003\0' }), entry({ name: 'blk', type: '4', devmajor: '0000010\0', devminor: '0000001\0' }), entry({ name: 'p', type: '6' })),
  'extended attributes': tar(pax({ 'SCHILY.xattr.user.a': 'v', 'SCHILY.xattr.trusted.b': 'w' }), file('a')),
  'a capability': tar(pax({ 'SCHILY.xattr.security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex') }), file('a')),
  'times with fractions': tar(pax({ mtime: '1400000000.123456789' }), file('a'), pax({ mtime: '1400000000.9' }), dir('d/')),
  'a time before 1970': tar(pax({ mtime: '-5' }), file('a')),
  'no time': tar(file('a', '', { mtime: '00000000000\0' }), dir('d/', '0000755\0', { mtime: '00000000000\0' })),
  'large numbers': tar(pax({ uid: '3000000000', gid: '70000' }), file('a')),
  'long names': tar(pax({ path: `d/${'x'.repeat(200)}/${'y'.repeat(150)}` }), file('a')),
  'names that are not ASCII': tar(pax({ path: 'ü/€' }), file('a')),
  'old headers': tar(file('a', 'a', { magic: '' }), file('b/', '', { type: '\0', magic: '' })),
  'onto what is there': tar(file('keep/n'), file('file'), dir('full/', '0000711\0'), file('lnk'), file('dlnk/f')),
  'a file onto a full folder': tar(file('full')),
  'a link onto a folder': tar(link('empty', 'x', '2')),
  'a folder onto a file': tar(dir('file/'), file('file/f')),
  'below a file': tar(file('file/f')),
} // prettier-ignore

const BASE = {
  'o/keep/x': '600 7:8 =x',
  'o/file': '755 7:8 =f',
  'o/full/x': '=x',
  'o/empty/': '700 7:8',
  'o/lnk': '->file',
  'o/dlnk': '->keep',
  'o/f-link': '->/o/file',
}

const asFile = (bytes: Uint8Array): string => `b64=${Buffer.from(bytes).toString('base64')}`

/** Archives are mostly zeros. */
const asShortFile = (bytes: Uint8Array): string =>
  `r64=${Buffer.from(bytes)
    .toString('base64')
    .replace(/A{8,}/g, (run) => `(${run.length})`)}`

const onto = ([name, bytes]: readonly [string, Uint8Array]): BuildCase => ({
  name,
  dockerfile: 'FROM base\nADD x /o/\n',
  context: { x: asFile(bytes) },
  images: { base: { files: BASE } },
})

const LINES = [
  'ADD x /n',
  'ADD x /n/',
  'ADD --chown=9:10 x /n',
  'ADD --chmod=700 x /n',
  'ADD --link x /n',
  'ADD --link --chown=9 x /n',
  'ADD --unpack=false x /n',
  'ADD --unpack=true x /n',
  'ADD --unpack x /n',
  'ADD --exclude=d x /n/',
  'ADD x /o/file',
  'ADD x /o/dlnk',
  'ADD x /o/dlnk/',
  'ADD x /o/f-link',
  'ADD x y /n/',
  'ADD [x-y] /n/',
  'ADD x* /n',
  'COPY x /n',
  'ADD x /',
  'ADD x .',
  'WORKDIR /w\nADD x v',
  'ADD l /n/',
  'ADD sub /n/',
]

export const ARCHIVE_CASES: readonly BuildCase[] = [
  ...Object.entries(ARCHIVES).map(onto),
  ...Object.entries({ bzip2: BZIP2, xz: XZ, zstd: ZSTD }).flatMap(([name, text]) => {
    const bytes = Buffer.from(text, 'base64')
    return [onto([name, bytes]), onto([`${name}, cut`, bytes.subarray(0, bytes.length - 20)])]
  }),
  ...Object.entries(ODD_ARCHIVES).map(([name, bytes]): BuildCase => ({
    name: `odd: ${name}`,
    dockerfile: 'FROM scratch\nADD x /o/\n',
    context: { x: asShortFile(bytes) },
  })),
  ...LINES.map((lines): BuildCase => ({
    name: lines,
    dockerfile: `FROM base\n${lines}\n`,
    context: {
      x: `600 ${asFile(ARCHIVES.plain!)}`,
      y: `@1400000000 ${asFile(ARCHIVES.gzip!)}`,
      l: '->x',
      'sub/x': asFile(ARCHIVES.plain!),
    },
    images: { base: { files: BASE } },
  })),
  ...[true, false].map((rewrite): BuildCase => ({
    name: `rewrite-timestamp=${rewrite}`,
    dockerfile: 'FROM base\nADD x /n\n',
    context: { x: asFile(ARCHIVES.plain!) },
    images: { base: { files: BASE } },
    epoch: 1_000_000_000,
    ...(rewrite ? { rewrite } : {}),
  })),
]
