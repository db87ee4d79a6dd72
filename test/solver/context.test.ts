// Host folders as build contexts: what is seen, what is hashed, what is remembered.
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { openContext, tarContext, treeContext } from '../../src/builder/context.js'
import type { ContentSelector } from '../../src/builder/content-selector.js'
import { contentKeyOf } from '../../src/builder/contenthash.js'
import { createIgnoreMatcher } from '../../src/builder/dockerfile/index.js'
import { HostScan } from '../../src/builder/host-scan.js'
import { KNOWN, RACY } from '../../src/builder/stat-cache.js'
import { createMemoryStore, type SidecarStore, type Store } from '../../src/store/index.js'
import { diffTrees, EMPTY_TREE, encodeLayer } from '../../src/unionfs/index.js'
import { folderOf, tempFolder, treeOf, type TreeSpec } from './fixtures.js'

const SPEC: TreeSpec = {
  'package.json': '{}',
  'src/index.ts': 'index',
  'src/lib/a.ts': 'a',
  'src/lib/b.ts': { type: 'file', content: 'b', mode: '755' },
  'src/lib/link': { type: 'symlink', target: 'a.ts' },
  empty: { type: 'dir', mode: '700' },
}

const ALL: ContentSelector[] = [{ path: '/' }]

function open(dir: string, store?: Store, ignore?: string[]) {
  return openContext(dir, { store, ignore: ignore && createIgnoreMatcher(ignore) })
}

const keyOf = (dir: string, store?: Store, selectors = ALL, ignore?: string[]) =>
  contentKeyOf(open(dir, store, ignore).result(), selectors)

/** Opens, hashes, saves; the store counts what is written. */
async function visit(dir: string, store: Store, selectors = ALL) {
  const context = open(dir, store)
  const key = await contentKeyOf(context.result(), selectors)
  await context.save()
  return key
}

function countingStore(): Store & { writes: number } {
  const store = createMemoryStore()
  const sidecars: SidecarStore = store.sidecars
  const counting = Object.create(store, {
    writes: { value: 0, writable: true },
    sidecars: {
      value: {
        get: sidecars.get.bind(sidecars),
        list: sidecars.list.bind(sidecars),
        delete: sidecars.delete.bind(sidecars),
        put: async (kind: string, key: string, bytes: Uint8Array) => {
          counting.writes++
          await sidecars.put(kind, key, bytes)
        },
      },
    },
  }) as Store & { writes: number }
  return counting
}

/** The clock of the file system moves on, so that what was just written is old enough to be trusted. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 40))

test('a folder and the same files as a tree have the same content key', async () => {
  const want = await contentKeyOf(treeContext(treeOf(SPEC)).result(), ALL)
  expect(await keyOf(folderOf(SPEC))).toBe(want)
})

test('the tree of a folder has its files, owned by root, with their times', () => {
  const dir = folderOf(SPEC)
  utimesSync(join(dir, 'src/index.ts'), 1_700_000_000, 1_699_999_999.123456)
  const { tree } = open(dir)
  expect([...tree.walk()].map(({ path, node }) => `${node.kind} ${path} ${node.mode.toString(8)}`)).toEqual([
    'dir  700',
    'dir empty 700',
    'file package.json 644',
    'dir src 755',
    'file src/index.ts 644',
    'dir src/lib 755',
    'file src/lib/a.ts 644',
    'file src/lib/b.ts 755',
    'symlink src/lib/link 777',
  ])
  const node = tree.lookup('src/lib/a.ts')!
  expect(new TextDecoder().decode(node.content())).toBe('a')
  const off = node.mtimeNs - statSync(join(dir, 'src/lib/a.ts'), { bigint: true }).mtimeNs
  expect(Math.abs(Number(off))).toBeLessThan(250)
  expect(tree.lookup('src/index.ts')!.mtimeNs).toBe(1_699_999_999_123_456_000n)
  expect([node.uid, node.gid]).toEqual([0, 0])
})

test('hard links stay links, and a link from outside does not count', () => {
  const dir = folderOf({ a: 'x', 'd/b': 'y' })
  linkSync(join(dir, 'a'), join(dir, 'd/c'))
  linkSync(join(dir, 'd/b'), join(tempFolder(), 'elsewhere'))
  const { tree } = open(dir)
  expect(tree.lookup('a')).toBe(tree.lookup('d/c'))
  expect(tree.lookup('a')!.nlink).toBe(2)
  expect(tree.lookup('d/b')!.nlink).toBe(1)
  expect(tree.linksOf(tree.lookup('a')!)).toEqual(['a', 'd/c'])
})

test('names that are not UTF-8 keep their bytes', async () => {
  const dir = tempFolder()
  writeFileSync(Buffer.concat([Buffer.from(`${dir}/x`), Buffer.from([0xff])]), 'raw')
  const { tree } = open(dir)
  expect(tree.root.children!.names()).toEqual(['x\udcff'])
  expect(await keyOf(dir)).toMatch(/^sha256:/)
})

test('a symlink that points out of the folder is a value and is not followed', async () => {
  const outside = folderOf({ secret: 'x' })
  const dir = folderOf({ 'd/f': 'x' })
  symlinkSync(join(outside, 'secret'), join(dir, 'd/out'))
  expect(open(dir).tree.lookup('d/out')!.kind).toBe('symlink')
  await expect(keyOf(dir, undefined, [{ path: '/d/out', followLinks: true }])).rejects.toMatchObject({
    code: 'SOURCE_NOT_FOUND',
  })
})

describe('ignore rules (facts 1.9)', () => {
  const paths = (dir: string, ignore: string[]) =>
    [...open(dir, undefined, ignore).tree.walk()].map(({ path }) => path).slice(1)
  const dir = () => folderOf({ 'a/b/c': 'x', 'a/d': 'x', 'e/f': 'x', g: 'x' })
  test.each([
    [['a'], ['e', 'e/f', 'g']],
    [['a/b'], ['a', 'a/d', 'e', 'e/f', 'g']],
    [
      ['a', '!a/b/c'],
      ['a', 'a/b', 'a/b/c', 'e', 'e/f', 'g'],
    ],
    [
      ['**', '!e'],
      ['e', 'e/f'],
    ],
    [['**', '!nothing'], []],
    [['*/*'], ['a', 'e', 'g']],
  ])('%j leaves %j', (ignore, want) => expect(paths(dir(), ignore)).toEqual(want))

  test('what is ignored takes no part in the key', async () => {
    const folder = dir()
    const before = await keyOf(folder, undefined, ALL, ['a/b'])
    writeFileSync(join(folder, 'a/b/c'), 'changed')
    expect(await keyOf(folder, undefined, ALL, ['a/b'])).toBe(before)
  })
})

