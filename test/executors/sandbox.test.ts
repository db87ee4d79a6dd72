// The sandbox from the inside and from the outside: what a RUN can reach, what it leaves, and that nothing of it stays.
import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { build, sandboxExecutor, shellExecutor, treeAfter } from '../../src/builder/index.js'
import { createMemoryStore, currentOwner, openDiskStore } from '../../src/store/index.js'
import { commitDiff, EMPTY_TREE, openTree, UnionView, type Tree } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import {
  busybox,
  busyboxLayers,
  busyboxRoot,
  canSandbox,
  effectOf,
  removeSandboxFolders,
  requestFor,
  sandboxFolder,
} from './harness.js'
import { isRoot, mountsIn, processesWith, sandboxOver, sandboxTest } from './sandbox-harness.js'

afterAll(removeSandboxFolders)
describe('what a RUN can reach', () => {
  sandboxTest('neither files nor processes nor the environment of the host', async () => {
    const { run, folder } = await sandboxOver()
    const secret = join(folder, 'host-secret')
    writeFileSync(secret, 'host')
    process.env.LAMELLA_HOST_VALUE = 'not for a RUN'
    const { stdout } = await run(
      `cat ${secret} 2>&1; ls /proc | grep -c "^[0-9]"; cat /proc/*/environ | tr "\\0" "\\n" | grep LAMELLA; hostname=$(cat /proc/sys/kernel/hostname); echo $hostname`,
    )
    delete process.env.LAMELLA_HOST_VALUE
    const lines = stdout.trim().split('\n')
    expect(lines[0]).toContain('No such file')
    expect(Number(lines[1])).toBeLessThan(8)
    expect(lines.slice(2)).toEqual(['buildkitsandbox'])
  })

  sandboxTest('no privilege that reaches the host', async () => {
    const { run } = await sandboxOver()
    const { stdout } = await run(
      [
        'mount -t tmpfs none /tmp 2>&1 | head -1',
        'mknod /dev/shm/disk b 8 0 && cat /dev/shm/disk 2>&1 | head -1',
        'mknod disk b 259 0 && dd if=disk of=/dev/null count=1 2>&1 | head -1',
        'echo 1 > /proc/sys/kernel/core_pattern 2>&1; echo x > /proc/sysrq-trigger; echo $?',
      ].join('; '),
    )
    expect(stdout).toMatch(/mount.*permission denied/i)
    expect(stdout).not.toMatch(/records in/)
    expect(stdout.match(/denied|not permitted|nonexistent|Read-only/gi)?.length).toBeGreaterThanOrEqual(3)
  })

  sandboxTest('--network=none: no interface but loopback', async () => {
    const { run } = await sandboxOver()
    const { stdout } = await run('ip link | grep -c "^[0-9]"', { network: 'none' })
    expect(stdout).toBe('1\n')
  })

  sandboxTest('set-id bits are kept in the layer and without effect', async () => {
    const { run } = await sandboxOver()
    const { exitCode, stdout, stderr } = await run(
      'cp /bin/busybox /tmp/busybox && chmod 4755 /tmp/busybox && su -s /bin/sh games -c "/tmp/busybox id -u"',
    )
    expect([exitCode, stdout, stderr]).toEqual([0, '5\n', ''])
  })
})

