// Symbolic modes, `u=rwX,go-w`, as BSD's setmode(3) reads them with a umask of 0, but with `X` after every operator. Pure.
// @see tonistiigi/dchapes-mode (BuildKit's parser), FreeBSD lib/libc/gen/setmode.c

const USER = 0o4700
const GROUP = 0o2070
const OTHER = 0o007
const SET_ID = 0o6000
const STICKY = 0o1000
const EXEC = 0o111
const STANDARD = SET_ID | 0o777

/** One elementary change: set, clear, set if executable, or copy of one class's bits. */
type Step = { readonly op: '+' | '-' | 'X'; readonly bits: number } | CopyStep

interface CopyStep {
  readonly op: 'copy'
  readonly from: 'u' | 'g' | 'o'
  readonly how: '+' | '-' | '='
  readonly who: number
}

export type ModeChange = readonly Step[]

const WHO: Readonly<Record<string, number>> = { a: STANDARD, u: USER, g: GROUP, o: OTHER }
const PERMISSIONS: Readonly<Record<string, number>> = { r: 0o444, w: 0o222, x: EXEC }

/** @returns `undefined` when the text is no symbolic mode */
export function parseModeChange(text: string): ModeChange | undefined {
  const steps: Step[] = []
  for (const clause of text.split(',')) if (!parseClause(clause, steps)) return undefined
  return steps
}

/** `[ugoa]*([-+=][rwxXstugo]*)+` */
function parseClause(clause: string, steps: Step[]): boolean {
  let at = 0
  let who = 0
  while (WHO[clause[at] ?? ''] !== undefined) who |= WHO[clause[at++]!]!
  if (at === clause.length) return false
  while (at < clause.length) {
    const op = clause[at++]!
    if (op !== '+' && op !== '-' && op !== '=') return false
    at = parseAction(clause, at, op, who, steps)
    if (at < clause.length && !'+-='.includes(clause[at]!)) return false
  }
  return true
}

function parseAction(
  clause: string,
  from: number,
  op: '+' | '-' | '=',
  whoOf: number,
  steps: Step[],
): number {
  let at = from
  let who = whoOf
  let bits = 0
  let conditional = 0
  let equalDone = false
  const flush = (): void => {
    if (bits !== 0 || (op === '=' && !equalDone)) push(steps, op, who, bits)
    if (op === '=') equalDone = true
    bits = 0
  }
  for (; at < clause.length; at++) {
    const char = clause[at]!
    if (PERMISSIONS[char] !== undefined) bits |= PERMISSIONS[char]
    else if (char === 's') bits |= isForOthers(who) ? 0 : SET_ID
    else if (char === 't') {
      if (!isForOthers(who)) {
        who |= STICKY
        bits |= STICKY
      }
    } else if (char === 'X') {
      // Taking away what only the executable have is taking it away.
      if (op === '-') bits |= EXEC
      else conditional = EXEC
    } else if (char === 'u' || char === 'g' || char === 'o') {
      if (bits !== 0) flush()
      if (op === '=') equalDone = true
      if (conditional !== 0) {
        steps.push({ op: 'X', bits: mask(who) & conditional })
        conditional = 0
      }
      steps.push({ op: 'copy', from: char, how: op, who })
    } else break
  }
  flush()
  if (conditional !== 0) steps.push({ op: 'X', bits: mask(who) & conditional })
  return at
}

/** Set-id and sticky mean nothing where only "others" was asked for. */
function isForOthers(who: number): boolean {
  return who !== 0 && (who & ~0o7) === 0
}

/** No class named means all, as the umask is 0. (`+rt` names one by its `t`, and so is `+t`: BSD's reading.) */
function mask(who: number): number {
  return who === 0 ? 0o7777 : who
}

function push(steps: Step[], op: '+' | '-' | '=', who: number, bits: number): void {
  if (op === '=') steps.push({ op: '-', bits: who === 0 ? STANDARD : who })
  steps.push({ op: op === '-' ? '-' : '+', bits: mask(who) & bits })
}

/** The mode after the change; `X` looks at the mode as it was before. */
export function applyModeChange(change: ModeChange, mode: number, isDirectory: boolean): number {
  let out = mode
  for (const step of change) {
    if (step.op === 'copy') out = copyBits(step, out)
    else if (step.op === '+') out |= step.bits
    else if (step.op === '-') out &= ~step.bits
    else if (isDirectory || (mode & EXEC) !== 0) out |= step.bits
  }
  return out & 0o7777
}

function copyBits(step: CopyStep, mode: number): number {
  const shift = { u: 6, g: 3, o: 0 }[step.from]
  const value = (mode >> shift) & 0o7
  const classes = mask(step.who) & 0o777
  const spread = (value << 6) | (value << 3) | value
  if (step.how === '+') return mode | (spread & classes)
  if (step.how === '-') return mode & ~(spread & classes)
  return (mode & ~classes) | (spread & classes)
}
