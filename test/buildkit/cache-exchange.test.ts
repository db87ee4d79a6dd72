// Caches that change hands with a live BuildKit: what lamella exported makes every step CACHED there, and the other way
// round; inline records are read by both. Runs where `docker buildx` answers and LAMELLA_LIVE_BUILDKIT=1 allows pruning it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMemoryStore } from '../../src/store/index.js'
import { CACHE_CASES } from './cache-cases.js'
import { buildLive, isStep, pruneLive, serve } from './cache-live.js'
import { buildOwn, writeBases, writeProject, type Project } from './cache-projects.js'

const home = mkdtempSync(join(tmpdir(), 'lamella-exchange-'))
const bases = join(home, 'bases')

beforeAll(() => writeBases(bases))
afterAll(() => rmSync(home, { recursive: true, force: true }))

/** One row of each kind: every way in which keys are made, and stacks of several layers. */
const NAMES = [
  'the usual',
  'copy: several files',
  'copy: a wildcard with two matches',
  'copy --chown: names',
  'copy --link: twice, then RUN',
  'copy --link: the same file on two bases',
  'copy --from: two stages',
  'copy --exclude: a wildcard',
  'copy: two here-documents',
  'copy: everything',
  'run: a here-document with an interpreter',
  'run --mount: one of each',
  'run --mount: bind a stage',
  'stages: a diamond',
  'stages: equal by content only',
  'base: ONBUILD of a stage',
  'workdir: after USER',
  'context: both contexts',
  'http: --link',
]

/** Steps that were not found. */
type Ran = readonly string[]

async function ranLive(project: Project, folder: string, source: string, server: string): Promise<Ran> {
  const more = ['--cache-from', `type=local,src=${source}`]
  const { ok, steps, error } = await buildLive(project, { folder, bases, server, more })
  if (!ok) throw new Error(error)
  return steps
    .filter(({ name, cached, isRoot }) => isStep(name) && !cached && !isRoot)
    .map(({ name }) => name)
}

async function ranOwn(project: Project, folder: string, source: string): Promise<Ran> {
  const { steps } = await buildOwn(project, {
    folder,
    bases,
    store: createMemoryStore(),
    more: { cacheFrom: [{ type: 'local', src: source }] },
  })
  return steps
    .filter(
      ({ vertex, outcome }) => isStep(vertex.label.name) && outcome !== 'hit' && vertex.inputs.length > 0,
    )
    .map(({ vertex }) => vertex.label.name)
}

describe.runIf(process.env.LAMELLA_LIVE_BUILDKIT === '1')('caches that change hands', () => {
  test.each(NAMES)('%s', async (name) => {
    const project = CACHE_CASES.get(name)!
    const server = await serve(() => project)
    const folder = join(home, name.replaceAll(/\W+/g, '-'))
    writeProject(project, folder)
    try {
      const own = `${folder}.own`
      await buildOwn(project, {
        folder,
        bases,
        more: { cacheTo: [{ type: 'local', dest: own, mode: 'max' }] },
      })
      await pruneLive()
      expect(await ranLive(project, folder, own, server.address)).toEqual([])

      const live = `${folder}.live`
      await pruneLive()
      const more = [`--output=type=oci,dest=${folder}.tar`, '--cache-to', `type=local,dest=${live},mode=max`]
      const built = await buildLive(project, { folder, bases, server: server.address, more })
      expect(built.error).toBe('')
      expect(await ranOwn(project, folder, live)).toEqual([])
    } finally {
      server.close()
    }
  })
})
