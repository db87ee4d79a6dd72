// Running, stopping, exec and logs, with executors that need nothing of the machine; the shell at the end, and the sandbox.
import { describe, expect, test } from 'vitest'
import { BuildError } from '../../src/errors.js'
import { shellExecutor } from '../../src/builder/index.js'
import {
  containerChanges,
  createContainer,
  execInContainer,
  findContainer,
  followLog,
  listContainers,
  openContainer,
  readLog,
  removeContainer,
  runContainer,
  startContainer,
  stopContainer,
  type LogEntry,
} from '../../src/containers/index.js'
import type { ExecRequest, Executor } from '../../src/builder/index.js'
import { BOTH, inView, onCopy, putImage, STORES, storeWithImage, text } from './fixtures.js'

const utf8 = (value: string) => new TextEncoder().encode(value)
const lines = (entries: readonly LogEntry[]) =>
  entries.map(({ stream, bytes }) => `${stream}: ${new TextDecoder().decode(bytes)}`)

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

/** Ends when it is stopped, as a command that heeds SIGTERM; says when it has begun. */
function untilStopped(began: () => void): Executor {
  return inView(async ({ view, signal }) => {
    view.fs.writeFileSync('/written', 'before the stop')
    began()
    if (!signal!.aborted)
      await new Promise((resolve) => signal!.addEventListener('abort', resolve, { once: true }))
    throw Object.assign(new Error('aborted'), { name: 'AbortError', code: 'ABORT_ERR' })
  })
}

describe.each(BOTH)('%s', (_, make) => {
  test('a run keeps what it wrote, its exit code and its times; the next goes on from there', async () => {
    const store = await storeWithImage()
    const executor = make(({ view: { fs } }) => {
      fs.appendFileSync('/count', '+')
      return fs.readFileSync('/count').length
    })
    const first = await runContainer(store, 'app', { name: 'one', executor })
    expect(first.exitCode).toBe(1)
    expect(first.info).toMatchObject({ status: 'exited', exitCode: 1, error: undefined })
    expect(first.info.finishedMs).toBeGreaterThanOrEqual(first.info.startedMs!)
    expect((await startContainer(store, 'one', { executor })).exitCode).toBe(2)
    expect((await containerChanges(store, 'one')).map(({ path }) => path)).toEqual(['/count'])
    expect((await findContainer(store, 'one')).pid).toBeUndefined()
  })

  test('what is run, as whom, where and in which environment', async () => {
    const store = await storeWithImage({ config: { User: 'web', WorkingDir: '/srv/app', Env: ['A=1'] } })
    const seen: ExecRequest[] = []
    const { info } = await runContainer(store, 'app', {
      cmd: ['serve', 'x y'],
      env: { B: '2' },
      stdin: utf8('in'),
      executor: make((request) => {
        expect(request.view.fs.statSync('/srv/app').isDirectory()).toBe(true)
        seen.push(request)
      }),
    })
    expect(seen[0]).toMatchObject({
      argv: ['serve', 'x y'],
      user: 'web',
      cwd: '/srv/app',
      network: 'default',
      stdin: utf8('in'),
    })
    expect(Object.fromEntries(seen[0]!.env)).toEqual({
      A: '1',
      B: '2',
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/home/web',
      HOSTNAME: info.id.slice(0, 12),
    })
  })

  test('with removeOnExit nothing is left, whatever the exit code, and when it could not be run', async () => {
    const store = await storeWithImage()
    const options = { removeOnExit: true, executor: make(() => 4) }
    expect((await runContainer(store, 'app', options)).exitCode).toBe(4)
    const failing = make(() => Promise.reject(new BuildError('USER_NOT_FOUND', 'no such user')))
    await expect(runContainer(store, 'app', { ...options, executor: failing })).rejects.toMatchObject({
      code: 'USER_NOT_FOUND',
    })
    expect(await listContainers(store)).toEqual([])
    expect(await store.documents.roots()).toEqual([])
  })

  test('an error of the executor is the container’s, and what was written stays', async () => {
    const store = await storeWithImage()
    const executor = make(() => Promise.reject(new BuildError('USER_NOT_FOUND', 'no such user: x')))
    await expect(runContainer(store, 'app', { name: 'one', executor })).rejects.toThrow('no such user: x')
    expect(await findContainer(store, 'one')).toMatchObject({
      status: 'exited',
      exitCode: 125,
      error: 'no such user: x',
    })
    expect((await startContainer(store, 'one', { executor: make(() => 0) })).info.error).toBeUndefined()
  })

  test('while it runs it is running, held, and not removable', async () => {
    const store = await storeWithImage()
    await runContainer(store, 'app', {
      name: 'one',
      executor: make(async () => {
        expect((await findContainer(store, 'one')).status).toBe('running')
        await expect(removeContainer(store, 'one')).rejects.toMatchObject({ code: 'CONTAINER_RUNNING' })
        await expect(openContainer(store, 'one')).rejects.toMatchObject({ code: 'CONTAINER_BUSY' })
      }),
    })
    await removeContainer(store, 'one')
    await expect(findContainer(store, 'one')).rejects.toMatchObject({ code: 'CONTAINER_NOT_FOUND' })
  })

  test('exec: a further command in the same files, with settings of its own', async () => {
    const store = await storeWithImage({ config: { Env: ['A=1'], User: 'web' } })
    await createContainer(store, 'app', { name: 'one', cmd: ['main'] })
    const seen: ExecRequest[] = []
    const executor = make((request) => {
      seen.push(request)
      request.view.fs.appendFileSync('/log', `${request.argv.join(' ')}\n`)
      request.onOutput('stdout', utf8('said\n'))
      return 9
    })
    const options = { executor, env: { B: '2' }, cwd: '/data', user: '0' }
    const { exitCode, info } = await execInContainer(store, 'one', ['tool', '-x'], options)
    expect([exitCode, info.status]).toEqual([9, 'created'])
    expect(seen[0]).toMatchObject({ argv: ['tool', '-x'], cwd: '/data', user: '0' })
    expect(Object.fromEntries(seen[0]!.env)).toMatchObject({ A: '1', B: '2' })
    await startContainer(store, 'one', { executor })
    await using one = await openContainer(store, 'one')
    expect(text(one.view.fs, '/log')).toBe('tool -x\nmain\n')
    expect(lines(await readLog(store, 'one'))).toEqual(['stdout: said\n'])
  })
})

