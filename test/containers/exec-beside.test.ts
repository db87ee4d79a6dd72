// `exec` beside a command in the sandbox: in its files, processes and network, from this process and another.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { checkSandbox, sandboxExecutor } from '../../src/builder/index.js'
import {
  execInContainer,
  findContainer,
  openContainer,
  runContainer,
  stopContainer,
  waitContainer,
  type CreateContainerOptions,
  type ExecOptions,
} from '../../src/containers/index.js'
import { openDiskStore, type Store } from '../../src/store/index.js'
import { peerTest } from '../peers.js'
import { putImage, scratch, text } from './fixtures.js'

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
/** Beside a command that runs without root nothing can be started: docs/containers.md. */
const isRoot = process.getuid?.() === 0
const works = BUSYBOX !== undefined && (await checkSandbox()).works && isRoot
const test = (name: string, fn: () => Promise<void>) => peerTest(name, works, fn)
const NAMES = 'sh cat ls sleep touch id rm mkdir ps grep ip env pwd readlink mount dd kill hostname wc'

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

/** A container whose command has begun, and waits until /end is there. */
async function begin(store: Store, line = 'true', options: CreateContainerOptions = {}) {
  const executor = sandboxExecutor({ store })
  let began = (): void => {}
  const hasBegun = new Promise<void>((resolve) => (began = resolve))
  const ended = runContainer(store, 'app', {
    name: 'box',
    cmd: ['sh', '-c', `${line}; echo begun; while ! test -e /end; do sleep 0.02; done; test -e /own`],
    executor,
    onOutput: () => began(),
    ...options,
  })
  await Promise.race([hasBegun, ended])
  return { ended, executor }
}

async function exec(store: Store, line: string, options: Partial<ExecOptions> = {}) {
  let output = ''
  const { exitCode } = await execInContainer(store, 'box', ['sh', '-c', `exec 2>&1; ${line}`], {
    executor: sandboxExecutor({ store }),
    onOutput: (_, bytes) => void (output += new TextDecoder().decode(bytes)),
    ...options,
  })
  return { exitCode, output }
}

