// Exports of the build cache against those of a real BuildKit (0.25): the same records with the same digests, links,
// selectors and results. What BuildKit wrote is recorded; LAMELLA_RECORD_BUILDKIT=1 asks a live one again.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CACHE_CASES } from './cache-cases.js'
import { describeDocument, type Document } from './cache-documents.js'
import { buildLive, pruneLive, readCacheFolder, serve } from './cache-live.js'
import { buildOwn, writeBases, writeProject, type Project } from './cache-projects.js'

const recording = process.env.LAMELLA_RECORD_BUILDKIT === '1'
const FILE = new URL('recorded/cacheconfig.json', import.meta.url)
const only = process.env.LAMELLA_ONLY

interface Recorded {
  readonly max: readonly string[]
  readonly min: readonly string[]
}

const recorded = (existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {}) as Record<string, Recorded>

const home = mkdtempSync(join(tmpdir(), 'lamella-cacheconfig-'))
const bases = join(home, 'bases')
let count = 0
const nextFolder = (): string => join(home, `p${++count}`)

beforeAll(() => writeBases(bases))
afterAll(() => {
  if (recording) writeFileSync(FILE, `${JSON.stringify(recorded, undefined, 1)}\n`)
  rmSync(home, { recursive: true, force: true })
})

afterEach(() => {
  for (const name of readdirSync(home)) if (name !== 'bases') rmSync(join(home, name), { recursive: true })
})

async function recordCase(project: Project): Promise<Recorded> {
  const server = await serve(() => project)
  try {
    const export1 = async (mode: string): Promise<string[]> => {
      const folder = nextFolder()
      writeProject(project, folder)
      await pruneLive()
      const dest = `${folder}.cache`
      // An image, not `cacheonly`: merges that nothing looked into would have no result.
      const output = `--output=type=oci,dest=${folder}.tar`
      const more = [output, '--cache-to', `type=local,dest=${dest},mode=${mode}`]
      const live = await buildLive(project, { folder, bases, server: server.address, more })
      if (!live.ok) throw new Error(live.error)
      if (!existsSync(join(dest, 'index.json'))) return []
      return describeDocument(readCacheFolder(dest).config as Document)
    }
    return { max: await export1('max'), min: await export1('min') }
  } finally {
    server.close()
  }
}

async function exportOwn(project: Project, mode: 'min' | 'max'): Promise<string[]> {
  const folder = nextFolder()
  writeProject(project, folder)
  const dest = `${folder}.cache`
  await buildOwn(project, { folder, bases, more: { cacheTo: [{ type: 'local', dest, mode }] } })
  return existsSync(join(dest, 'index.json'))
    ? describeDocument(readCacheFolder(dest).config as Document)
    : []
}

/** A file of mode 000 is read by root alone. */
const canRead = ({ files = {} }: Project) =>
  process.getuid?.() === 0 || !Object.values(files).some((text) => text.startsWith('000 '))

describe('cacheconfig.v0 as BuildKit exports it', () => {
  const chosen = [...CACHE_CASES].filter(([name]) => only === undefined || name.includes(only))
  test.for(chosen.filter(([, project]) => canRead(project)))('%s', async ([name, project]) => {
    if (recording) recorded[name] = await recordCase(project)
    const want = recorded[name]
    expect(want, 'recorded').toBeDefined()
    expect(await exportOwn(project, 'max')).toEqual(want!.max)
    expect(await exportOwn(project, 'min')).toEqual(want!.min)
  })
})
