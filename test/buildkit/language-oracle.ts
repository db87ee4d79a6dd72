// Asks a live BuildKit about the language: hundreds of Dockerfiles in one `docker buildx bake`, some ten milliseconds each.
// Only the recorder calls this (LAMELLA_RECORD_BUILDKIT=1); the tests read what it recorded.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { quote } from '../../src/builder/dockerfile/text.js'

/** One Dockerfile and what it is asked with. */
export interface LanguageCase {
  /** Text of the Dockerfile; `bytes` (base64) in its place where it is no UTF-8. */
  readonly file: string
  readonly bytes?: string
  readonly args?: Readonly<Record<string, string>>
  readonly target?: string
  readonly platform?: string
  /** Further files of the context: `.dockerignore` and what COPY names. */
  readonly files?: Readonly<Record<string, string>>
}

export interface Answer {
  /** `Rule: message` with `lines`, in BuildKit's order. */
  readonly warnings?: readonly { readonly rule: string; readonly detail: string; readonly lines: string }[]
  readonly error?: { readonly message: string; readonly lines: string }
}

type CallKind = 'check' | 'outline' | 'targets'

/** Bake reads `${` and `%{` in JSON strings as templates. */
function literal(text: string): string {
  return text.replace(/[$%](?=\{)/g, (sign) => sign + sign)
}

function writeCase(folder: string, it: LanguageCase): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'Dockerfile'),
    it.bytes === undefined ? it.file : Buffer.from(it.bytes, 'base64'),
  )
  for (const [path, text] of Object.entries(it.files ?? {})) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

function bake(
  cases: readonly LanguageCase[],
  flags: readonly string[],
  output?: (folder: string) => string,
): {
  stdout: string
  stderr: string
  read: (index: number) => Buffer | undefined
  done: () => void
} {
  const root = mkdtempSync(join(tmpdir(), 'lamella-language-'))
  const target: Record<string, unknown> = {}
  cases.forEach((it, index) => {
    // A name of its own: BuildKit syncs into what it kept of a context of the same name.
    const folder = join(root, `${basename(root)}-${index}`)
    writeCase(folder, it)
    target[`t${index}`] = {
      context: folder,
      dockerfile: 'Dockerfile',
      ...(it.args === undefined
        ? {}
        : { args: Object.fromEntries(Object.entries(it.args).map(([k, v]) => [k, literal(v)])) }),
      ...(it.target === undefined ? {} : { target: literal(it.target) }),
      ...(it.platform === undefined ? {} : { platforms: [it.platform] }),
      ...(output === undefined ? {} : { output: [output(join(root, `o${index}`))] }),
    }
  })
  const file = join(root, 'bake.json')
  writeFileSync(file, JSON.stringify({ target, group: { default: { targets: Object.keys(target) } } }))
  const run = spawnSync('docker', ['buildx', 'bake', '-f', file, '--provenance=false', ...flags], {
    encoding: 'utf8',
    cwd: root,
    maxBuffer: 1 << 30,
    env: { ...process.env, BUILDX_BAKE_ENTITLEMENTS_FS: '0' },
  })
  return {
    stdout: run.stdout,
    stderr: run.stderr,
    read(index) {
      const path = join(root, `o${index}`)
      // A build that fails leaves an empty file.
      return existsSync(path) && statSync(path).size > 1024 ? readFileSync(path) : undefined
    },
    done: () => rmSync(root, { recursive: true, force: true }),
  }
}

interface JsonLocation {
  readonly ranges?: readonly {
    readonly start: { readonly line: number }
    readonly end: { readonly line: number }
  }[]
}

