// What does a RUN that does nothing cost elsewhere? lamella's sandbox, BuildKit (docker buildx) and buildah with the same busybox
// root, in turn. Of a tool that is a program of its own the start-up is measured too, as a row of its own.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkSandbox, sandboxExecutor } from 'lamella/builder'
import { createMemoryStore } from 'lamella/store'
import { commitDiff, EMPTY_TREE, openTree, UnionView } from 'lamella/unionfs'
import { inTurn } from '../timing.mjs'

export const group = 'run'

const DOCKERFILE = [
  'FROM scratch AS base',
  'COPY busybox /bin/busybox',
  'COPY busybox /bin/sh',
  'FROM base',
  'ARG N',
  'RUN --network=none true',
].join('\n')

const quiet = (command, args) => spawnSync(command, args, { encoding: 'utf8' })
const succeeds = (command, args) => quiet(command, args).status === 0

function must(command, args) {
  const { status, stdout, stderr } = quiet(command, args)
  if (status !== 0) throw new Error(`${command}: ${stderr}`)
  return stdout.trim()
}

async function ours(program, folder) {
  const view = new UnionView()
  for (const name of ['bin', 'dev', 'etc', 'proc']) view.fs.mkdirSync(`/${name}`)
  for (const name of ['busybox', 'sh'])
    view.fs.writeFileSync(`/bin/${name}`, readFileSync(program), { mode: 0o755 })
  const store = createMemoryStore()
  const layers = [await commitDiff(store, EMPTY_TREE, view.snapshot())]
  const tree = await openTree(store, layers)
  const executor = sandboxExecutor({ store, folder })
  const request = () => ({
    view: UnionView.open(tree),
    argv: ['/bin/sh', '-c', 'true'],
    commandLine: 'true',
    env: [['PATH', '/bin']],
    cwd: '/',
    user: '',
    mounts: [],
    network: 'none',
    layers,
    onOutput: () => {},
  })
  return () => executor.run(request())
}

/** The same build again is answered from the cache: what is left is the client, the daemon and the transfer. */
function buildKit(program, folder) {
  if (!succeeds('docker', ['buildx', 'inspect'])) return {}
  mkdirSync(folder)
  copyFileSync(program, join(folder, 'busybox'))
  writeFileSync(join(folder, 'Dockerfile'), DOCKERFILE)
  const seed = Date.now()
  let round = 0
  const command = 'buildx build -q --provenance=false --output type=cacheonly'.split(' ')
  const build = (n) => must('docker', [...command, '--build-arg', `N=${seed}-${n}`, folder])
  if (!succeeds('docker', [...command, folder])) return {}
  return {
    'buildx build, all cached': { setup: () => build(0), run: () => build(0) },
    'buildx build, one RUN true': { run: () => build(++round) },
  }
}

/** Where buildah keeps its things, for `--root` and so on. */
const buildahStore = (folder) => [
  `--root=${join(folder, 'root')}`,
  `--runroot=${join(folder, 'run')}`,
  '--storage-driver=overlay',
]

function buildah(program, folder) {
  const store = buildahStore(folder)
  const call = (...args) => must('buildah', [...store, ...args])
  try {
    const id = call('from', 'scratch')
    call('copy', id, program, '/bin/busybox')
    const run = (runtime) =>
      call('run', '--runtime', runtime, '--network', 'none', id, '--', '/bin/busybox', 'true')
    const runtime = ['crun', 'runc'].find((name) => {
      try {
        run(name)
        return true
      } catch {
        return false
      }
    })
    if (runtime === undefined) return {}
    return {
      'buildah, nothing done': { run: () => call('containers', '-q') },
      [`buildah run true (${runtime})`]: { run: () => run(runtime) },
    }
  } catch {
    return {}
  }
}

export async function* run({ quick }) {
  const program = quiet('sh', ['-c', 'command -v busybox']).stdout.trim()
  const { works } = await checkSandbox()
  if (!works || program === '' || process.getuid?.() !== 0) return
  const folder = mkdtempSync(join(tmpdir(), 'lamella-bench-run-tools-'))
  const own = 'sandbox, RUN true'
  try {
    const step = await ours(program, join(folder, 'sandbox'))
    const others = {
      ...buildKit(program, join(folder, 'context')),
      ...buildah(program, join(folder, 'buildah')),
    }
    const rounds = quick ? 3 : 15
    const times = await inTurn({ [own]: { run: step }, ...others }, rounds)
    for (const [name, { p50Ns, p99Ns }] of Object.entries(times)) {
      const ratio = name === own ? {} : { baseline: own, ratio: p50Ns / times[own].p50Ns }
      const question = name === own ? 'beside the same step elsewhere' : 'as a program, start-up included'
      yield { name, question, n: rounds, p50Ns, p99Ns, check: true, ...ratio }
    }
  } finally {
    quiet('buildah', [...buildahStore(join(folder, 'buildah')), 'rm', '-a'])
    rmSync(folder, { recursive: true, force: true })
  }
}
