// Runs an output case with one of the two command lines and tells what came of it, in a form in which they can be compared.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { scanTar } from '../../src/store/index.js'
import { writeFolder } from './case.js'
import { imageRecord, layerRecord, readerOf } from './image-record.js'
import { CONTEXT, DOCKERFILE, type OutputCase } from './output-cases.js'

export interface OutputRecord {
  readonly ok: boolean
  /** What is left of an error; for people, not compared. */
  readonly error?: string
  readonly stdout: unknown
  readonly stderr?: readonly string[]
  /** What lies below `out`, by path. */
  readonly files: Readonly<Record<string, unknown>>
}

const EPOCH = 1_700_000_000
/** Times from here on are a build's own. */
const NOW_FROM = 1_750_000_000
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export async function runBuildx(it: OutputCase): Promise<OutputRecord> {
  return withRoot(it, async (root, context) => {
    if (it.runs !== undefined) copyFileSync('/usr/bin/busybox', join(context, 'busybox'))
    // Answers of a build that somebody else made are none to a question about this one.
    const args = ['buildx', 'build', '--no-cache', '--provenance=false', ...argsOf(it, context)]
    return record(it, root, context, 'docker', args, {})
  })
}

export async function runLamella(it: OutputCase): Promise<OutputRecord> {
  return withRoot(it, async (root, context) => {
    writeFileSync(join(context, 'busybox'), '')
    const executor = join(root, 'executor.mjs')
    writeFileSync(executor, executorText(it.runs ?? {}))
    const args = [MAIN, 'build', '--no-cache', `--executor=${executor}`, ...argsOf(it, context)]
    const env = { LAMELLA_STORE: join(root, 'store') }
    return record(it, root, context, process.execPath, args, env)
  })
}

function argsOf(it: OutputCase, context: string): string[] {
  // Without a name of its own, a context would be told apart from its last state only.
  const named = it.args.map((arg) => arg.replace('--file=context/', `--file=${context}/`))
  return [...named, basename(context)]
}

/** An executor that answers as the case says. */
function executorText(runs: NonNullable<OutputCase['runs']>): string {
  return `const runs = new Map(Object.entries(${JSON.stringify(runs)}))
export default {
  name: 'case',
  capabilities: { mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'], networks: ['default', 'none', 'host'], binaries: true },
  async run({ argv, onOutput }) {
    const [output, exitCode] = runs.get(argv.at(-1)) ?? ['', 0]
    if (output !== '') onOutput('stdout', new TextEncoder().encode(output))
    return { exitCode }
  },
}
`
}

