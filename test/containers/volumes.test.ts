// Volumes and mounts: what outlives a container, what is shared, what is in use. docker docs, storage/volumes.
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  containerChanges,
  createContainer,
  createVolume,
  inspectVolume,
  listVolumes,
  openContainer,
  parseMountFlag,
  parseTmpfsFlag,
  parseVolumeFlag,
  planPruneVolumes,
  pruneVolumes,
  readVolume,
  removeContainer,
  removeVolume,
  runContainer,
  type MountRequest,
} from '../../src/containers/index.js'
import { applyGc, openDiskStore, planGc } from '../../src/store/index.js'
import { UnionView } from '../../src/unionfs/index.js'
import { BOTH, inView, onCopy, putImage, scratch, STORES, storeWithImage, text } from './fixtures.js'

const volume = (target: string, more: object = {}): MountRequest => ({ type: 'volume', target, ...more })

// docker run reference, VOLUME; moby/moby volume/mounts/linux_parser.go
describe('-v', () => {
  test.each<[string, object]>([
    ['data:/d', { type: 'volume', volume: 'data', target: '/d', readOnly: false }],
    ['data:/d:ro', { volume: 'data', readOnly: true }],
    ['data:/d:rw', { readOnly: false }],
    ['data:/d:ro,nocopy', { readOnly: true, noCopy: true }],
    ['data:/d/../e//f/', { target: '/e/f' }],
    ['/d', { type: 'volume', target: '/d' }],
    ['/host:/d', { type: 'bind', source: '/host', target: '/d', readOnly: false }],
    ['/host:/d:ro,z', { type: 'bind', readOnly: true }],
  ])('%s', (flag, want) => expect(parseVolumeFlag(flag)).toMatchObject(want))

  test.each([
    ['', 'MOUNT_INVALID'],
    ['data', 'MOUNT_INVALID'],
    ['data:d', 'MOUNT_INVALID'],
    ['data:/', 'MOUNT_INVALID'],
    ['data:/d:what', 'MOUNT_INVALID'],
    ['data:/d:ro,rw', 'MOUNT_INVALID'],
    ['a:/b:ro:x', 'MOUNT_INVALID'],
    [':/d', 'MOUNT_INVALID'],
    ['./here:/d', 'MOUNT_INVALID'],
    ['-x:/d', 'VOLUME_NAME_INVALID'],
    ['a b:/d', 'VOLUME_NAME_INVALID'],
  ])('%j: %s', (flag, code) =>
    expect(() => parseVolumeFlag(flag)).toThrow(expect.objectContaining({ code }) as Error),
  )
})

describe('--mount', () => {
  test.each<[string, object]>([
    ['type=volume,source=data,target=/d', { type: 'volume', volume: 'data', target: '/d', readOnly: false }],
    ['src=data,dst=/d,readonly', { type: 'volume', volume: 'data', readOnly: true }],
    ['target=/d,volume-nocopy=true', { type: 'volume', noCopy: true }],
    ['type=bind,source=/h,destination=/d,ro=1', { type: 'bind', source: '/h', readOnly: true }],
    ['type=tmpfs,target=/d', { type: 'tmpfs', target: '/d' }],
    ['type=tmpfs,dst=/d,tmpfs-size=1m,tmpfs-mode=0700', { sizeBytes: 1 << 20, mode: 0o700 }],
  ])('%s', (flag, want) => expect(parseMountFlag(flag)).toMatchObject(want))

  // tmpfs(5), docker docs "tmpfs mounts"
  test.each<[string, object]>([
    ['/d', { type: 'tmpfs', target: '/d', sizeBytes: undefined, mode: undefined, readOnly: false }],
    ['/d:size=64k,mode=1770,noexec,rw', { target: '/d', sizeBytes: 65_536, mode: 0o1770, readOnly: false }],
    ['/d:size=0,ro', { sizeBytes: undefined, readOnly: true }],
    ['/d:size=5000', { sizeBytes: 5000 }],
  ])('--tmpfs %s', (flag, want) => expect(parseTmpfsFlag(flag)).toMatchObject(want))

  test.each(['d', '/', '/d:size=x', '/d:size=-1', '/d:mode=9', '/d:colour=red', '/d:'])(
    '--tmpfs %s',
    (flag) =>
      expect(() => parseTmpfsFlag(flag)).toThrow(expect.objectContaining({ code: 'MOUNT_INVALID' }) as Error),
  )

  test.each([
    'type=volume',
    'type=bind,target=/d',
    'type=what,target=/d',
    'target=/d,color=red',
    'target=/d,constructor=x',
  ])('%s', (flag) =>
    expect(() => parseMountFlag(flag)).toThrow(expect.objectContaining({ code: 'MOUNT_INVALID' }) as Error),
  )
})

