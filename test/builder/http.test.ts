// ADD of URLs: against a fetch that answers as told, and once against a real server.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { digestOf } from '../../src/digest.js'
import type { Fetch } from '../../src/builder/ops/http.js'
import { createMemoryStore, encodeTar, type Store } from '../../src/store/index.js'
import { buildCase, failureOf, fixedEnv, textOf } from './fixtures.js'

interface Answer {
  readonly status?: number
  readonly body?: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
}

/** A fetch that gives the answers one after the other, the last one again and again, and notes the requests. */
function server(...answers: readonly Answer[]) {
  const requests: { readonly url: string; readonly headers: Record<string, string> }[] = []
  const fetch: Fetch = (url, { headers }) => {
    const {
      status = 200,
      body = '',
      headers: own = {},
    } = answers[Math.min(requests.length, answers.length - 1)]!
    requests.push({ url, headers })
    const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
    return Promise.resolve({
      status,
      statusText: '',
      headers: { get: (name) => own[name.toLowerCase()] ?? null },
      arrayBuffer: () => Promise.resolve(Uint8Array.from(bytes).buffer),
    })
  }
  return { fetch, requests }
}

const URL_A = 'http://example.com/dir/a.txt?x=1'

function add(lines: string, fetch: Fetch, store: Store = createMemoryStore({ env: fixedEnv })) {
  return buildCase({ dockerfile: `FROM scratch\n${lines}\n`, options: { fetch } }, store)
}

// facts 1.6; source/http/source.go
describe('ADD URL', () => {
  test("a file of mode 600 under the name of the URL's path", async () => {
    const { tree } = await add(`ADD ${URL_A} /o/`, server({ body: 'hi' }).fetch)
    expect(textOf(tree, false)).toEqual({ 'o/': '', 'o/a.txt': '600 =hi' })
  })

  test.each([
    ['to a name', `ADD ${URL_A} /x`, { x: '600 =hi' }],
    ['without a path', 'ADD http://example.com /o/', { 'o/': '', 'o/__unnamed__': '600 =hi' }],
    ['with --chown and --chmod', `ADD --chown=1:2 --chmod=755 ${URL_A} /x`, { x: '755 1:2 =hi' }],
    [
      'two into a directory',
      `ADD ${URL_A} http://example.com/b /o/`,
      { 'o/': '', 'o/a.txt': '600 =hi', 'o/b': '600 =hi' },
    ],
  ])('%s', async (_rule, lines, want) => {
    const { tree } = await add(lines, server({ body: 'hi' }).fetch)
    expect(textOf(tree, false)).toEqual(want)
  })

  test('the time is Last-Modified, or 1970', async () => {
    const headers = { 'last-modified': 'Thu, 01 Jan 1970 00:16:40 GMT' }
    expect((await add(`ADD ${URL_A} /x`, server({ headers }).fetch)).tree.lookup('x')!.mtimeSec).toBe(1000)
    expect((await add(`ADD ${URL_A} /x`, server({}).fetch)).tree.lookup('x')!.mtimeSec).toBe(0)
  })

  test('an archive is unpacked only with --unpack', async () => {
    const entry = {
      kind: 'file',
      path: 'a',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeSec: 0,
      mtimeNsec: 0,
      size: 1,
    } as const
    const body = Uint8Array.from(Buffer.concat([...encodeTar([{ ...entry, content: [Buffer.from('1')] }])]))
    const { fetch } = server({ body })
    expect(Object.keys(textOf((await add('ADD http://e.com/x.tar /o/', fetch)).tree, false))).toEqual([
      'o/',
      'o/x.tar',
    ])
    expect(textOf((await add('ADD --unpack=true http://e.com/x.tar /o/', fetch)).tree, false)).toEqual({
      'o/': '',
      'o/a': '=1',
    })
  })

  test('is asked again by ETag; 304 is a hit', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const { fetch, requests } = server({ body: 'hi', headers: { etag: '"1"' } }, { status: 304 })
    const first = await add(`ADD ${URL_A} /x`, fetch, store)
    const second = await add(`ADD ${URL_A} /x`, fetch, store)
    expect(requests.map(({ headers }) => headers)).toEqual([{}, { 'If-None-Match': '"1"' }])
    expect(second.image).toEqual(first.image)
    expect(second.steps.map(({ outcome }) => outcome)).not.toContain('miss')
  })

  test('is asked again by Last-Modified where there is no ETag', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const headers = { 'last-modified': 'Thu, 01 Jan 1970 00:16:40 GMT' }
    const { fetch, requests } = server({ body: 'hi', headers }, { status: 304 })
    await add(`ADD ${URL_A} /x`, fetch, store)
    const { tree } = await add(`ADD ${URL_A} /x`, fetch, store)
    expect(requests[1]!.headers).toEqual({ 'If-Modified-Since': headers['last-modified'] })
    expect(tree.lookup('x')!.mtimeSec).toBe(1000)
  })

  test('other content is a miss; the same content served anew is a hit', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const { fetch } = server({ body: 'a' }, { body: 'a' }, { body: 'b' })
    const outcome = async () =>
      (await add(`ADD ${URL_A} /x`, fetch, store)).steps.find(({ vertex }) => vertex.op.kind === 'file')!
        .outcome
    expect([await outcome(), await outcome(), await outcome()]).toEqual(['miss', 'hit', 'miss'])
  })

  test('--checksum: what is known is not asked for again', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const { fetch, requests } = server({ body: 'hi' })
    const line = `ADD --checksum=${digestOf('hi')} ${URL_A} /x`
    await add(line, fetch, store)
    await add(line, fetch, store)
    expect(requests).toHaveLength(1)
  })

  test('--checksum that does not match', async () => {
    const { fetch } = server({ body: 'other' })
    const line = `ADD --checksum=${digestOf('hi')} ${URL_A} /x`
    await expect(add(line, fetch)).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      location: { range: { start: { line: 2 } } },
      data: { expected: digestOf('hi'), actual: digestOf('other') },
    })
  })

  test('what fails says why, with the place', async () => {
    const refuse: Fetch = () => Promise.reject(new TypeError('fetch failed'))
    for (const [fetch, message] of [
      [server({ status: 404 }).fetch, /invalid response status 404/],
      [refuse, /fetch failed/],
    ] as const) {
      const failure = await failureOf({ dockerfile: `FROM scratch\nADD ${URL_A} /x\n`, options: { fetch } })
      expect(failure).toMatchObject({ code: 'FETCH_FAILED', location: { range: { start: { line: 2 } } } })
      expect(failure.message).toMatch(message)
    }
  })

  test('from a real server', async () => {
    const http = createServer((request, response) => {
      if (request.headers['if-none-match'] === '"v1"') return void response.writeHead(304).end()
      response.writeHead(200, { etag: '"v1"' }).end('served')
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void http.close())
    const { port } = http.address() as AddressInfo
    const store = createMemoryStore({ env: fixedEnv })
    for (let i = 0; i < 2; i++) {
      const { tree } = await buildCase(
        { dockerfile: `FROM scratch\nADD http://127.0.0.1:${port}/f /f\n` },
        store,
      )
      expect(textOf(tree, false)).toEqual({ f: '600 =served' })
    }
  })
})