test('nothing to run: said before anything is', async () => {
  const store = await storeWithImage({ config: { Cmd: [] } })
  const executor = inView(() => 0)
  await expect(runContainer(store, 'app', { executor })).rejects.toMatchObject({ code: 'COMMAND_MISSING' })
})

test('executors are asked in turn; a refusal leaves it to the next', async () => {
  const store = await storeWithImage()
  const refusing = inView(() => Promise.reject(new BuildError('EXECUTOR_CAPABILITY', 'not me')))
  const { exitCode } = await runContainer(store, 'app', { executor: [refusing, onCopy(() => 5)] })
  expect(exitCode).toBe(5)
  await expect(runContainer(store, 'app', { executor: [refusing] })).rejects.toThrow('not me')
  await expect(runContainer(store, 'app', { executor: [] })).rejects.toMatchObject({
    code: 'EXECUTOR_MISSING',
  })
})

describe('exec beside a run', () => {
  test('in the view: shares its files at once', async () => {
    const store = await storeWithImage()
    await runContainer(store, 'app', {
      name: 'one',
      executor: inView(async ({ view: { fs } }) => {
        fs.writeFileSync('/from-main', '1')
        await execInContainer(store, 'one', ['x'], {
          executor: inView((inner) => {
            expect(text(inner.view.fs, '/from-main')).toBe('1')
            inner.view.fs.writeFileSync('/from-exec', '2')
          }),
        })
        expect(text(fs, '/from-exec')).toBe('2')
        const copying = execInContainer(store, 'one', ['x'], { executor: onCopy(() => 0) })
        await expect(copying).rejects.toMatchObject({ code: 'CONTAINER_RUNNING' })
      }),
    })
    expect((await findContainer(store, 'one')).status).toBe('exited')
  })

  test('on a copy: nothing runs beside it', async () => {
    const store = await storeWithImage()
    await runContainer(store, 'app', {
      name: 'one',
      executor: onCopy(async () => {
        for (const [, make] of BOTH) {
          const exec = execInContainer(store, 'one', ['x'], { executor: make(() => 0) })
          await expect(exec).rejects.toMatchObject({ code: 'CONTAINER_RUNNING' })
        }
      }),
    })
  })
})

