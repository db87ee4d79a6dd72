// How an error looks to a person: where it is, the source line with the place marked, what is wrong, and its code.
// Errors are told apart by their fields, not their classes: loading the library to print one would cost every start.
import type { SourceLocation } from 'lamella'
import { UsageError } from './command.js'

interface Described {
  readonly code?: unknown
  readonly location?: SourceLocation | undefined
}

/** Texts for errors that their command words itself. */
const reports = new WeakMap<Error, string>()

/** @param text  what `formatError` shall say of the error, ended by a newline */
export function reportAs(error: Error, text: string): void {
  reports.set(error, text)
}

/** Text for stderr, ended by a newline. */
export function formatError(error: unknown): string {
  const report = error instanceof Error ? reports.get(error) : undefined
  if (report !== undefined) return report
  if (error instanceof UsageError) return `ERROR: ${error.message}\n`
  if (!(error instanceof Error)) return `ERROR: ${String(error)}\n`
  const { code: raw, location } = error as Described
  if (raw === 'ABORT_ERR') return 'canceled\n'
  const code = typeof raw === 'string' && !error.message.includes(raw) ? ` [${raw}]` : ''
  if (location === undefined) return `ERROR: ${error.message}${code}\n`
  const { line, column } = location.range.start
  return `${excerpt(location)}ERROR: ${location.file}:${line}:${column}: ${error.message}${code}\n`
}

/** The source line with its number, and carets under the part that is meant. */
function excerpt({ file, line, range }: SourceLocation): string {
  const { start, end } = range
  const number = String(start.line).padStart(4)
  const last = end.line > start.line ? line.length + 1 : end.column
  const width = Math.max(1, Math.min(last, line.trimEnd().length + 1) - start.column)
  const lead = line.slice(0, start.column - 1).replace(/[^\t]/g, ' ')
  return `${file}:${start.line}\n${number} | ${line}\n     | ${lead}${'^'.repeat(width)}\n`
}