async function withRoot<T>(it: OutputCase, use: (root: string, context: string) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'lamella-output-'))
  try {
    const context = join(root, `c${basename(root)}`)
    await writeFolder(context, { ...CONTEXT, Dockerfile: `=${it.dockerfile ?? DOCKERFILE}` })
    mkdirSync(join(root, 'out'))
    await writeFolder(join(root, 'out'), it.before ?? {})
    return await use(root, context)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

async function record(
  it: OutputCase,
  root: string,
  context: string,
  command: string,
  args: readonly string[],
  more: NodeJS.ProcessEnv,
): Promise<OutputRecord> {
  const { SOURCE_DATE_EPOCH: _, ...own } = process.env
  const epoch = it.epoch === null ? {} : { SOURCE_DATE_EPOCH: String(it.epoch ?? EPOCH) }
  const child = spawn(command, args, {
    cwd: root,
    env: { ...own, ...epoch, ...more, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const out: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const status = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  const error = /^ERROR: .*$/m.exec(stderr.slice(Math.max(0, stderr.lastIndexOf('\nERROR: '))))?.[0]
  const stdout = Buffer.concat(out)
  const isQuiet = it.args.includes('-q')
  return {
    ok: status === 0,
    ...(status === 0 ? {} : { error: clean(error ?? stderr, root) }),
    stdout: stdout.length > 1000 ? fileRecord('-.tar', stdout, it) : isQuiet ? stdout.toString() : '',
    ...(it.progress ? { stderr: progressLines(stderr.replaceAll(basename(context), 'context')) } : {}),
    files: filesBelow(join(root, 'out'), it),
  }
}

function clean(text: string, root: string): string {
  return text.replaceAll(root, '').replaceAll(/c?lamella-output-\w+/g, 'root')
}

/** Everything below a folder: files that have a form of their own, others as one line each. */
function filesBelow(root: string, it: OutputCase): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  const inodes = new Map<number, string>()
  const visit = (path: string): void => {
    for (const name of readdirSync(join(root, path)).toSorted()) {
      const at = path === '' ? name : `${path}/${name}`
      const stat = lstatSync(join(root, at))
      // What a build that failed had opened already; we make none.
      if (at.endsWith('.tar') && stat.size === 0) continue
      const known = /^lay\/|\.(?:tar|json)$|^iid$/.test(at) && stat.isFile()
      if (known) out[at] = fileRecord(at, readFileSync(join(root, at)), it)
      else {
        const line = lineOf(join(root, at), stat, inodes, at)
        // BuildKit's client sets a joined directory's time before it writes into it.
        out[at] = stat.isDirectory() && it.before !== undefined ? line.replace(/@\S+/, '@…') : line
      }
      if (stat.isDirectory()) visit(at)
    }
  }
  visit('')
  return out
}

function lineOf(
  path: string,
  stat: ReturnType<typeof lstatSync>,
  inodes: Map<number, string>,
  at: string,
): string {
  const { mode, uid, mtimeMs, ino } = stat!
  const kind = stat!.isDirectory()
    ? 'dir'
    : stat!.isSymbolicLink()
      ? 'link'
      : stat!.isFIFO()
        ? 'fifo'
        : 'file'
  const same = kind === 'file' ? (inodes.get(Number(ino)) ?? '') : ''
  inodes.set(Number(ino), at)
  // Whoever runs the tests owns what is written, whatever the image says.
  const owner = uid === process.getuid?.() ? 'own' : String(uid)
  const seconds = Number(mtimeMs) / 1000
  const time = seconds >= NOW_FROM ? 'now' : String(seconds)
  const content = kind === 'file' ? readFileSync(path, 'latin1') : kind === 'link' ? readlinkSync(path) : ''
  return [kind, (Number(mode) & 0o7777).toString(8), owner, `@${time}`, JSON.stringify(content), same]
    .join(' ')
    .trim()
}

function fileRecord(path: string, bytes: Uint8Array, it: OutputCase): unknown {
  if (path.endsWith('config.tar')) return configOf(bytes)
  if (path.endsWith('.tar') && !path.startsWith('root')) {
    const members = [...scanTar(readerOf(bytes))].map((entry) => {
      const { kind, mode, uid, gid, mtimeSec, size, path: name } = entry
      return [kind, mode.toString(8), `${uid}:${gid}`, mtimeSec, size, name].join(' ')
    })
    const isTree = !members.some((line) => line.endsWith(' oci-layout'))
    if (isTree) return layerRecord(bytes)
    const index = documentOf(bytes, 'index.json')
    const [first] = (JSON.parse(index) as { manifests: { digest: string }[] }).manifests
    const manifest = documentOf(bytes, `blobs/${first!.digest.replace(':', '/')}`)
    const docker = members.some((line) => line.endsWith(' manifest.json'))
      ? documentOf(bytes, 'manifest.json')
      : ''
    const whole = { members, index, manifest, docker }
    return isExact(it) ? { sha256: hash(bytes), ...whole } : masked(whole)
  }
  if (path.startsWith('root')) return layerRecord(bytes)
  if (path === 'metadata.json') {
    const document = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
    // A build's record in buildx's history, which we have none of.
    const kept = Object.entries(document).filter(([name]) => !name.startsWith('buildx.'))
    return isExact(it) ? Object.fromEntries(kept) : masked(Object.fromEntries(kept))
  }
  return new TextDecoder().decode(bytes)
}

/** Whether no compressor and no clock has a part in the bytes. */
function isExact({ args }: OutputCase): boolean {
  return args.some((arg) => arg.includes('compression=uncompressed'))
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Without what another compressor makes different: digests, sizes, and the order that digests give. */
function masked(value: object): unknown {
  const text = JSON.stringify(value)
    .replaceAll(/(sha256[:/])[0-9a-f]{64}/g, '$1…')
    .replaceAll(/(\\?"size\\?": ?)\d+/g, '$10')
    .replaceAll(/(file \d+ \d+:\d+ 0) \d+/g, '$1 …')
  return JSON.parse(text)
}

function documentOf(bytes: Uint8Array, path: string): string {
  for (const entry of scanTar(readerOf(bytes))) {
    if (entry.path === path)
      return new TextDecoder().decode(bytes.subarray(entry.dataOffset, entry.dataOffset + entry.size))
  }
  throw new Error(`no ${path} in the archive`)
}

/** Of an archive's image: config and history. Its layers are what RUN left, which is nobody's here. */
function configOf(bytes: Uint8Array): string {
  const [first] = (JSON.parse(documentOf(bytes, 'index.json')) as { manifests: { digest: string }[] })
    .manifests
  const blob = (digest: string): string => documentOf(bytes, `blobs/${digest.replace(':', '/')}`)
  const { config } = JSON.parse(blob(first!.digest)) as { config: { digest: string } }
  return imageRecord(JSON.parse(blob(config.digest)), []).config
}

/** What of progress and report people rely on: no times, sizes and names of the run, no words of the one tool only. */
function progressLines(stderr: string): string[] {
  const lines = stderr
    // oxlint-disable-next-line no-control-regex -- colours
    .replaceAll(/\u001b\[\d*m/g, '')
    .split('\n')
    .map((line) =>
      line
        .replace(/ \[[A-Z_]+(?:, [^\]]*)?\]$/, '')
        .replace(/\(use .* to expand\)/, '(use … to expand)')
        .replace(
          /(?:failed to compute cache key: )?(?:failed to calculate checksum of ref \S+: )?("\/)/,
          '$1',
        )
        .replace(/^(#\d+ )?\d+\.\d{3} /, '$1T ')
        .replace(/^(#\d+ DONE).*/, '$1')
        .replaceAll(/ \d+\.\ds done$/g, ' done')
        .replaceAll(/sha256:[0-9a-f]{64}/g, 'sha256:…')
        .replaceAll(/clamella-output-\w+/g, 'context')
        .replaceAll(/(?:\/[^ ]*)?\/?context\/nope/g, 'nope')
        .trimEnd(),
    )
  const own = lines.findIndex((line) => line.endsWith(' exporting to image'))
  const end = own === -1 ? -1 : lines.findIndex((line, i) => i > own && line.endsWith(' DONE'))
  return lines.filter((line, i) => {
    if (own !== -1 && i >= own && i <= end) return false
    if (line === '' || line.startsWith('#0 ') || line.startsWith('RUN by ')) return false
    if (/^#\d+ transferring /.test(line)) return false
    return (
      !/^#\d+ (?:exporting (?!to)|sending tarball|copying files)/.test(line) ||
      (line.endsWith(' done') && !line.includes('exporting layers'))
    )
  })
}
