// COPY and ADD of files and folders.
import { COPY_ROWS } from '../../builder/data/copy.js'
import type { BuildCase } from '../case.js'

/** Rows of the rule table, as far as their bases can be told to BuildKit. */
const ROWS: readonly BuildCase[] = COPY_ROWS.filter(
  // The Dockerfile frontend of Docker 28 has no --parents.
  ({ lines }) => !lines.includes('--parents'),
).map((row, i): BuildCase => {
  const stage = row.base === undefined ? 'FROM scratch' : 'FROM base'
  return {
    name: `${i}: ${row.rule}`,
    dockerfile: `${stage}\n${row.lines}\n`,
    ...(row.context === undefined ? {} : { context: row.context }),
    ...(row.base === undefined ? {} : { images: { base: { files: row.base } } }),
    epoch: 1_600_000_000,
  }
})

const SOCKET = { 'd/s': '700 @1400000000 sock', 'd/e': '=1' }

/** A socket arrives as an empty file. */
const SOCKETS: readonly BuildCase[] = [
  'COPY d /o/',
  'COPY d/s /o/',
  'COPY d/* /o',
  'ADD --chmod=640 --chown=5:6 d /o/',
].map((line) => ({ name: `a socket: ${line}`, dockerfile: `FROM scratch\n${line}\n`, context: SOCKET }))

export const COPY_CASES: readonly BuildCase[] = [
  ...ROWS,
  ...SOCKETS,
  {
    name: 'a socket: of a named context',
    dockerfile: 'FROM scratch\nCOPY --from=o d /o/\n',
    contexts: { o: SOCKET },
  },
]
