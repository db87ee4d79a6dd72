// Asking a sandbox's command to end. bubblewrap does not pass signals on, and its own first process takes none. Effect.
import { readFileSync } from 'node:fs'

/**
 * Sends SIGTERM to the command below a bubblewrap process: the second process of the inner pid namespace.
 * @returns whether there was one; it may not have begun yet
 */
export function terminateCommand(pid: number): boolean {
  for (const descendant of descendantsOf(pid)) {
    const ids = /^NSpid:\s*(.*)$/m.exec(read(`/proc/${descendant}/status`))?.[1]?.split(/\s+/) ?? []
    if (ids.length < 3 || ids.at(-1) !== '2') continue
    try {
      process.kill(descendant, 'SIGTERM')
    } catch {
      // It has ended meanwhile.
    }
    return true
  }
  return false
}

function descendantsOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`)
    .split(' ')
    .flatMap((text) => (text === '' ? [] : [Number(text)]))
  return children.flatMap((child) => [child, ...descendantsOf(child)])
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}
