// What does a build cost when nothing, or one file, has changed, and what when nothing is known? In this process, against
// the cheapest look at the same files that can be had, and as a whole process, against `node -e` doing that look.
import { spawnSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'lamella/builder'
import { openDiskStore } from 'lamella/store'

export const group = 'rebuild'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')

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

const at = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]

/** Runs both in turn, so that a drift of the machine's speed meets both. */
async function against(rounds, floor, subject) {
  const floors = []
  const subjects = []
  for (let i = 0; i < rounds; i++) {
    let start = process.hrtime.bigint()
    await floor(i)
    floors.push(Number(process.hrtime.bigint() - start))
    start = process.hrtime.bigint()
    await subject(i)
    subjects.push(Number(process.hrtime.bigint() - start))
  }
  const sort = (times) => times.toSorted((a, b) => a - b)
  return { floor: sort(floors), subject: sort(subjects) }
}

function* rows(name, question, { floor, subject }, baseline, target) {
  yield {
    name: baseline,
    question: 'the floor',
    n: floor.length,
    p50Ns: at(floor, 0.5),
    p99Ns: at(floor, 0.99),
    check: true,
  }
  yield {
    name,
    question,
    n: subject.length,
    p50Ns: at(subject, 0.5),
    p99Ns: at(subject, 0.99),
    baseline,
    ratio: at(subject, 0.5) / at(floor, 0.5),
    target,
    check: true,
  }
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

export async function* run({ quick }) {
  for (const count of quick ? [100, 1_000] : [100, 1_000, 10_000, 100_000]) {
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
    await against(rounds, look, async () => {
      const result = await buildIt(NAIVE)
      if (result.image.digest !== cold.image.digest) throw new Error('the image changed')
      if (outcomes(result).some((outcome) => outcome !== 'hit')) throw new Error('a rebuild missed')
    }),
    `walk + lstat, ${files}`,
    large('<= 1.35'),
  )

  await buildIt(OPTIMISED)
  const changed = join(context, 'src/area0/part0/file0.ts')
  const edit = (i) => writeFileSync(changed, `export const value0 = ${i} // ${Date.now()}\n`)
  yield* rows(
    `one file changed, in process, ${files}`,
    'the optimised Dockerfile after a change of one source file',
    await against(
      Math.min(rounds, 11),
      () => buildIt(OPTIMISED),
      async (i) => {
        edit(i)
        const result = outcomes(await buildIt(OPTIMISED))
        if (result.join() !== 'hit,hit,hit,miss') throw new Error(`outcomes ${result}`)
      },
    ),
    `unchanged, optimised, ${files}`,
    large('<= 2.5'),
  )

  if (count > 10_000) return
  writeFileSync(join(context, 'Dockerfile'), NAIVE)
  const args = [bin, 'build', '--store', storePath, '--progress', 'plain', context]
  spawn(args, () => true)
  const code = `const fs = require('node:fs'); const n = ${FLOOR}(${JSON.stringify(context)}); if (n < ${entries}) process.exit(1)`
  yield* rows(
    `unchanged, whole process, ${files}`,
    'lamella build with nothing changed',
    await against(
      quick ? 5 : 15,
      () => spawn(['-e', code], () => true),
      () => spawn(args, (log) => log.includes('CACHED') && !/\] COPY[^\n]*\n#\d+ DONE/.test(log)),
    ),
    `node -e walk + lstat, ${files}`,
    large('<= 1.6'),
  )
}
