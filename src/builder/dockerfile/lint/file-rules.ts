// Checks that need the text only: casing, names, comments. Run while instructions are read and once stages stand.
// @see moby/buildkit frontend/dockerfile/instructions/parse.go (ParseInstructionWithLinter), dockerfile2llb/validations.go
import type { AnyInstruction, Dockerfile } from '../ast.js'
import { type RawNode, rangeOfNode } from '../nodes.js'
import type { SourceText } from '../text.js'
import type { Linter } from './linter.js'

/** What can be said of an instruction before its arguments are known to be right. */
export function checkBefore(node: RawNode, source: SourceText, linter: Linter): void {
  const range = rangeOfNode(node, source)
  const keyword = node.keyword.toLowerCase()
  const local = linter.forComments(node.comments)
  if (keyword === 'maintainer') local.report('MaintainerDeprecated', range)
  if (keyword !== 'from') return
  const [, as, name] = node.args
  if (node.args.length === 3 && name !== name!.toLowerCase()) local.report('StageNameCasing', range, name!)
  if (node.args.length >= 3 && !sameCasing(node.keyword, as!)) {
    local.report('FromAsCasing', range, node.keyword, as!)
  }
}

/** A keyword of mixed case is another rule's business. */
function sameCasing(from: string, as: string): boolean {
  if (from === from.toLowerCase()) return as === as.toLowerCase()
  if (from === from.toUpperCase()) return as === as.toUpperCase()
  return true
}

/** Whether the comment above a FROM or ARG describes what it defines. */
export function checkDescription(instruction: AnyInstruction, linter: Linter): void {
  const local = linter.forComments(instruction.comments)
  if (instruction.kind === 'arg') {
    const names = instruction.args.map(({ name }) => name)
    describe('ARG', names, instruction, local)
  } else if (instruction.kind === 'from' && instruction.name !== undefined) {
    describe('FROM', [instruction.name], instruction, local)
  }
}

function describe(what: string, names: readonly string[], instruction: AnyInstruction, linter: Linter): void {
  const comment = instruction.comments.at(-1)
  if (comment === undefined || names.includes(comment.split(' ', 1)[0]!)) return
  const example = names.length > 1 ? '<arg_key>' : names[0]!
  linter.report('InvalidDefinitionDescription', instruction.range, what, example)
}

const RESERVED = new Set(['context', 'scratch'])

export function checkStageNames(dockerfile: Dockerfile, linter: Linter): void {
  const seen = new Set<string>()
  for (const { name, from } of dockerfile.stages) {
    if (name === undefined) continue
    if (RESERVED.has(name)) linter.report('ReservedStageName', from.range, name)
    if (seen.has(name)) linter.report('DuplicateStageName', from.range, name)
    seen.add(name)
  }
}

/** Every keyword of the stages in the casing of the majority; ARG before the first FROM has no say. */
export function checkKeywordCasing(dockerfile: Dockerfile, linter: Linter): void {
  const all = dockerfile.stages.flatMap(({ from, instructions }): AnyInstruction[] => [from, ...instructions])
  const lower = all.filter(({ keyword }) => keyword === keyword.toLowerCase()).length
  const upper = all.filter(({ keyword }) => keyword === keyword.toUpperCase()).length
  const casing = lower > upper ? 'lowercase' : 'uppercase'
  for (const { keyword, range } of all) {
    const wanted = casing === 'lowercase' ? keyword.toLowerCase() : keyword.toUpperCase()
    if (keyword !== wanted) linter.report('ConsistentInstructionCasing', range, keyword, casing)
  }
}

export function checkContinuations(
  dockerfile: { readonly warnings: Dockerfile['warnings'] },
  linter: Linter,
): void {
  for (const { range } of dockerfile.warnings) linter.report('NoEmptyContinuation', range)
}
