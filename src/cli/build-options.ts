// From the command line of `lamella build` to the options of the library's build().
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs'
import { basename, isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  autoExecutor,
  openSshAgent,
  parseOutput,
  replayExecutor,
  sandboxExecutor,
  shellExecutor,
  type BuildOptions,
  type CacheFrom,
  type CacheTo,
  type Executor,
  type ExecutorChoice,
  type SshAgent,
} from 'lamella/builder'
import type { Store } from 'lamella/store'
import { UsageError, type Arguments, type Io } from './command.js'
import { limits } from './limits.js'

/** `NAME=VALUE`; `NAME` alone takes the value of our own environment, and is left out when it has none there. */
export function pairs(args: Arguments, option: string, env: Io['env']): Record<string, string> {
  const out = new Map<string, string>()
  for (const text of args.strings(option)) {
    const at = text.indexOf('=')
    const name = at === -1 ? text : text.slice(0, at)
    if (name === '') throw new UsageError(`--${option} ${text}: expected NAME=VALUE`)
    const value = at === -1 ? variableOf(env, name) : text.slice(at + 1)
    if (value !== undefined) out.set(name, value)
  }
  return Object.fromEntries(out)
}

/** A variable of our own environment; `constructor` is none, although every object has one. */
export function variableOf(env: Io['env'], name: string): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined
}

/** `--label NAME[=VALUE]`; a name alone has the empty value, as with docker. */
export function labelsOf(args: Arguments): Record<string, string> {
  const named = args.strings('label').map((text) => (text.includes('=') ? text : `${text}=`))
  const wrong = named.find((text) => text.startsWith('='))
  if (wrong !== undefined) throw new UsageError(`--label ${wrong}: expected NAME=VALUE`)
  return Object.fromEntries(
    named.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
  )
}

/** `key=value,key=value`, as docker's options have them. */
function fields(text: string, option: string): Map<string, string> {
  const out = new Map<string, string>()
  for (const field of text.split(',')) {
    const at = field.indexOf('=')
    if (at <= 0) throw new UsageError(`--${option} ${text}: ${JSON.stringify(field)} is not KEY=VALUE`)
    out.set(field.slice(0, at), field.slice(at + 1))
  }
  return out
}

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,12}$/.test(text)) return Number(text)
  throw new UsageError(`${name} is ${JSON.stringify(text)}: expected a whole number of seconds since 1970`)
}

export function platform(args: Arguments): Pick<BuildOptions, 'platform'> {
  const text = args.string('platform')
  if (text === undefined) return {}
  const [os, architecture, variant, ...rest] = text.split('/')
  if (!os || !architecture || rest.length > 0) {
    throw new UsageError(`--platform ${text}: expected OS/ARCHITECTURE[/VARIANT]`)
  }
  return { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }
}

/** Executors in the order in which they are asked: sandbox or shell, whatever the machine allows, when none is named. */
export async function executors(args: Arguments, store: Store, io: Io): Promise<readonly Executor[]> {
  const names = args.strings('executor')
  const out: Executor[] = []
  for (const name of names.length === 0 ? ['auto'] : names) {
    if (name !== 'none') out.push(await executorByName(name, store, io, args.flag('quiet')))
  }
  return out
}

async function executorByName(name: string, store: Store, io: Io, isQuiet: boolean): Promise<Executor> {
  if (name === 'auto') return autoExecutor({ store, onChoice: isQuiet ? undefined : reportChoice(io) })
  if (name === 'shell') return shellExecutor()
  if (name === 'sandbox') return sandboxExecutor({ store })
  if (name.startsWith('replay:')) return replayExecutor({ store, images: [name.slice('replay:'.length)] })
  return loadExecutor(name)
}

/** Says which executor runs RUN, once for each answer. */
function reportChoice(io: Io): (choice: ExecutorChoice) => void {
  const told = new Set<string>()
  return ({ executor, reason }) => {
    const text = `RUN by the ${executor}${reason === '' ? '' : `, because ${reason}`}\n`
    if (!told.has(text)) io.note(text)
    told.add(text)
  }
}

