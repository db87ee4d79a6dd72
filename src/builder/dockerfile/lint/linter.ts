// Collects violations, as far as the file's and the instruction's own `# check=` let them count.
// @see moby/buildkit frontend/dockerfile/linter/linter.go
import type { SourceRange } from '../../../errors.js'
import { readDirective } from '../directives.js'
import { type CheckOptions, parseCheckOptions } from './options.js'
import { type RuleName, RULES } from './rules.js'

/** One violation of one rule. */
export interface CheckResult {
  readonly rule: RuleName
  /** What the rule is about. */
  readonly description: string
  /** Page that explains the rule; empty when there is none. */
  readonly url: string
  /** What is wrong here. */
  readonly detail: string
  readonly range: SourceRange
}

/** Arguments of a rule's message. */
type MessageArgs<Name extends RuleName> = Parameters<(typeof RULES)[Name]['message']>

/**
 * Whose rules hold: those of the front end inside BuildKit 0.25 (1.19), which reads a file without `# syntax=`, or those of
 * the newest `docker/dockerfile`, which `# syntax=` loads. Only the newest looks at `# check=` above an instruction, and
 * CopyIgnoredFile is no experiment there.
 */
export type LintLevel = 'bundled' | 'newest'

export class Linter {
  readonly results: CheckResult[]
  readonly options: CheckOptions
  readonly level: LintLevel
  readonly #local: CheckOptions | undefined

  constructor(
    options: CheckOptions,
    level: LintLevel = 'bundled',
    local?: CheckOptions,
    results: CheckResult[] = [],
  ) {
    this.options = options
    this.level = level
    this.#local = local
    this.results = results
  }

  /** The same linter under the first `check=` among an instruction's comments; one that cannot be read changes nothing. */
  forComments(comments: readonly string[]): Linter {
    if (this.level === 'bundled') return this
    for (const comment of comments) {
      const directive = readDirective(comment)
      if (directive?.name !== 'check') continue
      const local = parseCheckOptions(directive.value.split(' ')[0]!)
      return typeof local === 'string' ? this : new Linter(this.options, this.level, local, this.results)
    }
    return this
  }

  report<Name extends RuleName>(name: Name, range: SourceRange, ...args: MessageArgs<Name>): void {
    if (!this.#counts(name)) return
    const { description, url, message } = RULES[name]
    const detail = (message as (...args: readonly string[]) => string)(...args)
    this.results.push({ rule: name, description, url, detail, range })
  }

  /** An experimental rule runs where it is asked for, whatever is skipped; others run where they are not skipped. */
  #counts(name: RuleName): boolean {
    const layers = this.#local === undefined ? [this.options] : [this.options, this.#local]
    const experimental = RULES[name].experimental || (name === 'CopyIgnoredFile' && this.level === 'bundled')
    if (experimental)
      return layers.some((layer) => layer.experimentalAll || layer.experimental.includes(name))
    return !layers.some((layer) => layer.skipAll || layer.skip.includes(name))
  }

  /** `error=true` and something was found. */
  get fails(): boolean {
    return this.options.error && this.results.length > 0
  }
}