describe.each(STORES)('in a store on %s', (_, open) => {
  test('a volume outlives its containers, their images and gc; it is in no layer and no diff', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one', mounts: ['data:/vol/data'] })
    {
      await using one = await openContainer(store, 'one')
      one.view.fs.writeFileSync('/vol/data/f', 'kept')
      await one.save()
    }
    expect(await containerChanges(store, 'one')).toEqual([
      { kind: 'A', path: '/vol' },
      { kind: 'A', path: '/vol/data' },
    ])
    await removeContainer(store, 'one')
    await store.refs.set('app:latest', undefined)
    const options = { graceMs: 0, nowMs: Date.now() + 3_600_000 }
    await applyGc(store, await planGc(store, options), options)
    expect(text(UnionView.open(await readVolume(store, 'data')).fs, '/f')).toBe('kept')
    await putImage(store)
    await createContainer(store, 'app', { name: 'two', mounts: ['data:/elsewhere'] })
    await using two = await openContainer(store, 'two')
    expect(text(two.view.fs, '/elsewhere/f')).toBe('kept')
  })

  test('one that is in use is not removed, whether its container runs or not', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one', mounts: ['data:/d'] })
    await createContainer(store, 'app', { name: 'two', mounts: ['data:/d'] })
    await expect(removeVolume(store, 'data')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' })
    expect((await inspectVolume(store, 'data')).usedBy.toSorted()).toEqual(['one', 'two'])
    await removeContainer(store, 'one')
    await expect(removeVolume(store, 'data')).rejects.toMatchObject({
      code: 'VOLUME_IN_USE',
      data: { containers: ['two'] },
    })
    await removeContainer(store, 'two')
    await removeVolume(store, 'data')
    await expect(removeVolume(store, 'data')).rejects.toMatchObject({ code: 'VOLUME_NOT_FOUND' })
  })

  test('containers of one process see each other’s writes at once, read-only ones too', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one', mounts: ['data:/a'] })
    await createContainer(store, 'app', { name: 'two', mounts: ['data:/b', 'data:/again:ro'] })
    await using one = await openContainer(store, 'one')
    await using two = await openContainer(store, 'two')
    one.view.fs.writeFileSync('/a/f', '1')
    expect(text(two.view.fs, '/b/f')).toBe('1')
    two.view.fs.appendFileSync('/b/f', '2')
    expect(text(one.view.fs, '/a/f')).toBe('12')
    expect(text(two.view.fs, '/again/f')).toBe('12')
    for (const fs of [two.view.fs, two.view.fsFor({})]) {
      expect(() => fs.writeFileSync('/again/f', '')).toThrow(/EROFS/)
    }
  })
})

describe('populating', () => {
  // docker docs, volumes § Populate a volume using a container
  test.each<[string, MountRequest | string, string[]]>([
    ['a new named volume', 'data:/data', ['seed']],
    ['an anonymous one', '/data', ['seed']],
    ['also read-only', 'data:/data:ro', ['seed']],
    ['not with nocopy', 'data:/data:nocopy', []],
    ['nothing where the image has nothing', 'data:/nowhere', []],
    ['nothing where the image has a file', 'data:/bin/tool', []],
  ])('%s', async (_, mount, want) => {
    const store = await storeWithImage()
    const info = await createContainer(store, 'app', { mounts: [mount] })
    const [first] = info.mounts
    const name = first?.type === 'volume' ? first.volume : ''
    expect([...(await readVolume(store, name)).root.children!.names()]).toEqual(want)
  })

  test('owner and mode of the directory come along', async () => {
    const store = await storeWithImage()
    await createContainer(store, 'app', { mounts: ['data:/data'] })
    const { root } = await readVolume(store, 'data')
    expect([root.mode, root.uid, root.gid]).toEqual([0o770, 1000, 1000])
  })

  test('one with content is left alone', async () => {
    const store = await storeWithImage()
    await createContainer(store, 'app', { name: 'one', mounts: ['data:/d'] })
    {
      await using one = await openContainer(store, 'one')
      one.view.fs.writeFileSync('/d/mine', '')
      await one.save()
    }
    await createContainer(store, 'app', { mounts: ['data:/data'] })
    expect((await readVolume(store, 'data')).root.children!.names()).toEqual(['mine'])
  })
})

