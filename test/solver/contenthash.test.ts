// Content digests, rule by rule (facts 2.2; moby/buildkit cache/contenthash/checksum.go, tarsum.go).
import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { digestOf, EMPTY_DIGEST, type Digest } from '../../src/digest.js'
import { dedupeSelectors, type ContentSelector } from '../../src/builder/content-selector.js'
import { checksumTree, contentEntriesOf, contentKeyOf } from '../../src/builder/contenthash.js'
import { headerBytes, headerText, type HeaderFields } from '../../src/builder/content-header.js'
import { treeContext } from '../../src/builder/context.js'
import { contentKey } from '../../src/builder/key.js'
import { childrenOf, Tree, TreeNode } from '../../src/unionfs/index.js'
import { treeOf, type TreeSpec } from './fixtures.js'

const file = (content: string, header = ''): Digest =>
  digestOf(
    (header || `namemode420uid0gid0size${content.length}typeflag0linknameunamegnamedevmajor0devminor0`) +
      content,
  )
const link = (target: string) =>
  digestOf(`namemode511uid0gid0size0typeflag2linkname${target}unamegnamedevmajor0devminor0`)
const dirHeader = (mode = 0o755) =>
  digestOf(`namemode${mode}uid0gid0size0typeflag5linknameunamegnamedevmajor0devminor0`)
const dir = (entries: readonly (readonly [string, Digest])[], header = dirHeader()) =>
  digestOf(`\0${header}${entries.map(([name, digest]) => `\0${name}${digest}`).join('')}`)
const list = (...entries: readonly (readonly [string, Digest])[]) =>
  digestOf(entries.map(([name, digest]) => name + digest).join('\0'))

const SPEC: TreeSpec = {
  a: 'a',
  b: 'bb',
  'd/x': 'x',
  'd/y.txt': 'y',
  'd/e/z.txt': 'z',
  'd/to-x': { type: 'symlink', target: 'x' },
  'd-': 'sorted between d and d/x by bytes of the whole path, after d by name',
  'e/x': 'x',
  'to-d': { type: 'symlink', target: 'd' },
  'to-a': { type: 'symlink', target: '/a' },
  loop: { type: 'symlink', target: 'loop' },
  dangling: { type: 'symlink', target: 'nowhere' },
  up: { type: 'symlink', target: '../../a' },
}
const tree = treeOf(SPEC)
const E = dir([['z.txt', file('z')]])
const D_ENTRIES = [
  ['e', E],
  ['to-x', link('x')],
  ['x', file('x')],
  ['y.txt', file('y')],
] as const
const D = dir(D_ENTRIES)

describe('headers', () => {
  const base: HeaderFields = {
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 3,
    target: '',
    rdevMajor: 0,
    rdevMinor: 0,
    xattrs: undefined,
  }
  test.each<[string, Partial<HeaderFields>, string]>([
    ['file', {}, 'namemode420uid0gid0size3typeflag0linknameunamegnamedevmajor0devminor0'],
    [
      'set-id and sticky',
      { mode: 0o7755 },
      'namemode4077uid0gid0size3typeflag0linknameunamegnamedevmajor0devminor0',
    ],
    ['owner', { uid: 5, gid: 6 }, 'namemode420uid5gid6size3typeflag0linknameunamegnamedevmajor0devminor0'],
    [
      'directory: size 0',
      { kind: 'dir', mode: 0o755 },
      'namemode493uid0gid0size0typeflag5linknameunamegnamedevmajor0devminor0',
    ],
    [
      'symlink: mode 0777, size 0',
      { kind: 'symlink', mode: 0o600, target: 't', size: 1 },
      'namemode511uid0gid0size0typeflag2linknametunamegnamedevmajor0devminor0',
    ],
    [
      'device',
      { kind: 'chardev', rdevMajor: 1, rdevMinor: 3 },
      'namemode420uid0gid0size0typeflag3linknameunamegnamedevmajor1devminor3',
    ],
    [
      'block device',
      { kind: 'blockdev', rdevMajor: 8 },
      'namemode420uid0gid0size0typeflag4linknameunamegnamedevmajor8devminor0',
    ],
    ['fifo', { kind: 'fifo' }, 'namemode420uid0gid0size0typeflag6linknameunamegnamedevmajor0devminor0'],
  ])('%s', (_, change, want) => expect(headerText({ ...base, ...change })).toBe(want))

  test('extended attributes come sorted; security.* only as capabilities, system.* never', () => {
    const bytes = (text: string) => new TextEncoder().encode(text)
    const xattrs = new Map(
      ['user.b', 'user.a', 'security.selinux', 'security.capability', 'system.acl', 'trusted.x'].map(
        (name) => [name, bytes(`<${name.at(-1)}>`)],
      ),
    )
    const text = new TextDecoder().decode(headerBytes({ ...base, xattrs }) as Uint8Array)
    expect(text).toBe(`${headerText(base)}security.capability<y>trusted.x<x>user.a<a>user.b<b>`)
  })

  test('times, names and link counts take no part', () => {
    const node = (init: object) =>
      new Tree(
        new TreeNode({ kind: 'dir', children: childrenOf([['f', new TreeNode({ kind: 'file', ...init })]]) }),
      )
    const plain = checksumTree(node({}), '/f')
    expect(checksumTree(node({ mtimeSec: 7, nlink: 2, ino: 99 }), '/f')).toBe(plain)
  })
})

