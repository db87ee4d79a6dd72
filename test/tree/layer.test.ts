// What a layer's entries do to a tree: OCI image-spec v1.1 layer.md, and what real layers do beside it.
import { describe, expect, test } from 'vitest'
import { LayerError } from '../../src/errors.js'
import {
  EMPTY_TREE,
  Tree,
  applyChangeset,
  diffTrees,
  encodeLayer,
  readLayer,
  summarizeChanges,
} from '../../src/unionfs/index.js'
import { growth, SUBQUADRATIC } from '../cost.js'
import { archive, block, entry, pax } from '../tar/craft.js'

type Line = string

/**
 * Entries in a small language: `d/` directory, `f=text` file, `l->target` symlink, `h=>target` hard link; names as they
 * stand in the archive.
 */
function layer(...lines: Line[]): Uint8Array {
  return archive(
    ...lines.map((line) => {
      const [, name = '', op, rest = ''] = /^(.*?)(?:(->|=>|=)(.*))?$/s.exec(line)!
      if (op === '->') return block({ name, type: '2', linkname: rest })
      if (op === '=>') return block({ name, type: '1', linkname: rest })
      if (name.endsWith('/') && op === undefined) return block({ name, type: '5', mode: '0000711\0' })
      return entry({ name }, rest)
    }),
  )
}

function stack(...layers: Line[][]): Tree {
  return layers.reduce((tree, lines) => applyChangeset(tree, readLayer(layer(...lines))), EMPTY_TREE)
}

/** The tree in the same language, sorted, hard-linked names with their count. */
function show(tree: Tree): string[] {
  return [...tree.walk()].slice(1).map(({ path, node }) => {
    const count = node.nlink > 1 ? `#${node.nlink}` : ''
    if (node.kind === 'dir') return `${path}/`
    if (node.kind === 'symlink') return `${path}->${node.target}${count}`
    return `${path}=${Buffer.from(node.content()).toString()}${count}`
  })
}

function failure(fn: () => unknown): Record<string, unknown> | string {
  try {
    fn()
  } catch (error) {
    expect(error).toBeInstanceOf(LayerError)
    return { code: (error as LayerError).code, ...(error as LayerError).data }
  }
  return 'no error'
}

// layer.md § Whiteouts, § Applying Changesets; umoci, containerd and docker for the odd ones
describe('applying', () => {
  test.each<[string, Line[][], string[]]>([
    ['a whiteout hides a lower file', [['a=1', 'b=2'], ['.wh.a']], ['b=2']],
    ['a whiteout hides a lower directory', [['d/', 'd/e/', 'd/e/f=1'], ['d/.wh.e']], ['d/']],
    ['a whiteout of nothing', [['a=1'], ['.wh.none', 'none/.wh.x', 'a/.wh.x']], ['a=1']],
    ['a whiteout does not hide its own layer, before', [['a=1'], ['.wh.a', 'a=2']], ['a=2']],
    ['a whiteout does not hide its own layer, after', [['a=1'], ['a=2', '.wh.a']], ['a=2']],
    [
      'deleted and made anew',
      [
        ['d/', 'd/x=1'],
        ['d/', 'd/y=2', '.wh.d'],
      ],
      ['d/', 'd/y=2'],
    ],
    [
      'opaque before its siblings',
      [
        ['d/', 'd/x=1'],
        ['d/', 'd/.wh..wh..opq', 'd/y=2'],
      ],
      ['d/', 'd/y=2'],
    ],
    [
      'opaque after its siblings',
      [
        ['d/', 'd/x=1'],
        ['d/', 'd/y=2', 'd/.wh..wh..opq'],
      ],
      ['d/', 'd/y=2'],
    ],
    ['opaque without its directory', [['d/', 'd/x=1'], ['d/.wh..wh..opq']], ['d/']],
    ['opaque of what is not there', [['a=1'], ['d/.wh..wh..opq']], ['a=1']],
    [
      'opaque root',
      [
        ['a=1', 'd/', 'd/e=1'],
        ['.wh..wh..opq', 'b=2'],
      ],
      ['b=2'],
    ],
    [
      'opaque goes deep',
      [
        ['d/', 'd/e/', 'd/e/f=1'],
        ['d/', 'd/.wh..wh..opq', 'd/e/', 'd/e/g=2'],
      ],
      ['d/', 'd/e/', 'd/e/g=2'],
    ],
    ['a directory over a directory keeps its entries', [['d/', 'd/x=1'], ['d/']], ['d/', 'd/x=1']],
    ['a file over a directory', [['d/', 'd/x=1'], ['d=2']], ['d=2']],
    ['a directory over a file', [['d=1'], ['d/', 'd/x=2']], ['d/', 'd/x=2']],
    ['a symlink over a directory', [['d/', 'd/x=1'], ['d->e']], ['d->e']],
    [
      'a directory over a symlink to a directory',
      [
        ['e/', 'e/x=1', 'd->e'],
        ['d/', 'd/y=2'],
      ],
      ['d/', 'd/y=2', 'e/', 'e/x=1'],
    ],
    ['duplicates: the last wins', [['a=1', 'a=2', 'a=3']], ['a=3']],
    ['duplicates: file, then directory, then file', [['a=1', 'a/', 'a/b=2', 'a=3']], ['a=3']],
    ['missing parents', [['a/b/c=1']], ['a/', 'a/b/', 'a/b/c=1']],
    ['entries before their directory', [['d/x=1', 'd/']], ['d/', 'd/x=1']],
    [
      'names are cleaned',
      [['./a=1', '/b=2', 'c//d=3', 'e/./f=4', 'g/../h=5', 'i//', './']],
      ['a=1', 'b=2', 'c/', 'c/d=3', 'e/', 'e/f=4', 'h=5', 'i/'],
    ],
    ['aufs metadata is no entry', [['.wh..wh.plnk/', '.wh..wh.plnk/1.2=x', '.wh..wh.aufs=', 'a=1']], ['a=1']],
    [
      'aufs hard links',
      [['.wh..wh.plnk/7.1=x', 'a=>.wh..wh.plnk/7.1', 'd/', 'd/b=>.wh..wh.plnk/7.1']],
      ['a=x#2', 'd/', 'd/b=x#2'],
    ],
    ['names that only look like whiteouts', [['a.wh.b=1', 'wh.c=2']], ['a.wh.b=1', 'wh.c=2']],
  ])('%s', (_, layers, want) => expect(show(stack(...layers))).toEqual(want))
})