/** `3`, `3-5`, `1,4`, or nothing. */
export function showLines(location: JsonLocation | undefined): string {
  const lines = new Set<number>()
  for (const { start, end } of location?.ranges ?? []) {
    for (let line = start.line ?? 0; line <= (end.line ?? 0); line++) lines.add(line)
  }
  const sorted = [...lines].toSorted((a, b) => a - b)
  const isRun = sorted.length > 1 && sorted.every((line, index) => line === sorted[0]! + index)
  return isRun ? `${sorted[0]}-${sorted.at(-1)}` : sorted.join(',')
}

interface JsonCheck {
  readonly warnings?: readonly { ruleName: string; detail?: string; location?: JsonLocation }[] | null
  readonly buildError?: { readonly message: string; readonly location?: JsonLocation }
  readonly error?: string
}

function answerOf(check: JsonCheck | undefined): Answer {
  if (check === undefined) return { error: { message: 'no answer', lines: '' } }
  const warnings = (check.warnings ?? []).map(({ ruleName, detail = '', location }) => ({
    rule: ruleName,
    detail,
    lines: showLines(location),
  }))
  const failure = check.buildError
  return {
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(failure === undefined
      ? {}
      : { error: { message: failure.message, lines: showLines(failure.location) } }),
  }
}

const AT_ONCE = 150

/** What `--call=KIND` answers, or how the whole request failed. */
export type CallAnswer = { readonly json: unknown } | { readonly failure: string }

function callSome(cases: readonly LanguageCase[], kind: CallKind): CallAnswer[] {
  const run = bake(cases, [`--call=${kind},format=json`, '--progress=quiet'])
  run.done()
  try {
    const { target } = JSON.parse(run.stdout) as { target: Record<string, Record<string, unknown>> }
    return cases.map((_, index) => ({ json: target[`t${index}`]?.[kind] }))
  } catch {
    if (run.stderr.includes('bake.json:')) throw new Error(`bake cannot read its file: ${run.stderr}`)
    // One case that fails before its Dockerfile is read takes all others with it.
    if (cases.length === 1) return [{ failure: run.stderr }]
    const half = cases.length >> 1
    return [...callSome(cases.slice(0, half), kind), ...callSome(cases.slice(half), kind)]
  }
}

/** The answers to `--call=KIND`, per case. */
export function callAll(cases: readonly LanguageCase[], kind: CallKind): CallAnswer[] {
  const answers: CallAnswer[] = []
  for (let from = 0; from < cases.length; from += AT_ONCE) {
    answers.push(...callSome(cases.slice(from, from + AT_ONCE), kind))
  }
  return answers
}

/** The last line of a failed build, without what names the target. */
function failureOf(stderr: string): Answer {
  const message = /^ERROR: (?:target t0: )?(?:failed to solve: )?(.*)$/m.exec(stderr)?.[1] ?? stderr
  const lines = [...stderr.matchAll(/^ +([0-9]+) \| >>>/gm)].map((match) => Number(match[1]))
  const ranges = lines.map((line) => ({ start: { line }, end: { line } }))
  return { error: { message, lines: showLines({ ranges }) } }
}

export function checkAll(cases: readonly LanguageCase[]): Answer[] {
  return callAll(cases, 'check').map((answer) =>
    'failure' in answer ? failureOf(answer.failure) : answerOf(answer.json as JsonCheck | undefined),
  )
}

