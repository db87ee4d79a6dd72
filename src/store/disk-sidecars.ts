// Derived files on disk: `lamella/sidecars/<kind>/<key>`, sealed (records.ts), so that a damaged one is simply absent.
import type { Disk } from './disk-layout.js'
import { createTemp, discardTemp } from './disk-layout.js'
import { errnoOf } from './disk-fs.js'
import { checkSidecarName, trailerOf, unseal, type Checksum } from './records.js'
import type { SidecarStore } from './store.js'

/**
 * A file of this size is removed before another is written in its place: ext4 writes a file out at once that replaces
 * another (its auto_da_alloc), 2.5 ms a megabyte instead of 0.1, and the new file gets the memory that the old one had in
 * the page cache, where new memory costs a virtual machine 1 to 4 ms a megabyte. Whoever looks in between finds none, and
 * makes it again. Small ones are replaced in one step.
 */
const REMOVE_FROM = 64 << 10

export class DiskSidecarStore implements SidecarStore {
  constructor(
    readonly disk: Disk,
    readonly checksum: Checksum,
  ) {}

  get(kind: string, key: string): Uint8Array | undefined {
    checkSidecarName(kind, key)
    const bytes = this.disk.fs.readFile(this.#path(kind, key))
    return bytes && unseal(`${kind}/${key}`, bytes, this.checksum)
  }

  /** Not synced: it can be made again, and damage is noticed. */
  async put(kind: string, key: string, bytes: Uint8Array): Promise<void> {
    checkSidecarName(kind, key)
    const { fs } = this.disk
    if (bytes.byteLength >= REMOVE_FROM) fs.remove(this.#path(kind, key))
    const temp = await createTemp(this.disk)
    let closed = false
    try {
      fs.write(temp.fd, bytes)
      fs.write(temp.fd, trailerOf(`${kind}/${key}`, bytes, this.checksum))
      closed = true
      fs.close(temp.fd)
      this.#rename(temp.path, kind, key)
    } catch (error) {
      discardTemp(this.disk, temp, closed)
      throw error
    }
  }

  async delete(kind: string, key: string): Promise<void> {
    checkSidecarName(kind, key)
    this.disk.fs.remove(this.#path(kind, key))
  }

  async list(kind: string): Promise<string[]> {
    checkSidecarName(kind)
    return this.keys(kind)
  }

  keys(kind: string): string[] {
    return (this.disk.fs.readDir(`${this.disk.paths.sidecars}/${kind}`) ?? []).sort()
  }

  /** Whether a file is there and sound; `undefined` when it is not there. */
  check(kind: string, key: string): boolean | undefined {
    const bytes = this.disk.fs.readFile(this.#path(kind, key))
    return bytes && unseal(`${kind}/${key}`, bytes, this.checksum) !== undefined
  }

  kinds(): string[] {
    return (this.disk.fs.readDir(this.disk.paths.sidecars) ?? []).sort()
  }

  #path(kind: string, key: string): string {
    return `${this.disk.paths.sidecars}/${kind}/${key}`
  }

  #rename(from: string, kind: string, key: string): void {
    const to = this.#path(kind, key)
    try {
      this.disk.fs.rename(from, to)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      this.disk.fs.makeDir(`${this.disk.paths.sidecars}/${kind}`)
      this.disk.fs.rename(from, to)
    }
  }
}