describe('VOLUME in the image', () => {
  const config = { Volumes: { '/data': {}, '/cache/': {} } }

  test('is an anonymous volume, filled, for each container', async () => {
    const store = await storeWithImage({ config })
    const one = await createContainer(store, 'app', { name: 'one' })
    const two = await createContainer(store, 'app', { name: 'two' })
    expect(one.mounts.map(({ target }) => target)).toEqual(['/cache', '/data'])
    expect(
      new Set([...one.mounts, ...two.mounts].map((mount) => (mount as { volume: string }).volume)).size,
    ).toBe(4)
    await using opened = await openContainer(store, 'one')
    expect(text(opened.view.fs, '/data/seed')).toBe('from the image\n')
    opened.view.fs.writeFileSync('/data/more', '')
    expect(opened.changes()).toEqual([{ kind: 'A', path: '/cache' }])
  })

  test('a mount of the caller stands instead', async () => {
    const store = await storeWithImage({ config })
    const { mounts } = await createContainer(store, 'app', { mounts: ['mine:/data'] })
    expect(mounts).toMatchObject([
      { target: '/data', volume: 'mine', anonymous: false },
      { target: '/cache', anonymous: true },
    ])
  })

  test('anonymous volumes go with their container when that is asked for, named ones never', async () => {
    const store = await storeWithImage({ config })
    const mounts = ['mine:/m']
    await createContainer(store, 'app', { name: 'one', mounts })
    await createContainer(store, 'app', { name: 'two', mounts })
    await removeContainer(store, 'one')
    expect(await listVolumes(store)).toHaveLength(5)
    await removeContainer(store, 'two', { volumes: true })
    expect((await listVolumes(store)).filter(({ anonymous }) => anonymous)).toHaveLength(2)
    const ended = await runContainer(store, 'app', { executor: inView(() => 0), removeOnExit: true, mounts })
    expect(ended.exitCode).toBe(0)
    expect(await listVolumes(store)).toHaveLength(3)
    const plan = await planPruneVolumes(store)
    expect(plan).toHaveLength(2)
    await pruneVolumes(store, plan)
    expect((await listVolumes(store)).map(({ name }) => name)).toEqual(['mine'])
    await pruneVolumes(store, await planPruneVolumes(store, { all: true }))
    expect(await listVolumes(store)).toEqual([])
  })
})

test('volumes are made once, by name', async () => {
  const store = await storeWithImage()
  const first = await createVolume(store, { name: 'data', labels: { a: '1' } })
  expect(await createVolume(store, { name: 'data', labels: { b: '2' } })).toEqual(first)
  await expect(createVolume(store, { name: '../x' })).rejects.toMatchObject({ code: 'VOLUME_NAME_INVALID' })
  expect((await createVolume(store)).anonymous).toBe(true)
})

