// The command line as its user meets it: the built bin, started as a process.
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { removeTree } from '../remove.js'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')

let scratch: string
let context: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'lamella-cli-'))
  context = join(scratch, 'context')
  mkdirSync(join(context, 'sub'), { recursive: true })
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nWORKDIR /app\nCOPY . .\nCMD ["/app/a"]\n')
  writeFileSync(join(context, 'a'), 'one\n')
  writeFileSync(join(context, 'sub/b'), 'two\n')
})
afterEach(() => removeTree(scratch))

interface Run {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function lamella(args: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}): Run {
  const env = { ...process.env, LAMELLA_STORE: join(scratch, 'store'), ...options.env }
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    env,
    ...(options.input === undefined ? {} : { input: options.input }),
  })
  return { status, stdout, stderr }
}

function ok(args: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}): Run {
  const run = lamella(args, options)
  expect(run, `lamella ${args.join(' ')}`).toMatchObject({ status: 0 })
  return run
}

const dockerfile = (text: string) => writeFileSync(join(context, 'Dockerfile'), text)

const commands = [...lamellaHelp().matchAll(/^ {2}([a-z-]+) {2,}(.+)$/gm)].map(
  (match) => [match[1]!, match[2]!] as const,
)

function lamellaHelp(): string {
  return spawnSync(process.execPath, [bin, '--help'], { encoding: 'utf8' }).stdout
}

describe('help', () => {
  test.each(commands)('%s --help says what the overview says', (name, summary) => {
    const { stdout, stderr } = ok([name, '--help'])
    expect(stdout).toMatch(new RegExp(`^Usage: lamella ${name} `))
    expect(stdout.replace(/\s+/g, ' ').toLowerCase()).toContain(summary.toLowerCase())
    // A terminal has that much room at least.
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
    expect(stdout).toContain('--help')
    expect(stderr).toBe('')
    expect(ok(['help', name]).stdout).toBe(stdout)
  })

  test('the overview has room in a terminal too', () => {
    expect(
      lamellaHelp()
        .split('\n')
        .filter((line) => line.length > 80),
    ).toEqual([])
  })

  test('the version is the package’s', () => {
    const manifest = readFileSync(join(dirname(bin), '../../package.json'), 'utf8')
    expect(ok(['--version']).stdout).toBe(
      `lamella ${(JSON.parse(manifest) as { version: string }).version}\n`,
    )
  })

  test.each<[string[], string]>([
    [[], 'Usage: lamella COMMAND'],
    [['biuld'], 'unknown command "biuld" (did you mean build?)'],
    [['constructor'], 'unknown command "constructor"'],
    [['--frob'], 'unknown option --frob'],
    [['build', '--taget', 'x', '.'], 'unknown option --taget (did you mean --target?)'],
    [['build'], 'missing CONTEXT'],
    [['build', 'a', 'b'], 'unexpected argument "b"'],
    [['build', '--target'], '--target needs a value'],
    [['build', '--no-cache=maybe', '.'], '--no-cache takes no value'],
    [['build', '--progress', 'loud', '.'], '--progress loud: expected one of'],
    [['build', '--platform', 'linux', '.'], 'expected OS/ARCHITECTURE'],
    [['build', '--build-arg', '=x', '.'], 'expected NAME=VALUE'],
    [['build', '--executor', 'magic', '.'], 'expected auto, sandbox, shell'],
    [['cat', 'x'], 'missing PATH'],
    [['save', '--format', 'zip', 'x'], '--format zip'],
  ])('%j is a wrong command line: exit code 2', (args, message) => {
    if (args[0] === 'save') ok(['build', '-t', 'x', context])
    const { status, stdout, stderr } = lamella(args)
    expect(status).toBe(2)
    expect(args.length === 0 ? stdout : stderr).toContain(message)
  })
})

