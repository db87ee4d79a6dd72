// Containers without anything that runs: made, opened, worked on, saved, listed, committed, copied, removed.
import { describe, expect, test } from 'vitest'
import {
  commitContainer,
  containerChanges,
  createContainer,
  findContainer,
  listContainers,
  openContainer,
  readContainer,
  removeContainer,
} from '../../src/containers/index.js'
import { readImage, resolveImage } from '../../src/oci/index.js'
import { applyGc, checkStore, createMemoryStore, openDiskStore, planGc } from '../../src/store/index.js'
import { join } from 'node:path'
import { putImage, scratch, STORES, storeWithImage, text } from './fixtures.js'

describe.each(STORES)('in a store on %s', (_, open) => {
  test('a container keeps its own files; the image and other containers do not see them', async () => {
    await using store = await open()
    await putImage(store)
    const { id } = await createContainer(store, 'app', { name: 'one' })
    await createContainer(store, 'app', { name: 'two' })
    {
      await using one = await openContainer(store, 'one')
      one.view.fs.writeFileSync('/new', 'mine')
      one.view.fs.rmSync('/data/seed')
      await one.save()
    }
    await using again = await openContainer(store, id)
    expect(text(again.view.fs, '/new')).toBe('mine')
    expect(again.view.fs.existsSync('/data/seed')).toBe(false)
    expect(again.changes()).toEqual([
      { kind: 'C', path: '/data' },
      { kind: 'D', path: '/data/seed' },
      { kind: 'A', path: '/new' },
    ])
    await using two = await openContainer(store, 'two')
    expect(two.view.fs.existsSync('/new')).toBe(false)
    expect(two.changes()).toEqual([])
  })

  test('what was not saved is lost with the close', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one' })
    const one = await openContainer(store, 'one')
    one.view.fs.writeFileSync('/new', 'mine')
    await one.close()
    await one.close()
    await expect(one.save()).rejects.toMatchObject({ code: 'CONTAINER_CLOSED' })
    expect(() => one.view).toThrow(/was closed/)
    expect(await containerChanges(store, 'one')).toEqual([])
  })

  test('changes that are taken back leave no layer', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one' })
    await using one = await openContainer(store, 'one')
    one.view.fs.writeFileSync('/x', '1')
    await one.save()
    expect((await findContainer(store, 'one')).layer).toBeDefined()
    const { mtime, atime } = one.view.fs.statSync('/')
    one.view.fs.rmSync('/x')
    one.view.fs.utimesSync('/', atime, mtime)
    await one.save()
    expect(one.changes()).toEqual([])
  })

  test('one opener at a time; a reader is never kept out', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one' })
    const one = await openContainer(store, 'one')
    await expect(openContainer(store, 'one')).rejects.toMatchObject({ code: 'CONTAINER_BUSY' })
    await expect(removeContainer(store, 'one')).rejects.toMatchObject({ code: 'CONTAINER_BUSY' })
    one.view.fs.writeFileSync('/now', '')
    expect((await readContainer(store, 'one')).tree.lookup('now')).toBeDefined()
    expect((await findContainer(store, 'one')).status).toBe('created')
    await one.close()
    await (await openContainer(store, 'one')).close()
  })

  test('gc keeps a container’s image, whatever its names, and its files, until it is removed', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one' })
    {
      await using one = await openContainer(store, 'one')
      one.view.fs.writeFileSync('/new', 'mine')
      await one.save()
    }
    await store.refs.set('app:latest', undefined)
    const collect = async () => {
      const options = { graceMs: 0, nowMs: Date.now() + 3_600_000 }
      return applyGc(store, await planGc(store, options), options)
    }
    await collect()
    {
      await using one = await openContainer(store, 'one')
      expect(text(one.view.fs, '/new')).toBe('mine')
      expect(text(one.view.fs, '/data/seed')).toBe('from the image\n')
    }
    expect((await checkStore(store)).filter(({ severity }) => severity === 'error')).toEqual([])
    await removeContainer(store, 'one')
    await collect()
    const left = []
    for await (const blob of store.blobs.list()) left.push(blob)
    expect(left).toEqual([])
  })
})

