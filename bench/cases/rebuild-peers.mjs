// What do other builders take for the same Dockerfile over the same files: with nothing changed, with one file changed, and
// with nothing known? Whole processes in turn, each with its image in its own store. BuildKit by way of `docker buildx` and
// a running daemon, buildah with a storage of its own; whichever of them is on PATH and works.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeContext } from './rebuild.mjs'

export const group = 'rebuild'

const bin = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/cli/main.js')
const DOCKERFILE = 'FROM scratch\nWORKDIR /usr/src/app\nCOPY . .\nCMD ["node", "dist/index.js"]\n'
const NAME = 'lamella-bench'
const CHANGED = 'src/area0/part0/file0.ts'

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
  const dockerArgs = ['buildx', 'build', '-q', '--provenance=false', '-t', NAME]
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

export async function* run({ quick }) {
  for (const count of quick ? [100, 1_000] : [100, 1_000, 10_000]) {
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
  const ids = new Map(all.map(({ name, build }) => [name, build(context)]))
  const same = ({ name }, id) => {
    if (ids.get(name) !== id) throw new Error(`${name}: an unchanged rebuild gave another image`)
  }
  yield* rows(
    `unchanged, ${files}`,
    'a whole build with nothing changed',
    time(quick ? 3 : 9, all, (builder) => same(builder, builder.build(context))),
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
    time(quick ? 3 : 5, all, (builder) => different(builder, builder.build(context)), {
      before: (round, { name }) => writeFileSync(join(context, CHANGED), `${text}// ${round} for ${name}\n`),
    }),
    { kind: 'changed', count },
  )

  const copies = []
  yield* rows(
    `cold, ${files}`,
    'a whole build of which nothing is known',
    time(quick ? 2 : 3, all, (builder, round) => builder.cold(copies.at(-1), round), {
      before: (round, { name }) => {
        copies.push(join(folder, `context-${name}-${round}`))
        cpSync(context, copies.at(-1), { recursive: true, preserveTimestamps: true })
      },
      after: () => rmSync(copies.pop(), { recursive: true }),
    }),
    { kind: 'cold', count },
  )
}

/** Sorted nanoseconds of each builder; they take turns, so that a drift of the machine's speed meets all. */
function time(rounds, all, subject, { before, after } = {}) {
  const times = new Map(all.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const builder of all) {
      before?.(round, builder)
      const start = process.hrtime.bigint()
      subject(builder, round)
      times.get(builder.name).push(Number(process.hrtime.bigint() - start))
      after?.()
    }
  }
  for (const list of times.values()) list.sort((a, b) => a - b)
  return times
}

const at = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]

function* rows(what, question, times, { kind, count }) {
  const own = times.get('lamella')
  for (const [peer, list] of times) {
    if (peer === 'lamella') continue
    const baseline = `${peer}: ${what}`
    yield {
      name: baseline,
      question: 'the peer',
      n: list.length,
      p50Ns: at(list, 0.5),
      p99Ns: at(list, 0.99),
      check: true,
    }
    const target = TARGETS[peer][kind]?.[count]
    yield {
      name: `lamella beside ${peer}: ${what}`,
      question,
      n: own.length,
      p50Ns: at(own, 0.5),
      p99Ns: at(own, 0.99),
      baseline,
      ratio: at(own, 0.5) / at(list, 0.5),
      ...(target !== undefined && { target: `<= ${Number(target.toFixed(2))}` }),
      check: true,
    }
  }
}
