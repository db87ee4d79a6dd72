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
    expect(lamella('start', '-a', ...SHELL, 'one').stdout).toBe('default\n+\n')
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
    expect(ok('start', ...SHELL, 'bg')).toBe('bg\n')
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

// What docker 28.5.2 answers to the same, with the same image but for its programs.
describe('as docker', () => {
  test('start leaves running and prints the names; -a stays and has the exit code', () => {
    run('--name', 'one', 'app', 'sh', '-c', 'exit 3')
    run('--name', 'two', 'app', 'sh', '-c', 'echo again')
    expect(lamella('start', ...SHELL, 'one', 'nope', 'two')).toMatchObject({
      status: 1,
      stdout: 'one\ntwo\n',
    })
    expect(ok('wait', 'one', 'two')).toBe('3\n0\n')
    expect(lamella('start', '-a', ...SHELL, 'one').status).toBe(3)
    expect(lamella('start', '-a', 'one', 'two').status).toBe(2)
    expect(ok('logs', 'two')).toBe('again\nagain\n')
  })

  test('diff has the directories above a change, and what was in a directory that was made anew', () => {
    const script =
      'rm /data/seed; mkdir -p /new/d; echo 1 > /new/d/f; ln -s a /lnk; mkdir /data/sub; rm -r /data; mkdir /data'
    run('--name', 'one', '-v', '/vol', 'app', 'sh', '-c', script)
    expect(ok('diff', 'one')).toBe('C /data\nD /data/seed\nA /lnk\nA /new\nA /new/d\nA /new/d/f\nA /vol\n')
  })

  test('logs --since and --until; inspect --format', () => {
    run('--name', 'one', '-e', 'A=1', 'app', 'sh', '-c', 'echo said; exit 3')
    expect(ok('logs', '--since', '10m', 'one')).toBe('said\n')
    expect(ok('logs', '--since', '2000-01-01', '--until', '2001-01-01T00:00:00Z', 'one')).toBe('')
    expect(ok('logs', '--since', '99999999999', 'one')).toBe('')
    expect(lamella('logs', '--since', 'long ago', 'one')).toMatchObject({ status: 2 })
    const format =
      '{{.Name}} {{.State.Status}} {{.State.ExitCode}}{{range .Config.Env}}{{if eq . "A=1"}} {{.}}{{end}}{{end}}'
    expect(ok('inspect', '-f', format, 'one')).toBe('/one exited 3 A=1\n')
    expect(ok('inspect', '--format', '{{.RepoTags}} {{json .Config.Cmd}}', 'app')).toMatch(/^\[.*app.*\] \[/)
    expect(lamella('inspect', '-f', '{{template "x"}}', 'one')).toMatchObject({ status: 2, stdout: '' })
  })

  test('kill ends at once and keeps what was written; what does not run cannot be killed', () => {
    run('-d', '--name', 'bg', 'app', 'sh', '-c', 'echo x > /f; while true; do sleep 0.05; done')
    expect(ok('kill', 'bg')).toBe('bg\n')
    expect(containers()).toMatchObject([{ status: 'exited', exitCode: 137 }])
    expect(ok('diff', 'bg')).toBe('A /f\n')
    expect(lamella('kill', 'bg')).toMatchObject({ status: 1, stdout: '' })
    expect(lamella('kill', '-s', 'NOPE', 'bg')).toMatchObject({ status: 2 })
    ok('start', ...SHELL, 'bg')
    // What runs in process takes but three.
    expect(lamella('kill', '-s', 'HUP', 'bg')).toMatchObject({ status: 1, stdout: '' })
    ok('kill', '-s', '2', 'bg')
    expect(containers()).toMatchObject([{ status: 'exited', exitCode: 130 }])
  })

  test('restart runs again, whether or not it ran; logs -f and wait end with it', async () => {
    run('-d', '--name', 'bg', 'app', 'sh', '-c', 'echo run; while true; do sleep 0.05; done')
    const following = spawn(process.execPath, [bin, 'logs', '-f', 'bg'], { env: env(), stdio: 'ignore' })
    const followed = new Promise((resolve) => following.once('close', resolve))
    expect(ok('restart', '-t', '5', ...SHELL, 'bg')).toBe('bg\n')
    await followed
    expect(ok('ps')).toMatch(/Up .* bg\n$/)
    ok('stop', 'bg')
    ok('restart', ...SHELL, 'bg')
    const waiting = spawn(process.execPath, [bin, 'wait', 'bg'], {
      env: env(),
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let said = ''
    waiting.stdout.on('data', (chunk) => (said += String(chunk)))
    const ended = new Promise((resolve) => waiting.once('close', resolve))
    await new Promise((resolve) => setTimeout(resolve, 500))
    ok('stop', 'bg')
    await ended
    expect(said).toBe('143\n')
  })

  test.each([['wait'], ['logs', '-f']])('%s is called off by SIGINT with 130', async (...command) => {
    run('-d', '--name', 'bg', 'app', 'sh', '-c', 'while true; do sleep 0.05; done')
    const waiting = spawn(process.execPath, [bin, ...command, 'bg'], { env: env(), stdio: 'ignore' })
    await new Promise((resolve) => setTimeout(resolve, 700))
    waiting.kill('SIGINT')
    expect(await new Promise((resolve) => waiting.once('close', resolve))).toBe(130)
    ok('kill', 'bg')
  })

  test('rename', () => {
    run('--name', 'one', 'app')
    run('--name', 'two', 'app')
    expect(ok('rename', 'one', 'three')).toBe('')
    expect(containers().map(({ name }) => name)).toEqual(['two', 'three'])
    expect(lamella('rename', 'two', 'three').stderr).toMatch(/\[CONTAINER_NAME_IN_USE\]/)
    expect(lamella('rename', 'two', 'two').stderr).toMatch(/\[CONTAINER_NAME_IN_USE\]/)
    expect(lamella('rename', 'two', '-x').status).toBe(2)
    expect(lamella('rename', 'two', 'x y').stderr).toMatch(/\[CONTAINER_NAME_INVALID\]/)
    expect(lamella('rename', 'one', 'four').stderr).toMatch(/\[CONTAINER_NOT_FOUND\]/)
  })

  test('inspect finds containers, images and volumes; what it does not find it says, and prints the rest', () => {
    run('--name', 'one', '-v', 'data:/d', 'app')
    const found = JSON.parse(ok('inspect', 'one', 'app', 'data')) as Record<string, unknown>[]
    expect(found.map((it) => [it.name, it.names])).toEqual([
      ['one', undefined],
      [undefined, ['app:latest']],
      ['data', undefined],
    ])
    const half = lamella('inspect', 'nope', 'one')
    expect([half.status, (JSON.parse(half.stdout) as unknown[]).length]).toEqual([1, 1])
    expect(half.stderr).toMatch(/no container, image or volume "nope"/)
    expect(lamella('inspect', '--type', 'image', 'one').stderr).toMatch(/\[IMAGE_NOT_FOUND\]/)
    expect(lamella('inspect', '--type', 'moon', 'one').status).toBe(2)
  })

  test('commit --change, --author', () => {
    run('--name', 'one', 'app', 'true')
    const changes = ['CMD ["a"]', 'ENV A=1 MODE=$MODE-2', 'LABEL x=y', 'EXPOSE 80', 'WORKDIR sub', 'USER 7']
    ok('commit', '-m', 'msg', '-a', 'me', ...changes.flatMap((change) => ['-c', change]), 'one', 'two')
    const [{ config }] = JSON.parse(ok('inspect', 'two')) as [{ config: Record<string, unknown> }]
    expect(config).toMatchObject({
      author: 'me',
      config: {
        Cmd: ['a'],
        Env: [expect.stringMatching(/^PATH=/), 'MODE=image-2', 'A=1'],
        Labels: { x: 'y' },
        ExposedPorts: { '80/tcp': {} },
        WorkingDir: '/sub',
        User: '7',
      },
    })
    expect((config.history as unknown[]).at(-1)).toMatchObject({ author: 'me', comment: 'msg' })
    for (const change of ['RUN x', 'FROM x', 'COPY a b', 'ADD a b', 'nonsense'])
      expect(lamella('commit', '-c', change, 'one', 'three').status, change).toBe(1)
  })

  test('cp - is a tar: in with its owners, out under the name of what was asked for', () => {
    ok('create', '--name', 'one', 'app')
    mkdirSync(join(scratch, 'tree/sub'), { recursive: true })
    writeFileSync(join(scratch, 'tree/sub/f'), '1\n')
    const tar = spawnSync('tar', [
      '-C',
      join(scratch, 'tree'),
      '--owner=7',
      '--group=8',
      '-cf',
      '-',
      'sub',
    ]).stdout
    const put = (to: string) =>
      spawnSync(process.execPath, [bin, 'cp', '-', to], { env: env(), input: tar, encoding: 'utf8' })
    expect(put('one:/data')).toMatchObject({ status: 0, stderr: '' })
    expect(put('one:/data/seed').stderr).toMatch(/is not a directory.*\[COPY_INVALID\]/)
    expect(put('one:/nope').stderr).toMatch(/\[COPY_INVALID\]/)
    const list = (path: string) => {
      const { stdout } = spawnSync(process.execPath, [bin, 'cp', path, '-'], { env: env() })
      return spawnSync('tar', ['--numeric-owner', '-tvf', '-'], { input: stdout, encoding: 'utf8' })
        .stdout.split('\n')
        .map((line) => line.replace(/^(\S+) (\S+).* (\S+)$/, '$1 $2 $3'))
    }
    expect(list('one:/data/sub')).toEqual(['drwxr-xr-x 7/8 sub/', '-rw-r--r-- 7/8 sub/f', ''])
    expect(list('one:/data/sub/.')).toEqual(['-rw-r--r-- 7/8 f', ''])
    expect(list('one:/data/seed')).toEqual(['-rw-r--r-- 0/0 seed', ''])
    expect(lamella('cp', 'one:/nope', '-').stderr).toMatch(/\[COPY_INVALID\]/)
  })

  test('ps filters', () => {
    run('--name', 'one', '--label', 'a=1', '-v', 'data:/d', 'app', 'sh', '-c', 'exit 3')
    ok('create', '--name', 'two', '--label', 'a=2', '--label', 'b', 'app')
    const named = (...args: string[]) =>
      (JSON.parse(ok('ps', '--json', ...args)) as ContainerInfo[]).map(({ name }) => name)
    const rows: [string[], string[]][] = [
      [[], []],
      [['-a'], ['two', 'one']],
      [['-l'], ['two']],
      [
        ['-n', '5'],
        ['two', 'one'],
      ],
      [['-f', 'status=exited'], ['one']],
      [
        ['-f', 'status=exited', '-f', 'status=created'],
        ['two', 'one'],
      ],
      [['-f', 'exited=3'], ['one']],
      [['-f', 'exited=0'], []],
      [['-a', '-f', 'name=tw'], ['two']],
      [
        ['-a', '-f', 'label=a'],
        ['two', 'one'],
      ],
      [['-a', '-f', 'label=a=1'], ['one']],
      [['-a', '-f', 'label=a', '-f', 'label=b'], ['two']],
      [
        ['-a', '-f', 'ancestor=app'],
        ['two', 'one'],
      ],
      [['-a', '-f', 'ancestor=other'], []],
      [['-a', '-f', 'volume=data'], ['one']],
      [['-a', '-f', 'volume=/d'], ['one']],
      [['-f', 'name=one'], []],
    ]
    for (const [args, want] of rows) expect(named(...args), args.join(' ')).toEqual(want)
    expect(lamella('ps', '-f', 'moon=1').status).toBe(2)
    expect(ok('ps', '-aq', '--no-trunc')).toMatch(/^[0-9a-f]{64}\n[0-9a-f]{64}\n$/)
  })

  test('--env-file, --hostname, -t', () => {
    const file = join(scratch, 'env')
    writeFileSync(file, 'A=1\n# c\n\nNOT_SET_HERE\nC=x "y"\n  D=2\r\nE=\nMODE=file\n')
    const result = run(
      '--rm',
      '-t',
      '-h',
      'box',
      '--env-file',
      file,
      '-e',
      'E=mine',
      'app',
      'sh',
      '-c',
      'env | sort',
    )
    const shown = result.stdout.split('\n').filter((line) => /^(?:[A-E]|MODE|HOSTNAME|NOT\w+)=/.test(line))
    expect(shown).toEqual(['A=1', 'C=x "y"', 'D=2', 'E=mine', 'HOSTNAME=box', 'MODE=file'])
    expect(result.stderr).toMatch(/no terminal/)
    writeFileSync(file, 'A B=1\n')
    expect(run('--rm', '--env-file', file, 'app')).toMatchObject({ status: 2 })
  })

  test('volume rm -f, inspect of some, prune -f; --mount needs its source, -v makes it', () => {
    ok('volume', 'create', 'data')
    const half = lamella('volume', 'inspect', 'nope', 'data')
    expect([half.status, JSON.parse(half.stdout)]).toMatchObject([1, [{ name: 'data' }]])
    expect(lamella('volume', 'rm', 'nope')).toMatchObject({ status: 1, stdout: '' })
    expect(ok('volume', 'rm', '-f', 'nope', 'data')).toBe('nope\ndata\n')
    expect(ok('volume', 'prune', '-f')).toBe('')
    const source = join(scratch, 'host')
    const bind = `type=bind,source=${source},target=/h`
    expect(run('--rm', '--mount', bind, 'app', 'true').stderr).toMatch(/does not exist on the host/)
    expect(run('--rm', '-v', `${source}:/h`, 'app', 'sh', '-c', 'echo 1 > /h/f')).toMatchObject({ status: 0 })
    expect(run('--rm', '--mount', `${bind},readonly`, 'app', 'cat', '/h/f').stdout).toBe('1\n')
  })

  test('a store that is not there is 125 too', () => {
    const { status, stderr } = run('--store', join(scratch, 'none'), 'app')
    expect([status, stderr]).toEqual([125, expect.stringMatching(/\[STORE_NOT_FOUND\]/)])
  })
})
