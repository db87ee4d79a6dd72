// What every Executor must do, as cases that any test framework can run: one promise each, rejected with a
// ConformanceError. Cases that need what an executor does not declare, or its author leaves out, are not listed for it.
import { isAbortError } from '../errors.js'
import { treeAfter, type ExecRequest, type Executor, type LayerRef } from '../builder/index.js'
import { TreeNode, UnionView, type Tree } from '../unionfs/index.js'
import type { ConformanceCase } from './conformance.js'

/** An executor under test, with a root that it can work on. */
export interface ExecutorSubject {
  readonly executor: Executor
  /**
   * A root with /work (mode 0755), /etc/passwd and /etc/group that know root and `games` (uid 5, gid 60), and, for an
   * executor that runs binaries, /bin/sh and the usual commands.
   */
  readonly root: Tree
  /** The layers of that root, where it has any. */
  readonly layers?: readonly LayerRef[] | undefined
  /** Names of cases that do not apply, each with the reason. */
  readonly except?: Readonly<Record<string, string>> | undefined
}

export class ConformanceError extends Error {
  override readonly name = 'ConformanceError'
}

/** The command lines that the cases use: an executor of functions has to know these and no others. */
export const CONFORMANCE_LINES = {
  nothing: 'true',
  fail: 'exit 3',
  write: 'echo hello > out',
  print: 'echo one; echo two >&2; echo three',
  environment: 'echo "$COLOUR-$HOME-$LAMELLA_CONFORMANCE_HOST"',
  folder: 'pwd',
  modes: 'touch file; mkdir folder',
  edit: 'rm -r old; mkdir old; echo new > old/new; mv moved there; ln kept link; ln -s kept symlink; chmod 4711 kept',
  input: 'cat > input',
  wait: 'sleep 20',
} as const

type Line = keyof typeof CONFORMANCE_LINES

interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly view: UnionView
  readonly tree: Tree
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ConformanceError(message)
}

function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)]
  check(a === b, `${what}: expected ${b}, got ${a}`)
}

class Bench {
  readonly subject: ExecutorSubject

  constructor(subject: ExecutorSubject) {
    this.subject = subject
  }

  request(line: Line, changes: Partial<ExecRequest> = {}): ExecRequest {
    const commandLine = CONFORMANCE_LINES[line]
    return {
      view: UnionView.open(this.subject.root),
      argv: ['/bin/sh', '-c', commandLine],
      commandLine,
      env: [
        ['PATH', '/usr/local/bin:/usr/bin:/bin'],
        ['HOME', '/root'],
      ],
      cwd: '/work',
      user: '',
      mounts: [],
      network: 'none',
      onOutput: () => undefined,
      layers: this.subject.layers,
      ...changes,
    }
  }

  async run(line: Line, changes: Partial<ExecRequest> = {}): Promise<Outcome> {
    const out = { stdout: '', stderr: '' }
    const decoder = new TextDecoder()
    const request = this.request(line, {
      onOutput: (stream, bytes) => {
        out[stream] += decoder.decode(bytes)
      },
      ...changes,
    })
    const result = await this.subject.executor.run(request)
    return { ...out, exitCode: result.exitCode, view: request.view, tree: treeAfter(request, result) }
  }

  /** What a run that must fail fails with. */
  async failure(
    line: Line,
    changes: Partial<ExecRequest>,
  ): Promise<{ code: unknown; data: Record<string, unknown>; error: unknown }> {
    try {
      await this.subject.executor.run(this.request(line, changes))
    } catch (error) {
      const { code, data } = error as { code?: unknown; data?: Record<string, unknown> }
      return { code, data: data ?? {}, error }
    }
    throw new ConformanceError(`"${CONFORMANCE_LINES[line]}" ended well, where it had to fail`)
  }
}

function describe(node: TreeNode | undefined): string {
  if (node === undefined) return 'absent'
  const { kind, mode, uid, gid } = node
  return `${kind} ${mode.toString(8)} ${uid}:${gid}`
}

const textOf = (node: TreeNode | undefined): string | undefined =>
  node?.kind === 'file' ? new TextDecoder().decode(node.content()) : undefined

