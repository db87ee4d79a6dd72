// ADD of archives: which files are unpacked, and into what. bzip2 against the real program.
import { execFileSync } from 'node:child_process'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decompressBzip2 } from '../../src/builder/ops/bzip2.js'
import { build } from '../../src/builder/build.js'
import { createMemoryStore, encodeTar, type TarInput } from '../../src/store/index.js'
import { bytesSource, openTree, Tree, TreeEditor, TreeNode, EMPTY_TREE } from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { findProgram, peerTest } from '../peers.js'
import { addImage, fixedEnv, textOf, type TreeText } from './fixtures.js'

const encoder = new TextEncoder()

type Entry = Partial<TarInput> & { readonly path: string; readonly text?: string }

function tarOf(...entries: readonly Entry[]): Uint8Array {
  const inputs = entries.map(({ text, ...entry }) => {
    const content = encoder.encode(text ?? '')
    const kind = entry.kind ?? (entry.path.endsWith('/') ? 'dir' : 'file')
    return {
      kind,
      mode: kind === 'dir' ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      mtimeSec: 100,
      mtimeNsec: 0,
      size: kind === 'file' ? content.length : 0,
      content: kind === 'file' ? [content] : undefined,
      ...entry,
    } as TarInput
  })
  return Uint8Array.from(Buffer.concat([...encodeTar(inputs)]))
}

function contextOf(files: Readonly<Record<string, Uint8Array>>): Tree {
  const editor = new TreeEditor(EMPTY_TREE)
  for (const [path, bytes] of Object.entries(files)) {
    editor.put(path, new TreeNode({ kind: 'file', size: bytes.length, source: bytesSource(bytes) }))
  }
  return editor.finish()
}

async function add(
  files: Readonly<Record<string, Uint8Array>>,
  lines: string,
  base?: TreeText,
  times = false,
): Promise<Record<string, string>> {
  const store = createMemoryStore({ env: fixedEnv })
  if (base !== undefined) await addImage(store, 'base:latest', base)
  const { layers } = await build({
    store,
    env: fixedEnv,
    context: contextOf(files),
    dockerfile: { text: `FROM ${base === undefined ? 'scratch' : 'base'}\n${lines}\n` },
  })
  return textOf(await openTree(store, layers), times)
}

const TAR = tarOf(
  { path: 'd/' },
  { path: 'd/a', text: 'A', mode: 0o600, uid: 5, gid: 6 },
  { path: 'l', kind: 'symlink', linkpath: 'd/a' },
)
const UNPACKED = { 'd/': '', 'd/a': '600 5:6 =A', l: '->d/a' }

