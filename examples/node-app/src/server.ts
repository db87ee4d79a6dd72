// The HTTP service around a database.
import type { AddressInfo } from 'node:net'
import { createServer } from '@desk/http'
import type { Database } from './db.js'
import type { Log } from './lib/log.js'
import { createRoutes } from './routes/index.js'

export interface Service {
  readonly port: number
  stop(): Promise<void>
}

export async function startService(db: Database, port: number, log: Log): Promise<Service> {
  const server = createServer(createRoutes(db), {
    onAnswer: (method, path, status) => log(`${method} ${path} ${status}`),
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
