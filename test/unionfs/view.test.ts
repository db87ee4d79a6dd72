// What a view adds to node:fs: snapshots, forks, diffs, origins, mounts, traces, and what Node has no words for. The
// semantics of the calls themselves are judged by test/differential.
import * as fc from 'fast-check'
import nodeFs from 'node:fs'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  applyChangeset,
  bytesSource,
  EMPTY_TREE,
  mountFolder,
  TreeNode,
  UnionView,
  Tree,
  type Change,
} from 'lamella/unionfs'
import type { DiffID } from '../../src/digest.js'
import { runs } from '../chance.js'

const bytes = (text: string) => new TextEncoder().encode(text)

function file(text: string, init: Partial<TreeNode> = {}): TreeNode {
  return new TreeNode({ kind: 'file', size: bytes(text).length, source: bytesSource(bytes(text)), ...init })
}

const dir = () => new TreeNode({ kind: 'dir' })
const put = (path: string, node: TreeNode): Change => ({ kind: 'put', path, node })

/** /etc/{a,b}, /etc/link → a, /lib/x with a hard link /lib/y. */
function sampleTree(): Tree {
  return applyChangeset(EMPTY_TREE, [
    put('etc', dir()),
    put('etc/a', file('A')),
    put('etc/b', file('B')),
    put('etc/link', new TreeNode({ kind: 'symlink', target: 'a', size: 1 })),
    put('lib', dir()),
    put('lib/x', file('X')),
    { kind: 'link', path: 'lib/y', target: 'lib/x' },
  ])
}

const list = (view: UnionView) => view.changes().map(({ kind, path }) => `${kind} ${path}`)

describe('snapshot', () => {
  test('shares everything that did not change', () => {
    const tree = sampleTree()
    const view = new UnionView(tree)
    expect(view.snapshot()).toBe(tree)
    view.fs.readFileSync('/etc/a')
    view.fs.closeSync(view.fs.openSync('/lib/x', 'r'))
    expect(view.snapshot()).toBe(tree)
    view.fs.writeFileSync('/etc/a', 'changed')
    const after = view.snapshot()
    expect(after.lookup('lib')).toBe(tree.lookup('lib'))
    expect(after.lookup('etc/b')).toBe(tree.lookup('etc/b'))
    expect(after).toBe(view.snapshot())
  })

  test('does not show later writes, at any offset or size', () => {
    const view = new UnionView()
    view.fs.writeFileSync('/f', '0123456789')
    const before = view.snapshot()
    const fd = view.fs.openSync('/f', 'r+')
    view.fs.writeSync(fd, 'X', 3)
    view.fs.ftruncateSync(fd, 5)
    view.fs.ftruncateSync(fd, 20)
    view.fs.appendFileSync('/f', 'tail')
    view.fs.closeSync(fd)
    expect(new UnionView(before).fs.readFileSync('/f', 'utf8')).toBe('0123456789')
    expect(new UnionView(view.snapshot()).fs.readFileSync('/f', 'utf8')).toBe(`012X4${'\0'.repeat(15)}tail`)
  })

  test('of a hard-linked file that changed has it under all its names', () => {
    const view = new UnionView(sampleTree())
    view.fs.renameSync('/lib', '/moved')
    view.fs.writeFileSync('/moved/x', 'new')
    const tree = view.snapshot()
    expect(tree.lookup('moved/x')).toBe(tree.lookup('moved/y'))
    expect(tree.lookup('moved/x')?.nlink).toBe(2)
    view.fs.unlinkSync('/moved/x')
    expect(view.snapshot().lookup('moved/y')?.nlink).toBe(1)
    expect(view.fs.readFileSync('/moved/y', 'utf8')).toBe('new')
  })
})

