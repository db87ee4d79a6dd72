// From a Dockerfile to a graph of operations and an image config: only the stages that the target needs, instruction by
// instruction, as BuildKit's frontend does it. Runs nothing; asks only where stages start.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go toDispatchState
import type { Platform } from '../descriptor.js'
import { BuildError, DockerfileError, ImageError } from '../errors.js'
import type { ImageConfig } from '../oci/index.js'
import { dispatch, setDirectory, setUser } from './dispatch.js'
import { edgeOf, type DispatchContext } from './dispatch-context.js'
import {
  expandWord,
  imageNameFault,
  locationOf,
  normalizePlatform,
  suggestion,
  type Dockerfile,
} from './dockerfile/index.js'
import type { EnvList } from './env-list.js'
import { goQuote } from './go-format.js'
import { draftOfImage, emptyDraft, type ImageDraft } from './image-draft.js'
import type { OpFactory, ResolvedSource, SourceResolver } from './op-factory.js'
import { automaticArgs, choosePlatforms, type BuildPlatforms } from './platform.js'
import { circular, SCRATCH, StageGraph } from './stage-graph.js'
import { internalLabel, type StageState } from './state.js'
import type { Edge, Op, VertexLabel } from './vertex.js'

export interface PlanOptions {
  /** Called once, when SOURCE_DATE_EPOCH is known. */
  readonly ops: (settings: { readonly epoch: number | undefined }) => OpFactory
  readonly sources: SourceResolver
  /** Stage to build; default the last. */
  readonly target?: string | undefined
  readonly buildArgs?: ReadonlyMap<string, string> | undefined
  /** Labels that the image gets on top of the Dockerfile's. */
  readonly labels?: ReadonlyMap<string, string> | undefined
  /** What the image is for; default what builds it. */
  readonly platform?: Platform | undefined
  readonly buildPlatform?: Platform | undefined
  /** Look nothing up in the cache. */
  readonly noCache?: boolean | undefined
  /** … only for these stages. */
  readonly noCacheFilter?: readonly string[] | undefined
  /** Copied files keep their sources' times under SOURCE_DATE_EPOCH. */
  readonly copiesKeepTimes?: boolean | undefined
  readonly network?: 'default' | 'none' | 'host' | undefined
  /** Names that RUN can resolve (`--add-host`); the addresses are the executor's. */
  readonly extraHosts?: readonly string[] | undefined
  /** BUILDKIT_CACHE_MOUNT_NS: prefix of the ids of cache mounts. */
  readonly cacheNamespace?: string | undefined
}

export interface BuildPlan {
  /** The target's file system; `undefined` when nothing makes a layer. */
  readonly edge: Edge | undefined
  readonly image: ImageDraft
  /** Name of the target stage in progress; '' when there is only one. */
  readonly stage: string
  /** SOURCE_DATE_EPOCH in seconds. */
  readonly epoch: number | undefined
  /** Absolute paths of the context that some step reads; empty when none does. */
  readonly contextPaths: readonly string[]
}

/** @throws DockerfileError, BuildError, ImageError; each with its place where an instruction is to blame */
export async function planBuild(dockerfile: Dockerfile, options: PlanOptions): Promise<BuildPlan> {
  return new Planner(dockerfile, options).plan()
}

/** @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go commonImageNames */
const COMMON_IMAGES = ['alpine', 'busybox', 'centos', 'debian', 'golang', 'ubuntu', 'fedora'].flatMap(
  (name) => [name, `${name}:latest`],
)

class Planner {
  private readonly platforms: BuildPlatforms
  private readonly buildArgs: ReadonlyMap<string, string>
  private readonly graph: StageGraph
  private readonly context: DispatchContext
  /** One vertex for each source, however many stages start from it. */
  private readonly sourceEdges = new Map<Op, Edge>()
  private readonly resolvedImages = new Map<string, Promise<ResolvedSource>>()
  private readonly resolvedContexts = new Map<string, Promise<ResolvedSource | undefined>>()

