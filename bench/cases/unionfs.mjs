// The union filesystem side by side with memfs, unionfs, ZenFS's CopyOnWrite and, where there is root, node:fs on a kernel
// overlay: what a call costs at each depth, and what trees, views, snapshots and diffs cost on 10k and 100k files.
//
// Peers that need seconds a file get fewer files (said in the row's question); a smaller tree is to their advantage.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { applyChangeset, bytesSource, childrenOf, Tree, TreeNode, UnionView } from 'lamella/unionfs'

export const group = 'unionfs'

const require = createRequire(import.meta.url)
const DEPTHS = [1, 8, 32, 128]
const PER_DIRECTORY = 100
/** Paths that are asked for in turn. */
const PATHS = 65_536
const CONTENT = new Uint8Array(2048).fill(120)

function percentile(sorted, p) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]
}

/** Nanoseconds of one `run(i)`, as p50 and p99 over samples of `batch` runs each. */
function measure(run, { samples = 300, batch = 50 } = {}) {
  for (let i = 0; i < batch * 20; i++) run(i)
  const times = []
  for (let s = 0, i = 0; s < samples; s++) {
    const start = process.hrtime.bigint()
    for (let b = 0; b < batch; b++) run(i++)
    times.push(Number(process.hrtime.bigint() - start) / batch)
  }
  times.sort((a, b) => a - b)
  return { n: samples * batch, p50Ns: percentile(times, 0.5), p99Ns: percentile(times, 0.99) }
}

/** As `measure` for several, in turns: what the machine does meanwhile meets all of them alike. */
function measureInTurns(runs, { samples, batch }) {
  const times = runs.map(() => [])
  for (const run of runs) for (let i = 0; i < batch * 20; i++) run(i)
  for (let s = 0; s < samples; s++) {
    for (let k = 0; k < runs.length; k++) {
      // Who comes first in a round finds the caches cold: that goes round too.
      const which = (s + k) % runs.length
      const run = runs[which]
      const start = process.hrtime.bigint()
      for (let b = 0; b < batch; b++) run(s * batch + b)
      times[which].push(Number(process.hrtime.bigint() - start) / batch)
    }
  }
  return times.map((list) => {
    list.sort((a, b) => a - b)
    return { n: samples * batch, p50Ns: percentile(list, 0.5), p99Ns: percentile(list, 0.99) }
  })
}

/** As `measure`, for work that takes long or cannot be repeated: each run is timed, `prepare` before it is not. */
function measureEach(prepare, run, count) {
  const times = []
  for (let i = 0; i < count; i++) {
    const input = prepare(i)
    const start = process.hrtime.bigint()
    run(input, i)
    times.push(Number(process.hrtime.bigint() - start))
  }
  times.sort((a, b) => a - b)
  return { n: count, p50Ns: percentile(times, 0.5), p99Ns: percentile(times, 0.99) }
}

/** One source for all files, as the files of one layer have. */
const source = bytesSource(CONTENT)

function file() {
  return new TreeNode({ kind: 'file', size: CONTENT.length, source, mtimeSec: 1 })
}

function directory(entries) {
  return new TreeNode({ kind: 'dir', children: childrenOf(entries), mtimeSec: 1 })
}

const directoryName = (i) => `dir-${i}`
const fileName = (i) => `file-${i}.txt`
const pathOf = (i, count) => {
  const at = (i * 7919) % count
  return `/${directoryName(Math.floor(at / PER_DIRECTORY))}/${fileName(at % PER_DIRECTORY)}`
}

/** A tree of `count` files, a hundred to a directory. */
function makeTree(count) {
  const directories = []
  for (let d = 0; d < count / PER_DIRECTORY; d++) {
    const entries = Array.from({ length: PER_DIRECTORY }, (_, i) => [fileName(i), file()])
    directories.push([directoryName(d), directory(entries)])
  }
  return new Tree(directory(directories))
}

/** `depth - 1` layers of 20 files each on top of a tree. */
function addLayers(tree, depth) {
  let out = tree
  for (let layer = 1; layer < depth; layer++) {
    const path = `layer-${layer}`
    const changes = [{ kind: 'put', path, node: directory([]) }]
    for (let i = 0; i < 20; i++) changes.push({ kind: 'put', path: `${path}/${fileName(i)}`, node: file() })
    out = applyChangeset(out, changes)
  }
  return out
}

/** A memfs volume of the same content. */
function makeVolume(count) {
  const { Volume, createFsFromVolume } = require('memfs')
  const fs = createFsFromVolume(new Volume())
  for (let d = 0; d < count / PER_DIRECTORY; d++) {
    fs.mkdirSync(`/${directoryName(d)}`)
    for (let i = 0; i < PER_DIRECTORY; i++) fs.writeFileSync(`/${directoryName(d)}/${fileName(i)}`, CONTENT)
  }
  return fs
}