/** Paths of a tree with what they are; times left out, because no two runs have the same. */
function pictureOf(tree: Tree): string[] {
  return Array.from(
    tree.walk(),
    ({ path, node }) => `${path} ${describe(node)} ${node.target} ${textOf(node) ?? ''}`,
  )
}

type Case = readonly [name: string, run: (bench: Bench) => Promise<void>]

const RESULTS: readonly Case[] = [
  [
    'a run that does nothing: exit code 0, tree as before',
    async (bench) => {
      const { exitCode, tree } = await bench.run('nothing')
      equal(exitCode, 0, 'exit code')
      equal(pictureOf(tree), pictureOf(bench.subject.root), 'tree')
    },
  ],
  [
    'a non-zero exit code is a result, not an error',
    async (bench) => equal((await bench.run('fail')).exitCode, 3, 'exit code'),
  ],
  [
    'what is written is in the tree after, and the base is as it was',
    async (bench) => {
      const before = pictureOf(bench.subject.root)
      const { tree, view } = await bench.run('write')
      equal(textOf(tree.lookup('work/out')), 'hello\n', '/work/out')
      equal(view.base.lookup('work/out'), undefined, '/work/out in the base')
      equal(pictureOf(bench.subject.root), before, 'the base')
    },
  ],
  [
    'standard output and standard error are told apart, each in order',
    async (bench) => {
      const { stdout, stderr } = await bench.run('print')
      equal([stdout, stderr], ['one\nthree\n', 'two\n'], 'output')
    },
  ],
  [
    'deletions, renames, links and modes',
    async (bench) => {
      const { view, root } = prepareEdit(bench.subject.root)
      const layers = root === bench.subject.root ? bench.subject.layers : undefined
      const { tree } = await bench.run('edit', { view, layers })
      equal(tree.lookup('work/old/before'), undefined, '/work/old/before')
      equal(textOf(tree.lookup('work/old/new')), 'new\n', '/work/old/new')
      equal(tree.lookup('work/moved'), undefined, '/work/moved')
      equal(textOf(tree.lookup('work/there')), 'moved', '/work/there')
      check(
        tree.lookup('work/kept') === tree.lookup('work/link'),
        '/work/kept and /work/link are not one file',
      )
      equal(tree.lookup('work/kept')?.mode, 0o4711, 'mode of /work/kept')
      equal(tree.lookup('work/symlink')?.target, 'kept', 'target of /work/symlink')
    },
  ],
  [
    'equal runs give equal trees',
    async (bench) => {
      const [first, second] = [await bench.run('write'), await bench.run('write')]
      equal(pictureOf(second.tree), pictureOf(first.tree), 'the second tree')
    },
  ],
  [
    'two runs at once do not see each other',
    async (bench) => {
      const [writing, nothing] = await Promise.all([bench.run('write'), bench.run('nothing')])
      equal(textOf(writing.tree.lookup('work/out')), 'hello\n', '/work/out of the first')
      equal(nothing.tree.lookup('work/out'), undefined, '/work/out of the second')
    },
  ],
]

function prepareEdit(tree: Tree): { view: UnionView; root: Tree } {
  const { fs } = UnionView.open(tree)
  const view = UnionView.open(tree)
  view.fs.mkdirSync('/work/old')
  view.fs.writeFileSync('/work/old/before', 'before')
  view.fs.writeFileSync('/work/moved', 'moved')
  view.fs.writeFileSync('/work/kept', 'kept')
  check(!fs.existsSync('/work/old'), 'two views of one tree share what is written')
  const root = view.snapshot()
  return { view: UnionView.open(root), root }
}

