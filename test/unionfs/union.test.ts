// Where union filesystems have gone wrong (fuse-overlayfs, unionfs, ZenFS), each a case over two layers; and what only a
// large tree shows.
import { describe, expect, test } from 'vitest'
import {
  applyChangeset,
  bytesSource,
  childrenOf,
  EMPTY_TREE,
  Tree,
  TreeNode,
  UnionView,
  type Change,
  type NodeFs,
} from 'lamella/unionfs'

const put = (path: string, node: TreeNode): Change => ({ kind: 'put', path, node })
const dir = () => new TreeNode({ kind: 'dir' })

function file(text: string): TreeNode {
  const bytes = new TextEncoder().encode(text)
  return new TreeNode({ kind: 'file', size: bytes.length, source: bytesSource(bytes) })
}

/** Two layers: the lower has /d/{low,both,sub/deep}, the upper /d/{high,both}. */
function stack(): UnionView {
  const lower = applyChangeset(EMPTY_TREE, [
    put('d', dir()),
    put('d/low', file('low')),
    put('d/both', file('lower')),
    put('d/sub', dir()),
    put('d/sub/deep', file('deep')),
  ])
  return new UnionView(
    applyChangeset(lower, [put('d', dir()), put('d/high', file('high')), put('d/both', file('upper'))]),
  )
}

/** The view as it is, and again over the tree that its diff makes of the base: both have to agree. */
function both(view: UnionView): readonly [string, NodeFs][] {
  const applied = applyChangeset(view.base, view.diff())
  return [
    ['view', view.fs],
    ['applied diff', new UnionView(applied).fs],
    ['snapshot', new UnionView(view.snapshot()).fs],
    ['fork', view.fork().fs],
  ]
}

const CASES: readonly { name: string; change: (fs: NodeFs) => void; check: (fs: NodeFs) => void }[] = [
  {
    name: 'an unlinked lower file is gone',
    change: (fs) => fs.unlinkSync('/d/low'),
    check: (fs) => {
      expect(fs.existsSync('/d/low')).toBe(false)
      expect(fs.readdirSync('/d')).not.toContain('low')
    },
  },
  {
    name: 'unlinking what both layers have does not reveal the lower',
    change: (fs) => fs.unlinkSync('/d/both'),
    check: (fs) => expect(fs.statSync('/d/both', { throwIfNoEntry: false })).toBeUndefined(),
  },
  {
    name: 'a symlink in place of a deleted file is seen',
    change: (fs) => {
      fs.unlinkSync('/d/low')
      fs.symlinkSync('high', '/d/low')
    },
    check: (fs) => expect(fs.readFileSync('/d/low', 'utf8')).toBe('high'),
  },
  {
    name: 'a directory that was deleted and made again is empty, twice over',
    change: (fs) => {
      for (let i = 0; i < 2; i++) {
        fs.rmSync('/d', { recursive: true })
        fs.mkdirSync('/d/sub', { recursive: true })
      }
    },
    check: (fs) => {
      expect(fs.readdirSync('/d')).toEqual(['sub'])
      expect(fs.readdirSync('/d/sub')).toEqual([])
      expect(fs.existsSync('/d/sub/deep')).toBe(false)
    },
  },
  {
    name: 'a deleted path that is made again is listed',
    change: (fs) => {
      fs.unlinkSync('/d/low')
      fs.writeFileSync('/d/low', 'again')
    },
    check: (fs) => {
      expect(fs.readdirSync('/d')).toContain('low')
      expect(fs.readFileSync('/d/low', 'utf8')).toBe('again')
    },
  },
  {
    name: 'names with spaces and newlines are names like others',
    change: (fs) => {
      fs.writeFileSync('/d/a b\nc', 'x')
      fs.renameSync('/d/low', '/d/ low ')
      fs.unlinkSync('/d/ low ')
    },
    check: (fs) => expect(fs.readdirSync('/d').sort()).toEqual(['a b\nc', 'both', 'high', 'sub']),
  },
  {
    name: 'a renamed directory takes its children along, and leaves none behind',
    change: (fs) => fs.renameSync('/d', '/e'),
    check: (fs) => {
      expect(fs.readdirSync('/')).toEqual(['e'])
      expect(fs.existsSync('/d/sub/deep')).toBe(false)
      expect(fs.readFileSync('/e/sub/deep', 'utf8')).toBe('deep')
      expect(fs.readFileSync('/e/both', 'utf8')).toBe('upper')
    },
  },
  {
    name: 'a directory renamed over a deleted one shows only its own',
    change: (fs) => {
      fs.rmSync('/d/sub', { recursive: true })
      fs.mkdirSync('/new')
      fs.writeFileSync('/new/own', '')
      fs.renameSync('/new', '/d/sub')
    },
    check: (fs) => expect(fs.readdirSync('/d/sub')).toEqual(['own']),
  },
  {
    name: 'a file in place of a directory, and a directory in place of a file',
    change: (fs) => {
      fs.rmSync('/d/sub', { recursive: true })
      fs.writeFileSync('/d/sub', 'file now')
      fs.unlinkSync('/d/low')
      fs.mkdirSync('/d/low')
    },
    check: (fs) => {
      expect(fs.readFileSync('/d/sub', 'utf8')).toBe('file now')
      expect(() => fs.statSync('/d/sub/deep')).toThrow('ENOTDIR')
      expect(fs.readdirSync('/d/low')).toEqual([])
    },
  },
]

