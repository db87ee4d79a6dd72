// Containers on the command line: the built bin, started as a process, with the in-process shell.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ContainerInfo } from '../../src/containers/index.js'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'lamella-cli-'))
  const context = join(scratch, 'context')
  mkdirSync(context)
  writeFileSync(join(context, 'seed'), 'from the image\n')
  writeFileSync(
    join(context, 'Dockerfile'),
    'FROM scratch\nCOPY seed /data/seed\nENV MODE=image\nCMD ["sh", "-c", "echo default; cat /count; echo + >> /count"]\n',
  )
  ok('build', '-q', '-t', 'app', context)
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

const env = () => ({ ...process.env, LAMELLA_STORE: join(scratch, 'store') })

function lamella(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    env: env(),
  })
  return { status, stdout, stderr }
}

function ok(...args: string[]): string {
  const run = lamella(...args)
  expect(run, `lamella ${args.join(' ')}`).toMatchObject({ status: 0 })
  return run.stdout
}

const SHELL = ['--executor', 'shell']
const run = (...args: string[]) => lamella('run', ...SHELL, ...args)
const containers = () => JSON.parse(ok('ps', '-a', '--json')) as ContainerInfo[]

describe('run', () => {
  test('stdout, stderr and exit code are the command’s; options end at IMAGE', () => {
    const cmd = ['sh', '-c', 'echo "$1 $MODE"; echo problem >&2; exit 42', '--rm', '-v']
    expect(run('--rm', '-e', 'MODE=mine', 'app', ...cmd)).toEqual({
      status: 42,
      stdout: '-v mine\n',
      stderr: 'problem\n',
    })
    expect(containers()).toEqual([])
  })

  test('a container keeps its files; start goes on in them; a new one does not see them', () => {
    expect(run('--name', 'one', 'app').stdout).toBe('default\n')
    expect(lamella('start', ...SHELL, 'one').stdout).toBe('default\n+\n')
    expect(run('app').stdout).toBe('default\n')
    expect(ok('diff', 'one')).toBe('A /count\n')
    expect(ok('logs', 'one')).toBe('default\ndefault\n+\n')
    expect(ok('logs', '--tail', '1', 'one')).toBe('+\n')
    expect(lamella('logs', 'one').stderr).toMatch(/cat: \/count/)
  })

  test.each<[string[], number, RegExp]>([
    [['nope'], 125, /no image "nope".*\[IMAGE_NOT_FOUND\]/],
    [['--name', '-', 'app'], 125, /\[CONTAINER_NAME_INVALID\]/],
    [['--user', 'nobody-here', 'app'], 125, /nobody-here.*\[USER_NOT_FOUND\]/],
    [['-v', 'data', 'app'], 2, /not an absolute path/],
    [['--network', 'moon', 'app'], 2, /expected one of/],
    [[], 2, /missing IMAGE/],
    [['app', 'sh', '-c', 'no-such-program'], 127, /not found/],
  ])('%j: exit code %i', (args, status, message) => {
    const result = run(...args)
    expect(result.status, result.stderr).toBe(status)
    expect(result.stderr).toMatch(message)
  })

  test('what a reader does not want to see is still done', () => {
    const line = 'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo end > /end'
    const pipe = `"$0" "$1" run --executor shell --name one app sh -c "$2" | head -1`
    const { stdout } = spawnSync('sh', ['-c', pipe, process.execPath, bin, line], {
      encoding: 'utf8',
      env: env(),
    })
    expect(stdout).toBe('line 0\n')
    expect(containers()).toMatchObject([{ status: 'exited', exitCode: 0 }])
    expect(ok('diff', 'one')).toBe('A /end\n')
  })
})

test('volumes: shared, read-only, in use, removed', () => {
  run('--rm', '-v', 'data:/data', 'app', 'sh', '-c', 'echo hi > /data/x')
  expect(run('--rm', '-v', 'data:/d:ro', 'app', 'sh', '-c', 'cat /d/seed /d/x; echo no > /d/y').stdout).toBe(
    'from the image\nhi\n',
  )
  expect(ok('volume', 'ls', '-q')).toBe('data\n')
  ok('create', '--name', 'one', '-v', 'data:/d', 'app')
  const refused = lamella('volume', 'rm', 'data')
  expect(refused).toMatchObject({ status: 1, stdout: '' })
  expect(refused.stderr).toMatch(/in use by one \[VOLUME_IN_USE\]/)
  expect(JSON.parse(ok('volume', 'inspect', 'data'))).toMatchObject([{ name: 'data', usedBy: ['one'] }])
  expect(ok('rm', 'one')).toBe('one\n')
  ok('gc')
  expect(ok('volume', 'prune')).toBe('')
  expect(ok('volume', 'rm', 'data')).toBe('data\n')
  expect(ok('volume', 'create', 'other')).toBe('other\n')
  expect(ok('volume', 'prune', '--all')).toBe('other\n')
})