describe('stat cache', () => {
  test('a second look at unchanged files reads none of them and writes nothing', async () => {
    const dir = folderOf(SPEC)
    const store = countingStore()
    const key = await visit(dir, store)
    expect(store.writes).toBe(1)
    expect(await visit(dir, store)).toBe(key)
    expect(store.writes).toBe(1)
  })

  const changes: Record<string, (dir: string) => void> = {
    'content, same size': (dir) => writeFileSync(join(dir, 'src/lib/a.ts'), 'z'),
    'content, longer': (dir) => appendFileSync(join(dir, 'src/lib/a.ts'), 'more'),
    'content, with the old time put back': (dir) => {
      const path = join(dir, 'src/lib/a.ts')
      const { atime, mtime } = statSync(path)
      writeFileSync(path, 'z')
      utimesSync(path, atime, mtime)
    },
    mode: (dir) => chmodSync(join(dir, 'src/lib/a.ts'), 0o600),
    'mode of a directory': (dir) => chmodSync(join(dir, 'src/lib'), 0o700),
    'a file added': (dir) => writeFileSync(join(dir, 'src/lib/c.ts'), 'c'),
    'an empty directory added': (dir) => mkdirSync(join(dir, 'src/d')),
    'a file removed': (dir) => unlinkSync(join(dir, 'src/lib/b.ts')),
    'a file renamed': (dir) => renameSync(join(dir, 'src/lib/b.ts'), join(dir, 'src/lib/c.ts')),
    'a directory removed': (dir) => rmSync(join(dir, 'src/lib'), { recursive: true }),
    'a link to somewhere else': (dir) => {
      unlinkSync(join(dir, 'src/lib/link'))
      symlinkSync('b.ts', join(dir, 'src/lib/link'))
    },
    'a file that is now a directory': (dir) => {
      unlinkSync(join(dir, 'src/lib/a.ts'))
      mkdirSync(join(dir, 'src/lib/a.ts'))
    },
    'two files swapped': (dir) => {
      renameSync(join(dir, 'src/lib/a.ts'), join(dir, 'x'))
      renameSync(join(dir, 'src/lib/b.ts'), join(dir, 'src/lib/a.ts'))
      renameSync(join(dir, 'x'), join(dir, 'src/lib/b.ts'))
    },
  }
  test.each(Object.keys(changes))('sees a change: %s', async (name) => {
    const dir = folderOf(SPEC)
    const store = createMemoryStore()
    const before = await visit(dir, store)
    changes[name]!(dir)
    const after = await visit(dir, store)
    expect(after).not.toBe(before)
    expect(after).toBe(await keyOf(dir))
    expect(await visit(dir, store)).toBe(after)
  })

  test('a new time alone changes nothing', async () => {
    const dir = folderOf(SPEC)
    const store = createMemoryStore()
    const before = await visit(dir, store)
    utimesSync(join(dir, 'src/lib/a.ts'), 1, 1)
    expect(await visit(dir, store)).toBe(before)
  })

  // git's racy entries: a write that follows a read at once may leave the same times.
  test('a write right after the read is seen, again and again', async () => {
    const dir = folderOf({ f: '0' })
    const store = createMemoryStore()
    const seen = new Set<string>()
    for (let i = 0; i < 50; i++) {
      writeFileSync(join(dir, 'f'), String(i % 10) + String(Math.floor(i / 10)))
      seen.add(await visit(dir, store))
    }
    expect(seen.size).toBe(50)
  })

  test('a file is young by the time at which its reading starts, however long it lasts', () => {
    const scan = new HostScan(folderOf({ f: 'x' }))
    const entry = scan.child(0, 'f')!
    const changedAt = scan.columns.ctimeMs[entry]!
    const clock = vi.spyOn(Date, 'now').mockReturnValue(changedAt + 1)
    onTestFinished(() => clock.mockRestore())
    const hostPath = scan.hostPath.bind(scan)
    // Asked for when the file is about to be opened.
    scan.hostPath = (at) => {
      clock.mockReturnValue(changedAt + 60_000)
      return hostPath(at)
    }
    scan.nodeDigest(entry)
    expect(scan.columns.state[entry]).toBe(RACY)
    const later = new HostScan(scan.base)
    later.nodeDigest(later.child(0, 'f')!)
    expect(later.columns.state[later.child(0, 'f')!]).toBe(KNOWN)
  })

  test('what one step does not use is not read', async () => {
    const dir = folderOf(SPEC)
    chmodSync(join(dir, 'src/lib/a.ts'), 0o000)
    const only = [{ path: '/package.json' }]
    const want = await contentKeyOf(treeContext(treeOf({ 'package.json': '{}' })).result(), only)
    expect(await keyOf(dir, createMemoryStore(), only)).toBe(want)
  })

  test('a wildcard lists only the directories that it may match in, and reads only what it matches', async () => {
    const dir = folderOf({ ...SPEC, 'src/deep/er/f': 'x' })
    const context = openContext(dir, { store: createMemoryStore() })
    await contentKeyOf(context.result(), [{ path: '/package*', wildcard: true }])
    // Neither listed nor read: a folder that goes away is not missed.
    rmSync(join(dir, 'src'), { recursive: true })
    const want = await contentKeyOf(treeContext(treeOf(SPEC)).result(), [
      { path: '/package*', wildcard: true },
    ])
    expect(await contentKeyOf(context.result(), [{ path: '/pack*', wildcard: true }])).toBe(want)
    await expect(contentKeyOf(context.result(), ALL)).rejects.toMatchObject({ code: 'CONTEXT_CHANGED' })
  })

  test('what was not asked for this time is still known the next time', async () => {
    const dir = folderOf(SPEC)
    const store = countingStore()
    const whole = await visit(dir, store)
    await settle()
    writeFileSync(join(dir, 'package.json'), '{"a":1}')
    await visit(dir, store, [{ path: '/package.json' }])
    expect(store.writes).toBe(2)
    const after = await visit(dir, store)
    expect(after).not.toBe(whole)
    expect(after).toBe(await keyOf(dir))
  })

  // Found by the law in context-law.test.ts: what is kept of folders that nobody asked for is more than this look saw.
  test('a look at one small part of a large folder keeps the rest in order', async () => {
    const files = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`big/d${i % 20}/f${i}`, `${i}`]))
    const dir = folderOf({ ...files, 'small/f': 'x' })
    const store = createMemoryStore()
    const whole = await visit(dir, store)
    writeFileSync(join(dir, 'small/f'), 'changed')
    await visit(dir, store, [{ path: '/small' }])
    const after = await visit(dir, store)
    expect(after).not.toBe(whole)
    expect(after).toBe(await keyOf(dir))
  })

  test('a damaged or foreign stat cache is as good as none', async () => {
    const dir = folderOf(SPEC)
    const store = createMemoryStore()
    const want = await visit(dir, store)
    const [key] = await store.sidecars.list('context')
    const bytes = store.sidecars.get('context', key!)!.slice()
    for (const damaged of [new Uint8Array(0), bytes.subarray(0, 40), bytes.subarray(0, bytes.length - 1)]) {
      await store.sidecars.put('context', key!, damaged)
      expect(await keyOf(dir, store)).toBe(want)
    }
  })
})

