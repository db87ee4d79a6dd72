// One build of the demo: its rows, and whether they are what they must be.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'lamella/builder'
import { systemEnv } from 'lamella'
import { expectedResults } from './scenarios.mjs'

/** Instructions that only change the image's configuration: BuildKit makes no step of them. */
const CONFIG_ONLY = /^(?:ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|SHELL|STOPSIGNAL|USER|VOLUME)\b/

/** Wall clock with microseconds, because a cached step takes no millisecond. */
const env = {
  ...systemEnv,
  now: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
}

const instructionsOf = (path) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))

async function storedBlobs(store) {
  const sizes = new Map()
  for await (const { digest, size } of store.blobs.list()) sizes.set(digest, size)
  return sizes
}

/** The same store with a cache index of its own, so that a Dockerfile begins cold whatever was built before. */
export function withOwnCache(store, name) {
  const { blobs, refs, leases, sidecars, path, records } = store
  const prefix = `${name}/`
  const own = {
    get: (key) => records.get(prefix + key),
    write: ({ put = [], delete: gone = [] }) =>
      records.write({
        put: Array.from(put, ([key, value]) => [prefix + key, value]),
        delete: Array.from(gone, (key) => prefix + key),
      }),
    *keys(start) {
      for (const key of records.keys(prefix + start)) yield key.slice(prefix.length)
    },
  }
  return { blobs, refs, leases, sidecars, path, records: own, close: async () => {} }
}

/** Notes which executor carried out which command line. */
function observed(executor, ran) {
  const run = async (request) => {
    const result = await executor.run(request)
    ran.set(request.commandLine, executor.name)
    return result
  }
  return { ...executor, run }
}

/** Builds and reports: rows of { instruction, result, expected, by, milliseconds, bytes }. */
export async function runScenario({ store, project, executor, dockerfile, scenario, onEvent }) {
  const ran = new Map()
  const layers = new Map()
  const before = await storedBlobs(store)
  const started = performance.now()
  const result = await build({
    store,
    env,
    context: project,
    dockerfile: join(project, dockerfile.file),
    tags: [`parcel-desk:${dockerfile.name}`],
    executor: observed(executor, ran),
    onEvent(event) {
      if (event.kind === 'step-done' && event.cache !== 'hit') layers.set(event.step, event.layer)
      onEvent(event)
    },
  })
  const milliseconds = performance.now() - started
  const instructions = instructionsOf(join(project, dockerfile.file))
  const rows = makeRows(instructions, result.steps, ran, (step) => {
    const layer = layers.get(step)
    return layer === undefined || before.has(layer.diffID) ? 0 : layer.size
  })
  const steps = rows.filter(({ result: outcome }) => outcome !== 'config')
  const expected = expectedResults(
    steps.map(({ instruction }) => instruction),
    scenario.from(dockerfile),
  )
  for (const [index, row] of steps.entries()) row.expected = expected[index]
  return {
    dockerfile: dockerfile.name,
    scenario: scenario.name,
    title: scenario.title,
    rows,
    milliseconds,
    bytesAdded: added(before, await storedBlobs(store)),
    image: result.image.digest,
    layers: result.layers,
    asExpected: steps.every((row) => row.result === row.expected),
  }
}

function added(before, after) {
  let bytes = 0
  for (const [digest, size] of after) if (!before.has(digest)) bytes += size
  return bytes
}

function makeRows(instructions, steps, ran, bytesOf) {
  const inStage = steps.filter(({ vertex }) => vertex.label.index !== undefined)
  return instructions.map((instruction) => {
    if (CONFIG_ONLY.test(instruction)) return { instruction, result: 'config' }
    const step = inStage.shift()
    const keyword = instruction.split(' ')[0]
    if (step === undefined || !step.vertex.label.name.includes(`] ${keyword} `)) {
      throw new Error(`the build has no step for "${instruction}"`)
    }
    const result = step.outcome === 'hit' ? 'CACHED' : 'built'
    return {
      instruction,
      result,
      by: ran.get(instruction.replace(/^RUN /, '')),
      milliseconds: Number(step.durationNs) / 1e6,
      bytes: bytesOf(step.step),
    }
  })
}