describe('diff', () => {
  test('equal bytes and metadata are no change', () => {
    const tree = sampleTree()
    const view = new UnionView(tree)
    const { mtimeMs } = view.fs.statSync('/etc/a')
    view.fs.writeFileSync('/etc/a', 'B')
    view.fs.writeFileSync('/etc/a', 'A')
    view.fs.utimesSync('/etc/a', 0, mtimeMs / 1000)
    expect(view.diff()).toEqual([])
    view.fs.chmodSync('/etc/a', 0o600)
    view.fs.chmodSync('/etc/a', 0o644)
    expect(view.diff()).toEqual([])
  })

  test('names what people look for', () => {
    const view = new UnionView(sampleTree())
    view.fs.rmSync('/lib', { recursive: true })
    view.fs.mkdirSync('/new')
    view.fs.writeFileSync('/new/f', '')
    view.fs.chmodSync('/etc/b', 0o600)
    expect(list(view)).toEqual(expect.arrayContaining(['D /lib', 'A /new', 'A /new/f', 'C /etc/b']))
    expect(list(view)).not.toContain('C /etc/a')
  })

  test('a name that came and went leaves nothing', () => {
    const view = new UnionView(sampleTree())
    const before = view.fs.statSync('/etc')
    view.fs.writeFileSync('/etc/temp', 'x')
    view.fs.unlinkSync('/etc/temp')
    view.fs.utimesSync('/etc', 0, before.mtimeMs / 1000)
    expect(view.diff()).toEqual([])
  })

  test('law: the diff applied to the base gives the snapshot', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join('/')}`)
    const operation = fc.oneof(
      fc.tuple(fc.constant('writeFileSync'), path, fc.constantFrom('', 'x', 'yy')),
      fc.tuple(fc.constant('mkdirSync'), path),
      fc.tuple(fc.constant('renameSync'), path, path),
      fc.tuple(fc.constant('linkSync'), path, path),
      fc.tuple(fc.constant('symlinkSync'), name, path),
      fc.tuple(fc.constant('unlinkSync'), path),
      fc.tuple(fc.constant('rmSync'), path, fc.constant({ recursive: true })),
      fc.tuple(fc.constant('chmodSync'), path, fc.constantFrom(0o600, 0o755)),
    )
    const perform = (view: UnionView, [method, ...args]: readonly unknown[]) => {
      try {
        ;(view.fs as unknown as Record<string, (...args: unknown[]) => void>)[method as string]!(...args)
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^E/)
      }
    }
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 25 }),
        fc.array(operation, { maxLength: 25 }),
        (first, second) => {
          const lower = new UnionView()
          for (const one of first) perform(lower, one)
          const base = lower.snapshot()
          const view = new UnionView(base)
          for (const [i, one] of second.entries()) {
            perform(view, one)
            // A snapshot in between must change nothing.
            if (i % 7 === 3) view.snapshot()
          }
          const applied = applyChangeset(base, view.diff())
          expect(describeTree(applied)).toEqual(describeTree(view.snapshot()))
          expect(describeTree(view.fork().snapshot())).toEqual(describeTree(view.snapshot()))
        },
      ),
      { numRuns: runs(300) },
    )
  })
})

function describeTree(tree: Tree): string[] {
  const groups = new Map<number, string>()
  return [...tree.walk()].map(({ path, node }) => {
    if (node.nlink > 1 && !groups.has(node.ino)) groups.set(node.ino, path)
    const link = node.nlink > 1 ? groups.get(node.ino) : ''
    const content = new TextDecoder().decode(node.content())
    return [
      path,
      node.kind,
      node.mode.toString(8),
      node.mtimeNs,
      node.target,
      node.nlink,
      link,
      content,
    ].join(' ')
  })
}

describe('fork', () => {
  test('both sides go on by themselves, against the same base', () => {
    const view = new UnionView(sampleTree())
    view.fs.writeFileSync('/etc/a', 'common')
    const fork = view.fork()
    view.fs.writeFileSync('/etc/a', 'left')
    fork.fs.appendFileSync('/etc/a', ' right')
    fork.fs.unlinkSync('/lib/x')
    expect(view.fs.readFileSync('/etc/a', 'utf8')).toBe('left')
    expect(fork.fs.readFileSync('/etc/a', 'utf8')).toBe('common right')
    expect(view.fs.existsSync('/lib/x')).toBe(true)
    expect(fork.base).toBe(view.base)
    expect(list(fork)).toContain('D /lib/x')
  })
})

describe('whence', () => {
  const origin = (hex: string) => ({ diffID: `sha256:${hex.repeat(64)}` as string as DiffID })

  test('names the layer of what is there, and none for what was changed', () => {
    const [first, second] = [origin('1'), origin('2')]
    const tree = applyChangeset(
      applyChangeset(EMPTY_TREE, [put('d', dir()), put('d/a', file('a')), put('d/b', file('b'))], {
        origin: first,
      }),
      [put('d/b', file('bb'))],
      { origin: second },
    )
    const view = new UnionView(tree)
    expect(view.whence('/d/a')).toEqual(first)
    expect(view.whence('/d/b')).toEqual(second)
    view.fs.symlinkSync('a', '/d/l')
    expect(view.whence('/d/l')).toEqual(first)
    expect(view.whence('/d/l', { followLast: false })).toBeUndefined()
    view.fs.closeSync(view.fs.openSync('/d/a', 'r'))
    expect(view.whence('/d/a')).toEqual(first)
    view.fs.appendFileSync('/d/a', 'x')
    expect(view.whence('/d/a')).toBeUndefined()
    expect(() => view.whence('/nope')).toThrow("ENOENT: no such file or directory, whence '/nope'")
  })
})

describe('mount', () => {
  test('hides what is below, is no part of the diff, and ends', () => {
    const view = new UnionView(sampleTree())
    const end = view.mount('/etc', sampleTree())
    expect(view.fs.readdirSync('/etc')).toEqual(['etc', 'lib'])
    view.fs.writeFileSync('/etc/etc/a', 'in the mount')
    view.fs.writeFileSync('/etc/new', 'in the mount')
    expect(view.fs.readFileSync('/etc/lib/../../lib/x', 'utf8')).toBe('X')
    expect(view.diff()).toEqual([])
    expect(() => view.fs.renameSync('/etc/new', '/new')).toThrow('EXDEV')
    expect(() => view.fs.linkSync('/lib/x', '/etc/x')).toThrow('EXDEV')
    expect(() => view.fs.rmdirSync('/etc')).toThrow('EBUSY')
    expect(() => view.fs.renameSync('/etc', '/gone')).toThrow('EBUSY')
    expect(view.fs.statSync('/etc/lib').dev).not.toBe(view.fs.statSync('/lib').dev)
    end()
    expect(view.fs.readdirSync('/etc')).toEqual(['a', 'b', 'link'])
  })

  test('a view is shared, a tree is not', () => {
    const [view, volume] = [new UnionView(sampleTree()), new UnionView()]
    view.mount('/lib', volume)
    view.fs.writeFileSync('/lib/f', '1')
    expect(volume.fs.readFileSync('/f', 'utf8')).toBe('1')
    volume.fs.writeFileSync('/f', '2')
    expect(view.fs.readFileSync('/lib/f', 'utf8')).toBe('2')
    expect(() => volume.mount('/', view)).toThrow('EBUSY')
    expect(() => view.mount('/etc/a', volume)).toThrow('ENOTDIR')
    expect(() => view.mount('/missing', volume)).toThrow('ENOENT')
  })

  test('read-only: every change fails with EROFS, reading does not', () => {
    const view = new UnionView(sampleTree())
    view.mount('/lib', sampleTree(), { readOnly: true })
    const { fs } = view
    const fd = fs.openSync('/lib/etc/a', 'r')
    const changes: [string, () => unknown][] = [
      ['write', () => fs.writeFileSync('/lib/etc/a', 'x')],
      ['create', () => fs.writeFileSync('/lib/new', 'x')],
      ['mkdir', () => fs.mkdirSync('/lib/d')],
      ['unlink', () => fs.unlinkSync('/lib/etc/a')],
      ['rename', () => fs.renameSync('/lib/etc/a', '/lib/etc/c')],
      ['chmod', () => fs.chmodSync('/lib/etc/a', 0)],
      ['utimes', () => fs.utimesSync('/lib/etc/a', 0, 0)],
      ['access', () => fs.accessSync('/lib/etc/a', fs.constants.W_OK)],
      ['fchmod', () => fs.fchmodSync(fd, 0)],
    ]
    for (const [name, change] of changes) {
      expect(change, name).toThrow(expect.objectContaining({ code: 'EROFS' }))
    }
    expect(fs.readFileSync(fd, 'utf8')).toBe('A')
  })

  // mount_namespaces(7), mount(8) "bind mounts", move_mount: a directory on a directory, anything else on anything else
  test('a file on a file', () => {
    const view = new UnionView(sampleTree())
    const { fs } = view
    const file = new Tree(sampleTree().lookup('etc/b')!)
    expect(() => view.mount('/etc', file)).toThrow('ENOTDIR')
    const end = view.mount('/etc/a', file, { readOnly: true })
    expect(fs.readFileSync('/etc/a', 'utf8')).toBe('B')
    expect(fs.statSync('/etc/a').nlink).toBe(1)
    expect(() => fs.appendFileSync('/etc/a', 'x')).toThrow('EROFS')
    expect(() => fs.chmodSync('/etc/a', 0)).toThrow('EROFS')
    expect(() => fs.unlinkSync('/etc/a')).toThrow('EBUSY')
    expect(() => fs.renameSync('/etc/a', '/etc/c')).toThrow('EBUSY')
    expect(() => fs.renameSync('/etc/b', '/etc/a')).toThrow('EBUSY')
    expect(() => fs.linkSync('/etc/a', '/etc/c')).toThrow('EXDEV')
    // A descriptor that is closed takes nothing of what is mounted with it.
    fs.closeSync(fs.openSync('/etc/a', 'r'))
    expect(fs.readFileSync('/etc/a', 'utf8')).toBe('B')
    end()
    expect(fs.readFileSync('/etc/a', 'utf8')).toBe('A')
    expect(view.diff()).toEqual([])
  })

  test('bind: the same files with a say of their own, one within another', () => {
    const view = new UnionView(sampleTree())
    const { fs } = view
    const ends = [
      view.bind('/etc', { readOnly: true }),
      view.bind('/etc/a'),
      view.bind('/lib/x', { readOnly: true }),
    ]
    expect(() => fs.writeFileSync('/etc/b', '')).toThrow('EROFS')
    expect(() => fs.writeFileSync('/etc/new', '')).toThrow('EROFS')
    expect(() => fs.writeFileSync('/lib/x', '')).toThrow('EROFS')
    expect(() => fs.rmSync('/lib/x')).toThrow('EBUSY')
    expect(() => fs.rmdirSync('/etc')).toThrow('EBUSY')
    expect(() => fs.linkSync('/etc/a', '/c')).toThrow('EXDEV')
    fs.writeFileSync('/etc/a', 'written')
    // Of a file with two names, both.
    expect(() => fs.writeFileSync('/lib/y', '')).toThrow('EROFS')
    const end = view.mount('/etc', new UnionView())
    expect(fs.readdirSync('/etc')).toEqual([])
    end()
    expect(() => fs.writeFileSync('/etc/b', '')).toThrow('EROFS')
    for (const last of ends.toReversed()) last()
    fs.writeFileSync('/etc/b', 'again')
    fs.rmSync('/lib/x')
    expect(view.changes().map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'C /etc/a',
      'C /etc/b',
      'C /lib',
      'D /lib/x',
    ])
  })

  // tmpfs(5) `size`: blocks of 4096 bytes; write(2): as much as there is room for, then ENOSPC
  test('with a size: what there is no room for is ENOSPC, and what goes gives room', () => {
    const view = new UnionView(sampleTree())
    const { fs } = view
    view.mount('/lib', new Tree(dir()), { sizeBytes: 10_000 })
    fs.writeFileSync('/lib/one', 'x')
    expect(() => fs.writeFileSync('/lib/two', Buffer.alloc(8193))).toThrow('ENOSPC')
    expect(fs.statSync('/lib/two').size).toBe(8192)
    expect(() => fs.appendFileSync('/lib/one', Buffer.alloc(4096))).toThrow('ENOSPC')
    expect(fs.statSync('/lib/one').size).toBe(4096)
    expect(() => fs.writeFileSync('/lib/three', 'x')).toThrow('ENOSPC')
    expect(() => fs.truncateSync('/lib/three', 1)).toThrow('ENOSPC')
    fs.writeFileSync('/etc/a', Buffer.alloc(20_000))
    fs.truncateSync('/lib/two', 4096)
    const fd = fs.openSync('/lib/three', 'w')
    expect(fs.writeSync(fd, Buffer.alloc(5000))).toBe(4096)
    expect(() => fs.writeSync(fd, 'x')).toThrow('ENOSPC')
    // An open file keeps its bytes.
    fs.unlinkSync('/lib/three')
    expect(() => fs.writeFileSync('/lib/four', 'x')).toThrow('ENOSPC')
    fs.closeSync(fd)
    fs.rmSync('/lib/two')
    fs.writeFileSync('/lib/four', Buffer.alloc(8192))
    fs.writeFileSync('/lib/four', Buffer.alloc(8000, 1))
    fs.renameSync('/lib/one', '/lib/four')
    fs.writeFileSync('/lib/five', Buffer.alloc(8192))
    expect(() => fs.writeFileSync('/lib/six', 'x')).toThrow('ENOSPC')
  })

  test('a host folder: read when looked at, written when flushed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lamella-mount-'))
    try {
      nodeFs.mkdirSync(join(folder, 'sub'))
      nodeFs.writeFileSync(join(folder, 'sub/f'), 'host')
      nodeFs.writeFileSync(join(folder, 'gone'), '')
      nodeFs.symlinkSync('/etc', join(folder, 'escape'))
      const view = new UnionView(sampleTree())
      const mount = await mountFolder(view, '/lib', folder)
      expect(view.fs.readFileSync('/lib/sub/f', 'utf8')).toBe('host')
      // A host's link is followed inside the view.
      expect(view.fs.readFileSync('/lib/escape/a', 'utf8')).toBe('A')
      view.fs.writeFileSync('/lib/sub/f', 'changed')
      view.fs.mkdirSync('/lib/made', { mode: 0o700 })
      view.fs.writeFileSync('/lib/made/g', 'new')
      view.fs.symlinkSync('g', '/lib/made/l')
      view.fs.unlinkSync('/lib/gone')
      expect(nodeFs.readFileSync(join(folder, 'sub/f'), 'utf8')).toBe('host')
      mount.flush()
      expect(nodeFs.readFileSync(join(folder, 'sub/f'), 'utf8')).toBe('changed')
      expect(nodeFs.readFileSync(join(folder, 'made/l'), 'utf8')).toBe('new')
      expect(nodeFs.statSync(join(folder, 'made')).mode & 0o777).toBe(0o700)
      expect(nodeFs.existsSync(join(folder, 'gone'))).toBe(false)
      view.fs.writeFileSync('/lib/last', '1')
      mount.unmount()
      expect(nodeFs.readFileSync(join(folder, 'last'), 'utf8')).toBe('1')
      expect(view.fs.readFileSync('/lib/x', 'utf8')).toBe('X')
      expect(view.diff()).toEqual([])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('trace', () => {
  test('records what was read, listed, and looked for in vain', () => {
    const view = new UnionView(sampleTree())
    const trace = view.trace()
    view.fs.readFileSync('/etc/link')
    view.fs.readdirSync('/lib')
    view.fs.existsSync('/etc/missing')
    view.fs.existsSync('/nope/below')
    expect(trace.stop()).toEqual({
      read: ['/etc', '/etc/a', '/etc/link', '/lib'],
      listed: ['/lib'],
      missed: ['/etc/missing', '/nope'],
    })
    view.fs.existsSync('/later')
    expect(trace.record().missed).not.toContain('/later')
  })
})

describe('beyond Node', () => {
  test('xattrs as in xattr(7)', () => {
    const view = new UnionView(sampleTree())
    view.setxattr('/etc/a', 'user.x', bytes('1'))
    expect(view.getxattr('/etc/link', 'user.x')).toEqual(bytes('1'))
    expect(view.getxattr('/etc/a', 'user.none')).toBeUndefined()
    expect(view.listxattr('/etc/a')).toEqual(['user.x'])
    const failing: [string, () => void][] = [
      ['EEXIST', () => view.setxattr('/etc/a', 'user.x', bytes(''), { rule: 'create' })],
      ['ENODATA', () => view.setxattr('/etc/a', 'user.y', bytes(''), { rule: 'replace' })],
      ['ENODATA', () => view.removexattr('/etc/a', 'user.y')],
      ['ENOTSUP', () => view.setxattr('/etc/a', 'nonsense', bytes(''))],
      ['EPERM', () => view.setxattr('/etc/link', 'user.x', bytes(''), { followLast: false })],
      ['E2BIG', () => view.setxattr('/etc/a', 'user.x', new Uint8Array(65_537))],
      ['ERANGE', () => view.setxattr('/etc/a', `user.${'x'.repeat(251)}`, bytes(''))],
    ]
    for (const [code, call] of failing) expect(call).toThrow(expect.objectContaining({ code }))
    view.setxattr('/etc/b', 'security.capability', bytes('c'))
    view.fs.appendFileSync('/etc/b', 'x')
    expect(view.listxattr('/etc/b')).toEqual([])
    expect(view.snapshot().lookup('etc/a')?.xattrs?.get('user.x')).toEqual(bytes('1'))
  })

  test('mknod', () => {
    const view = new UnionView(EMPTY_TREE, { umask: 0o027 })
    view.mknod('/null', 'chardev', { mode: 0o666, rdev: [1, 3] })
    view.mknod('/pipe', 'fifo')
    expect(view.fs.statSync('/null')).toMatchObject({ mode: 0o020640, rdev: 0x103 })
    expect(view.fs.statSync('/null').isCharacterDevice()).toBe(true)
    expect(view.fs.statSync('/pipe').isFIFO()).toBe(true)
    expect(() => view.fs.openSync('/null', 'r')).toThrow('ENXIO')
    expect(() => view.mknod('/pipe', 'fifo')).toThrow(
      expect.objectContaining({ code: 'EEXIST', syscall: 'mknod' }),
    )
    expect(() => new UnionView(EMPTY_TREE, { uid: 1 }).mknod('/d', 'blockdev')).toThrow('EACCES')
  })

  test('names that are not UTF-8', () => {
    const view = new UnionView()
    const name = Buffer.from([0x2f, 0xff, 0x61])
    view.fs.writeFileSync(name, 'x')
    expect(view.fs.readdirSync('/')).toEqual(['\ufffda'])
    expect(view.fs.readdirSync('/', 'buffer')).toEqual([name.subarray(1)])
    expect(view.fs.readFileSync(name, 'utf8')).toBe('x')
    expect(view.fs.existsSync('/\ufffda')).toBe(false)
    const again = new UnionView(applyChangeset(EMPTY_TREE, view.diff()))
    expect(again.fs.readdirSync('/', 'buffer')).toEqual([name.subarray(1)])
  })
})

describe('memory', () => {
  test('removed and replaced files give their bytes back, open ones keep them', () => {
    const view = new UnionView(sampleTree())
    const { fs } = view
    const storage = () => view.stats().openFiles
    for (let i = 0; i < 200; i++) {
      fs.mkdirSync('/work')
      fs.writeFileSync('/work/a', 'a')
      fs.writeFileSync('/work/b', 'b')
      fs.renameSync('/work/a', '/work/b')
      fs.rmSync('/work', { recursive: true })
    }
    expect(view.stats().upperFiles).toBe(0)
    fs.writeFileSync('/f', 'kept')
    const fd = fs.openSync('/f', 'r')
    fs.unlinkSync('/f')
    expect(view.stats().upperFiles).toBe(1)
    expect(fs.readFileSync(fd, 'utf8')).toBe('kept')
    expect(fs.fstatSync(fd).nlink).toBe(0)
    expect(storage()).toBe(1)
    fs.closeSync(fd)
    expect(view.stats()).toEqual({ upperFiles: 0, openFiles: 0 })
  })
})
