// Runs the build checks over a file: what `docker build --check` does, without files and without a registry.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go (DockerfileLint, toDispatchState)
import type { Platform } from '../../../descriptor.js'
import { DockerfileError, type SourceLocation, type SourceRange } from '../../../errors.js'
import type { Dockerfile, Instruction, Stage } from '../ast.js'
import { detectSyntax, findCheckDirective } from '../directives.js'
import type { IgnoreMatcher } from '../ignore.js'
import { readNodes } from '../nodes.js'
import { assemble, sourceOf } from '../parse.js'
import { formatPlatform, normalizePlatform } from '../platform.js'
import { imageNameFault } from '../image-name.js'
import { lineNumbers, quote, type SourceText } from '../text.js'
import {
  checkBefore,
  checkContinuations,
  checkDescription,
  checkKeywordCasing,
  checkStageNames,
} from './file-rules.js'
import {
  automaticArgs,
  type BuildInputs,
  checkDefaultImages,
  checkFrom,
  globalArgs,
  type ResolvedFrom,
} from './global-args.js'
import { type CheckResult, Linter, type LintLevel } from './linter.js'
import { type ArgInfo, gatherOutline, type Outline, OutlineCapture } from './outline.js'
import { NO_CHECK_OPTIONS, parseCheckOptions } from './options.js'
import { type LinkedStage, StageLinks } from './stage-links.js'
import {
  type BaseImageFacts,
  checkStage,
  readTriggers,
  type StageContext,
  StageFacts,
  type StageSources,
} from './stage-rules.js'

export interface LintOptions {
  /** Name for locations; default `Dockerfile`. */
  readonly file?: string | undefined
  readonly buildArgs?: ReadonlyMap<string, string> | undefined
  /** Only this stage and what it needs; without it all stages are checked. */
  readonly target?: string | undefined
  /** As a build does: without a target only the last stage and what it needs. */
  readonly onlyNeeded?: boolean | undefined
  readonly targetPlatform?: Platform | undefined
  readonly buildPlatform?: Platform | undefined
  /** The context's ignore rules, for CopyIgnoredFile. */
  readonly ignore?: IgnoreMatcher | undefined
  /** In place of the file's `# check=`: the build argument BUILDKIT_DOCKERFILE_CHECK. */
  readonly check?: string | undefined
  /** What is known of an image, by its name as FROM gives it; `undefined` counts as an image that sets only PATH. */
  readonly images?: ((name: string, platform: Platform) => BaseImageFacts | undefined) | undefined
}

export interface CheckReport {
  readonly file: string
  readonly text: string
  /** In the order in which BuildKit finds them. */
  readonly warnings: readonly CheckResult[]
  /** What would stop a build; checks after it did not run. */
  readonly error: CheckError | undefined
}

export interface CheckError {
  readonly message: string
  readonly range: SourceRange | undefined
  /** The lines that BuildKit names for it, which are those of whole instructions. */
  readonly lines: readonly number[]
}

const DEFAULT_PLATFORM: Platform = { os: 'linux', architecture: 'amd64' }

/** Checks a file. A fault in the file is part of the report; nothing is thrown for it. */
export function lintDockerfile(text: string | Uint8Array, options: LintOptions = {}): CheckReport {
  const file = options.file ?? 'Dockerfile'
  let source: SourceText | undefined
  let linter = new Linter(NO_CHECK_OPTIONS)
  let error: CheckError | undefined
  try {
    source = sourceOf(text, file)
    const checkOptions = parseCheckOptions(options.check ?? findCheckDirective(source)?.value ?? '')
    if (typeof checkOptions === 'string') {
      const what = options.check === undefined ? 'check options' : 'build-arg:BUILDKIT_DOCKERFILE_CHECK'
      error = { message: `failed to parse ${what}: ${checkOptions}`, range: undefined, lines: [] }
    } else {
      linter = new Linter(checkOptions, levelOf(source.text, options))
      checkAll(source, linter, options)
      if (linter.fails) error = violationError(linter.results)
    }
  } catch (cause) {
    if (!(cause instanceof DockerfileError)) throw cause
    error = describeError(cause)
  }
  return { file, text: source?.text ?? '', warnings: linter.results, error }
}

/**
 * What a target takes: arguments, secrets, SSH keys of all the stages that it needs.
 *
 * @throws DockerfileError for what would stop a build
 */
export function outlineDockerfile(text: string | Uint8Array, options: LintOptions = {}): Outline {
  const source = sourceOf(text, options.file)
  return checkAll(source, new Linter({ ...NO_CHECK_OPTIONS, skipAll: true }), {
    ...options,
    onlyNeeded: true,
  })
}

