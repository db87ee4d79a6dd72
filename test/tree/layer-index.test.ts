// The layer index: same changeset as the tar, one read, and never believed when damaged.
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import xxhash from 'xxhash-wasm'
import { hexOf, type DiffID } from '../../src/digest.js'
import { LayerError } from '../../src/errors.js'
import { commitLayer, createMemoryStore, type BlobReader, type Store } from '../../src/store/index.js'
import {
  EMPTY_TREE,
  TreeEditor,
  TreeNode,
  applyChangeset,
  commitDiff,
  contentDigest,
  diffTrees,
  encodeLayer,
  openTree,
  readLayer,
} from '../../src/unionfs/index.js'
import { contentSourceOf } from '../../src/unionfs/layer-codec.js'
import type { Xxh64 } from '../../src/unionfs/layer-index-format.js'
import { encodeLayerIndex } from '../../src/unionfs/layer-index-writer.js'
import { decodeLayerIndex } from '../../src/unionfs/layer-index.js'
import { runs } from '../chance.js'
import { archive, block, entry, pax } from '../tar/craft.js'
import { dump, trees } from './arbitrary.js'

let xxh64: Xxh64
beforeAll(async () => {
  xxh64 = (await xxhash()).h64Raw
})

const bytesOf = (chunks: Iterable<Uint8Array>) => Buffer.concat([...chunks])
const INDEX = 'layer-index'

describe('index', () => {
  test('says what the tar says', () => {
    fc.assert(
      fc.property(trees, trees, (a, b) => {
        const tar = bytesOf(encodeLayer(diffTrees(a, b)))
        const changes = readLayer(tar)
        const index = encodeLayerIndex(changes, xxh64)
        const again = decodeLayerIndex(index, { source: contentSourceOf(tar), xxh64 })!.toChangeset()
        expect(again.map(({ kind, path }) => [kind, path])).toEqual(
          changes.map(({ kind, path }) => [kind, path]),
        )
        expect(dump(applyChangeset(a, again))).toEqual(dump(b))
        expect(Buffer.compare(encodeLayerIndex(again, xxh64), index)).toBe(0)
      }),
      { numRuns: runs(300) },
    )
  })

  test('sparse files, digests, names that only together would be UTF-8', () => {
    const tar = archive(
      pax({ 'GNU.sparse.map': '2,3,7,1', 'GNU.sparse.size': '10' }),
      entry({ name: 'sparse' }, 'abcd'),
      entry({ name: Uint8Array.of(0x61, 0xc3) }, '1'),
      entry({ name: Uint8Array.of(0xa9) }, '2'),
      entry({ name: 'plain' }, 'content'),
    )
    const changes = readLayer(tar)
    for (const change of changes) if (change.kind === 'put') contentDigest(change.node)
    const again = decodeLayerIndex(encodeLayerIndex(changes, xxh64), {
      source: contentSourceOf(tar),
      xxh64,
    })!.toChangeset()
    expect(again.map(({ path }) => path)).toEqual(['sparse', 'a\udcc3', '\udca9', 'plain'])
    for (const [i, change] of again.entries()) {
      const want = changes[i]!
      if (change.kind !== 'put' || want.kind !== 'put') throw new Error('not a put')
      expect(Buffer.from(change.node.content())).toEqual(Buffer.from(want.node.content()))
      expect(change.node.contentSha256).toBe(want.node.contentSha256)
      expect(change.node.contentSha256).toHaveLength(64)
    }
  })

  test('any damage makes it absent', () => {
    const tar = archive(
      entry({ name: 'a' }, 'x'),
      pax({ 'SCHILY.xattr.user.a': '1' }),
      block({ name: 'd/', type: '5' }),
    )
    const index = encodeLayerIndex(readLayer(tar), xxh64)
    const decode = (bytes: Uint8Array) =>
      decodeLayerIndex(bytes, { source: contentSourceOf(tar), xxh64 })?.toChangeset()
    expect(decode(index)).toHaveLength(2)
    for (let at = 0; at < index.length; at++) {
      // Bytes 12 to 15 are reserved.
      if (at >= 12 && at < 16) continue
      const damaged = index.slice()
      damaged[at]! ^= 0x40
      expect(decode(damaged)).toBeUndefined()
    }
    for (let length = 0; length < index.length; length++)
      expect(decode(index.slice(0, length))).toBeUndefined()
    expect(decode(Buffer.concat([index, Buffer.of(0)]))).toBeUndefined()
  })
})

/** A store whose blob reads are counted. */
function counting(): { store: Store; reads: () => number } {
  const store = createMemoryStore()
  let reads = 0
  const open = store.blobs.open!.bind(store.blobs)
  store.blobs.open = async (digest) => {
    const reader: BlobReader = await open(digest)
    return {
      ...reader,
      read: (offset, length) => {
        reads++
        return reader.read(offset, length)
      },
    }
  }
  return { store, reads: () => reads }
}

