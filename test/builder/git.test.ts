// Git sources beside BuildKit's: the same URLs give the same files, the same keys and the same refusals. What a real
// BuildKit answered is recorded; LAMELLA_RECORD_BUILDKIT=1 with docker on PATH asks again.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { build, type BuildOptions } from '../../src/builder/build.js'
import type { GitClient } from '../../src/builder/git-client.js'
import { parseGitReference, redactUrl } from '../../src/builder/git-url.js'
import { hostGit } from '../../src/builder/git-context.js'
import { recordId, sourceDigest } from '../../src/builder/key.js'
import { predictBuild } from '../../src/builder/predict.js'
import { createMemoryStore } from '../../src/store/index.js'
import { openTree, type Tree } from '../../src/unionfs/index.js'
import { GIT_CASES, type GitCase } from './data/git.js'
import { readAnswers, recordAnswers } from './live-buildkit.js'
import { FIRST, makeRepositories, SECOND, serveRepositories, type GitServer } from './git-fixture.js'
import { fixedEnv, textOf, treeOf } from './fixtures.js'

const recordedPath = join(dirname(fileURLToPath(import.meta.url)), '../buildkit/recorded/git.json')

let folder: string
let server: GitServer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lamella-git-test-'))
  makeRepositories(join(folder, 'repos'))
  server = await serveRepositories(join(folder, 'repos'))
  await recordAnswers(recordedPath, GIT_CASES, {
    url,
    rename: (text) => text.replaceAll(server.url, '$S'),
    comparable,
  })
}, 600_000)

afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

const url = (text: string): string =>
  text.replaceAll('$R', `${server.url}/app.git`).replaceAll('$S', server.url)

function optionsOf(it: GitCase): Omit<BuildOptions, 'store'> {
  return {
    env: fixedEnv,
    context: it.context === undefined ? treeOf({}) : url(it.context),
    dockerfile: it.lines === undefined ? it.file : { text: `FROM scratch\n${url(it.lines)}\n` },
    contexts: it.named === undefined ? {} : { src: url(it.named) },
    buildArgs: it.buildArgs,
  }
}

interface BuiltFromGit {
  readonly tree: Tree
  /** Digests of the operations. */
  readonly digests: readonly string[]
}

async function buildGit(it: GitCase, more: Partial<BuildOptions> = {}): Promise<BuiltFromGit> {
  const store = more.store ?? createMemoryStore({ env: fixedEnv })
  const result = await build({ ...optionsOf(it), ...more, store })
  const digests: string[] = []
  for (const { vertex } of result.steps)
    for await (const { digest } of vertex.op.cacheMaps()) digests.push(digest)
  return { tree: await openTree(store, result.layers), digests }
}

const add = (source: string): GitCase => ({ name: source, lines: `ADD ${source} /d` })

async function failureOf(it: GitCase, more: Partial<BuildOptions> = {}): Promise<Error & { code: string }> {
  return buildGit(it, more).then(
    () => expect.fail(`${it.name} was built`),
    (error: unknown) => error as Error & { code: string },
  )
}

/** Without what is in `.git`, which git writes as it likes, and where a submodule's repository is. */
function comparable(text: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(text).filter(([path]) => !/(?:^|\/)\.git\/./.test(path))
  return Object.fromEntries(kept.map(([path, value]) => [path, value.replace(/=gitdir: .*/s, '=gitdir')]))
}

describe('as BuildKit', () => {
  const recorded = readAnswers(recordedPath)

  test.each(GIT_CASES.filter(({ fails }) => fails === undefined))('$name', async (it) => {
    const answer = recorded[it.name]!
    const { tree, digests } = await buildGit(it)
    expect(comparable(textOf(tree, false))).toEqual(answer.tree)
    if (it.key === undefined) return
    expect(digests).toContain(sourceDigest(it.key))
    expect(answer.keys).toContain(recordId(sourceDigest(it.key), 0))
  })

  test.each(GIT_CASES.filter(({ fails }) => fails !== undefined))('$name', async (it) => {
    const [code, part] = it.fails!
    const error = await failureOf(it)
    expect(error.code).toBe(code)
    expect(error.message).toContain(part)
    expect(recorded[it.name]!.error).toContain(part)
    if (it.lines?.startsWith('ADD') === true)
      expect(error).toMatchObject({ location: { range: { start: { line: 2 } } } })
  })
})

describe('what it costs', () => {
  test('a ref is listed each time, and checked out once', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const before = server.connections()
    await buildGit(add('$R#main'), { store })
    const first = server.connections() - before
    await buildGit(add('$R#main'), { store })
    expect([first, server.connections() - before - first]).toEqual([2, 1])
  })

  test('another name of the same commit is a hit', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await buildGit(add('$R#main'), { store })
    const steps = await predictBuild({ ...optionsOf(add('$R#v2')), store })
    // The instruction is another, so that the copy is known by its content; git itself is asked for refs only.
    expect(steps.map(({ vertex, outcome }) => [vertex.op.kind, outcome])).toContainEqual(['git', 'hit'])
  })

  test('a commit that is known needs no network', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await buildGit(add(`$R#${FIRST}`), { store })
    const before = server.connections()
    await buildGit(add(`$R#${FIRST}`), { store })
    await buildGit({ name: '', context: `$R#${FIRST}` }, { store })
    expect(server.connections()).toBe(before)
  })

  test('a dry run lists refs and fetches nothing', async () => {
    const before = server.connections()
    await predictBuild({ ...optionsOf(add('$R#main')), store: createMemoryStore({ env: fixedEnv }) })
    expect(server.connections() - before).toBe(1)
  })
})

