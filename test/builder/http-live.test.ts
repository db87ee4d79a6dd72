// ADD of URLs beside BuildKit's: the same responses give the same files, times, keys and refusals. Recorded, see
// live-buildkit.ts.
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { recordId } from '../../src/builder/key.js'
import { digestOf } from '../../src/digest.js'
import { encodeTar } from '../../src/store/index.js'
import { buildCase, failureOf, NOW, textOf } from './fixtures.js'
import { readAnswers, recordAnswers, type LiveCase } from './live-buildkit.js'

const recordedPath = join(dirname(fileURLToPath(import.meta.url)), '../buildkit/recorded/http.json')

const LAST_MODIFIED = { 'last-modified': 'Thu, 01 Jan 1970 00:16:40 GMT' }
const serve = (body: string | Uint8Array, headers: Record<string, string> = {}, status = 200) => ({
  body,
  headers,
  status,
})

const entry = {
  kind: 'file',
  path: 'a',
  mode: 0o640,
  uid: 7,
  gid: 8,
  mtimeSec: 5,
  mtimeNsec: 0,
  size: 1,
} as const
const tar = Buffer.concat([...encodeTar([{ ...entry, content: [Buffer.from('1')] }])])

/** What the server gives for a path. */
const PAGES: Readonly<Record<string, ReturnType<typeof serve>>> = {
  '/f': serve('hello'),
  '/dir/f.txt': serve('hello', LAST_MODIFIED),
  '/dir/': serve('index'),
  '/': serve('root'),
  '/a b': serve('blank'),
  '/ä': serve('umlaut'),
  '/x%2Fy': serve('slash'),
  '/empty': serve(''),
  '/etag': serve('tagged', { etag: '"1"' }),
  '/named': serve('named', { 'content-disposition': 'attachment; filename="other.txt"' }),
  '/moved': serve('', { location: '/dir/f.txt' }, 302),
  '/gone': serve('', { location: '/missing' }, 301),
  '/loop': serve('', { location: '/loop' }, 302),
  '/old': serve('old', { 'last-modified': 'yesterday' }),
  '/future': serve('future', { 'last-modified': 'Fri, 01 Jan 2100 00:00:00 GMT' }),
  '/rfc850': serve('850', { 'last-modified': 'Thursday, 01-Jan-70 00:16:40 GMT' }),
  '/x.tar': serve(tar),
  '/x.tar.gz': serve(gzipSync(tar)),
  '/created': serve('created', {}, 201),
  '/error': serve('broken', {}, 500),
  '/forbidden': serve('no', {}, 403),
}

interface HttpCase extends LiveCase {
  /** A part of both messages. */
  readonly fails?: string
}

const add = (name: string, line: string, fails?: string): HttpCase => ({
  name,
  lines: line,
  ...(fails === undefined ? {} : { fails }),
})

