// Chooses what shows a build's events: plain, tty or json. A renderer writes to stderr only; stdout is for data.
import type { Io } from '../command.js'
import type { Renderer } from './contract.js'

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