describe('build', () => {
  test('plain progress reads like BuildKit’s; the digest is all there is on stdout', () => {
    const first = ok(['build', '-t', 'app', '--progress', 'plain', context])
    expect(first.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    expect(first.stderr).toMatch(/^#\d+ \[1\/2\] WORKDIR \/app\n#\d+ DONE \d+\.\ds$/m)
    const second = ok(['build', '-t', 'app', '--progress', 'plain', context])
    expect(second.stdout).toBe(first.stdout)
    expect(second.stderr).toMatch(/^#\d+ \[1\/2\] WORKDIR \/app\n#\d+ CACHED$/m)
    expect(second.stderr).toMatch(/^#\d+ \[2\/2\] COPY \. \.\n#\d+ CACHED$/m)
    expect(second.stderr).toContain('naming to docker.io/library/app:latest done\n')
  })

  test('json progress is one event a line', () => {
    const { stderr } = ok(['build', '--progress', 'json', context])
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string; timeNs?: string })
    expect(events.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['step-planned', 'step-started', 'step-done', 'exported']),
    )
    expect(events.find(({ kind }) => kind === 'step-started')?.timeNs).toMatch(/^\d{19}$/)
  })

  test('quiet says nothing but the image’s id, its config’s digest; --iidfile and --metadata-file tell the same', () => {
    const [iid, metadata] = [join(scratch, 'iid'), join(scratch, 'metadata')]
    const { stdout, stderr } = ok([
      'build',
      '-q',
      '--iidfile',
      iid,
      '--metadata-file',
      metadata,
      '-t',
      'a',
      '-t',
      'b:1',
      context,
    ])
    expect(stderr).toBe('')
    expect(readFileSync(iid, 'utf8')).toBe(stdout.trim())
    expect(JSON.parse(readFileSync(metadata, 'utf8'))).toMatchObject({
      'containerimage.config.digest': stdout.trim(),
      'image.name': 'docker.io/library/a:latest,docker.io/library/b:1',
    })
  })

  test('a Dockerfile from stdin, and from another place', () => {
    const text = 'FROM scratch\nCOPY a /b\n'
    const a = ok(['build', '-q', '-f', '-', '--source-date-epoch', '1000', context], { input: text }).stdout
    writeFileSync(join(scratch, 'other'), text)
    const b = ok(['build', '-q', '-f', join(scratch, 'other'), context], {
      env: { SOURCE_DATE_EPOCH: '1000' },
    }).stdout
    expect(a).toBe(b)
  })

  test.each<[string, string, string, string]>([
    ['unknown instruction', 'FROM scratch\nCOPPY a /\n', 'Dockerfile:2:1', 'did you mean COPY?'],
    ['unknown flag', 'FROM scratch\nCOPY --chow=1 a /\n', 'Dockerfile:2:', 'chown'],
    ['missing source', 'FROM scratch\nCOPY nothere /\n', 'Dockerfile:2:1', '"/nothere": not found'],
    ['missing base', 'FROM nosuch:1\n', 'Dockerfile:1:', 'nosuch:1'],
    ['empty', '', '', 'empty'],
    ['bad expansion', 'FROM scratch\nENV A=${x\n', 'Dockerfile:2:', 'A'],
  ])('%s: file, line, column and the source line', (_, text, place, message) => {
    dockerfile(text)
    const { status, stdout, stderr } = lamella(['build', '-t', 'x', '--progress', 'plain', context])
    expect(status).toBe(1)
    expect(stdout).toBe('')
    expect(stderr).toContain(place)
    expect(stderr).toContain(message)
    const line = text.split('\n')[Number(/:(\d+):/.exec(place)?.[1] ?? 1) - 1]!
    if (place !== '') expect(stderr).toContain(`| >>> ${line}\n`)
    expect(lamella(['images']).stdout).not.toContain('x:latest')
  })

  test('no context, no Dockerfile, a file that is no store', () => {
    expect(lamella(['build', join(scratch, 'none')])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^ERROR: failed to build: unable to prepare context: path ".*" not found/,
      ),
    })
    rmSync(join(context, 'Dockerfile'))
    expect(lamella(['build', context])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('DOCKERFILE_NOT_FOUND'),
    })
    writeFileSync(join(scratch, 'file'), 'x')
    expect(lamella(['images', '--store', join(scratch, 'file')])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/STORE_(?:NOT_OCI|UNREADABLE)/),
    })
  })

  test('outputs: an OCI archive, a docker archive, a tar, a folder, and a tar on stdout', () => {
    const at = (name: string) => join(scratch, name)
    const id = ok([
      'build',
      '-q',
      '-t',
      'app',
      '-o',
      `type=oci,dest=${at('oci.tar')}`,
      '-o',
      `type=docker,dest=${at('docker.tar')}`,
      '-o',
      `type=tar,dest=${at('root.tar')}`,
      '-o',
      at('folder'),
      context,
    ]).stdout.trim()
    for (const archive of ['oci.tar', 'docker.tar']) {
      const env = { LAMELLA_STORE: at(`store-${archive}`) }
      expect(ok(['load', '-i', at(archive)], { env }).stdout).toMatch(/^loaded sha256:\S+ app:latest\n$/)
      // The same image by its id, in whatever form its layers travelled.
      expect(ok(['cat', id, '/app/a'], { env }).stdout).toBe('one\n')
    }
    expect(readFileSync(at('folder/app/sub/b'), 'utf8')).toBe('two\n')
    expect(readFileSync(at('root.tar'), 'latin1')).toContain('app/sub/b')
    expect(ok(['build', '-q', '-o', '-', context]).stdout).toContain('app/sub/b')
    expect(lamella(['build', '-o', 'type=zip,dest=x', context])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('zip'),
    })
  })

  test('a cache that one store exports makes another one’s build all hits', () => {
    const cache = join(scratch, 'cache')
    const first = ok(['build', '--cache-to', `type=local,dest=${cache},mode=max`, context]).stdout
    const env = { LAMELLA_STORE: join(scratch, 'second') }
    const args = ['build', '--progress', 'plain', '--cache-from', `type=local,src=${cache}`, context]
    const { stdout, stderr } = ok(args, { env })
    expect(stderr.match(/CACHED/g)).toHaveLength(2)
    expect(JSON.parse(ok(['images', '--json'], { env }).stdout)).toEqual([])
    expect(stdout).toBe(first)
    const gone = ok(['build', '--progress', 'plain', '--cache-from', 'type=local,src=/nonexistent', context])
    expect(gone.stderr).toContain('WARN')
  })

  test('a context as a tar on stdin', () => {
    const tar = spawnSync('tar', ['c', '-C', context, '.']).stdout
    const { status, stdout } = spawnSync(process.execPath, [bin, 'build', '-q', '-t', 'app', '-'], {
      input: tar,
      encoding: 'utf8',
      env: { ...process.env, LAMELLA_STORE: join(scratch, 'store') },
    })
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^sha256:/) as string })
    expect(ok(['cat', 'app', '/app/sub/b']).stdout).toBe('two\n')
    expect(lamella(['build', '-f', '-', '-'])).toMatchObject({ status: 2 })
    expect(ok(['build', '-q', '-'], { input: 'FROM scratch\nWORKDIR /x\n' }).stdout).toMatch(/^sha256:/)
  })

  test('SIGINT ends it with 130 and leaves no half-written record', async () => {
    dockerfile('FROM scratch\nCOPY a /a\nRUN sleep 30\n')
    const child = spawn(
      process.execPath,
      [bin, 'build', '--executor', 'shell', '--progress', 'plain', context],
      {
        env: { ...process.env, LAMELLA_STORE: join(scratch, 'store') },
      },
    )
    let log = ''
    let interrupted = false
    const exit = new Promise<number | null>((resolve) => child.on('exit', resolve))
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      // Once: a second one means "at once", and ends us by the signal itself.
      if (log.includes('RUN sleep 30') && !interrupted) interrupted = child.kill('SIGINT')
    })
    expect(await exit).toBe(130)
    expect(log).toContain('canceled')
    dockerfile('FROM scratch\nCOPY a /a\n')
    expect(ok(['build', '--progress', 'plain', context]).stderr).toMatch(/COPY a \/a\n#\d+ CACHED/)
  })
})

