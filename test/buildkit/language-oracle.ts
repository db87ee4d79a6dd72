// Asks a live BuildKit about the language: hundreds of Dockerfiles in one `docker buildx bake`, some ten milliseconds each.
// Only the recorder calls this (LAMELLA_RECORD_BUILDKIT=1); the tests read what it recorded.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'

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
  read: (index: number, name: string) => Buffer | undefined
  done: () => void
} {
  const root = mkdtempSync(join(tmpdir(), 'lamella-language-'))
  const target: Record<string, unknown> = {}
  cases.forEach((it, index) => {
    const folder = join(root, `c${index}`)
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
    read(index, name) {
      try {
        return readFileSync(join(root, `o${index}`, name))
      } catch {
        try {
          return readFileSync(join(root, `o${index}`))
        } catch {
          return undefined
        }
      }
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

interface JsonDescriptor {
  readonly digest: string
}

export interface Built {
  /** The image's config; `undefined` when the build failed. */
  readonly config: Record<string, unknown> | undefined
  /** Tars of the layers. */
  readonly layers: readonly Buffer[]
}

/** Builds all; a case that fails takes nothing away from the others only when `cases` hold none that do. */
export function buildAll(cases: readonly LanguageCase[]): Built[] {
  const built: Built[] = []
  for (let from = 0; from < cases.length; from += AT_ONCE) {
    const part = cases.slice(from, from + AT_ONCE)
    const run = bake(part, ['--progress=plain'], (path) => `type=oci,dest=${path}`)
    try {
      part.forEach((_, index) => {
        const bytes = run.read(index, '')
        if (bytes === undefined) {
          built.push({ config: undefined, layers: [] })
          return
        }
        const files = filesOfTar(bytes)
        const blob = (digest: string): Buffer => files.get(`blobs/${digest.replace(':', '/')}`)!
        const json = (digest: string) => JSON.parse(blob(digest).toString()) as Record<string, unknown>
        const index_ = JSON.parse(files.get('index.json')!.toString()) as { manifests: JsonDescriptor[] }
        const manifest = json(index_.manifests[0]!.digest) as unknown as {
          config: JsonDescriptor
          layers: JsonDescriptor[]
        }
        const layers = (manifest.layers ?? []).map(({ digest }) => {
          const tar = blob(digest)
          return tar[0] === 0x1f && tar[1] === 0x8b ? gunzipSync(tar) : tar
        })
        built.push({ config: json(manifest.config.digest), layers })
      })
      if (built.some(({ config }) => config === undefined) && process.env.LAMELLA_VERBOSE === '1') {
        console.error(run.stderr.slice(-4000))
      }
    } finally {
      run.done()
    }
  }
  return built
}
