// A build from end to end: read → plan → solve → export. The parts are in their own files; here they meet.
import type { Descriptor, Platform } from '../descriptor.js'
import type { Digest, DiffID } from '../digest.js'
import { systemEnv, type Env } from '../env.js'
import { throwIfAborted } from '../errors.js'
import { refNameOf, type ExportedImage, type Image, type ImageConfig } from '../oci/index.js'
import { encodePath } from '../path.js'
import type { Store } from '../store/index.js'
import { inlineCacheOf, openCaches, writeCaches, type CacheFrom, type CacheTo } from './build-caches.js'
import { checkBuild, KnownSources } from './build-checks.js'
import { absolutePath, readBuildFiles, type ContextSource, type DockerfileSource } from './build-files.js'
import { CacheStore } from './cache.js'
import { BuildLease } from './build-lease.js'
import type { BuildContext } from './context.js'
import type { ExecLimits, Executor } from './executor.js'
import type { SshAgent, SshSource } from './ssh-agent.js'
import { exportImage, nameImage } from './export.js'
import type { GitClient } from './git-client.js'
import { hostGit, resolveContext, type GitContextOptions } from './git-context.js'
import { sourceResolver } from './image-source.js'
import type { KeyScheme } from './key-scheme.js'
import type { OpFactory } from './op-factory.js'
import type { CacheMounts } from './ops/cache-mounts.js'
import { ContextOp } from './ops/context.js'
import { ExecOp } from './ops/exec-op.js'
import { FileOp } from './ops/file-op.js'
import type { Fetch } from './ops/http.js'
import { LazyOp } from './ops/lazy.js'
import { MergeOp } from './ops/merge.js'
import type { SecretSource } from './ops/mounts.js'
import { EMPTY_RESULT, layersOf, type OpServices } from './ops/result.js'
import type { BuildOutput } from './output-spec.js'
import { planBuild, type BuildPlan } from './plan.js'
import type { BuildListener } from './progress.js'
import { solve, type SolveOptions, type StepReport } from './solve.js'
import type { LayerRef, Op } from './vertex.js'

export interface BuildOptions {
  readonly store: Store
  /** Where COPY and ADD take files from: a folder, a git URL, the URL of an archive or a Dockerfile, or a value; default nothing. */
  readonly context?: ContextSource | undefined
  /** Default `Dockerfile` in the context. */
  readonly dockerfile?: DockerfileSource | undefined
  /** Names that the image gets: `app`, `app:1.2`, `registry.example/app:1`. */
  readonly tags?: readonly string[] | undefined
  readonly target?: string | undefined
  readonly buildArgs?: Readonly<Record<string, string>> | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** Further contexts by name: a folder, a value, `docker-image://REF`, `oci-layout://PATH`. */
  readonly contexts?: Readonly<Record<string, ContextSource>> | undefined
  /** What the image is for; default linux/amd64. */
  readonly platform?: Platform | undefined
  readonly buildPlatform?: Platform | undefined
  /** What carries out RUN; several are asked in order. */
  readonly executor?: Executor | readonly Executor[] | undefined
  /** Values of `--mount=type=secret`: bytes or text by id, or where to ask for them. */
  readonly secrets?: Readonly<Record<string, Uint8Array | string>> | SecretSource | undefined
  /** Agents of `--mount=type=ssh` by id, mostly `default`; `openSshAgent` makes them. */
  readonly ssh?: Readonly<Record<string, SshAgent>> | SshSource | undefined
  /** How ADD and contexts fetch URLs; default the platform's `fetch`. */
  readonly fetch?: Fetch | undefined
  /** How git repositories are reached; default the git on PATH. */
  readonly git?: GitClient | undefined
  readonly network?: 'default' | 'none' | 'host' | undefined
  /** `NAME:ADDRESS`, for /etc/hosts of RUN. Names count in keys; addresses never do. A name alone counts and is not shown. */
  readonly extraHosts?: readonly string[] | undefined
  /** Limit of one RUN. */
  readonly timeoutMs?: number | undefined
  /** What one RUN may use; an executor that cannot keep a limit leaves the RUN to the next. No part of any key. */
  readonly limits?: ExecLimits | undefined
  readonly noCache?: boolean | undefined
  /** Names of stages that skip the cache. */
  readonly noCacheFilter?: readonly string[] | undefined
  /**
   * SOURCE_DATE_EPOCH in seconds: when the image and its history were made. Copied files and folders that a step makes
   * have this time too, so that the same inputs give the same image (as in BuildKit of 2026), unless `rewriteTimestamp`
   * is said.
   */
  readonly sourceDateEpoch?: number | undefined
  /**
   * With SOURCE_DATE_EPOCH, what BuildKit 0.25 does: copied files keep their sources' times and only the folders of
   * WORKDIR get the epoch; with `true` the export then brings down to the epoch what is younger, in the layers that the
   * build made.
   */
  readonly rewriteTimestamp?: boolean | undefined
  /** Annotations of the image's manifest. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
  /** Where the image goes besides the store. */
  readonly outputs?: readonly BuildOutput[] | undefined
  readonly keyScheme?: KeyScheme | undefined
  /** Caches to look into after the store's own. One that is not there is left out, with a warning. */
  readonly cacheFrom?: readonly CacheFrom[] | undefined
  /** Where what led to the image is written, beside the store's own cache. */
  readonly cacheTo?: readonly CacheTo[] | undefined
  /** Operations that run at once. */
  readonly concurrency?: number | undefined
  readonly env?: Env | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: BuildListener | undefined
  /** Told about each step that ran and was stored. @internal */
  readonly onStored?: SolveOptions['onStored']
}