describe('looking at images', () => {
  beforeEach(() => void ok(['build', '-q', '-t', 'app', '--source-date-epoch', '1000', context]))

  test('images', () => {
    expect(ok(['images']).stdout).toMatch(
      /^NAME +DIGEST +CREATED +LAYERS +SIZE\napp:latest +sha256:[0-9a-f]{12} +\d+ years ago +2 +[\d.]+kB\n$/,
    )
    expect(JSON.parse(ok(['images', '--json']).stdout)).toMatchObject([
      { name: 'app:latest', platform: 'linux/amd64', layers: 2 },
    ])
  })

  test('history', () => {
    const lines = ok(['history', 'app']).stdout.trim().split('\n')
    expect(lines.map((line) => /(CMD|COPY|WORKDIR) \S+/.exec(line)?.[0])).toEqual([
      undefined,
      'CMD ["/app/a"]',
      'COPY .',
      'WORKDIR /app',
    ])
    expect(JSON.parse(ok(['history', '--json', 'app']).stdout)).toMatchObject([
      { createdBy: 'CMD ["/app/a"]', sizeBytes: 0 },
      { createdBy: 'COPY . . # buildkit', comment: 'buildkit.dockerfile.v0' },
      { createdBy: 'WORKDIR /app' },
    ])
  })

  test.each<[string[], string]>([
    [['ls', 'app'], '/app\n'],
    [['ls', 'app', '/app'], '/app/Dockerfile\n/app/a\n/app/sub\n'],
    [['ls', 'app', 'app/'], '/app/Dockerfile\n/app/a\n/app/sub\n'],
    [['ls', 'app', '/app/a'], '/app/a\n'],
    [['ls', 'app', '**/b'], '/app/sub/b\n'],
    [['ls', 'app', '/app/{a,sub}'], '/app/a\n/app/sub\n'],
    [['cat', 'app', '/app/sub/b'], 'two\n'],
    [['cat', 'app', 'app/a'], 'one\n'],
    [['cat', 'app', '/app/sub/../../../app/a'], 'one\n'],
  ])('%j', (args, stdout) => {
    expect(ok(args).stdout).toBe(stdout)
  })

  test('ls -l and --json', () => {
    expect(ok(['ls', '-l', 'app', '/app/a']).stdout).toMatch(
      /^MODE.*\n-rw-r--r-- +0 +0 +4B +1970-01-01T00:16:40Z +\/app\/a\n$/,
    )
    expect(JSON.parse(ok(['ls', '--json', 'app', '/app/a']).stdout)).toMatchObject([
      { path: '/app/a', kind: 'file', mode: '0644', uid: 0, gid: 0, sizeBytes: 4, mtimeNs: '1000000000000' },
    ])
  })

  test.each<[string[], string]>([
    [['ls', 'app', '/nothing*'], 'matches'],
    [['cat', 'app', '/none'], 'ENOENT'],
    [['cat', 'app', '/app'], 'EISDIR'],
    [['ls', 'nope'], 'IMAGE_NOT_FOUND'],
    [['history', 'nope'], 'the store has app:latest'],
  ])('%j fails with a reason', (args, message) => {
    expect(lamella(args)).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining(message) })
  })

  test('--dry-run looks at tags as a build does', () => {
    expect(lamella(['build', '--dry-run', '-t', 'BAD!', context])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('REFERENCE_INVALID'),
    })
  })

  test('build -q says nothing but the digest', () => {
    expect(lamella(['build', '-q', context])).toMatchObject({ status: 0, stderr: '' })
  })

  test('volume: a wrong verb has a suggestion', () => {
    expect(lamella(['volume', 'lss']).stderr).toContain('did you mean ls?')
  })

  test('inspect prints what it found, as docker: an empty list for nothing', () => {
    expect(lamella(['inspect', 'NOPE!'])).toMatchObject({
      status: 1,
      stdout: '[]\n',
      stderr: expect.stringContaining('REFERENCE_INVALID'),
    })
  })

  test('-f takes what <(command) gives', () => {
    const { status, stdout, stderr } = spawnSync(
      'bash',
      [
        '-c',
        `"$0" "$1" build -q -f <(printf 'FROM scratch\\nCOPY Dockerfile /d\\n') "$2"`,
        process.execPath,
        bin,
        context,
      ],
      { env: { ...process.env, LAMELLA_STORE: join(scratch, 'store') }, encoding: 'utf8' },
    )
    expect({ status, stdout, stderr }).toMatchObject({ status: 0, stdout: expect.stringMatching(/^sha256:/) })
  })

  test('a pipe that closes early is no error', () => {
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', `"${process.execPath}" "${bin}" ls app '**' | head -n 1`],
      {
        env: { ...process.env, LAMELLA_STORE: join(scratch, 'store') },
        encoding: 'utf8',
      },
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })
})

