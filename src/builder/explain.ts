// Why a step was a hit or a miss: its definition and inputs held against the nearest earlier run of the same step, down to
// the file, variable or earlier step that made the difference, and to the first cause of a cascade.
import type { Digest } from '../digest.js'
import type { Env } from '../env.js'
import { systemEnv } from '../env.js'
import type { Store } from '../store/index.js'
import { CacheStore, type KeyId } from './cache.js'
import { diffManifests, type FileDifference } from './content-manifest.js'
import { contentEntriesOf } from './contenthash.js'
import type { StepId } from './progress.js'
import type { StepInput, StepOutcome, StepReport } from './solve-types.js'
import { shortened, StepMemory, type RememberedInput, type RememberedStep } from './step-memory.js'
import type { Op } from './vertex.js'

/**
 * - `first-time`: nothing like this step was run before
 * - `changed`: a part of the definition, named as the operation names it: `instruction`, `env.NODE_ENV`, `dest`, …
 * - `file`: something that the step reads
 * - `content`: what the step reads, without a record of what it was
 * - `base-image`: the image that the stage starts from
 * - `input`: an input is not the one that it was, though it did not have to be made again; `reasons` are what differs between
 *   the two, as far as their runs are remembered
 * - `earlier-step`: an input had to be made again; `step` says which
 * - `result-gone`: it was run before just so, but its layers are no longer in the store
 * - `no-cache`: nobody looked
 * - `undecided`: in a dry run, what step `step` gives decides
 */
export type Reason =
  | { readonly kind: 'first-time' | 'result-gone' | 'no-cache' }
  | {
      readonly kind: 'changed'
      readonly part: string
      readonly before: string | undefined
      readonly after: string | undefined
    }
  | ({ readonly kind: 'file' } & FileDifference)
  | { readonly kind: 'content'; readonly name: string }
  | { readonly kind: 'base-image'; readonly before: string; readonly after: string }
  | {
      readonly kind: 'input'
      readonly step: StepId | undefined
      readonly name: string
      readonly before: string
      readonly reasons: readonly Reason[]
    }
  | { readonly kind: 'earlier-step' | 'undecided'; readonly step: StepId; readonly name: string }

export interface Explanation {
  readonly step: StepId
  readonly name: string
  readonly outcome: StepOutcome
  /** Empty for a hit. The most telling first. */
  readonly reasons: readonly Reason[]
  /**
   * The step at which the trouble began: this one itself, unless what it stands on missed, or is not what it was. `undefined`
   * for a hit.
   */
  readonly cause: StepId | undefined
  /** What the step cost when it last ran before this build; what it cost now is in its report. */
  readonly cost: { readonly ms: number; readonly bytes: number } | undefined
}

export interface ExplainOptions {
  readonly store: Store
  /** As in the build that is explained. */
  readonly scope: string
  readonly env?: Env | undefined
}

/** Explains every step of a build or dry run but the loads of contexts, which no cache knows. Reads the store's records. */
export function explainSteps(steps: readonly StepReport[], options: ExplainOptions): Explanation[] {
  const explainer = new Explainer(steps, options)
  return steps.filter(({ vertex }) => vertex.op.kind !== 'local').map((step) => explainer.explain(step))
}

/** Explains one step of a build; `steps` are all of its steps. */
export function explainStep(
  step: StepReport,
  steps: readonly StepReport[],
  options: ExplainOptions,
): Explanation {
  return new Explainer(steps, options).explain(step)
}

type Change = Extract<Reason, { kind: 'changed' }>

/** Why a step is not the one that it was, and the key of the step at which they part. */
interface Parting {
  readonly reasons: readonly Reason[]
  readonly key: KeyId
}

class Explainer {
  readonly #steps: readonly StepReport[]
  readonly #memory: StepMemory
  readonly #done = new Map<StepReport, Explanation>()
  #all: RememberedStep[] | undefined

  constructor(steps: readonly StepReport[], options: ExplainOptions) {
    const env = options.env ?? systemEnv
    this.#steps = steps
    this.#memory = new StepMemory(new CacheStore(options.store, env), options.store, env, options.scope)
  }

  explain(report: StepReport): Explanation {
    const known = this.#done.get(report)
    if (known !== undefined) return known
    const explanation = this.#explain(report)
    this.#done.set(report, explanation)
    return explanation
  }

