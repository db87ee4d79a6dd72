// Progress as lines, as BuildKit's --progress=plain prints them: `#6 [2/6] WORKDIR /usr/src/app`, `#6 CACHED`; at the end
// what failed steps printed last, and the warnings.
// @see moby/buildkit util/progress/progressui/{printer,display}.go; docker/buildx commands/build.go printWarnings
import type { BuildEvent, StepId } from 'lamella/builder'
import { fullRefName } from 'lamella/oci'
import { formatBytes, formatSeconds, printable } from '../format.js'
import { LineSplitter, type Renderer } from './contract.js'

interface Block {
  /** From 1, given where the block is first printed, so that numbers go up; 0 before. */
  number: number
  readonly name: string
  startedNs: bigint
  readonly output: LineSplitter
  /** The last status line, so that a count that stands still is printed once. */
  status: string
  /** The last lines of the output, for the end. */
  readonly tail: string[]
}

/** As many lines of a failed step's output come again at the end. */
const TAIL_LINES = 10

export function plainRenderer(write: (text: string) => void): Renderer {
  return new PlainRenderer(write)
}

class PlainRenderer implements Renderer {
  readonly #steps = new Map<StepId, Block>()
  readonly #failed: Block[] = []
  readonly #warnings: string[] = []
  /** The block that has the floor; several steps may run at once. */
  #current: Block | undefined
  /** The definition's, which ends when something else is told. */
  #loading: Block | undefined
  #count = 0
  #isFirst = true

  constructor(private readonly write: (text: string) => void) {}

  onEvent(event: BuildEvent): void {
    if (event.kind !== 'warning') this.#endLoading()
    switch (event.kind) {
      case 'loaded':
        return this.#loaded(event)
      case 'step-planned':
        this.#steps.set(event.step, block(event.name))
        return
      case 'warning':
        return this.#warn(event)
      case 'output':
        return this.#wrote(event)
      case 'exported':
        return this.#exported(event)
      default:
        return this.#step(event)
    }
  }

  finish(): void {
    this.#endLoading()
    for (const { name, tail } of this.#failed) {
      const lines = tail.map((line) => `${line}\n`).join('')
      this.write(`------\n > ${printable(name)}:\n${lines}------\n`)
    }
    const count = this.#warnings.length
    if (count === 0) return
    const many = count === 1 ? '1 warning' : `${count} warnings`
    this.write(
      `\n ${many} found (use --check to expand):\n${this.#warnings.map((it) => ` - ${it}\n`).join('')}`,
    )
  }

  #step(
    event: Exclude<BuildEvent, { kind: 'loaded' | 'step-planned' | 'warning' | 'output' | 'exported' }>,
  ): void {
    const step = this.#steps.get(event.step)
    if (step === undefined) return
    switch (event.kind) {
      case 'step-started':
        step.startedNs = event.timeNs
        return this.#print(step, [])
      case 'step-output': {
        const lines = this.#timed(step, step.output.push(event.bytes), event.timeNs)
        return lines.length === 0 ? undefined : this.#print(step, lines)
      }
      case 'step-status': {
        const isDone = event.total !== undefined && event.current >= event.total
        // Only the first and the last word of a status: a line for every chunk would drown the log.
        const line = isDone ? `${event.what}: ${formatBytes(event.current)} done` : event.what
        if (line === step.status) return
        step.status = line
        return this.#print(step, [line])
      }
      case 'step-done':
        return this.#end(step, event.timeNs, [
          event.cache === 'hit' ? 'CACHED' : `DONE ${formatSeconds(event.durationNs)}`,
        ])
      case 'step-failed': {
        const isCanceled = (event.error as { code?: unknown }).code === 'ABORT_ERR'
        if (!isCanceled) this.#failed.push(step)
        return this.#end(step, event.timeNs, [isCanceled ? 'CANCELED' : `ERROR: ${event.error.message}`])
      }
    }
  }

  #timed(step: Block, lines: readonly string[], timeNs: bigint): string[] {
    const seconds = (Number(timeNs - step.startedNs) / 1e9).toFixed(3)
    const timed = lines.map((line) => `${seconds} ${line}`)
    step.tail.push(...timed)
    step.tail.splice(0, step.tail.length - TAIL_LINES)
    return timed
  }

  #print(step: Block, lines: readonly string[]): void {
    let text = ''
    if (step !== this.#current) {
      if (this.#current !== undefined) text += `#${this.#current.number} ...\n`
      if (!this.#isFirst) text += '\n'
      this.#isFirst = false
      if (step.number === 0) step.number = ++this.#count
      text += `#${step.number} ${printable(step.name)}\n`
      this.#current = step
    }
    for (const line of lines) text += `#${step.number} ${line}\n`
    this.write(text)
  }

  #end(step: Block, timeNs: bigint, lines: readonly string[]): void {
    this.#print(step, [...this.#timed(step, step.output.flush(), timeNs), ...lines])
    this.#current = undefined
  }

  #whole(name: string, lines: readonly string[], durationNs = 0n): void {
    this.#end(block(name), 0n, [...lines, `DONE ${formatSeconds(durationNs)}`])
  }

  #loaded({ what, name, size }: Extract<BuildEvent, { kind: 'loaded' }>): void {
    if (what === 'ignore') {
      return this.#whole('[internal] load .dockerignore', [`transferring context: ${formatBytes(size)} done`])
    }
    this.#loading = block(`[internal] load build definition from ${name}`)
    this.#print(this.#loading, [`transferring dockerfile: ${formatBytes(size)} done`])
  }

  #endLoading(): void {
    const loading = this.#loading
    this.#loading = undefined
    if (loading !== undefined) this.#end(loading, 0n, ['DONE 0.0s'])
  }

  #warn({ code, message, location }: Extract<BuildEvent, { kind: 'warning' }>): void {
    const place = location === undefined ? '' : ` (line ${location.range.start.line})`
    const text = `${code}: ${printable(message)}${place}`
    this.#warnings.push(text)
    if (this.#loading !== undefined) return this.#print(this.#loading, [`WARN: ${text}`])
    this.write(`${this.#isFirst ? '' : '\n'}WARN: ${text}\n`)
    this.#isFirst = false
  }

  #wrote(event: Extract<BuildEvent, { kind: 'output' }>): void {
    const { type, image, config, names, durationNs } = event
    const isTar = event.type === 'tar' || event.type === 'oci' || event.type === 'docker'
    this.#whole(
      type === 'local'
        ? 'exporting to client directory'
        : type === 'tar'
          ? 'exporting to client tarball'
          : `exporting to ${type} image format`,
      [
        ...(image === undefined ? [] : [`exporting manifest ${image} done`]),
        ...(config === undefined ? [] : [`exporting config ${config} done`]),
        ...names.map((name) => `naming to ${name} done`),
        isTar ? 'sending tarball done' : 'copying files done',
      ],
      durationNs,
    )
  }

  #exported({ image, config, names }: Extract<BuildEvent, { kind: 'exported' }>): void {
    this.#whole('exporting to image', [
      `exporting manifest ${image} done`,
      `exporting config ${config} done`,
      ...names.map((name) => `naming to ${fullRefName(name)} done`),
    ])
  }
}

function block(name: string): Block {
  return { number: 0, name, startedNs: 0n, output: new LineSplitter(), status: '', tail: [] }
}