describe('bad contexts', () => {
  test.each([
    ['missing', () => join(tempFolder(), 'nowhere')],
    ['a file', () => join(folderOf({ f: 'x' }), 'f')],
  ])('%s', (_, dir) =>
    expect(() => open(dir())).toThrow(expect.objectContaining({ code: 'CONTEXT_NOT_FOUND' })),
  )

  test('a file that changes between listing and reading', () => {
    const dir = folderOf({ f: 'x' })
    const node = open(dir).tree.lookup('f')!
    writeFileSync(join(dir, 'f'), 'y')
    utimesSync(join(dir, 'f'), 5, 5)
    expect(() => node.content()).toThrow(expect.objectContaining({ code: 'CONTEXT_CHANGED' }))
  })

  const replacements: Record<string, (path: string) => void> = {
    // Opened as a plain file is, it would hold up the whole process until a writer comes.
    'a FIFO': (path) => void execFileSync('mkfifo', [path]),
    'a directory': (path) => mkdirSync(path),
    'a symlink to the same bytes': (path) => symlinkSync('other', path),
    'a symlink to a FIFO': (path) => {
      execFileSync('mkfifo', [`${path}-fifo`])
      symlinkSync('f-fifo', path)
    },
    'a symlink to nothing': (path) => symlinkSync('nowhere', path),
  }
  test.skipIf(process.platform === 'win32').each(Object.keys(replacements))(
    'a file that is replaced by %s between listing and reading is neither read nor hashed',
    async (name) => {
      const dir = folderOf({ f: 'x', other: 'x' })
      const context = open(dir)
      const node = context.tree.lookup('f')!
      renameSync(join(dir, 'f'), join(dir, 'old'))
      replacements[name]!(join(dir, 'f'))
      const changed = expect.objectContaining({ code: 'CONTEXT_CHANGED', data: { path: 'f' } })
      expect(() => node.content()).toThrow(changed)
      await expect(contentKeyOf(context.result(), [{ path: '/f' }])).rejects.toEqual(changed)
    },
  )

  test.each<[string, (path: string) => void]>([
    ['a file', (path) => writeFileSync(path, 'x')],
    ['nothing', () => {}],
  ])('a symlink that is replaced by %s between listing and reading', async (_, replace) => {
    const dir = folderOf({ l: { type: 'symlink', target: 'a' } })
    const context = open(dir)
    context.tree.root.children!.names()
    unlinkSync(join(dir, 'l'))
    replace(join(dir, 'l'))
    const changed = expect.objectContaining({ code: 'CONTEXT_CHANGED', data: { path: 'l' } })
    expect(() => context.tree.lookup('l')).toThrow(changed)
    await expect(contentKeyOf(context.result(), [{ path: '/l' }])).rejects.toEqual(changed)
  })

  test('a file that goes away between listing and reading', () => {
    const dir = folderOf({ f: 'x' })
    const node = open(dir).tree.lookup('f')!
    unlinkSync(join(dir, 'f'))
    expect(() => node.content()).toThrow(expect.objectContaining({ code: 'CONTEXT_CHANGED' }))
  })
})