describe('create', () => {
  // docker run: what the caller gives stands over what the image says; a new entrypoint takes the image's CMD away.
  test.each([
    [{}, { entrypoint: ['/e'], cmd: ['c'] }],
    [{ cmd: ['x', 'y'] }, { entrypoint: ['/e'], cmd: ['x', 'y'] }],
    [{ entrypoint: ['/n'] }, { entrypoint: ['/n'], cmd: [] }],
    [
      { entrypoint: ['/n'], cmd: ['z'] },
      { entrypoint: ['/n'], cmd: ['z'] },
    ],
    [{ entrypoint: [] }, { entrypoint: [], cmd: [] }],
    [
      { env: { MODE: 'mine', MORE: '' } },
      {
        env: [
          ['PATH', '/bin'],
          ['MODE', 'mine'],
          ['MORE', ''],
        ],
      },
    ],
    [{ cwd: '/tmp' }, { cwd: '/tmp' }],
    [{}, { cwd: '/srv', user: 'web', labels: { a: '1' }, readOnlyRoot: false, network: 'default' }],
    [
      { user: '0', labels: { b: '2' } },
      { user: '0', labels: { a: '1', b: '2' } },
    ],
  ])('%j', async (options, want) => {
    const store = await storeWithImage({
      config: { Entrypoint: ['/e'], Cmd: ['c'], WorkingDir: '/srv', User: 'web', Labels: { a: '1' } },
    })
    const { settings } = await createContainer(store, 'app', options)
    expect(settings).toMatchObject(want)
  })

  test('a name is made up, and is free', async () => {
    const store = await storeWithImage()
    const names = new Set<string>()
    for (let i = 0; i < 20; i++) names.add((await createContainer(store, 'app')).name)
    expect(names.size).toBe(20)
    for (const name of names) expect(name).toMatch(/^[a-z]+_[a-z0-9]+$/)
  })

  test.each([
    ['', 'CONTAINER_NAME_INVALID'],
    ['x', 'CONTAINER_NAME_INVALID'],
    ['-ab', 'CONTAINER_NAME_INVALID'],
    ['a/b', 'CONTAINER_NAME_INVALID'],
    ['taken', 'CONTAINER_NAME_IN_USE'],
  ])('the name %j: %s', async (name, code) => {
    const store = await storeWithImage()
    await createContainer(store, 'app', { name: 'taken' })
    await expect(createContainer(store, 'app', { name })).rejects.toMatchObject({ code })
    expect(await listContainers(store)).toHaveLength(1)
  })

  test('of many that want one name at once, one gets it', async () => {
    const store = await storeWithImage()
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () => createContainer(store, 'app', { name: 'one' })),
    )
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await listContainers(store)).toHaveLength(1)
  })

  test('an image that is not there', async () => {
    await expect(createContainer(createMemoryStore(), 'nope')).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    })
  })
})

describe('finding', () => {
  test('by name, id, or the beginning of one id', async () => {
    const store = await storeWithImage()
    const one = await createContainer(store, 'app', { name: 'one' })
    await createContainer(store, 'app', { name: 'two' })
    for (const key of ['one', one.id, one.id.slice(0, 12)]) {
      expect((await findContainer(store, key)).id).toBe(one.id)
    }
    for (const key of ['', 'on', 'three', 'f'.repeat(64)]) {
      await expect(findContainer(store, key), key).rejects.toMatchObject({ code: 'CONTAINER_NOT_FOUND' })
    }
  })

  test('a record that a newer lamella wrote is not taken for one of ours', async () => {
    const store = await storeWithImage()
    const { id } = await createContainer(store, 'app', { name: 'one' })
    await store.documents.change(async (edit) => {
      const document = (await edit.get('containers', id))!
      await edit.put('containers', id, { ...(document.value as object), version: 2 }, document.roots)
    })
    await expect(listContainers(store)).rejects.toMatchObject({ code: 'CONTAINER_RECORD_INVALID' })
  })
})

describe('commit', () => {
  test('the container’s files on top of its image, with what it was made with; the container goes on', async () => {
    const store = await storeWithImage()
    await createContainer(store, 'app', {
      name: 'one',
      cmd: ['serve', '--fast'],
      env: { A: '1' },
      cwd: '/srv',
    })
    await using one = await openContainer(store, 'one')
    one.view.fs.mkdirSync('/srv')
    one.view.fs.writeFileSync('/srv/page', 'hello')
    const image = await commitContainer(store, 'one', {
      tags: ['app:2'],
      message: 'with a page',
      author: 'me',
    })
    expect(image.layers).toHaveLength(2)
    expect(image.config.config).toMatchObject({
      Cmd: ['serve', '--fast'],
      Env: ['PATH=/bin', 'MODE=image', 'A=1'],
      WorkingDir: '/srv',
    })
    expect(image.config.history?.at(-1)).toMatchObject({
      created_by: 'serve --fast',
      comment: 'with a page',
      author: 'me',
    })
    const read = await readImage(store.blobs, await resolveImage(store, 'app:2'))
    expect(read.config).toEqual(image.config)
    await createContainer(store, 'app:2', { name: 'two' })
    await using two = await openContainer(store, 'two')
    expect(text(two.view.fs, '/srv/page')).toBe('hello')
    expect(two.changes()).toEqual([])
    one.view.fs.writeFileSync('/later', '')
    expect(two.view.fs.existsSync('/later')).toBe(false)
  })

  test('of an unchanged container: the same layers', async () => {
    const store = await storeWithImage()
    await createContainer(store, 'app', { name: 'one' })
    const image = await commitContainer(store, 'one')
    expect(image.layers).toHaveLength(1)
    expect(image.config.history?.at(-1)?.empty_layer).toBe(true)
  })
})

test('a container survives the process, and a store that is opened anew', async () => {
  const path = join(scratch(), 'store')
  {
    await using store = await openDiskStore(path)
    await putImage(store)
    await createContainer(store, 'app', { name: 'one' })
    await using one = await openContainer(store, 'one')
    one.view.fs.writeFileSync('/new', 'mine')
    await one.save()
  }
  await using store = await openDiskStore(path)
  expect((await listContainers(store)).map(({ name }) => name)).toEqual(['one'])
  await using one = await openContainer(store, 'one')
  expect(text(one.view.fs, '/new')).toBe('mine')
})
