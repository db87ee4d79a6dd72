// Signals to the process that runs a container. Effect.

/** @returns false when it has gone */
export function signalProcess(pid: number, signal: 'SIGTERM' | 'SIGKILL' | 'SIGINT' | 'SIGQUIT'): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

export function ownPid(): number {
  return process.pid
}
