// Archives by GNU tar in all its formats, read back entry by entry; and ours read by GNU tar.
import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync } from 'node:fs'
import {
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { decodePath, encodePath } from '../../src/path.js'
import { scanTar } from '../../src/store/index.js'
import {
  EMPTY_TREE,
  applyChangeset,
  diffTrees,
  encodeLayer,
  readLayer,
  type Tree,
} from '../../src/unionfs/index.js'
import { findProgram, peerTest } from '../peers.js'

const hasTar = findProgram('tar') !== undefined
const isRoot = process.getuid?.() === 0
let root: string
let work: string

const long = 'long-'.repeat(45)

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'lamella-tar-'))
  root = join(work, 'root')
  mkdirSync(join(root, 'dir/sub'), { recursive: true })
  writeFileSync(join(root, 'empty'), '')
  writeFileSync(join(root, 'dir/file'), 'x'.repeat(1000), { mode: 0o640 })
  writeFileSync(join(root, 'dir/exact'), 'y'.repeat(1024))
  writeFileSync(join(root, 'dir/sub/ünïcode'), 'u')
  linkSync(join(root, 'dir/file'), join(root, 'dir/sub/hard'))
  symlinkSync('../dir/file', join(root, 'link'))
  utimesSync(join(root, 'dir/exact'), -1_000_000_000, -1_000_000_000)
  utimesSync(join(root, 'empty'), 0, 0)
  execFileSync('chmod', ['6755', join(root, 'dir/exact')])
  execFileSync('mkfifo', [join(root, 'fifo')])
  if (isRoot) {
    execFileSync('mknod', [join(root, 'char'), 'c', '1', '3'])
    execFileSync('mknod', [join(root, 'block'), 'b', '259', '1048575'])
    execFileSync('chown', ['3000000:4294967294', join(root, 'dir/exact')])
  }
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** What only the formats with extensions can hold. */
function addExtended(): void {
  writeFileSync(join(root, `dir/${long}`), 'long name')
  mkdirSync(join(root, `${long}d/${long}e`), { recursive: true })
  writeFileSync(join(root, `${long}d/${long}e/f`), 'deep')
  symlinkSync(`/${long}/${long}`, join(root, 'longlink'))
  linkSync(join(root, `dir/${long}`), join(root, `${long}d/hard`))
  writeFileSync(Buffer.concat([Buffer.from(join(root, 'raw-')), Buffer.of(0xff, 0xfe)]), 'raw')
}

function tar(...args: string[]): Uint8Array {
  const out = join(work, 'out.tar')
  execFileSync('tar', ['--sort=name', '-cf', out, '-C', root, ...args], {
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  })
  return readFileSync(out)
}

/** What the file system says of a path. */
function onDisk(path: string, fraction: boolean): Record<string, unknown> {
  const host = Buffer.concat([Buffer.from(root + '/'), encodePath(path)])
  const stat = lstatSync(host, { bigint: true })
  const kind = stat.isDirectory()
    ? 'dir'
    : stat.isSymbolicLink()
      ? 'symlink'
      : stat.isFIFO()
        ? 'fifo'
        : stat.isCharacterDevice()
          ? 'chardev'
          : stat.isBlockDevice()
            ? 'blockdev'
            : 'file'
  return {
    kind,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: fraction ? stat.mtimeNs : floorSeconds(stat.mtimeNs),
    target: kind === 'symlink' ? decodePath(readlinkSync(host, 'buffer')) : '',
    rdev: kind.endsWith('dev') ? rdevOf(stat.rdev) : [0, 0],
    nlink: kind === 'dir' ? 1 : Number(stat.nlink),
    content: kind === 'file' ? readFileSync(host).toString('latin1') : '',
  }
}

function floorSeconds(ns: bigint): bigint {
  const second = 1_000_000_000n
  return (ns >= 0n ? ns / second : -((-ns + second - 1n) / second)) * second
}

/** glibc's makedev, backwards. */
function rdevOf(rdev: bigint): [number, number] {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)
  return [Number(major), Number(minor)]
}

function inTree(tree: Tree, path: string): Record<string, unknown> {
  const node = tree.lookup(path)!
  return {
    kind: node.kind,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    mtimeNs: node.mtimeNs,
    target: node.kind === 'symlink' ? node.target : '',
    rdev: [...node.rdev],
    nlink: node.nlink,
    content: node.kind === 'file' ? Buffer.from(node.content()).toString('latin1') : '',
  }
}

/** All paths below the root, as the tree spells them. */
function hostPaths(): string[] {
  return execFileSync('find', ['.', '-mindepth', '1', '-print0'], { cwd: root, encoding: 'buffer' })
    .toString('latin1')
    .split('\0')
    .filter((path) => path !== '')
    .map((path) => decodePath(Buffer.from(path.slice(2), 'latin1')))
    .sort()
}

