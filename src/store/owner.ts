// Who holds a lock, and whether that process still lives. An effect file: asks the operating system.
//
// A process is known by host, boot, pid namespace, pid and the time at which it started: a pid alone is reused, and two
// containers that share a folder have the same pids.
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

export interface Owner {
  readonly host: string
  /** Random id of this run of the kernel; '' where there is none. */
  readonly boot: string
  readonly pidNamespace: string
  readonly pid: number
  /** When the process started, in clock ticks since boot; '' where it is not told. */
  readonly started: string
}

let self: Owner | undefined

export function currentOwner(): Owner {
  return (self ??= {
    host: hostname(),
    boot: read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()),
    pidNamespace: read(() => readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    started: startOf(process.pid),
  })
}

/**
 * Whether the owner's process still runs; `undefined` when that cannot be known from here, because it is another host or
 * another container.
 */
export function isOwnerAlive(owner: Owner): boolean | undefined {
  const here = currentOwner()
  if (owner.boot !== here.boot) return owner.host === here.host ? false : undefined
  if (owner.pidNamespace !== here.pidNamespace) return undefined
  if (here.boot === '' && owner.host !== here.host) return undefined
  if (!isRunning(owner.pid)) return false
  return owner.started === '' || startOf(owner.pid) === owner.started
}

/** Whether a process with this id runs here. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs, as another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * Field 22 of /proc/<pid>/stat; a zombie has ended for our purpose. The command's name, field 2, may hold anything.
 * @see proc(5)
 */
function startOf(pid: number): string {
  return read(() => {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : (fields[19] ?? '')
  })
}

function read(call: () => string): string {
  try {
    return call()
  } catch {
    return ''
  }
}
