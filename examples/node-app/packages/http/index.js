// A router whose handlers return values: what a handler returns is sent as JSON, what it throws becomes an error answer.
import { createServer as createHttpServer } from 'node:http'
import { compilePattern } from './pattern.js'

const BODY_LIMIT_BYTES = 64 * 1024

export class HttpError extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

export function createRouter() {
  const routes = []
  const router = {
    on(method, pattern, handler) {
      routes.push({ method, match: compilePattern(pattern), handler })
      return router
    },
    find(method, path) {
      let known = false
      for (const route of routes) {
        const params = route.match(path)
        if (params === undefined) continue
        if (route.method === method) return { handler: route.handler, params }
        known = true
      }
      throw known ? new HttpError(405, `${method} is not allowed here`) : new HttpError(404, `no such page: ${path}`)
    },
  }
  return router
}

async function readJson(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > BODY_LIMIT_BYTES) throw new HttpError(413, 'the body is too large')
    chunks.push(chunk)
  }
  if (size === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new HttpError(400, 'the body is not JSON')
  }
}

function send(response, status, value) {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

export function createServer(router, { onAnswer } = {}) {
  return createHttpServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const method = request.method ?? 'GET'
    try {
      const { handler, params } = router.find(method, url.pathname)
      const body = method === 'GET' ? undefined : await readJson(request)
      send(response, method === 'POST' ? 201 : 200, await handler({ params, query: url.searchParams, body }))
    } catch (error) {
      const status = error instanceof HttpError ? error.status : 500
      send(response, status, { error: status === 500 ? 'internal error' : error.message })
    }
    onAnswer?.(method, url.pathname, response.statusCode)
  })
}
