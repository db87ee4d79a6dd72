// The executors of the package against the suite that is exported for all.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { functionsExecutor, sandboxExecutor, shellExecutor, treeAfter } from '../../src/builder/index.js'
import type { Executor, FunctionContext } from '../../src/builder/index.js'
import { CONFORMANCE_LINES, ConformanceError, executorCases } from '../../src/testing/index.js'
import { peerTest } from '../peers.js'
import {
  busyboxLayers,
  busyboxRoot,
  canSandbox,
  removeSandboxFolders,
  sandboxFolder,
  smallRoot,
} from './harness.js'
import { isRoot } from './sandbox-harness.js'

const tree = smallRoot().base

describe('shell', () => {
  for (const { name, run } of executorCases({ executor: shellExecutor(), root: tree })) test(name, run)
})

/** The suite's lines as functions over node:fs, as an embedder would write them. */
const L = CONFORMANCE_LINES
const at = ({ cwd }: FunctionContext, name: string): string => `${cwd}/${name}`
const functions = functionsExecutor([
  { match: L.nothing, run: () => 0 },
  { match: L.fail, run: () => 3 },
  { match: L.write, run: (context) => context.fs.writeFileSync(at(context, 'out'), 'hello\n') },
  {
    match: L.print,
    run({ stdout, stderr }) {
      stdout('one\n')
      stderr('two\n')
      stdout('three\n')
    },
  },
  {
    match: L.environment,
    run: ({ environment: { COLOUR = '', HOME = '', LAMELLA_CONFORMANCE_HOST = '' }, stdout }) =>
      stdout(`${COLOUR}-${HOME}-${LAMELLA_CONFORMANCE_HOST}\n`),
  },
  { match: L.folder, run: ({ cwd, stdout }) => stdout(`${cwd}\n`) },
  {
    match: L.modes,
    run(context) {
      context.fs.writeFileSync(at(context, 'file'), '')
      context.fs.mkdirSync(at(context, 'folder'))
    },
  },
  {
    match: L.edit,
    run({ fs }) {
      fs.rmSync('/work/old', { recursive: true })
      fs.mkdirSync('/work/old')
      fs.writeFileSync('/work/old/new', 'new\n')
      fs.renameSync('/work/moved', '/work/there')
      fs.linkSync('/work/kept', '/work/link')
      fs.symlinkSync('kept', '/work/symlink')
      fs.chmodSync('/work/kept', 0o4711)
    },
  },
  { match: L.input, run: (context) => context.fs.writeFileSync(at(context, 'input'), context.stdin ?? '') },
  {
    match: L.wait,
    run: async ({ signal }) => void (await sleep(20_000, undefined, signal === undefined ? {} : { signal })),
  },
])

const NOT_ITS_AFFAIR = 'whom a function acts as, and when it ends, is its author’s affair'

describe('functions', () => {
  const except = {
    'the user: files belong to it, by name and by number': NOT_ITS_AFFAIR,
    'the user: an unknown name is USER_NOT_FOUND': NOT_ITS_AFFAIR,
    'the user: permissions hold': NOT_ITS_AFFAIR,
    'a time limit ends the run with RUN_FAILED': NOT_ITS_AFFAIR,
  }
  for (const { name, run } of executorCases({ executor: functions, root: tree, except })) test(name, run)
})

describe('sandbox', async () => {
  const { store, layers } = await busyboxLayers()
  afterAll(removeSandboxFolders)
  const executor = sandboxExecutor({ store, folder: sandboxFolder() })
  const root = await busyboxRoot()
  const needRoot = new Set([
    'the user: files belong to it, by name and by number',
    'the user: permissions hold',
  ])
  for (const { name, run } of executorCases({ executor, root, layers }))
    peerTest(name, canSandbox && (isRoot || !needRoot.has(name)), run)
})

describe('the suite finds what is wrong', () => {
  const shell = shellExecutor()
  const spoiled = (changes: Partial<Executor>): Executor => ({ ...shell, ...changes })
  test.each<{ what: string; executor: Executor; found: string }>([
    {
      what: 'exit codes lost',
      executor: spoiled({ run: async (request) => ({ ...(await shell.run(request)), exitCode: 0 }) }),
      found: 'a non-zero exit code is a result, not an error',
    },
    {
      what: 'streams mixed',
      executor: spoiled({
        run: (request) =>
          shell.run({ ...request, onOutput: (_, bytes) => request.onOutput('stdout', bytes) }),
      }),
      found: 'standard output and standard error are told apart, each in order',
    },
    {
      what: 'cwd ignored',
      executor: spoiled({ run: (request) => shell.run({ ...request, cwd: '/' }) }),
      found: 'the working directory',
    },
    {
      what: 'user ignored',
      executor: spoiled({ run: (request) => shell.run({ ...request, user: '' }) }),
      found: 'the user: permissions hold',
    },
    {
      what: 'effect lost',
      executor: spoiled({
        run: async (request) => ({ ...(await shell.run(request)), tree: request.view.base }),
      }),
      found: 'what is written is in the tree after, and the base is as it was',
    },
    {
      what: 'capabilities not checked',
      executor: spoiled({ capabilities: { mounts: [], networks: ['default', 'none'], binaries: false } }),
      found:
        'a request beyond the declared capabilities: EXECUTOR_CAPABILITY, with the name of one that could',
    },
  ])('$what', async ({ executor, found }) => {
    const failed: string[] = []
    for (const { name, run } of executorCases({ executor, root: tree })) {
      if (name !== found) continue
      await run().catch((error: unknown) => {
        expect(error).toBeInstanceOf(ConformanceError)
        failed.push(name)
      })
    }
    expect(failed).toEqual([found])
  })
})

test('treeAfter prefers the result’s tree', () => {
  const view = smallRoot()
  view.fs.writeFileSync('/x', '')
  expect(treeAfter({ view }, { exitCode: 0 }).lookup('x')).toBeDefined()
  expect(treeAfter({ view }, { exitCode: 0, tree: view.base }).lookup('x')).toBeUndefined()
})