test('exec, cp, commit, ps', () => {
  const id = ok('create', '--name', 'one', 'app').trim()
  expect(lamella('exec', ...SHELL, '-w', '/data', 'one', 'sh', '-c', 'pwd; ls').stdout).toBe('/data\nseed\n')
  writeFileSync(join(scratch, 'in.txt'), 'from the host\n')
  ok('cp', join(scratch, 'in.txt'), 'one:/data/')
  mkdirSync(join(scratch, 'out'))
  ok('cp', `${id.slice(0, 12)}:/data`, join(scratch, 'out'))
  expect(readFileSync(join(scratch, 'out/data/in.txt'), 'utf8')).toBe('from the host\n')
  const digest = ok('commit', '-m', 'more', 'one', 'app:2').trim()
  expect(digest).toMatch(/^sha256:/)
  expect(run('--rm', 'app:2', 'cat', '/data/in.txt').stdout).toBe('from the host\n')
  expect(ok('ps')).not.toContain('one')
  expect(ok('ps', '-a')).toMatch(
    /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +NAME\n[0-9a-f]{12} +app +"sh -c .*" .* Created +one\n$/,
  )
  expect(ok('ps', '-aq').trim()).toBe(id.slice(0, 12))
  expect(lamella('cp', 'a', 'b').status).toBe(2)
  expect(lamella('rm', 'one', 'two')).toMatchObject({ status: 1, stdout: 'one\n' })
})

describe('in the background', () => {
  const LOOP = 'i=0; while true; do echo tick; sleep 0.05; done'
  const until = async (check: () => boolean) => {
    const deadline = Date.now() + 15_000
    while (!check() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(check()).toBe(true)
  }

  test('run -d prints the id; stop ends it; its files and log are kept', async () => {
    const { stdout } = run('-d', '--name', 'bg', 'app', 'sh', '-c', `echo x > /f; ${LOOP}`)
    expect(stdout).toMatch(/^[0-9a-f]{64}\n$/)
    expect(ok('ps')).toMatch(/Up .* bg\n$/)
    expect(lamella('rm', 'bg').stderr).toMatch(/\[CONTAINER_RUNNING\]/)
    expect(ok('stop', 'bg')).toBe('bg\n')
    expect(containers()).toMatchObject([{ status: 'exited', exitCode: 143 }])
    expect(ok('diff', 'bg')).toBe('A /f\n')
    ok('rm', 'bg')
  })

  test('killed with its process it is dead, as it was before that run, and can be started again', async () => {
    run('--name', 'bg', 'app', 'sh', '-c', '[ -e /f ] || { echo x > /f; exit 0; }; echo y > /g; sleep 60')
    ok('start', ...SHELL, '-d', 'bg')
    const [{ pid, status }] = containers() as [ContainerInfo]
    expect(status).toBe('running')
    process.kill(pid!, 'SIGKILL')
    await until(() => containers()[0]!.status === 'dead')
    expect(containers()[0]!.exitCode).toBe(137)
    expect(ok('diff', 'bg')).toBe('A /f\n')
    expect(ok('exec', ...SHELL, 'bg', 'cat', '/f')).toBe('x\n')
    expect(ok('rm', 'bg')).toBe('bg\n')
    expect(ok('fsck').match(/^error/m)).toBeNull()
  })

  test('SIGTERM and SIGINT at the foreground end the command and keep its files', async () => {
    for (const [signal, code] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      const name = `on-${signal}`
      const args = [bin, 'run', ...SHELL, '--name', name, 'app', 'sh', '-c', 'echo x > /f; sleep 60']
      const child = spawn(process.execPath, args, { env: env(), stdio: 'ignore' })
      const ended = new Promise((resolve) => child.once('close', resolve))
      await until(() => containers().some((info) => info.name === name && info.status === 'running'))
      await new Promise((resolve) => setTimeout(resolve, 300))
      child.kill(signal)
      expect(await ended).toBe(code)
      expect(ok('diff', name)).toBe('A /f\n')
    }
  })
})
