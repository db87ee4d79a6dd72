import { Volume, createFsFromVolume } from 'memfs'
import { expect, test } from 'vitest'
import { treeFromVolume } from '../../src/unionfs/index.js'

function sample(): InstanceType<typeof Volume> {
  const volume = Volume.fromJSON({ '/a/f': 'text', '/a/empty': '', '/b/c/d': 'deep', '/a/ünï': 'u' })
  volume.chmodSync('/a/f', 0o4750)
  volume.chownSync('/a/f', 1000, 4294967294)
  volume.utimesSync('/a/f', 1, 2.5)
  volume.linkSync('/a/f', '/b/c/hard')
  volume.symlinkSync('../a/ünï', '/b/link')
  volume.mkdirSync('/a/none', { mode: 0o700 })
  return volume
}

test('a volume becomes a tree', () => {
  const tree = treeFromVolume(sample())
  expect([...tree.walk()].map(({ path, node }) => `${path} ${node.kind}`)).toEqual([
    ' dir',
    'a dir',
    'a/empty file',
    'a/f file',
    'a/none dir',
    'a/ünï file',
    'b dir',
    'b/c dir',
    'b/c/d file',
    'b/c/hard file',
    'b/link symlink',
  ])
  const file = tree.lookup('a/f')!
  expect([file.mode, file.uid, file.gid, file.mtimeNs, file.nlink]).toEqual([
    0o4750,
    1000,
    4294967294,
    2_500_000_000n,
    2,
  ])
  expect(Buffer.from(file.content()).toString()).toBe('text')
  expect(tree.linksOf(file)).toEqual(['a/f', 'b/c/hard'])
  expect(tree.lookup('b/c/hard')).toBe(file)
  const link = tree.lookup('b/link')!
  expect([link.mode, link.size, link.target]).toEqual([0o777, 10, '../a/ünï'])
  expect(tree.lookup('a/none')!.mode).toBe(0o700)
})

test('a part of a volume; links that leave it do not count', () => {
  const tree = treeFromVolume(sample(), '/b/c')
  expect([...tree.walk()].map(({ path }) => path)).toEqual(['', 'd', 'hard'])
  expect(tree.lookup('hard')!.nlink).toBe(1)
})

test('later writes do not show', () => {
  const volume = sample()
  const tree = treeFromVolume(volume)
  const fd = volume.openSync('/b/c/d', 'r+')
  volume.writeSync(fd, 'X', 0)
  volume.closeSync(fd)
  expect(Buffer.from(tree.lookup('b/c/d')!.content()).toString()).toBe('deep')
})

test('an fs made from a volume; what is not there', () => {
  expect([...treeFromVolume(createFsFromVolume(sample())).walk()]).toHaveLength(11)
  expect(() => treeFromVolume(sample(), '/none')).toThrow(TypeError)
  expect(() => treeFromVolume({})).toThrow(TypeError)
})
