// Asks a real BuildKit what it makes of sources that this process serves: files, errors and the ids of the sources' keys.
// Answers are recorded as JSON; LAMELLA_RECORD_BUILDKIT=1 with docker on PATH asks again.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface LiveCase {
  readonly name: string
  /** Lines after FROM scratch; `undefined` to build the Dockerfile of the context. */
  readonly lines?: string
  /** The build context; default an empty folder. */
  readonly context?: string
  readonly file?: string
  /** `--build-context src=` */
  readonly named?: string
  readonly buildArgs?: Readonly<Record<string, string>>
}

/** What BuildKit made of a case: its files, or the last line of its error; and the ids of keys that have no inputs. */
export interface Answer {
  readonly tree?: Readonly<Record<string, string>>
  readonly error?: string
  readonly keys?: readonly string[]
}

export interface AskOptions {
  /** Fills in where the servers are. */
  readonly url: (text: string) => string
  /** Takes that out of messages. */
  readonly rename: (text: string) => string
  readonly comparable?: (tree: Record<string, string>) => Record<string, string>
  /** Whether times are written. */
  readonly times?: boolean
}

export function readAnswers(path: string): Record<string, Answer> {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, Answer>) : {}
}

export async function recordAnswers(
  path: string,
  cases: readonly LiveCase[],
  options: AskOptions,
): Promise<void> {
  if (process.env.LAMELLA_RECORD_BUILDKIT !== '1') return
  const answers: Record<string, Answer> = {}
  for (const it of cases) answers[it.name] = await ask(it, options)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify(answers, undefined, 2)}\n`)
}

async function ask(it: LiveCase, options: AskOptions): Promise<Answer> {
  const { url, comparable = (tree) => tree } = options
  const work = mkdtempSync(join(tmpdir(), 'lamella-ask-'))
  try {
    const context = join(work, 'context')
    mkdirSync(context)
    if (it.lines !== undefined) writeFileSync(join(context, 'Dockerfile'), `FROM scratch\n${url(it.lines)}\n`)
    const args = ['buildx', 'build', '--progress=plain', '--provenance=false', '--no-cache']
    args.push('--output', `type=tar,dest=${work}/out.tar`)
    args.push('--cache-to', `type=local,dest=${work}/cache,mode=max`)
    if (it.file !== undefined) args.push('-f', it.file)
    if (it.named !== undefined) args.push('--build-context', `src=${url(it.named)}`)
    for (const [name, value] of Object.entries(it.buildArgs ?? {}))
      args.push('--build-arg', `${name}=${value}`)
    args.push(it.context === undefined ? context : url(it.context))
    // Not synchronously: what it fetches is served by this process.
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) =>
      execFile('docker', args, { timeout: 60_000 }, (error, _, text) =>
        resolve({ code: error?.code ?? 0, stderr: text }),
      ),
    )
    if (code !== 0) return { error: options.rename(stderr.slice(stderr.lastIndexOf('ERROR: ')).trim()) }
    const tree = textOfTar(readFileSync(join(work, 'out.tar')), options.times === true)
    return { tree: comparable(tree), keys: sourceIds(join(work, 'cache')) }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** A ustar archive in the notation of `textOf`. */
function textOfTar(tar: Uint8Array, times: boolean): Record<string, string> {
  const out: Record<string, string> = {}
  const text = (start: number, length: number) => Buffer.from(tar.subarray(start, start + length)).toString()
  const octal = (start: number, length: number) => Number.parseInt(text(start, length), 8)
  let longPath: string | undefined
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const path = longPath ?? text(at, 100).replace(/\0.*$/s, '')
    const type = text(at + 156, 1)
    const mode = octal(at + 100, 8) & 0o7777
    const [uid, gid, size] = [octal(at + 108, 8), octal(at + 116, 8), octal(at + 124, 12)]
    const isHeader = type === 'x'
    longPath = isHeader ? /^\d+ path=(.*)$/m.exec(text(at + 512, size))?.[1] : undefined
    const words: string[] = []
    if (mode !== ({ 5: 0o755, 2: 0o777 }[type] ?? 0o644)) words.push(mode.toString(8))
    if (uid !== 0 || gid !== 0) words.push(`${uid}:${gid}`)
    if (times && type === '0') words.push(timeText(octal(at + 136, 12)))
    if (type === '2') words.push(`->${text(at + 157, 100).replace(/\0.*$/s, '')}`)
    if (type === '0') words.push(`=${text(at + 512, size)}`)
    if (!isHeader) out[path] = words.join(' ')
    at += 512 + Math.ceil(size / 512) * 512
  }
  return out
}

/** `@now` for a time of today, which is another each time. */
function timeText(seconds: number): string {
  return Math.abs(Date.now() / 1000 - seconds) < 86_400 ? '@now' : `@${seconds}`
}

/** Ids of the records without inputs in a cache export. */
function sourceIds(dir: string): string[] {
  const read = (digest: string) =>
    JSON.parse(readFileSync(join(dir, 'blobs/sha256', digest.slice('sha256:'.length)), 'utf8')) as {
      config: { digest: string }
      records: { digest: string; inputs?: unknown }[]
    }
  const index = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[]
  }
  const { records } = read(read(index.manifests[0]!.digest).config.digest)
  return records.filter(({ inputs }) => inputs === undefined).map(({ digest }) => digest)
}
