// Mutual exclusion inside one process, first come, first served. Between processes: lock.ts. Pure.

export interface Mutex {
  /** Runs `fn` when all that came before have ended, however they ended. */
  run<T>(fn: () => Promise<T>): Promise<T>
}

export function createMutex(): Mutex {
  let tail: Promise<unknown> = Promise.resolve()
  return {
    run(fn) {
      const result = tail.then(fn)
      tail = result.catch(() => undefined)
      return result
    },
  }
}
