// Random trees and what makes two of them equal: everything but inode numbers and where bytes lie.
import * as fc from 'fast-check'
import { parentOf } from '../../src/path.js'
import {
  EMPTY_TREE,
  Tree,
  TreeEditor,
  TreeNode,
  bytesSource,
  type NodeInit,
} from '../../src/unionfs/index.js'

const names = fc.constantFrom('a', 'b', 'a-', 'ab', 'é', '\udcff', 'n'.repeat(120), '\u{1f600}')
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))

const meta = fc.record({
  mode: fc.constantFrom(0o644, 0o755, 0o4711, 0o1777, 0),
  uid: fc.constantFrom(0, 1000, 2097152, 4294967294),
  gid: fc.constantFrom(0, 5, 4294967294),
  mtimeSec: fc.constantFrom(0, 1, -1, -86400, 1_700_000_000, 8_589_934_592),
  mtimeNsec: fc.constantFrom(0, 1, 500_000_000, 999_999_999),
  xattrs: fc.constantFrom(
    undefined,
    new Map([['user.x', Uint8Array.of(0, 255, 10, 61)]]),
    new Map([
      ['user.b', Uint8Array.of(1)],
      ['user.a', new Uint8Array(0)],
    ]),
  ),
})

const kinds = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 700 }).map(fileInit) },
  { weight: 3, arbitrary: fc.constant<Partial<NodeInit>>({ kind: 'dir' }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('a', '../b', '/x', 't'.repeat(150), '\udcfe')
      .map<Partial<NodeInit>>((target) => ({
        kind: 'symlink',
        target,
        mode: 0o777,
        size: byteLength(target),
      })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Partial<NodeInit>>(
      { kind: 'fifo' },
      { kind: 'chardev', rdevMajor: 1, rdevMinor: 3 },
      { kind: 'blockdev', rdevMajor: 259, rdevMinor: 70000 },
    ),
  },
)

function fileInit(bytes: Uint8Array): Partial<NodeInit> {
  return { kind: 'file', size: bytes.length, source: bytesSource(bytes) }
}

function byteLength(target: string): number {
  return target === '\udcfe' ? 1 : target.length
}

const nodes = fc
  .tuple(meta, kinds)
  .map(([meta, kind]) => new TreeNode({ ...meta, ...kind, kind: kind.kind! }))

/** Which of the paths that are there an edit means. */
const pick = fc.nat(10_000)

const edits = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('put' as const), path: paths, node: nodes }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('link' as const), path: paths, pick }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('relink' as const), pick, other: pick }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('remove' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('move' as const), path: paths, pick }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('replace' as const), pick, node: nodes }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('touch' as const), pick, meta }) },
)

export type Edit = typeof edits extends fc.Arbitrary<infer T> ? T : never

/** Edits, those that make no sense skipped. */
export function edited(tree: Tree, list: readonly Edit[]): Tree {
  const editor = new TreeEditor(tree)
  const known = [...tree.walk()].map(({ path }) => path)
  const picked = (n: number) => known[n % known.length]!
  for (const edit of list) {
    if ('path' in edit) {
      makeParents(editor, edit.path)
      known.push(edit.path)
    }
    const at = 'path' in edit ? edit.path : picked(edit.pick)
    const node = editor.lookup(at)
    if (edit.op === 'put') editor.put(at, edit.node)
    else if (edit.op === 'remove') {
      if (at !== '') editor.remove(at)
    } else if (edit.op === 'touch') {
      if (node !== undefined) editor.put(at, node.with({ ...edit.meta, mode: node.mode }))
    } else if (edit.op === 'replace') {
      if (node !== undefined && at !== '') editor.put(at, edit.node)
    } else {
      const from = edit.op === 'relink' ? picked(edit.other) : picked(edit.pick)
      const source = editor.lookup(from)
      const apart = from !== '' && !`${at}/`.startsWith(`${from}/`) && !`${from}/`.startsWith(`${at}/`)
      if (!apart || source === undefined || at === '') continue
      if (edit.op === 'move') editor.move(from, at)
      else if (source.kind !== 'dir' && editor.lookup(parentOf(at))?.kind === 'dir') editor.link(at, from)
    }
  }
  return editor.finish()
}

function makeParents(editor: TreeEditor, path: string): void {
  const parts = path.split('/')
  for (let i = 1; i < parts.length; i++) {
    const parent = parts.slice(0, i).join('/')
    if (editor.lookup(parent)?.kind !== 'dir') editor.put(parent, new TreeNode({ kind: 'dir', mode: 0o711 }))
  }
}

export const editLists = fc.array(edits, { maxLength: 25, size: 'max' })
export const trees = editLists.map((list) => edited(EMPTY_TREE, list))

/** A tree as plain data, for comparison. */
export function dump(tree: Tree): unknown[] {
  return [...tree.walk()].map(({ path, node }) => [
    path,
    node.kind,
    node.mode.toString(8),
    node.uid,
    node.gid,
    node.mtimeSec,
    node.mtimeNsec,
    node.size,
    node.target,
    node.nlink,
    tree.linksOf(node),
    [...(node.xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, [...value]]),
    node.kind === 'file' ? Buffer.from(node.content()).toString('base64') : '',
  ])
}