  #explain(report: StepReport): Explanation {
    const { step, vertex, outcome } = report
    const quiet = outcome === 'hit' || vertex.op.kind === 'local'
    const before = quiet ? undefined : this.#nearest(report)
    const reasons = quiet ? [] : this.#reasons(report, before)
    const cost = before?.again ?? before
    return {
      step,
      name: vertex.label.name,
      outcome,
      reasons,
      cause: quiet ? undefined : this.#causeOf(report, before),
      cost: cost === undefined ? undefined : { ms: cost.costMs, bytes: cost.costBytes },
    }
  }

  #causeOf(report: StepReport, before: RememberedStep | undefined): StepId {
    const follows = this.#followed(report, before)
    if (follows !== undefined) return this.explain(follows).cause ?? follows.step
    if (report.outcome === 'off' || before === undefined) return report.step
    for (const [i, input] of report.inputs.entries()) {
      const parting = this.#partingOf(input, before.inputs[i])
      if (parting !== undefined)
        return this.#stepUnder(parting.key) ?? this.#reportOf(input)?.step ?? report.step
    }
    return report.step
  }

  #stepUnder(key: KeyId): StepId | undefined {
    return this.#steps.find((step) => step.key === key)?.step
  }

  /** The earlier run that differs least; runs in the same place come before runs elsewhere. */
  #nearest(report: StepReport): RememberedStep | undefined {
    const { vertex, key } = report
    const sameKind = (run: RememberedStep) => run.kind === vertex.op.kind
    const word = keyword(report.map?.preimage)
    // What was in this place and is elsewhere now is the earlier run of that other step.
    const here = this.#earlier(report).filter(
      (step) => sameKind(step) && keyword(step.preimage) === word && !this.#isElsewhere(step, report),
    )
    const inPlace = this.#best(report, here)
    if (inPlace !== undefined) return inPlace
    const elsewhere = (this.#all ??= this.#memory.all()).filter((run) => sameKind(run) && isEarlier(run, key))
    const same = elsewhere.filter(
      (step) => step.preimage.get('instruction') === report.map?.preimage.get('instruction'),
    )
    return this.#best(report, same)
  }

  #isElsewhere({ preimage }: RememberedStep, report: StepReport): boolean {
    const text = preimage.get('instruction')
    if (text === undefined || text === report.map?.preimage.get('instruction')) return false
    const isMoved = (step: StepReport) =>
      step.vertex.label.stage === report.vertex.label.stage &&
      step.map?.preimage.get('instruction') === text &&
      !this.#earlier(step).some((run) => run.preimage.get('instruction') === text)
    return this.#steps.some((step) => step !== report && isMoved(step))
  }

  /** Runs in the place of a step. The run that is explained is remembered too; it counts only when it ran just so before. */
  #earlier({ vertex, key, outcome }: StepReport): RememberedStep[] {
    return this.#memory.earlier(vertex).filter((run) => outcome === 'hit' || isEarlier(run, key))
  }

  #best(report: StepReport, candidates: readonly RememberedStep[]): RememberedStep | undefined {
    let best: RememberedStep | undefined
    let least = Infinity
    const after = preimageOf(report)
    for (const candidate of candidates) {
      const distance =
        definitionChanges(candidate.preimage, after).length * 4 + inputDistance(candidate, report)
      if (distance < least) [best, least] = [candidate, distance]
    }
    return best
  }

  #reasons(report: StepReport, before: RememberedStep | undefined): Reason[] {
    if (report.outcome === 'off') return [{ kind: 'no-cache' }]
    const follows = this.#followed(report, before)
    const undecided = report.outcome === 'unknown' && follows !== undefined
    if (undecided) return [{ kind: 'undecided', step: follows.step, name: follows.vertex.label.name }]
    const after: Reason[] = follows === undefined ? [] : [earlier(follows)]
    if (before === undefined) return [{ kind: 'first-time' }, ...after]
    const changes = definitionChanges(before.preimage, preimageOf(report))
    if (report.vertex.op.kind === 'image' && changes.length > 0) return [imageChange(before, report)]
    // Files of another source tell nothing.
    const isSame = !changes.some(({ part }) => part.startsWith('source'))
    const found = isSame
      ? report.inputs.flatMap((input, i) => this.#inputReasons(input, before.inputs[i]))
      : []
    const out = [
      ...keyedChanges(report.vertex.op.kind, changes, found.length + after.length),
      ...found,
      ...after,
    ]
    return out.length > 0 ? out : [{ kind: 'result-gone' }]
  }

  /**
   * The first input that had to be made again, if any. One that is known by its content counts where that content is another
   * than before: a stage that was built again to the same files causes nothing.
   */
  #followed(report: StepReport, before: RememberedStep | undefined): StepReport | undefined {
    for (const [i, input] of report.inputs.entries()) {
      const step = this.#reportOf(input)
      if (step === undefined || step.outcome === 'hit' || step.vertex.op.kind === 'local') continue
      if (report.map?.deps[i]?.content === undefined || report.outcome === 'unknown') return step
      const was = before?.inputs[i]?.content
      if (was !== undefined && input.content !== undefined && was !== input.content) return step
    }
    return undefined
  }

  #reportOf({ vertex }: StepInput): StepReport | undefined {
    return this.#steps.find((step) => step.vertex === vertex)
  }

  #inputReasons(input: StepInput, before: RememberedInput | undefined): Reason[] {
    if (before === undefined) return []
    if (input.content !== undefined && before.content !== undefined) {
      return input.content === before.content ? [] : this.#fileReasons(input, before)
    }
    const step = this.#reportOf(input)
    if (step !== undefined && step.outcome !== 'hit') return []
    if (input.keys.some((key) => before.keys.includes(key))) return []
    const { name } = input.vertex.label
    if (input.vertex.op.kind === 'image' && before.kind === 'image') {
      return [{ kind: 'base-image', before: before.name, after: name }]
    }
    if (input.keys.length === 0) return []
    const reasons = this.#partingOf(input, before)?.reasons ?? []
    return [{ kind: 'input', step: step?.step, name, before: before.name, reasons }]
  }

  #fileReasons(input: StepInput, before: RememberedInput): Reason[] {
    const { result, content } = input
    const is = (result && contentEntriesOf(result, content!)) ?? this.#memory.manifest(content!)
    return this.#fileDifferences(before.content!, is, input.vertex.label.name)
  }

  #fileDifferences(
    before: Digest,
    is: Parameters<typeof diffManifests>[1] | undefined,
    name: string,
  ): Reason[] {
    const was = this.#memory.manifest(before)
    const files = was === undefined || is === undefined ? [] : diffManifests(was, is)
    if (files.length === 0) return [{ kind: 'content', name }]
    return files.map((file) => ({ kind: 'file', ...file }))
  }

  /** For an input that was found in the cache, and is yet another one than before: where the two part. */
  #partingOf(input: StepInput, before: RememberedInput | undefined): Parting | undefined {
    const step = this.#reportOf(input)
    if (before === undefined || (step !== undefined && step.outcome !== 'hit')) return undefined
    if (input.content !== undefined && input.content === before.content) return undefined
    return this.#parting(before.keys, input.keys)
  }

  /** @returns `undefined` where they are the same, or not both remembered */
  #parting(before: readonly KeyId[], after: readonly KeyId[]): Parting | undefined {
    if (after.some((key) => before.includes(key))) return undefined
    const was = this.#memory.under(before)
    const is = this.#memory.under(after)
    if (was === undefined || is === undefined) return undefined
    let deeper: Parting | undefined
    const found = is.inputs.flatMap((input, i): readonly Reason[] => {
      const other = was.inputs[i]
      if (other === undefined) return []
      if (input.content !== undefined && other.content !== undefined) {
        if (input.content === other.content) return []
        return this.#fileDifferences(other.content, this.#memory.manifest(input.content), input.name)
      }
      const parting = this.#parting(other.keys, input.keys)
      deeper ??= parting
      return parting?.reasons ?? []
    })
    const changes = keyedChanges(is.kind, definitionChanges(was.preimage, is.preimage), found.length)
    const own = changes.length + found.length > (deeper?.reasons.length ?? 0)
    return { reasons: [...changes, ...found], key: own || deeper === undefined ? is.key : deeper.key }
  }
}