describe('symlinks in the path of an entry stay in the root', () => {
  test.each<[string, Line[][], string[]]>([
    ['followed', [['d/', 'l->d'], ['l/x=1']], ['d/', 'd/x=1', 'l->d']],
    ['in the same layer', [['d/', 'l->d', 'l/x=1']], ['d/', 'd/x=1', 'l->d']],
    ['absolute means the root', [['d/', 'l->/d'], ['l/x=1']], ['d/', 'd/x=1', 'l->/d']],
    ['climbing is clamped', [['d/', 'l->../../../d'], ['l/x=1']], ['d/', 'd/x=1', 'l->../../../d']],
    [
      'a chain',
      [['a/', 'a/b/', 'l->m', 'm->a/../a/b'], ['l/x=1']],
      ['a/', 'a/b/', 'a/b/x=1', 'l->m', 'm->a/../a/b'],
    ],
    ['dangling: its target is made', [['l->/etc'], ['l/passwd=1']], ['etc/', 'etc/passwd=1', 'l->/etc']],
    ['the last component is replaced, not followed', [['f=1', 'l->f'], ['l=2']], ['f=1', 'l=2']],
    ['a whiteout below one', [['d/', 'd/x=1', 'l->d'], ['l/.wh.x']], ['d/', 'l->d']],
    ['a whiteout of one', [['d/', 'd/x=1', 'l->d'], ['.wh.l']], ['d/', 'd/x=1']],
    [
      'a whiteout below one that becomes a directory',
      [
        ['d/', 'd/x=1', 'l->d'],
        ['l/', 'l/.wh.x'],
      ],
      ['d/', 'd/x=1', 'l/'],
    ],
    ['a hard link through one', [['d/', 'd/x=1', 'l->d'], ['h=>l/x']], ['d/', 'd/x=1#2', 'h=1#2', 'l->d']],
  ])('%s', (_, layers, want) => expect(show(stack(...layers))).toEqual(want))
})

