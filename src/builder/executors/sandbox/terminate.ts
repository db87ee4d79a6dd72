// Asking a sandbox's command to end. bubblewrap does not pass signals on, and its own first process takes none. Effect.
import { readFileSync } from 'node:fs'

/**
 * Sends SIGTERM to the command below a process: the child of bubblewrap's own process 1 in its pid namespace.
 * @returns whether there was one; it may not have begun yet
 */
export function terminateCommand(pid: number): boolean {
  const parent = processOf(pid)
  const isFirst = parent.name === 'bwrap' && parent.ids.at(-1) === '1'
  for (const child of childrenOf(pid)) {
    // bubblewrap may itself be the first in a namespace around; its child is then the first of an inner one.
    if (isFirst && processOf(child).ids.length === parent.ids.length) {
      try {
        process.kill(child, 'SIGTERM')
      } catch {
        // It has ended meanwhile.
      }
      return true
    }
    if (terminateCommand(child)) return true
  }
  return false
}

/** @see proc(5), /proc/pid/status, NSpid: the ids in each namespace, the innermost last */
function processOf(pid: number): { readonly name: string | undefined; readonly ids: readonly string[] } {
  const status = read(`/proc/${pid}/status`)
  const ids = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? []
  return { name: /^Name:\s*(.*)$/m.exec(status)?.[1], ids }
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`)
    .split(' ')
    .flatMap((text) => (text === '' ? [] : [Number(text)]))
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}
