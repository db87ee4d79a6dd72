// Explanations for people: a line for each step and for each reason.
import { printable } from '../path.js'
import type { Explanation, Reason } from './explain.js'

/** Files that a text names before it only counts them. */
const FILES_SHOWN = 5

/** Explanations as text, a line for each step and for each reason. */
export function formatExplanations(explanations: readonly Explanation[]): string {
  return explanations.map(formatExplanation).join('')
}

function formatExplanation(explanation: Explanation): string {
  const { step, name, outcome, reasons, cost } = explanation
  const word = { hit: 'HIT', miss: 'MISS', off: 'MISS', unknown: 'UNKNOWN' }[outcome]
  const lines = [`#${step} ${word.padEnd(7)} ${name}`]
  // Of a step that is new, what it stands on explains nothing.
  const told = reasons[0]?.kind === 'first-time' ? reasons.slice(0, 1) : reasons
  lines.push(...reasonLines(told, '     '))
  if (told.length > 0 && isFarther(explanation, told)) lines.push(`     first cause: #${explanation.cause}`)
  if (cost !== undefined) lines.push(`     last time: ${(cost.ms / 1000).toFixed(1)}s, ${cost.bytes} bytes`)
  return `${lines.map(printable).join('\n')}\n`
}

function reasonLines(reasons: readonly Reason[], indent: string): string[] {
  const lines: string[] = []
  const files = reasons.filter(({ kind }) => kind === 'file').length
  let shown = 0
  for (const reason of reasons) {
    if (reason.kind !== 'file' || ++shown <= FILES_SHOWN) lines.push(indent + reasonText(reason))
    else if (shown === FILES_SHOWN + 1) lines.push(`${indent}and ${files - FILES_SHOWN} more files`)
    if (reason.kind === 'input') lines.push(...reasonLines(reason.reasons, `${indent}  `))
  }
  return lines
}

/** Whether the first cause is another step than this one and the one that its reasons name. */
function isFarther({ step, cause }: Explanation, reasons: readonly Reason[]): boolean {
  const direct = reasons.find((reason) => 'step' in reason)
  return direct !== undefined && cause !== undefined && cause !== step && cause !== direct.step
}

function reasonText(reason: Reason): string {
  switch (reason.kind) {
    case 'first-time':
      return 'not run before'
    case 'result-gone':
      return 'its layers are no longer in the store'
    case 'no-cache':
      return 'the cache was not asked'
    case 'changed':
      return `${reason.part}: ${shown(reason.before)} → ${shown(reason.after)}`
    case 'file': {
      const values = reason.before === undefined ? '' : `: ${reason.before} → ${reason.after}`
      return `/${reason.path}: ${reason.change}${values}`
    }
    case 'content':
      return `what it reads of ${reason.name} changed`
    case 'base-image':
      return `base image: ${reason.before} → ${reason.after}`
    case 'input':
      return unplaced(reason.name) === unplaced(reason.before)
        ? `stands on another result of ${numbered(reason)} than before`
        : `stands on ${numbered(reason)}, before on ${reason.before}`
    case 'earlier-step':
      return `follows #${reason.step} ${reason.name}`
    case 'undecided':
      return `depends on what #${reason.step} ${reason.name} gives`
  }
}

/** A step's name without its place, which another step's coming or going moves: `[build 2/5] `. */
function unplaced(name: string): string {
  return name.replace(/^\[[^\]]*\] /, '')
}

function numbered({ step, name }: Extract<Reason, { kind: 'input' }>): string {
  return step === undefined ? name : `#${step} ${name}`
}

function shown(value: string | undefined): string {
  return value === undefined ? '(none)' : JSON.stringify(value)
}