describe('hard links', () => {
  test.each<[string, Line[][], string[]]>([
    ['in one layer', [['a=1', 'b=>a', 'c=>b']], ['a=1#3', 'b=1#3', 'c=1#3']],
    ['to a lower file', [['a=1'], ['b=>/a']], ['a=1#2', 'b=1#2']],
    ['to a symlink', [['l->x', 'm=>l']], ['l->x#2', 'm->x#2']],
    ['a name removed', [['a=1', 'b=>a', 'c=>a'], ['.wh.b']], ['a=1#2', 'c=1#2']],
    ['a name replaced', [['a=1', 'b=>a'], ['b=2']], ['a=1', 'b=2']],
    ['the target replaced afterwards', [['a=1', 'b=>a', 'a=2']], ['a=2', 'b=1']],
    ['the directory of some names removed', [['a=1', 'd/', 'd/b=>a', 'd/c=>a'], ['.wh.d']], ['a=1']],
    ['over a directory', [['a=1', 'd/', 'd/x=2'], ['d=>a']], ['a=1#2', 'd=1#2']],
    ['said twice', [['a=1', 'b=>a', 'b=>a']], ['a=1#2', 'b=1#2']],
  ])('%s', (_, layers, want) => expect(show(stack(...layers))).toEqual(want))
})

