// Volumes of commands in the sandbox: one folder for all who have one mounted, in this process and others.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { autoExecutor, checkSandbox, sandboxExecutor, shellExecutor } from '../../src/builder/index.js'
import {
  createContainer,
  createVolume,
  execInContainer,
  inspectVolume,
  listContainers,
  openContainer,
  readVolume,
  removeContainer,
  removeVolume,
  runContainer,
  type CreateContainerOptions,
} from '../../src/containers/index.js'
import { saveVolume } from '../../src/containers/save-volume.js'
import { allVolumes } from '../../src/containers/volumes.js'
import { currentOwner, openDiskStore, type Store } from '../../src/store/index.js'
import { openTree, UnionView } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import { putImage, scratch } from './fixtures.js'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
const works = BUSYBOX !== undefined && (await checkSandbox()).works
const isRoot = process.getuid?.() === 0
const test = (name: string, fn: () => Promise<void>, timeoutMs?: number) =>
  peerTest(name, works, fn, timeoutMs)
const NAMES = 'sh cat ls sleep touch id rm mkdir chown chmod ln mkfifo stat sort'

async function open(path = join(scratch(), 'store')): Promise<Store> {
  const store = await openDiskStore(path, { durability: 'none' })
  await putImage(store, {
    files: (fs) => {
      fs.writeFileSync('/bin/busybox', readFileSync(BUSYBOX!), { mode: 0o755 })
      for (const name of NAMES.split(' ')) fs.linkSync('/bin/busybox', `/bin/${name}`)
    },
  })
  return store
}

async function run(store: Store, line: string, options: CreateContainerOptions = {}) {
  let output = ''
  const { exitCode, info } = await runContainer(store, 'app', {
    cmd: ['sh', '-c', `exec 2>&1; ${line}`],
    executor: sandboxExecutor({ store }),
    onOutput: (_, bytes) => void (output += new TextDecoder().decode(bytes)),
    mounts: ['vol:/v'],
    ...options,
  })
  return { exitCode, output, info }
}

const wait = (path: string): string => `while ! test -e ${path}; do sleep 0.02; done`
const foldersOf = (store: Store): string[] => {
  const shared = join(store.path!, 'lamella/sandbox/shared')
  return existsSync(shared) ? readdirSync(shared) : []
}

describe('a volume of several commands at once', () => {
  test('what one writes the others see at once, and all is kept', async () => {
    await using store = await open()
    const results = await Promise.all([
      run(store, `echo 1 > /v/a; ${wait('/v/b')}; cat /v/b; rm /v/b; touch /v/gone`),
      run(store, `${wait('/v/a')}; cat /v/a; echo 2 > /v/b; ${wait('/v/gone')}; ls /v`),
      run(store, `${wait('/w/gone')}; touch /w/x || echo refused`, { mounts: ['vol:/w:ro'] }),
    ])
    expect(results.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0])
    expect(results.map(({ output }) => output)).toEqual([
      '2\n',
      '1\na\ngone\n',
      expect.stringMatching(/Read-only file system\nrefused\n$/),
    ])
    expect((await readVolume(store, 'vol')).root.children!.names()).toEqual(['a', 'gone'])
    expect(foldersOf(store)).toEqual([])
    expect((await run(store, 'ls /v')).output).toBe('a\ngone\n')
  })

  test('of another process as well', async () => {
    const path = join(scratch(), 'store')
    await using store = await open(path)
    const main = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
    const line = `echo theirs > /v/theirs; ${wait('/v/ours')}; cat /v/ours; rm /v/theirs`
    const args = [main, 'run', '--store', path, '-v', 'vol:/v', 'app', 'sh', '-c', line]
    const theirs = promisify(execFile)(process.execPath, args)
    const ours = await run(store, `${wait('/v/theirs')}; cat /v/theirs; echo ours > /v/ours`)
    expect([ours.output, (await theirs).stdout]).toEqual(['theirs\n', 'ours\n'])
    expect((await readVolume(store, 'vol')).root.children!.names()).toEqual(['ours'])
    expect(foldersOf(store)).toEqual([])
  })

  // What each of them began with did not have the file: only the folder's own history tells that it is gone.
  test('a file that one made, another stored, and the first removes at last is gone', async () => {
    const path = join(scratch(), 'store')
    await using store = await open(path)
    const main = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
    const line = `echo 1 > /v/theirs; ${wait('/v/go')}; rm /v/theirs`
    const args = [main, 'run', '--store', path, '-v', 'vol:/v', 'app', 'sh', '-c', line]
    const theirs = promisify(execFile)(process.execPath, args)
    await run(store, `${wait('/v/theirs')}; touch /v/ours`)
    expect((await readVolume(store, 'vol')).root.children!.names()).toEqual(['ours', 'theirs'])
    await run(store, 'touch /v/go')
    await theirs
    expect((await readVolume(store, 'vol')).root.children!.names()).toEqual(['go', 'ours'])
    expect(foldersOf(store)).toEqual([])
  })

  // Beside a command that runs without root nothing can be started: docs/containers.md.
  peerTest('is seen by exec, and filled from the image', works && isRoot, async () => {
    await using store = await open()
    const executor = sandboxExecutor({ store })
    const main = run(store, `cat /data/seed; touch /data/begun; ${wait('/data/end')}`, {
      name: 'box',
      mounts: ['seeded:/data'],
    })
    const other = run(store, wait('/x/begun'), { mounts: ['seeded:/x'] })
    await other
    await execInContainer(store, 'box', ['touch', '/data/end'], { executor })
    expect((await main).output).toBe('from the image\n')
  })
})

