// Progress as lines, as BuildKit's --progress=plain prints them: `#6 [2/6] WORKDIR /usr/src/app`, `#6 CACHED`.
// @see moby/buildkit util/progress/progressui/printer.go
import type { BuildEvent, StepId } from 'lamella/builder'
import { formatBytes, formatSeconds, printable } from '../format.js'
import { LineSplitter, type Renderer } from './contract.js'

interface StepState {
  readonly name: string
  startedNs: bigint
  readonly output: LineSplitter
  /** The last status line, so that a count that stands still is printed once. */
  status: string
}

export function plainRenderer(write: (text: string) => void): Renderer {
  const steps = new Map<StepId, StepState>()
  let current: StepId | undefined
  let isFirst = true

  /** Prints the step's header when another step had the floor, as several may run at once. */
  const print = (step: StepId, lines: readonly string[]): void => {
    let text = ''
    if (step !== current) {
      if (current !== undefined) text += `#${current} ...\n`
      if (!isFirst) text += '\n'
      isFirst = false
      text += `#${step} ${printable(steps.get(step)?.name ?? '')}\n`
      current = step
    }
    for (const line of lines) text += `#${step} ${line}\n`
    write(text)
  }

  const end = (step: StepId, lines: readonly string[]): void => {
    print(step, [...(steps.get(step)?.output.flush() ?? []), ...lines])
    current = undefined
  }

  const onEvent = (event: BuildEvent): void => {
    switch (event.kind) {
      case 'step-planned':
        steps.set(event.step, { name: event.name, startedNs: 0n, output: new LineSplitter(), status: '' })
        return
      case 'step-started': {
        const state = steps.get(event.step)
        if (state !== undefined) state.startedNs = event.timeNs
        print(event.step, [])
        return
      }
      case 'step-output': {
        const state = steps.get(event.step)
        if (state === undefined) return
        const seconds = (Number(event.timeNs - state.startedNs) / 1e9).toFixed(3)
        const lines = state.output.push(event.bytes)
        if (lines.length > 0)
          print(
            event.step,
            lines.map((line) => `${seconds} ${line}`),
          )
        return
      }
      case 'step-status': {
        const state = steps.get(event.step)
        if (state === undefined) return
        const isDone = event.total !== undefined && event.current >= event.total
        // Only the first and the last word of a status: a line for every chunk would drown the log.
        const line = isDone ? `${event.what}: ${formatBytes(event.current)} done` : event.what
        if (line === state.status) return
        state.status = line
        print(event.step, [line])
        return
      }
      case 'step-done':
        end(event.step, [event.cache === 'hit' ? 'CACHED' : `DONE ${formatSeconds(event.durationNs)}`])
        return
      case 'step-failed':
        end(event.step, [`ERROR: ${event.error.message}`])
        return
      case 'warning':
        write(`${isFirst ? '' : '\n'}WARN: ${event.code}: ${event.message}${place(event)}\n`)
        isFirst = false
        return
      case 'exported':
        write(`\nexported ${event.image}${event.names.map((name) => `\nnamed ${name}`).join('')}\n`)
        return
    }
  }
  return { onEvent, finish: () => {} }
}

function place({ location }: Extract<BuildEvent, { kind: 'warning' }>): string {
  return location === undefined ? '' : ` (${location.file}:${location.range.start.line})`
}