const CASES: readonly HttpCase[] = [
  add('into a directory', 'ADD $S/f /d/'),
  add('under a name', 'ADD $S/f /g'),
  add('Last-Modified is the time', 'ADD $S/dir/f.txt /d/'),
  add('a Last-Modified in the older form', 'ADD $S/rfc850 /d/'),
  add('a Last-Modified that is no time', 'ADD $S/old /d/'),
  add('a Last-Modified to come', 'ADD $S/future /d/'),
  add('a query is not part of the name', 'ADD $S/f?x=1&y=/z /d/'),
  add('a fragment is not part of the name', 'ADD $S/f#top /d/'),
  add('a path that ends in a slash', 'ADD $S/dir/ /d/'),
  add('the root', 'ADD $S/ /d/'),
  add('no path', 'ADD $S /d/'),
  add('an escaped blank', 'ADD $S/a%20b /d/'),
  add('an escaped letter', 'ADD $S/%C3%A4 /d/'),
  add('an escaped slash', 'ADD $S/x%2Fy /d/'),
  add('an empty body', 'ADD $S/empty /d/'),
  add('an ETag', 'ADD $S/etag /d/'),
  add('Content-Disposition is not looked at', 'ADD $S/named /d/'),
  add('a redirect keeps the name that was asked for', 'ADD $S/moved /d/'),
  add('201 is well', 'ADD $S/created /d/'),
  add('chmod and chown', 'ADD --chown=3:4 --chmod=755 $S/f /d/'),
  add('symbolic chmod', 'ADD --chmod=u+x,go+r $S/f /d/'),
  add('several', 'ADD $S/f $S/empty /d/'),
  add('link', 'ADD --link $S/f /d/'),
  add('an archive stays one', 'ADD $S/x.tar.gz /d/'),
  add('unpack', 'ADD --unpack $S/x.tar.gz /d/'),
  add('unpack a plain one', 'ADD --unpack $S/x.tar /d/'),
  add('unpack of what is none', 'ADD --unpack $S/f /d/'),
  add('unpack with an owner', 'ADD --unpack --chown=3:4 $S/x.tar /d/'),
  add('unpack with a mode', 'ADD --unpack --chmod=700 $S/x.tar /d/'),
  add('checksum', `ADD --checksum=${digestOf('hello')} $S/dir/f.txt /d/`),
  add('exclude', 'ADD --exclude=f $S/f $S/etag /d/'),
  add('another checksum', `ADD --checksum=${digestOf('other')} $S/f /d/`, 'digest mismatch'),
  add('404', 'ADD $S/missing /d/', 'invalid response status 404'),
  add('500', 'ADD $S/error /d/', 'invalid response status 500'),
  add('403', 'ADD $S/forbidden /d/', 'invalid response status 403'),
  add('a redirect to nothing', 'ADD $S/gone /d/', 'invalid response status 404'),
  add('a redirect to itself', 'ADD $S/loop /d/', ''),
  add('COPY', 'COPY $S/f /d/', "source can't be a URL for COPY"),
  add('several without a directory', 'ADD $S/f $S/empty /d'),
]

let server: Server
let base: string

beforeAll(async () => {
  server = createServer((request, response) =>
    answer(request.url!, request.headers['if-none-match'], response),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await recordAnswers(recordedPath, CASES, {
    url,
    rename: (text) => text.replaceAll(base, '$S'),
    times: true,
  })
}, 600_000)

afterAll(() => void server.close())

function url(text: string): string {
  return text.replaceAll('$S', base)
}

function answer(path: string, known: string | undefined, response: ServerResponse): void {
  const name = path.replace(/\?.*$/, '')
  const page = PAGES[name] ?? PAGES[decodeURI(name)]
  if (page === undefined) response.writeHead(404).end()
  else if (known !== undefined && known === page.headers.etag) response.writeHead(304).end()
  else response.writeHead(page.status, page.headers).end(page.body)
}

/** Files with times, of which the build's own are `@now`; directories without. */
function timed(tree: Parameters<typeof textOf>[0]): Record<string, string> {
  const text = textOf(tree, true)
  for (const [path, value] of Object.entries(text))
    if (path.endsWith('/')) text[path] = value.replace(/ ?@\w+/, '')
  return text
}

describe('as BuildKit', () => {
  const recorded = readAnswers(recordedPath)

  test.each(CASES.filter(({ fails }) => fails === undefined))('$name', async (it) => {
    expect(NOW).toBeGreaterThan(0)
    const { tree, steps } = await buildCase({ dockerfile: `FROM scratch\n${url(it.lines!)}\n` })
    const answered = recorded[it.name]!
    expect(timed(tree)).toEqual(answered.tree)
    for (const { vertex } of steps) {
      if (vertex.op.kind !== 'http') continue
      for await (const { digest } of vertex.op.cacheMaps())
        expect(answered.keys).toContain(recordId(digest, 0))
    }
  })

  test.each(CASES.filter(({ fails }) => fails !== undefined))('$name is refused', async (it) => {
    const error = await failureOf({ dockerfile: `FROM scratch\n${url(it.lines!)}\n` })
    expect(error.message).toContain(it.fails)
    expect(error).toMatchObject({ location: { range: { start: { line: 2 } } } })
    expect(recorded[it.name]!.error).toContain(it.fails)
  })
})
