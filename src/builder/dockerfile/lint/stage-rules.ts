// Checks that need to know what an instruction finds when its turn comes: variables, working directory, earlier commands. Walks
// a stage as the planner would, without files and without images other than what is told of them.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/{convert.go dispatch, validations.go}
import type { Platform } from '../../../descriptor.js'
import { DockerfileError, type SourceLocation, type SourceRange } from '../../../errors.js'
import type { AddInstruction, ArgInstruction, CopyInstruction, Escape, Instruction, Stage } from '../ast.js'
import { expandInstruction, parseMount } from '../expand-instruction.js'
import { expandWord, type Usage } from '../expand.js'
import { cleanPath, type IgnoreMatcher } from '../ignore.js'
import { parseInstruction } from '../parse.js'
import { parsePort } from '../ports.js'
import { parseSignal } from '../signal.js'
import { suggest } from '../suggest.js'
import type { Linter } from './linter.js'

/** What is known of a base image. */
export interface BaseImageFacts {
  /** `NAME=value`, as in the image config. */
  readonly env?: readonly string[] | undefined
  readonly shell?: readonly string[] | undefined
  readonly onBuild?: readonly string[] | undefined
  readonly platform?: Platform | undefined
}

export interface StageContext {
  readonly escape: Escape
  readonly buildArgs: ReadonlyMap<string, string>
  readonly globalArgs: ReadonlyMap<string, string>
  readonly ignore: IgnoreMatcher | undefined
  readonly locate: (range: SourceRange) => SourceLocation
  readonly linter: Linter
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Arguments that BuildKit reads itself and never puts into the environment. */
const NOT_IN_ENV = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'])

/** What a stage hands to those that are built on it. */
export class StageFacts {
  readonly env: Map<string, string>
  readonly declared: Set<string>
  readonly onBuild: string[] = []
  workdirSet: boolean
  shellSet: boolean

  private constructor(
    env: Map<string, string>,
    declared: Set<string>,
    workdirSet: boolean,
    shellSet: boolean,
  ) {
    this.env = env
    this.declared = declared
    this.workdirSet = workdirSet
    this.shellSet = shellSet
  }

  static ofImage(image: BaseImageFacts | undefined): StageFacts {
    const env = new Map<string, string>()
    for (const pair of image?.env ?? []) {
      const at = pair.indexOf('=')
      env.set(at === -1 ? pair : pair.slice(0, at), at === -1 ? '' : pair.slice(at + 1))
    }
    if (!env.has('PATH')) env.set('PATH', DEFAULT_PATH)
    return new StageFacts(env, new Set(), false, (image?.shell?.length ?? 0) > 0)
  }

  static ofStage(base: StageFacts): StageFacts {
    return new StageFacts(new Map(base.env), new Set(base.declared), base.workdirSet, base.shellSet)
  }
}

/** @throws DockerfileError for what BuildKit refuses in expansions, ports, signals and mounts */
export function checkStage(
  stage: Stage,
  facts: StageFacts,
  triggers: readonly string[],
  context: StageContext,
): void {
  const walk = new StageWalk(facts, context)
  const at = context.locate(stage.from.range)
  for (const trigger of triggers) {
    const instruction = parseInstruction(trigger, { at })
    if (instruction.kind === 'from') {
      throw new DockerfileError('DOCKERFILE_SYNTAX', 'FROM is not a command type', at)
    }
    walk.dispatch({ ...instruction, range: stage.from.range, comments: [] })
  }
  for (const instruction of stage.instructions) walk.dispatch(instruction)
}

class StageWalk {
  readonly #facts: StageFacts
  readonly #context: StageContext
  /** CMD, ENTRYPOINT, HEALTHCHECK: where the last one stood in this stage. */
  readonly #last = new Map<string, SourceRange>()
  #linter: Linter

  constructor(facts: StageFacts, context: StageContext) {
    this.#facts = facts
    this.#context = context
    this.#linter = context.linter
  }

  dispatch(written: Instruction): void {
    this.#linter = this.#context.linter.forComments(written.comments)
    const at = this.#context.locate(written.range)
    // The ports of EXPOSE are expanded without a word about variables that are not set.
    const quiet = written.kind === 'expose'
    const { instruction } = expandInstruction(written, this.#facts.env, {
      escape: this.#context.escape,
      at,
      onWord: quiet ? undefined : (usage) => this.#checkVariables(usage, written.range),
    })
    this.#check(instruction, at)
  }