export interface BuildResult {
  /** Of the image's manifest. */
  readonly image: Descriptor
  readonly config: ImageConfig
  /** Of the config's bytes: what Docker calls the image's id. */
  readonly configDigest: Digest
  /** Base first. */
  readonly layers: readonly { readonly descriptor: Descriptor; readonly diffID: DiffID }[]
  /** Full names of the refs that point at the image now. */
  readonly names: readonly string[]
  /** What happened to each step, in order of appearance. */
  readonly steps: readonly StepReport[]
  /** What the archives and layouts among the outputs hold, in their order. */
  readonly exports: readonly ExportedImage[]
}

/**
 * Builds a Dockerfile into an image of the store.
 *
 * What succeeded is cached step by step; a step that fails leaves nothing behind, and neither image nor ref is written.
 * An unchanged rebuild gives the same image, writes nothing and opens no layer.
 *
 * @throws DockerfileError, BuildError, ImageError, StoreError; AbortError when the signal fires
 */
export async function build(options: BuildOptions): Promise<BuildResult> {
  const lease = new BuildLease(options.store)
  try {
    return await buildWith(options, (digests) => lease.hold(digests))
  } finally {
    await lease.release()
  }
}

async function buildWith(options: BuildOptions, hold: OpServices['hold']): Promise<BuildResult> {
  // A name that is none costs no build.
  checkNames(options)
  if (options.outputs?.length) {
    const { checkOutput } = await import('./outputs.js')
    options.outputs.forEach(checkOutput)
  }
  const prepared = await prepareBuild(options, hold)
  const { plan } = prepared
  const cache = new CacheStore(options.store, prepared.solve.env)
  const imports = await openCaches(options.store, options.cacheFrom ?? [], options.onEvent)
  const solved = await solve(plan.edge === undefined ? [] : [plan.edge], {
    ...prepared.solve,
    cache,
    imports,
  })
  const [result = EMPTY_RESULT] = solved.results
  const layers = await layersOf({ store: options.store, env: prepared.solve.env ?? systemEnv, hold }, result)
  const keys = solved.keys[0] ?? []
  throwIfAborted(options.signal)
  const image = await exportImage(options.store, {
    hold,
    draft: plan.image,
    layers,
    edge: plan.edge,
    epoch: plan.epoch,
    rewriteTimestamp: options.rewriteTimestamp ?? false,
    baseLayers: baseLayerCount(prepared.baseLayers(), layers),
    inlineCache: options.cacheTo?.some(({ type }) => type === 'inline')
      ? await inlineCacheOf(cache, keys, layers)
      : undefined,
    annotations: options.annotations,
  })
  const wanted = (options.outputs ?? []).flatMap((output) =>
    output.type === 'image' ? (output.names ?? []) : [],
  )
  const names = await nameImage(options.store, [...(options.tags ?? []), ...wanted], image.descriptor)
  await Promise.all(prepared.contexts().map((context) => context.save()))
  await writeCaches(options.store, cache, keys, options.cacheTo ?? [])
  const exports = await writeOutputs(options, image, names, plan.epoch)
  options.onEvent?.({
    kind: 'exported',
    image: image.descriptor.digest,
    config: image.manifest.config.digest,
    names,
  })
  return { ...resultOf(image), names, steps: solved.steps, exports }
}

/** @throws ImageError REFERENCE_INVALID for a name that the image cannot get */
export function checkNames(options: BuildOptions): void {
  for (const name of [...(options.tags ?? []), ...outputNames(options)]) refNameOf(name)
}

/** Names that outputs give, besides the build's tags. */
function outputNames({ outputs = [] }: BuildOptions): readonly string[] {
  return outputs.flatMap((output) => ('names' in output ? (output.names ?? []) : []))
}

