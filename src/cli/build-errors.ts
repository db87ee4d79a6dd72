// How the error that ends a build looks: the place in the Dockerfile, then what is wrong, as `docker buildx build` words it,
// and our code.
// @see docker/buildx commands/build.go wrapBuildError; moby/buildkit solver/errdefs/source.go
import { readBuildTexts, type BuildOptions } from 'lamella/builder'
import type { SourceLocation } from 'lamella'
import { UsageError } from './command.js'
import { reportAs } from './errors.js'

interface Told {
  readonly code?: unknown
  readonly location?: SourceLocation | undefined
  readonly data?: Readonly<Record<string, unknown>> | undefined
}

/** Words an error as a build's. An interrupted build and a wrong command line are told as everywhere. */
export async function reportBuildError(error: unknown, options: BuildOptions): Promise<void> {
  if (!(error instanceof Error) || error instanceof UsageError) return
  const { code, location, data = {} } = error as Told
  if (code === 'ABORT_ERR' || code === 'OPTION_INVALID') return
  const marks = marksOf(code, location)
  if (code === 'CONTEXT_NOT_FOUND') {
    const path = JSON.stringify(data.path)
    reportAs(error, `ERROR: failed to build: unable to prepare context: path ${path} not found${marks}\n`)
    return
  }
  const solve = code === 'OUTPUT_INVALID' ? '' : 'failed to solve: '
  const lines = location === undefined ? [] : linesOf(location)
  // As BuildKit words it: faults in an instruction's arguments name the line.
  const prefix =
    'instruction' in data && lines.length > 0 ? `dockerfile parse error on line ${lines[0]}: ` : ''
  // A violation that is an error has its place among the warnings.
  const excerpt =
    location === undefined || code === 'CHECK_FAILED' ? '' : await excerptOf(location, lines, options)
  reportAs(error, `${excerpt}ERROR: failed to build: ${solve}${prefix}${error.message}${marks}\n`)
}

/** ` [CODE, Dockerfile:2:8]`: what is ours to add, behind what is BuildKit's. */
function marksOf(code: unknown, location: SourceLocation | undefined): string {
  const { line, column } = location?.range.start ?? { line: 0, column: 0 }
  const place = location === undefined ? [] : [`${location.file}:${line}:${column}`]
  const marks = [...(typeof code === 'string' ? [code] : []), ...place]
  return marks.length === 0 ? '' : ` [${marks.join(', ')}]`
}

function linesOf({ range: { start, end }, buildkitLines }: SourceLocation): readonly number[] {
  if (buildkitLines !== undefined) return buildkitLines
  const last = end.column === 1 && end.line > start.line ? end.line - 1 : end.line
  return Array.from({ length: last - start.line + 1 }, (_, i) => start.line + i)
}

async function excerptOf(
  location: SourceLocation,
  lines: readonly number[],
  { context, dockerfile }: BuildOptions,
): Promise<string> {
  const { formatLines } = await import('lamella/builder')
  let text: string
  try {
    const read = readBuildTexts({ context, dockerfile }).text
    text = typeof read === 'string' ? read : new TextDecoder().decode(read)
  } catch {
    // It has gone meanwhile, or was elsewhere: the one line that the error knows.
    const { line } = location.range.start
    const rule = '-'.repeat(20)
    return `${location.file}:${line}\n${rule}\n ${String(line).padStart(3)} | >>> ${location.line}\n${rule}\n`
  }
  return formatLines(location.file, lines, text.split('\n'))
}
