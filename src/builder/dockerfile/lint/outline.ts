// What a build can be given: its arguments, secrets and SSH keys, and its targets. The answers to `--call=outline` and
// `--call=targets`, as values, JSON and text.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/outline.go, frontend/subrequests/{outline,targets}
import type { SourceRange } from '../../../errors.js'
import type { Dockerfile } from '../ast.js'
import { encodeBase64, goJson, type JsonLocation, locationOfRange } from './report.js'

export interface OutlineArg {
  readonly name: string
  /** From the comment `# NAME …` above it. */
  readonly description: string | undefined
  readonly value: string | undefined
  readonly range: SourceRange
}

/** A secret or an SSH key that a RUN mounts. */
export interface OutlineMount {
  readonly name: string
  readonly required: boolean
  readonly range: SourceRange
}

/** Everything that a target takes, by line. */
export interface Outline {
  readonly text: string
  /** Of the target stage. */
  readonly name: string | undefined
  readonly description: string | undefined
  readonly args: readonly OutlineArg[]
  readonly secrets: readonly OutlineMount[]
  readonly ssh: readonly OutlineMount[]
}

/** One argument, with the arguments that its value was made of. */
export interface ArgInfo extends OutlineArg {
  readonly from: ReadonlySet<string>
}

/** What one stage declares and uses. */
export class OutlineCapture {
  readonly args: Map<string, ArgInfo>
  readonly used: Set<string>
  readonly secrets = new Map<string, OutlineMount>()
  readonly ssh = new Map<string, OutlineMount>()

  constructor(args: ReadonlyMap<string, ArgInfo>, used: Iterable<string>) {
    this.args = new Map(args)
    this.used = new Set(used)
  }

  /** The declared arguments that the stage uses, those behind their values included. */
  usedArgs(): ArgInfo[] {
    const pending = [...this.used]
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      for (const source of this.args.get(name)?.from ?? []) {
        if (this.used.has(source)) continue
        this.used.add(source)
        pending.push(source)
      }
    }
    return [...this.args].flatMap(([name, info]) => (this.used.has(name) ? [info] : []))
  }
}

/**
 * Gathers what a target takes from the captures of its stages.
 *
 * @param captures  the target's, then those of what it is built on and copies from, in the order in which they are visited
 */
export function gatherOutline(
  dockerfile: Dockerfile,
  target: number,
  captures: readonly OutlineCapture[],
): Outline {
  const { name, description } = dockerfile.stages[target]!.from
  const args = new Map<string, ArgInfo>()
  const secrets = new Map<string, OutlineMount>()
  const ssh = new Map<string, OutlineMount>()
  for (const capture of captures) {
    for (const arg of capture.usedArgs()) if (!args.has(arg.name)) args.set(arg.name, arg)
    for (const [id, secret] of capture.secrets) if (!secrets.has(id)) secrets.set(id, secret)
    for (const [id, key] of capture.ssh) if (!ssh.has(id)) ssh.set(id, key)
  }
  return {
    text: dockerfile.text,
    name,
    description,
    args: byLine(args.values()),
    secrets: byLine(secrets.values()),
    ssh: byLine(ssh.values()),
  }
}

function byLine<T extends { readonly range: SourceRange }>(items: Iterable<T>): T[] {
  return [...items].toSorted((a, b) => a.range.start.line - b.range.start.line)
}

/** Fields without a value are left out, as Go writes them. */
function compact(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const isSet = (value: unknown): boolean =>
    value !== undefined && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0)
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => isSet(value)))
}

interface JsonPlaced {
  readonly location: JsonLocation
}

function placed(range: SourceRange): JsonPlaced {
  return { location: locationOfRange(range) }
}

/** As BuildKit's outline request returns it, indented by two blanks. */
export function formatOutlineJson(outline: Outline): string {
  const { name, description, args, secrets, ssh, text } = outline
  const mount = ({ name: id, required, range }: OutlineMount) =>
    compact({ name: id, required, ...placed(range) })
  return goJson(
    compact({
      name,
      description,
      args: args.map((arg) =>
        compact({ name: arg.name, description: arg.description, value: arg.value, ...placed(arg.range) }),
      ),
      secrets: secrets.map(mount),
      ssh: ssh.map(mount),
      sources: [encodeBase64(text)],
    }),
  )
}

/** The outline for people: a table for each of arguments, secrets and SSH keys. */
export function formatOutline(outline: Outline): string {
  const { name, description = '', args, secrets, ssh } = outline
  let out = ''
  if (name !== undefined || description !== '') {
    const rows = [['TARGET:', name ?? '(default)']]
    if (description !== '') rows.push(['DESCRIPTION:', description])
    out += `${table(rows, 1)}\n`
  }
  const argRows = args.map((arg) => [arg.name, arg.value ?? '', arg.description ?? ''])
  if (args.length > 0) out += `${table([['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...argRows], 3)}\n`
  for (const [title, mounts] of [
    ['SECRET', secrets],
    ['SSH', ssh],
  ] as const) {
    if (mounts.length === 0) continue
    const rows = mounts.map(({ name: id, required }) => [id, required ? 'true' : ''])
    out += `${table([[title, 'REQUIRED'], ...rows], 3)}\n`
  }
  return out
}

/** As BuildKit's targets request returns it, indented by two blanks. */
export function formatTargetsJson(dockerfile: Dockerfile): string {
  const last = dockerfile.stages.length - 1
  const targets = dockerfile.stages.map(({ index, name, from }) =>
    compact({
      name,
      default: index === last,
      description: from.description,
      base: from.image,
      platform: from.platform,
      ...placed(from.range),
    }),
  )
  return goJson({ targets, sources: [encodeBase64(dockerfile.text)] })
}

/** The stages of a file for people. */
export function formatTargets(dockerfile: Dockerfile): string {
  const last = dockerfile.stages.length - 1
  const rows = dockerfile.stages.map(({ index, name = '', from }) => {
    const shown = index === last ? (name === '' ? '(default)' : `${name} (default)`) : name
    return [shown, from.description ?? '']
  })
  return table([['TARGET', 'DESCRIPTION'], ...rows], 1)
}

/** Columns as wide as their widest cell and a gap; the last is not filled up. @see Go text/tabwriter */
function table(rows: readonly (readonly string[])[], gap: number): string {
  const columns = rows[0]!.length - 1
  const width = (text: string): number => Array.from(text).length
  const widths = Array.from(
    { length: columns },
    (_, column) => gap + Math.max(...rows.map((row) => width(row[column]!))),
  )
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column < columns ? cell + ' '.repeat(widths[column]! - width(cell)) : cell))
        .join(''),
    )
    .map((line) => `${line}\n`)
    .join('')
}