describe('a volume of a command in the sandbox, beside one in process', () => {
  const inProcess = async (store: Store, line: string): Promise<string> => {
    let output = ''
    await runContainer(store, 'app', {
      cmd: ['sh', '-c', line],
      executor: shellExecutor(),
      onOutput: (_, bytes) => void (output += new TextDecoder().decode(bytes)),
      mounts: ['vol:/v'],
    })
    return output
  }

  test('which sees what was written until it began; what it writes itself is kept, and seen by the next', async () => {
    const path = join(scratch(), 'store')
    await using store = await open(path)
    const folder = scratch()
    const mounts = ['vol:/v', `${folder}:/h`]
    const main = run(
      store,
      `echo 1 > /v/a; mkdir /v/d; touch /h/begun; ${wait('/h/end')}; ls /v; echo 2 > /v/a`,
      { mounts },
    )
    while (!existsSync(join(folder, 'begun'))) await sleep(20)
    // As another process has it.
    await using other = await openDiskStore(path, { durability: 'none' })
    expect(await inProcess(other, 'cat /v/a; echo ours > /v/ours; echo x > /v/d/x; ls /v')).toBe(
      '1\na\nd\nours\n',
    )
    expect((await readVolume(other, 'vol')).root.children!.names()).toEqual(['a', 'd', 'ours'])
    expect(await inProcess(store, 'ls /v')).toBe('a\nd\n')
    writeFileSync(join(folder, 'end'), '')
    expect((await main).output).toBe('a\nd\n')
    const after = await run(store, 'cat /v/a /v/ours /v/d/x')
    expect(after.output).toBe('2\nours\nx\n')
  })
})

