// A bounded pool of open files, so that readers of any number of blobs hold no resource of their own. Least recently used
// ones are closed first.
import type { DiskFs } from './disk-fs.js'

export class FdPool {
  // A Map keeps insertion order: the first key is the one that was not used for longest.
  readonly #open = new Map<string, number>()

  constructor(
    readonly fs: DiskFs,
    readonly max = 128,
  ) {}

  /**
   * A file descriptor for synchronous use at once: it may be closed when the pool is next asked.
   * @throws the error of `DiskFs.open`
   */
  get(path: string): number {
    const held = this.#open.get(path)
    if (held !== undefined) {
      if (this.#open.size > this.max / 2) {
        this.#open.delete(path)
        this.#open.set(path, held)
      }
      return held
    }
    const fd = this.fs.open(path, 'read')
    if (this.#open.size >= this.max) {
      const [oldest] = this.#open.keys()
      this.drop(oldest!)
    }
    this.#open.set(path, fd)
    return fd
  }

  /** Closes a file if it is open. */
  drop(path: string): void {
    const fd = this.#open.get(path)
    if (fd === undefined) return
    this.#open.delete(path)
    this.fs.close(fd)
  }

  close(): void {
    for (const fd of this.#open.values()) this.fs.close(fd)
    this.#open.clear()
  }
}
