// What does a RUN cost? A step that does nothing, in the shell and in the sandbox; a layer of 10,000 files written to disk for
// the sandbox, against GNU tar; and what a RUN left read back into a layer, against tar and sha256sum of the same.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkSandbox, sandboxExecutor, shellExecutor, treeAfter } from 'lamella/builder'
import { createMemoryStore, readBlob } from 'lamella/store'
import { commitDiff, EMPTY_TREE, openTree, UnionView } from 'lamella/unionfs'

export const group = 'run'

const APPLETS = ['sh', 'cp', 'true']

function busybox() {
  const { stdout } = spawnSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' })
  return stdout.trim() === '' ? undefined : stdout.trim()
}

/** A root of busybox and `count` files of 2 KB, a hundred to a folder. */
function makeRoot(count, program) {
  const view = new UnionView()
  for (const folder of ['bin', 'dev', 'etc', 'proc', 'work']) view.fs.mkdirSync(`/${folder}`)
  for (const name of ['hosts', 'resolv.conf', 'passwd']) view.fs.writeFileSync(`/etc/${name}`, '')
  if (program !== undefined) {
    view.fs.writeFileSync('/bin/busybox', readFileSync(program), { mode: 0o755 })
    for (const name of APPLETS) view.fs.symlinkSync('busybox', `/bin/${name}`)
  }
  for (let i = 0; i < count; i++) {
    if (i % 100 === 0) view.fs.mkdirSync(`/work/d${i / 100}`)
    view.fs.writeFileSync(`/work/d${Math.floor(i / 100)}/f${i}`, Buffer.alloc(2048, i % 251))
  }
  return view.snapshot()
}

const requestOver = (tree, layers, line) => ({
  view: UnionView.open(tree),
  argv: ['/bin/sh', '-c', line],
  commandLine: line,
  env: [['PATH', '/bin']],
  cwd: '/work',
  user: '',
  mounts: [],
  network: 'none',
  layers,
  onOutput: () => {},
})

async function timed(work) {
  const start = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - start)
}

const at = (times, q) =>
  times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * q))]
const row = (name, question, times, check, more = {}) => ({
  name,
  question,
  n: times.length,
  p50Ns: at(times, 0.5),
  p99Ns: at(times, 0.99),
  check,
  ...more,
})

async function repeat(rounds, work) {
  const times = []
  for (let i = 0; i < rounds; i++) times.push(await timed(() => work(i)))
  return times
}

export async function* run({ quick }) {
  const program = busybox()
  const count = quick ? 1000 : 10_000
  const store = createMemoryStore()
  const layers = [await commitDiff(store, EMPTY_TREE, makeRoot(count, program))]
  const tree = await openTree(store, layers)
  const shell = shellExecutor()
  await shell.run(requestOver(tree, layers, 'true'))
  const shellTimes = await repeat(quick ? 50 : 300, () => shell.run(requestOver(tree, layers, 'true')))
  yield row('RUN true, shell, warm', 'a step in process', shellTimes, true, { target: '<= 3 ms' })
  const { works } = await checkSandbox()
  if (!works || program === undefined || process.getuid?.() !== 0) return
  const folder = mkdtempSync(join(tmpdir(), 'lamella-bench-run-'))
  try {
    yield* sandboxRows({ store, layers, tree, folder, count, quick })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function* sandboxRows({ store, layers, tree, folder, count, quick }) {
  const sandbox = sandboxExecutor({ store, folder: join(folder, 'sandbox') })
  await sandbox.run(requestOver(tree, layers, 'true'))
  const { exitCode } = await sandbox.run(requestOver(tree, layers, 'cp /work/d0/f7 /dev/null'))
  const times = await repeat(quick ? 10 : 40, () => sandbox.run(requestOver(tree, layers, 'true')))
  yield row('RUN true, sandbox, whole step', 'layers on disk already', times, exitCode === 0, {
    target: '<= 20 ms',
  })
  yield* materialiseRows({ store, layers, tree, folder, count, quick, emptyStep: at(times, 0.5) })
  yield* upperRows({ store, layers, tree, folder, count, quick, sandbox })
}

/** Fresh folder each time; the step that follows it is taken off. */
async function* materialiseRows({ store, layers, tree, folder, count, quick, emptyStep }) {
  const archive = join(folder, 'layer.tar')
  writeFileSync(archive, await readBlob(store.blobs, layers[0].descriptor.digest))
  const rounds = quick ? 2 : 5
  const tarTimes = []
  const ourTimes = []
  let files = 0
  for (let i = 0; i < rounds; i++) {
    const plain = join(folder, `tar${i}`)
    mkdirSync(plain)
    tarTimes.push(await timed(() => execFileSync('tar', ['-x', '-f', archive, '-C', plain])))
    const own = join(folder, `own${i}`)
    const executor = sandboxExecutor({ store, folder: own })
    ourTimes.push((await timed(() => executor.run(requestOver(tree, layers, 'true')))) - emptyStep)
    const [layer] = readdirSync(join(own, 'layers'))
    files = readdirSync(join(own, 'layers', layer, 'work'), { recursive: true }).length
  }
  const baseline = `tar x of ${count} files`
  yield row(baseline, 'the floor', tarTimes, true)
  const ratio = at(ourTimes, 0.5) / at(tarTimes, 0.5)
  const isWhole = files === count + Math.ceil(count / 100)
  yield row(`materialise a layer of ${count} files`, 'how long until it is mounted', ourTimes, isWhole, {
    baseline,
    ratio,
    target: '<= 1.3',
  })
}

/** The same copy on the same overlay, by hand and by a RUN; then tar and sha256sum against upper → changeset → layer. */
async function* upperRows({ store, layers, tree, folder, count, quick, sandbox }) {
  const lower = join(folder, 'sandbox/layers', readdirSync(join(folder, 'sandbox/layers'))[0])
  const rounds = quick ? 2 : 5
  const byHand = []
  const ours = []
  let files = 0
  for (let i = 0; i < rounds; i++) {
    const at = join(folder, `hand${i}`)
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(at, name), { recursive: true })
    const script = `mount -t overlay overlay -o lowerdir=${lower},upperdir=${at}/upper,workdir=${at}/work ${at}/merged && chroot ${at}/merged /bin/cp -r /work /copy`
    byHand.push(
      await timed(() => {
        execFileSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script])
        execFileSync('sh', ['-c', `tar -c -C ${at}/upper . | sha256sum`])
      }),
    )
    const request = requestOver(tree, layers, 'cp -r /work /copy')
    ours.push(
      await timed(async () => {
        const after = treeAfter(request, await sandbox.run(request))
        files = after.lookup('copy/d0')?.children?.size ?? 0
        await commitDiff(store, tree, after)
      }),
    )
  }
  const baseline = `cp -r of ${count} files on an overlay, tar c | sha256sum`
  yield row(baseline, 'the floor', byHand, existsSync(join(folder, 'hand0/upper/copy/d0/f7')))
  const ratio = at(ours, 0.5) / at(byHand, 0.5)
  yield row(
    `RUN cp -r of ${count} files, upper to layer`,
    'a step that makes many files',
    ours,
    files === 100,
    { baseline, ratio, target: '<= 1.5' },
  )
}
