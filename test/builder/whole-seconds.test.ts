// Layers of builds hold whole seconds, as containerd and Docker write them (containerd pkg/archive/tar.go); layers that an
// embedder commits keep nanoseconds.
import { expect, test } from 'vitest'
import { build, treeContext } from '../../src/builder/index.js'
import { createMemoryStore, openLayerBlob } from '../../src/store/index.js'
import {
  bytesSource,
  commitDiff,
  EMPTY_TREE,
  openTree,
  TreeEditor,
  TreeNode,
} from '../../src/unionfs/index.js'

function treeWith(mtimeSec: number, mtimeNsec: number) {
  const editor = new TreeEditor(EMPTY_TREE)
  const source = bytesSource(new Uint8Array([1]))
  editor.put('f', new TreeNode({ kind: 'file', size: 1, source, mtimeSec, mtimeNsec }))
  return editor.finish()
}

test.each([
  [1_700_000_000, 999_999_999],
  [-2, 500_000_000],
])('a COPY of a file of %i.%i s', async (mtimeSec, mtimeNsec) => {
  await using store = createMemoryStore()
  const context = treeContext(treeWith(mtimeSec, mtimeNsec))
  const { layers } = await build({ store, context, dockerfile: { text: 'FROM scratch\nCOPY f /f' } })
  const tree = await openTree(store, layers)
  expect(tree.lookup('f')).toMatchObject({ mtimeSec, mtimeNsec: 0 })
  const [{ descriptor, diffID }] = layers as [(typeof layers)[number]]
  const reader = await openLayerBlob(store, descriptor, diffID)
  expect(Buffer.from(reader.read(0, reader.size)).includes('mtime=')).toBe(mtimeSec < 0)
})

test('a diff that is committed without it keeps them', async () => {
  await using store = createMemoryStore()
  const layer = await commitDiff(store, EMPTY_TREE, treeWith(7, 123_456_789))
  expect((await openTree(store, [layer])).lookup('f')).toMatchObject({ mtimeSec: 7, mtimeNsec: 123_456_789 })
})
