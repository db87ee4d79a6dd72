import { describe, expect, test } from 'vitest'
import {
  analyzeChangesets,
  bytesSource,
  TreeNode,
  type Change,
  type Changeset,
} from '../../src/unionfs/index.js'

const file = (path: string, size: number): Change => ({
  kind: 'put',
  path,
  node: new TreeNode({ kind: 'file', size, source: bytesSource(new Uint8Array(size)) }),
})
const dir = (path: string): Change => ({ kind: 'put', path, node: new TreeNode({ kind: 'dir' }) })
const gone = (path: string): Change => ({ kind: 'delete', path })
const opaque = (path: string): Change => ({ kind: 'opaque', path })

// wagoodman/dive dive/filetree/efficiency.go: least bytes of each leaf path over all bytes spent on it; the deletion of a
// directory costs what vanishes with it, that of a file nothing.
describe('efficiency', () => {
  test.each<[string, readonly Changeset[], number, number]>([
    ['no layers', [], 1, 0],
    ['one layer', [[file('a', 100)]], 1, 0],
    ['nothing in common', [[file('a', 100)], [file('b', 50)]], 1, 0],
    ['overwritten by a larger one', [[file('a', 100)], [file('a', 300)]], 0.25, 400],
    ['overwritten by a smaller one', [[file('a', 300)], [file('a', 100)]], 0.25, 400],
    ['a file deleted', [[file('a', 100), file('b', 100)], [gone('a')]], 0.5, 100],
    [
      'a directory deleted: its size counts again',
      [[dir('d'), file('d/a', 60), file('d/b', 40)], [gone('d')]],
      1,
      0,
    ],
    ['deleted, then there again', [[file('a', 100)], [gone('a')], [file('a', 100)]], 0, 200],
    [
      'a directory in both layers is no leaf',
      [
        [dir('d'), file('d/a', 10)],
        [dir('d'), file('d/b', 10)],
      ],
      1,
      0,
    ],
    [
      'an opaque mark is no path',
      [
        [dir('d'), file('d/a', 10)],
        [dir('d'), opaque('d'), file('d/a', 10)],
      ],
      0.5,
      20,
    ],
    ['empty files only', [[file('a', 0)], [file('a', 0)]], 1, 0],
  ])('%s', (_, layers, efficiency, wastedBytes) => {
    const analysis = analyzeChangesets(layers)
    expect(analysis.efficiency).toBeCloseTo(efficiency, 10)
    expect(analysis.wastedBytes).toBe(wastedBytes)
  })

  test('what is wasted is listed largest first', () => {
    const { wasted } = analyzeChangesets([
      [file('a', 1), file('b', 5), file('c', 9)],
      [file('b', 5)],
      [file('a', 1)],
    ])
    expect(wasted).toEqual([
      { path: 'b', count: 2, bytes: 10 },
      { path: 'a', count: 2, bytes: 2 },
    ])
  })
})

describe('layers', () => {
  test.each<[string, Changeset, Changeset, object]>([
    ['added', [], [dir('d'), file('d/a', 3)], { added: { paths: 2, bytes: 3 } }],
    ['overwritten', [file('a', 3)], [file('a', 4)], { overwritten: { paths: 1, bytes: 4 } }],
    ['deleted with all below', [dir('d'), file('d/a', 3)], [gone('d')], { deleted: { paths: 2, bytes: 3 } }],
    ['deleted what is not there', [], [gone('x')], { deleted: { paths: 0, bytes: 0 } }],
    [
      'opaque keeps the directory',
      [dir('d'), file('d/a', 3)],
      [opaque('d')],
      { deleted: { paths: 1, bytes: 3 } },
    ],
  ])('%s', (_, below, changeset, want) => {
    expect(analyzeChangesets([below, changeset]).layers[1]).toMatchObject(want)
  })
})