describe('exec beside a command in the sandbox', () => {
  test('sees its files, which both change, and all is kept', async () => {
    await using store = await open()
    const { ended } = await begin(store, 'echo main > /main')
    expect(await exec(store, 'cat /main; echo exec > /own; exit 4')).toEqual({
      exitCode: 4,
      output: 'main\n',
    })
    expect((await exec(store, 'cat /own; touch /end')).output).toBe('exec\n')
    expect((await ended).exitCode).toBe(0)
    await using container = await openContainer(store, 'box')
    expect(text(container.view.fs, '/own')).toBe('exec\n')
  })

  test('is in its namespaces: processes, host name, network, and no more', async () => {
    await using store = await open()
    const { ended } = await begin(
      store,
      'echo $$ > /pid; for n in pid ipc uts net cgroup; do readlink /proc/self/ns/$n; done > /ns',
      {
        network: 'none',
      },
    )
    const { output } = await exec(
      store,
      'for n in pid ipc uts net cgroup; do readlink /proc/self/ns/$n; done > /other; grep -c . /other; while read -r a <&3; read -r b <&4; do test "$a" = "$b" && echo same; done 3< /ns 4< /other; kill -0 $(cat /pid) && echo signals; ip link | grep -c "^[0-9]"; hostname',
    )
    const { id } = await findContainer(store, 'box')
    expect(output).toBe(`5\n${'same\n'.repeat(5)}signals\n1\n${id.slice(0, 12)}\n`)
    const privileges = await exec(
      store,
      'grep -E "^(CapEff|NoNewPrivs)" /proc/self/status; mount -t tmpfs x /tmp || echo refused; ls /proc/self/fd | wc -l',
    )
    expect(privileges.output).toMatch(
      /^CapEff:\t00000000a80425fb\n[\s\S]*NoNewPrivs:\t1\n[\s\S]*refused\n4\n$/,
    )
    await exec(store, 'touch /end')
    await ended
  })

  test('has its own user, directory and variables', async () => {
    await using store = await open()
    const { ended } = await begin(store)
    const options = { user: '7:8', cwd: '/data', env: { COLOUR: 'blue' } }
    expect((await exec(store, 'id -u; id -g; pwd; echo $COLOUR', options)).output).toBe('7\n8\n/data\nblue\n')
    await exec(store, 'touch /end')
    await ended
  })

  test('has its mounts: volumes, folders of the host, a read-only root', async () => {
    await using store = await open()
    const folder = scratch()
    const { ended } = await begin(store, 'echo v > /v/v; echo t > /t/t', {
      readOnlyRoot: true,
      mounts: ['vol:/v', `${folder}:/h`, { type: 'tmpfs', target: '/t' }],
      cmd: [
        'sh',
        '-c',
        'echo v > /v/v; echo t > /t/t; echo begun; while ! test -e /v/end; do sleep 0.02; done',
      ],
    })
    const { output } = await exec(
      store,
      'cat /v/v /t/t; echo h > /h/h; touch /x || echo refused; touch /v/end',
    )
    expect(output).toMatch(/^v\nt\n[\s\S]*refused\n$/)
    expect(readFileSync(join(folder, 'h'), 'utf8')).toBe('h\n')
    await ended
  })

  test('ends with it, and before it when it is stopped', async () => {
    await using store = await open()
    const { ended } = await begin(store)
    const stop = new AbortController()
    const joined: unknown[] = []
    const onOutput = () => void joined.push(1)
    const long = exec(store, 'echo go; sleep 100', { onOutput })
    const stopped = exec(store, 'echo go; sleep 100', { onOutput, stop: stop.signal })
    while (joined.length < 2) await sleep(20)
    stop.abort(new Error('SIGTERM'))
    expect((await stopped).exitCode).toBe(143)
    const late = exec(store, 'sleep 100 & sleep 100', { timeoutMs: 1000 })
    await expect(late).rejects.toMatchObject({ code: 'RUN_FAILED' })
    await exec(store, 'touch /end')
    await ended
    expect((await long).exitCode).toBe(137)
    expect((await findContainer(store, 'box')).status).toBe('exited')
  })

  test('from another process, by the command line', async () => {
    const path = join(scratch(), 'store')
    await using store = await open(path)
    const main = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
    const lamella = async (...args: string[]) =>
      (await promisify(execFile)(process.execPath, [main, args[0]!, '--store', path, ...args.slice(1)]))
        .stdout
    await lamella(
      'run',
      '-d',
      '--name',
      'box',
      'app',
      'sh',
      '-c',
      'echo main > /main; while ! test -e /end; do sleep 0.05; done',
    )
    for (let wait = 0; wait < 100 && (await findContainer(store, 'box')).status !== 'running'; wait++)
      await sleep(50)
    // The record says running a moment before the command begins.
    let seen = ''
    for (let wait = 0; wait < 100 && seen === ''; wait++) {
      seen = await lamella('exec', 'box', 'sh', '-c', 'cat /main; touch /own').catch(() => '')
    }
    expect(seen).toBe('main\n')
    await lamella('exec', 'box', 'touch', '/end')
    await waitContainer(store, 'box')
    await using container = await openContainer(store, 'box')
    expect(container.view.fs.existsSync('/own')).toBe(true)
    expect(readdirSync(join(path, 'lamella/sandbox/runs'))).toEqual([])
  })

  test('shows nothing of the host to what runs there: no file, no process, no descriptor', async () => {
    await using store = await open()
    const marker = join(scratch(), 'of-the-host')
    writeFileSync(marker, '')
    // Whoever is seen in the container's pid namespace is looked through, while commands come and go.
    const look = `for p in /proc/[0-9]*; do test -e $p/root${marker} && echo $p >> /escape; test -e $p/cwd${marker} && echo $p >> /escape; echo $p >> /seen; done`
    const { ended } = await begin(store, `(while ! test -e /end; do ${look}; done) & true`)
    for (let i = 0; i < 12; i++) await exec(store, 'true')
    const found = await exec(
      store,
      'ls /proc/self/fd | wc -l; test -s /seen && echo looked; cat /escape 2>/dev/null; true',
    )
    expect(found).toEqual({ exitCode: 0, output: '4\nlooked\n' })
    await exec(store, 'touch /own /end')
    await ended
  })

  test('of a container that is stopped meanwhile leaves nothing', async () => {
    await using store = await open()
    const { ended } = await begin(store)
    const joined: unknown[] = []
    const onOutput = () => void joined.push(1)
    const execs = Array.from({ length: 6 }, () => exec(store, 'echo go; sleep 100', { onOutput }))
    while (joined.length < 6) await sleep(20)
    await stopContainer(store, 'box')
    await ended
    expect((await Promise.all(execs)).map(({ exitCode }) => exitCode)).toEqual(Array(6).fill(137))
    expect(readdirSync(join(store.path!, 'lamella/sandbox/runs'))).toEqual([])
  })
})
