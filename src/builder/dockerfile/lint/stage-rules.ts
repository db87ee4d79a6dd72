// Checks that need to know what an instruction finds when its turn comes: variables, working directory, earlier commands. Walks
// a stage as the planner would, without files and without images other than what is told of them.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/{convert.go dispatch, validations.go}
import type { Platform } from '../../../descriptor.js'
import { DockerfileError, type SourceLocation, type SourceRange } from '../../../errors.js'
import type {
  AddInstruction,
  AnyInstruction,
  ArgInstruction,
  CopyInstruction,
  Escape,
  Instruction,
  RunInstruction,
  RunMount,
  Stage,
} from '../ast.js'
import { expandInstruction, parseMount } from '../expand-instruction.js'
import { expandWord, unsetIn } from '../expand.js'
import { cleanPath, type IgnoreMatcher } from '../ignore.js'
import { parseInstruction } from '../parse.js'
import { parsePort } from '../ports.js'
import { parseSignal } from '../signal.js'
import { suggest } from '../suggest.js'
import { quote } from '../text.js'
import { gitSource, isHttpSource, sourceFault, transferFault } from '../transfer.js'
import type { Linter, LintLevel } from './linter.js'
import { OutlineCapture } from './outline.js'

/** What is known of a base image. */
export interface BaseImageFacts {
  /** `NAME=value`, as in the image config. */
  readonly env?: readonly string[] | undefined
  readonly shell?: readonly string[] | undefined
  readonly onBuild?: readonly string[] | undefined
  /** Working directory. */
  readonly directory?: string | undefined
  readonly platform?: Platform | undefined
}

/** What an instruction takes its files from. */
export interface SourceFacts {
  /** Its own instructions were read: it stands further up, or is an image. */
  readonly ready: boolean
}

export interface StageContext {
  readonly escape: Escape
  readonly buildArgs: ReadonlyMap<string, string>
  readonly globalArgs: ReadonlyMap<string, string>
  readonly ignore: IgnoreMatcher | undefined
  /** @param lines  those that BuildKit names, where they are others */
  readonly locate: (range: SourceRange, lines?: readonly number[]) => SourceLocation
  readonly linter: Linter
}

/** What a stage is called, and where its instructions take files from. */
export interface StageSources {
  readonly name: string
  /** ONBUILD triggers of the base, read. */
  readonly triggers: readonly Instruction[]
  readonly of: (instruction: Instruction) => readonly (SourceFacts | undefined)[]
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Arguments that BuildKit reads itself and never puts into the environment. */
const NOT_IN_ENV = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'])

/** What a stage hands to those that are built on it. */
export class StageFacts {
  readonly env: Map<string, string>
  readonly declared: Set<string>
  outline = new OutlineCapture(new Map(), [])
  /** Absolute. */
  directory: string
  workdirSet: boolean
  shellSet: boolean

  private constructor(
    env: Map<string, string>,
    declared: Set<string>,
    directory: string,
    workdirSet: boolean,
    shellSet: boolean,
  ) {
    this.env = env
    this.declared = declared
    this.directory = directory
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
    const directory = joinDirectory('/', image?.directory ?? '/')
    return new StageFacts(env, new Set(), directory, false, (image?.shell?.length ?? 0) > 0)
  }

  static ofStage(base: StageFacts): StageFacts {
    const { env, declared, directory, workdirSet, shellSet } = base
    return new StageFacts(new Map(env), new Set(declared), directory, workdirSet, shellSet)
  }
}

/** @throws DockerfileError for what BuildKit refuses in expansions, ports, signals and mounts */
export function checkStage(
  stage: Stage,
  facts: StageFacts,
  sources: StageSources,
  context: StageContext,
): void {
  const walk = new StageWalk(facts, sources, context)
  for (const instruction of sources.triggers) walk.dispatch(instruction)
  for (const instruction of stage.instructions) walk.dispatch(instruction)
}

/** Reads the ONBUILD triggers of a stage's base; their place is the stage's FROM. @throws DockerfileError */
export function readTriggers(
  stage: Stage,
  triggers: readonly string[],
  locate: StageContext['locate'],
): Instruction[] {
  const { range } = stage.from
  const at = locate(range)
  return triggers.map((trigger) => {
    const instruction = parseTrigger(trigger, at)
    if (instruction.kind === 'from') {
      throw new DockerfileError('DOCKERFILE_SYNTAX', 'FROM is not a command type', at)
    }
    return { ...instruction, range, comments: [] }
  })
}

/** A fault in a trigger is told without a line of its own. */
function parseTrigger(trigger: string, at: SourceLocation): AnyInstruction {
  try {
    return parseInstruction(trigger, { at })
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    throw new DockerfileError(error.code, error.message, at, { cause: error })
  }
}

class StageWalk {
  readonly #facts: StageFacts
  readonly #sources: StageSources
  readonly #context: StageContext
  /** CMD, ENTRYPOINT, HEALTHCHECK: where the last one stood in this stage. */
  readonly #last = new Map<string, SourceRange>()
  #linter: Linter

