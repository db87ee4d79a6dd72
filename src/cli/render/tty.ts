// Progress as a live picture, as BuildKit's tty mode draws it: a line a step, the running ones with their last output,
// finished ones collapsed; redrawn in place and never higher than the window.
// @see moby/buildkit util/progress/progressui/display.go
import type { BuildEvent, StepId } from 'lamella/builder'
import { formatBytes, formatSeconds, printable } from '../format.js'
import { LineSplitter, type Renderer } from './contract.js'

interface StepState {
  readonly name: string
  readonly isInternal: boolean
  state: 'planned' | 'running' | 'done' | 'cached' | 'failed'
  startedNs: bigint
  durationNs: bigint
  status: string
  readonly output: LineSplitter
  readonly tail: string[]
}

const REDRAW_MS = 100
const TAIL_LINES = 6
const CURSOR_HIDE = '\u001b[?25l'
const CURSOR_SHOW = '\u001b[?25h'
const CLEAR_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'
const BLUE = '\u001b[34m'
const RED = '\u001b[31m'
const DIM = '\u001b[2m'
const RESET = '\u001b[0m'

export interface Terminal {
  columns(): number
  rows(): number
}

export function ttyRenderer(
  write: (text: string) => void,
  terminal: Terminal,
  now: () => bigint = () => BigInt(Date.now()) * 1_000_000n,
): Renderer {
  const steps = new Map<StepId, StepState>()
  const after: string[] = []
  const startedNs = now()
  let drawnLines = 0
  let failed = false
  write(CURSOR_HIDE)
  const timer = setInterval(() => draw(false), REDRAW_MS)
  timer.unref()

  const draw = (isLast: boolean): void => {
    const room = Math.max(3, terminal.rows() - 1)
    const columns = terminal.columns()
    const lines = isLast ? finalLines(columns) : fit(picture(columns), room)
    const up = drawnLines === 0 ? '' : `\u001b[${drawnLines}A`
    write(up + '\r' + lines.map((line) => line + CLEAR_LINE + '\n').join('') + CLEAR_BELOW)
    drawnLines = lines.length
  }

  const header = (): string => {
    const all = [...steps.values()]
    const done = all.filter(({ state }) => state !== 'planned' && state !== 'running').length
    const finished = done === all.length && all.length > 0
    return `[+] Building ${formatSeconds(now() - startedNs)} (${done}/${all.length})${failed ? ' FAILED' : finished ? ' FINISHED' : ''}`
  }

  const picture = (columns: number): string[] => {
    const shown = [...steps.values()].filter(({ state }) => state !== 'planned')
    return [header(), ...shown.flatMap((step) => stepLines(step, columns, now()))]
  }
  const finalLines = (columns: number): string[] => [...picture(columns), ...after]

  const onEvent = (event: BuildEvent): void => {
    if (event.kind === 'step-planned') {
      steps.set(event.step, newStep(event.name))
      return
    }
    if (event.kind === 'warning') {
      after.push(`${BLUE}WARN: ${event.code}: ${printable(event.message)}${RESET}`)
      return
    }
    if (event.kind === 'loaded') return
    if (event.kind === 'output') {
      after.push(` => exported as ${event.type} to ${printable(event.dest)}`)
      return
    }
    if (event.kind === 'exported') {
      after.push(` => exported ${event.image}`, ...event.names.map((name) => ` => named ${printable(name)}`))
      return
    }
    const step = steps.get(event.step)
    if (step === undefined) return
    if (event.kind === 'step-failed') failed = true
    apply(step, event)
  }

  const finish = (): void => {
    clearInterval(timer)
    draw(true)
    write(CURSOR_SHOW)
  }
  return { onEvent, finish }
}

function newStep(name: string): StepState {
  return {
    name: printable(name),
    isInternal: name.startsWith('[internal]'),
    state: 'planned',
    startedNs: 0n,
    durationNs: 0n,
    status: '',
    output: new LineSplitter(),
    tail: [],
  }
}

type StepEvent = Exclude<BuildEvent, { kind: 'loaded' | 'step-planned' | 'warning' | 'output' | 'exported' }>

function apply(step: StepState, event: StepEvent): void {
  switch (event.kind) {
    case 'step-started':
      step.state = 'running'
      step.startedNs = event.timeNs
      return
    case 'step-output':
      step.tail.push(...step.output.push(event.bytes).map(printable))
      step.tail.splice(0, step.tail.length - TAIL_LINES)
      return
    case 'step-status':
      step.status = `${event.what}: ${formatBytes(event.current)}${event.total === undefined ? '' : ` / ${formatBytes(event.total)}`}`
      return
    case 'step-done':
      step.state = event.cache === 'hit' ? 'cached' : 'done'
      step.durationNs = event.durationNs
      return
    case 'step-failed':
      step.state = 'failed'
      step.durationNs = event.timeNs - step.startedNs
      return
  }
}

function stepLines(step: StepState, columns: number, nowNs: bigint): string[] {
  const isRunning = step.state === 'running'
  const duration = formatSeconds(isRunning ? nowNs - step.startedNs : step.durationNs)
  const word = step.state === 'cached' ? 'CACHED ' : step.state === 'failed' ? 'ERROR ' : ''
  const room = Math.max(10, columns - duration.length - 2)
  const left = clip(` => ${word}${step.name}`, room).padEnd(room)
  const colour = step.state === 'failed' ? RED : isRunning || step.isInternal ? '' : BLUE
  const lines = [`${colour}${left} ${duration}${colour === '' ? '' : RESET}`]
  if (isRunning && step.status !== '') lines.push(clip(` => => ${step.status}`, columns - 1))
  // A failed step keeps its last words: they are what the reader needs.
  if (isRunning || step.state === 'failed') {
    lines.push(...step.tail.map((line) => `${DIM}${clip(` => => # ${line}`, columns - 1)}${RESET}`))
  }
  return lines
}

/** Drops the oldest step lines when the picture is higher than the window; the header stays. */
function fit(lines: readonly string[], rows: number): string[] {
  return lines.length <= rows ? [...lines] : [lines[0]!, ...lines.slice(lines.length - rows + 1)]
}

function clip(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`
}
