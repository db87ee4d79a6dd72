// Chooses what shows a build's events: plain, tty or json. A renderer writes to stderr only; stdout is for data.
import type { Io } from '../command.js'
import type { Renderer } from './contract.js'

export const PROGRESS_KINDS = ['auto', 'plain', 'tty', 'json', 'quiet'] as const
export type ProgressKind = (typeof PROGRESS_KINDS)[number]

/** Escapes that colour; those that move the cursor stay. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const COLOURS = /\u001b\[\d*m/g

/** @see no-color.org: any value but the empty one says no. */
function withColours(env: Io['env']): boolean {
  return (env.NO_COLOR ?? '') === ''
}

export async function createRenderer(kind: ProgressKind, io: Io): Promise<Renderer> {
  // A dumb terminal cannot be drawn on.
  const draws = io.terminal !== undefined && io.env.TERM !== 'dumb'
  const resolved = kind === 'auto' ? (draws ? 'tty' : 'plain') : kind
  switch (resolved) {
    case 'json':
      return (await import('./json.js')).jsonRenderer(io.note)
    case 'tty':
      return (await import('./tty.js')).ttyRenderer(
        withColours(io.env) ? io.note : (text) => io.note(text.replace(COLOURS, '')),
        io.terminal ?? { columns: () => 80, rows: () => 24 },
      )
    case 'quiet':
      return { onEvent: () => {}, finish: () => {} }
    case 'plain':
      return (await import('./plain.js')).plainRenderer(io.note)
  }
}
