// A rebuild without changes: whole builds over whole stores, watched from outside.
import { lstatSync, readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { build, type BuildOptions } from '../../src/builder/index.js'
import { createMemoryStore, openDiskStore, type Store } from '../../src/store/index.js'
import { executor } from './executor.js'
import { folderOf, tempFolder, type TreeSpec } from './fixtures.js'

const FILES: TreeSpec = {
  'package.json': '{}',
  'package-lock.json': '{}',
  'prisma/schema.prisma': 'model A {}',
  'src/index.ts': 'index',
  'src/lib/a.ts': 'a',
  'src/lib/link': { type: 'symlink', target: 'a.ts' },
}

const DOCKERFILE = `FROM scratch AS base
WORKDIR /app
FROM base AS tools
RUN write /tool x
FROM base
COPY package* .
COPY --from=tools /tool /bin/tool
RUN --mount=type=bind,source=src,target=/src npm install
COPY --link . .
RUN npm run build
CMD ["node", "."]
`

const options = (store: Store, context: string): BuildOptions => ({
  store,
  context,
  executor,
  tags: ['app'],
  dockerfile: { text: DOCKERFILE },
})

/** Every call that reads content or changes anything. */
function watched(store: Store): { store: Store; calls: string[] } {
  const calls: string[] = []
  const watch = <T extends object>(name: string, target: T, methods: readonly string[]): T =>
    new Proxy(target, {
      get(object, property) {
        const value: unknown = Reflect.get(object, property, object)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => {
          if (methods.includes(String(property))) calls.push(`${name}.${String(property)} ${String(args[0])}`)
          return (value as (...all: unknown[]) => unknown).apply(object, args)
        }
      },
    })
  const parts = {
    blobs: watch('blobs', store.blobs, ['put', 'open', 'delete']),
    records: watch('records', store.records, ['write']),
    sidecars: watch('sidecars', store.sidecars, ['put', 'delete']),
    refs: watch('refs', store.refs, ['set']),
    leases: watch('leases', store.leases, ['create', 'add', 'release']),
  }
  const proxy = new Proxy(store, {
    get: (object, property) => Reflect.get(parts, property) ?? Reflect.get(object, property, object),
  })
  return { store: proxy, calls }
}

describe('nothing is written and no layer is opened', () => {
  test('memory', async () => {
    const dir = folderOf(FILES)
    const store = createMemoryStore()
    const first = await build(options(store, dir))
    const { store: proxy, calls } = watched(store)
    const second = await build(options(proxy, dir))
    expect(calls).toEqual([])
    expect(second.image.digest).toBe(first.image.digest)
    const outcomes = second.steps
      .filter(({ vertex }) => vertex.op.kind !== 'local')
      .map(({ outcome }) => outcome)
    expect(outcomes.every((outcome) => outcome === 'hit')).toBe(true)
  })

  test('disk: no file of the store is touched', async () => {
    const dir = folderOf(FILES)
    const path = join(tempFolder(), 'store')
    const snapshot = () =>
      (readdirSync(path, { recursive: true }) as string[])
        .filter((name) => !name.endsWith('lock.mdb'))
        .map((name) => [name, lstatSync(join(path, name)).mtimeMs])
        .sort()
    const store = await openDiskStore(path, { durability: 'none' })
    await build(options(store, dir))
    await store.close()
    const before = snapshot()
    const again = await openDiskStore(path, { durability: 'none' })
    const { store: proxy, calls } = watched(again)
    await build(options(proxy, dir))
    await again.close()
    expect(calls).toEqual([])
    expect(snapshot()).toEqual(before)
  })

  test('new times on every file cost one reading and change nothing', async () => {
    const dir = folderOf(FILES)
    const store = createMemoryStore()
    const first = await build(options(store, dir))
    for (const name of readdirSync(dir, { recursive: true }) as string[]) {
      if (!lstatSync(join(dir, name)).isSymbolicLink()) utimesSync(join(dir, name), 1, 1)
    }
    const { store: proxy, calls } = watched(store)
    const second = await build(options(proxy, dir))
    expect(second.image.digest).toBe(first.image.digest)
    expect(calls.map((call) => call.split(' ')[0])).toEqual(['sidecars.put'])
    expect(calls[0]).toContain('context')
  })
})

describe('the same image', () => {
  const digest = async (store: Store, more: Partial<BuildOptions> = {}, dir = folderOf(FILES)) => {
    const all = { ...options(store, dir), sourceDateEpoch: 1_700_000_000, rewriteTimestamp: true, ...more }
    return (await build(all)).image.digest
  }

  test('from two folders, with any concurrency, in memory and on disk', async () => {
    const want = await digest(createMemoryStore())
    expect(await digest(createMemoryStore())).toBe(want)
    expect(await digest(createMemoryStore(), { concurrency: 1 })).toBe(want)
    expect(await digest(createMemoryStore(), { concurrency: 8 })).toBe(want)
    const store = await openDiskStore(join(tempFolder(), 'store'), { durability: 'none' })
    expect(await digest(store)).toBe(want)
    await store.close()
  })

  test('cold, cached, and with a cache that was pruned in between', async () => {
    const store = createMemoryStore()
    const dir = folderOf(FILES)
    const want = await digest(store, {}, dir)
    expect(await digest(store, {}, dir)).toBe(want)
    await store.records.write({ delete: [...store.records.keys('')] })
    expect(await digest(store, {}, dir)).toBe(want)
  })
})