/** The regular files of a tar, plain ustar/pax names only: enough for an OCI archive. */
function filesOfTar(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const name = bytes.toString('utf8', at, at + 100).replace(/\0.*$/s, '')
    const size = parseInt(bytes.toString('ascii', at + 124, at + 136), 8) || 0
    if (bytes[at + 156] === 0x30 || bytes[at + 156] === 0)
      files.set(name, bytes.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

/** Names of files and directories, these with a slash; PAX headers give the names that are not ASCII. */
function namesOfTar(bytes: Buffer): string[] {
  const names: string[] = []
  let path: string | undefined
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const name = bytes.toString('utf8', at, at + 100).replace(/\0.*$/s, '')
    const size = parseInt(bytes.toString('ascii', at + 124, at + 136), 8) || 0
    if (bytes[at + 156] === 0x78) {
      path = /^[0-9]+ path=(.*)$/m.exec(bytes.toString('utf8', at + 512, at + 512 + size))?.[1]
    } else {
      names.push(path ?? name)
      path = undefined
    }
    at += 512 + Math.ceil(size / 512) * 512
  }
  return names
}

interface JsonDescriptor {
  readonly digest: string
}

export interface Built {
  /** The image's config; `undefined` when the build failed. */
  readonly config: Record<string, unknown> | undefined
  /** Tars of the layers. */
  readonly layers: readonly Buffer[]
}

interface Manifest {
  readonly config?: JsonDescriptor
  readonly layers?: readonly JsonDescriptor[] | null
  readonly manifests?: readonly JsonDescriptor[]
}

function readBuilt(bytes: Buffer | undefined): Built {
  if (bytes === undefined) return { config: undefined, layers: [] }
  const files = filesOfTar(bytes)
  const blob = (digest: string): Buffer => files.get(`blobs/${digest.replace(':', '/')}`)!
  const json = (digest: string) => JSON.parse(blob(digest).toString()) as Record<string, unknown>
  const index = JSON.parse(files.get('index.json')!.toString()) as { manifests: JsonDescriptor[] }
  let manifest = json(index.manifests[0]!.digest) as Manifest
  // BUILDKIT_MULTI_PLATFORM: an index of one.
  if (manifest.manifests !== undefined) manifest = json(manifest.manifests[0]!.digest)
  const layers = (manifest.layers ?? []).map(({ digest }) => {
    const tar = blob(digest)
    return tar[0] === 0x1f && tar[1] === 0x8b ? gunzipSync(tar) : tar
  })
  return { config: json(manifest.config!.digest), layers }
}

function buildSome(cases: readonly LanguageCase[]): Built[] {
  const run = bake(cases, ['--progress=plain'], (path) => `type=oci,dest=${path}`)
  try {
    if (run.stderr.includes('bake.json:')) throw new Error(`bake cannot read its file: ${run.stderr}`)
    const failed = cases.findIndex((_, index) => run.read(index) === undefined)
    if (failed === -1 || cases.length === 1) return cases.map((_, index) => readBuilt(run.read(index)))
  } finally {
    run.done()
  }
  // One case that fails ends all that were not done yet.
  const half = cases.length >> 1
  return [...buildSome(cases.slice(0, half)), ...buildSome(cases.slice(half))]
}

/** Builds all. */
export function buildAll(cases: readonly LanguageCase[]): Built[] {
  const built: Built[] = []
  for (let from = 0; from < cases.length; from += 60) built.push(...buildSome(cases.slice(from, from + 60)))
  return built
}

/** The part of a config that the language decides; `null` when there is none. */
export function configOf(config: Record<string, unknown> | undefined): Record<string, unknown> | null {
  if (config === undefined) return null
  const history = (config.history ?? []) as readonly { readonly created_by?: string }[]
  const run = Object.entries((config.config ?? {}) as Record<string, unknown>).filter(
    ([, value]) => value !== null && value !== undefined,
  )
  return {
    ...Object.fromEntries(
      ['architecture', 'os', 'variant', 'author'].flatMap((name) =>
        config[name] === undefined ? [] : [[name, config[name]]],
      ),
    ),
    config: Object.fromEntries(run.toSorted(([a], [b]) => (a < b ? -1 : 1))),
    history: history.map((entry) => entry.created_by ?? ''),
  }
}

/** An answer of `--call=outline` or `--call=targets` without the text of the file; of an error, that it is one. */
export function withoutSources(answer: CallAnswer): unknown {
  if ('failure' in answer || answer.json === undefined) return 'refused'
  const { sources: _, ...rest } = answer.json as Record<string, unknown>
  return rest
}

const IN_ONE_FILE = 150

/** `=value` of each word, or `!reason`: errors from a check of its own, values from the volumes of one image. */
export function askExpansions(
  words: readonly string[],
  variables: Readonly<Record<string, string>>,
  escape: string,
): (readonly [string, string])[] {
  const head = `${escape === '\\' ? '' : `# escape=${escape}\n`}FROM scratch\n${declarations(variables)}`
  const line = (index: number): string => `VOLUME ${JSON.stringify([`${index}:<${words[index]!}>`])}\n`
  const answers = checkAll(words.map((_, index) => ({ file: head + line(index), args: variables })))
  const outcomes = answers.map(({ error }, index) => {
    const prefix = `failed to process ${quote(`${index}:<${words[index]!}>`)}: `
    if (error !== undefined && !error.message.startsWith(prefix))
      throw new Error(`${error.message} is not ${prefix}`)
    return error === undefined ? undefined : `!${error.message.slice(prefix.length)}`
  })
  const good = words.flatMap((_, index) => (outcomes[index] === undefined ? [index] : []))
  const groups: number[][] = []
  for (let from = 0; from < good.length; from += IN_ONE_FILE)
    groups.push(good.slice(from, from + IN_ONE_FILE))
  const built = buildAll(groups.map((group) => ({ file: head + group.map(line).join(''), args: variables })))
  for (const { config } of built) {
    const { Volumes } = config!.config as { readonly Volumes: Readonly<Record<string, unknown>> }
    for (const volume of Object.keys(Volumes)) {
      const at = volume.indexOf(':')
      outcomes[Number(volume.slice(0, at))] = `=${volume.slice(at + 2, -1)}`
    }
  }
  return words.map((word, index) => [word, outcomes[index]!])
}

function declarations(variables: Readonly<Record<string, string>>): string {
  return Object.keys(variables)
    .map((name) => `ARG ${name}\n`)
    .join('')
}

/** `=text` of each body of `COPY <<EOF`, or `!reason`. */
export function askHeredocs(
  bodies: readonly string[],
  variables: Readonly<Record<string, string>>,
): (readonly [string, string])[] {
  const head = `FROM scratch\n${declarations(variables)}`
  const copy = (index: number): string => `COPY <<EOF /${index}\n${bodies[index]!}\nEOF\n`
  const answers = checkAll(bodies.map((_, index) => ({ file: head + copy(index), args: variables })))
  const outcomes = answers.map(({ error }, index) => {
    const prefix = `failed to process ${quote(`${bodies[index]!}\n`)}: `
    return error === undefined ? undefined : `!${error.message.slice(prefix.length)}`
  })
  const good = bodies.flatMap((_, index) => (outcomes[index] === undefined ? [index] : []))
  for (let from = 0; from < good.length; from += 40) {
    const group = good.slice(from, from + 40)
    const [built] = buildAll([{ file: head + group.map(copy).join(''), args: variables }])
    for (const layer of built!.layers)
      for (const [name, bytes] of filesOfTar(layer))
        outcomes[Number(name)] = `=${bytes.toString().slice(0, -1)}`
  }
  return bodies.map((body, index) => [body, outcomes[index]!])
}

/** What `COPY . /` finds of a context, sorted, directories with a slash; `null` where the build fails. */
export function askContext(
  rows: readonly {
    readonly rules: string
    readonly files: readonly string[]
    readonly exclude?: readonly string[]
  }[],
): (string[] | null)[] {
  const cases = rows.map(({ rules, files, exclude }) => ({
    file: `FROM scratch\nCOPY ${(exclude ?? []).map((pattern) => `--exclude=${pattern} `).join('')}. /\n`,
    files: { '.dockerignore': rules, ...Object.fromEntries(files.map((path) => [path, 'x'])) },
  }))
  return buildAll(cases).map(({ config, layers }) =>
    config === undefined ? null : layers.flatMap((layer) => namesOfTar(layer)).toSorted(),
  )
}
