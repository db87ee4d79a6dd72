// Contexts behind URLs, over a server of this machine. What BuildKit 0.25 does with the same was looked up beside each rule.
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { build } from '../../src/builder/build.js'
import { tarContext } from '../../src/builder/context.js'
import { createMemoryStore, encodeTar, type Store } from '../../src/store/index.js'
import { openTree } from '../../src/unionfs/index.js'
import { fixedEnv, textOf } from './fixtures.js'

const BIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

const FILES: Readonly<Record<string, string>> = {
  Dockerfile: 'FROM scratch\nCOPY . /\n',
  'other.Dockerfile': 'FROM scratch\nCOPY d/f /g\n',
  '.dockerignore': 'x.log\n',
  'd/f': '1',
  'x.log': 'log',
}

function tar(files = FILES): Uint8Array {
  const entries = Object.entries(files).map(([path, text]) => ({
    kind: 'file' as const,
    path,
    mode: 0o640,
    uid: 7,
    gid: 8,
    size: Buffer.byteLength(text),
    mtimeSec: 5,
    mtimeNsec: 0,
    content: [Buffer.from(text)],
  }))
  return Uint8Array.from(Buffer.concat([...encodeTar(entries)]))
}

interface Body {
  readonly bytes: Uint8Array
  readonly etag?: string
}

const bodies = new Map<string, Body>()
let server: Server
let base: string
const asked: { path: string; status: number }[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? ''
    const body = bodies.get(path)
    const isSame = body?.etag !== undefined && request.headers['if-none-match'] === body.etag
    const status = body === undefined ? 404 : isSame ? 304 : 200
    asked.push({ path, status })
    response.writeHead(status, body?.etag === undefined ? {} : { etag: body.etag })
    response.end(status === 200 ? body!.bytes : undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))
beforeEach(() => {
  bodies.clear()
  asked.length = 0
})

let store: Store
beforeEach(() => {
  store = createMemoryStore({ env: fixedEnv })
})

async function built(context: string, more: Partial<Parameters<typeof build>[0]> = {}) {
  const result = await build({ store, env: fixedEnv, context, ...more })
  const tree = await openTree(store, result.layers)
  return { ...result, tree, files: textOf(tree, false) }
}

describe('context by URL', () => {
  // frontend/dockerui/context.go isArchive: gzip, bzip2, xz, or a header of a tar
  test.each([
    ['plain', tar()],
    ['gzip', gzipSync(tar())],
  ])('an archive, %s: unpacked with its owners; no ignore file counts', async (_, bytes) => {
    bodies.set('/ctx', { bytes })
    const { files, tree } = await built(`${base}/ctx`)
    expect(Object.keys(files).toSorted()).toEqual([
      '.dockerignore',
      'Dockerfile',
      'd/',
      'd/f',
      'other.Dockerfile',
      'x.log',
    ])
    expect(tree.lookup('d/f')).toMatchObject({ mode: 0o640, uid: 7, gid: 8, mtimeSec: 5 })
  })

  test('another Dockerfile of the archive, by its path in it', async () => {
    bodies.set('/ctx', { bytes: gzipSync(tar()) })
    const { files } = await built(`${base}/ctx`, { dockerfile: 'other.Dockerfile' })
    expect(Object.keys(files)).toEqual(['g'])
  })

  // initContext: what is no archive is the Dockerfile, and a context with that one file, whose name is `context`
  test('a Dockerfile alone', async () => {
    bodies.set('/Dockerfile.x', { bytes: Buffer.from('FROM scratch\nCOPY context /me\n') })
    const { files } = await built(`${base}/Dockerfile.x`, { dockerfile: 'ignored' })
    expect(Object.keys(files)).toEqual(['me'])
  })

  test('the server is asked again, and the same content is all hits', async () => {
    bodies.set('/ctx', { bytes: tar(), etag: '"1"' })
    const first = await built(`${base}/ctx`)
    const second = await built(`${base}/ctx`)
    expect(asked.map(({ status }) => status)).toEqual([200, 304])
    expect(second.image.digest).toBe(first.image.digest)
    expect(second.steps.map(({ outcome }) => outcome)).not.toContain('miss')
    bodies.set('/ctx', { bytes: tar({ ...FILES, 'd/f': '2' }), etag: '"2"' })
    expect((await built(`${base}/ctx`)).files['d/f']).toContain('=2')
  })

  test('what is not there, and a damaged archive', async () => {
    await expect(built(`${base}/none`)).rejects.toMatchObject({ code: 'FETCH_FAILED' })
    bodies.set('/ctx', { bytes: gzipSync(tar()).subarray(0, 60) })
    await expect(built(`${base}/ctx`)).rejects.toThrow()
  })

  test('a named context', async () => {
    bodies.set('/more.tgz', { bytes: gzipSync(tar({ n: '1' })) })
    const { files } = await build({
      store,
      env: fixedEnv,
      dockerfile: { text: 'FROM scratch\nCOPY --from=more n /\n' },
      contexts: { more: `${base}/more.tgz` },
    }).then(async ({ layers }) => ({ files: textOf(await openTree(store, layers), false) }))
    expect(Object.keys(files)).toEqual(['n'])
  })
})

test('the command line checks and builds what is behind a URL', async () => {
  bodies.set('/Dockerfile', { bytes: Buffer.from('FROM scratch\nMAINTAINER me\nCOPY nope /\n') })
  const lamella = async (...args: string[]): Promise<{ status: unknown; text: string }> => {
    const child = spawn(process.execPath, [BIN, 'build', ...args, `${base}/Dockerfile`], {
      env: { ...process.env, LAMELLA_STORE: mkdtempSync(join(tmpdir(), 'lamella-http-')) },
    })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)))
    return { status: await new Promise((resolve) => child.on('close', resolve)), text }
  }
  const check = await lamella('--check')
  expect(check.text).toContain('MaintainerDeprecated')
  expect(check.status).toBe(1)
  const failed = await lamella()
  expect(failed.text).toContain('context:3\n--------------------\n   3 | >>> COPY nope /\n')
  expect(failed.status).toBe(1)
})

// A tar on stdin travels the same way; docker build - < x.tar left .dockerignore and what it names in the image [live].
test('a tar as context: no ignore file counts', async () => {
  const { layers } = await build({ store, env: fixedEnv, context: await tarContext(tar()) })
  expect(Object.keys(textOf(await openTree(store, layers), false))).toContain('x.log')
})