describe('one path', () => {
  test.each<[string, string, Digest]>([
    ['a file', '/a', file('a')],
    ['a directory with all below it, entries in byte order', '/d', D],
    ['a nested directory', '/d/e', E],
    ['a path through a symlink', '/to-d/x', file('x')],
    ['a link that is not followed', '/to-a', link('/a')],
    ['dots and slashes', '//d/./e/..', D],
    ['above the root', '/../../a', file('a')],
  ])('%s', (_, path, want) => expect(checksumTree(tree, path)).toBe(want))

  test.each<[string, string, Digest]>([
    ['to a file', '/to-a', file('a')],
    ['to a directory', '/to-d', D],
    ['to a place above the root', '/up', file('a')],
  ])('a link that is followed %s', (_, path, want) =>
    expect(checksumTree(tree, path, { followLinks: true })).toBe(want),
  )

  test.each([['/missing'], ['/a/below-a-file'], ['/dangling'], ['/loop']])('%s is not found', (path) => {
    expect(() => checksumTree(tree, path, { followLinks: true })).toThrow(
      expect.objectContaining({ code: 'SOURCE_NOT_FOUND' }),
    )
  })

  test('the root of a tree has its header, that of a context none', async () => {
    const small = treeOf({ f: 'x' })
    expect(checksumTree(small, '/')).toBe(dir([['f', file('x')]]))
    const key = await contentKeyOf(treeContext(small).result(), [])
    expect(key).toBe(contentKey([dir([['f', file('x')]], EMPTY_DIGEST)]))
  })
})

describe('wildcards', () => {
  const all = (path: string, options: Partial<ContentSelector> = {}) =>
    checksumTree(tree, path, { wildcard: true, ...options })

  test.each<[string, string, Digest]>([
    ['matches as base name and digest', '/[ab]', list(['a', file('a')], ['b', file('bb')])],
    ['no match', '/nothing*', EMPTY_DIGEST],
    ['one match under another name is a list', '/a*', list(['a', file('a')])],
    [
      'a matched directory: header, then all below it',
      '/d/e*',
      list(['e', dirHeader()], ['z.txt', file('z')]),
    ],
    ['does not cross slashes', '/*.txt', EMPTY_DIGEST],
    ['a wildcard in the middle', '/*/x', list(['x', file('x')], ['x', file('x')])],
    ['a fixed part that is a symlink', '/to-d/*.txt', list(['y.txt', file('y')])],
    ['without wildcards it is a plain path', '/d', D],
  ])('%s', (_, path, want) => expect(all(path)).toBe(want))

  test('an escaped star is no wildcard', () => {
    expect(() => all('/\\*')).toThrow(expect.objectContaining({ code: 'SOURCE_NOT_FOUND' }))
  })

  test('a match whose name is the pattern is itself', () => {
    expect(checksumTree(treeOf({ '*': 'star' }), '/*', { wildcard: true })).toBe(file('star'))
  })

  // As of moby/buildkit #6220: a link below a matched directory is a value, so that a dangling one does no harm.
  test('links that match are followed, those inside matched directories are not', () => {
    expect(all('/to-[ad]', { followLinks: true })).toBe(list(['to-a', file('a')], ['to-d', D]))
    expect(all('/d/to*', { followLinks: true })).toBe(list(['to-x', file('x')]))
    expect(all('/[d]', { followLinks: true })).toBe(all('/[d]'))
    expect(() => all('/dang*', { followLinks: true })).toThrow(
      expect.objectContaining({ code: 'SOURCE_NOT_FOUND' }),
    )
  })
})

