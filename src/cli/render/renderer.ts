// What shows a build's events: one of plain, tty, json. A renderer writes to stderr only; stdout is for data.
import type { BuildEvent } from 'lamella/builder'
import type { Io } from '../command.js'

export interface Renderer {
  onEvent(event: BuildEvent): void
  /** Leaves the terminal in order; called once, also after a failure. */
  finish(): void
}

export const PROGRESS_KINDS = ['auto', 'plain', 'tty', 'json', 'quiet'] as const
export type ProgressKind = (typeof PROGRESS_KINDS)[number]

export async function createRenderer(kind: ProgressKind, io: Io): Promise<Renderer> {
  const resolved = kind === 'auto' ? (io.terminal === undefined ? 'plain' : 'tty') : kind
  switch (resolved) {
    case 'json':
      return (await import('./json.js')).jsonRenderer(io.note)
    case 'tty':
      return (await import('./tty.js')).ttyRenderer(
        io.note,
        io.terminal ?? { columns: () => 80, rows: () => 24 },
      )
    case 'quiet':
      return { onEvent: () => {}, finish: () => {} }
    case 'plain':
      return (await import('./plain.js')).plainRenderer(io.note)
  }
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