/** A module whose default export is an Executor, or a function that gives one. */
async function loadExecutor(path: string): Promise<Executor> {
  if (!/[./]/.test(path)) {
    throw new UsageError(
      `--executor ${path}: expected auto, sandbox, shell, replay:IMAGE, none or a module's path`,
    )
  }
  const module: unknown = await import(pathToFileURL(resolve(path)).href)
  const value = (module as { default?: unknown }).default
  const executor: unknown = typeof value === 'function' ? await (value as () => unknown)() : value
  if (typeof (executor as Executor | undefined)?.run === 'function') return executor as Executor
  throw new UsageError(`--executor ${path}: its default export is no Executor`)
}

/** `id=NAME[,src=FILE|,env=VARIABLE]`, as docker build takes it. */
function secrets(args: Arguments, env: Io['env']): Record<string, Uint8Array | string> {
  const out = new Map<string, Uint8Array | string>()
  for (const text of args.strings('secret')) {
    const given = fields(text, 'secret')
    const id = given.get('id')
    if (id === undefined) throw new UsageError(`--secret ${text}: expected id=NAME[,src=FILE|,env=VARIABLE]`)
    const file = given.get('src') ?? given.get('source')
    const variable =
      given.get('env') ?? (file === undefined && variableOf(env, id) !== undefined ? id : undefined)
    if (variable === undefined) {
      out.set(id, readFileSync(file ?? id))
      continue
    }
    const value = variableOf(env, variable)
    if (value === undefined) throw new UsageError(`--secret ${text}: ${variable} is not set`)
    out.set(id, value)
  }
  return Object.fromEntries(out)
}

/** `ID[=SOCKET|KEY[,KEY]]`; an id alone is our own agent, as docker build has it. */
async function agents(args: Arguments, env: Io['env']): Promise<Record<string, SshAgent>> {
  const out = new Map<string, SshAgent>()
  for (const text of args.strings('ssh')) {
    const [, id = '', list = ''] = /^([^=]*)=?(.*)$/s.exec(text) ?? []
    const name = id === '' ? 'default' : id
    if (out.has(name)) throw new UsageError(`--ssh ${text}: ${name} is given twice`)
    const paths = list === '' ? [env.SSH_AUTH_SOCK ?? ''] : list.split(',')
    if (paths.includes('')) {
      throw new UsageError(`--ssh ${text}: expected ID=SOCKET or ID=KEY, or SSH_AUTH_SOCK to be set`)
    }
    out.set(name, await openSshAgent(paths))
  }
  return Object.fromEntries(out)
}

/** `type=local,src=DIR[,tag=NAME]`; an image's name is its inline cache. */
function cacheFrom(args: Arguments): CacheFrom[] {
  return args.strings('cache-from').map((text): CacheFrom => {
    if (!text.includes('=')) return { type: 'inline', image: text }
    const given = fields(text, 'cache-from')
    const type = given.get('type')
    const src = given.get('src')
    if (type === 'local' && src !== undefined) return { type, src, tag: given.get('tag') }
    const image = given.get('ref')
    if (type === 'inline' && image !== undefined) return { type, image }
    throw new UsageError(`--cache-from ${text}: expected type=local,src=DIR or the name of an image`)
  })
}

/** `type=local,dest=DIR[,mode=max][,tag=NAME]` or `type=inline`. */
function cacheTo(args: Arguments): CacheTo[] {
  return args.strings('cache-to').map((text): CacheTo => {
    const given = fields(text, 'cache-to')
    const type = given.get('type')
    if (type === 'inline') return { type }
    const dest = given.get('dest')
    const mode = given.get('mode') ?? 'min'
    if (type === 'local' && dest !== undefined && (mode === 'min' || mode === 'max')) {
      return { type, dest, mode, tag: given.get('tag') }
    }
    throw new UsageError(`--cache-to ${text}: expected type=local,dest=DIR[,mode=min|max] or type=inline`)
  })
}

