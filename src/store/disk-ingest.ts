// Blobs that come in pieces: `lamella/ingest/<id>/data`, beside the lock of whoever writes it. The name's hash is the id,
// so that any name will do.
import { createDigester, digestOf, hexOf, type Digester } from '../digest.js'
import { StoreError } from '../errors.js'
import type { BlobBytes, BlobInfo, Expectation, Ingest } from './blobs.js'
import { BlobWriter, feed } from './blob-writer.js'
import type { DiskFs } from './disk-fs.js'
import type { Disk } from './disk-layout.js'
import type { Lock } from './lock.js'
import { checkExpectation } from './verify.js'

const READ_BYTES = 1 << 20

type Publish = (path: string, info: BlobInfo) => Promise<void>

export class DiskIngests {
  constructor(
    readonly disk: Disk,
    readonly lockIn: (folder: string) => Lock,
    readonly publish: Publish,
  ) {}

  /** @throws StoreError INGEST_BUSY */
  async open(name: string): Promise<Ingest> {
    const { fs, paths } = this.disk
    const folder = `${paths.ingest}/${hexOf(digestOf(name)).slice(0, 32)}`
    const release = await this.lockIn(`${folder}/lock`).take()
    if (release === undefined) {
      throw new StoreError('INGEST_BUSY', `someone else is writing ${name}`, { data: { name } })
    }
    try {
      const path = `${folder}/data`
      const before = await hashFile(fs, path)
      // A commit that failed late has made it read-only.
      if (before !== undefined) fs.chmod(path, 0o644)
      const fd = fs.open(path, before === undefined ? 'create' : 'append')
      return new DiskIngest(name, this, { path, fd, release, before })
    } catch (error) {
      release()
      throw error
    }
  }
}

interface IngestFile {
  readonly path: string
  readonly fd: number
  readonly release: () => void
  readonly before: { readonly digester: Digester; readonly size: number } | undefined
}

class DiskIngest implements Ingest {
  readonly #writer: BlobWriter
  #open = true

  constructor(
    readonly name: string,
    readonly owner: DiskIngests,
    readonly file: IngestFile,
  ) {
    this.#writer = new BlobWriter(owner.disk.fs, file.fd, {}, file.before)
  }

  get size(): number {
    return this.#writer.size
  }

  async append(bytes: BlobBytes, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    this.#check()
    try {
      await feed(this.#writer, bytes, options.signal)
    } finally {
      await this.#writer.flush()
    }
  }

  async commit(expect: Expectation = {}): Promise<BlobInfo> {
    this.#check()
    const { fs, durability } = this.owner.disk
    try {
      const info = await this.#writer.finish()
      checkExpectation(info, expect)
      if (durability === 'full') await fs.sync(this.file.fd)
      fs.chmod(this.file.path, 0o444)
      await this.owner.publish(this.file.path, info)
      return info
    } catch (error) {
      // Bytes that are wrong do not become right by more of them.
      if (error instanceof StoreError) fs.remove(this.file.path)
      throw error
    } finally {
      await this.close()
    }
  }

  async discard(): Promise<void> {
    this.#check()
    await this.#writer.abandon()
    this.owner.disk.fs.remove(this.file.path)
    await this.close()
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#writer.abandon()
    this.owner.disk.fs.close(this.file.fd)
    this.file.release()
  }

  #check(): void {
    if (!this.#open) throw new StoreError('STORE_CLOSED', `the ingest ${this.name} has ended`)
  }
}

/** The state of the hash after a file's bytes, or `undefined` when there is no file. */
async function hashFile(fs: DiskFs, path: string): Promise<{ digester: Digester; size: number } | undefined> {
  if (fs.stat(path) === undefined) return undefined
  const digester = createDigester()
  const fd = fs.open(path, 'read')
  try {
    const block = new Uint8Array(READ_BYTES)
    for (let size = 0; ;) {
      const count = await fs.readLater(fd, block, size)
      if (count === 0) return { digester, size }
      digester.update(block.subarray(0, count))
      size += count
    }
  } finally {
    fs.close(fd)
  }
}
