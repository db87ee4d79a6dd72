// A check report as text and as JSON, in the shapes that `docker build --check` prints.
// @see moby/buildkit frontend/subrequests/lint/lint.go, solver/errdefs/source.go
import type { SourceRange } from '../../../errors.js'
import type { CheckReport } from './lint.js'
import { encodePath } from '../../../path.js'
import { lineNumbers } from '../text.js'
import type { CheckResult } from './linter.js'

/** One range per line, as BuildKit keeps them. */
export interface JsonLocation {
  readonly ranges?: readonly {
    readonly start: { readonly line?: number }
    readonly end: { readonly line?: number }
  }[]
}

function linesOf({ start, end }: SourceRange): number[] {
  return lineNumbers(start.line, end.line)
}

export function locationOfRange(range: SourceRange): JsonLocation {
  return jsonLocation(linesOf(range))
}

function jsonLocation(lines: readonly number[]): JsonLocation {
  if (lines.length === 0) return {}
  // Go leaves a line 0 out.
  const place = (line: number): { readonly line?: number } => (line === 0 ? {} : { line })
  return { ranges: lines.map((line) => ({ start: place(line), end: place(line) })) }
}

/**
 * The report as BuildKit's lint request returns it, indented by two blanks. Fields that are empty are left out and no
 * warnings are `null`, as Go writes them. `sources` lacks BuildKit's build definition.
 */
export function formatChecksJson(report: CheckReport): string {
  const warnings = report.warnings.map((warning) => ({
    ruleName: warning.rule,
    ...(warning.description === '' ? {} : { description: warning.description }),
    ...(warning.url === '' ? {} : { url: warning.url }),
    ...(warning.detail === '' ? {} : { detail: warning.detail }),
    location: locationOfRange(warning.range),
  }))
  const value = {
    warnings: warnings.length === 0 ? null : warnings,
    sources: [{ filename: report.file, data: encodeBase64(report.text), language: 'Dockerfile' }],
    ...(report.error === undefined
      ? {}
      : { buildError: { message: report.error.message, location: jsonLocation(report.error.lines) } }),
  }
  return goJson(value)
}

/** Go's json.MarshalIndent with two blanks. */
export function goJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_, each: unknown) => (typeof each === 'string' ? each.toWellFormed() : each),
    2,
  )
  return text.replace(/[<>&\u2028\u2029]/g, escapeLikeGo)
}

function escapeLikeGo(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** The bytes of the text, as they stand in the file. */
export function encodeBase64(text: string): string {
  const bytes = encodePath(text)
  let out = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const bits = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    out += ALPHABET[bits >> 18]! + ALPHABET[(bits >> 12) & 63]!
    out += left > 1 ? ALPHABET[(bits >> 6) & 63]! : '='
    out += left > 2 ? ALPHABET[bits & 63]! : '='
  }
  return out
}

/** The report for people: what was found, then the error. */
export function formatChecks(report: CheckReport): string {
  return formatWarnings(report) + formatCheckError(report)
}

/** What would stop a build, with the source around it; nothing when nothing would. */
export function formatCheckError(report: CheckReport): string {
  if (report.error === undefined) return ''
  const { message, lines } = report.error
  // A blank line ends it, as BuildKit's.
  return `ERROR: ${message}\n${formatLines(report.file, lines, report.text.split('\n'))}\n`
}

/** A count, then every warning by line with the source around it. */
export function formatWarnings(report: CheckReport): string {
  const count = report.warnings.length
  let out = ''
  if (count > 0 || report.error === undefined) {
    out +=
      count === 0
        ? 'Check complete, no warnings found.\n'
        : `Check complete, ${count} ${count === 1 ? 'warning has' : 'warnings have'} been found!\n`
  }
  const lines = report.text.split('\n')
  const sorted = report.warnings.toSorted((a, b) => a.range.start.line - b.range.start.line)
  for (const warning of sorted) out += formatWarning(report, warning, lines)
  if (count > 0 && report.error !== undefined) out += '\n'
  return out
}

function formatWarning(report: CheckReport, warning: CheckResult, lines: readonly string[]): string {
  const page = warning.url === '' ? '' : ` - ${warning.url}`
  const head = `\nWARNING: ${warning.rule}${page}\n${warning.detail}\n`
  return head + formatExcerpt(report.file, warning.range, lines)
}

/** A few lines around a range, the range's own marked with `>>>`. */
export function formatExcerpt(file: string, range: SourceRange, lines: readonly string[]): string {
  return formatLines(file, linesOf(range), lines)
}

/** As `formatExcerpt`, with the numbers of the lines to be marked, in order. */
export function formatLines(file: string, marked: readonly number[], lines: readonly string[]): string {
  const first = marked[0] ?? 0
  const last = Math.min(marked.at(-1) ?? 0, lines.length)
  if (first > lines.length || first < 1) return ''
  let start = first
  let end = last
  const room = first === last ? 4 : 2
  for (let used = 0; used < room; used++) {
    if (start > 1) {
      start--
      used++
    }
    if (end !== lines.length) {
      end++
      used++
    }
  }
  const rule = '--------------------\n'
  let out = `${file}:${first}\n${rule}`
  for (let line = start; line <= end; line++) {
    const mark = marked.includes(line) ? '>>>' : '   '
    out += ` ${String(line).padStart(3)} | ${mark} ${lines[line - 1]}\n`
  }
  return out + rule
}