function network(args: Arguments): Pick<BuildOptions, 'network'> {
  const text = args.string('network')
  if (text === undefined) return {}
  if (text === 'default' || text === 'none' || text === 'host') return { network: text }
  throw new UsageError(`--network ${text}: expected default, none or host`)
}

export async function dockerfile(args: Arguments, io: Io): Promise<Pick<BuildOptions, 'dockerfile'>> {
  const path = args.string('file')
  if (path === undefined) return {}
  if (path === '-') return { dockerfile: { text: await readAll(io.stdin()), name: '<stdin>' } }
  if (/^https?:\/\//.test(path))
    return { dockerfile: { text: await fetchText(path, io), name: 'Dockerfile' } }
  // Beside a context from elsewhere, an absolute path is still one of this machine; another is in the context.
  if (isAbsolute(path) && isRemote(args.operands[0]!) && !isPipe(path)) {
    return { dockerfile: { text: readFileSync(path), name: basename(path) } }
  }
  return { dockerfile: isPipe(path) ? { text: await readPipe(path, io), name: path } : path }
}

/** What could be a URL. */
export function isRemote(context: string): boolean {
  return /:|^github\.com\//.test(context) && !existsSync(context)
}

async function fetchText(url: string, io: Io): Promise<Uint8Array> {
  const response = await fetch(url, { signal: io.signal })
  if (!response.ok) throw new UsageError(`--file ${url}: ${response.status} ${response.statusText}`.trim())
  return new Uint8Array(await response.arrayBuffer())
}

/**
 * What `-f <(command)` gives: a descriptor that is open already, so that somebody writes or has written. A FIFO by its own
 * name may have no writer, and a build waits for nobody.
 */
function isPipe(path: string): boolean {
  if (!/^\/(?:dev\/fd|proc\/(?:self|\d+)\/fd)\/\d+$/.test(path)) return false
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFIFO() === true
  } catch {
    return false
  }
}

/** Read once, to its end. */
async function readPipe(path: string, io: Io): Promise<Uint8Array> {
  return readAll(createReadStream(path, { signal: io.signal }))
}

export async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

/**
 * A folder by its path. `-` is standard input: a tar, plain or compressed, or else a Dockerfile without a context, as
 * docker build takes it.
 */
async function context(args: Arguments, io: Io): Promise<Pick<BuildOptions, 'context' | 'dockerfile'>> {
  const operand = args.operands[0]!
  if (operand !== '-') return { context: operand }
  if (args.string('file') === '-') throw new UsageError('the context and the Dockerfile cannot both be stdin')
  const bytes = await readAll(io.stdin())
  if (!isArchive(bytes)) return { dockerfile: { text: bytes, name: '<stdin>' } }
  const { tarContext } = await import('lamella/builder')
  return { context: await tarContext(chunksOf(bytes), { signal: io.signal }) }
}

