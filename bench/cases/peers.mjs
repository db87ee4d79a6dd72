// What do other builders take for the same Dockerfile over the same files: with nothing changed, with one file changed, and
// with nothing known? Whole processes in turn, each with its image in its own store. BuildKit by way of `docker buildx` and
// a running daemon, buildah with a storage of its own; whichever of them is on PATH and works. Layers are kept uncompressed
// by all (buildah's storage has folders); lamella alone waits until its image is on the disk.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spread } from '../timing.mjs'
import { makeContext } from './rebuild.mjs'

export const group = 'peers'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
const DOCKERFILE = 'FROM scratch\nWORKDIR /usr/src/app\nCOPY . .\nCMD ["node", "dist/index.js"]\n'
const NAME = 'lamella-bench'
const CHANGED = 'src/area0/part0/file0.ts'
/** A question is asked until so much time is gone, but so often at least and at most. */
const BUDGET_MS = 20_000
const ROUNDS = { least: 3, most: 9 }

/** Lamella's time as a share of the peer's that is to be reached, by what is asked and number of files. */
const TARGETS = {
  docker: { unchanged: { 100: 1.2, 1000: 0.9, 10000: 0.5 }, cold: { 10000: 1 / 3 } },
  buildah: { cold: { 10000: 1 / 3 } },
}

/** @returns what it printed, trimmed: the id of the image. @throws Error when it failed */
function spawn(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status}\n${stdout}${stderr}`)
  return stdout.trim()
}

function works(command, args) {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 10_000 }).status === 0
}

/** Builders with a store of their own below `folder`. `build` gives the id of the image. */
function builders(folder) {
  const lamella = {
    name: 'lamella',
    build: (context, store = 'lamella') =>
      spawn(process.execPath, [bin, 'build', '-q', '-t', NAME, '--store', join(folder, store), context]),
    // A new store knows nothing.
    cold: (context, round) => lamella.build(context, `lamella-cold-${round}`),
    clean: () => {},
  }
  const output = `type=image,name=${NAME},compression=uncompressed`
  const dockerArgs = ['buildx', 'build', '-q', '--provenance=false', '--output', output]
  const docker = {
    name: 'docker',
    build: (context) => spawn('docker', [...dockerArgs, context]),
    // Its store is everybody's, so it is not pruned: the context is a folder that the daemon has not seen yet.
    cold: (context) => spawn('docker', [...dockerArgs, '--no-cache', context]),
    clean: () => spawnSync('docker', ['rmi', '-f', NAME], { stdio: 'ignore' }),
  }
  const storages = new Set()
  const buildahIn = (storage, args) => {
    storages.add(storage)
    return spawn('buildah', [
      '--root',
      join(folder, storage),
      '--runroot',
      join(folder, `${storage}-run`),
      ...args,
    ])
  }
  const buildah = {
    name: 'buildah',
    build: (context, storage = 'buildah') =>
      buildahIn(storage, ['build', '--layers', '-q', '-t', NAME, context]),
    cold: (context, round) => buildah.build(context, `buildah-cold-${round}`),
    clean: () => storages.forEach((storage) => buildahIn(storage, ['rmi', '--all', '--force'])),
  }
  return [
    lamella,
    ...(works('docker', ['buildx', 'version']) && works('docker', ['info']) ? [docker] : []),
    ...(works('buildah', ['--version']) ? [buildah] : []),
  ]
}

export async function* run({ quick, files = quick ? [100, 1_000] : [100, 1_000, 10_000] }) {
  for (const count of files) {
    const folder = mkdtempSync(join(tmpdir(), 'lamella-bench-peers-'))
    const all = builders(folder)
    try {
      if (all.length > 1) yield* measure({ quick, count, folder, all })
    } finally {
      for (const { clean } of all) clean()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

function* measure({ quick, count, folder, all }) {
  const context = join(folder, 'context')
  makeContext(context, count)
  writeFileSync(join(context, 'Dockerfile'), DOCKERFILE)
  const files = `${count.toLocaleString('en')} files`
  const budgetMs = quick ? 0 : BUDGET_MS
  // Twice, so that no first time of anything is measured: an import, a cache that is written once.
  const ids = new Map(all.map(({ name, build }) => [name, build(context) && build(context)]))
  const same = ({ name }, id) => {
    if (ids.get(name) !== id) throw new Error(`${name}: an unchanged rebuild gave another image`)
  }
  yield* rows(
    `unchanged, ${files}`,
    'a whole build with nothing changed',
    time(budgetMs, all, (builder) => builder.build(context), { check: same }),
    { kind: 'unchanged', count },
  )

  const text = readFileSync(join(context, CHANGED), 'utf8')
  const different = ({ name }, id) => {
    if (ids.get(name) === id) throw new Error(`${name}: a change was not seen`)
    ids.set(name, id)
  }
  yield* rows(
    `one file changed, ${files}`,
    'a whole build after a change of one file',
    time(budgetMs, all, (builder) => builder.build(context), {
      before: (round, { name }) => writeFileSync(join(context, CHANGED), `${text}// ${round} for ${name}\n`),
      check: different,
    }),
    { kind: 'changed', count },
  )

  const copies = []
  yield* rows(
    `cold, ${files}`,
    'a whole build of which nothing is known',
    time(budgetMs, all, (builder, round) => builder.cold(copies.at(-1), round), {
      before(round, { name }) {
        copies.push(join(folder, `context-${name}-${round}`))
        cpSync(context, copies.at(-1), { recursive: true, preserveTimestamps: true })
      },
      check: ({ name }, id) => {
        if (!/^(sha256:)?[0-9a-f]{64}$/.test(id)) throw new Error(`${name}: a cold build gave ${id}`)
      },
      after: () => rmSync(copies.pop(), { recursive: true }),
    }),
    { kind: 'cold', count },
  )
}

/** Nanoseconds of each builder; they take turns, so that a drift of the machine's speed meets all. */
function time(budgetMs, all, subject, { before, check, after } = {}) {
  const times = new Map(all.map(({ name }) => [name, []]))
  const end = performance.now() + budgetMs
  for (let round = 0; round < ROUNDS.most; round++) {
    if (round >= ROUNDS.least && performance.now() > end) break
    for (const builder of all) {
      before?.(round, builder)
      const start = process.hrtime.bigint()
      const id = subject(builder, round)
      times.get(builder.name).push(Number(process.hrtime.bigint() - start))
      check(builder, id)
      after?.()
    }
  }
  return times
}

function* rows(what, question, times, { kind, count }) {
  const own = spread(times.get('lamella'))
  yield { name: `lamella: ${what}`, question, ...own, check: true }
  for (const [peer, list] of times) {
    if (peer === 'lamella') continue
    const theirs = spread(list)
    const target = TARGETS[peer][kind]?.[count]
    yield { name: `${peer}: ${what}`, question, ...theirs, check: true }
    yield {
      name: `lamella beside ${peer}: ${what}`,
      question,
      ...own,
      baseline: `${peer}: ${what}`,
      ratio: own.p50Ns / theirs.p50Ns,
      ...(target !== undefined && { target: `<= ${Number(target.toFixed(2))}` }),
      check: true,
    }
  }
}