function expectSame(bytes: Uint8Array, fraction: boolean): void {
  const tree = applyChangeset(EMPTY_TREE, readLayer(bytes))
  const paths = hostPaths()
  expect(
    [...tree.walk()]
      .map(({ path }) => path)
      .filter((path) => path !== '')
      .sort(),
  ).toEqual(paths)
  for (const path of paths)
    expect({ path, ...inTree(tree, path) }).toEqual({ path, ...onDisk(path, fraction) })
}

describe('formats of GNU tar', () => {
  peerTest('v7 holds small plain files', hasTar, () => {
    // v7 has no devices, fifos or times before 1970, and its numbers are octal.
    const entries = [...scanTar(tar('--format=v7', 'empty', 'dir/file', 'dir/sub', 'link'))]
    expect(entries.map(({ path, kind, size }) => [path, kind, size])).toEqual([
      ['empty', 'file', 0],
      ['dir/file', 'file', 1000],
      ['dir/sub/', 'dir', 0],
      ['dir/sub/hard', 'link', 0],
      ['dir/sub/ünïcode', 'file', 1],
      ['link', 'symlink', 0],
    ])
  })

  peerTest('ustar holds names with a prefix and devices', hasTar && isRoot, () => {
    const deep = `${'p'.repeat(99)}/${'n'.repeat(99)}`
    mkdirSync(join(root, 'p'.repeat(99)))
    writeFileSync(join(root, deep), 'prefixed')
    const bytes = tar('--format=ustar', '--owner=0', '--group=0', '--mtime=@7', '.')
    const tree = applyChangeset(EMPTY_TREE, readLayer(bytes))
    rmSync(join(root, 'p'.repeat(99)), { recursive: true })
    expect(tree.lookup(deep)!.size).toBe(8)
    expect(tree.lookup('block')!.rdev).toEqual([259, 1048575])
    expect(tree.lookup('char')!.kind).toBe('chardev')
  })

  for (const format of ['oldgnu', 'gnu', 'pax']) {
    peerTest(`${format} holds everything`, hasTar && isRoot, () => {
      if (format === 'oldgnu') addExtended()
      expectSame(tar(`--format=${format}`, '.'), format === 'pax')
    })
  }

  for (const args of [
    ['--format=oldgnu'],
    ['--format=gnu'],
    ['--format=pax', '--sparse-version=0.0'],
    ['--format=pax', '--sparse-version=0.1'],
    ['--format=pax', '--sparse-version=1.0'],
  ]) {
    peerTest(`sparse files in ${args.join(' ')}`, hasTar, () => {
      const fd = openSync(join(root, 'sparse'), 'w')
      // More runs than a header (4) and one extension block (21) hold.
      for (let i = 0; i < 60; i++) writeSync(fd, `run ${i}`, i * 65536 + 4096)
      ftruncateSync(fd, 60 * 65536 + 12345)
      closeSync(fd)
      writeFileSync(join(root, 'sparse-after'), 'after')
      const bytes = tar('--sparse', ...args, 'sparse', 'sparse-after')
      expect(bytes.length).toBeLessThan(1_000_000)
      const tree = applyChangeset(EMPTY_TREE, readLayer(bytes))
      const want = readFileSync(join(root, 'sparse'))
      const node = tree.lookup('sparse')!
      expect(Buffer.compare(node.content(), want)).toBe(0)
      expect(Buffer.compare(node.source!.read(65_536 - 5, 8192), want.subarray(65_531, 65_531 + 8192))).toBe(
        0,
      )
      expect(Buffer.from(tree.lookup('sparse-after')!.content()).toString()).toBe('after')
      rmSync(join(root, 'sparse'))
      rmSync(join(root, 'sparse-after'))
    })
  }

  peerTest('PAX options: global records, xattrs, deletion of a record', hasTar, () => {
    const bytes = tar(
      '--format=pax',
      '--pax-option=gname=global,uid=77,SCHILY.xattr.user.one:=1',
      'empty',
      'dir/sub',
    )
    const entries = [...scanTar(bytes)]
    expect(entries.map((entry) => entry.uid)).toEqual(entries.map(() => 77))
    expect(Buffer.from(entries[0]!.xattrs!.get('user.one')!).toString()).toBe('1')
  })
})

describe('what we write, read by GNU tar', () => {
  peerTest('extracts to the same files', hasTar && isRoot, () => {
    const tree = applyChangeset(EMPTY_TREE, readLayer(tar('--format=pax', '.')))
    const archive = join(work, 'ours.tar')
    writeFileSync(archive, Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))]))
    const before = root
    root = join(work, 'extracted')
    mkdirSync(root)
    const result = execFileSync('tar', ['-xpf', archive, '-C', root, '--numeric-owner'], { stdio: 'pipe' })
    expect(result.toString()).toBe('')
    const again = tar('--format=pax', '.')
    expectSame(Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))]), true)
    root = before
    const back = applyChangeset(EMPTY_TREE, readLayer(again))
    expect(diffTrees(tree, back)).toEqual([])
  })
})
