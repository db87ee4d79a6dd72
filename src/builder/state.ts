// A stage while it is planned: the file system so far (an edge), environment, directory, user, image config.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go dispatchState, client/llb/meta.go
import type { Platform } from '../descriptor.js'
import type { SourceLocation } from '../errors.js'
import type { ArgDeclaration, Instruction, Stage } from './dockerfile/index.js'
import { EnvList, splitPair } from './env-list.js'
import { cloneDraft, emptyDraft, type ImageDraft } from './image-draft.js'
import { DEFAULT_PATH } from './platform.js'
import type { Edge, VertexLabel } from './vertex.js'

/** An instruction with the stages that it takes files from. */
export interface Command {
  readonly instruction: Instruction
  readonly location: SourceLocation
  /** COPY: one; RUN: one for each mount, `undefined` where it has none. */
  readonly sources: readonly (StageState | undefined)[]
  readonly isOnBuild: boolean
}

/** A declared ARG with the value that it has in this stage. */
export interface StageArg {
  readonly name: string
  readonly value: ArgDeclaration['value']
}

export class StageState {
  /** File system after the instructions so far; `undefined` is empty (scratch). */
  edge: Edge | undefined
  env: EnvList = EnvList.EMPTY
  directory = '/'
  user = ''
  image: ImageDraft
  platform: Platform | undefined
  args: readonly StageArg[] = []
  /** This stage set CMD, so that ENTRYPOINT does not clear it. */
  hasCmd = false
  /** Instructions that were planned; only then may another stage copy from here. */
  dispatched = false
  /** The base is known (`resolveBases`). */
  resolved = false
  hasOnBuild = false
  /** No context of the stage's name was looked for yet. */
  replaceable = true
  commands: Command[] = []
  ignoreCache = false
  /** Name in progress; '' when there is only one stage. */
  displayName: string
  private index = 0
  count = 0

  constructor(
    /** `undefined` for an image or context that only a `--from` names. */
    readonly stage: Stage | undefined,
    /** Image, stage or context name after expansion. */
    readonly baseName: string,
    public base: StageState | undefined,
    readonly location: SourceLocation,
  ) {
    this.displayName = stage === undefined ? '' : (stage.name ?? `stage-${stage.index}`)
    this.image = emptyDraft({ os: 'linux', architecture: 'amd64' })
  }

  get name(): string | undefined {
    return this.stage?.name
  }

  /** A context takes the stage's place: nothing of the stage is planned. */
  replace(): void {
    this.base = undefined
    this.commands = []
    this.count = 0
    this.ignoreCache = false
    this.resolved = true
    this.dispatched = true
  }

  /** Takes over what the stage below has; not its ONBUILD triggers. */
  inherit(): void {
    if (this.base === undefined) return
    this.edge = this.base.edge
    this.env = this.base.env
    this.directory = this.base.directory
    this.user = this.base.user
    this.platform = this.base.platform
    this.args = [...this.args, ...this.base.args]
    this.image = cloneDraft(this.base.image)
    delete this.image.config.OnBuild
  }

  /** Brings the image's variables into the environment, after anything inherited; PATH is always there. */
  loadImageEnv(): void {
    const env = this.image.config.Env ?? []
    const hasPath = env.some((pair) => splitPair(pair)[0] === 'PATH')
    if (!hasPath && this.platform?.os !== 'windows') this.image.config.Env = [...env, `PATH=${DEFAULT_PATH}`]
    for (const pair of this.image.config.Env ?? []) this.env = this.env.set(...splitPair(pair))
  }

  /** `[build 2/6] COPY . .`; counts up. */
  label(text: string, command: Command | undefined): VertexLabel {
    const place = this.place()
    const prefix = place === undefined ? '' : `[${place}] ${command?.isOnBuild === true ? 'ONBUILD ' : ''}`
    return {
      name: prefix + text,
      stage: this.name ?? (this.displayName === '' ? undefined : this.displayName),
      index: place === undefined ? undefined : this.index,
      count: place === undefined ? undefined : this.count,
      instruction: command?.instruction.text,
      location: command?.location ?? this.location,
      history: this.image.history,
    }
  }

  /** Takes the last number back: COPY --link shows two vertices under one. */
  repeatIndex(): void {
    this.index--
  }

  private place(): string | undefined {
    if (this.count === 0) return undefined
    this.index++
    const number = String(this.index).padStart(String(this.count).length)
    return `${this.displayName === '' ? '' : `${this.displayName} `}${number}/${this.count}`
  }
}

/** The label of a vertex that no instruction names: `[internal] load build context`. */
export function internalLabel(name: string, location?: SourceLocation): VertexLabel {
  return { name, stage: undefined, index: undefined, count: undefined, instruction: undefined, location }
}