describe('a read-only root', () => {
  test('in the view: only mounts can be written to; the container’s own view stays writable', async () => {
    const store = await storeWithImage()
    const { info } = await runContainer(store, 'app', {
      readOnlyRoot: true,
      mounts: ['data:/d', { type: 'tmpfs', target: '/tmp' }],
      executor: inView(({ view }) => {
        for (const [i, fs] of [view.fs, view.fsFor({}), view.fsFor({ uid: 1000 })].entries()) {
          expect(() => fs.writeFileSync('/x', '')).toThrow(/EROFS|EACCES/)
          expect(() => fs.rmSync('/data/seed')).toThrow(/EROFS|EACCES/)
          fs.writeFileSync(`/tmp/${i}`, '')
        }
        expect(() => view.fs.chmodSync('/bin', 0o700)).toThrow(/EROFS/)
        expect(() => view.fs.renameSync('/d', '/e')).toThrow()
        view.fs.writeFileSync('/d/y', '')
      }),
    })
    expect((await containerChanges(store, info.id)).map(({ path }) => path)).toEqual(['/d', '/tmp'])
    await using one = await openContainer(store, info.id)
    one.view.fs.writeFileSync('/x', '')
    expect(one.view.fs.readdirSync('/d')).toEqual(['y'])
  })

  test('a tmpfs in the view has its size and its mode', async () => {
    const store = await storeWithImage()
    await runContainer(store, 'app', {
      mounts: [{ type: 'tmpfs', target: '/t', sizeBytes: 4096, mode: 0o700, readOnly: false }],
      executor: inView(({ view: { fs } }) => {
        expect(fs.statSync('/t').mode & 0o7777).toBe(0o700)
        fs.writeFileSync('/t/a', 'x')
        expect(() => fs.writeFileSync('/t/b', 'x')).toThrow('ENOSPC')
        fs.writeFileSync('/elsewhere', 'x')
      }),
    })
  })

  test('on a copy: the executor is told', async () => {
    const store = await storeWithImage()
    const executor = onCopy(({ readOnlyRoot }) => Number(readOnlyRoot))
    expect((await runContainer(store, 'app', { readOnlyRoot: true, executor })).exitCode).toBe(1)
  })
})

describe('stop', () => {
  test('keeps what was written; the exit code is that of the signal', async () => {
    const store = await storeWithImage()
    const began = deferred()
    const run = runContainer(store, 'app', { name: 'one', executor: untilStopped(began.resolve) })
    await began.promise
    const stopped = await stopContainer(store, 'one')
    expect(stopped).toMatchObject({ status: 'exited', exitCode: 143 })
    expect((await run).exitCode).toBe(143)
    await using one = await openContainer(store, 'one')
    expect(text(one.view.fs, '/written')).toBe('before the stop')
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['because', 143],
  ])('by a signal of the caller: %s', async (reason, code) => {
    const store = await storeWithImage()
    const stop = new AbortController()
    const executor = untilStopped(() => stop.abort(new Error(reason)))
    expect((await runContainer(store, 'app', { executor, stop: stop.signal })).exitCode).toBe(code)
  })

  test('of what does not run is no error; of a container that goes with its end there is nothing left', async () => {
    const store = await storeWithImage()
    await createContainer(store, 'app', { name: 'one' })
    expect(await stopContainer(store, 'one')).toMatchObject({ status: 'created' })
    const began = deferred()
    const options = { name: 'two', removeOnExit: true, executor: untilStopped(began.resolve) }
    const run = runContainer(store, 'app', options)
    await began.promise
    expect(await stopContainer(store, 'two')).toBeUndefined()
    await run
    await expect(stopContainer(store, 'two')).rejects.toMatchObject({ code: 'CONTAINER_NOT_FOUND' })
  })
})