// facts 1.6; solver/llbsolver/file/unpack.go
describe('ADD', () => {
  test('unpacks a plain tar, whatever its name', async () => {
    expect(await add({ 'x.bin': TAR }, 'ADD x.bin /o')).toEqual({ 'o/': '', ...under('o', UNPACKED) })
  })

  test('unpacks gzip', async () => {
    expect(await add({ 'x.tgz': gzipSync(TAR) }, 'ADD x.tgz /o/')).toEqual({
      'o/': '',
      ...under('o', UNPACKED),
    })
  })

  for (const [program, name] of [
    ['bzip2', 'x.tar.bz2'],
    ['xz', 'x.tar.xz'],
    ['zstd', 'x.tar.zst'],
  ] as const) {
    peerTest(`unpacks ${program}`, findProgram(program) !== undefined, async () => {
      const packed = execFileSync(program, ['-c'], { input: TAR })
      expect(await add({ [name]: packed }, `ADD ${name} /`)).toEqual(UNPACKED)
    })
  }

  test('the destination is always a directory', async () => {
    expect(await add({ 'x.tar': TAR }, 'ADD x.tar /o/x')).toEqual({
      'o/': '',
      'o/x/': '',
      ...under('o/x', UNPACKED),
    })
  })

  test('--unpack=false and COPY copy the archive', async () => {
    const files = { 'x.tar': tarOf({ path: 'a', text: '1' }) }
    for (const line of ['ADD --unpack=false x.tar /o/', 'COPY x.tar /o/']) {
      expect(Object.keys(await add(files, line))).toEqual(['o/', 'o/x.tar'])
    }
  })

  test("a file that is no archive is copied, also with an archive's name", async () => {
    const files = {
      'x.tgz': encoder.encode('not really'),
      'y.gz': gzipSync(encoder.encode('text')),
      empty: new Uint8Array(),
    }
    expect(Object.keys(await add(files, 'ADD x.tgz y.gz empty /o/'))).toEqual([
      'o/',
      'o/empty',
      'o/x.tgz',
      'o/y.gz',
    ])
  })

  test('a damaged archive is copied', async () => {
    const gz = gzipSync(TAR).subarray(0, 30)
    expect(Object.keys(await add({ 'x.tgz': gz }, 'ADD x.tgz /o/'))).toEqual(['o/', 'o/x.tgz'])
  })

  test('archives and files mixed, wildcards', async () => {
    const files = { 'a.tar': tarOf({ path: 'one', text: '1' }), 'b.txt': encoder.encode('2') }
    expect(await add(files, 'ADD * /o/')).toEqual({ 'o/': '', 'o/one': '=1', 'o/b.txt': '=2' })
  })

  test('--chown applies to what is unpacked, --chmod does not [live]', async () => {
    expect(await add({ 'x.tar': TAR }, 'ADD --chown=1:2 --chmod=777 x.tar /o')).toMatchObject({
      'o/d/a': '600 1:2 =A',
      'o/d/': '1:2',
      'o/l': '1:2 ->d/a',
    })
  })

  test("times are the archive's, for directories too", async () => {
    const tree = await add(
      { 'x.tar': tarOf({ path: 'd/', mtimeSec: 7 }, { path: 'd/a', text: '1', mtimeSec: 8 }) },
      'ADD x.tar /',
      undefined,
      true,
    )
    expect(tree).toEqual({ 'd/': '@7', 'd/a': '@8 =1' })
  })

  test('hard links stay, whiteout names are files', async () => {
    const archive = tarOf({ path: 'a', text: '1' }, { path: 'b', kind: 'link', linkpath: 'a' })
    expect(await add({ 'x.tar': archive }, 'ADD x.tar /')).toEqual({ a: '=1', b: 'same=a' })
  })

  test('merges into what is there; files replace files and links', async () => {
    const archive = tarOf(
      { path: 'd/', mode: 0o700 },
      { path: 'd/a', text: 'new' },
      { path: 'd/l', text: 'file' },
    )
    const base = { 'd/a': '=old', 'd/l': '->a', 'd/z': '=z' }
    expect(await add({ 'x.tar': archive }, 'ADD x.tar /', base)).toEqual({
      'd/': '700',
      'd/a': '=new',
      'd/l': '=file',
      'd/z': '=z',
    })
  })

  test('links in the destination are followed inside it only', async () => {
    const archive = tarOf({ path: 'l/a', text: '1' })
    expect(await add({ 'x.tar': archive }, 'ADD x.tar /o', { 'o/l': '->/t', 'o/t/': '' })).toEqual({
      'o/': '',
      'o/l': '->/t',
      'o/t/': '',
      'o/t/a': '=1',
    })
  })

  test('a path that leaves the destination is refused', async () => {
    const archive = tarOf({ path: '../x', text: '1' })
    await expect(add({ 'x.tar': archive }, 'ADD x.tar /o')).rejects.toMatchObject({
      code: 'LAYER_PATH_INVALID',
    })
  })
})

function under(folder: string, tree: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(tree).map(([path, value]) => [`${folder}/${path}`, value]))
}

describe('bzip2', () => {
  const bzip2 = (input: Uint8Array, ...options: string[]): Uint8Array =>
    new Uint8Array(execFileSync('bzip2', ['-c', ...options], { input, maxBuffer: 1 << 28 }))
  const unpack = (bytes: Uint8Array): Buffer => Buffer.concat([...decompressBzip2(bytes)])

  peerTest('gives back what bzip2 packed', findProgram('bzip2') !== undefined, () => {
    const long = Buffer.alloc(1_500_000, 'abcabcabd')
    const random = Buffer.from(Array.from({ length: 250_000 }, (_, i) => (i * 2654435761) >>> 24))
    for (const data of [Buffer.from('x'), Buffer.alloc(300, 'a'), Buffer.alloc(5), long, random]) {
      expect(unpack(bzip2(data)).equals(data)).toBe(true)
      expect(unpack(bzip2(data, '-1')).equals(data)).toBe(true)
    }
    expect(unpack(Buffer.concat([bzip2(Buffer.from('a')), bzip2(Buffer.from('b'))])).toString()).toBe('ab')
  })

  peerTest('law: unpack(bzip2(x)) = x', findProgram('bzip2') !== undefined, () => {
    const sequences = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 300 })), {
      maxLength: 40,
    })
    fc.assert(
      fc.property(sequences, (parts) => {
        const data = Buffer.concat(parts.map(([byte, count]) => Buffer.alloc(count, byte)))
        expect(unpack(bzip2(data)).equals(data)).toBe(true)
      }),
      { numRuns: runs(25) },
    )
  })

  peerTest('damage is found', findProgram('bzip2') !== undefined, () => {
    const text = 'some text that is long enough to have a block of its own'
    const packed = bzip2(Buffer.from(text))
    // A bit that means nothing, as the last ones of the stream, may change; what comes out may not.
    const outcome = (bytes: Uint8Array): string => {
      try {
        return unpack(bytes).toString()
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    const outcomes = Array.from({ length: packed.length - 4 }, (_, at) =>
      outcome(packed.map((byte, i) => (i === at + 4 ? byte ^ 0x10 : byte))),
    )
    expect(new Set(outcomes)).toEqual(new Set([text, 'COMPRESSION_INVALID']))
    expect(outcomes.filter((it) => it === text).length).toBeLessThan(6)
    expect(() => unpack(packed.subarray(0, 20))).toThrow(
      expect.objectContaining({ code: 'COMPRESSION_INVALID' }),
    )
  })
})