describe('bad layers', () => {
  const at = (n: number) => n * 512
  test.each<[string, Line[], Record<string, unknown>]>([
    ['climbs above the root', ['a/', '../x=1'], { code: 'LAYER_PATH_INVALID', offset: at(1) }],
    ['climbs above the root inside', ['a/../../x=1'], { code: 'LAYER_PATH_INVALID', offset: 0 }],
    ['hard link that climbs', ['a=1', 'h=>../../etc/passwd'], { code: 'LAYER_PATH_INVALID', offset: at(2) }],
    ['whiteout of ..', ['.wh...'], { code: 'LAYER_PATH_INVALID', offset: 0 }],
    ['whiteout of .', ['d/.wh..'], { code: 'LAYER_PATH_INVALID', offset: 0 }],
    ['whiteout of nothing', ['.wh.'], { code: 'LAYER_PATH_INVALID', offset: 0 }],
    ['entry below a whiteout', ['.wh.d/x=1'], { code: 'LAYER_PATH_INVALID', offset: 0 }],
    ['whiteout of a whiteout', ['.wh..wh.x/y='], { code: 'none' }],
    ['hard link to itself', ['h=>h'], { code: 'LAYER_LINK_INVALID', offset: 0 }],
    ['hard link to itself, spelled otherwise', ['h=>./x/../h'], { code: 'LAYER_LINK_INVALID', offset: 0 }],
    ['hard link to the root', ['h=>/'], { code: 'LAYER_LINK_INVALID', offset: 0 }],
    ['hard link to nothing', ['h=>'], { code: 'LAYER_LINK_INVALID', offset: 0 }],
    [
      'hard link to aufs metadata that is not there',
      ['h=>.wh..wh.plnk/1'],
      { code: 'LAYER_LINK_INVALID', offset: 0 },
    ],
    ['symlink to nothing', ['l->'], { code: 'LAYER_ENTRY_INVALID', offset: 0 }],
    ['name of 256 bytes', [], { code: 'LAYER_LIMIT', offset: 0 }],
    ['root that is a file', ['a/', '/->x'], { code: 'LAYER_ENTRY_INVALID', offset: at(1) }],
  ])('%s', (name, lines, want) => {
    const bytes =
      name === 'name of 256 bytes'
        ? archive(pax({ path: `d/${'é'.repeat(128)}` }), entry({}))
        : layer(...lines)
    const got = failure(() => readLayer(bytes))
    if (want.code === 'none') expect(got).toBe('no error')
    else expect(got).toMatchObject(want)
  })

  test.each<[string, Line[][], string, string]>([
    ['below a file', [['f=1', 'f/x=2']], 'LAYER_ENTRY_INVALID', 'f/x'],
    ['below a lower file', [['f=1'], ['f/x=2']], 'LAYER_ENTRY_INVALID', 'f/x'],
    ['below a symlink to a file', [['f=1', 'l->f'], ['l/x=2']], 'LAYER_ENTRY_INVALID', 'l/x'],
    ['symlinks that go round', [['a->b', 'b->a'], ['a/x=1']], 'LAYER_PATH_INVALID', 'a/x'],
    [
      'a whiteout behind symlinks that go round',
      [['a->b', 'b->a'], ['a/.wh.x']],
      'LAYER_PATH_INVALID',
      'a/x',
    ],
    ['hard link to what is missing', [['h=>none']], 'LAYER_LINK_INVALID', 'h'],
    ['hard link to a later entry', [['h=>f', 'f=1']], 'LAYER_LINK_INVALID', 'h'],
    ['hard links in a cycle', [['a=>b', 'b=>a']], 'LAYER_LINK_INVALID', 'a'],
    ['hard link to a directory', [['d/', 'h=>d']], 'LAYER_LINK_INVALID', 'h'],
    ['hard link to a deleted file', [['a=1'], ['.wh.a', 'h=>a']], 'LAYER_LINK_INVALID', 'h'],
    ['hard link over its own parent', [['d/', 'd/x=1'], ['d=>d/x']], 'LAYER_LINK_INVALID', 'd'],
  ])('%s', (_, layers, code, path) => {
    const got = failure(() => stack(...layers))
    expect(got).toMatchObject({ code, path })
  })

  test('a path 10,000 deep is refused before it costs anything', () => {
    const deep = archive(pax({ path: 'd/'.repeat(10_000) + 'f' }), entry({}))
    expect(failure(() => readLayer(deep))).toMatchObject({ code: 'LAYER_LIMIT', offset: 0 })
    const allowed = archive(pax({ path: 'd/'.repeat(2_000) + 'f' }), entry({}, 'x'))
    const tree = applyChangeset(EMPTY_TREE, readLayer(allowed))
    expect([...tree.walk()]).toHaveLength(2_002)
    expect(diffTrees(EMPTY_TREE, tree)).toHaveLength(2_001)
    expect(show(applyChangeset(tree, readLayer(layer('.wh.d'))))).toEqual([])
  })

  test('names of 255 bytes can be written and hidden again', () => {
    const name = 'n'.repeat(255)
    const put = readLayer(archive(pax({ path: name }), entry({})))
    const tree = applyChangeset(EMPTY_TREE, put)
    const gone = readLayer(Buffer.concat([...encodeLayer(diffTrees(tree, EMPTY_TREE))]))
    expect(gone).toEqual([{ kind: 'delete', path: name }])
    expect(show(applyChangeset(tree, gone))).toEqual([])
  })

  test('a directory that is made opaque again and again', () => {
    const work = (count: number) => {
      const wide = stack(['d/', ...Array.from({ length: count }, (_, i) => `d/f${i}=`)])
      const layers = layer(...Array.from({ length: count }, () => 'd/.wh..wh..opq'), 'd/x=1')
      expect(show(applyChangeset(wide, readLayer(layers)))).toEqual(['d/', 'd/x=1'])
    }
    expect(growth(work, 1_000)).toBeLessThan(SUBQUADRATIC)
  })

  test('owners up to 2^32-2', () => {
    const owner = (uid: string) => archive(pax({ uid, gid: uid }), entry({}))
    expect(applyChangeset(EMPTY_TREE, readLayer(owner('4294967294'))).lookup('f')!.uid).toBe(4294967294)
    expect(failure(() => readLayer(owner('4294967295')))).toMatchObject({
      code: 'LAYER_ENTRY_INVALID',
      offset: 0,
    })
  })

  test('a million entries are read, or refused by the limit', () => {
    const one = block({ name: 'd/f' })
    const bytes = new Uint8Array(512 * 1_000_000)
    for (let at = 0; at < bytes.length; at += 512) bytes.set(one, at)
    expect(failure(() => readLayer(bytes, { limits: { entriesMax: 999_999 } }))).toMatchObject({
      code: 'LAYER_LIMIT',
      offset: 999_999 * 512,
    })
    expect(show(applyChangeset(EMPTY_TREE, readLayer(bytes)))).toEqual(['d/', 'd/f='])
  })
})