// Two stores on one folder stand for two processes: nothing in memory is shared between them.
describe('two processes with one volume', () => {
  async function two() {
    const path = join(scratch(), 'store')
    const a = await openDiskStore(path, { durability: 'none' })
    const b = await openDiskStore(path, { durability: 'none' })
    await putImage(a)
    await createContainer(a, 'app', { name: 'one', mounts: ['data:/d'] })
    await createContainer(a, 'app', { name: 'two', mounts: ['data:/d'] })
    return { a, b, one: await openContainer(a, 'one'), other: await openContainer(b, 'two') }
  }

  test('keep what both wrote; of two changes to one path the later save wins', async () => {
    const { a, one, other } = await two()
    one.view.fs.writeFileSync('/d/mine', 'a')
    one.view.fs.writeFileSync('/d/both', 'a')
    other.view.fs.writeFileSync('/d/theirs', 'b')
    other.view.fs.writeFileSync('/d/both', 'b')
    await one.save()
    await other.save()
    one.view.fs.writeFileSync('/d/later', 'a')
    await one.save()
    const { fs } = UnionView.open(await readVolume(a, 'data'))
    expect(fs.readdirSync('/').toSorted()).toEqual(['both', 'later', 'mine', 'theirs'])
    expect(text(fs, '/both')).toBe('b')
    await one.close()
    await other.close()
  })

  test('a file here and a directory there: the later save stands', async () => {
    const { a, one, other } = await two()
    one.view.fs.mkdirSync('/d/x')
    await one.save()
    await other.close()
    const again = await openContainer(a, 'two')
    one.view.fs.rmSync('/d/x', { recursive: true })
    one.view.fs.writeFileSync('/d/x', 'file')
    await one.save()
    again.view.fs.appendFileSync('/d/x', '!')
    await again.save()
    expect(text(UnionView.open(await readVolume(a, 'data')).fs, '/x')).toBe('file!')
    await one.close()
    await again.close()
  })

  test('a container is open in one of them', async () => {
    const { b, one } = await two()
    await expect(openContainer(b, 'one')).rejects.toMatchObject({
      code: 'CONTAINER_BUSY',
      data: { pid: process.pid },
    })
    await one.close()
    await (await openContainer(b, 'one')).close()
  })
})

test('many saves of a volume do not become many layers', async () => {
  const store = await storeWithImage()
  await createContainer(store, 'app', { name: 'one', mounts: ['data:/d'] })
  await using one = await openContainer(store, 'one')
  for (let i = 0; i < 40; i++) {
    one.view.fs.writeFileSync(`/d/${i}`, String(i))
    await one.save()
  }
  const { layers } = await inspectVolume(store, 'data')
  expect(layers.length).toBeLessThanOrEqual(17)
  expect((await readVolume(store, 'data')).root.children!.size).toBe(40)
})

describe.each(BOTH)('host folders, with a run %s', (kind, make) => {
  // The stand-in for the sandbox has no kernel to mount them with; test/containers/sandbox.test.ts has one.
  test.skipIf(kind === 'on a copy')(
    'what a run writes, moves, changes and removes is so on the host',
    async () => {
      const store = await storeWithImage()
      const folder = scratch()
      writeFileSync(join(folder, 'old'), 'old')
      writeFileSync(join(folder, 'gone'), '')
      writeFileSync(join(folder, 'mode'), 'm')
      symlinkSync('/etc', join(folder, 'link'))
      mkdirSync(join(folder, 'dir'))
      await runContainer(store, 'app', {
        mounts: [`${folder}:/h`],
        executor: make(({ view: { fs } }) => {
          fs.renameSync('/h/old', '/h/dir/moved')
          fs.rmSync('/h/gone')
          fs.chmodSync('/h/mode', 0o600)
          fs.writeFileSync('/h/new', 'new')
          // The link leads to the container's /etc, not to the host's.
          fs.writeFileSync('/h/link/made', 'inside')
        }),
      })
      expect(readFileSync(join(folder, 'dir/moved'), 'utf8')).toBe('old')
      expect(readFileSync(join(folder, 'new'), 'utf8')).toBe('new')
      expect(readFileSync(join(folder, 'mode'), 'utf8')).toBe('m')
      expect(statSync(join(folder, 'mode')).mode & 0o777).toBe(0o600)
      expect(['gone', 'old'].filter((name) => existsSync(join(folder, name)))).toEqual([])
      expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true)
      expect(existsSync('/etc/made')).toBe(false)
    },
  )

  test.skipIf(kind === 'on a copy')('read-only, nothing is written', async () => {
    const store = await storeWithImage()
    const folder = scratch()
    const { exitCode } = await runContainer(store, 'app', {
      mounts: [`${folder}:/h:ro`],
      executor: make(({ view: { fs } }) => {
        expect(() => fs.writeFileSync('/h/x', '')).toThrow(/EROFS/)
        return 3
      }),
    })
    expect(exitCode).toBe(3)
    expect(existsSync(join(folder, 'x'))).toBe(false)
  })

  test('a host folder that is not there is made', async () => {
    const store = await storeWithImage()
    const folder = join(scratch(), 'a/b')
    await createContainer(store, 'app', { name: 'one', mounts: [`${folder}:/h`] })
    await (await openContainer(store, 'one')).close()
    expect(statSync(folder).isDirectory()).toBe(true)
  })
})