  constructor(
    dockerfile: Dockerfile,
    private readonly options: PlanOptions,
  ) {
    this.platforms = choosePlatforms(options.platform, options.buildPlatform)
    const { target = '', noCache, noCacheFilter } = options
    const given = options.buildArgs ?? new Map<string, string>()
    const targetStage = target === '' ? dockerfile.stages.at(-1)?.name : target
    const automatic = automaticArgs(this.platforms, given, targetStage)
    const globalArgs = declareGlobalArgs(dockerfile, automatic, given)
    this.buildArgs = given
    this.graph = new StageGraph(dockerfile, {
      globalArgs,
      buildPlatform: this.platforms.build,
      isNoCache: (name) =>
        noCache === true || (noCacheFilter ?? []).some((it) => it.toLowerCase() === name.toLowerCase()),
    })
    this.context = this.dispatchContext(dockerfile, globalArgs)
  }

  async plan(): Promise<BuildPlan> {
    const target = this.graph.target(this.options.target)
    this.graph.connect()
    const reachable = await this.resolveStages(target)
    for (const state of reachable) if (!state.dispatched) this.dispatchStage(state)
    this.finishImage(target)
    return {
      edge: target.edge,
      image: target.image,
      stage: target.displayName,
      epoch: this.context.epoch,
      contextPaths: [...this.context.contextPaths].toSorted(),
    }
  }

  private dispatchContext(dockerfile: Dockerfile, globalArgs: EnvList): DispatchContext {
    const { options } = this
    const epoch = epochOf(this.buildArgs.get('SOURCE_DATE_EPOCH'))
    const ops = options.ops({ epoch })
    let context: Edge | undefined
    return {
      escape: dockerfile.escape,
      ops,
      globalArgs,
      buildArgs: this.buildArgs,
      proxyEnv: proxyEnv(this.buildArgs),
      epoch,
      copiesKeepTimes: options.copiesKeepTimes ?? false,
      buildContext: () => {
        if (context !== undefined) return context
        const op = ops.context()
        const label = internalLabel(`[internal] ${op.title ?? 'load build context'}`)
        return (context = edgeOf({ op, inputs: [], label, ignoreCache: false }))
      },
      contextPaths: new Set(),
      folderPaths: new Map(),
      network: options.network ?? 'default',
      extraHosts: options.extraHosts ?? [],
      cacheNamespace: options.cacheNamespace ?? '',
    }
  }

  /** Finds where the needed stages start; ONBUILD triggers of a base may need further stages. */
  private async resolveStages(target: StageState): Promise<StageState[]> {
    // Also of stages that nothing needs.
    for (const state of this.graph.states) if (state.base === undefined) checkImageName(state)
    for (;;) {
      for (const state of this.graph.reachable(target)) await this.replaceByContext(state)
      const reachable = this.graph.reachable(target)
      for (const state of reachable) if (state.base === undefined) await this.resolveBase(state)
      if (!reachable.map((state) => this.takeTriggers(state)).includes(true)) return reachable
    }
  }

  private takeTriggers(state: StageState): boolean {
    if (state.hasOnBuild || state.stage === undefined) return false
    state.hasOnBuild = true
    const { base } = state
    const own = base === undefined ? (state.image.config.OnBuild ?? []) : onBuildOf(base)
    delete state.image.config.OnBuild
    return own.length > 0 && this.graph.addTriggers(state, own)
  }

  private async resolveBase(state: StageState): Promise<void> {
    if (state.resolved) return
    state.resolved = true
    const platform = state.platform ?? this.platforms.target
    const named = state.baseName === SCRATCH ? undefined : await this.namedContext(state.baseName, platform)
    if (named !== undefined) this.startFromContext(state, named, platform)
    else if (state.baseName === SCRATCH) {
      state.image = emptyDraft(this.platforms.target)
      state.platform = this.platforms.target
    } else this.start(state, await this.image(state, platform), platform)
    if (state.stage === undefined) state.dispatched = true
  }

  /** A context under a stage's own name is the stage. */
  private async replaceByContext(state: StageState): Promise<void> {
    const { name } = state
    if (state.resolved || state.replaceable === false || name === undefined) return
    state.replaceable = false
    if (name === SCRATCH || name === 'context') return
    const platform = state.platform ?? this.platforms.target
    const source = await this.namedContext(name, platform)
    if (source === undefined) return
    state.replace()
    this.startFromContext(state, source, platform)
    if (source.config !== undefined) state.platform = state.image.platform
  }

