// The folder: what it holds, whose folders are refused, and what foreign layouts are spared.
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MEDIA_TYPES, type Descriptor } from '../../src/descriptor.js'
import { digestOf, hexOf } from '../../src/digest.js'
import { openDiskStore, readBlob, type Store } from '../../src/store/index.js'
import { movableEnv } from '../../src/testing/index.js'
import { makeFolder } from './folder.js'

const OCI_LAYOUT = '{"imageLayoutVersion":"1.0.0"}'

async function putTarget(store: Store, text: string): Promise<Descriptor> {
  const { digest, size } = await store.blobs.put(Buffer.from(text))
  return { mediaType: MEDIA_TYPES.manifest, digest, size }
}

/** Every path in a folder. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map(String).sort()
}

// OCI image-spec v1.1 image-layout.md § Content: oci-layout, index.json, blobs/<alg>/<encoded>
test('a new store is an OCI image layout', async () => {
  const folder = join(makeFolder(), 'deep/er')
  const store = await openDiskStore(folder)
  expect(readFileSync(join(folder, 'oci-layout'), 'utf8')).toBe(OCI_LAYOUT)
  expect(JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))).toEqual({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: [],
  })
  const target = await putTarget(store, '{}')
  await store.refs.set('app:1', target)
  const file = join(folder, 'blobs/sha256', hexOf(target.digest))
  expect(readFileSync(file, 'utf8')).toBe('{}')
  expect(statSync(file).mode & 0o777).toBe(0o444 & ~process.umask())
  expect(readFileSync(join(folder, 'index.json'), 'utf8')).toBe(
    `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.index}","manifests":[{"mediaType":"${MEDIA_TYPES.manifest}",` +
      `"digest":"${target.digest}","size":2,"annotations":{"org.opencontainers.image.ref.name":"app:1"}}]}`,
  )
  expect(readdirSync(join(folder, 'lamella/tmp'))).toEqual([])
  await store.close()
})

test('what one opening wrote, the next one reads', async () => {
  const folder = makeFolder()
  const { env } = movableEnv()
  const first = await openDiskStore(folder, { env })
  const target = await putTarget(first, 'kept')
  await first.refs.set('app', target)
  await first.records.write({ put: [['key', Buffer.from('value')]] })
  await first.sidecars.put('kind', 'key', Buffer.from('side'))
  const lease = await first.leases.create()
  await first.leases.add(lease.id, [target.digest])
  const history = await first.refs.history('app')
  await first.close()

  const second = await openDiskStore(folder, { env, create: false })
  expect(Buffer.from(await readBlob(second.blobs, target.digest)).toString()).toBe('kept')
  expect(await second.refs.list()).toEqual([{ name: 'app', target }])
  expect(await second.refs.history('app')).toEqual(history)
  expect(Buffer.from(second.records.get('key')!).toString()).toBe('value')
  expect(Buffer.from(second.sidecars.get('kind', 'key')!).toString()).toBe('side')
  expect((await second.leases.list()).map(({ digests }) => digests)).toEqual([[target.digest]])
  await second.close()
})

describe('folders that are refused', () => {
  const open = (path: string, create = true) => openDiskStore(path, { create })
  const refused = (path: string, code: string, create = true) =>
    expect(open(path, create)).rejects.toMatchObject({ name: 'StoreError', code })

  test('absent or empty, and not to be made: STORE_NOT_FOUND', async () => {
    const folder = makeFolder()
    await refused(join(folder, 'absent'), 'STORE_NOT_FOUND', false)
    await refused(folder, 'STORE_NOT_FOUND', false)
    expect(readdirSync(folder)).toEqual([])
  })

  test('not empty and no layout: STORE_NOT_OCI, and it stays as it is', async () => {
    const folder = makeFolder()
    writeFileSync(join(folder, 'thesis.tex'), '')
    await refused(folder, 'STORE_NOT_OCI')
    expect(readdirSync(folder)).toEqual(['thesis.tex'])
  })

  test('a file: STORE_NOT_OCI', async () => {
    const file = join(makeFolder(), 'file')
    writeFileSync(file, '')
    await refused(file, 'STORE_NOT_OCI')
    await refused(join(file, 'below'), 'STORE_NOT_OCI')
  })

  test.each(['', 'not json', '[]', 'null', '{}', '{"imageLayoutVersion":1}'])(
    'an oci-layout that is none, %j: STORE_NOT_OCI',
    async (text) => {
      const folder = makeFolder()
      writeFileSync(join(folder, 'oci-layout'), text)
      await refused(folder, 'STORE_NOT_OCI')
    },
  )

  test('another version: STORE_VERSION', async () => {
    const folder = makeFolder()
    writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}')
    await refused(folder, 'STORE_VERSION')
  })

  test('a newer lamella: STORE_VERSION', async () => {
    const folder = makeFolder()
    await (await open(folder)).close()
    writeFileSync(join(folder, 'lamella/format'), '99\n')
    await refused(folder, 'STORE_VERSION')
  })

  test('the system refuses: STORE_UNREADABLE with its errno', async () => {
    const folder = makeFolder()
    mkdirSync(join(folder, 'oci-layout'))
    await expect(open(folder)).rejects.toMatchObject({ code: 'STORE_UNREADABLE', data: { errno: 'EISDIR' } })
  })

  test.skipIf(process.getuid?.() === 0)('no permission: STORE_UNREADABLE', async () => {
    const folder = makeFolder()
    chmodSync(folder, 0)
    await refused(folder, 'STORE_UNREADABLE')
    chmodSync(folder, 0o755)
  })

  test.each([
    ['{', ''],
    ['{"schemaVersion":1,"manifests":[]}', 'schemaVersion'],
    ['{"schemaVersion":2,"manifests":{}}', 'manifests'],
    ['{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"md5:0","size":1}]}', 'manifests[0].digest'],
    ['{"schemaVersion":2,"manifests":[7]}', 'manifests[0]'],
  ])('an index.json that is none, %s: STORE_UNREADABLE, naming the field', async (text, field) => {
    const folder = makeFolder()
    const store = await open(folder)
    writeFileSync(join(folder, 'index.json'), text)
    await expect(store.refs.list()).rejects.toMatchObject({ code: 'STORE_UNREADABLE', data: { field } })
    await store.close()
  })
})

test('a start that was interrupted is begun again', async () => {
  for (const made of [
    ['lamella/tmp'],
    ['lamella/tmp', 'blobs/sha256'],
    ['lamella/tmp', 'blobs/sha256', 'index.json'],
  ]) {
    const folder = makeFolder()
    for (const name of made) {
      if (name === 'index.json') writeFileSync(join(folder, name), '{"schemaVersion":2,"manifests":[]}')
      else mkdirSync(join(folder, name), { recursive: true })
    }
    const store = await openDiskStore(folder)
    expect(await store.refs.list()).toEqual([])
    await store.close()
    expect(existsSync(join(folder, 'oci-layout'))).toBe(true)
  }
})

test('a store that another process has just made, between two looks of ours, is opened', async () => {
  const { nodeFs } = await import('../../src/store/node-fs.js')
  const folder = makeFolder()
  mkdirSync(join(folder, 'lamella'))
  let made = 0
  const fs: typeof nodeFs = {
    ...nodeFs,
    readDir(path) {
      if (path === folder && made++ === 0) {
        mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
        writeFileSync(join(folder, 'index.json'), '{"schemaVersion":2,"manifests":[]}')
        writeFileSync(join(folder, 'oci-layout'), OCI_LAYOUT)
      }
      return nodeFs.readDir(path)
    },
  }
  const store = await openDiskStore(folder, { fs })
  expect(made).toBeGreaterThan(0)
  expect(await store.refs.list()).toEqual([])
  await store.close()
})

describe('a layout that another tool made', () => {
  const digest = digestOf('manifest')
  const untagged = { mediaType: MEDIA_TYPES.manifest, digest, size: 8 }
  const foreign = {
    schemaVersion: 2,
    manifests: [
      untagged,
      { ...untagged, annotations: { 'org.opencontainers.image.ref.name': 'a', 'x.y': 'z' } },
    ],
    annotations: { 'com.example': '1' },
  }

  function makeForeign(): string {
    const folder = makeFolder()
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
    writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion": "1.0.0"}\n')
    writeFileSync(join(folder, 'index.json'), JSON.stringify(foreign, null, 2))
    writeFileSync(join(folder, 'blobs/sha256', hexOf(digest)), 'manifest')
    return folder
  }

  test('is read without writing anything into it', async () => {
    const folder = makeForeign()
    const before = listing(folder)
    const store = await openDiskStore(folder)
    expect(await store.refs.list()).toEqual([
      { name: 'a', target: { ...untagged, annotations: { 'x.y': 'z' } } },
    ])
    expect(Buffer.from(await readBlob(store.blobs, digest)).toString()).toBe('manifest')
    expect(store.records.get('k')).toBeUndefined()
    expect([...store.records.keys('')]).toEqual([])
    expect(store.sidecars.get('k', 'k')).toBeUndefined()
    expect(await store.leases.list()).toEqual([])
    expect((await store.refs.history('a')).map(({ before, after }) => [before, after?.digest])).toEqual([
      [undefined, digest],
    ])
    await store.close()
    expect(listing(folder)).toEqual(before)
  })

  test('keeps what is not ours when a ref is set', async () => {
    const folder = makeForeign()
    const store = await openDiskStore(folder)
    await store.refs.set('b', untagged)
    await store.refs.set('a', undefined)
    expect(JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))).toEqual({
      schemaVersion: 2,
      manifests: [untagged, { ...untagged, annotations: { 'org.opencontainers.image.ref.name': 'b' } }],
      annotations: { 'com.example': '1' },
    })
    await store.close()
  })

  test('a change that it makes to our refs shows in their history', async () => {
    const folder = makeFolder()
    const store = await openDiskStore(folder)
    const [a, b] = [await putTarget(store, 'a'), await putTarget(store, 'b')]
    await store.refs.set('x', a)
    const index = readFileSync(join(folder, 'index.json'), 'utf8')
    writeFileSync(join(folder, 'index.json'), index.replace(a.digest, b.digest))
    const seen = async () =>
      (await store.refs.history('x')).map(({ before, after }) => [before?.digest, after?.digest])
    expect(await seen()).toEqual([
      [a.digest, b.digest],
      [undefined, a.digest],
    ])
    await store.refs.set('x', a, b.digest)
    expect(await seen()).toEqual([
      [b.digest, a.digest],
      [a.digest, b.digest],
      [undefined, a.digest],
    ])
    await store.close()
  })
})

test('the mark of a gc that died while it swept holds nobody up', async () => {
  const folder = makeFolder()
  const store = await openDiskStore(folder)
  const target = await putTarget(store, 'a')
  const mark = () => writeFileSync(join(folder, 'lamella/sweeping'), '')
  mark()
  await store.blobs.put(Buffer.from('a'))
  mark()
  await store.refs.set('x', target)
  mark()
  await store.documents.change(async () => void (await store.blobs.put(Buffer.from('a'))))
  mark()
  await store.exclusive(async () => undefined)
  expect(existsSync(join(folder, 'lamella/sweeping'))).toBe(false)
  await store.close()
})

describe('damage', () => {
  test('a flipped bit in a blob: a whole read ends in DIGEST_MISMATCH', async () => {
    const folder = makeFolder()
    const store = await openDiskStore(folder)
    const { digest } = await store.blobs.put(Buffer.alloc(3 << 20, 'x'))
    const file = join(folder, 'blobs/sha256', hexOf(digest))
    chmodSync(file, 0o644)
    const bytes = readFileSync(file)
    bytes[2_000_000]! ^= 4
    writeFileSync(file, bytes)
    await expect(readBlob(store.blobs, digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await store.close()
  })

  test('a blob that lost its end: reading says so, putting it again heals it', async () => {
    const folder = makeFolder()
    const store = await openDiskStore(folder)
    const bytes = Buffer.alloc(100_000, 'x')
    const { digest } = await store.blobs.put(bytes)
    const file = join(folder, 'blobs/sha256', hexOf(digest))
    chmodSync(file, 0o644)
    truncateSync(file, 50_000)
    await expect(readBlob(store.blobs, digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await store.blobs.put(bytes)
    expect((await readBlob(store.blobs, digest)).length).toBe(100_000)
    chmodSync(file, 0o644)
    truncateSync(file, 0)
    await store.blobs.put([bytes])
    expect((await readBlob(store.blobs, digest)).length).toBe(100_000)
    await store.close()
  })

  test('any flipped bit, any cut of a sidecar: it is absent', async () => {
    const folder = makeFolder()
    const store = await openDiskStore(folder)
    await store.sidecars.put('kind', 'key', Buffer.from('layer index'))
    const file = join(folder, 'lamella/sidecars/kind/key')
    const good = readFileSync(file)
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      writeFileSync(file, bad)
      expect(store.sidecars.get('kind', 'key'), `bit ${bit}`).toBeUndefined()
    }
    for (let length = 0; length < good.length; length++) {
      writeFileSync(file, good.subarray(0, length))
      expect(store.sidecars.get('kind', 'key'), `${length} bytes`).toBeUndefined()
    }
    writeFileSync(join(folder, 'lamella/sidecars/kind/other'), good)
    expect(store.sidecars.get('kind', 'other')).toBeUndefined()
    writeFileSync(file, good)
    expect(store.sidecars.get('kind', 'key')).toBeDefined()
    await store.close()
  })

  test('an unfinished line in a reflog or a lease is passed over', async () => {
    const folder = makeFolder()
    const { env } = movableEnv()
    const store = await openDiskStore(folder, { env })
    const [a, b] = [await putTarget(store, 'a'), await putTarget(store, 'b')]
    await store.refs.set('x', a)
    const [log] = readdirSync(join(folder, 'lamella/reflog'))
    appendFileSync(join(folder, 'lamella/reflog', log!), '{"name":"x","time":"17')
    const lease = await store.leases.create()
    await store.leases.add(lease.id, [a.digest])
    appendFileSync(join(folder, 'lamella/leases', lease.id), `\n{"expires":"9","ttlMs":1,"digests":["sha2`)
    await store.refs.set('x', b)
    await store.leases.add(lease.id, [b.digest])
    expect((await store.refs.history('x')).map(({ after }) => after?.digest)).toEqual([b.digest, a.digest])
    expect((await store.leases.list())[0]?.digests).toEqual([a.digest, b.digest])
    await store.close()
  })
})

test('durability: full syncs every file and folder, none syncs nothing', async () => {
  const { nodeFs } = await import('../../src/store/node-fs.js')
  const count = async (durability: 'full' | 'none') => {
    let syncs = 0
    const fs = {
      ...nodeFs,
      sync: (fd: number) => (syncs++, nodeFs.sync(fd)),
      syncDir: (path: string) => (syncs++, nodeFs.syncDir(path)),
    }
    const store = await openDiskStore(makeFolder(), { durability, fs })
    const opened = syncs
    const target = await putTarget(store, 'a')
    const put = syncs
    await store.refs.set('x', target)
    await store.close()
    return { opened, put: put - opened, tagged: syncs - put }
  }
  // Each folder that is made, by its parent (lamella, tmp, blobs, sha256); index.json, oci-layout, and the root that names
  // them. The blob, then its folder. reflog/ by its parent, the log, reflog/ that names it; index.json, the root.
  expect(await count('full')).toEqual({ opened: 7, put: 2, tagged: 5 })
  expect(await count('none')).toEqual({ opened: 0, put: 0, tagged: 0 })
})
