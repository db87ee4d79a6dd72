// Limits by control groups: where the groups are made, what is written into them, and what a run under them comes to.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseHierarchies, RunGroups, type Hierarchy } from '../../src/builder/executors/sandbox/cgroups.js'
import {
  build,
  functionsExecutor,
  sandboxExecutor,
  shellExecutor,
  type ExecLimits,
} from '../../src/builder/index.js'
import { currentOwner, openDiskStore } from '../../src/store/index.js'
import { UnionView } from '../../src/unionfs/index.js'
import { peerTest } from '../peers.js'
import { busyboxRoot, canSandbox, removeSandboxFolders, requestFor, sandboxFolder } from './harness.js'
import { isRoot, sandboxOver } from './sandbox-harness.js'

afterAll(removeSandboxFolders)

// proc(5): /proc/pid/mountinfo; cgroups(7): /proc/pid/cgroup
describe('hierarchies', () => {
  const one = '30 25 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory'
  const both = '31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct'
  const two = '29 25 0:25 / /sys/fs/cgroup rw shared:8 - cgroup2 cgroup2 rw,nsdelegate'
  const cases: readonly (readonly [string, string, string, Hierarchy[]])[] = [
    [
      'version 2',
      two,
      '0::/user.slice/a.scope\n',
      [of(2, [], '/sys/fs/cgroup/user.slice/a.scope', '/sys/fs/cgroup')],
    ],
    [
      'version 1',
      one,
      '4:memory:/a\n',
      [of(1, ['memory'], '/sys/fs/cgroup/memory/a', '/sys/fs/cgroup/memory')],
    ],
    [
      'two controllers together',
      both,
      '2:cpu,cpuacct:/\n',
      [of(1, ['cpu', 'cpuacct'], '/sys/fs/cgroup/cpu,cpuacct', '/sys/fs/cgroup/cpu,cpuacct')],
    ],
    [
      'a part of the hierarchy is mounted, as docker does it',
      one.replace(' / /sys', ' /docker/x /sys'),
      '4:memory:/docker/x/y\n',
      [of(1, ['memory'], '/sys/fs/cgroup/memory/y', '/sys/fs/cgroup/memory')],
    ],
    [
      'another part of the hierarchy is mounted',
      one.replace(' / /sys', ' /docker/x /sys'),
      '4:memory:/docker/xy\n',
      [of(1, ['memory'], '/sys/fs/cgroup/memory', '/sys/fs/cgroup/memory')],
    ],
    [
      'a blank in the mount point',
      two.replace('/sys/fs/cgroup', '/a\\040b'),
      '0::/\n',
      [of(2, [], '/a b', '/a b')],
    ],
    ['no line for it', one, '0::/\n', []],
    ['something else', '22 1 8:1 / / rw - ext4 /dev/sda1 rw', '0::/\n', []],
  ]
  function of(version: 1 | 2, controllers: string[], own: string, top: string): Hierarchy {
    return { version, controllers, own, top }
  }
  test.each(cases)('%s', (_, mountinfo, membership, expected) =>
    expect(parseHierarchies(mountinfo, membership)).toEqual(expected),
  )
})

