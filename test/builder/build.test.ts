// Whole builds: what is written, what is not, and what does not change the image.
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { build } from '../../src/builder/build.js'
import { cacheRoots, functionsExecutor } from '../../src/builder/index.js'
import { applyGc, createMemoryStore, openDiskStore, planGc, type Store } from '../../src/store/index.js'
import type { NodeFs } from '../../src/unionfs/index.js'
import {
  addImage,
  buildCase,
  countingStore,
  fixedEnv,
  outputRecorder,
  treeOf,
  writingExecutor,
} from './fixtures.js'

const DOCKERFILE = `FROM base AS deps
ARG VERSION=1
WORKDIR /app
COPY package* ./
RUN write installed $VERSION
FROM deps
COPY . .
RUN write built yes
ENV MODE=production
EXPOSE 3000
CMD ["node", "index.js"]
`
const CONTEXT = { 'package.json': '={}', 'src/index.js': '=1', 'src/util.js': '=2' }

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'lamella-build-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function fill(path: string): string {
  mkdirSync(join(path, 'src'), { recursive: true })
  writeFileSync(join(path, 'Dockerfile'), DOCKERFILE)
  writeFileSync(join(path, 'package.json'), '{}')
  writeFileSync(join(path, 'src/index.js'), '1')
  writeFileSync(join(path, 'src/util.js'), '2')
  return path
}

describe('an unchanged rebuild', () => {
  test('writes nothing, opens no layer, and gives the same image', async () => {
    const { store, counts } = countingStore()
    await addImage(store, 'base:latest', { 'bin/sh': '=x' })
    const options = {
      store,
      env: fixedEnv,
      context: fill(folder()),
      executor: writingExecutor,
      tags: ['app', 'app:2'],
    }
    const first = await build(options)
    counts.writes.length = counts.reads.length = 0
    const second = await build(options)
    expect(second.image).toEqual(first.image)
    expect(counts.writes).toEqual([])
    const layers = new Set<string>(second.layers.map(({ descriptor }) => descriptor.digest))
    expect(counts.reads.filter((digest) => layers.has(digest))).toEqual([])
    expect(
      second.steps.filter(({ outcome }) => outcome === 'miss').map(({ vertex }) => vertex.op.kind),
    ).not.toContain('file')
  })

  test('moves a ref that points elsewhere, and only that', async () => {
    const { store, counts } = countingStore()
    await addImage(store, 'base:latest', {})
    const options = {
      store,
      env: fixedEnv,
      context: treeOf(CONTEXT),
      dockerfile: { text: 'FROM base\nCOPY . /\n' },
    }
    const { image } = await build({ ...options, tags: ['a', 'b'] })
    await store.refs.set('a:latest', (await store.refs.get('base:latest'))!)
    counts.writes.length = 0
    await build({ ...options, tags: ['a', 'b'] })
    expect(counts.writes).toEqual(['ref a:latest'])
    expect(await store.refs.get('a:latest')).toEqual(image)
  })
})

