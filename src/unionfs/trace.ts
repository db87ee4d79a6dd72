// A record of what a view was asked for: paths found, directories listed, paths looked for in vain. What a command's result
// depends on is among them.
import type { Kernel } from './kernel/kernel.js'

/** What was asked since the trace began. Paths are absolute and free of symlinks, sorted by UTF-16 order. */
export interface TraceRecord {
  /** Looked up and there; every directory on the way is among them. */
  readonly read: readonly string[]
  /** Directories whose entries were listed. */
  readonly listed: readonly string[]
  /** Looked up and not there. */
  readonly missed: readonly string[]
}

export class Trace {
  readonly #kernel: Kernel
  readonly #read = new Set<string>()
  readonly #listed = new Set<string>()
  readonly #missed = new Set<string>()

  /** One trace a view at a time: a new one takes the place of the old. @internal */
  constructor(kernel: Kernel) {
    this.#kernel = kernel
    kernel.observer = (path, node) => void (node === undefined ? this.#missed : this.#read).add(path)
    kernel.listObserver = (path) => void this.#listed.add(path)
  }

  /** What was asked so far; the trace goes on. */
  record(): TraceRecord {
    const sorted = (paths: Set<string>) => [...paths].sort()
    return { read: sorted(this.#read), listed: sorted(this.#listed), missed: sorted(this.#missed) }
  }

  /** Ends the trace. */
  stop(): TraceRecord {
    this.#kernel.observer = undefined
    this.#kernel.listObserver = undefined
    return this.record()
  }

  [Symbol.dispose](): void {
    this.stop()
  }
}