// cgroup-v2.rst; cgroup-v1/{memory,pids}.rst; scheduler/sched-bwc.rst. Folders stand for the kernel's.
describe('groups', () => {
  const folders: string[] = []
  afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })))
  const FILES = {
    1: 'memory.limit_in_bytes memory.memsw.limit_in_bytes memory.oom_control pids.max cpu.cfs_period_us cpu.cfs_quota_us',
    2: 'memory.max memory.swap.max memory.events pids.max cpu.max',
  }
  /** Groups by name, in which a `busy` one hands nothing on. */
  function fake(
    version: 1 | 2,
    groups: Readonly<Record<string, { controllers: string; handsOn?: string; busy?: true }>>,
  ) {
    const top = mkdtempSync(join(tmpdir(), 'lamella-cgroups-'))
    folders.push(top)
    for (const [path, { controllers, handsOn = '', busy }] of Object.entries(groups)) {
      mkdirSync(join(top, path), { recursive: true })
      writeFileSync(join(top, path, 'cgroup.controllers'), controllers)
      if (busy) mkdirSync(join(top, path, 'cgroup.subtree_control'))
      else writeFileSync(join(top, path, 'cgroup.subtree_control'), handsOn)
    }
    const makeFolder = (path: string): void => {
      mkdirSync(path)
      for (const name of FILES[version].split(' ')) writeFileSync(join(path, name), '')
    }
    const record = join(top, 'record')
    const create = (limits: ExecLimits, hierarchies: readonly Hierarchy[]) =>
      RunGroups.create(limits, 'run', record, { hierarchies, makeFolder })
    return { top, create, recorded: () => readFileSync(record, 'utf8') }
  }
  const ALL = 'cpu memory pids'
  const LIMITS: ExecLimits = { memoryBytes: 1 << 26, pids: 10, cpus: 0.5 }
  const settingsIn = (folder: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(folder)
        .map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const)
        .filter(([, text]) => text !== ''),
    )

  test('of version 2: one group for all limits', () => {
    const { top, create, recorded } = fake(2, { a: { controllers: ALL, handsOn: ALL } })
    const groups = create(LIMITS, [{ version: 2, controllers: [], own: join(top, 'a'), top }])
    expect(groups.procs).toEqual([join(top, 'a/run/cgroup.procs')])
    expect(recorded()).toBe(`${join(top, 'a/run')}\n`)
    expect(settingsIn(join(top, 'a/run'))).toEqual({
      'memory.max': '67108864',
      'memory.swap.max': '67108864',
      // Two processes of bubblewrap's.
      'pids.max': '12',
      'cpu.max': '50000 100000',
    })
    expect(groups.oomKilled).toBe(false)
    writeFileSync(join(top, 'a/run/memory.events'), 'low 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n')
    expect(groups.oomKilled).toBe(true)
  })

  test('of version 1: one group in each hierarchy, one where two controllers share it', () => {
    const { top, create } = fake(1, { m: { controllers: '' }, c: { controllers: '' } })
    const groups = create(LIMITS, [
      { version: 1, controllers: ['memory'], own: join(top, 'm'), top },
      { version: 1, controllers: ['cpu', 'pids'], own: join(top, 'c'), top },
    ])
    expect(groups.procs).toEqual([join(top, 'm/run/cgroup.procs'), join(top, 'c/run/cgroup.procs')])
    expect({ ...settingsIn(join(top, 'm/run')), ...settingsIn(join(top, 'c/run')) }).toEqual({
      'memory.limit_in_bytes': '67108864',
      // Memory and swap together.
      'memory.memsw.limit_in_bytes': '134217728',
      'pids.max': '12',
      'cpu.cfs_period_us': '100000',
      'cpu.cfs_quota_us': '50000',
    })
    writeFileSync(join(top, 'm/run/memory.oom_control'), 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n')
    expect(groups.oomKilled).toBe(true)
  })

  test('of version 2 are made further up where ours has processes and hands nothing on', () => {
    const { top, create } = fake(2, {
      '': { controllers: ALL, handsOn: 'cpuset' },
      'a/b': { controllers: ALL, busy: true },
      a: { controllers: ALL, handsOn: 'memory' },
    })
    const own = join(top, 'a/b')
    expect(create({ memoryBytes: 1 << 26 }, [{ version: 2, controllers: [], own, top }]).procs).toEqual([
      join(top, 'a/run/cgroup.procs'),
    ])
  })

  test('of version 2: what is not handed on yet is', () => {
    const { top, create } = fake(2, { a: { controllers: ALL, handsOn: '' } })
    create({ pids: 1, cpus: 2 }, [{ version: 2, controllers: [], own: join(top, 'a'), top }])
    expect(readFileSync(join(top, 'a/cgroup.subtree_control'), 'utf8')).toBe('+pids +cpu')
  })

  const lacking: readonly (readonly [string, string])[] = [
    ['the controller is nowhere', 'pids'],
    ['its files are not there, which must not look as if they were set', ALL],
  ]
  test.each(lacking)('none where %s: the error says so, and nothing is left', (_, controllers) => {
    const { top } = fake(2, { a: { controllers, handsOn: controllers } })
    const hierarchies: Hierarchy[] = [
      { version: 2, controllers: [], own: join(top, 'a'), top: join(top, 'a') },
    ]
    expect(() => RunGroups.create(LIMITS, 'run', join(top, 'record'), { hierarchies })).toThrow(
      expect.objectContaining({
        code: 'EXECUTOR_CAPABILITY',
        data: expect.objectContaining({ able: [], executor: 'sandbox' }) as unknown,
      }) as Error,
    )
    expect(existsSync(join(top, 'a/run'))).toBe(false)
  })
})

const groupsHere = (): boolean => {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-cgroups-'))
  try {
    const groups = RunGroups.create(
      { memoryBytes: 1 << 26, pids: 9, cpus: 1 },
      `lamella-try-${process.pid}`,
      join(folder, 'x'),
    )
    void groups.remove()
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true })
  }
}
const limitTest = (name: string, fn: () => Promise<void>): void =>
  peerTest(name, canSandbox && isRoot && groupsHere(), fn)

