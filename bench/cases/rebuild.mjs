// What does a build cost when nothing, or one file, has changed, and what when nothing is known? In this process, against
// the cheapest look at the same files that can be had, and as a whole process, against `node -e` doing that look.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'lamella/builder'
import { openDiskStore } from 'lamella/store'
import { spread } from '../timing.mjs'

export const group = 'rebuild'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const bin = join(root, 'dist/cli/main.js')

const NAIVE = 'FROM scratch\nWORKDIR /usr/src/app\nCOPY . .\nCMD ["node", "dist/index.js"]\n'
const OPTIMISED =
  'FROM scratch\nWORKDIR /usr/src/app\nCOPY package* .\nCOPY ./prisma .\nCOPY . .\nCMD ["node", "dist/index.js"]\n'

/** A project of `count` source files of about 1.5 KB, twenty to a folder. */
export function makeContext(folder, count) {
  mkdirSync(join(folder, 'prisma'), { recursive: true })
  writeFileSync(join(folder, 'prisma/schema.prisma'), 'model A {}\n')
  writeFileSync(join(folder, 'package.json'), '{"name":"bench"}\n')
  writeFileSync(join(folder, 'package-lock.json'), '{"lockfileVersion":3}\n')
  for (let i = 0; i < count; i++) {
    const dir = join(folder, 'src', `area${Math.floor(i / 400)}`, `part${Math.floor(i / 20) % 20}`)
    if (i % 20 === 0) mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, `file${i}.ts`), `export const value${i} = ${i}\n`.repeat(50))
  }
}

/** The floor: one synchronous walk with a stat of every entry. */
const FLOOR = `(function walk(dir) {
  let count = 0
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const path = dir + '/' + entry.name
    fs.lstatSync(path)
    count += entry.isDirectory() ? walk(path) + 1 : 1
  }
  return count
})`

const walk = new Function('fs', `return ${FLOOR}`)({ lstatSync, readdirSync })

/** The floor of a new layer: an earlier one read, hashed and written, and on the disk when it must be. */
function copyHashed(from, to, isSynced) {
  const [source, target] = [openSync(from, 'r'), openSync(to, 'w')]
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafeSlow(1 << 18)
  for (let count; (count = readSync(source, buffer)) > 0;) {
    hash.update(buffer.subarray(0, count))
    writeSync(target, buffer, 0, count)
  }
  if (isSynced) fsyncSync(target)
  closeSync(source)
  closeSync(target)
  return `sha256:${hash.digest('hex')}`
}

/** Runs all in turn, so that a drift of the machine's speed meets all. @returns nanoseconds of each */
async function inTurn(rounds, ...subjects) {
  const times = subjects.map(() => [])
  for (let i = 0; i < rounds; i++) {
    for (const [n, { before, run }] of subjects.entries()) {
      before?.(i)
      const start = process.hrtime.bigint()
      await run(i)
      times[n].push(Number(process.hrtime.bigint() - start))
    }
  }
  return times
}

function* rows(name, question, [floor, subject], baseline, target) {
  const [below, own] = [spread(floor), spread(subject)]
  yield { name: baseline, question: 'the floor', ...below, check: true }
  yield { name, question, ...own, baseline, ratio: own.p50Ns / below.p50Ns, target, check: true }
}

function outcomes({ steps }) {
  return steps.filter(({ vertex }) => vertex.op.kind === 'file').map(({ outcome }) => outcome)
}

function spawn(args, isRight) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  if (status !== 0 || !isRight(stderr))
    throw new Error(`node ${args.join(' ')}: ${status}\n${stdout}${stderr}`)
}

export async function* run({ quick, files }) {
  for (const count of files ?? (quick ? [100, 1_000] : [100, 1_000, 10_000, 100_000])) {
    const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-rebuild-'))
    const context = join(scratch, 'context')
    makeContext(context, count)
    const store = await openDiskStore(join(scratch, 'store'), { durability: 'none' })
    try {
      yield* measure({ quick, count, context, store, storePath: join(scratch, 'store') })
    } finally {
      await store.close()
      rmSync(scratch, { recursive: true, force: true })
    }
  }
  if (files === undefined) yield* memory({ quick })
}

