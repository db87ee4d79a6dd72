// Builds over values: trees in a line-per-entry notation, a clock that stands, base images made on the spot, and stores that
// count what is done to them.
import type { Platform } from '../../src/descriptor.js'
import type { Env } from '../../src/env.js'
import { build, type BuildOptions, type BuildResult } from '../../src/builder/build.js'
import type { ExecRequest, Executor } from '../../src/builder/executor.js'
import { writeImage, type ContainerConfig, type HistoryEntry } from '../../src/oci/index.js'
import { createMemoryStore, MemoryBlobStore, type BlobStore, type Store } from '../../src/store/index.js'
import {
  bytesSource,
  childrenOf,
  commitDiff,
  EMPTY_TREE,
  openTree,
  Tree,
  TreeEditor,
  TreeNode,
  type NodeKind,
} from '../../src/unionfs/index.js'

/**
 * Entries by path, a directory's ends in `/`. The value is words in any order, each optional: `=content`, `->target`,
 * `fifo`, `char=1:3`, octal mode, `uid:gid`, `@seconds` (mtime), `same=PATH` (a further name of that file). What is left
 * out is the default: file 644, directory 755, root's, mtime not compared.
 */
export type TreeText = Readonly<Record<string, string>>

/** The clock of all builds here, in seconds; written `@now`. */
export const NOW = 1_700_000_000

export const fixedEnv: Env = {
  now: () => BigInt(NOW) * 1_000_000_000n,
  randomId: () => Math.random().toString(16).slice(2, 18).padStart(16, '0'),
  concurrency: 4,
}

export function treeOf(text: TreeText): Tree {
  const editor = new TreeEditor(EMPTY_TREE)
  for (const [path, value] of Object.entries(text)) {
    const at = path.replace(/\/$/, '')
    for (let cut = at.indexOf('/'); cut !== -1; cut = at.indexOf('/', cut + 1)) {
      if (editor.lookup(at.slice(0, cut)) === undefined) editor.put(at.slice(0, cut), nodeOf('x/', ''))
    }
    const same = /(?:^| )same=(\S+)/.exec(value)?.[1]
    if (same === undefined) editor.put(at, nodeOf(path, value))
    else editor.link(at, same)
  }
  return editor.finish()
}

function nodeOf(path: string, value: string): TreeNode {
  const content = /(?:^| )=(.*)$/s.exec(value)
  const words = (content === null ? value : value.slice(0, content.index))
    .split(' ')
    .filter((it) => it !== '')
  let kind: NodeKind = path.endsWith('/') ? 'dir' : 'file'
  let meta: Record<string, unknown> = {}
  for (const word of words) {
    if (word.startsWith('->'))
      [kind, meta] = ['symlink', { ...meta, target: word.slice(2), size: word.length - 2 }]
    else if (word === 'fifo') kind = 'fifo'
    else if (word.startsWith('char=')) {
      const [major, minor] = word.slice(5).split(':').map(Number)
      ;[kind, meta] = ['chardev', { ...meta, rdevMajor: major, rdevMinor: minor }]
    } else if (word.startsWith('@')) {
      meta = { ...meta, mtimeSec: word === '@now' ? NOW : Number(word.slice(1)) }
    } else if (word.includes(':')) {
      const [uid, gid] = word.split(':').map(Number)
      meta = { ...meta, uid, gid }
    } else meta = { ...meta, mode: Number.parseInt(word, 8) }
  }
  if (kind === 'dir') return new TreeNode({ kind, ...meta, children: childrenOf([]) })
  if (kind !== 'file') return new TreeNode({ kind, ...meta })
  const bytes = new TextEncoder().encode(content?.[1] ?? '')
  return new TreeNode({
    kind,
    ...meta,
    size: bytes.length,
    source: bytes.length === 0 ? undefined : bytesSource(bytes),
  })
}

/** A tree in the notation, the root left out. @param times  whether mtimes are written */
export function textOf(tree: Tree, times: boolean): Record<string, string> {
  const out: Record<string, string> = {}
  const names = new Map<number, string>()
  for (const { path, node } of tree.walk()) {
    if (path === '') continue
    const first = names.get(node.ino)
    const key = node.kind === 'dir' ? `${path}/` : path
    if (first !== undefined) out[key] = `same=${first}`
    else out[key] = describeNode(node, times)
    if (node.nlink > 1) names.set(node.ino, path)
  }
  return out
}

function describeNode(node: TreeNode, times: boolean): string {
  const words: string[] = []
  const usual = { dir: 0o755, file: 0o644, symlink: 0o777 }[node.kind as string] ?? 0o644
  if (node.mode !== usual) words.push(node.mode.toString(8))
  if (node.uid !== 0 || node.gid !== 0) words.push(`${node.uid}:${node.gid}`)
  if (times) words.push(node.mtimeSec === NOW ? '@now' : `@${node.mtimeSec}`)
  if (node.kind === 'symlink') words.push(`->${node.target}`)
  else if (node.kind === 'fifo') words.push('fifo')
  else if (node.kind === 'chardev') words.push(`char=${node.target}`)
  else if (node.kind === 'file') words.push(`=${new TextDecoder().decode(node.content())}`)
  return words.join(' ')
}

/** Puts an image into a store under a name. */
export async function addImage(
  store: Store,
  name: string,
  files: TreeText,
  config: ContainerConfig = {},
  history: readonly HistoryEntry[] = [{ created_by: 'base', created: '2020-01-01T00:00:00Z' }],
  platform: Platform = { os: 'linux', architecture: 'amd64' },
): Promise<void> {
  const layer = await commitDiff(store, EMPTY_TREE, treeOf(files))
  const image = await writeImage(store.blobs, {
    config: {
      ...platform,
      config,
      rootfs: { type: 'layers', diff_ids: [layer.diffID] },
      history,
    },
    layers: [layer],
  })
  await store.refs.set(name, image.descriptor)
}

