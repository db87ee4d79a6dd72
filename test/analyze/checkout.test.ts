import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  applyChangeset,
  bytesSource,
  checkoutTree,
  EMPTY_TREE,
  TreeNode,
  type Change,
} from '../../src/unionfs/index.js'
import type { NodeInit } from '../../src/unionfs/index.js'
import { removeTree } from '../remove.js'

let scratch: string
beforeEach(() => void (scratch = mkdtempSync(join(tmpdir(), 'lamella-checkout-'))))
afterEach(() => removeTree(scratch))

const put = (path: string, init: NodeInit): Change => ({ kind: 'put', path, node: new TreeNode(init) })
const file = (path: string, text: string, init: Partial<NodeInit> = {}): Change => {
  const bytes = new TextEncoder().encode(text)
  return put(path, { kind: 'file', size: bytes.byteLength, source: bytesSource(bytes), ...init })
}
const treeOf = (...changes: Change[]) => applyChangeset(EMPTY_TREE, changes)

describe('checkoutTree', () => {
  test('files, directories, links, modes and times', async () => {
    const tree = treeOf(
      put('d', { kind: 'dir', mode: 0o555, mtimeSec: 1000 }),
      file('d/f', 'text', { mode: 0o4751, mtimeSec: 2000, mtimeNsec: 500_000_000 }),
      { kind: 'link', path: 'd/g', target: 'd/f' },
      put('l', { kind: 'symlink', target: 'd/f', mtimeSec: 3000 }),
      file('empty', ''),
    )
    const folder = join(scratch, 'new/out')
    const result = await checkoutTree(tree, folder)
    expect(result).toMatchObject({ bytes: 4, skipped: [] })
    expect(readFileSync(join(folder, 'd/f'), 'utf8')).toBe('text')
    expect(lstatSync(join(folder, 'd/f'))).toMatchObject({ nlink: 2, mtimeMs: 2_000_500 })
    expect(lstatSync(join(folder, 'd/f')).mode & 0o7777).toBe(0o4751)
    expect(lstatSync(join(folder, 'd/g')).ino).toBe(lstatSync(join(folder, 'd/f')).ino)
    expect(lstatSync(join(folder, 'd')).mode & 0o7777).toBe(0o555)
    expect(lstatSync(join(folder, 'd')).mtimeMs).toBe(1_000_000)
    expect(readlinkSync(join(folder, 'l'))).toBe('d/f')
    expect(lstatSync(join(folder, 'l')).mtimeMs).toBe(3_000_000)
  })

  test('nothing is written outside, whatever links the image holds', async () => {
    mkdirSync(join(scratch, 'outside'))
    const tree = treeOf(
      put('out', { kind: 'symlink', target: '../outside' }),
      put('abs', { kind: 'symlink', target: join(scratch, 'outside') }),
      file('out2', 'x'),
    )
    await checkoutTree(tree, join(scratch, 'inside'))
    expect(readdirSync(join(scratch, 'outside'))).toEqual([])
    expect(readlinkSync(join(scratch, 'inside/out'))).toBe('../outside')
  })

  test('a layer that writes through a symlink replaces it instead', async () => {
    const lower = treeOf(put('out', { kind: 'symlink', target: '../outside' }))
    const tree = applyChangeset(lower, [put('out', { kind: 'dir' }), file('out/f', 'x')])
    mkdirSync(join(scratch, 'outside'))
    await checkoutTree(tree, join(scratch, 'inside'))
    expect(readdirSync(join(scratch, 'outside'))).toEqual([])
    expect(readFileSync(join(scratch, 'inside/out/f'), 'utf8')).toBe('x')
  })

  test('a folder that is not empty is left alone', async () => {
    writeFileSync(join(scratch, 'mine'), 'x')
    await expect(checkoutTree(treeOf(file('f', 'y')), scratch)).rejects.toMatchObject({
      code: 'CHECKOUT_NOT_EMPTY',
    })
    expect(readdirSync(scratch)).toEqual(['mine'])
  })

  test('what Node cannot make is listed', async () => {
    const tree = treeOf(
      put('null', { kind: 'chardev', rdevMajor: 1, rdevMinor: 3 }),
      put('pipe', { kind: 'fifo' }),
      file('x', 'x', { xattrs: new Map([['user.a', new Uint8Array([1])]]) }),
    )
    const { skipped } = await checkoutTree(tree, join(scratch, 'out'))
    expect(skipped.map(({ path }) => path)).toEqual(['null', 'pipe', 'x'])
    expect(readdirSync(join(scratch, 'out'))).toEqual(['x'])
  })

  test('names that are not UTF-8 and names with a newline', async () => {
    const tree = treeOf(file('a\udcff', '1'), file('b\nc', '2'))
    await checkoutTree(tree, join(scratch, 'out'))
    const names = readdirSync(Buffer.from(join(scratch, 'out')), { encoding: 'buffer' }).map((name) =>
      name.toString('hex'),
    )
    expect(names.toSorted()).toEqual(['61ff', '620a63'])
  })

  test('stops at the signal', async () => {
    const tree = treeOf(...Array.from({ length: 600 }, (_, i) => file(`f${i}`, 'x')))
    const controller = new AbortController()
    controller.abort()
    const writing = checkoutTree(tree, join(scratch, 'out'), { signal: controller.signal })
    await expect(writing).rejects.toMatchObject({ code: 'ABORT_ERR' })
  })
})