describe('mistakes of other union filesystems', () => {
  test.each(CASES)('$name', ({ change, check }) => {
    const view = stack()
    change(view.fs)
    for (const [, fs] of both(view)) check(fs)
  })

  test('reading copies nothing up', () => {
    const view = stack()
    view.fs.readFileSync('/d/low')
    view.fs.readdirSync('/d', { recursive: true })
    view.fs.statSync('/d/sub/deep')
    expect(view.stats().upperFiles).toBe(0)
    expect(view.snapshot()).toBe(view.base)
  })

  test('writing leaves the tree below alone', () => {
    const view = stack()
    view.fs.appendFileSync('/d/low', ' more')
    view.fs.chmodSync('/d/both', 0o600)
    const below = new UnionView(view.base).fs
    expect(below.readFileSync('/d/low', 'utf8')).toBe('low')
    expect(below.statSync('/d/both').mode & 0o777).toBe(0o644)
  })
})

describe('link counts of directories: 2 and one for each sub-directory', () => {
  test('through every change of a lower and an upper directory', () => {
    const { fs } = stack()
    const counts = () =>
      ['/', '/d', '/d/sub'].map((path) => fs.statSync(path, { throwIfNoEntry: false })?.nlink)
    expect(counts()).toEqual([3, 3, 2])
    fs.mkdirSync('/d/sub/new')
    expect(counts()).toEqual([3, 3, 3])
    fs.renameSync('/d/sub/new', '/moved')
    expect(counts()).toEqual([4, 3, 2])
    fs.writeFileSync('/d/file', '')
    fs.symlinkSync('sub', '/d/link')
    expect(counts()).toEqual([4, 3, 2])
    fs.rmSync('/d/sub', { recursive: true })
    expect(counts()).toEqual([4, 2, undefined])
    fs.rmdirSync('/moved')
    expect(counts()).toEqual([3, 2, undefined])
  })

  test('of an open directory that was removed: none', () => {
    const { fs } = stack()
    fs.mkdirSync('/gone')
    const fd = fs.openSync('/gone', 'r')
    fs.rmdirSync('/gone')
    expect(fs.fstatSync(fd).nlink).toBe(0)
    expect(() => fs.readSync(fd, Buffer.alloc(1))).toThrow('EISDIR')
  })
})

