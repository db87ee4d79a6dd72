// The stages of a Dockerfile and what they take from each other: names, bases, `--from`, ONBUILD, and which of them a
// target needs. Pure.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go buildDispatchStates, toCommand, validateCircularDependency
import { BuildError, DockerfileError, type SourceLocation } from '../errors.js'
import type { Platform } from '../descriptor.js'
import {
  expandWord,
  locationOf,
  mountSource,
  parseInstruction,
  parsePlatform,
  suggestion,
  type Dockerfile,
  type Instruction,
  type Stage,
} from './dockerfile/index.js'
import type { EnvList } from './env-list.js'
import { StageState, type Command } from './state.js'

export const SCRATCH = 'scratch'

export interface StageGraphOptions {
  readonly globalArgs: EnvList
  readonly buildPlatform: Platform
  /** Whether a stage of this name skips the cache; '' for a stage without a name. */
  readonly isNoCache: (name: string) => boolean
}

/** All stages in file order, then the images and contexts that only a `--from` names. */
export class StageGraph {
  readonly states: StageState[] = []
  private readonly byName = new Map<string, StageState>()
  /** What each stage takes files from, with the last command that does. */
  private readonly dependencies = new Map<StageState, Map<StageState, Command>>()
  private stageCount = 0

  constructor(
    private readonly dockerfile: Dockerfile,
    private readonly options: StageGraphOptions,
  ) {
    for (const stage of dockerfile.stages) this.addStage(stage)
    this.stageCount = this.states.length
  }

  /** Finds what the stages take from each other. @throws BuildError STAGE_CIRCULAR, STAGE_NOT_FOUND; DockerfileError */
  connect(): void {
    const { dockerfile } = this
    for (const state of this.states.slice()) {
      const { stage } = state
      if (stage === undefined) continue
      const locate = (instruction: Instruction): SourceLocation => locationOf(dockerfile, instruction)
      state.commands = stage.instructions.map((it) => this.command(state, it, locate(it), false))
    }
    this.refuseCircles()
    // A mount counts as one more stage, even when it takes from none. @see convert_runmount.go detectRunMount
    const hasMounts = (state: StageState): boolean =>
      state.commands.some(({ instruction: it }) => it.kind === 'run' && it.mounts.length > 0)
    if (this.states.length === 1 && !hasMounts(this.states[0]!)) this.states[0]!.displayName = ''
  }

  /** @throws BuildError STAGE_NOT_FOUND with a suggestion */
  target(name: string | undefined): StageState {
    if (name === undefined || name === '') return this.states[this.stageCount - 1]!
    const found = this.byName.get(name.toLowerCase())
    if (found !== undefined) return found
    const hint = suggestion(name, this.names())
    throw new BuildError(
      'STAGE_NOT_FOUND',
      `target stage ${JSON.stringify(name)} could not be found${hint}`,
      { data: { stage: name, stages: [...this.byName.keys()] } },
    )
  }

  /** As progress names them: `stage-0` for a stage without a name. */
  names(): string[] {
    return this.states.flatMap(({ displayName }) => (displayName === '' ? [] : [displayName]))
  }

  /** The stages that a stage needs, itself included, in the order in which they are planned. */
  reachable(target: StageState): StageState[] {
    const seen = new Set<StageState>()
    const visit = (state: StageState): void => {
      if (seen.has(state)) return
      seen.add(state)
      if (state.base !== undefined) visit(state.base)
      for (const on of this.dependencies.get(state)?.keys() ?? []) visit(on)
    }
    visit(target)
    return this.states.filter((state) => seen.has(state))
  }

  /** A stage of this name that comes after `state` in the file, for the error of a FROM that nothing else answers. */
  laterStage(name: string, state: StageState): StageState | undefined {
    const found = this.byName.get(name.toLowerCase())
    return found !== undefined && this.states.indexOf(found) >= this.states.indexOf(state) ? found : undefined
  }

  /** Puts the triggers of a base in front of a stage's instructions. @returns whether they name further stages */
  addTriggers(state: StageState, triggers: readonly string[]): boolean {
    const commands = triggers.map((text) => {
      const instruction = parseInstruction(text, { file: this.dockerfile.file, at: state.location })
      if (
        instruction.kind === 'from' ||
        instruction.kind === 'onbuild' ||
        instruction.kind === 'maintainer'
      ) {
        throw new DockerfileError(
          'ARGUMENT_INVALID',
          `${instruction.kind.toUpperCase()} isn't allowed as an ONBUILD trigger`,
          state.location,
        )
      }
      return this.command(state, instruction, state.location, true)
    })
    state.commands = [...commands, ...state.commands]
    state.count += commands.length
    return commands.some(({ sources }) => sources.some((source) => source !== undefined))
  }