describe.each(BOTH)('a run %s', (_, make) => {
  test('sees volumes, nested ones and tmpfs, and leaves none of it in the container', async () => {
    const store = await storeWithImage()
    const mounts = [volume('/d/inner', { volume: 'inner' }), volume('/d', { volume: 'outer' }), '/data']
    const { info } = await runContainer(store, 'app', {
      mounts: [...mounts, { type: 'tmpfs', target: '/tmp' }],
      executor: make(({ view: { fs } }) => {
        fs.writeFileSync('/d/o', 'o')
        fs.writeFileSync('/d/inner/i', 'i')
        fs.writeFileSync('/tmp/t', 't')
        expect(fs.statSync('/tmp').mode & 0o7777).toBe(0o1777)
        fs.rmSync('/data/seed')
        fs.writeFileSync('/own', '')
      }),
    })
    expect([...(await readVolume(store, 'outer')).walk()].map(({ path }) => path)).toEqual(['', 'inner', 'o'])
    expect([...(await readVolume(store, 'inner')).walk()].map(({ path }) => path)).toEqual(['', 'i'])
    expect((await containerChanges(store, info.id)).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'A /d',
      'A /own',
      'A /tmp',
    ])
    await using again = await openContainer(store, info.id)
    expect(again.view.fs.readdirSync('/tmp')).toEqual([])
    expect(again.view.fs.readdirSync('/data')).toEqual([])
  })

  test('a mount through a symlink of the image goes where it leads', async () => {
    const store = await storeWithImage({
      files: (fs) => {
        fs.mkdirSync('/real')
        fs.symlinkSync('/real', '/link')
      },
    })
    await runContainer(store, 'app', {
      mounts: ['data:/link'],
      executor: make(({ view: { fs } }) => fs.writeFileSync('/real/f', 'x')),
    })
    expect((await readVolume(store, 'data')).root.children!.names()).toEqual(['f'])
  })

  test('kinds, modes, owners, links and attributes come back from a volume as they were written', async () => {
    const store = await storeWithImage()
    await runContainer(store, 'app', {
      mounts: ['data:/d'],
      executor: make(({ view }) => {
        const { fs } = view
        fs.writeFileSync('/d/a', 'a', { mode: 0o640 })
        fs.chownSync('/d/a', 5, 6)
        fs.chmodSync('/d/a', 0o4755)
        fs.utimesSync('/d/a', 1000, 2000)
        fs.linkSync('/d/a', '/d/b')
        fs.symlinkSync('nowhere', '/d/s')
        view.mknod('/d/p', 'fifo')
        view.setxattr('/d/a', 'user.x', new Uint8Array([1, 2]))
        fs.mkdirSync('/d/dir', { mode: 0o700 })
      }),
    })
    const tree = await readVolume(store, 'data')
    const a = tree.lookup('a')!
    expect([a.mode, a.uid, a.gid, a.mtimeSec, a.nlink]).toEqual([0o4755, 5, 6, 2000, 2])
    expect(tree.lookup('b')).toBe(a)
    expect(a.xattrs?.get('user.x')).toEqual(new Uint8Array([1, 2]))
    expect([tree.lookup('s')?.target, tree.lookup('p')?.kind, tree.lookup('dir')?.mode]).toEqual([
      'nowhere',
      'fifo',
      0o700,
    ])
  })
})

test('a run on a copy adds its changes to what others wrote into a volume meanwhile', async () => {
  const store = await storeWithImage()
  await createContainer(store, 'app', { name: 'watcher', mounts: ['data:/w'] })
  await using watcher = await openContainer(store, 'watcher')
  watcher.view.fs.writeFileSync('/w/before', '1')
  await runContainer(store, 'app', {
    mounts: ['data:/d'],
    executor: onCopy(({ view: { fs } }) => {
      expect(text(fs, '/d/before')).toBe('1')
      watcher.view.fs.writeFileSync('/w/meanwhile', '2')
      fs.writeFileSync('/d/run', '3')
      fs.rmSync('/d/before')
    }),
  })
  expect(watcher.view.fs.readdirSync('/w').toSorted()).toEqual(['meanwhile', 'run'])
})