  constructor(facts: StageFacts, sources: StageSources, context: StageContext) {
    this.#facts = facts
    this.#sources = sources
    this.#context = context
    this.#linter = context.linter
  }

  dispatch(written: Instruction): void {
    this.#linter = this.#context.linter.forComments(written.comments)
    const at = this.#context.locate(written.range)
    // The ports of EXPOSE are expanded without a word about variables that are not set.
    const quiet = written.kind === 'expose'
    const { instruction } = this.#telling(quiet, written.range, () =>
      expandInstruction(written, this.#facts.env, {
        escape: this.#context.escape,
        at,
        onWord: quiet ? undefined : ({ unset }) => this.#checkVariables(unset, written.range),
      }),
    )
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
        return this.#run(instruction, at)
      case 'add':
      case 'copy':
        return this.#transfer(instruction, at)
      case 'workdir':
        this.#facts.directory = joinDirectory(this.#facts.directory, instruction.path)
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
      case 'volume':
        if (instruction.volumes.includes('')) {
          throw new DockerfileError('ARGUMENT_INVALID', 'VOLUME specified can not be an empty string', at)
        }
        return
      case 'maintainer':
      case 'onbuild':
      case 'user':
        return
    }
  }

  /** Expands a word that `expandInstruction` leaves alone. */
  #expand(word: string, range: SourceRange, at: SourceLocation): string {
    const expansion = this.#telling(false, range, () =>
      expandWord(word, this.#facts.env, { escape: this.#context.escape, at }),
    )
    this.#checkVariables(expansion.unset, range)
    return expansion.value
  }

  /** An expansion that fails has looked variables up, too. */
  #telling<T>(quiet: boolean, range: SourceRange, expand: () => T): T {
    try {
      return expand()
    } catch (error) {
      if (!quiet) this.#checkVariables(unsetIn(error), range)
      throw error
    }
  }

  #checkVariables(unset: Iterable<string>, range: SourceRange): void {
    for (const name of unset) {
      if (this.#facts.declared.has(name) || NOT_IN_ENV.has(name)) continue
      this.#linter.report('UndefinedVar', range, name, suggest(name, this.#facts.env.keys()) ?? '')
    }
  }

  #arg(instruction: ArgInstruction, at: SourceLocation): void {
    for (const { name, value, description } of instruction.args) {
      this.#checkSecret('ARG', name, instruction.range)
      const given = this.#context.buildArgs.get(name)
      const inherited = value === undefined ? this.#context.globalArgs.get(name) : undefined
      const own =
        given === undefined && value !== undefined ? this.#expand(value, instruction.range, at) : undefined
      const result = given ?? own ?? inherited
      if (result !== undefined && !NOT_IN_ENV.has(name)) setLast(this.#facts.env, name, result)
      this.#facts.declared.add(name)
      const { outline } = this.#facts
      outline.used.add(name)
      // What comes from the global scope is told where it was declared.
      if (inherited !== undefined && given === undefined) continue
      const { range } = instruction
      outline.args.set(name, { name, description, value: result, range, from: new Set() })
    }
  }

  #run(instruction: RunInstruction, at: SourceLocation): void {
    const { mounts, range } = instruction
    // All are read before any is mounted.
    const read = mounts.map((spec) => parseMount(spec, (word) => this.#expand(word, range, at), at))
    const sources = this.#sources.of(instruction)
    read.forEach((mount, index) => {
      const fault = mountFault(mount, this.#facts.directory, sources[index])
      if (fault !== undefined) throw new DockerfileError('FLAG_INVALID', fault, at)
      this.#noteMount(mount, range)
    })
  }

  #noteMount(mount: RunMount, range: SourceRange): void {
    const { secrets, ssh } = this.#facts.outline
    if (mount.type !== 'secret' && mount.type !== 'ssh') return
    const name = mount.type === 'secret' ? secretId(mount) : (mount.id ?? 'default')
    const known = mount.type === 'secret' ? secrets : ssh
    if (!known.has(name)) known.set(name, { name, required: mount.required, range })
  }

  #transfer(instruction: CopyInstruction | AddInstruction, at: SourceLocation): void {
    const [from] = this.#sources.of(instruction)
    const refuse = (fault: string | undefined): void => {
      if (fault !== undefined) throw new DockerfileError('FLAG_INVALID', fault, at)
    }
    if (instruction.kind === 'copy' && from?.ready === false) {
      const stages = `cannot copy from stage ${quote(instruction.from!)}, it needs to be defined before current stage`
      refuse(`${stages} ${quote(this.#sources.name)}`)
    }
    refuse(transferFault(instruction))
    for (const source of instruction.sources) {
      refuse(sourceFault(instruction, source))
      this.#checkIgnored(instruction, source)
    }
  }

  #checkIgnored(instruction: CopyInstruction | AddInstruction, source: string): void {
    const { ignore, linter } = this.#context
    if (linter.level === 'bundled') return this.#checkIgnoredAsWritten(instruction, source)
    // With `!` patterns nothing certain can be said; other stages and images know no ignore file.
    if (ignore === undefined || ignore.hasExclusions) return
    if (instruction.kind === 'copy' && instruction.from !== undefined) return
    if (gitSource(source) !== undefined || isHttpSource(source)) return
    const path = cleanPath(source)
    if ((path === '.' || path === '/') && !ignoresEverything(ignore)) return
    if (!ignore.matchesOrParentMatches(path)) return
    const command = instruction.kind === 'copy' ? 'Copy' : 'Add'
    this.#linter.report('CopyIgnoredFile', instruction.range, command, path)
  }

  /** The rule while it was an experiment: the path as it is written, whatever `!` patterns say. */
  #checkIgnoredAsWritten(instruction: CopyInstruction | AddInstruction, source: string): void {
    const { ignore } = this.#context
    if (ignore === undefined || (instruction.kind === 'copy' && instruction.from !== undefined)) return
    if (gitSource(source) !== undefined || isHttpSource(source) || !ignore.matchesOrParentMatches(source))
      return
    const command = instruction.kind === 'copy' ? 'Copy' : 'Add'
    this.#linter.report('CopyIgnoredFile', instruction.range, command, source)
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
      parsePort(spec, at, ({ protocolCasing, hostPart }) => {
        if (protocolCasing) this.#linter.report('ExposeProtoCasing', range, spec)
        if (hostPart) this.#linter.report('ExposeInvalidFormat', range, spec)
      })
    }
  }

  #checkSecret(what: 'ARG' | 'ENV', key: string, range: SourceRange): void {
    if (namesSecret(key, this.#linter.level)) this.#linter.report('SecretsUsedInArgOrEnv', range, what, key)
  }
}

