// RUN in a real page: the package as it is published, bundled for a browser, builds in Chromium what it builds in Node, to
// the same digest. Bundled and served here; Chromium posts the result back.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { describe, expect } from 'vitest'
import { findProgram, peerTest } from '../peers.js'

const here = fileURLToPath(new URL('browser/', import.meta.url))
const chromium = findProgram('chromium') ?? findProgram('chromium-browser') ?? findProgram('google-chrome')

/** docs/run.md § In a browser: what a bundler is told. */
const ALIASES: Readonly<Record<string, string>> = {
  'node:buffer': 'buffer',
  'node:events': 'events',
  'node:path': 'path-browserify',
  path: 'path-browserify',
  stream: 'stream-browserify',
  'node:stream': 'stream-browserify',
  'node:stream/promises': join(here, 'none.cjs'),
  'node:url': join(here, 'url.js'),
  'stream/web': join(here, 'web-streams.js'),
  'node:zlib': join(here, 'none.cjs'),
}

const PAGE = `import { run } from './program.js'
const post = (value) => fetch('/result', { method: 'POST', body: JSON.stringify(value) })
addEventListener('error', (event) => post({ failed: String(event.message) }))
run().then(post, (error) => post({ failed: String(error?.stack ?? error) + JSON.stringify(error?.data) }))`

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: here, loader: 'js' },
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    alias: ALIASES,
    logLevel: 'error',
  })
  return outputFiles[0]!.text
}

interface Result {
  readonly failed?: string
  readonly digest: string
  readonly again: string
  readonly outcomes: readonly string[]
  readonly output: string
  readonly files: readonly string[]
  readonly text: string
  readonly list: string
}

/** Opens the page and waits for what it posts. */
async function runInPage(code: string): Promise<Result> {
  const profile = mkdtempSync(join(tmpdir(), 'lamella-chromium-'))
  let answer: (result: Result) => void
  const result = new Promise<Result>((resolve) => (answer = resolve))
  const server = createServer((request, response) => {
    if (request.url === '/result') {
      let body = ''
      request.on('data', (chunk) => (body += chunk))
      request.on('end', () => {
        response.end()
        answer(JSON.parse(body) as Result)
      })
    } else if (request.url === '/page.js') {
      response.writeHead(200, { 'content-type': 'text/javascript; charset=utf-8' }).end(code)
    } else {
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<script type="module" src="/page.js"></script>')
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const options = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
  ]
  const page = spawn(chromium!, [...options, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`], {
    stdio: 'ignore',
    detached: true,
  })
  const ended = new Promise<void>((resolve) => page.once('exit', () => resolve()))
  try {
    return await result
  } finally {
    process.kill(-page.pid!, 'SIGKILL')
    await ended
    server.closeAllConnections()
    server.close()
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

describe('in a page', () => {
  peerTest('RUN gives the image that it gives in Node', chromium !== undefined, async () => {
    const inPage = await runInPage(await bundle())
    expect(inPage.failed).toBeUndefined()
    const program = (await import(pathToFileURL(join(here, 'program.js')).href)) as {
      run(): Promise<Result>
    }
    expect(inPage).toEqual(await program.run())
    expect(inPage).toMatchObject({
      again: inPage.digest,
      output: 'ran\n',
      text: '1\n',
      list: 'out/\nout/a.txt\nout/again.txt\nout/b.txt\nout/run.sh\n',
    })
    expect(inPage.outcomes).not.toContain('miss')
    expect(inPage.files).toContain('out/run.sh 750 7:8')
  })
})