describe('large trees', () => {
  const COUNT = 100_000

  function wide(): Tree {
    const entries = Array.from({ length: COUNT }, (_, i): [string, TreeNode] => [`f${i}`, file('x')])
    return new Tree(
      new TreeNode({
        kind: 'dir',
        children: childrenOf([['big', new TreeNode({ kind: 'dir', children: childrenOf(entries) })]]),
      }),
    )
  }

  test('a directory of 100,000 entries: changes, listings and snapshots agree', () => {
    const view = new UnionView(wide())
    const { fs } = view
    for (let i = 0; i < 50; i++) fs.unlinkSync(`/big/f${i * 7}`)
    for (let i = 0; i < 50; i++) fs.writeFileSync(`/big/new${i}`, 'y')
    expect(fs.readdirSync('/big')).toHaveLength(COUNT)
    const again = new UnionView(view.snapshot()).fs
    expect(again.readdirSync('/big').sort()).toEqual(fs.readdirSync('/big').sort())
    expect(view.diff().filter(({ kind }) => kind === 'delete')).toHaveLength(50)
  })

  test('directories 1,000 deep', () => {
    const view = new UnionView()
    const path = '/d'.repeat(1000)
    view.fs.mkdirSync(path, { recursive: true })
    view.fs.writeFileSync(`${path}/f`, 'deep')
    const again = new UnionView(view.snapshot())
    expect(again.fs.readFileSync(`${path}/f`, 'utf8')).toBe('deep')
    again.fs.rmSync('/d', { recursive: true })
    expect(again.snapshot().root.children?.size).toBe(0)
    expect(() => view.fs.statSync('/d'.repeat(2048))).toThrow('ENAMETOOLONG')
  })

  test('directories 18,000 deep, which only renames can make', () => {
    const view = new UnionView()
    const { fs } = view
    const chain = '/d'.repeat(1500)
    fs.mkdirSync(chain, { recursive: true })
    for (let i = 0; i < 11; i++) {
      fs.mkdirSync(`/e${chain}`, { recursive: true })
      fs.renameSync('/d', `/e${chain}/d`)
      fs.renameSync('/e/d', '/d')
    }
    const tree = view.snapshot()
    let depth = 0
    for (let node = tree.root; node.children?.get('d') !== undefined; node = node.children.get('d')!) depth++
    expect(depth).toBe(12 * 1500)
    const again = new UnionView(tree)
    again.fs.chmodSync('/d', 0o700)
    expect(again.snapshot().lookup('d')?.mode).toBe(0o700)
  })

  test('a link loop ends', () => {
    const { fs } = new UnionView()
    fs.symlinkSync('b', '/a')
    fs.symlinkSync('a', '/b')
    fs.symlinkSync('self/x', '/self')
    for (const path of ['/a', '/b/c', '/self']) expect(() => fs.statSync(path)).toThrow('ELOOP')
    expect(fs.readlinkSync('/a')).toBe('b')
  })
})

describe('permissions', () => {
  const who = { uid: 1000, gid: 1000, groups: [1001] }

  test.each([
    // mode, owner, group → may it be read, may it be written
    [0o600, 1000, 0, true, true],
    [0o060, 1000, 1000, false, false],
    [0o060, 0, 1000, true, true],
    [0o040, 0, 1001, true, false],
    [0o006, 0, 1000, false, false],
    [0o006, 0, 0, true, true],
    [0o000, 1000, 1000, false, false],
  ])('mode %o of %d:%d', (mode, uid, gid, canRead, canWrite) => {
    const tree = applyChangeset(EMPTY_TREE, [put('f', file('x').with({ mode, uid, gid }))])
    const { fs } = new UnionView(tree, who)
    const may = (flags: string) => {
      try {
        fs.closeSync(fs.openSync('/f', flags))
        return true
      } catch (error) {
        expect(error).toMatchObject({ code: 'EACCES' })
        return false
      }
    }
    expect([may('r'), may('a')]).toEqual([canRead, canWrite])
    expect(() => new UnionView(tree).fs.readFileSync('/f')).not.toThrow()
  })

  test('a snapshot of one user is forked by another', () => {
    const root = new UnionView()
    root.fs.mkdirSync('/private', { mode: 0o700 })
    root.fs.writeFileSync('/private/f', 'secret')
    const user = root.fork(who)
    expect(() => user.fs.readFileSync('/private/f')).toThrow('EACCES')
    expect(() => user.fs.writeFileSync('/f', '')).toThrow('EACCES')
    expect(user.fork({ uid: 0, gid: 0, groups: [] }).fs.readFileSync('/private/f', 'utf8')).toBe('secret')
  })
})
