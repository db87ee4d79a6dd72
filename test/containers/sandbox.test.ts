// Containers in the sandbox, with a root of busybox: what only a kernel can show. Skipped by name where it does not work.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { checkSandbox, sandboxExecutor } from '../../src/builder/index.js'
import {
  containerChanges,
  createContainer,
  execInContainer,
  killContainer,
  openContainer,
  parseMountFlag,
  readVolume,
  runContainer,
  stopContainer,
  type CreateContainerOptions,
} from '../../src/containers/index.js'
import { openDiskStore, type Store } from '../../src/store/index.js'
import { UnionView } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import { putImage, scratch, text } from './fixtures.js'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
const works = BUSYBOX !== undefined && (await checkSandbox()).works
const test = (name: string, fn: () => Promise<void>) => peerTest(name, works, fn)

async function open(): Promise<Store> {
  const store = await openDiskStore(join(scratch(), 'store'), { durability: 'none' })
  await putImage(store, {
    files: (fs) => {
      fs.writeFileSync('/bin/busybox', readFileSync(BUSYBOX!), { mode: 0o755 })
      for (const name of [
        'sh',
        'cat',
        'ls',
        'mv',
        'ln',
        'sleep',
        'touch',
        'id',
        'chmod',
        'rm',
        'mkdir',
        'head',
        'wc',
        'stat',
      ]) {
        fs.linkSync('/bin/busybox', `/bin/${name}`)
      }
    },
  })
  return store
}

async function run(store: Store, line: string, options: CreateContainerOptions = {}) {
  let output = ''
  const result = await runContainer(store, 'app', {
    // One stream, so that lines come in their order.
    cmd: ['sh', '-c', `exec 2>&1; ${line}`],
    executor: sandboxExecutor({ store }),
    onOutput: (_, bytes) => void (output += new TextDecoder().decode(bytes)),
    ...options,
  })
  return { ...result, output }
}

