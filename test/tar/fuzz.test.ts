// Archives with bytes changed at random: a tree or a LayerError, soon, and nothing else. Half of the changed headers get
// their checksum put right, so that the change is seen by what comes after it.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { LayerError } from '../../src/errors.js'
import { scanTar } from '../../src/store/index.js'
import { EMPTY_TREE, applyChangeset, encodeLayer, readLayer, type Tree } from '../../src/unionfs/index.js'
import { diffTrees } from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { dump, trees } from '../tree/arbitrary.js'
import { archive, block, entry, pax } from './craft.js'

const RUNS = runs(12_000)

const crafted = archive(
  block({ name: 'd/', type: '5' }),
  pax({ path: 'd/pax', uid: '4000000000', mtime: '-1.5', 'SCHILY.xattr.user.x': 'v' }),
  entry({ name: 'short' }, 'content'),
  block({ name: 'd/hard', type: '1', linkname: 'd/pax' }),
  entry({ type: 'L', name: '././@LongLink' }, `d/${'long'.repeat(50)}\0`),
  block({ name: 'cut', type: '2', linkname: '../target' }),
  pax({
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.realsize': '100',
    'GNU.sparse.name': 's',
  }),
  entry({ name: 'sparse' }, '2\n5\n3\n50\n1\n'.padEnd(512, '\0') + 'abcd'),
  pax({ 'GNU.sparse.map': '2,3,7,1', 'GNU.sparse.size': '10' }),
  entry({ name: 'sparse01' }, 'abcd'),
  pax({ gid: '7' }, 'g'),
  block({ name: 'dev', type: '3', devmajor: '0000010\0', devminor: '0000003\0' }),
  block({ name: 'd/.wh.gone' }),
  block({ name: 'd/.wh..wh..opq' }),
  oldSparse(),
)

/** Two runs, three bytes; the file is 2,000 bytes long. */
function oldSparse(): Uint8Array {
  const octal = (value: number) => Buffer.from(`${value.toString(8).padStart(11, '0')}\0`)
  const map = Buffer.concat([octal(512), octal(2), octal(1024), octal(1)])
  const header = block({ name: 'old', type: 'S', magic: 'ustar  \0', size: '00000000003\0' })
  header.set(map, 386)
  header.set(octal(2000), 483)
  resum(header, 0)
  return Buffer.concat([header, Buffer.from('abc'), new Uint8Array(509)])
}

function resum(bytes: Uint8Array, at: number): void {
  bytes.fill(0x20, at + 148, at + 156)
  let sum = 0
  for (let i = at; i < at + 512; i++) sum += bytes[i]!
  bytes.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), at + 148)
}

interface Mutation {
  readonly at: number
  readonly bytes: Uint8Array
  readonly resum: boolean
  readonly cut: number
}

const interesting = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
  fc
    .constantFrom(
      '..',
      '/',
      '../',
      '\0',
      '77777777777',
      '9',
      '-1',
      '\n',
      '=',
      ' ',
      '.wh.',
      'S',
      'x',
      'L',
      'g',
      '1',
      '5',
    )
    .map((text) => new Uint8Array(Buffer.from(text))),
  fc.constantFrom(
    Uint8Array.of(0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
  ),
)

const mutations = fc.array(
  fc.record<Mutation>({
    at: fc.nat(1_000_000),
    bytes: interesting,
    resum: fc.boolean(),
    cut: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, 511, 512, 700),
  }),
  { minLength: 1, maxLength: 4 },
)

function mutate(original: Uint8Array, list: readonly Mutation[]): Uint8Array {
  const out = new Uint8Array(original)
  let end = out.length
  for (const { at, bytes, resum: again, cut } of list) {
    const where = at % out.length
    out.set(bytes.subarray(0, out.length - where), where)
    if (again) resum(out, where - (where % 512))
    end -= cut
  }
  return out.slice(0, Math.max(0, end))
}

function expectInside(tree: Tree): void {
  for (const { path, node } of tree.walk()) {
    expect(path === '' || path.split('/').every((name) => name !== '' && name !== '.' && name !== '..')).toBe(
      true,
    )
    if (node.kind === 'file' && node.size < 1_000_000) expect(node.content()).toHaveLength(node.size)
  }
}

test(`${RUNS} mutated archives`, () => {
  const originals = [crafted, ...fc.sample(trees, { numRuns: 20, seed: 7 }).map(encoded)]
  let [read, refused] = [0, 0]
  const base = applyChangeset(EMPTY_TREE, readLayer(crafted))
  fc.assert(
    fc.property(fc.nat(originals.length - 1), mutations, (which, list) => {
      const bytes = mutate(originals[which % 3 === 0 ? 0 : which]!, list)
      try {
        expectInside(applyChangeset(base, readLayer(bytes)))
        read++
      } catch (error) {
        if (!(error instanceof LayerError)) throw error
        refused++
      }
    }),
    { numRuns: RUNS },
  )
  // Both happen often, or the mutations would be too dull or too wild.
  expect(read).toBeGreaterThan(RUNS / 20)
  expect(refused).toBeGreaterThan(RUNS / 20)
})

function encoded(tree: Tree): Uint8Array {
  return Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, tree))])
}

test('the crafted archive itself is read whole', () => {
  expect([...scanTar(crafted)]).toHaveLength(10)
  const tree = applyChangeset(EMPTY_TREE, readLayer(crafted))
  expect(dump(tree).map((row) => (row as string[])[0])).toEqual([
    '',
    'd',
    'd/hard',
    `d/${'long'.repeat(50)}`,
    'd/pax',
    'dev',
    'old',
    's',
    'sparse01',
  ])
  const old = tree.lookup('old')!.content()
  expect([old.length, old[512], old[513], old[1024]]).toEqual([2000, 0x61, 0x62, 0x63])
})
