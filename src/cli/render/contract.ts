// What every renderer is, and the splitting of a step's output into lines.
import type { BuildEvent } from 'lamella/builder'

export interface Renderer {
  onEvent(event: BuildEvent): void
  /** Leaves the terminal in order; called once, also after a failure. */
  finish(): void
}

/** Splits a stream of bytes into lines, keeping an unfinished one until more comes. */
export class LineSplitter {
  readonly #decoder = new TextDecoder()
  #rest = ''

  push(bytes: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines.map((line) => line.replace(/\r$/, ''))
  }

  /** What is left at the end, as a line of its own. */
  flush(): string[] {
    const rest = this.#rest + this.#decoder.decode()
    this.#rest = ''
    return rest === '' ? [] : [rest]
  }
}
