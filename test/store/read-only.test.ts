// A store that cannot be written, or lies elsewhere than it is asked for: reading works, writing says why it does not.
import { chmodSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { DiskFs } from '../../src/store/disk-fs.js'
import type { DiskStoreOptions } from '../../src/store/disk-store.js'
import { build } from '../../src/builder/index.js'
import { systemEnv, type Env } from '../../src/env.js'
import { readImage } from '../../src/oci/index.js'
import { applyGc, checkStore, openDiskStore, planGc, type Store } from '../../src/store/index.js'
import { nodeFs } from '../../src/store/node-fs.js'
import { openTree } from '../../src/unionfs/index.js'
import { addImage } from '../builder/fixtures.js'
import { makeFolder } from './folder.js'

/** Whoever runs this as root is not stopped by permissions: then the calls that change something fail by themselves. */
function readOnlyFs(code: string): DiskFs {
  const refuse = (path: string) => {
    throw Object.assign(new Error(`${code}: not for you, '${path}'`), { code, path })
  }
  return {
    ...nodeFs,
    open: (path, mode, permissions) =>
      mode === 'read' ? nodeFs.open(path, mode, permissions) : refuse(path),
    makeDir: (path) =>
      statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? undefined : refuse(path),
    rename: refuse,
    link: refuse,
    truncate: refuse,
    chmod: refuse,
    remove: (path) => (statSync(path, { throwIfNoEntry: false }) === undefined ? false : refuse(path)),
    removeDir: (path) => (statSync(path, { throwIfNoEntry: false }) === undefined ? false : refuse(path)),
    touch: refuse,
  }
}

let folder: string
beforeEach(async () => {
  folder = makeFolder()
  const store = await openDiskStore(folder, { durability: 'none' })
  await addImage(store, 'app:latest', { a: `=${'a'.repeat(2_000_000)}`, b: '=2' })
  await store.records.write({ put: [['key', Buffer.from('value')]] })
  await store.close()
})

async function open(path: string, options: DiskStoreOptions = {}): Promise<Store> {
  const store = await openDiskStore(path, { durability: 'none', ...options })
  onTestFinished(() => store.close())
  return store
}

/** All that a reader does. */
async function readAll(store: Store): Promise<void> {
  const target = (await store.refs.get('app:latest'))!
  const tree = await openTree(store, (await readImage(store.blobs, target)).layers)
  for (const { node } of tree.walk()) if (node.kind === 'file') node.content()
  expect(Buffer.from(store.records.get('key')!).toString()).toBe('value')
  expect(store.records.get('other')).toBeUndefined()
  expect(await store.refs.history('app:latest')).toHaveLength(1)
  expect(await store.leases.list()).toEqual([])
  expect(await store.documents.list('container')).toEqual([])
  expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
  expect((await planGc(store)).remove).toEqual([])
}

const WRITES: Record<string, (store: Store) => Promise<unknown>> = {
  put: (store) => store.blobs.put(Buffer.from('new')),
  'put of a stream': (store) => store.blobs.put([Buffer.alloc(3_000_000)]),
  tag: async (store) => store.refs.set('other', await store.refs.get('app:latest')),
  untag: (store) => store.refs.set('app:latest', undefined),
  lease: (store) => store.leases.create(),
  document: (store) => store.documents.change((edit) => edit.put('container', 'c', 1)),
  ingest: (store) => store.blobs.ingest!('x'),
  sidecar: (store) => store.sidecars.put('kind', 'key', Buffer.from('x')),
  exclusive: (store) => store.exclusive(async () => undefined),
  gc: async (store) => applyGc(store, await planGc(store, { graceMs: 0 })),
}

describe.each(['EROFS', 'EACCES', 'EPERM'])('a file system that refuses with %s', (code) => {
  const files = () => readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()

  test('everything can be read', async () => {
    const before = files()
    const store = await open(folder, { fs: readOnlyFs(code) })
    await readAll(store)
    await store.close()
    expect(files()).toEqual(before)
  })

  test.each(Object.entries(WRITES))('%s: an error that says so', async (_, write) => {
    const store = await open(folder, { fs: readOnlyFs(code) })
    await expect(write(store)).rejects.toMatchObject({ code: 'STORE_READ_ONLY', data: { errno: code } })
    await readAll(store)
  })

  test('what is there already needs no write', async () => {
    const store = await open(folder, { fs: readOnlyFs(code) })
    const target = (await store.refs.get('app:latest'))!
    const { manifest } = await readImage(store.blobs, target)
    const chunks: Uint8Array[] = []
    for await (const chunk of store.blobs.get(manifest.config.digest)) chunks.push(chunk)
    await store.blobs.put(Buffer.concat(chunks))
  })

  test('a build that finds everything, a day after the hits were last used', async () => {
    const context = makeFolder()
    writeFileSync(join(context, 'Dockerfile'), 'FROM app\nWORKDIR /w\nCOPY f .\nENV a=b\n')
    writeFileSync(join(context, 'f'), 'f')
    const run = async (env: Env, fs?: DiskFs) => {
      const store = await open(folder, { env, ...(fs === undefined ? {} : { fs }) })
      const result = await build({ context, store, env })
      await store.close()
      return result
    }
    const first = await run(systemEnv)
    const later: Env = { ...systemEnv, now: () => systemEnv.now() + 86_400_000_000_000n }
    const again = await run(later, readOnlyFs(code))
    expect(again.image.digest).toBe(first.image.digest)
    writeFileSync(join(context, 'f'), 'other')
    await expect(run(later, readOnlyFs(code))).rejects.toMatchObject({ code: 'STORE_READ_ONLY' })
  })

  test('a store that would have to be made', async () => {
    const opened = openDiskStore(join(folder, 'new'), { fs: readOnlyFs(code) })
    await expect(opened).rejects.toMatchObject({ code: 'STORE_UNREADABLE', data: { errno: code } })
  })
})

describe('permissions of the system itself', () => {
  const isRoot = process.getuid?.() === 0
  beforeEach(() => chmodTree(folder, 0o555, 0o444))
  afterEach(() => chmodTree(folder, 0o755, 0o644))

  test.skipIf(isRoot)('a reader without the right to write', async () => {
    const store = await open(folder)
    await readAll(store)
    await expect(WRITES.put!(store)).rejects.toMatchObject({ code: 'STORE_READ_ONLY' })
  })
})

describe('one folder under several names', () => {
  test('a symlink, a relative path, a trailing slash: one lock, one truth', async () => {
    const link = join(makeFolder(), 'link')
    symlinkSync(folder, link)
    const stores = await Promise.all(
      [folder, link, relative(process.cwd(), folder), `${folder}//`].map((path) => open(path)),
    )
    const target = (await stores[0]!.refs.get('app:latest'))!
    let inside = 0
    await Promise.all(
      stores.map(async (store, i) => {
        for (let n = 0; n < 5; n++) {
          await store.exclusive(async () => {
            expect(++inside).toBe(1)
            await new Promise((done) => setTimeout(done, 2))
            inside--
          })
          await store.refs.set(`by-${i}-${n}`, target)
        }
      }),
    )
    for (const store of stores) expect(await store.refs.list()).toHaveLength(1 + 20)
  })
})

// What a network file system may answer to a rename that it has carried out before the connection broke, or to one whose
// source another client still has open. @see rename(2), NFS § silly rename
describe('a rename that fails', () => {
  test.each(['ENOENT', 'ESTALE', 'EBUSY', 'EIO'])(
    'once with %s: a typed error, and the store goes on',
    async (code) => {
      let failing = 0
      const fs: DiskFs = {
        ...nodeFs,
        rename(from, to) {
          if (failing > 0 && !to.endsWith('.free') && failing-- > 0)
            throw Object.assign(new Error(code), { code })
          nodeFs.rename(from, to)
        },
      }
      const store = await open(folder, { fs })
      const target = (await store.refs.get('app:latest'))!
      for (const write of [
        () => store.blobs.put(Buffer.from(`blob ${code}`)),
        () => store.refs.set('new', target),
        () => store.documents.change((edit) => edit.put('container', 'c', 1)),
      ]) {
        failing = 1
        await expect(write()).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED', data: { errno: code } })
        expect(failing).toBe(0)
        await write()
      }
      expect(readdirSync(join(folder, 'lamella/tmp'))).toEqual([])
      expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
    },
  )
})

describe('another format', () => {
  test('of a newer lamella: refused, and named', async () => {
    writeFileSync(join(folder, 'lamella/format'), '2\n')
    await expect(openDiskStore(folder)).rejects.toMatchObject({ code: 'STORE_VERSION', data: { version: 2 } })
  })
})

function chmodTree(path: string, dirs: number, files: number): void {
  for (const name of [...readdirSync(path, { recursive: true, encoding: 'utf8' }), '.']) {
    const at = join(path, name)
    chmodSync(at, statSync(at).isDirectory() ? dirs : files)
  }
}