describe('descriptors of ours', () => {
  sandboxTest('that are not close-on-exec do not reach a RUN, whatever their number', async () => {
    const { run, folder } = await sandboxOver()
    const { open } = await import('lmdb')
    // lmdb opens its file without O_CLOEXEC, for reading and writing.
    const databases = Array.from({ length: 10 }, (_, index) =>
      open({ path: join(folder, `database${index}`) }),
    )
    const inherited = readdirSync('/proc/self/fd').filter((fd) => {
      const flags = /^flags:\s*(\d+)/m.exec(readIfThere(`/proc/self/fdinfo/${fd}`))?.[1] ?? '0'
      return linkIfThere(`/proc/self/fd/${fd}`).endsWith('data.mdb') && !(parseInt(flags, 8) & 0o2000000)
    })
    expect(Math.max(...inherited.map(Number))).toBeGreaterThan(9)
    const list = 'for f in /proc/$$/fd/*; do if test -L $f; then echo ${f##*/}; fi; done'
    for (const changes of [{}, { user: 'games' }, { stdin: new Uint8Array([1]) }]) {
      const { stdout, stderr } = await run(list, changes)
      expect([stdout, stderr]).toEqual(['0\n1\n2\n', ''])
    }
    for (const database of databases) await database.close()
  })

  sandboxTest('and paths of the host are not in the environment of any process that it sees', async () => {
    const { run, folder } = await sandboxOver()
    const { stdout } = await run('cat /proc/[0-9]*/environ | tr "\\0" "\\n"')
    expect(stdout).toContain('PATH=')
    expect(stdout).not.toContain(folder)
  })
})

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function linkIfThere(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

describe('a hostile root stays inside', () => {
  const victim = mkdtempSync(join(tmpdir(), 'lamella-victim-'))
  afterAll(() => rmSync(victim, { recursive: true, force: true }))

  async function hostile(change: (view: UnionView) => void): Promise<Tree> {
    const view = UnionView.open(await busyboxRoot())
    change(view)
    return view.snapshot()
  }

  for (const base of ['', '/oldroot', '/newroot/../oldroot', '../../../..']) {
    sandboxTest(`/etc is a symlink to ${base}${'<folder of the host>'}`, async () => {
      const tree = await hostile(({ fs }) => {
        fs.rmSync('/etc', { recursive: true })
        fs.symlinkSync(`${base}${victim}`, '/etc')
      })
      const { run } = await sandboxOver(tree)
      const { exitCode } = await run('mkdir -p /tmp/x; echo inside > /etc/file; true')
      expect(exitCode).toBe(0)
      expect(readdirSync(victim)).toEqual([])
    })
  }

  sandboxTest('/proc is a symlink: a clear error', async () => {
    const tree = await hostile(({ fs }) => {
      fs.rmSync('/proc', { recursive: true })
      fs.symlinkSync(victim, '/proc')
    })
    const { run } = await sandboxOver(tree)
    await expect(run('true')).rejects.toMatchObject({
      code: 'RUN_FAILED',
      data: { path: '/proc', kind: 'symlink' },
    })
    expect(readdirSync(victim)).toEqual([])
  })

  sandboxTest('a mount target behind a symlink that leads out', async () => {
    const tree = await hostile(({ fs }) => fs.symlinkSync(`/oldroot${victim}`, '/cache'))
    const { run } = await sandboxOver(tree)
    const view = UnionView.open(tree)
    view.fs.mkdirSync(`/oldroot${victim}`, { recursive: true })
    const { exitCode } = await run('echo x > /cache/f; test -e /cache/f', {
      view,
      mounts: [{ type: 'bind', target: '/cache', readonly: true }],
    })
    expect(exitCode).not.toBe(0)
    expect(readdirSync(victim)).toEqual([])
  })
})

describe('what a RUN leaves', () => {
  sandboxTest('every kind of change, as the kernel made it', async () => {
    const before = UnionView.open(await busyboxRoot())
    const { fs } = before
    fs.mkdirSync('/work/dir/sub', { recursive: true })
    for (const name of ['a', 'b', 'sub/c']) fs.writeFileSync(`/work/dir/${name}`, name)
    fs.mkdirSync('/work/gone')
    fs.writeFileSync('/work/gone/x', 'x')
    fs.writeFileSync('/work/file', 'file')
    fs.symlinkSync('dir', '/work/link')
    const tree = before.snapshot()
    const { run, executor, layers } = await sandboxOver(tree)
    void run
    const request = requestFor(
      UnionView.open(tree),
      [
        'rm -r gone dir && mkdir -m 700 dir && echo new > dir/b',
        'rm file && mkdir file && rm link && echo plain > link',
        'mkfifo -m 640 fifo; mknod null c 1 3; ln -s /nowhere dangling',
        'echo h > h1; ln h1 h2; mkdir h; ln h1 h/h3; chown 5:60 h1; chmod 6755 h1',
        'mkdir -p deep/er; touch -d @1000000000 deep/er/old; printf "" > "odd name"',
      ].join(' && '),
      { layers },
    )
    const result = await executor.run(request)
    expect(result.exitCode).toBe(0)
    const after = treeAfter(request, result)
    expect(effectOf(tree, after)).toEqual({
      '/work/dir': 'dir 700 0:0',
      '/work/dir/a': 'gone',
      '/work/dir/b': 'file 644 0:0 x1 new\n',
      '/work/dir/sub': 'gone',
      '/work/gone': 'gone',
      '/work/file': 'dir 755 0:0',
      '/work/link': 'file 644 0:0 x1 plain\n',
      '/work/fifo': 'fifo 640 0:0',
      '/work/null': 'chardev 644 0:0',
      '/work/dangling': 'symlink 777 0:0 -> /nowhere',
      '/work/h1': 'file 6755 5:60 x3 h\n',
      '/work/h2': 'file 6755 5:60 x3 h\n',
      '/work/h': 'dir 755 0:0',
      '/work/h/h3': 'file 6755 5:60 x3 h\n',
      '/work/deep': 'dir 755 0:0',
      '/work/deep/er': 'dir 755 0:0',
      '/work/deep/er/old': 'file 644 0:0 x1 ',
      '/work/odd name': 'file 644 0:0 x1 ',
    })
    expect(after.lookup('work/null')?.rdev).toEqual([1, 3])
    expect(after.lookup('work/deep/er/old')?.mtimeSec).toBe(1_000_000_000)
  })

  sandboxTest('no place that was only made to mount on', async () => {
    const view = new UnionView(await busyboxRoot())
    for (const path of ['/proc', '/dev', '/etc/hosts', '/etc/resolv.conf'])
      view.fs.rmSync(path, { recursive: true, force: true })
    const tree = view.snapshot()
    const { run } = await sandboxOver(tree)
    const after = UnionView.open(tree)
    const outcome = await run('test -d /proc/1 && test -c /dev/null && test -s /etc/hosts && echo all', {
      view: after,
    })
    expect(outcome.stdout).toBe('all\n')
    const { executor, layers } = await sandboxOver(tree)
    const request = requestFor(UnionView.open(tree), 'true', { layers })
    expect(effectOf(tree, treeAfter(request, await executor.run(request)))).toEqual({})
  })

  sandboxTest('changes to / itself, also where nothing else is changed', async () => {
    const view = UnionView.open(await busyboxRoot())
    view.setxattr('/', 'user.colour', new TextEncoder().encode('blue'))
    view.fs.chmodSync('/', 0o751)
    view.fs.chownSync('/', 5, 60)
    const tree = view.snapshot()
    const { executor, layers } = await sandboxOver(tree)
    const after = async (line: string): Promise<Tree> => {
      const request = requestFor(UnionView.open(tree), line, { layers })
      const result = await executor.run(request)
      expect(result.exitCode).toBe(0)
      return treeAfter(request, result)
    }
    const look = ({ root }: Tree) => [root.mode, root.uid, root.gid, [...(root.xattrs?.keys() ?? [])]]
    expect(look(await after('chmod 1700 /'))).toEqual([0o1700, 5, 60, ['user.colour']])
    expect(look(await after('chown 7:8 /'))).toEqual([0o751, 7, 8, ['user.colour']])
    expect((await after('chmod 700 / && touch -d @1000000000 /')).root.mtimeSec).toBe(1_000_000_000)
    expect((await after('chmod 700 /')).lookup('etc/passwd')).toBe(tree.lookup('etc/passwd'))
    // What is made in / changes its time, and that alone is no change of it.
    expect((await after('true')).root).toBe(tree.root)
    const made = await after('touch /new')
    expect([made.root.mtimeSec, ...look(made)]).toEqual([tree.root.mtimeSec, ...look(tree)])
    expect(made.lookup('new')?.kind).toBe('file')
  })

  sandboxTest('names in / that are not UTF-8, or look like options', async () => {
    const { executor, root, layers, folder } = await sandboxOver()
    const line = 'n=$(printf "a\\377b"); echo x > "/$n"; mkdir "/d$n"; echo y > "/d$n/$n"; echo z > /--help'
    const request = requestFor(UnionView.open(root), line, { layers })
    const tree = treeAfter(request, await executor.run(request))
    expect(Object.keys(effectOf(root, tree)).length).toBe(4)
    expect(readdirSync(join(folder, 'runs'))).toEqual([])
    const next = requestFor(
      UnionView.open(tree),
      'n=$(printf "a\\377b"); cat "/$n" "/d$n/$n" /--help > out',
      { layers },
    )
    const node = treeAfter(next, await executor.run(next)).lookup('work/out')
    expect(new TextDecoder().decode(node?.content())).toBe('x\ny\nz\n')
  })

  sandboxTest('extended attributes of the root come and go', async () => {
    const view = UnionView.open(await busyboxRoot())
    view.fs.writeFileSync('/work/x', 'x')
    view.setxattr('/work/x', 'user.colour', new TextEncoder().encode('blue'))
    const tree = view.snapshot()
    const { executor, layers } = await sandboxOver(tree)
    const request = requestFor(UnionView.open(tree), 'chmod 600 x', { layers })
    const node = treeAfter(request, await executor.run(request)).lookup('work/x')
    expect([node?.mode, new TextDecoder().decode(node?.xattrs?.get('user.colour'))]).toEqual([0o600, 'blue'])
  })
})

describe('secrets', () => {
  sandboxTest('are read by the RUN and are on no disk, in no command line, in no layer', async () => {
    const value = `s3cret-${Date.now()}`
    const { executor, root, layers, folder } = await sandboxOver()
    const view = UnionView.open(root)
    view.fs.mkdirSync('/run/secrets')
    view.fs.writeFileSync('/run/secrets/token', value, { mode: 0o400 })
    view.fs.chownSync('/run/secrets/token', 5, 60)
    const grep = (): string => spawnSync('grep', ['-rlaF', value, folder], { encoding: 'utf8' }).stdout
    const seen: string[] = []
    const request = requestFor(
      view,
      'ls -ln /run/secrets/token | cut -c1-14; wc -c < /run/secrets/token; sleep 0.3',
      {
        layers,
        user: 'games',
        env: [
          ['PATH', '/bin'],
          ['TOKEN', value],
        ],
        mounts: [{ type: 'secret', target: '/run/secrets/token', readonly: true }],
        onOutput: (_, bytes) => void seen.push(Buffer.from(bytes).toString()),
      },
    )
    const running = executor.run(request)
    await sleep(150)
    expect(grep()).toBe('')
    expect(processesWith(value)).toEqual([])
    expect(await running).toMatchObject({ exitCode: 0 })
    expect(seen.join('')).toBe(`-r--------    \n${value.length}\n`)
    expect(grep()).toBe('')
  })
})

describe('nothing stays', () => {
  sandboxTest('after the end, a failure, a timeout, an abort: no mount, no process, no folder', async () => {
    const { run, folder } = await sandboxOver()
    const mark = `987${process.pid}`
    await run(`setsid sleep ${mark} & sleep 0; true`)
    await run('exit 9')
    await expect(run(`sleep ${mark}`, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'RUN_FAILED' })
    await expect(
      run(`(sleep ${mark} & sleep ${mark})`, { signal: AbortSignal.timeout(100) }),
    ).rejects.toMatchObject({ code: 'ABORT_ERR' })
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
    expect(mountsIn(folder)).toEqual([])
    expect(readdirSync(join(folder, 'runs'))).toEqual([])
  })

  sandboxTest('after 200 runs that are ended at random moments', async () => {
    const { run, folder } = await sandboxOver()
    await run('true')
    const mark = `321${process.pid}`
    let state = 7
    const random = (): number => (state = (state * 48_271) % 0x7fff_ffff) / 0x7fff_ffff
    const one = async (): Promise<void> => {
      const signal = AbortSignal.timeout(Math.floor(random() * 60))
      await run(`(sleep ${mark} &) ; setsid sleep ${mark}`, { signal }).catch((error: { code?: string }) => {
        if (error.code !== 'ABORT_ERR') throw error
      })
    }
    for (let round = 0; round < 50; round++) await Promise.all([one(), one(), one(), one()])
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
    expect(mountsIn(folder)).toEqual([])
    expect(readdirSync(join(folder, 'runs'))).toEqual([])
  })

  sandboxTest(
    'after SIGKILL of ourselves: the processes end, and the next start cleans the folder',
    async () => {
      const { folder, executor, root, layers } = await sandboxOver()
      await executor.run(requestFor(UnionView.open(root), 'true', { layers }))
      const mark = `654${process.pid}`
      const dist = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist')
      const script = `
      import { sandboxExecutor } from '${dist}/builder/index.js'
      import { createMemoryStore } from '${dist}/store/index.js'
      import { UnionView } from '${dist}/unionfs/index.js'
      import { readFileSync } from 'node:fs'
      const view = new UnionView()
      for (const d of ['bin', 'dev', 'proc', 'work', 'etc']) view.fs.mkdirSync('/' + d)
      view.fs.writeFileSync('/bin/busybox', readFileSync('${busybox}'), { mode: 0o755 })
      const executor = sandboxExecutor({ store: createMemoryStore(), folder: '${folder}' })
      await executor.run({ view, argv: ['/bin/busybox', 'sleep', '${mark}'], commandLine: '', env: [], cwd: '/', user: '', mounts: [], network: 'none', onOutput() {} })`
      for (let round = 0; round < 12; round++) {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
          stdio: ['ignore', 'ignore', 'inherit'],
        })
        const ended = new Promise((resolve) => child.once('exit', resolve))
        // From before the first process to well after the start of the command.
        const deadline = Date.now() + 10_000
        while (processesWith(folder).length < 2 && Date.now() < deadline) await sleep(2)
        await sleep(round * 3)
        child.kill('SIGKILL')
        await ended
      }
      for (let wait = 0; processesWith(mark).length > 0 && wait < 50; wait++) await sleep(20)
      expect(processesWith(mark)).toEqual([])
      expect(mountsIn(folder)).toEqual([])
      expect(readdirSync(join(folder, 'runs')).length).toBeGreaterThan(0)
      const fresh = sandboxExecutor({ store: (await busyboxLayers()).store, folder })
      await fresh.run(requestFor(UnionView.open(root), 'true', { layers }))
      expect(readdirSync(join(folder, 'runs'))).toEqual([])
    },
  )
})