function sample() {
  const changes = readLayer(
    archive(
      block({ name: 'd/', type: '5' }),
      entry({ name: 'd/f' }, 'content'),
      block({ name: 'd/l', type: '1', linkname: 'd/f' }),
      block({ name: 's', type: '2', linkname: 'd' }),
    ),
  )
  return applyChangeset(EMPTY_TREE, changes)
}

describe('openTree and commitDiff', () => {
  test('a committed diff opens to the same tree, by the index alone', async () => {
    const { store, reads } = counting()
    const tree = sample()
    const layer = await commitDiff(store, EMPTY_TREE, tree)
    expect(await commitDiff(store, EMPTY_TREE, sample())).toEqual(layer)
    const opened = await openTree(store, [layer])
    expect(reads()).toBe(0)
    expect(dump(opened)).toEqual(dump(tree))
    expect(reads()).toBeGreaterThan(0)
    expect(opened.lookup('d/f')!.origin!.diffID).toBe(layer.diffID)
    expect(await openTree(store, [layer])).toBe(opened)
  })

  test('the index that a commit leaves is the one that a scan makes', async () => {
    const store = createMemoryStore()
    const layer = await commitDiff(store, EMPTY_TREE, sample())
    const left = store.sidecars.get(INDEX, hexOf(layer.diffID))!
    const tar = bytesOf(encodeLayer(diffTrees(EMPTY_TREE, sample())))
    expect(Buffer.compare(left, encodeLayerIndex(readLayer(tar), xxh64))).toBe(0)
  })

  test('a missing or damaged index is made anew', async () => {
    const store = createMemoryStore()
    const layer = await commitLayer(store, [bytesOf(encodeLayer(diffTrees(EMPTY_TREE, sample())))])
    const key = hexOf(layer.diffID)
    const opened = await openTree(store, [layer])
    const index = store.sidecars.get(INDEX, key)!
    const other = createMemoryStore()
    await commitLayer(other, [bytesOf(encodeLayer(diffTrees(EMPTY_TREE, sample())))])
    const damaged = index.slice()
    damaged[70]! ^= 1
    await other.sidecars.put(INDEX, key, damaged)
    expect(dump(await openTree(other, [layer]))).toEqual(dump(opened))
    expect(Buffer.compare(other.sidecars.get(INDEX, key)!, index)).toBe(0)
  })

  test('content is read once, in pieces', async () => {
    const store = createMemoryStore()
    const ranges: [number, number][] = []
    const source = {
      read: (offset: number, length: number) => {
        ranges.push([offset, length])
        return new Uint8Array(length).fill(7)
      },
    }
    const editor = new TreeEditor(EMPTY_TREE)
    editor.put('a', new TreeNode({ kind: 'file', size: 2_500_000, source, offset: 10 }))
    editor.put('b', new TreeNode({ kind: 'file', size: 5, source, offset: 5_000_000 }))
    await commitDiff(store, EMPTY_TREE, editor.finish())
    expect(ranges).toEqual([
      [10, 1_048_576],
      [1_048_586, 1_048_576],
      [2_097_162, 402_848],
      [5_000_000, 5],
    ])
  })

  test('stacks share what they have in common', async () => {
    const store = createMemoryStore()
    const base = sample()
    const editor = new TreeEditor(base)
    editor.remove('s')
    const upper = editor.finish()
    const layers = [await commitDiff(store, EMPTY_TREE, base), await commitDiff(store, base, upper)]
    const below = await openTree(store, layers.slice(0, 1))
    const above = await openTree(store, layers)
    expect(above.lookup('d')).toBe(below.lookup('d'))
    expect(dump(above)).toEqual(dump(upper))
    expect(await openTree(store, [])).toBe(EMPTY_TREE)
  })

  test.each([
    [
      'below a file',
      [entry({ name: 'f' }, 'x'), block({ name: './f/x' })],
      'LAYER_ENTRY_INVALID',
      'f/x',
      1024,
    ],
    [
      'a whiteout behind symlinks that go round',
      [block({ name: 'l', type: '2', linkname: 'l' }), block({ name: 'l/.wh.x' })],
      'LAYER_PATH_INVALID',
      'l/x',
      512,
    ],
    [
      'a hard link to nothing',
      [block({ name: 'h', type: '1', linkname: 'no' })],
      'LAYER_LINK_INVALID',
      'h',
      0,
    ],
  ])('an entry that cannot be applied is located: %s', async (_, parts, code, path, offset) => {
    const store = createMemoryStore()
    const bottom = await commitLayer(store, [archive(block({ name: 'l', type: '2', linkname: 'l' }))])
    const layer = await commitLayer(store, [archive(...parts)])
    const error = await openTree(store, [bottom, layer]).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(LayerError)
    expect(error).toMatchObject({ code, data: { path, offset, diffID: layer.diffID satisfies DiffID } })
  })
})