describe('filters', () => {
  const filtered = (path: string, options: Partial<ContentSelector>) => checksumTree(tree, path, options)
  test.each<[string, string, Partial<ContentSelector>, Digest]>([
    [
      'excluded files are left out, headers of directories stay',
      '/d',
      { exclude: ['**/*.txt'] },
      list(['d', dirHeader()], ['e', dirHeader()], ['to-x', link('x')], ['x', file('x')]),
    ],
    [
      'an excluded directory goes with all below it',
      '/d',
      { exclude: ['e'] },
      list(['d', dirHeader()], ['to-x', link('x')], ['x', file('x')], ['y.txt', file('y')]),
    ],
    [
      'what is included brings the directories above it, once',
      '/d',
      { include: ['e/z.txt'] },
      list(['d', dirHeader()], ['e', dirHeader()], ['z.txt', file('z')]),
    ],
    ['exceptions', '/d', { exclude: ['*', '!x'] }, list(['d', dirHeader()], ['x', file('x')])],
    ['filters on a path that is not there', '/missing', { exclude: ['x'] }, EMPTY_DIGEST],
    [
      'the root has no header in a list',
      '/',
      { include: ['d/x'] },
      list(['d', dirHeader()], ['x', file('x')]),
    ],
  ])('%s', (_, path, options, want) => expect(filtered(path, options)).toBe(want))

  test('links inside a filtered directory are not followed, and may dangle', () => {
    const linked = treeOf({
      'd/to': { type: 'symlink', target: 'x' },
      'd/x': 'x',
      'd/bad': { type: 'symlink', target: 'no' },
    })
    expect(checksumTree(linked, '/d', { exclude: ['x'], followLinks: true })).toBe(
      list(['d', dirHeader()], ['bad', link('no')], ['to', link('x')]),
    )
  })

  test('patterns are relative to each match of a wildcard', () => {
    expect(checksumTree(tree, '/[de]', { wildcard: true, exclude: ['x'] })).toBe(
      checksumTree(
        treeOf({ 'd/y.txt': 'y', 'd/e/z.txt': 'z', 'd/to-x': { type: 'symlink', target: 'x' }, e: {} }),
        '/[de]',
        {
          wildcard: true,
        },
      ),
    )
  })
})

describe('several selectors', () => {
  test('paths below others are dropped, the rest is sorted; followed and unfollowed apart', () => {
    const paths = (selectors: ContentSelector[]) => dedupeSelectors(selectors).map(({ path }) => path)
    expect(paths([{ path: '/d/e' }, { path: '/d' }, { path: '/a' }, { path: '/d-' }])).toEqual([
      '/a',
      '/d',
      '/d-',
    ])
    expect(paths([{ path: '/d' }, { path: '/d/e', followLinks: true }])).toEqual(['/d', '/d/e'])
    expect(paths([{ path: '/d' }, { path: '/d/*', wildcard: true }])).toEqual(['/d', '/d/*'])
    expect(paths([{ path: '/' }, { path: '/d' }])).toEqual(['/'])
  })

  test('the key is that of their digests', async () => {
    const key = await contentKeyOf(treeContext(tree).result(), [{ path: 'b' }, { path: '/a' }])
    expect(key).toBe(contentKey([file('a'), file('bb')]))
  })
})

test('the entries behind a key, for explanations', async () => {
  const result = treeContext(tree).result()
  const key = await contentKeyOf(result, [{ path: '/d', exclude: ['y.txt'] }])
  expect(contentEntriesOf(result, key)!.map(({ path }) => path)).toEqual([
    'd',
    'd/e',
    'd/e/z.txt',
    'd/to-x',
    'd/x',
  ])
  expect(contentEntriesOf(result, digestOf('other'))).toBeUndefined()
})

test('a different tree has a different key, an equal one the same (law)', () => {
  const names = fc.constantFrom('a', 'b', 'a-', 'é', '😀', 'z')
  const specs = fc.dictionary(
    names,
    fc.oneof(fc.string(), fc.record({ target: names, type: fc.constant('symlink' as const) })),
  )
  fc.assert(
    fc.property(specs, specs, (one, two) => {
      const [a, b] = [treeOf(one), treeOf(two)].map((each) => checksumTree(each, '/'))
      const canonical = (spec: object) =>
        JSON.stringify(Object.entries(spec).sort(([x], [y]) => (x < y ? -1 : 1)))
      const same = canonical(one) === canonical(two)
      expect(a === b).toBe(same)
    }),
  )
})