  /** One source for all that name it: a step that reads and writes the same one has one input, as its key says. */
  private namedContext(name: string, platform: Platform): Promise<ResolvedSource | undefined> {
    const key = `${name} ${JSON.stringify(platform)}`
    let resolved = this.resolvedContexts.get(key)
    if (resolved === undefined) {
      resolved = this.options.sources.namedContext(name, platform)
      this.resolvedContexts.set(key, resolved)
    }
    return resolved
  }

  private async image(state: StageState, platform: Platform): Promise<ResolvedSource> {
    checkImageName(state)
    const key = `${state.baseName} ${JSON.stringify(platform)}`
    let resolved = this.resolvedImages.get(key)
    if (resolved === undefined) {
      resolved = this.options.sources.image(state.baseName, platform)
      this.resolvedImages.set(key, resolved)
    }
    try {
      return await resolved
    } catch (error) {
      throw this.explain(error, state)
    }
  }

  /** A base that is no image may be a stage that comes later, or the stage itself. */
  private explain(error: unknown, state: StageState): unknown {
    const isMissing = error instanceof BuildError && error.code === 'BASE_IMAGE_NOT_FOUND'
    const later =
      isMissing || error instanceof ImageError ? this.graph.laterStage(state.baseName, state) : undefined
    if (later !== undefined) {
      const circle = this.needs(later, state)
      if (circle) return circular(later, state.location)
      return new BuildError(
        'STAGE_NOT_DEFINED_YET',
        `stage ${JSON.stringify(state.baseName)} needs to be defined before current stage ${JSON.stringify(state.displayName)}`,
        { location: state.location, data: { stage: state.baseName }, cause: error },
      )
    }
    if (!(error instanceof BuildError) || error.location !== undefined) return error
    const hint = isMissing ? suggestion(state.baseName, [...this.graph.names(), ...COMMON_IMAGES]) : ''
    return new BuildError(error.code, error.message + hint, {
      location: state.location,
      data: error.data,
      cause: error,
    })
  }

  /** Whether `state` starts, over any number of FROM lines, from `other`. */
  private needs(state: StageState, other: StageState): boolean {
    const seen = new Set<StageState>()
    for (let at: StageState | undefined = state; at !== undefined && !seen.has(at);) {
      if (at === other) return true
      seen.add(at)
      at = at.base ?? this.graph.laterStage(at.baseName, at)
    }
    return false
  }

  private start(state: StageState, source: ResolvedSource, platform: Platform): void {
    state.platform = platform
    if (source.config === undefined) state.image = emptyDraft(platform)
    else {
      state.image = draftOfImage(source.config)
      if (this.platforms.implicitTarget && state.stage?.from.platform === undefined) {
        state.platform = detectPlatform(source.config, platform, this.platforms.build)
      }
    }
    const { op, name } = source
    if (op !== undefined) state.edge = this.sourceEdge(op, state.label(`FROM ${name}`, undefined))
  }

  private startFromContext(state: StageState, source: ResolvedSource, platform: Platform): void {
    state.platform = platform
    state.image = source.config === undefined ? emptyDraft(platform) : draftOfImage(source.config)
    const { op, name, context = name } = source
    if (op === undefined) return
    const what = op.kind === 'image' ? name.replace(/@.*$/, '') : 'load from client'
    const title = op.title === undefined ? `[context ${context}] ${what}` : `[internal] ${op.title}`
    state.edge = this.sourceEdge(op, internalLabel(title, state.location))
  }

  private sourceEdge(op: Op, label: VertexLabel): Edge {
    const known = this.sourceEdges.get(op)
    if (known !== undefined) return known
    const edge = edgeOf({ op, inputs: [], label, ignoreCache: false })
    this.sourceEdges.set(op, edge)
    return edge
  }

  private dispatchStage(state: StageState): void {
    state.inherit()
    state.dispatched = true
    state.platform ??= this.platforms.target
    state.loadImageEnv()
    const { WorkingDir, User } = state.image.config
    if (WorkingDir !== undefined && WorkingDir !== '') setDirectory(state, WorkingDir)
    if (User !== undefined && User !== '') setUser(state, User)
    for (const command of state.commands) dispatch(state, command, this.context)
  }