export interface Case {
  readonly dockerfile: string
  readonly context?: TreeText
  /** Files of the image `base`. */
  readonly base?: TreeText
  readonly options?: Partial<BuildOptions>
}

export interface Built extends BuildResult {
  readonly store: Store
  readonly tree: Tree
}

/** A cold build of a case in a store of its own. */
export async function buildCase(
  it: Case,
  store: Store = createMemoryStore({ env: fixedEnv }),
): Promise<Built> {
  if (it.base !== undefined) await addImage(store, 'base:latest', it.base)
  const result = await build({
    store,
    env: fixedEnv,
    context: treeOf(it.context ?? {}),
    dockerfile: { text: it.dockerfile, name: 'Dockerfile' },
    executor: writingExecutor,
    ...it.options,
  })
  return { ...result, store, tree: await openTree(store, result.layers) }
}

/** The error of a build that must fail. */
export async function failureOf(
  it: Case,
  store?: Store,
): Promise<Error & { code?: string; data?: Record<string, unknown> }> {
  try {
    await buildCase(it, store)
  } catch (error) {
    return error as Error
  }
  throw new Error(`built, but should have failed:\n${it.dockerfile}`)
}

/**
 * Carries out lines of `NAME ARGS` separated by `;`: `write PATH TEXT`, `read PATH` (prints it), `rm PATH`, `env NAME`
 * (prints it), `ls PATH`, `exit CODE`, `true`.
 */
export const writingExecutor: Executor = {
  name: 'writing',
  capabilities: {
    mounts: ['bind', 'cache', 'tmpfs', 'secret'],
    networks: ['default', 'none', 'host'],
    binaries: false,
  },
  async run(request) {
    for (const line of scriptOf(request).split(';')) {
      const code = perform(request, line.trim())
      if (code !== 0) return { exitCode: code }
    }
    return { exitCode: 0 }
  },
}

function scriptOf(request: ExecRequest): string {
  const { argv, view } = request
  const script = argv.at(-1)!
  if (!script.startsWith('/dev/pipes/')) return script
  return (view.fs.readFileSync(script, 'utf8') as string).split('\n').slice(1).join(';')
}

function perform(request: ExecRequest, line: string): number {
  const [name, path = '', ...rest] = line.split(' ')
  const { fs } = request.view
  const print = (text: string): void => request.onOutput('stdout', new TextEncoder().encode(`${text}\n`))
  const at = path.startsWith('/') ? path : `${request.cwd}/${path}`
  switch (name) {
    case 'write':
      fs.writeFileSync(at, rest.join(' '))
      return 0
    case 'read':
      print(fs.readFileSync(at, 'utf8') as string)
      return 0
    case 'rm':
      fs.rmSync(at, { recursive: true })
      return 0
    case 'ls':
      print((fs.readdirSync(at) as string[]).join(' '))
      return 0
    case 'env': {
      const values = request.env.filter(([key]) => key === path).map(([, value]) => value)
      print(values.length === 0 ? '(unset)' : values.join('|'))
      return 0
    }
    case 'exit':
      return Number(path)
    default:
      return name === 'true' || name === '' ? 0 : 127
  }
}

/** Output of RUN steps as one text. */
export function outputRecorder(): { readonly onEvent: NonNullable<BuildOptions['onEvent']>; text(): string } {
  let out = ''
  return {
    onEvent: (event) => {
      if (event.kind === 'step-output') out += new TextDecoder().decode(event.bytes)
    },
    text: () => out,
  }
}

/** What was done to a store, by name of the method. */
export interface Counts {
  readonly writes: string[]
  /** Blobs whose content was asked for. */
  readonly reads: string[]
}

/** A memory store that writes down every change and every read of a blob. */
export function countingStore(): { readonly store: Store; readonly counts: Counts } {
  const counts: Counts = { writes: [], reads: [] }
  const inner = new MemoryBlobStore()
  const blobs: BlobStore = {
    put: (...args) => (counts.writes.push('blob'), inner.put(...args)),
    get: (digest, range) => (counts.reads.push(digest), inner.get(digest, range)),
    stat: (digest) => inner.stat(digest),
    delete: (digest) => (counts.writes.push('delete'), inner.delete(digest)),
    list: () => inner.list(),
  }
  const store = createMemoryStore({ env: fixedEnv, blobs })
  const note = (name: (...args: readonly string[]) => string) => (args: readonly unknown[]) =>
    void counts.writes.push(name(...(args as string[])))
  return {
    counts,
    store: watched(store, {
      blobs,
      refs: watched(store.refs, {}, { set: note((name) => `ref ${name}`) }),
      records: watched(store.records, {}, { write: note(() => 'records') }),
      sidecars: watched(
        store.sidecars,
        {},
        { put: note((kind) => `sidecar ${kind}`), delete: note(() => 'sidecar') },
      ),
    }),
  }
}

/** An object with some properties replaced and some methods told about before they run. */
function watched<T extends object>(
  target: T,
  replaced: Partial<T>,
  calls: { readonly [Name in keyof T]?: (args: readonly unknown[]) => void } = {},
): T {
  return new Proxy(target, {
    get(_, key) {
      if (key in replaced) return replaced[key as keyof T]
      const value = target[key as keyof T]
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        calls[key as keyof T]?.(args)
        return value.apply(target, args) as unknown
      }
    },
  })
}
