// The algebra of trees, changesets and layers.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  applyChangeset,
  diffTrees,
  encodeLayer,
  readLayer,
  squashChangesets,
  EMPTY_TREE,
} from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { dump, editLists, edited, trees } from './arbitrary.js'

const RUNS = { numRuns: runs(400) }

function bytesOf(chunks: Iterable<Uint8Array>): Uint8Array {
  return Buffer.concat([...chunks])
}

test('apply(diff(a, b), a) = b, for trees that have grown from one another', () => {
  fc.assert(
    fc.property(trees, editLists, (a, list) => {
      const b = edited(a, list)
      expect(dump(applyChangeset(a, diffTrees(a, b)))).toEqual(dump(b))
    }),
    RUNS,
  )
})

test('apply(diff(a, b), a) = b, for any two trees', () => {
  fc.assert(
    fc.property(trees, trees, (a, b) => {
      expect(dump(applyChangeset(a, diffTrees(a, b)))).toEqual(dump(b))
    }),
    RUNS,
  )
})

test('diff(a, a) = ∅, also when nothing is shared', () => {
  fc.assert(
    fc.property(trees, (a) => {
      expect(diffTrees(a, a)).toEqual([])
      const again = applyChangeset(EMPTY_TREE, readLayer(bytesOf(encodeLayer(diffTrees(EMPTY_TREE, a)))))
      expect(dump(again)).toEqual(dump(a))
      expect(diffTrees(a, again)).toEqual([])
    }),
    RUNS,
  )
})

test('decode(encode(x)) = x, and encode is a function of the trees alone', () => {
  fc.assert(
    fc.property(trees, trees, (a, b) => {
      const changes = diffTrees(a, b)
      const bytes = bytesOf(encodeLayer(changes))
      const decoded = readLayer(bytes)
      expect(decoded.map(({ kind, path }) => [kind, path])).toEqual(
        changes.map(({ kind, path }) => [kind, path]),
      )
      expect(dump(applyChangeset(a, decoded))).toEqual(dump(b))
      expect(Buffer.compare(bytesOf(encodeLayer(decoded)), bytes)).toBe(0)
    }),
    RUNS,
  )
})

test('squashing neighbours keeps the tree and says what a diff of the ends says', () => {
  fc.assert(
    fc.property(trees, editLists, editLists, (a, first, second) => {
      const b = edited(a, first)
      const c = edited(b, second)
      const squashed = squashChangesets(a, [diffTrees(a, b), diffTrees(b, c)])
      expect(dump(applyChangeset(a, squashed))).toEqual(dump(c))
      expect(squashed.map(({ kind, path }) => [kind, path])).toEqual(
        diffTrees(a, c).map(({ kind, path }) => [kind, path]),
      )
    }),
    RUNS,
  )
})