const SURROUNDINGS: readonly Case[] = [
  [
    'the environment is the request’s and nothing else',
    async (bench) => {
      const env: ExecRequest['env'] = [
        ['PATH', '/usr/local/bin:/usr/bin:/bin'],
        ['COLOUR', 'blue " $x'],
        ['HOME', '/home/x'],
      ]
      equal((await bench.run('environment', { env })).stdout, 'blue " $x-/home/x-\n', 'output')
    },
  ],
  [
    'the working directory',
    async (bench) => equal((await bench.run('folder', { cwd: '/etc' })).stdout, '/etc\n', 'output'),
  ],
  [
    'umask 022',
    async (bench) => {
      const { tree } = await bench.run('modes')
      equal(describe(tree.lookup('work/file')), 'file 644 0:0', '/work/file')
      equal(describe(tree.lookup('work/folder')), 'dir 755 0:0', '/work/folder')
    },
  ],
  [
    'standard input is empty unless it is given',
    async (bench) => {
      const without = await bench.run('input')
      equal(textOf(without.tree.lookup('work/input')), '', 'without input')
      const stdin = Uint8Array.from([0x61, 0x00, 0xff, 0x0a])
      const { tree } = await bench.run('input', { stdin })
      equal([...(tree.lookup('work/input')?.content() ?? [])], [...stdin], 'with input')
    },
  ],
  [
    'the user: files belong to it, by name and by number',
    async (bench) => {
      for (const [user, owner] of [
        ['games', '5:60'],
        ['5', '5:60'],
        ['1234:77', '1234:77'],
      ] as const) {
        const { tree, exitCode } = await bench.run('modes', { user, cwd: '/tmp' })
        equal([exitCode, describe(tree.lookup('tmp/file'))], [0, `file 644 ${owner}`], `/tmp/file of ${user}`)
      }
    },
  ],
  [
    'the user: an unknown name is USER_NOT_FOUND',
    async (bench) =>
      equal((await bench.failure('nothing', { user: 'nobody-here' })).code, 'USER_NOT_FOUND', 'code'),
  ],
  [
    'the user: permissions hold',
    async (bench) => {
      const { exitCode, tree } = await bench.run('write', { user: 'games' })
      check(exitCode !== 0, '/work was written to by a user who must not')
      equal(tree.lookup('work/out'), undefined, '/work/out')
    },
  ],
]

const ENDS: readonly Case[] = [
  [
    'a signal that has fired: ABORT_ERR, nothing is done',
    async (bench) => {
      const view = UnionView.open(bench.subject.root)
      const { error } = await bench.failure('write', { signal: AbortSignal.abort(), view })
      check(isAbortError(error), `expected an AbortError, got ${String(error)}`)
      equal(view.changes(), [], 'changes')
    },
  ],
  [
    'a signal that fires meanwhile ends the run with ABORT_ERR',
    async (bench) => {
      const started = Date.now()
      const { error } = await bench.failure('wait', { signal: AbortSignal.timeout(150) })
      check(isAbortError(error), `expected an AbortError, got ${String(error)}`)
      check(Date.now() - started < 5000, 'the run went on for more than 5 s')
    },
  ],
  [
    'a time limit ends the run with RUN_FAILED',
    async (bench) => {
      const started = Date.now()
      const { code, data } = await bench.failure('wait', { timeoutMs: 150 })
      equal([code, data.timeoutMs], ['RUN_FAILED', 150], 'error')
      check(Date.now() - started < 5000, 'the run went on for more than 5 s')
    },
  ],
]

const CAPABILITIES: readonly Case[] = [
  [
    'a request beyond the declared capabilities: EXECUTOR_CAPABILITY, with the name of one that could',
    async (bench) => {
      for (const changes of beyond(bench.subject.executor)) {
        const { code, data } = await bench.failure('nothing', changes)
        equal([code, data.executor], ['EXECUTOR_CAPABILITY', bench.subject.executor.name], 'error')
        check(Array.isArray(data.able), 'data.able does not list the executors that could')
      }
    },
  ],
]

function beyond({ capabilities }: Executor): Partial<ExecRequest>[] {
  const mounts = (['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const).filter(
    (type) => !capabilities.mounts.includes(type),
  )
  const networks = (['default', 'none', 'host'] as const).filter(
    (network) => !capabilities.networks.includes(network),
  )
  return [
    ...mounts.map((type) => ({ mounts: [{ type, target: '/work', readonly: true }] })),
    ...networks.map((network) => ({ network })),
  ]
}

/** The cases for one executor. Each makes its own view, so that they may run in any order. */
export function executorCases(subject: ExecutorSubject): ConformanceCase[] {
  const bench = new Bench(subject)
  return [...RESULTS, ...SURROUNDINGS, ...ENDS, ...CAPABILITIES]
    .filter(([name]) => subject.except?.[name] === undefined)
    .map(([name, run]) => ({ name, run: () => run(bench) }))
}
