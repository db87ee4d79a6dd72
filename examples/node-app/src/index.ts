// Entry: starts the service, or with --self-check starts it on a free port, asks it a few questions and leaves.
import { readConfig } from './config.js'
import { createDatabase } from './db.js'
import { createLog } from './lib/log.js'
import { seed } from './seed.js'
import { runSelfCheck } from './self-check.js'
import { startService } from './server.js'

const config = readConfig(process.env, process.argv.slice(2))
const log = createLog(config.quiet)
const db = createDatabase()
await seed(db, config.seedFile)

if (config.selfCheck) {
  process.exitCode = await runSelfCheck(db)
} else {
  const service = await startService(db, config.port, log)
  log(`parcel desk listens on port ${service.port}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void service.stop())
}