function addVolumeLayer(layer) {
  const { Volume, createFsFromVolume } = require('memfs')
  const fs = createFsFromVolume(new Volume())
  fs.mkdirSync(`/layer-${layer}`)
  for (let i = 0; i < 20; i++) fs.writeFileSync(`/layer-${layer}/${fileName(i)}`, CONTENT)
  return fs
}

/** unionfs over memfs layers; the base is the lowest. */
function makeUnionfs(base, depth) {
  const { Union } = require('unionfs')
  const union = new Union().use(base)
  for (let layer = 1; layer < depth; layer++) union.use(addVolumeLayer(layer))
  return union
}

/** ZenFS: CopyOnWrite over CopyOnWrite, `depth` of them, mounted at a path of their own. */
async function makeZen(depth, count) {
  const { CopyOnWrite, InMemory, fs, mount, resolveMountConfig } = await import('@zenfs/core')
  const root = `/zen-${depth}`
  let below = await resolveMountConfig({ backend: InMemory, label: `base-${depth}` })
  fs.mkdirSync(`${root}-base`)
  mount(`${root}-base`, below)
  for (let d = 0; d < count / PER_DIRECTORY; d++) {
    fs.mkdirSync(`${root}-base/${directoryName(d)}`)
    for (let i = 0; i < PER_DIRECTORY; i++) {
      fs.writeFileSync(`${root}-base/${directoryName(d)}/${fileName(i)}`, CONTENT)
    }
  }
  for (let layer = 1; layer < depth; layer++) {
    const writable = await resolveMountConfig({ backend: InMemory, label: `w-${depth}-${layer}` })
    below = await resolveMountConfig({ backend: CopyOnWrite, readable: below, writable })
  }
  fs.mkdirSync(root)
  mount(root, below)
  return { fs, root }
}

/** The calls that are compared, over anything with node:fs's methods. */
function calls(fs, count, root = '') {
  // Made beforehand: making a path costs as much as looking it up.
  const paths = Array.from({ length: PATHS }, (_, i) => root + pathOf(i, count))
  const directories = Array.from(
    { length: 64 },
    (_, i) => `${root}/${directoryName((i * 31) % (count / PER_DIRECTORY))}`,
  )
  const misses = directories.map((directory) => `${directory}/missing`)
  const path = (i) => paths[i % PATHS]
  const directoryPath = (i) => directories[i % 64]
  return {
    stat: (i) => fs.statSync(path(i)),
    exists: (i) => fs.existsSync(path(i)),
    miss: (i) => fs.existsSync(misses[i % 64]),
    'readFile 2 KB': (i) => fs.readFileSync(path(i)),
    'readdir 100': (i) => fs.readdirSync(directoryPath(i)),
  }
}

/** Whether the calls answer what the tree has. */
function answersRight(fs, count, root = '') {
  const made = calls(fs, count, root)
  return (
    Number(made.stat(3).size) === CONTENT.length &&
    made.exists(5) === true &&
    made.miss(1) === false &&
    made['readFile 2 KB'](9).length === CONTENT.length &&
    made['readdir 100'](2).length === PER_DIRECTORY
  )
}

const BATCHES = { 'readdir 100': 10 }

function* compareCalls({ name, fs, count, root, samples, batchScale = 1, baseline, question, targets = {} }) {
  const check = answersRight(fs, count, root)
  for (const [call, run] of Object.entries(calls(fs, count, root))) {
    const batch = Math.max(1, Math.round((BATCHES[call] ?? 50) * batchScale))
    const times = measure(run, { samples, batch })
    const base = baseline?.[call]
    yield {
      name: `${call}: ${name}`,
      question,
      ...times,
      ...(base === undefined ? {} : { baseline: base.name, ratio: times.p50Ns / base.p50Ns }),
      ...(targets[call] === undefined ? {} : { target: targets[call] }),
      check,
      call,
    }
  }
}