/** Builds a folder in a process of its own, which says how much memory it took at most. */
const MEASURED = `
  const { build } = await import('lamella/builder')
  const { openDiskStore } = await import('lamella/store')
  const [context, path] = process.argv.slice(1)
  const store = await openDiskStore(path, { durability: 'none' })
  const start = process.hrtime.bigint()
  const { layers } = await build({ store, context, dockerfile: { text: 'FROM scratch\\nCOPY . .\\n' } })
  const ns = Number(process.hrtime.bigint() - start)
  await store.close()
  const { maxRSS } = process.resourceUsage()
  console.log(JSON.stringify({ ns, bytes: maxRSS * 1024, layerBytes: layers.at(-1).descriptor.size }))`

/** Peak memory of a cold build: it may grow with the number of files, never with their size. */
async function* memory({ quick }) {
  const contexts = {
    '10 files': { make: (folder) => makeContext(folder, 10), least: 0 },
    [quick ? '1,000 files' : '100,000 files']: {
      make: (folder) => makeContext(folder, quick ? 1_000 : 100_000),
      least: 0,
    },
    [quick ? 'a file of 300 MB' : 'a file of 3 GB']: {
      make(folder) {
        writeFileSync(join(folder, 'large'), '')
        truncateSync(join(folder, 'large'), quick ? 3e8 : 3e9)
      },
      least: quick ? 3e8 : 3e9,
    },
  }
  for (const [name, { make, least }] of Object.entries(contexts)) {
    const scratch = mkdtempSync(join(tmpdir(), 'lamella-bench-memory-'))
    try {
      mkdirSync(join(scratch, 'context'))
      make(join(scratch, 'context'))
      const args = ['--input-type=module', '-e', MEASURED, join(scratch, 'context'), join(scratch, 'store')]
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root })
      if (status !== 0) throw new Error(stderr)
      const { ns, bytes, layerBytes } = JSON.parse(stdout)
      if (layerBytes <= least) throw new Error(`a layer of ${layerBytes} bytes`)
      yield {
        name: `peak memory, cold, ${name}: ${Math.round(bytes / 1e6)} MB`,
        question: 'resident memory of the process at most; the time is that of the build',
        n: 1,
        p50Ns: ns,
        p99Ns: ns,
        bytes,
        check: true,
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}

async function* measure({ quick, count, context, store, storePath }) {
  const files = `${count.toLocaleString('en')} files`
  const entries = walk(context)
  // Below that the constant part of a build decides, which is another question.
  const large = (target) => (count >= 10_000 ? target : undefined)
  const rounds = quick ? 5 : count > 10_000 ? 7 : 21
  const buildIt = (text) => build({ store, context, dockerfile: { text }, tags: ['bench'] })

  const start = process.hrtime.bigint()
  const cold = await buildIt(NAIVE)
  const coldNs = Number(process.hrtime.bigint() - start)
  if (outcomes(cold).some((outcome) => outcome !== 'miss')) throw new Error('a cold build found something')
  yield {
    name: `cold, ${files}`,
    question: 'COPY . . into a new store',
    n: 1,
    p50Ns: coldNs,
    p99Ns: coldNs,
    check: true,
  }

  const look = () => {
    if (walk(context) !== entries) throw new Error('the walk missed something')
  }
  for (let i = 0; i < 2; i++) await buildIt(NAIVE)
  yield* rows(
    `unchanged, in process, ${files}`,
    'build() of COPY . . with nothing changed',
    await inTurn(
      rounds,
      { run: look },
      {
        async run() {
          const result = await buildIt(NAIVE)
          if (result.image.digest !== cold.image.digest) throw new Error('the image changed')
          if (outcomes(result).some((outcome) => outcome !== 'hit')) throw new Error('a rebuild missed')
        },
      },
    ),
    `walk + lstat, ${files}`,
    large('<= 1.35'),
  )

  const changed = join(context, 'src/area0/part0/file0.ts')
  const edit = (i) => writeFileSync(changed, `export const value0 = ${i} // ${Date.now()}\n`)
  yield* oneFile({
    rounds: Math.min(rounds, 11),
    files,
    large,
    storePath,
    edit,
    build: () => buildIt(OPTIMISED),
  })

  if (count > 10_000) return
  writeFileSync(join(context, 'Dockerfile'), NAIVE)
  const args = [bin, 'build', '--store', storePath, '--progress', 'plain', context]
  spawn(args, () => true)
  const code = `const fs = require('node:fs'); const n = ${FLOOR}(${JSON.stringify(context)}); if (n < ${entries}) process.exit(1)`
  yield* rows(
    `unchanged, whole process, ${files}`,
    'lamella build with nothing changed',
    await inTurn(
      quick ? 5 : 15,
      { run: () => spawn(['-e', code], () => true) },
      { run: () => spawn(args, (log) => log.includes('CACHED') && !/\] COPY[^\n]*\n#\d+ DONE/.test(log)) },
    ),
    `node -e walk + lstat, ${files}`,
    large('<= 1.6'),
  )
  writeFileSync(join(context, 'Dockerfile'), OPTIMISED)
  spawn(args, () => true)
  yield* rows(
    `one file changed, whole process, ${files}`,
    'lamella build after a change of one source file, on the disk when it ends',
    await inTurn(
      quick ? 3 : 7,
      { run: () => spawn(args, (log) => !/\] COPY[^\n]*\n#\d+ DONE/.test(log)) },
      { before: edit, run: () => spawn(args, (log) => /\] COPY \. \.[^\n]*\n#\d+ DONE/.test(log)) },
    ),
    `unchanged, optimised, whole process, ${files}`,
  )
}

/**
 * A changed file in process, beside what its layer's bytes cost whoever makes it: an earlier layer read, hashed and written.
 * Build and floor both leave their file where it is, so that both pay for new memory of the page cache: a virtual machine
 * whose host hands that out at the first touch takes 1 to 4 ms a megabyte, ten times what memory costs that was used before.
 */
async function* oneFile({ rounds, files, large, storePath, edit, build: rebuild }) {
  await rebuild()
  edit('first')
  const { descriptor: layer } = (await rebuild()).layers.at(-1)
  const from = join(storePath, 'blobs', ...layer.digest.split(':'))
  const copy = (name, isSynced) => (i) => {
    if (copyHashed(from, join(storePath, `lamella/tmp/floor-${name}-${i}`), isSynced) !== layer.digest)
      throw new Error('the layer is damaged')
  }
  const unchanged = async () => void (await rebuild())
  const once = async () => {
    const result = outcomes(await rebuild())
    if (result.join() !== 'hit,hit,hit,miss') throw new Error(`outcomes ${result}`)
  }
  const [before, after, written, synced] = await inTurn(
    rounds,
    { run: unchanged },
    { before: edit, run: once },
    { run: copy('written', false) },
    { run: copy('synced', true) },
  )
  const baseline = `unchanged, optimised, ${files}`
  const question = 'the optimised Dockerfile after a change of one source file, nothing synced'
  const name = `one file changed, in process, ${files}`
  yield* rows(name, question, [before, after], baseline, large('<= 2.5'))
  const floor = 'the bytes of the changed layer, whoever makes it'
  const bytes = layer.size
  const plain = `read, hash, write of the changed layer, ${files}`
  yield { name: plain, question: floor, ...spread(written), bytes, check: true }
  const full = `read, hash, write, fsync of the changed layer, ${files}`
  yield { name: full, question: floor, ...spread(synced), bytes, check: true }
  yield {
    name: `${name}, beside both floors`,
    question: 'what a changed file costs beyond the look at the context and the bytes of the layer',
    ...spread(after),
    baseline: 'unchanged + read, hash, write',
    ratio: spread(after).p50Ns / (spread(before).p50Ns + spread(written).p50Ns),
    check: true,
  }
}
