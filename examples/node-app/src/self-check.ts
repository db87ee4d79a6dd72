// Asks a running service of its own the questions that a smoke test would ask. Exit code 0 when every answer is right.
import type { Database } from './db.js'
import { startService } from './server.js'

interface Answer {
  readonly status?: string
  readonly parcels?: readonly unknown[]
  readonly price?: { readonly cents: number }
}

interface Question {
  readonly name: string
  readonly path: string
  readonly body?: unknown
  readonly want: (status: number, answer: Answer) => boolean
}

const QUESTIONS: readonly Question[] = [
  { name: 'health', path: '/health', want: (status, answer) => status === 200 && answer.status === 'ok' },
  { name: 'list', path: '/parcels', want: (status, answer) => status === 200 && Array.isArray(answer.parcels) },
  {
    name: 'register',
    path: '/parcels',
    body: { recipient: 'Self Check', city: 'Gent', grams: 700 },
    want: (status, answer) => status === 201 && answer.status === 'REGISTERED' && answer.price?.cents === 590,
  },
  { name: 'bad input', path: '/parcels', body: { recipient: '' }, want: (status) => status === 400 },
  { name: 'not found', path: '/nowhere', want: (status) => status === 404 },
]

export async function runSelfCheck(db: Database): Promise<number> {
  const service = await startService(db, 0, () => undefined)
  let failures = 0
  for (const { name, path, body, want } of QUESTIONS) {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const response = await fetch(`http://127.0.0.1:${service.port}${path}`, { ...init, headers: { connection: 'close' } })
    const right = want(response.status, (await response.json()) as Answer)
    if (!right) failures++
    console.log(`${right ? 'ok  ' : 'FAIL'} ${name}: ${response.status}`)
  }
  await service.stop()
  return failures === 0 ? 0 : 1
}