describe('the same context gives the same image', () => {
  const reference = async () => {
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'base:latest', { 'bin/sh': '=x' })
    return build({
      store,
      env: fixedEnv,
      context: fill(folder()),
      executor: writingExecutor,
      sourceDateEpoch: 42,
    })
  }

  test('from another folder, after touch, in a disk store, one step at a time', async () => {
    const { image, config } = await reference()
    expect(config.created).toBe('1970-01-01T00:00:42Z')
    // patchImageConfig: history of the base keeps its times, what the build adds has the epoch.
    const [base, ...added] = config.history!
    expect(base!.created).toBe('2020-01-01T00:00:00Z')
    expect(new Set(added.map(({ created }) => created))).toEqual(new Set(['1970-01-01T00:00:42Z']))
    const other = fill(folder())
    for (const name of ['package.json', 'src/index.js', 'src/util.js', 'src'])
      utimesSync(join(other, name), 1, 1)
    const store = await openDiskStore(join(folder(), 'store'), { create: true, durability: 'none' })
    onTestFinished(() => store.close())
    await addImage(store, 'base:latest', { 'bin/sh': '=x' })
    const again = await build({
      store,
      context: other,
      executor: writingExecutor,
      sourceDateEpoch: 42,
      concurrency: 1,
    })
    expect(again.image.digest).toBe(image.digest)
  })

  test('under another umask, locale and time zone', async () => {
    const { image } = await reference()
    const umask = process.umask(0o077)
    const { TZ, LC_ALL } = process.env
    Object.assign(process.env, { TZ: 'Asia/Tokyo', LC_ALL: 'tr_TR.UTF-8' })
    try {
      const path = folder()
      process.umask(0o022)
      fill(path)
      process.umask(0o077)
      const store = createMemoryStore({ env: fixedEnv })
      await addImage(store, 'base:latest', { 'bin/sh': '=x' })
      const again = await build({
        store,
        context: path,
        executor: writingExecutor,
        sourceDateEpoch: 42,
        concurrency: 8,
      })
      expect(again.image.digest).toBe(image.digest)
    } finally {
      process.umask(umask)
      for (const [name, value] of Object.entries({ TZ, LC_ALL })) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
  })

  test('touch alone is a hit and gives the same image without any epoch', async () => {
    const path = fill(folder())
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'base:latest', {})
    const first = await build({ store, env: fixedEnv, context: path, executor: writingExecutor })
    for (const name of ['package.json', 'src/index.js']) utimesSync(join(path, name), 5, 5)
    const second = await build({ store, env: fixedEnv, context: path, executor: writingExecutor })
    expect(second.image).toEqual(first.image)
  })

  // exporter/containerimage: rewrite-timestamp brings files of new layers down to the epoch, never those of the base.
  test('rewriteTimestamp clamps what RUN wrote, and remembers it', async () => {
    const { store, counts } = countingStore()
    await addImage(store, 'base:latest', { old: '@99999 =x' })
    const executor = {
      ...writingExecutor,
      run: async (request: Parameters<typeof writingExecutor.run>[0]) => {
        request.view.fs.writeFileSync('/late', 'x')
        request.view.fs.utimesSync('/late', 5000, 5000)
        request.view.fs.writeFileSync('/early', 'x')
        request.view.fs.utimesSync('/early', 10, 10)
        return { exitCode: 0 }
      },
    }
    const options = {
      store,
      env: fixedEnv,
      executor,
      dockerfile: { text: 'FROM base\nRUN true\n' },
      sourceDateEpoch: 1000,
      rewriteTimestamp: true,
    }
    const first = await build(options)
    await store.refs.set('out:latest', first.image)
    const { tree } = await buildCase({ dockerfile: 'FROM out\n' }, store)
    const times = ['old', 'late', 'early'].map((path) => tree.lookup(path)!.mtimeSec)
    expect(times).toEqual([99999, 1000, 10])
    counts.writes.length = counts.reads.length = 0
    expect((await build(options)).image).toEqual(first.image)
    expect(counts.writes).toEqual([])
  })
})