describe('the git on PATH', () => {
  const write = (name: string, text: string): string => {
    const path = join(mkdtempSync(join(folder, 'x-')), name)
    writeFileSync(path, text, { mode: 0o755 })
    return path
  }

  test('without it, the error says what is needed', async () => {
    const error = await failureOf(add('$R'), { git: hostGit('no-such-git') })
    expect(error).toMatchObject({ code: 'GIT_MISSING', location: { range: { start: { line: 2 } } } })
    expect(error.message).toContain('no-such-git')
  })

  test('is shielded from the environment and the configuration of who builds', async () => {
    const script = write('git', `#!/bin/sh\nenv >> "$0.env"\necho "$@" >> "$0.args"\nexec git "$@"\n`)
    const config = write('config', '[url "git://127.0.0.1:1/"]\n\tinsteadOf = git://127.0.0.1\n')
    const saved = { ...process.env }
    onTestFinished(() => void (process.env = saved))
    Object.assign(process.env, {
      GIT_CONFIG_GLOBAL: config,
      GIT_DIR: '/elsewhere',
      GIT_SSH_COMMAND: 'evil',
      SECRET: 'no',
    })
    await buildGit(add('$R#light'), { git: hostGit(script) })
    const env = readFileSync(`${script}.env`, 'utf8')
    expect(env).not.toMatch(/SECRET|elsewhere|evil|GIT_CONFIG_GLOBAL=(?!\/dev\/null)/)
    expect(env).toContain('GIT_CONFIG_NOSYSTEM=1')
    expect(env).toContain('GIT_TERMINAL_PROMPT=0')
    const commands = readFileSync(`${script}.args`, 'utf8').trim().split('\n')
    expect(commands.every((line) => line.includes('core.hooksPath=/dev/null'))).toBe(true)
  })

  test.each([
    'ext::sh -c touch% /tmp/x.git',
    'file:///etc.git',
    'ftp://127.0.0.1/a.git',
    '-oProxyCommand=x@h.git',
  ])('the transport of %s is none', (text) => expect(parseGitReference(text)).toBeUndefined())

  test('a repository cannot bring in a transport by a submodule', async () => {
    const repos = mkdtempSync(join(folder, 'evil-'))
    const work = join(repos, 'e.git')
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
        cwd: work,
        stdio: 'pipe',
      })
    mkdirSync(work)
    git('init', '-q', '-b', 'main')
    writeFileSync(
      join(work, '.gitmodules'),
      `[submodule "m"]\n\tpath = m\n\turl = file://${folder}/repos/sub.git\n`,
    )
    git('add', '.gitmodules')
    git('update-index', '--add', '--cacheinfo', `160000,${'d14a1b1cbd8fd0135bae8abdb0b4d3082d877cac'},m`)
    git('commit', '-qm', 'x')
    const evil = await serveRepositories(repos)
    onTestFinished(() => evil.close())
    const error = await failureOf(add(`${evil.url}/e.git`))
    expect(error.code).toBe('FETCH_FAILED')
    expect(error.message).toMatch(/transport 'file' not allowed/)
    expect(error.message).not.toMatch(/\n/)
  })

  test('umask changes nothing', async () => {
    const before = await buildGit(add('$R'))
    const umask = process.umask(0o077)
    onTestFinished(() => void process.umask(umask))
    const { tree, digests } = await buildGit(add('$R'))
    expect(textOf(tree, true)).toEqual(textOf(before.tree, true))
    expect(digests).toEqual(before.digests)
  })

  test('ends at once when the build is called off, and leaves no folder', async () => {
    const script = write('git', '#!/bin/sh\necho $$ > "$0.pid"; sleep 60 & wait\n')
    const controller = new AbortController()
    const building = failureOf(add('$R'), { git: hostGit(script), signal: controller.signal })
    await expect.poll(() => existsSync(`${script}.pid`)).toBe(true)
    controller.abort()
    expect(await building).toMatchObject({ code: 'ABORT_ERR' })
    const pid = Number(readFileSync(`${script}.pid`, 'utf8'))
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false)
  })
})

