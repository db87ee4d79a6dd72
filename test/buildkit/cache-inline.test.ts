// Inline caches (`type=inline`: records in the image's config) against those of a real BuildKit, as text with the times left
// out. What BuildKit wrote is recorded; LAMELLA_RECORD_BUILDKIT=1 asks a live one again.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMemoryStore, readBlob } from '../../src/store/index.js'
import { CACHE_CASES } from './cache-cases.js'
import { buildLive, pruneLive, serve } from './cache-live.js'
import { buildOwn, writeBases, writeProject, type Project } from './cache-projects.js'

const recording = process.env.LAMELLA_RECORD_BUILDKIT === '1'
const FILE = new URL('recorded/cache-inline.json', import.meta.url)
const recorded = (existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {}) as Record<string, string>

const home = mkdtempSync(join(tmpdir(), 'lamella-inline-'))
const bases = join(home, 'bases')

beforeAll(() => writeBases(bases))
afterAll(() => {
  if (recording) writeFileSync(FILE, `${JSON.stringify(recorded, undefined, 1)}\n`)
  rmSync(home, { recursive: true, force: true })
})

const NAMES = [
  'the usual',
  'copy: a file',
  'copy: several files',
  'copy: a wildcard with two matches',
  'copy --chown: names',
  'copy --link: a file',
  'copy --link: on scratch',
  'copy --link: twice',
  'copy --link: twice, then RUN',
  'copy --from: of a RUN, into a RUN',
  'copy --from: all of a stage',
  'copy: two here-documents',
  'run: two',
  'run --mount: one of each',
  'stages: from a stage',
  'stages: a diamond',
  'base: ONBUILD of a stage',
  'workdir: after USER',
  'workdir',
  'config only',
  'context: both contexts',
  'http: a file',
]

/** The field of a config, decoded; the times of the build are left out. */
function inlineOf(config: Uint8Array | string): string {
  const { 'moby.buildkit.cache.v0': field } = JSON.parse(Buffer.from(config).toString('utf8')) as {
    'moby.buildkit.cache.v0'?: string
  }
  if (field === undefined) return 'none'
  return Buffer.from(field, 'base64')
    .toString('utf8')
    .replaceAll(/"createdAt":"[^"]*"/g, '"createdAt":"…"')
}

async function recordCase(name: string, project: Project): Promise<string> {
  const server = await serve(() => project)
  const folder = join(home, `live-${name.replaceAll(/\W+/g, '-')}`)
  try {
    writeProject(project, folder)
    await pruneLive()
    const more = [`--output=type=oci,dest=${folder}.tar`, '--cache-to=type=inline']
    const live = await buildLive(project, { folder, bases, server: server.address, more })
    if (!live.ok) throw new Error(live.error)
    const json = (path: string): unknown =>
      JSON.parse(execFileSync('tar', ['-xOf', `${folder}.tar`, path]).toString())
    const blob = (digest: string): string => `blobs/sha256/${digest.slice(7)}`
    const { manifests } = json('index.json') as { manifests: { digest: string }[] }
    const { config } = json(blob(manifests[0]!.digest)) as { config: { digest: string } }
    return inlineOf(JSON.stringify(json(blob(config.digest))))
  } finally {
    server.close()
  }
}

describe('inline caches as BuildKit writes them', () => {
  test.for(NAMES)('%s', async (name) => {
    const project = CACHE_CASES.get(name)!
    if (recording) recorded[name] = await recordCase(name, project)
    const folder = join(home, `own-${name.replaceAll(/\W+/g, '-')}`)
    writeProject(project, folder)
    const store = createMemoryStore()
    const built = await buildOwn(project, { folder, bases, store, more: { cacheTo: [{ type: 'inline' }] } })
    expect(inlineOf(await readBlob(store.blobs, built.configDigest))).toBe(recorded[name])
  })
})