describe('what a volume keeps', () => {
  peerTest('owners, modes, links and kinds of files; what is removed', works && isRoot, async () => {
    await using store = await open()
    await run(
      store,
      'chmod 1770 /v; chown 7:8 /v; mkdir /v/d; echo x > /v/d/f; ln /v/d/f /v/hard; ln -s d/f /v/soft; mkfifo -m 600 /v/fifo; chmod 4711 /v/hard; chown 5:6 /v/d; echo y > /v/gone',
    )
    const again = await run(
      store,
      'rm /v/gone; cd /v; stat -c "%n %F %a %u:%g %h" . d d/f hard soft fifo | sort; ls',
    )
    expect(again.output).toBe(
      [
        '. directory 1770 7:8 3',
        'd directory 755 5:6 2',
        'd/f regular file 4711 0:0 2',
        'fifo fifo 600 0:0 1',
        'hard regular file 4711 0:0 2',
        'soft symbolic link 777 0:0 1',
        'd\nfifo\nhard\nsoft\n',
      ].join('\n'),
    )
    const { root } = await readVolume(store, 'vol')
    expect([root.mode, root.uid, root.gid, root.children!.names()]).toEqual([
      0o1770,
      7,
      8,
      ['d', 'fifo', 'hard', 'soft'],
    ])
  })

  // A run that is killed with SIGKILL, in the midst of its command.
  const LINE = 'echo new > /v/made; echo changed > /v/f; rm -f /v/gone; touch /v/'
  async function killedRun(path: string, ready = 'ready'): Promise<void> {
    const main = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
    const args = [
      main,
      'run',
      '--store',
      path,
      '-v',
      'vol:/v',
      'app',
      'sh',
      '-c',
      `${LINE}${ready}; sleep 1000`,
    ]
    const child = execFile(process.execPath, args)
    const ended = new Promise((resolve) => child.once('exit', resolve))
    const shared = join(path, 'lamella/sandbox/shared')
    const isReady = () =>
      existsSync(shared) && readdirSync(shared).some((key) => existsSync(join(shared, key, 'data', ready)))
    while (!isReady() && child.exitCode === null) await sleep(20)
    child.kill('SIGKILL')
    await ended
  }

  test('of a run that was killed: what it wrote, for whoever looks next', async () => {
    const path = join(scratch(), 'store')
    const looks: Record<string, (store: Store) => Promise<string[]>> = {
      reading: async (store) => [...(await readVolume(store, 'vol')).root.children!.names()],
      inspecting: async (store) => {
        await inspectVolume(store, 'vol')
        return [...(await readVolume(store, 'vol')).root.children!.names()]
      },
      'a run': async (store) => (await run(store, 'ls /v')).output.trim().split('\n'),
      'opening a container': async (store) => {
        await using container = await openContainer(
          store,
          (await createContainer(store, 'app', { mounts: ['vol:/d'] })).id,
        )
        return container.view.fs.readdirSync('/d')
      },
    }
    for (const [name, look] of Object.entries(looks)) {
      await using store = await open(`${path}-${name.replaceAll(' ', '-')}`)
      await run(store, 'echo stored > /v/f; touch /v/gone')
      await killedRun(store.path!)
      expect(await look(store), name).toEqual(['f', 'made', 'ready'])
      expect((await run(store, 'cat /v/f')).output, name).toBe('changed\n')
      expect(foldersOf(store), name).toEqual([])
    }
  }, 60_000)

  test('of a run that was killed, on top of what others have stored since; not in another volume of the name', async () => {
    await using store = await open()
    await run(store, 'echo stored > /v/f; touch /v/gone')
    await killedRun(store.path!)
    // Another run tidies up after the process that was killed.
    await run(store, 'true', { mounts: [] })
    // Somebody who had the volume open before saves now, and knows nothing of the folder.
    const volume = (await allVolumes(store)).find(({ name }) => name === 'vol')!
    const before = await openTree(store, volume.layers)
    const view = UnionView.open(before)
    view.fs.writeFileSync('/theirs', '')
    await saveVolume(store, 'vol', before, volume.layers, view.snapshot())
    expect((await readVolume(store, 'vol')).root.children!.names()).toEqual(['f', 'made', 'ready', 'theirs'])

    await killedRun(store.path!, 'again')
    for (const { id, pid } of await listContainers(store))
      if (pid === undefined) await removeContainer(store, id)
    await removeVolume(store, 'vol')
    await createVolume(store, { name: 'vol' })
    expect((await readVolume(store, 'vol')).root.children!.size).toBe(0)
    expect(foldersOf(store)).toEqual([])
  }, 60_000)

  test('of a process that was killed while it filled the folder: what was stored', async () => {
    await using store = await open()
    await run(store, 'echo stored > /v/f')
    // As it leaves things: a folder without a word of what it is.
    const sandbox = join(store.path!, 'lamella/sandbox')
    const gone = '0'.repeat(12)
    writeFileSync(join(sandbox, 'owners', gone), JSON.stringify({ ...currentOwner(), started: '1' }))
    const { digestOf, hexOf } = await import('../../src/digest.js')
    const at = join(sandbox, 'shared', hexOf(digestOf('vol')).slice(0, 24))
    mkdirSync(join(at, 'users'), { recursive: true })
    mkdirSync(join(at, 'data'))
    writeFileSync(join(at, 'users', `${gone}-abcdef`), '')
    writeFileSync(join(at, 'data', 'lost'), '')
    expect((await run(store, 'ls /v')).output).toBe('f\n')
    expect(foldersOf(store)).toEqual([])
  })

  test('by auto, where the image has not the program', async () => {
    await using store = await open()
    const { exitCode } = await run(store, '', {
      cmd: ['echo', 'x'],
      executor: autoExecutor({ store }),
    } as CreateContainerOptions)
    expect(exitCode).toBe(0)
    expect(foldersOf(store)).toEqual([])
  })
})