function isEarlier(run: RememberedStep, key: KeyId | undefined): boolean {
  return run.key !== key || run.again !== undefined
}

function preimageOf({ map }: StepReport): ReadonlyMap<string, string> {
  return new Map([...(map?.preimage ?? [])].map(([part, value]) => [part, shortened(value)]))
}

/** Without the text of a COPY or ADD where something else changed: their keys hold what it means, not how it is written. */
function keyedChanges(kind: Op['kind'], changes: readonly Change[], others: number): readonly Change[] {
  if (kind !== 'file' || changes.length + others < 2) return changes
  return changes.filter(({ part }) => part !== 'instruction')
}

function imageChange(before: RememberedStep, { map }: StepReport): Reason {
  const nameOf = (preimage: ReadonlyMap<string, string> | undefined) =>
    `${preimage?.get('image') ?? ''}@${preimage?.get('manifest') ?? ''}`
  return { kind: 'base-image', before: nameOf(before.preimage), after: nameOf(map?.preimage) }
}

function earlier(report: StepReport): Reason {
  return { kind: 'earlier-step', step: report.step, name: report.vertex.label.name }
}

/** `COPY`, `RUN`: the word that an instruction begins with. */
function keyword(preimage: ReadonlyMap<string, string> | undefined): string | undefined {
  return preimage?.get('instruction')?.split(' ', 1)[0]
}

/**
 * Parts of the definition that differ, in the operation's own order. Where the values tell more than the text that they
 * came from, the text is left out.
 */
function definitionChanges(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Change[] {
  const out: Change[] = []
  for (const [part, value] of after) {
    const was = before.get(part)
    if (was !== value) out.push({ kind: 'changed', part, before: was, after: value })
  }
  for (const [part, value] of before) {
    if (!after.has(part)) out.push({ kind: 'changed', part, before: value, after: undefined })
  }
  const names = new Set(out.map(({ part }) => part))
  const byVariable = [...names].some((part) => part.startsWith('env.'))
  return out.filter(({ part }) => {
    if (part === 'args') return !names.has('instruction')
    if (part === 'env order') return !byVariable
    return true
  })
}

function inputDistance(before: RememberedStep, report: StepReport): number {
  return report.inputs.filter((input, i) => {
    const was = before.inputs[i]
    if (was === undefined) return true
    if (input.content !== undefined && input.content === was.content) return false
    return !input.keys.some((key) => was.keys.includes(key))
  }).length
}