describe('RUN', () => {
  test('sees the variables, the directory and the mounts', async () => {
    const recorder = outputRecorder()
    const { tree } = await buildCase({
      base: { 'etc/passwd': '=root:x:0:0::/root:/bin/sh\nann:x:5:6::/home/ann:/bin/sh\n' },
      context: { secret: '=ctx', 'd/a': '=A' },
      dockerfile: `FROM base
ARG A=1
USER ann
WORKDIR /w
RUN --mount=type=bind,source=d,target=/m --mount=type=secret,id=key --mount=type=tmpfs,target=/t env A; env HOME; env PATH; read /m/a; read /run/secrets/key; write /t/x 1; write here 2; ls /
`,
      options: { onEvent: recorder.onEvent, secrets: { key: 's3' }, buildArgs: { HTTP_PROXY: 'http://p' } },
    })
    expect(recorder.text()).toBe(
      '1\n/home/ann\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nA\ns3\ndev etc m proc run sys t w\n',
    )
    expect([...tree.walk()].map(({ path }) => path)).toEqual([
      '',
      'dev',
      'etc',
      'etc/passwd',
      'proc',
      'sys',
      'w',
      'w/here',
    ])
    expect(tree.lookup('w')).toMatchObject({ uid: 5, gid: 6 })
  })

  test('keeps a cache mount between builds and out of the layer', async () => {
    const { store } = countingStore()
    const recorder = outputRecorder()
    const run = (line: string) =>
      buildCase(
        {
          dockerfile: `FROM base\nRUN --mount=type=cache,target=/c ${line}\n`,
          base: {},
          options: { onEvent: recorder.onEvent },
        },
        store,
      )
    const { tree } = await run('write /c/x 1; write /out 2')
    expect([...tree.walk()].map(({ path }) => path)).toEqual(['', 'dev', 'out', 'proc', 'sys'])
    await run('ls /c; read /c/x')
    expect(recorder.text()).toBe('x\n1\n')
  })

  test('reads its cache mount to the end, though another build replaces it and a gc follows', async () => {
    const path = folder()
    const stores = await Promise.all([1, 2].map(() => openDiskStore(path, { durability: 'none' })))
    onTestFinished(async () => void (await Promise.all(stores.map((store) => store.close()))))
    const [first, second] = stores as [Store, Store]
    await addImage(first, 'base:latest', {})
    const run = (store: Store, line: string, fn: (fs: NodeFs) => unknown) =>
      build({
        store,
        env: fixedEnv,
        dockerfile: { text: `FROM base\nRUN --mount=type=cache,target=/c ${line}\n` },
        executor: functionsExecutor([{ match: line, run: async ({ fs }) => void (await fn(fs)) }]),
      })
    await run(first, 'fill', (fs) => fs.writeFileSync('/c/x', 'filled'))
    await run(first, 'append', async (fs) => {
      await run(second, 'replace', (other) => other.writeFileSync('/c/x', 'replaced'))
      const keep = await cacheRoots(second)
      await applyGc(second, await planGc(second, { graceMs: 0, keep }))
      fs.appendFileSync('/c/x', ' further')
      expect(fs.readFileSync('/c/x', 'utf8')).toBe('filled further')
    })
    await run(second, 'look', (fs) => expect(fs.readFileSync('/c/x', 'utf8')).toBe('filled further'))
  })

  test('that fails says exit code and output, and records nothing', async () => {
    const { store } = countingStore()
    const failing = {
      dockerfile: 'FROM base\nRUN write /x 1; ls /; exit 3\n',
      base: {},
      options: { tags: ['app'] },
    }
    await expect(buildCase(failing, store)).rejects.toMatchObject({
      code: 'RUN_FAILED',
      location: { file: 'Dockerfile', range: { start: { line: 2 } } },
      data: { exitCode: 3, output: 'dev proc sys x\n' },
    })
    expect(await store.refs.get('app:latest')).toBeUndefined()
    let runs = 0
    const executor = { ...writingExecutor, run: async () => ((runs += 1), { exitCode: 0 }) }
    await buildCase({ ...failing, options: { executor } }, store)
    expect(runs).toBe(1)
  })

  test('without an executor, and with one that does not take it', async () => {
    const it = { dockerfile: 'FROM base\nRUN x\n', base: {} }
    await expect(
      buildCase({ ...it, dockerfile: 'FROM base\nRUN --security=insecure x\n' }),
    ).rejects.toMatchObject({ code: 'EXECUTOR_CAPABILITY', location: { range: { start: { line: 2 } } } })
    await expect(buildCase({ ...it, options: { executor: [] } })).rejects.toMatchObject({
      code: 'EXECUTOR_MISSING',
    })
    const { BuildError } = await import('../../src/errors.js')
    const refusing = {
      ...writingExecutor,
      run: () => Promise.reject(new BuildError('EXECUTOR_NO_MATCH', 'not mine')),
    }
    await expect(buildCase({ ...it, options: { executor: refusing } })).rejects.toMatchObject({
      code: 'EXECUTOR_NO_MATCH',
    })
    const { tree } = await buildCase({
      dockerfile: 'FROM base\nRUN write /x 1\n',
      base: {},
      options: { executor: [refusing, writingExecutor] },
    })
    expect(tree.lookup('x')).toBeDefined()
  })

  // Here-documents: facts 1.4.
  test.each([
    ['the script of the shell', 'RUN <<EOF\nwrite /x 1\nEOF\n', 'x'],
    ['a file that is executed', 'RUN <<EOF\n#!/bin/any\nwrite /y 1\nEOF\n', 'y'],
    ['a quoted delimiter with blanks', 'RUN <<"E O F"\nwrite /q 1\nE O F\n', 'q'],
    ['blanks before the delimiter', 'RUN << EOF\nwrite /s 1\nEOF\n', 's'],
    ['with tabs taken off', 'RUN <<-EOF\n\twrite /z 1\n\tEOF\n', 'z'],
  ])('here-document: %s', async (_name, text, path) => {
    const { tree } = await buildCase({ dockerfile: `FROM base\n${text}`, base: {} })
    expect(tree.lookup(path)).toBeDefined()
    expect(tree.lookup('dev')!.kind).toBe('dir')
    expect(tree.lookup('dev/pipes')).toBeUndefined()
  })

  // As a live BuildKit 0.25 with runc leaves them: once, 0755, of root, whoever the user is.
  test('/dev, /proc and /sys come with the first RUN where the image lacks them', async () => {
    const folders = ({ tree }: Awaited<ReturnType<typeof buildCase>>) =>
      ['dev', 'proc', 'sys'].map((name) => {
        const node = tree.lookup(name)
        return node && [node.kind, node.mode, node.uid, node.gid]
      })
    const made = [['dir', 0o755, 0, 0]]
    const first = await buildCase({
      dockerfile: 'FROM base\nUSER 5:6\nRUN write /x 1\nRUN write /y 1\n',
      base: {},
    })
    expect(folders(first)).toEqual([...made, ...made, ...made])
    const second = await buildCase({ dockerfile: 'FROM base\nRUN write /x 1\n', base: { 'proc/': '500' } })
    expect(folders(second)).toEqual([...made, ['dir', 0o500, 0, 0], ...made])
    expect(folders(await buildCase({ dockerfile: 'FROM base\nWORKDIR /w\n', base: {} }))).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
})
