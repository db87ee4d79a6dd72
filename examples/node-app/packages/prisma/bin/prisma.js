#!/usr/bin/env node
// `prisma generate`: reads the schema next to the caller and writes the client package into node_modules.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { generateClient } from '../lib/generate.js'
import { parseSchema, SCHEMA_PLACES } from '../lib/schema.js'

const [command] = process.argv.slice(2)
if (command !== 'generate') {
  console.error('usage: prisma generate')
  process.exit(2)
}
const place = SCHEMA_PLACES.find((path) => existsSync(path))
if (place === undefined) {
  console.error(`no schema found; looked for ${SCHEMA_PLACES.join(', ')}`)
  process.exit(1)
}
try {
  const files = generateClient(parseSchema(readFileSync(place, 'utf8')))
  for (const [path, text] of files) {
    const target = join('node_modules', path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text)
  }
  console.log(`Generated @desk/client from ${place} (${files.size} files)`)
} catch (error) {
  console.error(`${place}: ${error.message}`)
  process.exit(1)
}
