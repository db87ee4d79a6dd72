import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { LayerError } from '../../src/errors.js'
import { EMPTY_TREE, Tree, TreeEditor, TreeNode, childrenOf, comparePaths } from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { growth, SUBQUADRATIC } from '../cost.js'

const file = (size = 0) => new TreeNode({ kind: 'file', size })
const dir = () => new TreeNode({ kind: 'dir' })
const paths = (tree: Tree) => [...tree.walk()].map(({ path }) => path)

/** A tree from paths; those that end in `/` are directories. */
function treeOf(...names: string[]): Tree {
  const editor = new TreeEditor(EMPTY_TREE)
  for (const name of names) {
    if (name.endsWith('/')) editor.put(name.slice(0, -1), dir())
    else editor.put(name, file())
  }
  return editor.finish()
}

describe('TreeEditor', () => {
  test('no edit gives the same tree', () => {
    const tree = treeOf('a/', 'a/b')
    const editor = new TreeEditor(tree)
    editor.put('a/b', tree.lookup('a/b')!)
    expect(editor.finish()).toBe(tree)
  })

  test('untouched directories are shared', () => {
    const tree = treeOf('a/', 'a/b', 'c/', 'c/d')
    const editor = new TreeEditor(tree)
    editor.put('a/x', file())
    const next = editor.finish()
    expect(next.lookup('c')).toBe(tree.lookup('c'))
    expect(paths(next)).toEqual(['', 'a', 'a/b', 'a/x', 'c', 'c/d'])
    expect(paths(tree)).toEqual(['', 'a', 'a/b', 'c', 'c/d'])
  })

  test('a directory over a directory keeps the entries, over a file starts empty', () => {
    const editor = new TreeEditor(treeOf('a/', 'a/b', 'f'))
    editor.put('a', dir().with({ mode: 0o700 }))
    editor.put('f', dir())
    const tree = editor.finish()
    expect(tree.lookup('a')!.mode).toBe(0o700)
    expect(paths(tree)).toEqual(['', 'a', 'a/b', 'f'])
    expect(tree.lookup('f')!.kind).toBe('dir')
  })

  test('a file over a directory removes what was below', () => {
    const editor = new TreeEditor(treeOf('a/', 'a/b'))
    editor.put('a', file())
    editor.put('c', dir())
    expect(editor.lookup('a/b')).toBeUndefined()
    expect(paths(editor.finish())).toEqual(['', 'a', 'c'])
  })

  test.each(['missing/x', 'f/x'])('put below %s is refused', (path) => {
    const editor = new TreeEditor(treeOf('f'))
    expect(() => editor.put(path, file())).toThrow(
      expect.objectContaining({ code: 'LAYER_ENTRY_INVALID', data: { path } }),
    )
  })

  test('lookups see edits at once', () => {
    const editor = new TreeEditor(treeOf('a/', 'a/b'))
    editor.remove('a/b')
    expect(editor.lookup('a/b')).toBeUndefined()
    editor.put('a/c', file(1))
    expect(editor.lookup('a/c')!.size).toBe(1)
    expect([...editor.names('a')]).toEqual(['c'])
    editor.move('a', 'z')
    expect(editor.lookup('a')).toBeUndefined()
    expect(editor.lookup('z/c')!.size).toBe(1)
  })
})

