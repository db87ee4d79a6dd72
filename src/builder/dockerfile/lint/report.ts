// A check report as text and as JSON, in the shapes that `docker build --check` prints.
// @see moby/buildkit frontend/subrequests/lint/lint.go, solver/errdefs/source.go
import type { SourceRange } from '../../../errors.js'
import type { CheckReport } from './lint.js'
import type { CheckResult } from './linter.js'

/** One range per line, as BuildKit keeps them. */
interface JsonLocation {
  readonly ranges?: readonly {
    readonly start: { readonly line: number }
    readonly end: { readonly line: number }
  }[]
}

function linesOf(range: SourceRange): number[] {
  const { start, end } = range
  return Array.from({ length: end.line - start.line + 1 }, (_, index) => start.line + index)
}

function jsonLocation(range: SourceRange | undefined): JsonLocation {
  if (range === undefined) return {}
  return { ranges: linesOf(range).map((line) => ({ start: { line }, end: { line } })) }
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
    location: jsonLocation(warning.range),
  }))
  const value = {
    warnings: warnings.length === 0 ? null : warnings,
    sources: [{ filename: report.file, language: 'Dockerfile', data: base64(report.text) }],
    ...(report.error === undefined
      ? {}
      : { buildError: { message: report.error.message, location: jsonLocation(report.error.range) } }),
  }
  return JSON.stringify(value, null, 2).replace(/[<>&\u2028\u2029]/g, escapeLikeGo)
}

function escapeLikeGo(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

function base64(text: string): string {
  const bytes = new TextEncoder().encode(text)
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

/** The report for people: a count, then every warning by line with the source around it, then the error. */
export function formatChecks(report: CheckReport): string {
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
  if (report.error !== undefined) {
    const excerpt =
      report.error.range === undefined ? '' : formatExcerpt(report.file, report.error.range, lines)
    out += `${out === '' ? '' : '\n'}ERROR: ${report.error.message}\n${excerpt}`
  }
  return out
}

function formatWarning(report: CheckReport, warning: CheckResult, lines: readonly string[]): string {
  const page = warning.url === '' ? '' : ` - ${warning.url}`
  const head = `\nWARNING: ${warning.rule}${page}\n${warning.detail}\n`
  return head + formatExcerpt(report.file, warning.range, lines)
}

/** A few lines around a range, the range's own marked with `>>>`. */
export function formatExcerpt(file: string, range: SourceRange, lines: readonly string[]): string {
  const first = range.start.line
  const last = Math.min(range.end.line, lines.length)
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
    const mark = line >= first && line <= last ? '>>>' : '   '
    out += ` ${String(line).padStart(3)} | ${mark} ${lines[line - 1]}\n`
  }
  return out + rule
}