/** Which front end BuildKit would read the file with. */
function levelOf(text: string, options: LintOptions): LintLevel {
  const syntax = options.buildArgs?.get('BUILDKIT_SYNTAX') ?? detectSyntax(text)
  return syntax === undefined ? 'bundled' : 'newest'
}

/** `# check=error=true`: the rules that were violated, each once. */
function violationError(results: readonly CheckResult[]): CheckError {
  const rules = [...new Set(results.map(({ rule }) => rule))]
  return { message: `lint violation found for rules: ${rules.join(', ')}`, range: undefined, lines: [] }
}

/** As BuildKit words it: faults in an instruction's arguments name the line. */
function describeError(error: DockerfileError): CheckError {
  const { range, buildkitLines } = error.location
  const lines = buildkitLines ?? lineNumbers(range.start.line, range.end.line)
  const prefix = 'instruction' in error.data ? `dockerfile parse error on line ${lines[0]}: ` : ''
  return { message: prefix + error.message, range, lines }
}

/** @returns what the target takes */
function checkAll(source: SourceText, linter: Linter, options: LintOptions): Outline {
  const raw = readNodes(source)
  checkContinuations(raw, linter)
  const dockerfile = assemble(source, raw, {
    before: (node) => checkBefore(node, source, linter),
    after: (instruction) => checkDescription(instruction, linter),
  })
  checkStageNames(dockerfile, linter)
  checkKeywordCasing(dockerfile, linter)
  const buildPlatform = options.buildPlatform ?? options.targetPlatform ?? DEFAULT_PLATFORM
  const inputs: BuildInputs = {
    buildArgs: options.buildArgs ?? new Map(),
    target: options.target,
    buildPlatform,
    targetPlatform: options.targetPlatform ?? buildPlatform,
  }
  const automatic = automaticArgs(dockerfile, inputs)
  checkDefaultImages(dockerfile, automatic, linter)
  const args = globalArgs(dockerfile, automatic, inputs.buildArgs)
  const froms = dockerfile.stages.map(({ from }) => checkFrom(dockerfile, from, args, inputs, linter))
  const locate = (range: SourceRange, lines?: readonly number[]): SourceLocation =>
    source.locate(range, lines)
  const context: StageContext = {
    escape: dockerfile.escape,
    buildArgs: inputs.buildArgs,
    globalArgs: args.values,
    ignore: options.ignore,
    locate,
    linter,
  }
  const links = new StageLinks(dockerfile, locate)
  return new StageChecks(dockerfile, froms, inputs, options, context, links, args.infos).run()
}

/** The stages of a file: what they are built on, then their instructions, in order. */
class StageChecks {
  readonly #dockerfile: Dockerfile
  readonly #froms: readonly ResolvedFrom[]
  readonly #inputs: BuildInputs
  readonly #options: LintOptions
  readonly #context: StageContext
  readonly #links: StageLinks
  readonly #facts = new Map<number, StageFacts>()
  readonly #captures: OutlineCapture[] = []