function setLast(env: Map<string, string>, name: string, value: string): void {
  env.delete(name)
  env.set(name, value)
}

const SECRET_WORDS = new Set(
  'apikey auth credential credentials key password pword passwd secret token'.split(' '),
)
/** What excuses a name; the front end inside BuildKit 0.25 knows only the first. */
const HARMLESS_WORDS = ['public', 'file', 'version']

/** Whether a word of the name, cut at `_`, is one that names secrets, and none excuses it. */
function namesSecret(name: string, level: LintLevel): boolean {
  const words = name.toLowerCase().split('_')
  const harmless = level === 'bundled' ? HARMLESS_WORDS.slice(0, 1) : HARMLESS_WORDS
  return words.some((word) => SECRET_WORDS.has(word)) && !words.some((word) => harmless.includes(word))
}

/** What is wrong with a mount. @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert_runmount.go */
function mountFault(mount: RunMount, directory: string, from: SourceFacts | undefined): string | undefined {
  if (mount.type === 'secret') return undefined
  if (mount.type === 'ssh') return mount.source === undefined ? undefined : 'ssh does not support source'
  const target = mount.target ?? ''
  if (from?.ready === false)
    return `cannot mount from stage ${quote(mount.from ?? '')} to ${quote(target)}, stage needs to be defined before current command`
  return joinDirectory(directory, target) === '/' ? 'invalid mount target "/"' : undefined
}

function secretId({ source, id, target = '' }: RunMount): string {
  return source ?? id ?? (cleanPath(target).split('/').at(-1) || '/')
}

function joinDirectory(directory: string, path: string): string {
  return path.startsWith('/') ? cleanPath(path) : cleanPath(`${directory}/${path}`)
}

/** Patterns that leave out all of the context's root. */
function ignoresEverything(ignore: IgnoreMatcher): boolean {
  return ignore.patterns.some(({ text, exclusion }) => !exclusion && ['*', '**', '**/*'].includes(text))
}
