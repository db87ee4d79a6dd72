// The processes of a sandbox, seen from outside, and asking its command to end: bubblewrap does not pass signals on, and its
// own first process takes none. Effect.
import { readFileSync } from 'node:fs'

/** bubblewrap, and its own process 1, the first in the command's pid namespace. */
export interface SandboxInit {
  readonly outerPid: number
  readonly initPid: number
  /** The same process's number in the pid namespace that bubblewrap itself is in. */
  readonly initPidWithin: number
}

/** Looks for them below a process that we started. `undefined` when they are not there yet, or no more. */
export function findInit(pid: number): SandboxInit | undefined {
  const parent = processOf(pid)
  for (const child of childrenOf(pid)) {
    // bubblewrap may itself be the first in a namespace around; its child is then the first of an inner one.
    const { name, ids } = processOf(child)
    const isFirst = name === 'bwrap' && ids.at(-1) === '1' && ids.length > parent.ids.length
    if (parent.name === 'bwrap' && isFirst)
      return { outerPid: pid, initPid: child, initPidWithin: Number(ids.at(-2)) }
    const found = findInit(child)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * Whether the process that joins another's pid namespace is bubblewrap's own child by now: one between the two, which opens
 * the way, has ended. That one's end would otherwise be taken for its parent's, with which it must die.
 */
export function isJoinSettled(pid: number): boolean {
  const { name, ids } = processOf(pid)
  return childrenOf(pid).some((child) => {
    const inner = processOf(child)
    const isInside = name === 'bwrap' && inner.name === 'bwrap' && inner.ids.length > ids.length
    return isInside || isJoinSettled(child)
  })
}

/** The process whose end is the end of all others below a process of ours that we do not end itself. */
export function innermost(pid: number, depth: number): number {
  const [child] = childrenOf(pid)
  return child === undefined || depth === 0 ? pid : innermost(child, depth - 1)
}

/** bubblewrap without a pid namespace of its own has a process of its own for its child, and that the command. */
function findJoined(pid: number): number | undefined {
  const isBubblewrap = processOf(pid).name === 'bwrap'
  for (const child of childrenOf(pid)) {
    const found = isBubblewrap && processOf(child).name !== 'bwrap' ? child : findJoined(child)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * Sends a signal to the command of the sandbox below a process.
 * @param isJoined  whether it is a second command in another's namespaces
 * @returns whether there was one; it may not have begun yet
 */
export function terminateCommand(pid: number, isJoined: boolean, signal: NodeJS.Signals): boolean {
  const init = isJoined ? undefined : findInit(pid)
  const command = isJoined ? findJoined(pid) : init && childrenOf(init.initPid)[0]
  if (command === undefined) return false
  try {
    process.kill(command, signal)
  } catch {
    // It has ended meanwhile.
  }
  return true
}

/** Sends any signal to the command of a sandbox. @returns whether there was one */
export function signalCommand({ initPid }: SandboxInit, signal: number): boolean {
  const [command] = childrenOf(initPid)
  if (command === undefined) return false
  try {
    return process.kill(command, signal)
  } catch {
    return false
  }
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