async function writeOutputs(
  options: BuildOptions,
  image: Image,
  names: readonly string[],
  epoch: number | undefined,
): Promise<ExportedImage[]> {
  const { outputs = [], store, env = systemEnv, signal, onEvent } = options
  const exports: ExportedImage[] = []
  if (outputs.length === 0) return exports
  const { writeOutput } = await import('./outputs.js')
  const { descriptor, layers } = image
  for (const output of outputs) {
    const startedNs = env.now()
    const exported = await writeOutput(store, { descriptor, layers, names }, output, {
      now: () => env.now(),
      signal,
      epoch,
    })
    if (exported !== undefined) exports.push(exported)
    if (output.type === 'image') continue
    const timeNs = env.now()
    onEvent?.({
      kind: 'output',
      type: output.type,
      dest: typeof output.dest === 'string' ? output.dest : '-',
      image: exported?.descriptor.digest,
      config: exported?.configDigest,
      names: exported?.names ?? [],
      timeNs,
      durationNs: timeNs - startedNs,
    })
  }
  return exports
}

function resultOf(image: Image): Omit<BuildResult, 'names' | 'steps' | 'exports'> {
  const { descriptor, config, manifest, layers } = image
  return { image: descriptor, config, configDigest: manifest.config.digest, layers }
}

/** What is planned but not yet solved. */
export interface PreparedBuild {
  readonly plan: BuildPlan
  readonly solve: SolveOptions
  /** The contexts that were opened so far. */
  readonly contexts: () => readonly BuildContext[]
  /** Layers of the images that stages start from. */
  readonly baseLayers: () => readonly (readonly LayerRef[])[]
}

/** Reads and plans; runs and writes nothing. @throws as `build` */
export async function prepareBuild(options: BuildOptions, hold?: OpServices['hold']): Promise<PreparedBuild> {
  const { store, signal } = options
  const env = options.env ?? systemEnv
  throwIfAborted(signal)
  const git = gitOptions(options, env, hold)
  const context = await resolveContext(options.context, git)
  const files = readBuildFiles({
    context,
    dockerfile: options.dockerfile,
    store,
    signal,
    onRead: ({ name, text }) => {
      const size = typeof text === 'string' ? encodePath(text).byteLength : text.byteLength
      options.onEvent?.({ kind: 'loaded', what: 'definition', name, size })
    },
  })
  const opened = new Set<BuildContext>()
  const main = (): Promise<BuildContext> => {
    const context = files.context()
    opened.add(context)
    return Promise.resolve(context)
  }
  const buildArgs = new Map(Object.entries(options.buildArgs ?? {}))
  if (options.sourceDateEpoch !== undefined)
    buildArgs.set('SOURCE_DATE_EPOCH', String(options.sourceDateEpoch))
  const baseLayers: (readonly LayerRef[])[] = []
  const sources = new KnownSources(
    sourceResolver(store, {
      contexts: new Map(Object.entries(options.contexts ?? {})),
      services: { store, env, hold },
      git,
      signal,
      onContext: (context) => opened.add(context),
      onImage: (image) => baseLayers.push(image.layers),
    }),
  )
  const { target, platform, buildPlatform, onEvent } = options
  const plan = await planBuild(files.dockerfile, {
    ops: ({ epoch }) => {
      // Where times are brought down to the epoch at the end they may as well begin there, and nothing depends on seconds.
      const isReal = epoch === undefined || options.rewriteTimestamp === false
      const clock = isReal ? env : standingClock(env, epoch)
      return opFactory(options, main, sourceOf(context), { store, env: clock, hold })
    },
    copiesKeepTimes: options.rewriteTimestamp !== undefined,
    sources,
    target,
    buildArgs,
    labels: new Map(Object.entries(options.labels ?? {})),
    platform,
    buildPlatform,
    noCache: options.noCache,
    noCacheFilter: options.noCacheFilter,
    network: options.network,
    extraHosts: options.extraHosts?.map((host) => splitHost(host).name),
    cacheNamespace: options.buildArgs?.['BUILDKIT_CACHE_MOUNT_NS'],
  })
  try {
    checkBuild(files, { target, buildArgs, platform, buildPlatform, sources, onEvent })
  } finally {
    onEvent?.({ kind: 'loaded', what: 'ignore', name: files.dockerfile.file, size: files.ignoreSize })
  }
  const solveOptions = {
    store,
    env,
    signal,
    onEvent,
    concurrency: options.concurrency,
    scheme: options.keyScheme,
    scope: buildScope(options),
    onStored: options.onStored,
    hold,
  }
  return { plan, solve: solveOptions, contexts: () => [...opened], baseLayers: () => baseLayers }
}

