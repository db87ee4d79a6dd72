// What the stages of a file take from each other, as far as the text alone tells: `--from`, mounts, circles. The planner has
// its own graph, of operations; this one only finds what BuildKit refuses before it looks at any instruction.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert.go (toCommand, validateCircularDependency)
import { DockerfileError, type SourceLocation, type SourceRange } from '../../../errors.js'
import type { Dockerfile, Instruction } from '../ast.js'
import { mountSource } from '../expand-instruction.js'
import { expandWord } from '../expand.js'
import { suggestion } from '../suggest.js'
import { lineNumbers, quote } from '../text.js'

/** A stage of the file, or an image that only a `--from` names. */
export interface LinkedStage {
  /** Place in the file; `undefined` for an image. */
  readonly index: number | undefined
  /** Name of the stage, or of the image. */
  readonly name: string
  /** What errors of the image point at. */
  readonly from: SourceRange | undefined
  /** What it copies from or mounts, each with the last instruction that does. */
  readonly sources: Map<LinkedStage, SourceRange>
}

const NO_VARIABLES: ReadonlyMap<string, string> = new Map()

export class StageLinks {
  /** The stages of the file, then what else is named. */
  readonly all: LinkedStage[]
  readonly #dockerfile: Dockerfile
  readonly #byName = new Map<string, LinkedStage>()
  readonly #locate: (range: SourceRange, lines?: readonly number[]) => SourceLocation

  constructor(
    dockerfile: Dockerfile,
    locate: (range: SourceRange, lines?: readonly number[]) => SourceLocation,
  ) {
    this.#dockerfile = dockerfile
    this.#locate = locate
    this.all = dockerfile.stages.map(({ index, name, from }) => ({
      index,
      name: name ?? `stage-${index}`,
      from: from.range,
      sources: new Map(),
    }))
    for (const { index, name } of dockerfile.stages)
      if (name !== undefined) this.#byName.set(name, this.all[index]!)
  }

  /** The stage to build. @throws DockerfileError that names no line */
  target(name: string | undefined): LinkedStage {
    const last = this.#dockerfile.stages.at(-1)!
    if (name === undefined) return this.all[last.index]!
    const found = this.#byName.get(name.toLowerCase())
    if (found !== undefined) return found
    const names = this.all.map((stage) => stage.name)
    const message = `target stage ${quote(name)} could not be found${suggestion(name, names)}`
    throw new DockerfileError('ARGUMENT_INVALID', message, this.#locate(last.from.range, []))
  }

  /** Links all stages. @throws DockerfileError */
  connect(): void {
    for (const { index, instructions } of this.#dockerfile.stages)
      for (const instruction of instructions) this.link(this.all[index]!, instruction, instruction.range)
    this.#refuseCircles()
  }

  /**
   * @param range    of the instruction; of FROM, when it is a trigger that FROM sets off
   * @param trigger  BuildKit names no line for what is wrong with --from, but for a trigger it does
   * @returns        the sources of an instruction: one of COPY, of RUN one for each mount
   * @throws DockerfileError
   */
  link(
    stage: LinkedStage,
    instruction: Instruction,
    range: SourceRange,
    trigger = false,
  ): (LinkedStage | undefined)[] {
    const found = this.#sourcesOf(instruction, range, trigger ? undefined : [])
    for (const source of found) {
      if (source === undefined) continue
      stage.sources.set(source, range)
      if (!this.all.includes(source)) this.all.push(source)
    }
    return found
  }

  /** A stage, what it is built on, and all that these take from. @param baseOf  what a stage is built on */
  reachable(
    target: LinkedStage,
    baseOf: (stage: LinkedStage) => LinkedStage | undefined,
  ): ReadonlySet<LinkedStage> {
    const seen = new Set<LinkedStage>()
    const pending = [target]
    for (let stage = pending.pop(); stage !== undefined; stage = pending.pop()) {
      if (seen.has(stage)) continue
      seen.add(stage)
      const base = baseOf(stage)
      if (base !== undefined) pending.push(base)
      pending.push(...stage.sources.keys())
    }
    return seen
  }

  #sourcesOf(
    instruction: Instruction,
    range: SourceRange,
    lines: readonly number[] | undefined,
  ): (LinkedStage | undefined)[] {
    if (instruction.kind === 'copy' && instruction.from !== undefined)
      return [this.#copySource(instruction.from, range, lines)]
    if (instruction.kind !== 'run') return []
    return instruction.mounts.map((spec) => {
      const from = mountSource(spec)
      // BuildKit gives an image that only a mount names no place in the file.
      return from === undefined ? undefined : (this.#byName.get(from.toLowerCase()) ?? image(from, undefined))
    })
  }

  #copySource(from: string, range: SourceRange, lines: readonly number[] | undefined): LinkedStage {
    const at = this.#locate(range, lines)
    const plain = expandWord(from, NO_VARIABLES, { escape: this.#dockerfile.escape, at }).value
    if (plain !== from) throw new DockerfileError('FLAG_INVALID', FROM_VARIABLE, at)
    if (!/^[+-]?[0-9]{1,18}$/.test(from)) return this.#byName.get(from.toLowerCase()) ?? image(from, range)
    const index = Number(from)
    const stage = this.all[index]
    if (stage !== undefined) return stage
    throw new DockerfileError('ARGUMENT_INVALID', `invalid stage index ${index}`, at)
  }

  #refuseCircles(): void {
    const done = new Set<LinkedStage>()
    const path = new Set<LinkedStage>()
    const visit = (stage: LinkedStage, by: readonly SourceRange[]): readonly SourceRange[] | undefined => {
      if (done.has(stage)) return undefined
      done.add(stage)
      path.add(stage)
      for (const [source, range] of stage.sources) {
        const next = [...by, range]
        const circle = path.has(source) ? next : visit(source, next)
        if (circle !== undefined) return circle
      }
      path.delete(stage)
      return undefined
    }
    for (const stage of this.all) {
      const circle = visit(stage, [])
      if (circle === undefined) continue
      const lines = circle.flatMap(({ start, end }) => lineNumbers(start.line, end.line))
      const message = `circular dependency detected on stage: ${stage.name}`
      const sorted = [...new Set(lines)].toSorted((a, b) => a - b)
      throw new DockerfileError('ARGUMENT_INVALID', message, this.#locate(circle[0]!, sorted))
    }
  }
}

const FROM_VARIABLE =
  'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround'

function image(name: string, from: SourceRange | undefined): LinkedStage {
  return { index: undefined, name, from, sources: new Map() }
}