describe('hard links', () => {
  const linked = (...names: string[]) => {
    const editor = new TreeEditor(treeOf('d/', 'e/', 'd/a'))
    for (const name of names) editor.link(name, 'd/a')
    return editor.finish()
  }

  test('names share one node that counts them', () => {
    const tree = linked('d/b', 'e/c')
    const node = tree.lookup('d/a')!
    expect(tree.lookup('d/b')).toBe(node)
    expect(tree.lookup('e/c')).toBe(node)
    expect(node.nlink).toBe(3)
    expect(tree.linksOf(node)).toEqual(['d/a', 'd/b', 'e/c'])
  })

  test('removing a name lowers the count at the others', () => {
    const editor = new TreeEditor(linked('d/b', 'e/c'))
    editor.remove('d/a')
    const tree = editor.finish()
    expect(tree.lookup('d/b')!.nlink).toBe(2)
    expect(tree.linksOf(tree.lookup('e/c')!)).toEqual(['d/b', 'e/c'])
  })

  test('removing a directory takes the names inside', () => {
    const editor = new TreeEditor(linked('d/b', 'e/c'))
    editor.remove('d')
    const tree = editor.finish()
    expect(tree.lookup('e/c')!.nlink).toBe(1)
    expect(tree.linksOf(tree.lookup('e/c')!)).toEqual([])
  })

  test('moving a directory moves the names inside', () => {
    const editor = new TreeEditor(linked('d/b', 'e/c'))
    editor.move('d', 'e/d')
    const tree = editor.finish()
    expect(tree.linksOf(tree.lookup('e/c')!)).toEqual(['e/c', 'e/d/a', 'e/d/b'])
    expect(tree.lookup('e/d/a')).toBe(tree.lookup('e/c'))
  })

  test('a change of the inode shows at all names, a new inode at one', () => {
    const editor = new TreeEditor(linked('d/b', 'e/c'))
    editor.put('d/b', editor.lookup('d/b')!.with({ mode: 0o600 }))
    expect(editor.lookup('e/c')!.mode).toBe(0o600)
    editor.put('d/a', file(7))
    const tree = editor.finish()
    expect(tree.lookup('d/a')!).toMatchObject({ size: 7, nlink: 1 })
    expect(tree.lookup('d/b')!).toMatchObject({ mode: 0o600, nlink: 2 })
    expect(tree.linksOf(tree.lookup('d/b')!)).toEqual(['d/b', 'e/c'])
  })

  test('a subtree that is put twice gets groups of its own', () => {
    const from = linked('d/b', 'e/c')
    const editor = new TreeEditor(EMPTY_TREE)
    editor.put('x', from.lookup('d')!)
    editor.put('y', from.lookup('d')!)
    const tree = editor.finish()
    expect(tree.linksOf(tree.lookup('x/a')!)).toEqual(['x/a', 'x/b'])
    expect(tree.linksOf(tree.lookup('y/a')!)).toEqual(['y/a', 'y/b'])
    expect(tree.lookup('x/a')!.nlink).toBe(2)
  })

  test('the second copy of a subtree is changed by itself', () => {
    const from = linked('d/b')
    const editor = new TreeEditor(from)
    editor.replace('e/copy', from.lookup('d')!)
    editor.put('e/copy/a', editor.lookup('e/copy/a')!.with({ mode: 0o600 }))
    expect(editor.lookup('e/copy/b')!.mode).toBe(0o600)
    expect(editor.lookup('d/b')!.mode).toBe(0o644)
    editor.remove('e/copy/b')
    const tree = editor.finish()
    expect(tree.lookup('e/copy/a')!).toMatchObject({ mode: 0o600, nlink: 1 })
    expect(tree.lookup('d/a')!).toMatchObject({ mode: 0o644, nlink: 2 })
  })

  test('removing directories with a linked name each is linear', () => {
    const work = (count: number) => {
      const names = Array.from({ length: count }, (_, i) => `d${i}/`)
      const editor = new TreeEditor(treeOf('a', ...names))
      for (let i = 0; i < names.length; i++) editor.link(`d${i}/l`, 'a')
      const next = new TreeEditor(editor.finish())
      for (let i = 0; i < names.length; i++) next.remove(`d${i}`)
      expect(next.finish().lookup('a')!.nlink).toBe(1)
    }
    expect(growth(work, 2_000)).toBeLessThan(SUBQUADRATIC)
  })

  test.each([
    ['missing target', 'x', 'nowhere'],
    ['directory', 'x', 'd'],
    ['target below the link', 'd', 'd/a'],
  ])('%s is refused', (_, path, target) => {
    const editor = new TreeEditor(linked())
    expect(() => editor.link(path, target)).toThrow(LayerError)
  })

  test('names of one inode are linear', () => {
    const work = (count: number) => {
      const editor = new TreeEditor(treeOf('a'))
      for (let i = 0; i < count; i++) editor.link(`n${i}`, 'a')
      expect(editor.finish().lookup('n5')!.nlink).toBe(count + 1)
    }
    expect(growth(work, 10_000)).toBeLessThan(SUBQUADRATIC)
  })
})