describe('names and archives', () => {
  test('a damaged blob ends a save with its code, and leaves no file', () => {
    ok(['build', '-q', '-t', 'app', context])
    const [{ layers }] = JSON.parse(ok(['inspect', 'app']).stdout) as [{ layers: { digest: string }[] }]
    const blob = join(scratch, 'store/blobs/sha256', layers[1]!.digest.slice(7))
    const bytes = readFileSync(blob)
    bytes[600]! ^= 1
    chmodSync(blob, 0o644)
    writeFileSync(blob, bytes)
    const file = join(scratch, 'saved.tar')
    const { status, stderr } = lamella(['save', '-o', file, 'app'])
    expect(status).toBe(1)
    expect(stderr).toMatch(/^ERROR: .*damaged.*\[DIGEST_MISMATCH\]\n$/)
    expect(existsSync(file)).toBe(false)
    expect(lamella(['save', 'app']).stderr).toMatch(/^ERROR: .*\[DIGEST_MISMATCH\]\n$/)
  })

  test('an earlier state of a name, wherever an image is named', () => {
    ok(['build', '-q', '-t', 'app', context])
    writeFileSync(join(context, 'a'), 'changed\n')
    ok(['build', '-q', '-t', 'app', context])
    expect(ok(['cat', 'app@{1}', '/app/a']).stdout).toBe('one\n')
    expect(ok(['diff', 'app@{1}', 'app@{0}']).stdout).toContain('/app/a')
    expect(ok(['--store', join(scratch, 'store'), 'cat', 'app', '/app/a']).stdout).toBe('changed\n')
  })

  test('tag, reflog, rollback, rmi', () => {
    const first = ok(['build', '-t', 'app', context]).stdout.trim()
    writeFileSync(join(context, 'a'), 'changed\n')
    const second = ok(['build', '-t', 'app', context]).stdout.trim()
    expect(second).not.toBe(first)
    expect(ok(['reflog', 'app']).stdout.split('\n').slice(1, 3)).toEqual([
      expect.stringContaining(second.slice(0, 19)),
      expect.stringContaining(first.slice(0, 19)),
    ])
    ok(['tag', 'app@{1}', 'app'])
    expect(JSON.parse(ok(['inspect', 'app']).stdout)).toMatchObject([
      { digest: first, names: ['app:latest'] },
    ])
    expect(lamella(['tag', 'app@{99}', 'app'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('has no version'),
    })
    ok(['tag', 'app', 'other:v1'])
    expect(ok(['rmi', 'app']).stdout).toBe(`untagged app:latest (${first})\n`)
    expect(lamella(['rmi', 'app'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('REF_NOT_FOUND'),
    })
    expect(ok(['images', '-q']).stdout).toBe(`${first}\n`)
  })

  test.each([
    ['SIGKILL', /^out\.tar\.partial-/],
    ['SIGTERM', undefined],
    ['SIGINT', undefined],
  ] as const)('a save that ends by %s leaves nothing for the next', async (signal, left) => {
    writeFileSync(join(context, 'big'), Buffer.alloc(64 << 20, 'big'))
    ok(['build', '-t', 'app', context])
    const folder = join(scratch, 'out')
    mkdirSync(folder)
    const out = join(folder, 'out.tar')
    // Slow enough to be met at work: the archive is compressed anew.
    const args = ['save', '--format', 'oci-archive', '--compression', 'gzip:9', '-o', out, 'app']
    const env = { ...process.env, LAMELLA_STORE: join(scratch, 'store') }
    for (let isMet = false; !isMet;) {
      const child = spawn(process.execPath, [bin, ...args], { env, stdio: 'ignore' })
      const ended = new Promise((done) => child.on('close', done))
      while (child.exitCode === null && !isMet) {
        isMet = readdirSync(folder).some((name) => name.startsWith('out.tar.partial-'))
        await new Promise((done) => setTimeout(done, 1))
      }
      child.kill(signal)
      await ended
      isMet &&= !existsSync(out)
      rmSync(out, { force: true })
    }
    const names = readdirSync(folder)
    if (left === undefined) expect(names).toEqual([])
    else expect(names).toEqual([expect.stringMatching(left)])
    ok(['save', '-o', out, 'app'])
    expect(readdirSync(folder)).toEqual(['out.tar'])
  })

  test.each([['docker-archive'], ['oci-archive'], ['oci']])('save and load as %s', (format) => {
    const digest = ok(['build', '-t', 'app', context]).stdout.trim()
    const file = join(scratch, `saved-${format}`)
    ok(['save', '--format', format, '-o', file, 'app'])
    const env = { LAMELLA_STORE: join(scratch, 'second') }
    expect(ok(['load', '-i', file], { env }).stdout).toBe(`loaded ${digest} app:latest\n`)
    expect(ok(['cat', 'app', '/app/a'], { env }).stdout).toBe('one\n')
  })

  test('export, checkout, diff and analyze', () => {
    ok(['build', '-q', '-t', 'app:1', context])
    writeFileSync(join(context, 'a'), 'changed\n')
    writeFileSync(join(context, 'new'), 'new\n')
    rmSync(join(context, 'sub'), { recursive: true })
    ok(['build', '-q', '-t', 'app:2', context])
    expect(
      ok(['diff', 'app:1', 'app:2'])
        .stdout.split('\n')
        .map((line) => line.trim().split(/\s+/).join(' ')),
    ).toEqual(expect.arrayContaining(['C +4B /app/a', 'A +4B /app/new', 'D /app/sub']))
    const out = join(scratch, 'out')
    ok(['checkout', '--no-owners', 'app:2', out])
    expect(readFileSync(join(out, 'app/new'), 'utf8')).toBe('new\n')
    expect(lamella(['checkout', 'app:2', out])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('CHECKOUT_NOT_EMPTY'),
    })
    expect(ok(['export', 'app:2']).stdout).toContain('app/new')
    expect(ok(['analyze', 'app:2']).stdout).toContain('efficiency 100.00 %')
    expect(JSON.parse(ok(['analyze', '--json', 'app:2']).stdout)).toMatchObject({
      efficiency: 1,
      shared: { images: 1 },
    })
  })
})

describe('why, what if, and mistakes', () => {
  test('--explain names the file that caused a miss, and what followed from it', () => {
    dockerfile('FROM scratch\nCOPY a /a\nCOPY sub /sub\n')
    ok(['build', '-q', context])
    writeFileSync(join(context, 'a'), 'changed\n')
    const { stdout } = ok(['build', '-q', '--explain', context])
    expect(stdout).toMatch(/MISS +\[1\/2\] COPY a \/a\n.*\ba\b/)
    expect(stdout).toMatch(/MISS +\[2\/2\] COPY sub \/sub\n.*COPY a \/a/)
    expect(JSON.parse(ok(['build', '-q', '--explain', '--json', context]).stdout)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: '[1/2] COPY a /a', outcome: 'hit', reasons: [] }),
      ]),
    )
  })

  test('names that every object has are names like any other: __proto__, constructor', () => {
    dockerfile(
      'FROM scratch\nARG __proto__ constructor=d hasOwnProperty\nENV __proto__=$__proto__ toString=$constructor$hasOwnProperty\n' +
        'LABEL constructor=$toString\nVOLUME ["/__proto__"]\nCOPY a /__proto__\n',
    )
    const given = ['--build-arg', '__proto__=P', '--build-arg', 'hasOwnProperty', '--label', '__proto__=L']
    for (let i = 0; i < 2; i++) ok(['build', '-q', '-t', 'odd', ...given, context])
    const [{ config }] = JSON.parse(ok(['inspect', 'odd']).stdout) as [{ config: { config: object } }]
    expect(JSON.stringify(config.config)).toContain('"__proto__=P","toString=d"')
    expect(JSON.stringify(config.config)).toContain('"Labels":{"__proto__":"L","constructor":"d"}')
    expect(JSON.stringify(config.config)).toContain('"Volumes":{"/__proto__":{}}')
  })

  test('a here-document of COPY is told apart by its content', () => {
    dockerfile('FROM scratch\nARG V=1\nCOPY <<E /x\nv=$V\nE\n')
    ok(['build', '-q', context])
    const { stdout } = ok(['build', '--dry-run', '--build-arg', 'V=2', context])
    expect(stdout).not.toContain('no longer in the store')
    expect(stdout).toMatch(/content/)
  })

  test('--dry-run predicts, and writes nothing', () => {
    ok(['build', '-q', '-t', 'app', context])
    const before = ok(['images', '--json']).stdout
    writeFileSync(join(context, 'a'), 'changed\n')
    const { stdout } = ok(['build', '--dry-run', '-t', 'app', context])
    expect(stdout).toMatch(/HIT +\[1\/2\] WORKDIR/)
    expect(stdout).toMatch(/MISS +\[2\/2\] COPY/)
    expect(ok(['images', '--json']).stdout).toBe(before)
    expect(ok(['build', '--dry-run', context]).stdout).toBe(stdout)
  })

  test('names with a newline and names that are not UTF-8 are found as they are printed', () => {
    writeFileSync(join(context, 'sub/one\ntwo'), 'newline')
    writeFileSync(Buffer.concat([Buffer.from(join(context, 'sub/caf')), Buffer.from([0xe9])]), 'latin-1')
    ok(['build', '-q', '-t', 'app', context])
    const names = '/app/sub/b\n/app/sub/caf\\xe9\n/app/sub/one\\x0atwo\n'
    expect(ok(['ls', 'app', '/app/sub']).stdout).toBe(names)
    expect(ok(['ls', 'app', 'app/sub/*']).stdout).toBe(names)
    expect(ok(['ls', 'app', '**/{caf,one,b}*']).stdout).toBe(names)
    expect(ok(['cat', 'app', '/app/sub/caf\\xe9']).stdout).toBe('latin-1')
    expect(ok(['cat', 'app', '/app/sub/one\\x0atwo']).stdout).toBe('newline')
    expect(ok(['why', 'app', '/app/sub/caf\\xe9']).stdout).toContain('COPY . .')
  })

  test('why: which instruction wrote a file, and which before', () => {
    dockerfile('FROM scratch\nCOPY a /x/f\nCOPY sub/b /x/f\nWORKDIR /y\n')
    ok(['build', '-q', '-t', 'app', context])
    const lines = ok(['why', 'app', '/x/f']).stdout.trim().split('\n').slice(1)
    expect(lines).toEqual([
      expect.stringMatching(/^C +2 .*COPY sub\/b \/x\/f # buildkit$/),
      expect.stringMatching(/^A +1 .*COPY a \/x\/f # buildkit$/),
    ])
    expect(JSON.parse(ok(['why', '--json', 'app', 'y']).stdout)).toMatchObject({
      events: [{ change: 'A', createdBy: 'WORKDIR /y', entry: { kind: 'dir' } }],
    })
    expect(lamella(['why', 'app', '/none'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('ever had'),
    })
  })

  test('--check reads as a build does: a FIFO or a device is refused, not waited for', () => {
    expect(spawnSync('mkfifo', [join(context, 'pipe')]).status).toBe(0)
    for (const file of [join(context, 'pipe'), '/dev/zero']) {
      expect(lamella(['build', '--check', '-f', file, context])).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('DOCKERFILE_NOT_FOUND'),
      })
    }
  })

  // docker buildx build --check, with the same arguments [live]
  test.each<[readonly string[], string]>([
    [['context'], 'context/Dockerfile:1'],
    [['./context/'], 'context/Dockerfile:1'],
    [['-f', 'context/../context/Dockerfile', 'context'], 'context/../context/Dockerfile:1'],
    [['-f', '-', 'context'], 'stdin:1'],
  ])('--check %j names the file as it is found from here', (args, place) => {
    dockerfile('from scratch AS A\n')
    const options = { encoding: 'utf8', cwd: scratch, input: 'from scratch AS A\n' } as const
    const { stdout } = spawnSync(process.execPath, [bin, 'build', '--check', ...args], options)
    expect(stdout).toContain(`\n${place}\n----`)
  })

  test('--check, as text and as JSON', () => {
    dockerfile('FROM scratch\nMAINTAINER me\nCOPY . .\n')
    const found = lamella(['build', '--check', context])
    expect(found).toMatchObject({ status: 1, stdout: expect.stringContaining('MaintainerDeprecated') })
    const report = JSON.parse(lamella(['build', '--check', '--json', context]).stdout) as {
      warnings: { ruleName: string }[]
    }
    expect(report.warnings.map(({ ruleName }) => ruleName)).toEqual(['MaintainerDeprecated'])
    writeFileSync(join(context, '.dockerignore'), 'a\n')
    dockerfile('# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY a /\n')
    expect(lamella(['build', '--check', context]).stdout).toContain('CopyIgnoredFile')
    dockerfile('FROM scratch\nCOPY sub /\n')
    expect(ok(['build', '--check', context]).stdout).toContain('no warnings')
    dockerfile('# check=error=true\nFROM scratch\nMAINTAINER me\n')
    expect(lamella(['build', '--check', context])).toMatchObject({ status: 1 })
  })
})