  #check(instruction: Instruction, at: SourceLocation): void {
    switch (instruction.kind) {
      case 'env':
      case 'label':
        for (const { key, value, legacy } of instruction.pairs) {
          if (legacy) this.#linter.report('LegacyKeyValueFormat', instruction.range, instruction.keyword)
          if (instruction.kind === 'label') continue
          this.#checkSecret('ENV', key, instruction.range)
          setLast(this.#facts.env, key, value)
        }
        return
      case 'arg':
        return this.#arg(instruction, at)
      case 'run':
        for (const spec of instruction.mounts)
          parseMount(spec, (word) => this.#expand(word, instruction.range, at), at)
        return
      case 'add':
      case 'copy':
        return this.#transfer(instruction)
      case 'workdir':
        if (!this.#facts.workdirSet && !instruction.path.startsWith('/')) {
          this.#linter.report('WorkdirRelativePath', instruction.range, instruction.path)
        }
        this.#facts.workdirSet = true
        return
      case 'cmd':
      case 'entrypoint':
        this.#usedOnce(instruction)
        if (instruction.command.form === 'shell' && !this.#facts.shellSet) {
          this.#linter.report('JSONArgsRecommended', instruction.range, instruction.keyword)
        }
        return
      case 'healthcheck':
        return this.#usedOnce(instruction)
      case 'expose':
        return this.#ports(instruction.ports, instruction.range, at)
      case 'shell':
        this.#facts.shellSet = instruction.shell.length > 0
        return
      case 'stopsignal':
        parseSignal(instruction.signal, at)
        return
      case 'onbuild':
        this.#facts.onBuild.push(instruction.expression)
        return
      case 'volume':
        if (instruction.volumes.includes('')) {
          throw new DockerfileError('ARGUMENT_INVALID', 'VOLUME specified can not be an empty string', at)
        }
        return
      case 'maintainer':
      case 'user':
        return
    }
  }

  /** Expands a word that `expandInstruction` leaves alone. */
  #expand(word: string, range: SourceRange, at: SourceLocation): string {
    const expansion = expandWord(word, this.#facts.env, { escape: this.#context.escape, at })
    this.#checkVariables(expansion, range)
    return expansion.value
  }

  #checkVariables({ unset }: Usage, range: SourceRange): void {
    for (const name of unset) {
      if (this.#facts.declared.has(name) || NOT_IN_ENV.has(name)) continue
      this.#linter.report('UndefinedVar', range, name, suggest(name, this.#facts.env.keys()) ?? '')
    }
  }

  #arg(instruction: ArgInstruction, at: SourceLocation): void {
    for (const { name, value } of instruction.args) {
      this.#checkSecret('ARG', name, instruction.range)
      const given = this.#context.buildArgs.get(name)
      const inherited = value === undefined ? this.#context.globalArgs.get(name) : undefined
      const own =
        given === undefined && value !== undefined ? this.#expand(value, instruction.range, at) : undefined
      const result = given ?? own ?? inherited
      if (result !== undefined && !NOT_IN_ENV.has(name)) setLast(this.#facts.env, name, result)
      this.#facts.declared.add(name)
    }
  }

  #transfer(instruction: CopyInstruction | AddInstruction): void {
    const { ignore } = this.#context
    // With `!` patterns nothing certain can be said; other stages and images know no ignore file.
    if (ignore === undefined || ignore.hasExclusions) return
    if (instruction.kind === 'copy' && instruction.from !== undefined) return
    for (const source of instruction.sources) {
      if (isRemote(source)) continue
      const path = cleanPath(source)
      if ((path === '.' || path === '/') && !ignoresEverything(ignore)) continue
      if (!ignore.matchesOrParentMatches(path)) continue
      const command = instruction.kind === 'copy' ? 'Copy' : 'Add'
      this.#linter.report('CopyIgnoredFile', instruction.range, command, path)
    }
  }

  #usedOnce(instruction: Instruction): void {
    const { kind, keyword, range } = instruction
    const earlier = this.#last.get(kind)
    // The earlier one is told: it is the one that counts for nothing.
    if (earlier !== undefined) this.#linter.report('MultipleInstructionsDisallowed', earlier, keyword)
    this.#last.set(kind, range)
  }

  #ports(specs: readonly string[], range: SourceRange, at: SourceLocation): void {
    for (const spec of specs) {
      const port = parsePort(spec, at)
      if (port.protocolCasing) this.#linter.report('ExposeProtoCasing', range, spec)
      if (port.hostPart) this.#linter.report('ExposeInvalidFormat', range, spec)
    }
  }

  #checkSecret(what: 'ARG' | 'ENV', key: string, range: SourceRange): void {
    if (namesSecret(key)) this.#linter.report('SecretsUsedInArgOrEnv', range, what, key)
  }
}

function setLast(env: Map<string, string>, name: string, value: string): void {
  env.delete(name)
  env.set(name, value)
}

const SECRET_WORDS = new Set(
  'apikey auth credential credentials key password pword passwd secret token'.split(' '),
)
const HARMLESS_WORDS = new Set(['public', 'file', 'version'])

/** Whether a word of the name, cut at `_`, is one that names secrets, and none excuses it. */
function namesSecret(name: string): boolean {
  const words = name.toLowerCase().split('_')
  return words.some((word) => SECRET_WORDS.has(word)) && !words.some((word) => HARMLESS_WORDS.has(word))
}

function isRemote(source: string): boolean {
  return /^(?:https?|git|ssh):\/\//.test(source) || /^[^/@]+@[^/:]+:/.test(source)
}

/** Patterns that leave out all of the context's root. */
function ignoresEverything(ignore: IgnoreMatcher): boolean {
  return ignore.patterns.some(({ text, exclusion }) => !exclusion && ['*', '**', '**/*'].includes(text))
}
