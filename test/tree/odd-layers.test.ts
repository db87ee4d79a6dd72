// Layers that no tool writes (whiteouts, opaque markers, duplicates, links in any order), against the rules written down
// as plainly as possible: a Map of paths.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { LayerError } from '../../src/errors.js'
import { EMPTY_TREE, applyChangeset, comparePaths, readLayer, type Tree } from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { archive, block, entry } from '../tar/craft.js'

const RUNS = runs(1500)

const path = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join('/'))
const line = fc.oneof(
  fc.record({
    op: fc.constantFrom('file' as const, 'dir' as const, 'delete' as const, 'opaque' as const),
    path,
  }),
  fc.record({ op: fc.constant('link' as const), path, target: path }),
)
type Line = typeof line extends fc.Arbitrary<infer T> ? T : never
const layers = fc.array(fc.array(line, { maxLength: 12, size: 'max' }), {
  minLength: 1,
  maxLength: 3,
  size: 'max',
})

interface Inode {
  readonly kind: 'file' | 'dir'
  text: string
}
type Model = Map<string, Inode>

const parentOf = (at: string) => (at.includes('/') ? at.slice(0, at.lastIndexOf('/')) : '')

function encode(lines: readonly Line[], serial: number): Uint8Array {
  return archive(
    ...lines.map((item, i) => {
      const parent = parentOf(item.path)
      const prefix = parent === '' ? '' : `${parent}/`
      if (item.op === 'file') return entry({ name: item.path }, `${serial}.${i}`)
      if (item.op === 'dir') return block({ name: `${item.path}/`, type: '5', mode: (0o700 + i).toString(8) })
      if (item.op === 'link') return block({ name: item.path, type: '1', linkname: item.target })
      return block({
        name:
          item.op === 'opaque'
            ? `${item.path}/.wh..wh..opq`
            : `${prefix}.wh.${item.path.slice(prefix.length)}`,
      })
    }),
  )
}

class Refused extends Error {}

function applyModel(model: Model, lines: readonly Line[], serial: number): void {
  const clear = (at: string, self: boolean) => {
    for (const key of model.keys()) if (key.startsWith(`${at}/`) || (self && key === at)) model.delete(key)
  }
  for (const item of lines) {
    if (item.op === 'delete') clear(item.path, true)
    if (item.op === 'opaque' && model.get(item.path)?.kind === 'dir') clear(item.path, false)
  }
  const makeParents = (at: string) => {
    const parent = parentOf(at)
    if (parent === '') return
    makeParents(parent)
    const there = model.get(parent)
    if (there === undefined) model.set(parent, { kind: 'dir', text: '755' })
    else if (there.kind !== 'dir') throw new Refused()
  }
  for (const [i, item] of lines.entries()) {
    if (item.op === 'delete' || item.op === 'opaque') continue
    const { path: at } = item
    if (item.op === 'link') {
      if (at === item.target) throw new Refused()
      const target = model.get(item.target)
      makeParents(at)
      if (target?.kind !== 'file' || item.target.startsWith(`${at}/`)) throw new Refused()
      if (model.get(at) !== target) clear(at, true)
      model.set(at, target)
      continue
    }
    makeParents(at)
    const before = model.get(at)
    if (item.op === 'dir' && before?.kind === 'dir') before.text = (0o700 + i).toString(8)
    else {
      clear(at, true)
      const text = item.op === 'file' ? `${serial}.${i}` : (0o700 + i).toString(8)
      model.set(at, { kind: item.op, text })
    }
  }
}

function showModel(model: Model): string[] {
  return [...model.keys()].sort(comparePaths).map((at) => {
    const inode = model.get(at)!
    const names = [...model.values()].filter((other) => other === inode).length
    return `${at} ${inode.kind} ${inode.text} ${names}`
  })
}

function showTree(tree: Tree): string[] {
  return [...tree.walk()].slice(1).map(({ path: at, node }) => {
    const text = node.kind === 'dir' ? node.mode.toString(8) : Buffer.from(node.content()).toString()
    return `${at} ${node.kind} ${text} ${node.nlink}`
  })
}

test('stacks of odd layers', () => {
  let [applied, refused] = [0, 0]
  fc.assert(
    fc.property(layers, (stack) => {
      const model: Model = new Map()
      let tree = EMPTY_TREE
      for (const [serial, lines] of stack.entries()) {
        let want: string[] | undefined
        try {
          applyModel(model, lines, serial)
          want = showModel(model)
        } catch (error) {
          expect(error).toBeInstanceOf(Refused)
        }
        if (want === undefined) {
          expect(() => applyChangeset(tree, readLayer(encode(lines, serial)))).toThrow(LayerError)
          refused++
          return
        }
        tree = applyChangeset(tree, readLayer(encode(lines, serial)))
        expect(showTree(tree)).toEqual(want)
        applied++
      }
    }),
    { numRuns: RUNS },
  )
  expect(applied).toBeGreaterThan(RUNS / 10)
  expect(refused).toBeGreaterThan(RUNS / 10)
})