  private finishImage(target: StageState): void {
    const { labels } = this.options
    if (labels !== undefined && labels.size > 0) {
      target.image.config.Labels = { ...target.image.config.Labels, ...Object.fromEntries(labels) }
    }
    const { implicitTarget, target: asked } = this.platforms
    const platform = implicitTarget ? target.image.platform : askedPlatform(target.image.platform, asked)
    target.image.platform = normalizePlatform(platform)
  }
}

/** `FROM oci-layout://PATH`, which BuildKit takes only as a named context. */
function isLayoutReference(name: string): boolean {
  return /^oci(?:-layout)?:/.test(name)
}

/** What is no stage must be the name of an image, or of a layout. */
function checkImageName({ baseName, location }: StageState): void {
  if (baseName === SCRATCH || isLayoutReference(baseName)) return
  const fault = imageNameFault(baseName)
  if (fault === undefined) return
  const message = `failed to parse stage name ${JSON.stringify(baseName)}: ${fault}`
  throw new DockerfileError('ARGUMENT_INVALID', message, location, { data: { image: baseName } })
}

/** Triggers that the ONBUILD lines of a stage in this file leave for its child stages. */
function onBuildOf(base: StageState): string[] {
  return base.commands.flatMap(({ instruction }) =>
    instruction.kind === 'onbuild' ? [instruction.expression] : [],
  )
}

/** Without --platform, an image of the machine that builds decides; else the target stays. */
function detectPlatform(image: ImageConfig, target: Platform, build: Platform): Platform {
  if (image.os === target.os && image.architecture === target.architecture) return target
  return image.os === build.os && image.architecture === build.architecture ? build : target
}

/** What was asked for; variant and version stay the image's where system and architecture are the same. */
function askedPlatform(image: Platform, asked: Platform): Platform {
  const isSame = image.os === asked.os && image.architecture === asked.architecture
  if (!isSame) return asked
  return { ...image, ...Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== '')) }
}

/** ARG lines before the first FROM, on top of the automatic arguments; later defaults see earlier values. */
function declareGlobalArgs(
  dockerfile: Dockerfile,
  automatic: EnvList,
  buildArgs: ReadonlyMap<string, string>,
): EnvList {
  let args = automatic
  for (const instruction of dockerfile.globalArgs) {
    const at = locationOf(dockerfile, instruction)
    for (const { name, value } of instruction.args) {
      const given = buildArgs.get(name)
      if (given !== undefined) args = args.set(name, given)
      else if (value !== undefined) {
        args = args.set(name, expandWord(value, args.map, { escape: dockerfile.escape, at }).value)
      }
    }
  }
  return args
}

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'] as const

/** Proxy arguments reach RUN in both cases without being declared. @see solver/llbsolver/ops/exec.go proxyEnvList */
function proxyEnv(buildArgs: ReadonlyMap<string, string>): [string, string][] {
  const found = new Map<string, string>()
  for (const [name, value] of [...buildArgs].toSorted()) found.set(name.toUpperCase(), value)
  return PROXIES.flatMap((name): [string, string][] => {
    const value = found.get(name)
    if (value === undefined || value === '') return []
    return [
      [name, value],
      [name.toLowerCase(), value],
    ]
  })
}

/** What Go's time can write down as RFC 3339: the years 0 to 9999. */
const EPOCH_MIN = -62_167_219_200
const EPOCH_MAX = 253_402_300_799

/** Of the build argument alone: an ARG line says nothing of times. @throws BuildError OPTION_INVALID */
function epochOf(value: string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined
  const seconds = Number(value)
  const isWhole = /^[+-]?\d+$/.test(value)
  if (isWhole && seconds >= EPOCH_MIN && seconds <= EPOCH_MAX) return seconds
  const message = isWhole
    ? 'failed to marshal image config: json: error calling MarshalJSON for type *time.Time: year outside of range [0,9999]'
    : `invalid source-date-epoch: strconv.ParseInt: parsing ${goQuote(value)}: invalid syntax`
  throw new BuildError('OPTION_INVALID', message, { data: { option: 'SOURCE_DATE_EPOCH', value } })
}
