// Cache decisions against those of a real BuildKit (0.25): random histories of builds, and for each build which steps there
// were, what they are called, and which of them were found. What BuildKit did is recorded; LAMELLA_RECORD_BUILDKIT=1 asks
// a live one again, LAMELLA_LIVE_SEEDS=FROM-TO compares further seeds with it.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BuildResult } from '../../src/builder/index.js'
import { createMemoryStore } from '../../src/store/index.js'
import { decisionsOfLive, decisionsOfOwn, withoutRoots, type Decisions } from './cache-decisions.js'
import { buildLive, pruneLive } from './cache-live.js'
import { buildOwn, writeBases, writeProject } from './cache-projects.js'
import { scenario, type Scenario } from './cache-scenarios.js'

const SEEDS = 320
const recording = process.env.LAMELLA_RECORD_BUILDKIT === '1'
const FILE = new URL('recorded/cache-decisions.json', import.meta.url)

/** By seed: for each build what BuildKit did; null for one that failed. */
type Recorded = Record<string, readonly (readonly string[] | null)[]>

const recorded = (existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {}) as Recorded

const home = mkdtempSync(join(tmpdir(), 'lamella-decisions-'))
const bases = join(home, 'bases')

beforeAll(() => writeBases(bases))
afterAll(() => {
  if (recording) {
    const lines = Object.entries(recorded).map(
      ([seed, builds]) => `${JSON.stringify(seed)}: ${JSON.stringify(builds)}`,
    )
    writeFileSync(FILE, `{\n${lines.join(',\n')}\n}\n`)
  }
  rmSync(home, { recursive: true, force: true })
})

async function decideLive({ seed, builds }: Scenario): Promise<Decisions[]> {
  await pruneLive()
  const out: Decisions[] = []
  for (const [i, project] of builds.entries()) {
    const folder = join(home, `live-${seed}-${i}`)
    writeProject(project, folder)
    const live = await buildLive(project, { folder, bases })
    if (!live.ok && !recording) console.log(`seed ${seed}: BuildKit: ${live.error}`)
    out.push(decisionsOfLive(live))
    rmSync(folder, { recursive: true })
  }
  return out
}

async function runOwn({ seed, builds }: Scenario): Promise<(BuildResult | undefined)[]> {
  const store = createMemoryStore()
  const out: (BuildResult | undefined)[] = []
  for (const [i, project] of builds.entries()) {
    const folder = join(home, `own-${seed}-${i}`)
    writeProject(project, folder)
    const built = await buildOwn(project, { store, folder, bases }).catch((error: Error) => {
      if (to !== undefined) console.log(`seed ${seed}: own: ${error.message}`)
      return undefined
    })
    out.push(built)
    rmSync(folder, { recursive: true })
  }
  return out
}

/** Both sides as texts. */
async function compared(
  history: Scenario,
  live: readonly Decisions[],
): Promise<{ own: string; live: string }> {
  const built = await runOwn(history)
  const open = (decisions: Decisions, i: number): Decisions =>
    built[i] === undefined ? decisions : withoutRoots(decisions, built[i])
  return {
    own: tell(
      history,
      built.map((it, i) => open(it && decisionsOfOwn(it), i)),
    ),
    live: tell(history, live.map(open)),
  }
}

/** One text for people: builds with their changes, Dockerfiles and decisions. */
function tell({ changes, builds }: Scenario, decisions: readonly Decisions[]): string {
  return builds
    .map(({ dockerfile, ...options }, i) => {
      const head = `--- build ${i + 1}: ${i === 0 ? 'first' : changes[i - 1]} ${JSON.stringify({ ...options, files: undefined, images: undefined })}`
      const lines = decisions[i] ?? ['failed']
      return [head, dockerfile, ...lines].join('\n')
    })
    .join('\n')
}

const [from, to] = (process.env.LAMELLA_LIVE_SEEDS ?? '').split('-').map(Number)

describe('cache decisions as BuildKit takes them', () => {
  const seeds = Array.from({ length: SEEDS }, (_, i) => i + 1)
  test.for(seeds)('scenario %i', async (seed) => {
    const history = scenario(seed)
    if (recording) recorded[seed] = (await decideLive(history)).map((it) => it ?? null)
    const want = recorded[seed]?.map((it) => it ?? undefined)
    expect(want, 'recorded').toBeDefined()
    const { own, live } = await compared(history, want!)
    expect(own).toBe(live)
  })

  test.runIf(to !== undefined)('further seeds, live', { timeout: 36_000_000 }, async () => {
    const different: string[] = []
    for (let seed = from!; seed <= to!; seed++) {
      const history = scenario(seed)
      const { own, live } = await compared(history, await decideLive(history))
      if (live !== own) different.push(`seed ${seed}\n${diff(live, own)}`)
    }
    expect(different).toEqual([])
  })
})

function diff(want: string, own: string): string {
  const a = want.split('\n')
  const b = new Set(own.split('\n'))
  const w = new Set(a)
  return [
    ...a.map((line) => (b.has(line) ? `  ${line}` : `- ${line}`)),
    ...own
      .split('\n')
      .filter((line) => !w.has(line))
      .map((line) => `+ ${line}`),
  ].join('\n')
}