async function* byDepth({ quick }) {
  const count = quick ? 2_000 : 10_000
  const samples = quick ? 60 : 300
  const volume = makeVolume(count)
  const memfs = {}
  for (const row of compareCalls({
    name: 'memfs',
    fs: volume,
    count,
    samples,
    question: 'memfs, one volume',
  })) {
    memfs[row.call] = { name: 'memfs', p50Ns: row.p50Ns }
    yield row
  }
  const tree = makeTree(count)
  const first = {}
  const targets = { stat: '< 1', 'readdir 100': '<= 0.25' }
  // Compiled before it is measured, or the first depth would pay for it.
  const warm = calls(new UnionView(tree).fs, count)
  for (let i = 0; i < 20_000; i++) for (const run of Object.values(warm)) run(i)
  const views = DEPTHS.map((depth) => new UnionView(addLayers(tree, depth)).fs)
  const checks = views.map((fs) => answersRight(fs, count))
  const perDepth = views.map((fs) => calls(fs, count))
  for (const call of Object.keys(memfs)) {
    const runs = perDepth.map((made) => made[call])
    const times = measureInTurns(runs, { samples, batch: BATCHES[call] ?? 50 })
    first[call] = { name: 'depth 1', p50Ns: times[0].p50Ns }
    for (const [i, depth] of DEPTHS.entries()) {
      const base = i === 0 ? memfs[call] : first[call]
      const target = i === 0 ? targets[call] : '<= 1.15'
      yield {
        name: `${call}: lamella, depth ${depth}`,
        question: i === 0 ? `a view on ${count} files, against memfs` : 'is the cost independent of depth?',
        ...times[i],
        baseline: base.name,
        ratio: times[i].p50Ns / base.p50Ns,
        ...(target === undefined ? {} : { target }),
        check: checks[i],
      }
    }
  }
  for (const depth of DEPTHS) {
    const fs = makeUnionfs(volume, depth)
    const scale = depth > 8 ? 0.02 : 0.2
    yield* compareCalls({
      name: `unionfs, depth ${depth}`,
      fs,
      count,
      samples: quick ? 20 : 60,
      batchScale: scale,
      baseline: first,
      question: `unionfs over memfs volumes, ${count} files in the lowest`,
    })
  }
  const zenCount = 200
  for (const depth of quick ? [1, 8] : DEPTHS) {
    const { fs, root } = await makeZen(depth, zenCount)
    yield* compareCalls({
      name: `ZenFS, depth ${depth}`,
      fs,
      count: zenCount,
      root,
      samples: depth > 8 ? 10 : 30,
      batchScale: 0.02,
      baseline: first,
      question: `ZenFS CopyOnWrite over InMemory, ${zenCount} files only`,
    })
  }
  yield* onKernel({ count: 1_000, samples: quick ? 60 : 200, first })
}

/** The same on 100k files, where memory is what a lookup waits for. */
async function* large({ quick }) {
  const count = quick ? 20_000 : 100_000
  const samples = quick ? 60 : 300
  const label = `${count / 1000}k files`
  const memfs = {}
  const question = `${count} files, a different one each time`
  for (const row of compareCalls({
    name: `memfs, ${label}`,
    fs: makeVolume(count),
    count,
    samples,
    question,
  })) {
    memfs[row.call] = { name: 'memfs', p50Ns: row.p50Ns }
    yield row
  }
  yield* compareCalls({
    name: `lamella, ${label}, depth 32`,
    fs: new UnionView(addLayers(makeTree(count), 32)).fs,
    count,
    samples,
    question,
    baseline: memfs,
    targets: { stat: '< 1', 'readdir 100': '<= 0.25' },
  })
}

const KERNEL_SCRIPT = fileURLToPath(new URL('../kernel-overlay.mjs', import.meta.url))

/** node:fs on a kernel overlay: measured by a child process in a mount namespace of its own, as root. */
function* onKernel({ count, samples, first }) {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return
  for (const depth of DEPTHS) {
    const work = mkdtempSync(join(tmpdir(), 'lamella-bench-'))
    const args = ['--mount', '--propagation', 'private', process.execPath, KERNEL_SCRIPT]
    const child = spawnSync('unshare', [...args, work, String(depth), String(count), String(samples)], {
      encoding: 'utf8',
    })
    rmSync(work, { recursive: true, force: true })
    if (child.status !== 0) return
    for (const row of JSON.parse(child.stdout)) {
      yield {
        ...row,
        baseline: 'depth 1',
        ratio: row.p50Ns / first[row.call].p50Ns,
        question: 'node:fs on a kernel overlay',
      }
    }
  }
}