describe('over http', () => {
  test('a secret is the Authorization header, and is nowhere else', async () => {
    const headers: (string | undefined)[] = []
    const http = createServer((request, response) => {
      headers.push(request.headers.authorization)
      response.writeHead(401).end()
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void http.close())
    const host = `127.0.0.1:${(http.address() as AddressInfo).port}`
    const secrets = { [`GIT_AUTH_TOKEN.${host}`]: 'hush', GIT_AUTH_TOKEN: 'other' }
    const error = await failureOf(add(`http://user:pw@${host}/a.git`), { secrets })
    expect(headers[0]).toBe(`basic ${Buffer.from('x-access-token:hush').toString('base64')}`)
    expect(`${error.message} ${JSON.stringify((error as { data?: unknown }).data)}`).not.toMatch(
      /hush|:pw@|eC1hY2Nlc3M/,
    )
    expect(error.code).toBe('FETCH_FAILED')
  })

  test('a server that can only serve files is fetched from in full', async () => {
    const bare = join(mkdtempSync(join(folder, 'dumb-')), 'app.git')
    execFileSync('git', ['clone', '-q', '--bare', join(folder, 'repos/app.git'), bare], { stdio: 'pipe' })
    execFileSync('git', ['update-server-info'], { cwd: bare })
    const http = createServer((request, response) => {
      const path = join(dirname(bare), new URL(request.url!, 'http://h').pathname)
      if (existsSync(path)) response.end(readFileSync(path))
      else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void http.close())
    const { port } = http.address() as AddressInfo
    const want = await buildGit(add('$R#light'))
    const { tree, digests } = await buildGit(add(`http://127.0.0.1:${port}/app.git#light`))
    expect(textOf(tree, true)).toEqual(textOf(want.tree, true))
    expect(digests).toEqual(want.digests)
  })
})

describe('a client of the embedder', () => {
  const client: GitClient = {
    listRefs: async () => ({
      defaultBranch: 'refs/heads/main',
      refs: new Map([['refs/heads/main', SECOND]]),
    }),
    checkout: (request, use) =>
      use(treeOf({ 'said.txt': `=${request.remote} ${request.ref} ${request.commit}` })),
  }

  test('needs no git', async () => {
    const it = add('https://example.org/a.git')
    const { tree, digests } = await buildGit(it, { git: client })
    expect(textOf(tree, false)).toEqual({
      'd/': '',
      'd/said.txt': `=https://example.org/a.git refs/heads/main ${SECOND}`,
    })
    expect(digests).toContain(sourceDigest(SECOND))
  })
})

// @see moby/buildkit frontend/dockerfile/dfgitutil/git_ref_test.go
describe('what is a git URL', () => {
  const plain = { kind: 'git', ref: '', subdir: '', checksum: undefined, isPathLike: false }
  test.each([
    ['https://example.com/', undefined],
    ['https://example.com/foo', undefined],
    ['https://example.com/foo.git', { ...plain, remote: 'https://example.com/foo.git' }],
    ['https://example.com/foo.git#deadbeef', { ref: 'deadbeef' }],
    ['https://example.com/foo.git#release/1.2', { ref: 'release/1.2' }],
    ['https://example.com/foo.git/', undefined],
    ['https://example.com/foo.git.bar', undefined],
    ['git://example.com/foo', { ...plain, remote: 'git://example.com/foo' }],
    ['github.com/moby/buildkit', { ...plain, isPathLike: true, remote: 'https://github.com/moby/buildkit' }],
    ['custom.xyz/moby/buildkit.git', undefined],
    ['https://github.com/moby/buildkit', undefined],
    [
      'https://foo:bar@github.com/moby/buildkit.git',
      { remote: 'https://foo:bar@github.com/moby/buildkit.git' },
    ],
    ['git@github.com:moby/buildkit', { ...plain, remote: 'git@github.com:moby/buildkit' }],
    [
      'git@github.com:moby/buildkit.git#v1:d',
      { remote: 'git@github.com:moby/buildkit.git', ref: 'v1', subdir: 'd' },
    ],
    [
      'git@github.com:moby/buildkit.git?tag=v1',
      { remote: 'git@github.com:moby/buildkit.git', ref: 'refs/tags/v1' },
    ],
    ['ssh://git@h:22/a', { remote: 'ssh://git@h:22/a' }],
    ['HTTPS://example.com/foo.git', { remote: 'https://example.com/foo.git' }],
    ['https://github.com/foo/bar.git#baz/qux:quux/quuz', { ref: 'baz/qux', subdir: 'quux/quuz' }],
    ['http://github.com/docker/docker.git:#branch', undefined],
    ['https://github.com/docker/docker.git#:myfolder', { ref: '', subdir: 'myfolder' }],
    ['./.git', undefined],
    ['.git', undefined],
    ['../a.git', undefined],
    ['https://h/d.git?ref=v1.0.0&subdir=/subdir', { ref: 'v1.0.0', subdir: 'subdir' }],
    ['https://h/d.git?submodules', { submodules: true }],
    ['https://h/d.git?keep-git-dir=F', { keepGitDir: false }],
    ['https://h/d.git#%zz', { ref: '%zz' }],
  ])('%s', (text, want) => {
    if (want === undefined) expect(parseGitReference(text)).toBeUndefined()
    else expect(parseGitReference(text)).toMatchObject(want)
  })

  test.each([
    ['https://a:b@h/x', 'https://xxxxx@h/x'],
    ['https://h/x@y', 'https://h/x@y'],
    ['git@h:x', 'git@h:x'],
  ])('%s in a message is %s', (text, want) => expect(redactUrl(text)).toBe(want))
})