/** What a build is compared with itself by: the paths of its context and Dockerfile, whatever its arguments are. */
export function buildScope({ context, dockerfile }: BuildOptions): string {
  const folder = typeof context === 'string' ? absolutePath(context) : ''
  const file = typeof dockerfile === 'string' ? absolutePath(dockerfile) : (dockerfile?.name ?? '')
  return `${folder}\0${file}`
}

/** What the cache knows a context by, where that is not its content. */
function sourceOf(context: ContextSource | undefined): Op | undefined {
  return typeof context === 'object' && 'result' in context ? context.source : undefined
}

function opFactory(
  options: BuildOptions,
  context: () => Promise<BuildContext>,
  source: Op | undefined,
  services: OpServices,
): OpFactory {
  const { executor, signal } = options
  const secrets = secretSource(options.secrets)
  const executors = executor === undefined ? [] : 'run' in executor ? [executor] : executor
  const exec = {
    ...services,
    executors,
    caches: cacheMounts(services),
    secrets,
    ssh: sshSource(options.ssh),
    timeoutMs: options.timeoutMs,
    limits: options.limits,
    extraHosts: (options.extraHosts ?? []).flatMap(hostOf),
  }
  return {
    file: (definition) => new FileOp(definition, services),
    run: (definition) => new ExecOp(definition, exec),
    http: (definition) =>
      new LazyOp('http', async () => {
        const { HttpOp } = await import('./ops/http.js')
        return new HttpOp(definition, { ...services, fetch: options.fetch ?? globalThis.fetch })
      }),
    merge: (inputCount) => new MergeOp(inputCount, services),
    git: (definition) =>
      new LazyOp('git', async () => {
        const { GitOp } = await import('./ops/git.js')
        return new GitOp(definition, { ...services, secrets, git: options.git ?? hostGit(), signal })
      }),
    context: () => source ?? new ContextOp(context, services),
  }
}

/** One for all runs of a build, which take turns by it; made when the first of them needs it. */
function cacheMounts({ store, env, hold }: OpServices): () => Promise<CacheMounts> {
  let made: Promise<CacheMounts> | undefined
  return () =>
    (made ??= import('./ops/cache-mounts.js').then(({ CacheMounts }) => new CacheMounts(store, env, hold)))
}

function gitOptions(options: BuildOptions, env: Env, hold: OpServices['hold']): GitContextOptions {
  const { store, git, signal, buildArgs } = options
  const keep = buildArgs?.['BUILDKIT_CONTEXT_KEEP_GIT_DIR'] ?? ''
  const keepGitDir = ['1', 't', 'true'].includes(keep.toLowerCase())
  return {
    store,
    env,
    hold,
    git,
    fetch: options.fetch,
    signal,
    secrets: secretSource(options.secrets),
    keepGitDir,
  }
}

/** The clock of files under SOURCE_DATE_EPOCH. */
function standingClock(env: Env, epoch: number): Env {
  const timeNs = BigInt(epoch) * 1_000_000_000n
  return { now: () => timeNs, randomId: () => env.randomId(), concurrency: env.concurrency }
}

function secretSource(secrets: BuildOptions['secrets']): SecretSource {
  if (typeof secrets === 'function') return secrets
  return (id) => {
    const value = secrets !== undefined && Object.hasOwn(secrets, id) ? secrets[id] : undefined
    return typeof value === 'string' ? new TextEncoder().encode(value) : value
  }
}

/** `NAME:ADDRESS` or `NAME=ADDRESS`; an address of version 6 may stand in brackets. @see docker/buildx util/buildflags */
function splitHost(text: string): { readonly name: string; readonly address: string } {
  const [, name = text, address = ''] = /^([^:=]*)[:=](.*)$/s.exec(text) ?? []
  return { name, address: address.replace(/^\[(.*)\]$/, '$1') }
}

/** Nothing for a name without an address. RUN shares the host's network, where it has one: its gateway is the host itself. */
function hostOf(text: string): (readonly [name: string, address: string])[] {
  const { name, address } = splitHost(text)
  if (address === '') return []
  return [[name, address === 'host-gateway' ? '127.0.0.1' : address]]
}

function sshSource(agents: BuildOptions['ssh']): SshSource {
  if (typeof agents === 'function') return agents
  return (id) => (agents !== undefined && Object.hasOwn(agents, id) ? agents[id] : undefined)
}

/** How many of the layers come from the image that the target starts from. */
function baseLayerCount(bases: readonly (readonly LayerRef[])[], layers: readonly LayerRef[]): number {
  const starts = bases.filter((base) => base.every(({ diffID }, i) => layers[i]?.diffID === diffID))
  return Math.max(0, ...starts.map((base) => base.length))
}