async function* treesAndViews({ quick }) {
  const count = quick ? 20_000 : 100_000
  const samples = quick ? 50 : 300
  const label = `${count / 1000}k files`
  const tree = makeTree(count)

  const hot = Array.from({ length: 100 }, (_, i) => pathOf(i, count))
  yield {
    name: `tree lookup, hot, ${label}`,
    question: 'one lookup of a path in a merged tree',
    ...measure((i) => tree.lookup(hot[i % 100]), { samples }),
    check: tree.lookup(pathOf(1, count))?.size === CONTENT.length,
    target: '<= 300 ns',
  }
  const layer = (i) =>
    Array.from({ length: 100 }, (_, k) => ({
      kind: 'put',
      path: pathOf(i * 131 + k, count).slice(1),
      node: file(),
    }))
  yield {
    name: `apply a 100-change layer, ${label}`,
    question: 'a layer that replaces 100 files in 100 directories; 0.3 ms to reach',
    ...measureEach(layer, (changes) => applyChangeset(tree, changes), samples),
    check: applyChangeset(tree, layer(1)).lookup(pathOf(131, count)) !== tree.lookup(pathOf(131, count)),
    target: '<= 0.3 ms',
  }
  yield {
    name: `open a view, ${label}`,
    question: 'a view and its fs, and a first stat; 0.1 ms to reach',
    ...measureEach(
      () => tree,
      (lower) => new UnionView(lower).fs.statSync('/dir-0'),
      samples,
    ),
    check: new UnionView(tree).fs.statSync('/dir-0').isDirectory(),
    target: '<= 0.1 ms',
  }
  const changed = (i) => {
    const view = new UnionView(tree)
    for (let k = 0; k < 10; k++) view.fs.writeFileSync(pathOf(i * 17 + k, count), 'changed')
    return view
  }
  yield {
    name: `snapshot after 10 changes, ${label}`,
    question: '0.1 ms to reach',
    ...measureEach(changed, (view) => view.snapshot(), samples),
    check: changed(1).snapshot().lookup(pathOf(17, count)).size === 7,
    target: '<= 0.1 ms',
  }
  yield {
    name: `fork after 10 changes, ${label}`,
    question: 'snapshot and a second view on it; 0.1 ms to reach',
    ...measureEach(changed, (view) => view.fork(), samples),
    check: changed(1).fork().fs.readFileSync(pathOf(17, count), 'utf8') === 'changed',
    target: '<= 0.1 ms',
  }
  yield {
    name: `diff after 10 changes, ${label}`,
    question: '0.5 ms to reach',
    ...measureEach(changed, (view) => view.diff(), samples),
    check:
      changed(1)
        .diff()
        .filter((change) => change.node?.kind === 'file').length === 10,
    target: '<= 0.5 ms',
  }
  yield* memory(count, label)
}

function* memory(count, label) {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  gc()
  const before = process.memoryUsage().heapUsed
  const tree = makeTree(count)
  gc()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  yield {
    name: `memory per tree entry, ${label}`,
    question: 'heap bytes per file, its name and its share of the directory; 250 B to reach',
    n: count,
    p50Ns: undefined,
    p99Ns: undefined,
    bytes,
    baseline: 'bytes / 250',
    ratio: bytes / 250,
    target: '<= 1',
    check: tree.lookup(pathOf(1, count)) !== undefined,
  }
}

async function* writes({ quick }) {
  const count = quick ? 2_000 : 10_000
  const rounds = quick ? 400 : 3_000
  const data = Buffer.from(CONTENT)
  const volume = makeVolume(count)
  const write = (fs, path) => measureEach(path, (to) => fs.writeFileSync(to, data), rounds)
  const fresh = (i) => `/dir-${i % 10}/new-${i}`
  const existing = (i) => pathOf(i, count)
  const memfsNew = write(volume, fresh)
  const memfsOver = write(volume, existing)
  const check = volume.readFileSync(fresh(0)).length === CONTENT.length
  yield { name: 'write 2 KB, new file: memfs', question: 'writeFileSync', ...memfsNew, check }
  yield { name: 'write 2 KB, existing file: memfs', question: 'writeFileSync', ...memfsOver, check }
  const view = new UnionView(makeTree(count))
  const ours = write(view.fs, fresh)
  const over = write(view.fs, existing)
  const right = view.fs.readFileSync(existing(1)).length === CONTENT.length
  yield {
    name: 'write 2 KB, new file: lamella',
    question: 'writeFileSync in a view',
    ...ours,
    baseline: 'memfs, new',
    ratio: ours.p50Ns / memfsNew.p50Ns,
    target: '<= 1.5',
    check: right,
  }
  yield {
    name: 'write 2 KB, copy-up: lamella',
    question: 'writeFileSync over a file of the lower tree',
    ...over,
    baseline: 'memfs, existing',
    ratio: over.p50Ns / memfsOver.p50Ns,
    target: '<= 1.5',
    check: right,
  }
}

export async function* run(options) {
  for await (const row of byDepth(options)) yield clean(row)
  for await (const row of large(options)) yield clean(row)
  for await (const row of treesAndViews(options)) yield clean(row)
  for await (const row of writes(options)) yield clean(row)
}

/** Targets in milliseconds and nanoseconds become ratios of the time to reach, which the table can judge. */
function clean(given) {
  const row = { ...given }
  delete row.call
  const absolute = /^<= ([\d.]+) (ms|ns)$/.exec(row.target ?? '')
  if (absolute === null) return row
  const limitNs = Number(absolute[1]) * (absolute[2] === 'ms' ? 1e6 : 1)
  return { ...row, baseline: `${absolute[1]} ${absolute[2]}`, ratio: row.p50Ns / limitNs, target: '<= 1' }
}
