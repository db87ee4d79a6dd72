// COPY and ADD of files and folders.
import { COPY_ROWS } from '../../builder/data/copy.js'
import type { BuildCase } from '../case.js'

/** Rows of the rule table, as far as their bases can be told to BuildKit. */
export const COPY_CASES: readonly BuildCase[] = COPY_ROWS.filter(
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
