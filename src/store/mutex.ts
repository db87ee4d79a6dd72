// Mutual exclusion inside one process, first come, first served. Between processes: lock.ts. Pure.

export interface Mutex {
  /** Whether someone runs or waits. */
  busy(): boolean
  /** Runs `fn` when all that came before have ended, however they ended. */
  run<T>(fn: () => Promise<T>): Promise<T>
}

export function createMutex(): Mutex {
  let tail: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return {
    busy: () => waiting > 0,
    run(fn) {
      waiting++
      const result = tail.then(fn).finally(() => void waiting--)
      tail = result.catch(() => undefined)
      return result
    },
  }
}