// A Map of paths to inode numbers is all the state there is.
describe('against a naive model', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'a-', 'é')
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
  const op = fc.oneof(
    fc.record({ op: fc.constantFrom('file', 'dir', 'remove', 'touch'), path }),
    fc.record({ op: fc.constantFrom('link', 'move', 'copy'), path, from: path }),
  )
  type Model = Map<string, { kind: 'file' | 'dir'; id: number; mode: number }>
  const below = (model: Model, top: string) =>
    [...model.keys()].filter((key) => key === top || key.startsWith(top + '/'))
  const parentIsDir = (model: Model, at: string) =>
    !at.includes('/') || model.get(at.slice(0, at.lastIndexOf('/')))?.kind === 'dir'

  test('fast-check', () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 40 }), fc.nat(3), (ops, every) => {
        const model: Model = new Map()
        let nextId = 1
        let editor = new TreeEditor(EMPTY_TREE)
        for (const [i, step] of ops.entries()) {
          const at = step.path
          if (i % (every + 2) === 0) editor = new TreeEditor(editor.finish())
          if (step.op === 'remove') {
            editor.remove(at)
            for (const key of below(model, at)) model.delete(key)
          } else if (step.op === 'touch') {
            const node = editor.lookup(at)
            const entry = model.get(at)
            expect(node === undefined).toBe(entry === undefined)
            if (node === undefined || entry === undefined) continue
            editor.put(at, node.with({ mode: 0o600 + i }))
            for (const other of model.values()) if (other.id === entry.id) other.mode = 0o600 + i
          } else if (step.op === 'file' || step.op === 'dir') {
            const kind = step.op
            if (!parentIsDir(model, at)) {
              expect(() => editor.put(at, kind === 'file' ? file() : dir())).toThrow(LayerError)
              continue
            }
            const keeps = kind === 'dir' && model.get(at)?.kind === 'dir'
            editor.put(at, kind === 'file' ? file() : dir())
            if (!keeps) for (const key of below(model, at)) model.delete(key)
            model.set(at, { kind, id: nextId++, mode: kind === 'file' ? 0o644 : 0o755 })
          } else if ('from' in step) {
            const source = model.get(step.from)
            const inside =
              at === step.from || at.startsWith(step.from + '/') || step.from.startsWith(at + '/')
            if (source === undefined || inside || !parentIsDir(model, at)) continue
            if (step.op === 'link') {
              if (source.kind === 'dir') continue
              editor.link(at, step.from)
              if (model.get(at)?.id !== source.id) for (const key of below(model, at)) model.delete(key)
              model.set(at, source)
            } else if (step.op === 'move') {
              editor.move(step.from, at)
              for (const key of below(model, at)) model.delete(key)
              for (const key of below(model, step.from)) {
                model.set(at + key.slice(step.from.length), model.get(key)!)
                model.delete(key)
              }
            } else {
              // Copies a subtree by sharing its nodes, as COPY --from does.
              editor = new TreeEditor(editor.finish())
              const tree = editor.finish()
              editor = new TreeEditor(tree)
              editor.replace(at, tree.lookup(step.from)!)
              for (const key of below(model, at)) model.delete(key)
              const ids = new Map<number, { kind: 'file' | 'dir'; id: number; mode: number }>()
              for (const key of below(model, step.from)) {
                const entry = model.get(key)!
                if (!ids.has(entry.id)) ids.set(entry.id, { ...entry, id: nextId++ })
                model.set(at + key.slice(step.from.length), ids.get(entry.id)!)
              }
            }
          }
        }
        const tree = editor.finish()
        const want = [...model.keys()].sort(comparePaths)
        expect(paths(tree)).toEqual(['', ...want])
        for (const key of want) {
          const entry = model.get(key)!
          const group = want.filter((other) => model.get(other)!.id === entry.id)
          const node = tree.lookup(key)!
          expect(node.kind).toBe(entry.kind)
          expect(node.mode).toBe(entry.mode)
          if (entry.kind === 'file') {
            expect(node.nlink).toBe(group.length)
            expect(tree.linksOf(node)).toEqual(group.length > 1 ? group : [])
            expect(new Set(group.map((other) => tree.lookup(other))).size).toBe(1)
          }
        }
        // What a tree carries along is what it would find anew.
        expect(new Tree(tree.root).links).toEqual(tree.links)
      }),
      { numRuns: runs(500) },
    )
  })
})

describe('Children', () => {
  test('a sharded directory agrees with a Map under any changes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.tuple(fc.nat(4000), fc.boolean()), { maxLength: 600 }), { maxLength: 8 }),
        (rounds) => {
          let children = childrenOf(Array.from({ length: 1200 }, (_, i) => [`n${i}`, file()] as const))
          const model = new Map(children.entries())
          for (const round of rounds) {
            const changes = new Map<string, TreeNode | undefined>()
            for (const [n, keep] of round) changes.set(`n${n}`, keep ? file() : undefined)
            children = children.with(changes)
            for (const [key, node] of changes) {
              if (node === undefined) model.delete(key)
              else model.set(key, node)
            }
            expect(children.size).toBe(model.size)
            expect(children.names()).toEqual([...model.keys()].sort())
          }
          for (const [key, node] of model) expect(children.get(key)).toBe(node)
          expect(new Map(children.entries())).toEqual(model)
        },
      ),
      { numRuns: runs(30) },
    )
  })

  test('names are in byte order, not in UTF-16 order', () => {
    const names = ['\u{10000}', '\uffff', 'z', '\udcff']
    const children = childrenOf(names.map((name) => [name, file()] as const))
    expect(children.names()).toEqual(['z', '\uffff', '\u{10000}', '\udcff'])
  })
})

describe('Tree.resolve', () => {
  const editor = new TreeEditor(treeOf('d/', 'd/e/', 'd/e/f', 'g'))
  const symlink = (path: string, target: string) =>
    editor.put(path, new TreeNode({ kind: 'symlink', target }))
  symlink('abs', '/d/e')
  symlink('d/up', '../d/e')
  symlink('loop', 'loop')
  symlink('out', '../../g')
  symlink('file', 'g')
  const tree = editor.finish()

  // path_resolution(7), with the tree as root
  test.each([
    ['', ''],
    ['/', ''],
    ['d/e/f', 'd/e/f'],
    ['abs/f', 'd/e/f'],
    ['abs/..', 'd'],
    ['d/up/../../g', 'g'],
    ['../../g', 'g'],
    ['out', 'g'],
    ['d/e/', 'd/e'],
    ['loop', undefined],
    ['g/', undefined],
    ['file/', undefined],
    ['g/x', undefined],
    ['d/none/..', undefined],
  ])('%j → %j', (path, want) => expect(tree.resolve(path)?.path).toBe(want))

  test('the last symlink stays when asked, unless a slash follows', () => {
    expect(tree.resolve('abs', { followLast: false })?.path).toBe('abs')
    expect(tree.resolve('abs/', { followLast: false })?.path).toBe('d/e')
  })
})