describe('diffs', () => {
  const changes = (a: Tree, b: Tree) =>
    diffTrees(a, b).map((change) =>
      change.kind === 'link' ? `link ${change.path}=>${change.target}` : `${change.kind} ${change.path}`,
    )

  test.each<[string, Line[], Line[], string[]]>([
    ['nothing', ['a=1', 'd/'], ['a=1', 'd/'], []],
    ['content', ['a=1', 'b=1'], ['a=2', 'b=1'], ['put a']],
    ['kinds', ['a=1', 'd/', 'd/x=1'], ['a/', 'a/y=1', 'd->z'], ['put a', 'put a/y', 'put d']],
    [
      'deletions among siblings, in order',
      ['a=1', 'b=1', 'c=1', 'e=1'],
      ['b=2', 'c=1'],
      ['delete a', 'put b', 'delete e'],
    ],
    ['a directory gone', ['d/', 'd/x=1', 'd/y=1'], [], ['delete d']],
    ['all entries gone: opaque', ['d/', 'd/x=1', 'd/y=1'], ['d/', 'd/z=1'], ['opaque d', 'put d/z']],
    ['one entry gone: deletion', ['d/', 'd/x=1'], ['d/', 'd/z=1'], ['delete d/x', 'put d/z']],
    [
      'an entry stays: deletions',
      ['d/', 'd/w=1', 'd/x=1', 'd/y=1'],
      ['d/', 'd/w=1'],
      ['delete d/x', 'delete d/y'],
    ],
    ['no opaque root', ['x=1', 'y=1'], ['z=1'], ['delete x', 'delete y', 'put z']],
    ['walk order, not string order', [], ['a/', 'a/b=1', 'a-=1'], ['put a', 'put a/b', 'put a-']],
    ['a link added: the whole group', ['a=1', 'b=2'], ['a=1', 'b=2', 'c=>a'], ['put a', 'link c=>a']],
    ['a link removed', ['a=1', 'b=>a', 'c=>a'], ['a=1', 'b=>a'], ['delete c']],
    ['a link broken: one side is written', ['a=1', 'b=>a'], ['a=1', 'b=1'], ['put b']],
    ['a link moved', ['a=1', 'b=>a'], ['a=1', 'c=>a'], ['put a', 'delete b', 'link c=>a']],
    [
      'a linked inode changed',
      ['a=1', 'd/', 'd/b=>a', 'x=1'],
      ['a=2', 'd/', 'd/b=>a', 'x=1'],
      ['put a', 'link d/b=>a'],
    ],
    [
      'links regrouped',
      ['a=1', 'b=>a', 'c=1', 'd=>c'],
      ['a=1', 'c=>a', 'b=1', 'd=>b'],
      ['put a', 'put b', 'link c=>a', 'link d=>b'],
    ],
  ])('%s', (_, before, after, want) => {
    const [a, b] = [stack(before), stack(after)]
    expect(changes(a, b)).toEqual(want)
    expect(show(applyChangeset(a, diffTrees(a, b)))).toEqual(show(b))
  })

  test('no part of a diff can be left out', () => {
    const a = stack(['a=1', 'b=>a', 'd/', 'd/x=1', 'e=1'], ['f=1'])
    const b = stack(['a=2', 'b=>a', 'd/', 'd/y=1', 'g/', 'g/h=1'], ['f=1'])
    const diff = diffTrees(a, b)
    for (const left of diff) {
      const rest = diff.filter((change) => change !== left)
      let got: string[] | undefined
      try {
        got = show(applyChangeset(a, rest))
      } catch (error) {
        expect(error).toBeInstanceOf(LayerError)
      }
      // A directory that is left out comes back as a missing parent, but not with its mode.
      if (left.path === 'g') expect(applyChangeset(a, rest).lookup('g')!.mode).not.toBe(b.lookup('g')!.mode)
      else expect(got).not.toEqual(show(b))
    }
  })

  test('for people', () => {
    const a = stack(['a=1', 'd/', 'd/x=1', 'd/y=1', 'e=1', 'l=>a'])
    const b = stack(['a=2', 'd/', 'd/z=1', 'n/', 'n/m=1', 'l=>a'])
    expect(summarizeChanges(a, diffTrees(a, b)).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'C /a',
      'D /d/x',
      'D /d/y',
      'A /d/z',
      'D /e',
      'C /l',
      'A /n',
      'A /n/m',
    ])
  })

  test('reserved names and sockets cannot be written', () => {
    const node = EMPTY_TREE.root.with({ kind: 'file', children: undefined })
    const write = (path: string, kind: 'file' | 'socket') => () => [
      ...encodeLayer([{ kind: 'put', path, node: node.with({ kind }) }]),
    ]
    expect(failure(write('d/.wh.x', 'file'))).toMatchObject({ code: 'LAYER_PATH_INVALID' })
    expect(failure(write('s', 'socket'))).toMatchObject({ code: 'LAYER_ENTRY_INVALID' })
    expect(failure(() => [...encodeLayer([{ kind: 'link', path: 'a', target: 'b' }])])).toMatchObject({
      code: 'LAYER_LINK_INVALID',
    })
  })
})