describe('keeping the store', () => {
  test('df, prune, gc: what an image needs stays, the rest goes', () => {
    ok(['build', '-q', '-t', 'app', context])
    writeFileSync(join(context, 'a'), 'changed\n')
    ok(['build', '-q', '-t', 'app', context])
    expect(JSON.parse(ok(['df', '--json']).stdout)).toMatchObject({
      images: [{ names: ['app:latest'], missing: 0 }],
    })
    expect(ok(['df', '--verbose']).stdout).toContain('build cache: steps')
    expect(ok(['prune', '--dry-run']).stderr).toMatch(/^\d+ records/)
    expect(ok(['prune', '--all']).stderr).toContain('freed')
    expect(JSON.parse(ok(['df', '--json']).stdout)).toMatchObject({ cache: { count: 0 }, records: [] })
    expect(ok(['cat', 'app', '/app/a']).stdout).toBe('changed\n')
    expect(ok(['gc', '--dry-run']).stderr).toMatch(/^\d+ blobs/)
    expect(ok(['gc']).stderr).toContain('freed')
    expect(ok(['fsck']).stderr).toBe('the store is sound\n')
    ok(['build', '-q', '-t', 'app', context])
  })

  // The fields of `docker buildx du --verbose`; the filters of `docker buildx prune`.
  test('df --verbose and prune tell which instruction made a record, and find it by that', () => {
    dockerfile('FROM scratch AS one\nCOPY a /x/\nFROM scratch\nCOPY --from=one /x /y\n')
    ok(['build', '-q', context])
    const { stdout } = ok(['df', '--verbose'])
    expect(stdout).toMatch(
      /ID: {11}[0-9a-f]{40}\nParents:\n - [0-9a-f]{40}\nCreated at: {3}\d{4}-\S+Z\nMutable: {6}false\nReclaimable: {2}true\nShared: {7}(true|false)\nSize: {9}\S+\nDescription: {2}\[stage-1 1\/1\] COPY --from=one \/x \/y\nUsage count: {2}1\nLast used: {4}\S+Z\nType: {9}regular\n/,
    )
    const planned = (...filters: string[]) =>
      (
        JSON.parse(
          ok(['prune', '--all', '--dry-run', '--json', ...filters.map((it) => `--filter=${it}`)]).stdout,
        ) as {
          remove: { description?: string }[]
        }
      ).remove.map(({ description }) => description)
    const last = '[stage-1 1/1] COPY --from=one /x /y'
    expect(planned('type=regular')).toEqual([last, '[one 1/1] COPY a /x/'])
    expect(planned('description~=from')).toEqual([last])
    expect(planned('type=regular', 'description~=nothing')).toEqual([])
    expect(planned('until=1h')).toEqual([])
    expect(planned('id=0000000000000000')).toEqual([])
  })

  test.each([
    [['--filter', 'colour=red'], 'known are id'],
    [['--filter', 'until=soon'], 'until'],
    [['--keep-duration', '2x'], '--keep-duration 2x'],
    [['--max-used-space', 'much'], '--max-used-space much'],
  ])('prune %j is a wrong command line', (args, message) => {
    ok(['build', '-q', context])
    expect(lamella(['prune', ...args])).toMatchObject({ status: 2, stderr: expect.stringContaining(message) })
  })

  test('fsck finds a flipped bit', () => {
    ok(['build', '-q', '-t', 'app', context])
    const [{ layers }] = JSON.parse(ok(['inspect', 'app']).stdout) as [{ layers: { digest: string }[] }]
    const blob = join(scratch, 'store/blobs/sha256', layers[0]!.digest.slice(7))
    const bytes = readFileSync(blob)
    bytes[100]! ^= 1
    chmodSync(blob, 0o644)
    writeFileSync(blob, bytes)
    expect(lamella(['fsck'])).toMatchObject({ status: 1, stdout: expect.stringContaining('BLOB_DAMAGED') })
    expect(lamella(['fsck', '--repair'])).toMatchObject({ status: 1 })
    expect(lamella(['fsck', '--repair', '--remove-damaged', '--remove-dangling']).stdout).toContain(
      'repaired',
    )
    ok(['build', '-q', '-t', 'app', context])
    expect(ok(['fsck']).stderr).toBe('the store is sound\n')
  })
})

test('the store is --store, else LAMELLA_STORE, else XDG_DATA_HOME/lamella', () => {
  const xdg = join(scratch, 'xdg')
  ok(['build', '-q', '-t', 'x', context], { env: { LAMELLA_STORE: '', XDG_DATA_HOME: xdg } })
  expect(ok(['images', '-q', '--store', join(xdg, 'lamella')]).stdout).toMatch(/^sha256:/)
  expect(lamella(['images', '--store', join(scratch, 'none')])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('STORE_NOT_FOUND'),
  })
})

test('a read-only store can be looked at', () => {
  ok(['build', '-q', '-t', 'app', context])
  const copy = join(scratch, 'copy')
  cpSync(join(scratch, 'store'), copy, { recursive: true })
  rmSync(join(copy, 'lamella'), { recursive: true })
  chmodSync(copy, 0o555)
  try {
    expect(ok(['cat', '--store', copy, 'app', '/app/a']).stdout).toBe('one\n')
  } finally {
    // Before the scratch folder is removed, which would be refused to anybody but root.
    chmodSync(copy, 0o755)
  }
})
