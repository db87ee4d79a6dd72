// Runs the build checks over a file: what `docker build --check` does, without files and without a registry.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go (DockerfileLint, toDispatchState)
import type { Platform } from '../../../descriptor.js'
import { DockerfileError, type SourceRange } from '../../../errors.js'
import type { Dockerfile, Stage } from '../ast.js'
import { findCheckDirective } from '../directives.js'
import type { IgnoreMatcher } from '../ignore.js'
import { readNodes } from '../nodes.js'
import { assemble, locationOf, sourceOf } from '../parse.js'
import { formatPlatform, normalizePlatform } from '../platform.js'
import { mountSource } from '../expand-instruction.js'
import { quote, type SourceText } from '../text.js'
import { suggestion } from '../suggest.js'
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
import { type CheckResult, Linter } from './linter.js'
import { NO_CHECK_OPTIONS, parseCheckOptions } from './options.js'
import { type BaseImageFacts, checkStage, type StageContext, StageFacts } from './stage-rules.js'

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
      error = { message: `failed to parse check options: ${checkOptions}`, range: undefined }
    } else {
      linter = new Linter(checkOptions)
      checkAll(source, linter, options)
      if (linter.fails) error = violationError(linter.results)
    }
  } catch (cause) {
    if (!(cause instanceof DockerfileError)) throw cause
    error = describeError(cause)
  }
  return { file, text: source?.text ?? '', warnings: linter.results, error }
}

/** `# check=error=true`: the rules that were violated, each once. */
function violationError(results: readonly CheckResult[]): CheckError {
  const rules = [...new Set(results.map(({ rule }) => rule))]
  return { message: `lint violation found for rules: ${rules.join(', ')}`, range: undefined }
}

/** As BuildKit words it: faults in an instruction's arguments name the line. */
function describeError(error: DockerfileError): CheckError {
  const { range } = error.location
  const prefix = 'instruction' in error.data ? `dockerfile parse error on line ${range.start.line}: ` : ''
  return { message: prefix + error.message, range }
}

function checkAll(source: SourceText, linter: Linter, options: LintOptions): void {
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
  const context: StageContext = {
    escape: dockerfile.escape,
    buildArgs: inputs.buildArgs,
    globalArgs: args.values,
    ignore: options.ignore,
    locate: (range) => locationOf(dockerfile, range),
    linter,
  }
  new StageChecks(dockerfile, froms, inputs, options, context).run()
}

/** The stages of a file in order, each on what it is built on. */
class StageChecks {
  readonly #dockerfile: Dockerfile
  readonly #froms: readonly ResolvedFrom[]
  readonly #inputs: BuildInputs
  readonly #options: LintOptions
  readonly #context: StageContext
  readonly #facts: StageFacts[] = []

  constructor(
    dockerfile: Dockerfile,
    froms: readonly ResolvedFrom[],
    inputs: BuildInputs,
    options: LintOptions,
    context: StageContext,
  ) {
    this.#dockerfile = dockerfile
    this.#froms = froms
    this.#inputs = inputs
    this.#options = options
    this.#context = context
  }

  run(): void {
    const { stages } = this.#dockerfile
    const { target, onlyNeeded = target !== undefined } = this.#options
    const wanted = onlyNeeded ? this.#reachable(this.#targetIndex(target)) : undefined
    for (const stage of stages) {
      const used = wanted === undefined || wanted.has(stage.index)
      const base = this.#base(stage)
      const image = base === undefined ? this.#image(stage, used) : undefined
      const facts = base === undefined ? StageFacts.ofImage(image) : StageFacts.ofStage(this.#facts[base]!)
      this.#facts.push(facts)
      if (!used) continue
      const triggers = base === undefined ? (image?.onBuild ?? []) : this.#facts[base]!.onBuild
      checkStage(stage, facts, triggers, this.#context)
    }
  }

  /** The earlier stage that a stage is built on: the last one of that name before it. */
  #base(stage: Stage): number | undefined {
    const { image } = this.#froms[stage.index]!
    const found = this.#dockerfile.stages.findLast(({ index, name }) => index < stage.index && name === image)
    return found?.index
  }

  #image(stage: Stage, used: boolean): BaseImageFacts | undefined {
    const { image, platform } = this.#froms[stage.index]!
    if (image === 'scratch' || !used) return undefined
    const expected = platform ?? this.#inputs.targetPlatform
    const facts = this.#options.images?.(image, expected)
    const actual = facts?.platform
    if (
      actual !== undefined &&
      (actual.os !== expected.os || actual.architecture !== expected.architecture)
    ) {
      const show = (shown: Platform): string => formatPlatform(normalizePlatform(shown))
      this.#context.linter.report(
        'InvalidBaseImagePlatform',
        stage.from.range,
        image,
        show(expected),
        show(actual),
      )
    }
    return facts
  }

  #stageIndex(name: string): number | undefined {
    return this.#dockerfile.stages.findLast((stage) => stage.name === name.toLowerCase())?.index
  }

  #targetIndex(target: string | undefined): number {
    const { stages } = this.#dockerfile
    if (target === undefined) return stages.length - 1
    const index = this.#stageIndex(target)
    if (index !== undefined) return index
    const names = stages.map(({ name, index: at }) => name ?? `stage-${at}`)
    const message = `target stage ${quote(target)} could not be found${suggestion(target, names)}`
    throw new DockerfileError('ARGUMENT_INVALID', message, this.#context.locate(stages.at(-1)!.from.range))
  }

  /** A stage and all that it is built on, copies from or mounts. */
  #reachable(target: number): ReadonlySet<number> {
    const found = new Set<number>()
    const pending = [target]
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      if (found.has(index)) continue
      found.add(index)
      pending.push(...this.#needs(this.#dockerfile.stages[index]!))
    }
    return found
  }

  #needs(stage: Stage): number[] {
    const base = this.#base(stage)
    const sources = stage.instructions.flatMap((instruction) => {
      if (instruction.kind === 'copy') return [this.#copySource(instruction.from)]
      if (instruction.kind !== 'run') return []
      return instruction.mounts.map((spec) => {
        const from = mountSource(spec)
        return from === undefined ? undefined : this.#stageIndex(from)
      })
    })
    return [base, ...sources].filter((index) => index !== undefined)
  }

  #copySource(from: string | undefined): number | undefined {
    if (from === undefined) return undefined
    if (!/^[0-9]{1,9}$/.test(from)) return this.#stageIndex(from)
    const index = Number(from)
    return index < this.#dockerfile.stages.length ? index : undefined
  }
}