describe('a tar', () => {
  const tar = async () => {
    const chunks: Uint8Array[] = []
    for (const chunk of encodeLayer(diffTrees(EMPTY_TREE, treeOf(SPEC)))) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
  test.each<[string, (bytes: Buffer) => Uint8Array]>([
    ['plain', (bytes) => bytes],
    ['gzip', (bytes) => gzipSync(bytes)],
  ])('%s has the content key of its files', async (_, pack) => {
    const bytes = pack(await tar())
    const want = await contentKeyOf(treeContext(treeOf(SPEC)).result(), ALL)
    for (const source of [bytes, [bytes.subarray(0, 300), bytes.subarray(300)]]) {
      expect(await contentKeyOf((await tarContext(source)).result(), ALL)).toBe(want)
    }
  })

  test('that is none is refused', async () => {
    await expect(tarContext(new TextEncoder().encode('x'.repeat(600)))).rejects.toMatchObject({
      code: expect.stringMatching(/^TAR_/),
    })
  })
})

test('a signal stops a long walk', async () => {
  const dir = folderOf({ 'd/f': 'x' })
  const abort = new AbortController()
  const context = openContext(dir, { signal: abort.signal })
  abort.abort()
  await expect(contentKeyOf(context.result(), ALL)).rejects.toMatchObject({ code: 'ABORT_ERR' })
})

test('a socket is an empty file', async () => {
  const { createServer } = await import('node:net')
  const dir = folderOf({ f: 'x' })
  const server = createServer().listen(join(dir, 's'))
  await new Promise((resolve) => server.once('listening', resolve))
  expect(readdirSync(dir)).toContain('s')
  const { tree } = open(dir)
  expect(tree.root.children!.names()).toEqual(['f', 's'])
  expect(tree.lookup('s')).toMatchObject({ kind: 'file', size: 0, uid: 0 })
  const plain = folderOf({ s: '' })
  chmodSync(join(plain, 's'), tree.lookup('s')!.mode)
  const selectors = [{ path: '/s' }]
  expect(await keyOf(dir, undefined, selectors)).toBe(await keyOf(plain, undefined, selectors))
  server.close()
})