  private addStage(stage: Stage): void {
    const { globalArgs } = this.options
    const location = locationOf(this.dockerfile, stage.from)
    const { escape } = this.dockerfile
    const name = expandWord(stage.from.image, globalArgs.map, { escape, at: location }).value
    if (name === '') {
      throw new DockerfileError(
        'ARGUMENT_INVALID',
        `base name (${stage.from.image}) should not be blank`,
        location,
      )
    }
    // Names of stages are in lower case; a name with capitals finds none, as in BuildKit.
    const state = new StageState(stage, name, this.byName.get(name), location)
    state.platform = this.platformOf(stage, location)
    state.ignoreCache = this.options.isNoCache(stage.name ?? '')
    state.count =
      (name !== SCRATCH && state.base === undefined ? 1 : 0) +
      stage.instructions.filter(({ kind }) => LAYER_KINDS.has(kind)).length
    this.add(state)
  }

  private platformOf(stage: Stage, location: SourceLocation): Platform | undefined {
    const { platform } = stage.from
    if (platform === undefined) return undefined
    const { escape } = this.dockerfile
    const { globalArgs, buildPlatform } = this.options
    const { value, unset } = expandWord(platform, globalArgs.map, { escape, at: location })
    const hint =
      [...unset].map((name) => suggestion(name, globalArgs.map.keys())).find((text) => text !== '') ?? ''
    const fail = (message: string): DockerfileError =>
      new DockerfileError('ARGUMENT_INVALID', message + hint, location)
    if (value === '') throw fail(`empty platform value from expression ${platform}`)
    try {
      return parsePlatform(value, location, buildPlatform)
    } catch (error) {
      if (!(error instanceof DockerfileError)) throw error
      throw fail(error.message.replace(`parse platform ${value}:`, `parse platform ${platform}:`))
    }
  }

  private add(state: StageState): void {
    this.states.push(state)
    if (state.name !== undefined) this.byName.set(state.name.toLowerCase(), state)
  }

  private command(
    state: StageState,
    instruction: Instruction,
    location: SourceLocation,
    isOnBuild: boolean,
  ): Command {
    const command = { instruction, location, isOnBuild, sources: this.sourcesOf(instruction, location) }
    const known = this.dependencies.get(state) ?? new Map<StageState, Command>()
    for (const source of command.sources) {
      if (source === undefined) continue
      known.set(source, command)
      if (!this.states.includes(source)) this.add(source)
    }
    this.dependencies.set(state, known)
    return command
  }

  private sourcesOf(instruction: Instruction, location: SourceLocation): (StageState | undefined)[] {
    if (instruction.kind === 'copy' && instruction.from !== undefined && instruction.from !== '') {
      return [this.copySource(instruction.from, location)]
    }
    if (instruction.kind !== 'run') return []
    return instruction.mounts.map((text) => {
      const from = mountSource(text, location)
      return from === undefined || from === '' ? undefined : this.named(from, location)
    })
  }

  private copySource(from: string, location: SourceLocation): StageState {
    const { escape } = this.dockerfile
    if (expandWord(from, new Map(), { escape, at: location }).value !== from) {
      throw new DockerfileError(
        'FLAG_INVALID',
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
        location,
      )
    }
    if (!/^[+-]?\d+$/.test(from)) return this.named(from, location)
    const index = Number(from)
    if (index >= 0 && index < this.states.length) return this.states[index]!
    throw new BuildError('STAGE_NOT_FOUND', `invalid stage index ${index}`, {
      location,
      data: { stage: from },
    })
  }

  private named(name: string, location: SourceLocation): StageState {
    return this.byName.get(name.toLowerCase()) ?? new StageState(undefined, name, undefined, location)
  }

  private refuseCircles(): void {
    const done = new Set<StageState>()
    const path = new Set<StageState>()
    const visit = (state: StageState): Command | undefined => {
      if (done.has(state)) return undefined
      done.add(state)
      path.add(state)
      for (const [on, by] of this.dependencies.get(state) ?? [])
        if (path.has(on) || visit(on) !== undefined) return by
      path.delete(state)
      return undefined
    }
    // As in BuildKit the error names the stage that the search began with, and its step into the circle.
    for (const state of this.states) {
      const by = visit(state)
      if (by !== undefined) throw circular(state, by.location)
    }
  }
}

const LAYER_KINDS: ReadonlySet<string> = new Set(['add', 'copy', 'run', 'workdir'])

export function circular(state: StageState, location: SourceLocation): BuildError {
  const name = state.name ?? state.displayName
  return new BuildError('STAGE_CIRCULAR', `circular dependency detected on stage: ${name}`, {
    location,
    data: { stage: name },
  })
}