describe('a run', () => {
  const EATS = 'x=x; while true; do x=$x$x; done'
  /** Groups of this process's runs. */
  const leftGroups = (folder: string): string[] => {
    const ids = [...readdirSync(join(folder, 'owners')), `left-${process.pid}`]
    const hierarchies = parseHierarchies(
      readFileSync('/proc/self/mountinfo', 'utf8'),
      readFileSync('/proc/self/cgroup', 'utf8'),
    )
    const names = hierarchies.flatMap(({ own }) => readdirSync(own))
    return names.filter((name) => ids.some((id) => name.startsWith(`lamella-${id}`)))
  }

  limitTest('that needs more memory than it may have: 137, and it says so', async () => {
    const { executor, root, layers, folder } = await sandboxOver()
    const request = requestFor(UnionView.open(root), EATS, { layers, limits: { memoryBytes: 32 << 20 } })
    expect(await executor.run(request)).toMatchObject({ exitCode: 137, oomKilled: true })
    expect(leftGroups(folder)).toEqual([])
    expect(readdirSync(join(folder, 'runs'))).toEqual([])
  })

  limitTest('that needs no more than it may have is not told apart', async () => {
    const { executor, root, layers } = await sandboxOver()
    const limits = { memoryBytes: 64 << 20, pids: 20, cpus: 0.5 }
    const request = requestFor(UnionView.open(root), 'echo x > out', { layers, limits })
    const result = await executor.run(request)
    expect([result.exitCode, result.oomKilled]).toEqual([0, false])
    expect(result.tree?.lookup('work/out')).toBeDefined()
  })

  limitTest('whose files in memory are more than it may have', async () => {
    const { executor, root, layers } = await sandboxOver()
    const request = requestFor(UnionView.open(root), 'dd if=/dev/zero of=/dev/shm/x bs=1M count=200', {
      layers,
      limits: { memoryBytes: 32 << 20 },
    })
    expect(await executor.run(request)).toMatchObject({ exitCode: 137, oomKilled: true })
  })

  limitTest('of a build: RUN_FAILED says that it was the memory', async () => {
    const folder = sandboxFolder()
    const store = await openDiskStore(join(folder, 'store'), { create: true, durability: 'none' })
    const context = UnionView.open(await busyboxRoot())
    const text = ['FROM scratch', 'COPY . /', `RUN ${EATS}`].join('\n')
    await expect(
      build({
        store,
        context,
        executor: sandboxExecutor({ store }),
        dockerfile: { text, name: 'Dockerfile' },
        limits: { memoryBytes: 32 << 20 },
      }),
    ).rejects.toMatchObject({
      code: 'RUN_FAILED',
      message: expect.stringMatching(
        /exit code: 137: the memory limit of 33554432 bytes was reached/,
      ) as string,
      data: { exitCode: 137, oomKilled: true },
    })
    await store.close()
  })

  limitTest('that starts more processes than it may have: a fork bomb comes to its end', async () => {
    const { run, folder } = await sandboxOver()
    const limits = { pids: 8 }
    const { stdout, stderr } = await run(
      'i=0; while test $i -lt 30; do sleep 5 & i=$((i+1)); done; echo not reached',
      { limits, timeoutMs: 20_000 },
    )
    expect([stdout, /fork/.test(stderr)]).toEqual(['', true])
    const { exitCode } = await run('b() { b | b & }; b; sleep 0.2; exit 0', { limits, timeoutMs: 20_000 })
    expect(exitCode).toBeLessThan(255)
    expect(leftGroups(folder)).toEqual([])
    // The shell and its children, without what is the sandbox's own.
    expect((await run('sleep 0.1 & sleep 0.1 & wait; echo three', { limits: { pids: 3 } })).stdout).toBe(
      'three\n',
    )
  })

  limitTest('what a process that has gone left is removed by the next start', async () => {
    const { run, folder } = await sandboxOver()
    const path = join(folder, 'runs', '0'.repeat(12) + '-abcdef')
    for (const part of ['owners', path])
      mkdirSync(join(folder, part.replace(folder, '')), { recursive: true })
    writeFileSync(join(folder, 'owners', '0'.repeat(12)), JSON.stringify({ ...currentOwner(), started: '1' }))
    const left = RunGroups.create({ pids: 9 }, `lamella-left-${process.pid}`, join(path, 'cgroups'))
    expect(leftGroups(folder)).toEqual([`lamella-left-${process.pid}`])
    expect(left.procs.length).toBe(1)
    await run('true')
    expect(leftGroups(folder)).toEqual([])
    expect(existsSync(path)).toBe(false)
  })
})

describe('executors without limits', () => {
  const beyond = [
    [{ memoryBytes: 1 << 20 }, 'a memory limit'],
    [{ pids: 1 }, 'a limit of processes'],
    [{ cpus: 1 }, 'a limit of processors'],
  ] as const
  for (const executor of [shellExecutor(), functionsExecutor([{ match: 'true', run: () => 0 }])]) {
    test.each(beyond)(`${executor.name}: %j is refused, and the sandbox named`, async (limits, feature) => {
      await expect(executor.run(requestFor(new UnionView(), 'true', { limits }))).rejects.toMatchObject({
        code: 'EXECUTOR_CAPABILITY',
        data: { executor: executor.name, feature, able: ['sandbox'] },
      })
    })
  }
})