describe.each(STORES)('logs in a store on %s', (_, open) => {
  test('line by line, with streams; unfinished lines at the end; all runs', async () => {
    await using store = await open()
    await putImage(store)
    const heart = utf8('♥')
    const executor = inView(({ onOutput }) => {
      onOutput('stdout', utf8('one\ntw'))
      onOutput('stderr', utf8('problem\n'))
      onOutput('stdout', utf8('o\n'))
      onOutput('stdout', heart.subarray(0, 2))
      onOutput('stdout', heart.subarray(2))
    })
    const output: string[] = []
    const run = { executor, onOutput: (stream: string) => void output.push(stream) }
    await runContainer(store, 'app', { name: 'one', ...run })
    const first = ['stdout: one\n', 'stderr: problem\n', 'stdout: two\n', 'stdout: ♥']
    expect(lines(await readLog(store, 'one'))).toEqual(first)
    expect(output).toEqual(['stdout', 'stderr', 'stdout', 'stdout', 'stdout'])
    await startContainer(store, 'one', { executor })
    expect(await readLog(store, 'one')).toHaveLength(8)
    await removeContainer(store, 'one')
    await expect(readLog(store, 'one')).rejects.toMatchObject({ code: 'CONTAINER_NOT_FOUND' })
  })

  test('bytes that are no text come back as they were; long lines in parts', async () => {
    await using store = await open()
    await putImage(store)
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    const long = utf8('x'.repeat(40_000))
    await runContainer(store, 'app', {
      name: 'one',
      executor: inView(({ onOutput }) => {
        onOutput('stdout', bytes)
        onOutput('stderr', long)
      }),
    })
    const entries = await readLog(store, 'one')
    const joined = (stream: string) =>
      Buffer.concat(entries.filter((entry) => entry.stream === stream).map((entry) => entry.bytes))
    expect(joined('stdout').equals(bytes)).toBe(true)
    expect(joined('stderr').equals(long)).toBe(true)
    expect(Math.max(...entries.map((entry) => entry.bytes.length))).toBe(16_384)
  })

  test('following ends with the run, and misses nothing', async () => {
    await using store = await open()
    await putImage(store)
    await createContainer(store, 'app', { name: 'one' })
    const run = startContainer(store, 'one', {
      executor: inView(async ({ onOutput }) => {
        for (let i = 0; i < 5; i++) {
          onOutput('stdout', utf8(`${i}\n`))
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      }),
    })
    while ((await findContainer(store, 'one')).status === 'created') {
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const got: LogEntry[] = []
    for await (const entry of followLog(store, 'one', { pollMs: 2 })) got.push(entry)
    await run
    expect(lines(got)).toEqual(['0', '1', '2', '3', '4'].map((n) => `stdout: ${n}\n`))
  })
})

describe('with the shell', () => {
  test('a command line over the container’s files and volumes', async () => {
    const store = await storeWithImage()
    const cmd = ['sh', '-c', 'cat /data/seed; echo "$MODE $(whoami)"; echo more > /data/more; pwd; exit 6']
    const { info, exitCode } = await runContainer(store, 'app', {
      cmd,
      user: 'web',
      mounts: ['data:/data'],
      executor: shellExecutor(),
    })
    expect(exitCode).toBe(6)
    expect(lines(await readLog(store, info.id)).join('')).toBe(
      'stdout: from the image\nstdout: image web\nstdout: /\n',
    )
    const again = await runContainer(store, 'app', {
      cmd: ['sh', '-c', 'cat /d/more && ! touch /d/x; echo no > /d/y; echo "status $?"'],
      mounts: ['data:/d:ro'],
      executor: shellExecutor(),
    })
    expect(again.exitCode).toBe(0)
    const said = lines(await readLog(store, again.info.id)).join('')
    expect(said).toMatch(/stdout: more\nstdout: status 2\n/)
    expect(said).toMatch(/stderr: .*\/d\/y: Read-only file system\n/)
  })

  test('a read-only root', async () => {
    const store = await storeWithImage()
    const { info } = await runContainer(store, 'app', {
      cmd: ['sh', '-c', 'echo no > /x; echo "status $?"; echo yes > /d/y; cat /d/y; mkdir /z'],
      mounts: ['data:/d'],
      readOnlyRoot: true,
      executor: shellExecutor(),
    })
    expect(info.exitCode).toBe(1)
    expect(lines(await readLog(store, info.id)).join('')).toMatch(/stdout: status 2\nstdout: yes\n/)
    expect((await containerChanges(store, info.id)).map(({ path }) => path)).toEqual(['/d'])
  })
})