  constructor(
    dockerfile: Dockerfile,
    froms: readonly ResolvedFrom[],
    inputs: BuildInputs,
    options: LintOptions,
    context: StageContext,
    links: StageLinks,
    globals: ReadonlyMap<string, ArgInfo>,
  ) {
    this.#dockerfile = dockerfile
    this.#froms = froms
    this.#inputs = inputs
    this.#options = options
    this.#context = context
    this.#links = links
    for (const stage of links.all) {
      const base = this.#base(stage)
      const { used } = froms[stage.index!]!
      // A stage sees what the FROM above its base used, not what the base's instructions declare.
      const capture = base === undefined ? new OutlineCapture(globals, used) : this.#captures[base.index!]!
      this.#captures.push(
        base === undefined ? capture : new OutlineCapture(capture.args, [...capture.used, ...used]),
      )
    }
  }

  run(): Outline {
    const { target, onlyNeeded = target !== undefined } = this.#options
    const links = this.#links
    const wanted = links.target(target)
    links.connect()
    const images = new Map<LinkedStage, BaseImageFacts | undefined>()
    const isUsed = (stage: LinkedStage): boolean => !onlyNeeded || this.#needed(wanted).has(stage)
    for (const stage of links.all)
      if (isUsed(stage) && this.#base(stage) === undefined) images.set(stage, this.#image(stage))
    const triggers = this.#triggers(wanted, images)
    for (const stage of this.#dockerfile.stages) {
      const linked = links.all[stage.index]!
      if (!isUsed(linked)) continue
      const base = this.#base(linked)
      const facts = base === undefined ? StageFacts.ofImage(images.get(linked)) : this.#factsOf(base)
      facts.outline = this.#captures[stage.index]!
      this.#facts.set(stage.index, facts)
      const sources: StageSources = {
        name: links.all.length === 1 ? '' : linked.name,
        triggers: triggers.get(linked) ?? [],
        of: (instruction) =>
          links
            .link(linked, instruction, instruction.range)
            .map((source) => source && { ready: this.#isReady(source, stage) }),
      }
      checkStage(stage, facts, sources, this.#context)
    }
    return gatherOutline(this.#dockerfile, wanted.index!, this.#visited(wanted))
  }

  /** The captures of a stage, of what it is built on, and of what these take files from, depth first. */
  #visited(stage: LinkedStage, seen = new Set<LinkedStage>()): OutlineCapture[] {
    if (seen.has(stage)) return []
    seen.add(stage)
    const base = this.#base(stage)
    const own = stage.index === undefined ? [] : [this.#captures[stage.index]!]
    const below = base === undefined ? [] : this.#visited(base, seen)
    return [...own, ...below, ...[...stage.sources.keys()].flatMap((source) => this.#visited(source, seen))]
  }

  /** What BuildKit reads before any instruction: triggers of the bases, for what the target needs. */
  #triggers(
    wanted: LinkedStage,
    images: ReadonlyMap<LinkedStage, BaseImageFacts | undefined>,
  ): Map<LinkedStage, Instruction[]> {
    const found = new Map<LinkedStage, Instruction[]>()
    for (let hasMore = true; hasMore;) {
      hasMore = false
      for (const linked of this.#links.all.filter((stage) => this.#needed(wanted).has(stage))) {
        if (linked.index === undefined || found.has(linked)) continue
        const stage = this.#dockerfile.stages[linked.index]!
        const base = this.#base(linked)
        const texts = base === undefined ? (images.get(linked)?.onBuild ?? []) : this.#onBuildOf(base)
        const instructions = readTriggers(stage, texts, this.#context.locate)
        found.set(linked, instructions)
        for (const instruction of instructions)
          if (this.#links.link(linked, instruction, stage.from.range, true).length > 0) hasMore = true
      }
    }
    return found
  }

  #onBuildOf(base: LinkedStage): string[] {
    const { instructions } = this.#dockerfile.stages[base.index!]!
    return instructions.flatMap((each) => (each.kind === 'onbuild' ? [each.expression] : []))
  }

  #needed(target: LinkedStage): ReadonlySet<LinkedStage> {
    return this.#links.reachable(target, (stage) => this.#base(stage))
  }

  #isReady(source: LinkedStage, stage: Stage): boolean {
    return source.index === undefined || source.index <= stage.index
  }

  /** The earlier stage that a stage is built on: the last one of that name before it. */
  #base(stage: LinkedStage): LinkedStage | undefined {
    if (stage.index === undefined) return undefined
    const { image } = this.#froms[stage.index]!
    const found = this.#dockerfile.stages.findLast(
      ({ index, name }) => index < stage.index! && name === image,
    )
    return found && this.#links.all[found.index]
  }

  #factsOf(base: LinkedStage): StageFacts {
    const facts = this.#facts.get(base.index!)
    return facts === undefined ? StageFacts.ofImage(undefined) : StageFacts.ofStage(facts)
  }

  /** What is known of the image that a stage starts from. @throws DockerfileError when it can be none */
  #image(stage: LinkedStage): BaseImageFacts | undefined {
    const { locate, linter } = this.#context
    const from = stage.index === undefined ? undefined : this.#froms[stage.index]!
    const image = from?.image ?? stage.name
    if (image === 'scratch') return undefined
    const fault = imageNameFault(image)
    if (fault !== undefined) {
      const message = `failed to parse stage name ${quote(image)}: ${fault}`
      const last = this.#dockerfile.stages.at(-1)!.from.range
      const at = stage.from === undefined ? locate(last, []) : locate(stage.from)
      throw new DockerfileError('ARGUMENT_INVALID', message, at)
    }
    const expected = from?.platform ?? this.#inputs.targetPlatform
    const facts = this.#options.images?.(image, expected)
    const actual = facts?.platform
    const differs =
      actual !== undefined && (actual.os !== expected.os || actual.architecture !== expected.architecture)
    if (differs && stage.from !== undefined) {
      const show = (shown: Platform): string => formatPlatform(normalizePlatform(shown))
      linter.report('InvalidBaseImagePlatform', stage.from, image, show(expected), show(actual))
    }
    return facts
  }
}
