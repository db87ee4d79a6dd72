// Dir: what opendir gives.
import { defer } from '#unionfs-host'
import type { Kernel } from '../kernel/kernel.js'
import { childOf } from '../kernel/upper.js'
import { checkFunction, encodingOf, shown, toBoolean, toOptions, toPath, type Encoding } from './arguments.js'
import { attempt, codedError, textOf } from './errno.js'
import { direntsOf, joined, listDirectory, shownPath } from './listing.js'
import { op, type OpTable } from './op.js'
import type { Dirent } from './stats.js'

type Entry = Dirent<string | Buffer>
type Callback = (error: unknown, entry?: Entry | null) => void

/** Its entries are those that were there when the directory was opened or, below it, when it was reached. */
export class Dir implements AsyncIterable<Entry> {
  readonly path: string
  readonly #kernel: Kernel
  readonly #encoding: Encoding
  readonly #isRecursive: boolean
  readonly #entries: Entry[]
  readonly #pending: string[] = []
  #next = 0
  #isClosed = false

  constructor(kernel: Kernel, name: string, path: string, encoding: Encoding, isRecursive: boolean) {
    this.path = path
    this.#kernel = kernel
    this.#encoding = encoding
    this.#isRecursive = isRecursive
    this.#entries = this.#scan(name, path)
  }

  #scan(name: string, parent: string): Entry[] {
    const { node, names } = attempt('opendir', parent, undefined, () => listDirectory(this.#kernel, name))
    if (this.#isRecursive) {
      for (const entry of names)
        if (childOf(node, entry)?.kind === 'dir') this.#pending.push(joined(name, entry))
    }
    return direntsOf(node, names, parent, this.#encoding)
  }

  readSync(): Entry | null {
    this.#checkOpen()
    while (this.#next === this.#entries.length && this.#pending.length > 0) {
      const below = this.#pending.shift()!
      this.#entries.push(...this.#scan(below, shownPath(below)))
    }
    return this.#entries[this.#next++] ?? null
  }

  read(): Promise<Entry | null>
  read(callback: Callback): void
  read(callback?: Callback): Promise<Entry | null> | void {
    if (callback === undefined) return new Promise((resolve) => resolve(this.readSync()))
    checkFunction(callback, 'callback')
    const entry = this.readSync()
    defer(() => callback(null, entry))
  }

  closeSync(): void {
    this.#checkOpen()
    this.#isClosed = true
  }

  close(): Promise<void>
  close(callback: (error: unknown) => void): void
  close(callback?: (error: unknown) => void): Promise<void> | void {
    if (callback === undefined) return new Promise((resolve) => resolve(this.closeSync()))
    checkFunction(callback, 'callback')
    this.closeSync()
    defer(() => callback(null))
  }

  #checkOpen(): void {
    if (this.#isClosed) throw codedError('ERR_DIR_CLOSED', 'Directory handle was closed')
  }

  async *entries(): AsyncGenerator<Entry, void> {
    try {
      for (;;) {
        const entry = this.readSync()
        if (entry === null) return
        yield entry
      }
    } finally {
      if (!this.#isClosed) this.closeSync()
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Entry, void> {
    return this.entries()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) this.closeSync()
  }
}

export function directoryOps(kernel: Kernel): OpTable {
  return {
    opendir: op(1, 2, (path: unknown, given: unknown) => {
      const name = toPath(path)
      const options = toOptions(given, { encoding: 'utf8' })
      const recursive =
        options.recursive === undefined ? false : toBoolean(options.recursive, 'options.recursive')
      return () => new Dir(kernel, name, textOf(shown(path))!, encodingOf(options), recursive)
    }),
  }
}
