// Colours: on a terminal only, and never where NO_COLOR says so (no-color.org).
import { expect, test } from 'vitest'
import type { Io } from '../../src/cli/command.js'
import { createRenderer } from '../../src/cli/render/renderer.js'

async function shown(env: Record<string, string>, isTerminal: boolean): Promise<string> {
  let text = ''
  const io = {
    env,
    note: (more: string) => void (text += more),
    terminal: isTerminal ? { columns: () => 80, rows: () => 24 } : undefined,
  } as unknown as Io
  const renderer = await createRenderer('auto', io)
  renderer.onEvent({ kind: 'warning', code: 'X', message: 'careful', location: undefined })
  renderer.finish()
  return text
}

// oxlint-disable no-control-regex -- escapes are what is looked for
test.each<[Record<string, string>, boolean, coloured: boolean, drawn: boolean]>([
  [{}, true, true, true],
  [{ NO_COLOR: '' }, true, true, true],
  [{ NO_COLOR: '1' }, true, false, true],
  [{ NO_COLOR: '0' }, true, false, true],
  [{ TERM: 'dumb' }, true, false, false],
  [{}, false, false, false],
])('%j, terminal %s: coloured %s, drawn %s', async (env, isTerminal, coloured, drawn) => {
  const text = await shown(env, isTerminal)
  expect(text).toContain('careful')
  expect(/\u001b\[\d+m/.test(text)).toBe(coloured)
  expect(/\u001b\[\?25[lh]/.test(text)).toBe(drawn)
})