describe('in the sandbox', () => {
  test('the image’s own binaries work on the container’s files, which are kept', async () => {
    await using store = await open()
    const first = await run(store, 'id -u; echo kept > /f; rm /data/seed; exit 3', { name: 'one' })
    expect([first.exitCode, first.output]).toEqual([3, '0\n'])
    expect(await containerChanges(store, 'one')).toEqual([
      { kind: 'C', path: '/data' },
      { kind: 'D', path: '/data/seed' },
      { kind: 'A', path: '/f' },
    ])
    const executor = sandboxExecutor({ store })
    const again = await execInContainer(store, 'one', ['cat', '/f'], { executor })
    expect(again.exitCode).toBe(0)
  })

  // docker 28.5.2: 127 for `docker run IMAGE nosuch`, 126 for a file or directory that cannot be run
  test('a command that is not there ends with 127, one that cannot be run with 126', async () => {
    await using store = await open()
    for (const [cmd, code] of [
      [['no-such-program'], 127],
      [['/no/such/program'], 127],
      [['/data/seed'], 126],
      [['/data'], 126],
      [['sh', '-c', 'no-such-program'], 127],
      [['sh', '-c', 'exit 1'], 1],
      // It says what bubblewrap would, after something of its own.
      [['sh', '-c', 'echo; echo "bwrap: execvp x: No such file or directory" >&2; exit 1'], 1],
    ] as const) {
      const { exitCode } = await run(store, '', { cmd })
      expect(exitCode, cmd.join(' ')).toBe(code)
    }
  })

  test('the machine has a name, and knows further ones', async () => {
    await using store = await open()
    const { output } = await run(store, 'cat /proc/sys/kernel/hostname /etc/hosts; echo $HOSTNAME', {
      hostname: 'box',
      extraHosts: [['foo', '10.1.2.3']],
    })
    expect(output).toBe(
      'box\n127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tfoo\nbox\n',
    )
    const other = await run(store, 'cat /proc/sys/kernel/hostname')
    expect(other.output).toBe(`${other.info.id.slice(0, 12)}\n`)
  })

  test('kill ends a command without asking it first, and keeps what it wrote', async () => {
    await using store = await open()
    const script =
      'trap "echo asked > /asked" TERM INT; echo x > /f; echo begun; while true; do sleep 1; done'
    let begun: () => void
    const beginning = new Promise<void>((resolve) => (begun = resolve))
    const running = runContainer(store, 'app', {
      name: 'one',
      cmd: ['sh', '-c', script],
      executor: sandboxExecutor({ store }),
      onOutput: () => begun(),
    })
    await beginning
    expect(await killContainer(store, 'one')).toMatchObject({ status: 'exited', exitCode: 137 })
    expect((await running).exitCode).toBe(137)
    expect(await containerChanges(store, 'one')).toEqual([{ kind: 'A', path: '/f' }])
  })

  test('volumes: shared with what runs next, read-only where that is said, mount points of their own', async () => {
    await using store = await open()
    const first = await run(store, 'echo v > /data/v; mv /data /moved; echo $?', { mounts: ['data:/data'] })
    expect(first.output).toMatch(/busy[\s\S]*1\n$/i)
    expect(await containerChanges(store, first.info.id)).toEqual([])
    const next = await run(store, 'cat /d/v /d/seed; touch /d/x; echo $?', { mounts: ['data:/d:ro'] })
    expect(next.output).toMatch(/^v\nfrom the image\n[\s\S]*Read-only[\s\S]*1\n$/)
    expect((await readVolume(store, 'data')).root.children!.names()).toEqual(['seed', 'v'])
  })

  test('folders and files of the host, live in both directions', async () => {
    await using store = await open()
    const folder = scratch()
    writeFileSync(join(folder, 'in'), 'host\n')
    writeFileSync(join(folder, 'file'), 'single\n')
    const { output } = await run(
      store,
      'cat /h/in /one; mv /h/in /h/out; echo no > /one; echo $?; ls -a /h; cat /v/h/out',
      { mounts: [`${folder}:/h`, `${folder}/file:/one:ro`, 'vol:/v', `${folder}:/v/h`] },
    )
    expect(output).toMatch(/^host\nsingle\n[\s\S]*Read-only[\s\S]*1\n\.\n\.\.\nfile\nout\nhost\n$/)
    expect(readFileSync(join(folder, 'out'), 'utf8')).toBe('host\n')
    // The directory to mount on, as with docker.
    expect((await readVolume(store, 'vol')).root.children!.names()).toEqual(['h'])
  })

  test('a read-only root, with what is mounted writable', async () => {
    await using store = await open()
    const { output, info } = await run(store, 'touch /x; touch /bin/x; touch /d/x /t/x; ls /d /t', {
      readOnlyRoot: true,
      mounts: ['data:/d', { type: 'tmpfs', target: '/t' }],
    })
    expect(output.match(/Read-only/g)).toHaveLength(2)
    expect(output).toMatch(/\/d:\nx\n\n\/t:\nx\n$/)
    expect((await containerChanges(store, info.id)).map(({ path }) => path)).toEqual(['/d', '/t'])
  })

  test('a tmpfs has its size and its mode', async () => {
    await using store = await open()
    const { output } = await run(store, 'stat -c %a /t; head -c 99999 /dev/zero > /t/x; wc -c < /t/x', {
      mounts: ['type=tmpfs,target=/t,tmpfs-size=16k,tmpfs-mode=700'].map(parseMountFlag),
    })
    expect(output).toMatch(/^700\nhead: [^\n]*\n16384\n$/)
  })

  test('stop: SIGTERM to the command, whose files and exit code are kept', async () => {
    await using store = await open()
    const cases = [
      { line: 'echo 1 > /f; sleep 100', code: 143, files: ['f'] },
      {
        line: 'trap "echo 2 > /g; exit 7" TERM; echo 1 > /f; while :; do sleep 0.05; done',
        code: 7,
        files: ['f', 'g'],
      },
    ]
    for (const { line, code, files } of cases) {
      const { id } = await createContainer(store, 'app', { cmd: ['sh', '-c', `echo go; ${line}`] })
      const { startContainer } = await import('../../src/containers/index.js')
      let ended: Promise<unknown> = Promise.resolve()
      const executor = sandboxExecutor({ store })
      const began = () => setTimeout(() => void (ended = stopContainer(store, id)), 100)
      const { exitCode } = await startContainer(store, id, { executor, onOutput: began })
      await ended
      expect(exitCode, line).toBe(code)
      await using container = await openContainer(store, id)
      for (const name of files) expect(container.view.fs.existsSync(`/${name}`), name).toBe(true)
    }
  })

  test('a container that shell and sandbox ran in turn has the files of both', async () => {
    await using store = await open()
    const { shellExecutor } = await import('../../src/builder/index.js')
    await run(store, 'echo sandbox > /data/s', { name: 'one', mounts: ['data:/data'] })
    const executor = shellExecutor()
    await execInContainer(store, 'one', ['sh', '-c', 'cat /data/s > /copy; echo shell >> /data/s'], {
      executor,
    })
    await using one = await openContainer(store, 'one')
    expect(text(one.view.fs, '/copy')).toBe('sandbox\n')
    expect(text(UnionView.open(await readVolume(store, 'data')).fs, '/s')).toBe('sandbox\nshell\n')
  })
})