describe('what others have left', () => {
  const OLD_MS = 25 * 60 * 60 * 1000
  const here = currentOwner()
  const owners: readonly (readonly [string, object | undefined, string])[] = [
    ['this process', here, 'kept'],
    ['a process that has gone', { ...here, started: '1' }, 'removed'],
    ['a process before the machine was started again', { ...here, boot: 'another' }, 'removed'],
    ['a process of another container', { ...here, pidNamespace: 'pid:[1]' }, 'kept'],
    ['a process of another machine', { ...here, boot: 'another', host: 'another' }, 'kept'],
    ['nobody knows who', undefined, 'kept'],
  ]
  const ids = owners.map((_, index) => `${index}`.repeat(12))

  async function leftAfterRun(): Promise<string[]> {
    const { run, folder } = await sandboxOver()
    for (const part of ['owners', 'runs', 'layers']) mkdirSync(join(folder, part))
    for (const [index, [, owner]] of owners.entries()) {
      if (owner !== undefined) writeFileSync(join(folder, 'owners', ids[index]!), JSON.stringify(owner))
      mkdirSync(join(folder, 'runs', `${ids[index]}-abcdef/upper`), { recursive: true })
      mkdirSync(join(folder, 'layers', `.draft-${ids[index]}-abcdef`))
    }
    await run('true')
    const runs = readdirSync(join(folder, 'runs')).map((name) => name.slice(0, 12))
    const drafts = readdirSync(join(folder, 'layers')).filter((name) => name.startsWith('.draft-'))
    expect(drafts.map((name) => name.slice(7, 19)).toSorted()).toEqual(runs.toSorted())
    return ids.map((id) => (runs.includes(id) ? 'kept' : 'removed'))
  }

  sandboxTest('is removed when its process has gone, by more than its pid', async () => {
    expect(await leftAfterRun()).toEqual(owners.map(([, , outcome]) => outcome))
  })

  sandboxTest('is removed after a day when nothing can be known of its process', async () => {
    vi.useFakeTimers({ now: Date.now() + OLD_MS, toFake: ['Date'] })
    try {
      expect(await leftAfterRun()).toEqual(['kept', ...owners.slice(1).map(() => 'removed')])
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('layers on disk', () => {
  sandboxTest('are written once, by layer, and found again by the next process', async () => {
    const { executor, root, layers, folder } = await sandboxOver()
    await executor.run(requestFor(UnionView.open(root), 'true', { layers }))
    const [name] = readdirSync(join(folder, 'layers'))
    writeFileSync(join(folder, 'layers', name!, 'work/planted'), 'kept')
    const again = sandboxExecutor({ store: (await busyboxLayers()).store, folder })
    let out = ''
    await again.run(
      requestFor(UnionView.open(root), 'cat planted', {
        layers,
        onOutput: (_, bytes) => (out += Buffer.from(bytes).toString()),
      }),
    )
    expect(out).toBe('kept')
    expect(readdirSync(join(folder, 'layers'))).toEqual([name])
  })

  sandboxTest(
    'a stack of layers with deletions, opaque directories and links is what its tree is',
    async () => {
      const store = createMemoryStore()
      const steps: ((view: UnionView) => void)[] = [
        ({ fs }) => {
          fs.mkdirSync('/work/d/e', { recursive: true })
          for (const name of ['a', 'b', 'e/c']) fs.writeFileSync(`/work/d/${name}`, name)
          fs.linkSync('/work/d/a', '/work/hard')
        },
        ({ fs }) => {
          fs.rmSync('/work/d/b')
          fs.rmSync('/work/d/e', { recursive: true })
          fs.mkdirSync('/work/d/e', 0o711)
          fs.writeFileSync('/work/d/e/new', 'new')
          fs.symlinkSync('d', '/work/s')
        },
        ({ fs }) => {
          fs.writeFileSync('/work/hard', 'changed')
          fs.rmSync('/work/s')
          fs.mkdirSync('/work/s')
        },
      ]
      let tree = await busyboxRoot()
      const layers = [await commitDiff(store, EMPTY_TREE, tree)]
      for (const step of steps) {
        const view = UnionView.open(tree)
        step(view)
        layers.push(await commitDiff(store, tree, view.snapshot()))
        tree = view.snapshot()
      }
      const executor = sandboxExecutor({ store, folder: sandboxFolder() })
      const request = requestFor(
        UnionView.open(tree),
        'find . | sort > /tmp/list; cat hard d/a d/e/new; stat -c "%h %a" hard; stat -c %a d/e',
        { layers },
      )
      let out = ''
      const result = await executor.run({
        ...request,
        onOutput: (_, bytes) => (out += Buffer.from(bytes).toString()),
      })
      expect(out).toBe('changedchangednew2 644\n711\n')
      const list = new TextDecoder().decode(treeAfter(request, result).lookup('tmp/list')?.content())
      expect(list.trim().split('\n')).toEqual(['.', './d', './d/a', './d/e', './d/e/new', './hard', './s'])
    },
  )
})

describe('builds', () => {
  sandboxTest('RUN with cache, bind and tmpfs mounts; nothing of them in the image', async () => {
    const folder = sandboxFolder()
    const store = await openDiskStore(join(folder, 'store'), { create: true, durability: 'none' })
    const context = UnionView.open(await busyboxRoot())
    context.fs.mkdirSync('/ctx')
    context.fs.writeFileSync('/ctx/input', 'from the context\n')
    const dockerfile = (line: string) => ({
      text: ['FROM scratch AS base', 'COPY . /', 'FROM base', `RUN ${line}`].join('\n'),
      name: 'Dockerfile',
    })
    const flags =
      '--mount=type=cache,target=/cache --mount=type=bind,source=ctx,target=/in --mount=type=tmpfs,target=/scratch'
    const executor = sandboxExecutor({ store })
    for (const round of ['1', '2']) {
      const { layers } = await build({
        store,
        context,
        executor,
        dockerfile: dockerfile(
          `${flags} echo ${round} >> /cache/log; cat /cache/log /in/input > /work/out; touch /scratch/x; echo no > /in/input || true`,
        ),
      })
      const tree = await openTree(store, layers)
      const log = round === '1' ? '1\n' : '1\n2\n'
      expect(new TextDecoder().decode(tree.lookup('work/out')?.content())).toBe(`${log}from the context\n`)
      for (const path of ['cache', 'in', 'scratch']) expect(tree.lookup(path)).toBeUndefined()
    }
    expect(existsSync(join(folder, 'store/lamella/sandbox/layers'))).toBe(true)
    await store.close()
  })
})

const dist = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist')
const AS_NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
const nobodyCanRead =
  isRoot && spawnSync('setpriv', [...AS_NOBODY, 'test', '-r', join(dist, 'index.js')]).status === 0

describe('without root', () => {
  peerTest(
    'a user namespace with one user: changes as they are, owners all root, other users refused',
    canSandbox && nobodyCanRead,
    () => {
      const script = `
        import { sandboxExecutor, treeAfter } from '${dist}/builder/index.js'
        import { createMemoryStore } from '${dist}/store/index.js'
        import { UnionView, commitDiff, EMPTY_TREE } from '${dist}/unionfs/index.js'
        import { readFileSync } from 'node:fs'
        const root = new UnionView()
        for (const d of ['bin', 'dev', 'proc', 'work/d', 'etc']) root.fs.mkdirSync('/' + d, { recursive: true })
        root.fs.writeFileSync('/bin/busybox', readFileSync('${busybox}'), { mode: 0o755 })
        for (const n of ['sh', 'rm', 'mkdir', 'ln', 'id']) root.fs.symlinkSync('busybox', '/bin/' + n)
        for (const n of ['a', 'b']) root.fs.writeFileSync('/work/d/' + n, n)
        const store = createMemoryStore()
        const layers = [await commitDiff(store, EMPTY_TREE, root.snapshot())]
        const executor = sandboxExecutor({ store })
        const request = (line, user) => ({ view: UnionView.open(root.snapshot()), argv: ['/bin/sh', '-c', line], commandLine: line,
          env: [['PATH', '/bin']], cwd: '/work', user, mounts: [], network: 'none', layers, onOutput() {} })
        const first = request('rm -r d && mkdir d && echo n > d/new && ln d/new hard', '')
        const result = await executor.run(first)
        const after = treeAfter(first, result)
        const refused = await executor.run(request('true', '5')).catch((error) => error.code)
        const { uid, nlink } = after.lookup('work/hard')
        const changes = new UnionView(after, {}, root.snapshot()).changes().map((c) => c.kind + c.path)
        const lasting = request('until test -e end; do :; done', '')
        const running = executor.run({ ...lasting, session: 'one' })
        const beside = async () => {
          for (let wait = 0; wait < 100; wait++) {
            await new Promise((resolve) => setTimeout(resolve, 50))
            const run = executor.run({ ...request('echo j > joined', ''), join: 'one' })
            const result = await run.catch((error) => { if (wait === 99) throw error })
            if (result !== undefined) return result
          }
        }
        const joined = (await beside()).exitCode
        // Its command ends with the run that it lets end: with what code is a race.
        await executor.run({ ...request(': > end', ''), join: 'one' })
        const kept = treeAfter(lasting, await running).lookup('work/joined') !== undefined
        let out = ''
        const settings = { ...request('echo x > /proc/sys/vm/swappiness; id -u', ''), onOutput: (_, bytes) => void (out += Buffer.from(bytes)) }
        await executor.run(settings)
        console.log(JSON.stringify({ exitCode: result.exitCode, refused, uid, nlink, changes, joined, kept, out }))`
      const args = [...AS_NOBODY, process.execPath, '--input-type=module', '-e', script]
      const { stdout, stderr } = spawnSync('setpriv', args, { encoding: 'utf8', cwd: '/' })
      expect(stderr).toBe('')
      expect(JSON.parse(stdout)).toEqual({
        exitCode: 0,
        refused: 'EXECUTOR_CAPABILITY',
        uid: 0,
        nlink: 2,
        changes: ['C/work', 'C/work/d', 'D/work/d/a', 'D/work/d/b', 'A/work/d/new', 'A/work/hard'],
        joined: 0,
        kept: true,
        out: expect.stringMatching(/Read-only file system\n0\n$/) as string,
      })
    },
  )
})

describe('where it cannot work', () => {
  test('the error says what is missing and what to use instead', async () => {
    const script = `
      import { sandboxExecutor } from './dist/builder/index.js'
      import { createMemoryStore } from './dist/store/index.js'
      import { UnionView } from './dist/unionfs/index.js'
      const request = { view: new UnionView(), argv: ['true'], commandLine: 'true', env: [], cwd: '/', user: '', mounts: [], network: 'none', onOutput() {} }
      Object.defineProperty(process, 'platform', { value: 'darwin' })
      try { await sandboxExecutor({ store: createMemoryStore() }).run(request) } catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message, data: error.data })) }`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      cwd: dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
    })
    expect(JSON.parse(stdout)).toMatchObject({
      code: 'EXECUTOR_MISSING',
      data: { missing: ['Linux (this is darwin)'], instead: ['shell', 'functions'] },
    })
  })
})

describe('sandbox and shell agree', () => {
  sandboxTest('equal trees for the lines that both can run', async () => {
    const { executor, layers, root } = await sandboxOver()
    const shell = shellExecutor()
    for (const line of [
      'mkdir -p a/b && echo x > a/b/f && chmod 640 a/b/f && chown -R games:games a',
      'for i in 1 2 3; do echo $i; done | sort -r > out; ln -s out link; ln out hard',
      'cd /tmp && umask 077 && touch private && mv private /work && rm -rf /var/log',
      'cat > s.sh <<EOF\nset -e\necho "$HOME"\nEOF\nsh s.sh > home',
    ]) {
      const request = requestFor(UnionView.open(root), line, { layers })
      const other = requestFor(UnionView.open(root), line)
      const effect = effectOf(root, treeAfter(request, await executor.run(request)))
      expect(effectOf(root, treeAfter(other, await shell.run(other)))).toEqual(effect)
    }
  })
})