/** A tar by the magic of its first header; gzip, zstd, bzip2 and xz by theirs. */
function isArchive(bytes: Uint8Array): boolean {
  const magics = ['1f8b', '28b52ffd', '425a68', 'fd377a585a']
  const head = Buffer.from(bytes.subarray(0, 5)).toString('hex')
  return (
    magics.some((magic) => head.startsWith(magic)) ||
    Buffer.from(bytes.subarray(257, 262)).toString() === 'ustar'
  )
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** `NAME:ADDRESS` or `NAME=ADDRESS`. */
export function extraHosts(args: Arguments): readonly string[] {
  const hosts = args.strings('add-host')
  const wrong = hosts.find((text) => !/^[^:=]+[:=].+$/.test(text))
  if (wrong !== undefined) throw new UsageError(`--add-host ${wrong}: expected NAME:ADDRESS`)
  return hosts
}

type Output = NonNullable<BuildOptions['outputs']>[number]

interface Outputs {
  readonly outputs: readonly Output[]
  readonly rewriteTimestamp: boolean | undefined
}

/** `--output`, as buildx takes it: the names of `--tag` go before `name=`, one output at most is standard output. */
function outputsOf(args: Arguments, io: Io): Outputs {
  const stdout = (chunk: Uint8Array): Promise<void> => io.write(chunk)
  const parsed = args.strings('output').map((text) => parseOutput(text, stdout))
  const found = parsed.map(({ output }) => output)
  const toStdout = found.filter((output) => 'dest' in output && output.dest === stdout)
  if (toStdout.length > 1) throw new UsageError('multiple outputs configured to write to stdout')
  if (toStdout.length > 0 && io.isTerminal) {
    throw new UsageError(
      `dest file is required for ${toStdout[0]!.type} exporter. refusing to write to console`,
    )
  }
  const isTree = found.some(({ type }) => type === 'local' || type === 'tar')
  if (isTree && args.string('iidfile') !== undefined) {
    throw new UsageError('local and tar exporters are incompatible with image ID file')
  }
  const { annotations, descriptorAnnotations } = annotationsOf(args)
  const isNamed = args.strings('tag').length > 0
  const outputs = found.map((output): Output => {
    if (output.type === 'local' || output.type === 'tar') return output
    const named = isNamed ? { ...output, names: [] } : output
    if (named.type === 'image') return named
    return {
      ...named,
      annotations: { ...annotations, ...named.annotations },
      descriptorAnnotations: { ...descriptorAnnotations, ...named.descriptorAnnotations },
    }
  })
  return { outputs, rewriteTimestamp: rewriteTimestamp(args.flag('rewrite-timestamp'), parsed) }
}

/** `--annotation [TYPE:]KEY=VALUE`, where TYPE is `manifest` (default) or `manifest-descriptor`. */
function annotationsOf(args: Arguments): {
  readonly annotations: Record<string, string>
  readonly descriptorAnnotations: Record<string, string>
} {
  const annotations: Record<string, string> = {}
  const descriptorAnnotations: Record<string, string> = {}
  for (const text of args.strings('annotation')) {
    const match = /^(?:([a-z,-]+):)?([^=:]+)=(.*)$/s.exec(text)
    if (match === null) throw new UsageError(`--annotation ${text}: expected [TYPE:]KEY=VALUE`)
    const [, types = 'manifest', key = '', value = ''] = match
    for (const type of types.split(',')) {
      if (type === 'manifest') annotations[key] = value
      else if (type === 'manifest-descriptor') descriptorAnnotations[key] = value
      else throw new UsageError(`--annotation ${text}: expected a TYPE of manifest or manifest-descriptor`)
    }
  }
  return { annotations, descriptorAnnotations }
}

/** @throws UsageError that names the option */
export async function buildOptions(args: Arguments, io: Io, store: Store): Promise<BuildOptions> {
  const epoch = wholeNumber(args.string('source-date-epoch') ?? io.env.SOURCE_DATE_EPOCH, 'SOURCE_DATE_EPOCH')
  const { annotations } = annotationsOf(args)
  return {
    store,
    ...(await dockerfile(args, io)),
    ...(await context(args, io)),
    tags: args.strings('tag'),
    target: args.string('target'),
    buildArgs: pairs(args, 'build-arg', io.env),
    labels: labelsOf(args),
    contexts: pairs(args, 'build-context', {}),
    ...platform(args),
    ...network(args),
    extraHosts: extraHosts(args),
    executor: await executors(args, store, io),
    limits: limits(args),
    secrets: secrets(args, io.env),
    ssh: await agents(args, io.env),
    noCache: args.flag('no-cache'),
    noCacheFilter: args.strings('no-cache-filter').flatMap((text) => text.split(',')),
    cacheFrom: cacheFrom(args),
    cacheTo: cacheTo(args),
    sourceDateEpoch: epoch,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...outputsOf(args, io),
    signal: io.signal,
  }
}

/** One output that asks for it is enough, since there is one image; then one that declines. */
function rewriteTimestamp(
  isAsked: boolean,
  outputs: readonly { readonly rewriteTimestamp: boolean | undefined }[],
): boolean | undefined {
  const said = new Set(outputs.map((output) => output.rewriteTimestamp))
  if (isAsked || said.has(true)) return true
  return said.has(false) ? false : undefined
}
