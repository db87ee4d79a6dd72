// BlobStore in a folder: `blobs/sha256/<hex>` of an OCI image layout. A blob comes to be in containerd's order: temporary
// file → hash while writing → size and digest check → fsync → rename → fsync of the folder.
import { digestOf, hexOf, type Digest, isDigest } from '../digest.js'
import { StoreError, throwIfAborted } from '../errors.js'
import {
  joined,
  type BlobBytes,
  type BlobInfo,
  type BlobReader,
  type BlobStore,
  type ByteRange,
  type Expectation,
  type Ingest,
} from './blobs.js'
import { BlobWriter, feed } from './blob-writer.js'
import { DiskIngests } from './disk-ingest.js'
import { errnoOf, isReadOnlyError, type DiskFs, type FileStat } from './disk-fs.js'
import { blobPath, createTemp, discardTemp, makeFolder, type Disk } from './disk-layout.js'
import { type RangeIntoRoom, DiskReads } from './disk-reads.js'
import { FdPool } from './fd-pool.js'
import type { Lock } from './lock.js'
import { checkRange } from './memory.js'
import type { SidecarStore } from './store.js'
import { blobNotFound, checkExpectation, measure, verified } from './verify.js'

/** Reads of a whole blob come in pieces of this size. */
const READ_BYTES = 1 << 20
/** Bytes at hand up to this size are hashed before they are written, and not written when they are there. */
const PIECE_BYTES = 1 << 20
/** Up to this size a blob is read at once, without a turn of the event loop. */
const READ_AT_ONCE = 256 << 10
/** Where the first bytes of a blob are read to; used within one turn. */
const SMALL = new Uint8Array(64 << 10)
/** A put of bytes that are there renews the blob's time when it is older than this, so gc sees that it is wanted. */
const FRESH_MS = 10 * 60 * 1000

export interface DiskBlobStoreOptions {
  /** Milliseconds since the epoch. Default: the wall clock. */
  readonly now?: () => number
  /** Awaited before a put of bytes that are already there returns; see `Store.exclusive`. */
  readonly gate?: () => Promise<void>
  /** A lock in a folder of its own. Without it there are no ingests. */
  readonly lockIn?: (folder: string) => Lock
  /** Verify reads of parts of a blob. Default true. */
  readonly verifyReads?: boolean
  /** Where the sums by which they are verified are kept; see disk-reads.ts. */
  readonly sidecars?: Pick<SidecarStore, 'get' | 'put'>
}

export class DiskBlobStore implements BlobStore {
  readonly #disk: Disk
  readonly #fds: FdPool
  readonly #now: () => number
  readonly #gate: () => Promise<void>
  readonly #ingests: DiskIngests | undefined
  readonly #reads: DiskReads | undefined
  #closed = false
  #folderSync: { started: boolean; done: Promise<void> } | undefined

  constructor(disk: Disk, options: DiskBlobStoreOptions = {}) {
    this.#disk = disk
    this.#fds = new FdPool(disk.fs)
    this.#now = options.now ?? Date.now
    this.#gate = options.gate ?? (() => Promise.resolve())
    const { lockIn, sidecars, verifyReads = true } = options
    this.#reads = verifyReads
      ? new DiskReads({ fs: disk.fs, checksum: disk.checksum, sidecars, nowMs: this.#now })
      : undefined
    const publish = async (path: string, info: BlobInfo) => void (await this.#publish(path, info))
    this.#ingests = lockIn && new DiskIngests(disk, lockIn, publish)
  }

  async put(
    bytes: BlobBytes,
    expect: Expectation = {},
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<BlobInfo> {
    throwIfAborted(options.signal)
    if (bytes instanceof Uint8Array && bytes.byteLength <= PIECE_BYTES) {
      const info = { digest: digestOf(bytes), size: bytes.byteLength }
      checkExpectation(info, expect)
      if (!(await this.#renew(info))) await this.#writePiece(bytes, info)
      return info
    }
    if (expect.digest !== undefined && (await this.#renew(expect as BlobInfo))) {
      return measure(bytes, expect, () => throwIfAborted(options.signal))
    }
    return this.#write(bytes, expect, options.signal)
  }

  async *get(digest: Digest, range?: ByteRange): AsyncGenerator<Uint8Array> {
    if (range !== undefined) {
      checkRange(range)
      const isChecked = range.verify !== false && range.digest === undefined && this.#reads !== undefined
      const chunks = isChecked ? this.#parts(digest, range) : this.#chunks(digest, range.offset, range.length)
      yield* range.digest === undefined ? chunks : verified(chunks, { digest: range.digest })
    } else {
      yield* verified(this.#chunks(digest, 0, Number.POSITIVE_INFINITY), { digest })
    }
  }

  async read(digest: Digest): Promise<Uint8Array> {
    const { fs } = this.#disk
    const fd = this.#openNow(digest)
    let bytes: Uint8Array
    try {
      // Most are small: one read says so, and the digest that it was the whole.
      const count = fs.readOnce(fd, SMALL)
      if (count < SMALL.byteLength) {
        bytes = SMALL.slice(0, count)
        if (digestOf(bytes) === digest) return bytes
      }
      const { size } = fs.statFd(fd)
      if (size > READ_AT_ONCE) return await joined(this.get(digest))
      bytes = new Uint8Array(size)
      bytes = bytes.subarray(0, fs.read(fd, bytes, 0))
    } finally {
      fs.close(fd)
    }
    checkExpectation({ digest: digestOf(bytes), size: bytes.byteLength }, { digest })
    return bytes
  }

  async verify(digest: Digest): Promise<void> {
    const { fs } = this.#disk
    const fd = this.#openNow(digest)
    try {
      const chunks = readAhead(fs, fd, { offset: 0, end: fs.statFd(fd).size, buffer: twoBuffers() })
      await measure(chunks, { digest })
    } finally {
      fs.close(fd)
    }
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#stat(digest)
  }

  async delete(digest: Digest): Promise<boolean> {
    const path = this.#path(digest)
    this.#fds.drop(path)
    this.#reads?.forget(digest)
    return this.#disk.fs.remove(path)
  }

  async *list(): AsyncGenerator<BlobInfo> {
    for (const name of this.#disk.fs.readDir(this.#disk.paths.blobs) ?? []) {
      const digest = `sha256:${name}`
      const info = isDigest(digest) ? this.#stat(digest) : undefined
      if (info !== undefined) yield info
    }
  }

  async open(digest: Digest): Promise<BlobReader> {
    const info = this.#stat(digest)
    if (info === undefined) throw blobNotFound(digest)
    return {
      digest,
      size: info.size,
      read: (offset, length) => this.#read(info, offset, length),
      readInto: (room, offset) => this.#read(info, offset, room.byteLength, room),
    }
  }

  async ingest(name: string): Promise<Ingest> {
    if (this.#ingests === undefined) throw new TypeError('a DiskBlobStore without a lock has no ingests')
    return this.#ingests.open(name)
  }

  /** Closes the files that readers share. They fail with STORE_CLOSED from then on. */
  async close(): Promise<void> {
    this.#closed = true
    this.#fds.close()
    await this.#reads?.close()
  }

  #path(digest: Digest): string {
    return blobPath(this.#disk.paths, digest)
  }

  #stat(digest: Digest): BlobInfo | undefined {
    const stat = this.#disk.fs.stat(this.#path(digest))
    return stat?.kind === 'file' ? { digest, size: stat.size, addedMs: stat.mtimeMs } : undefined
  }

  #read(info: BlobInfo, offset: number, length: number, room?: Uint8Array): Uint8Array {
    const { digest, size } = info
    if (this.#closed) throw new StoreError('STORE_CLOSED', 'the store is closed')
    if (offset < 0 || length < 0 || offset + length > size) throw outOfRange(digest, offset, length, size)
    const fd = this.#fd(digest)
    const range = { offset, length, room }
    if (this.#reads !== undefined) return this.#readVerified(this.#reads, fd, info, range)
    const out = room ?? new Uint8Array(length)
    const count = this.#disk.fs.read(fd, out, offset)
    // The file became shorter after it was opened, which nothing of ours does.
    if (count !== length) throw outOfRange(digest, offset, length, offset + count)
    return out
  }

  #readVerified(reads: DiskReads, fd: number, info: BlobInfo, range: RangeIntoRoom): Uint8Array {
    try {
      return reads.read(fd, info, range)
    } catch (error) {
      // A put may have replaced the damaged file: the next read opens it anew.
      this.#fds.drop(this.#path(info.digest))
      throw error
    }
  }

  #fd(digest: Digest): number {
    try {
      return this.#fds.get(this.#path(digest))
    } catch (error) {
      throw errnoOf(error) === 'ENOENT' ? blobNotFound(digest, error) : error
    }
  }

  #openNow(digest: Digest): number {
    try {
      return this.#disk.fs.open(this.#path(digest), 'read')
    } catch (error) {
      throw errnoOf(error) === 'ENOENT' ? blobNotFound(digest, error) : error
    }
  }

  /** A range in verified pieces. */
  async *#parts(digest: Digest, { offset, length }: ByteRange): AsyncGenerator<Uint8Array> {
    const info = this.#stat(digest)
    if (info === undefined) throw blobNotFound(digest)
    const end = Math.min(info.size, offset + length)
    for (let at = offset; at < end; at += READ_BYTES)
      yield this.#read(info, at, Math.min(READ_BYTES, end - at))
  }

  async *#chunks(digest: Digest, offset: number, length: number): AsyncGenerator<Uint8Array> {
    const { fs } = this.#disk
    const fd = this.#openNow(digest)
    try {
      const end = Math.min(fs.statFd(fd).size, offset + length)
      if (end - offset <= READ_AT_ONCE) {
        const chunk = new Uint8Array(Math.max(0, end - offset))
        const count = fs.read(fd, chunk, offset)
        if (count > 0) yield chunk.subarray(0, count)
      } else yield* readAhead(fs, fd, { offset, end })
    } finally {
      fs.close(fd)
    }
  }

  /**
   * Whether the blob is there, and stays there for now: its time is renewed, and a gc that may have looked at it before
   * that has ended. A file of the wrong size is as good as none; it will be replaced.
   */
  async #renew(blob: { readonly digest?: Digest; readonly size?: number | undefined }): Promise<boolean> {
    const digest = blob.digest!
    const found = this.#stat(digest)
    if (found === undefined || (blob.size !== undefined && found.size !== blob.size)) return false
    const now = this.#now()
    if (now - found.addedMs! > FRESH_MS && !this.#touch(digest, now)) return false
    await this.#gate()
    if (this.#stat(digest) === undefined) return false
    // Whoever renamed it may not have come to the fsync yet.
    await this.#syncFolder()
    return true
  }

  #touch(digest: Digest, timeMs: number): boolean {
    try {
      return this.#disk.fs.touch(this.#path(digest), timeMs)
    } catch (error) {
      // A layout that we may only read is not swept by us either.
      if (isReadOnlyError(error)) return true
      throw error
    }
  }

  async #writePiece(bytes: Uint8Array, info: BlobInfo): Promise<void> {
    const temp = await createTemp(this.#disk, 0o444)
    let closed = false
    try {
      this.#disk.fs.write(temp.fd, bytes)
      if (this.#disk.durability === 'full') await this.#disk.fs.sync(temp.fd)
      closed = true
      this.#disk.fs.close(temp.fd)
      // It was not there a moment ago; if it is by now, it has the same bytes.
      await this.#rename(temp.path, info)
    } catch (error) {
      discardTemp(this.#disk, temp, closed)
      throw error
    }
  }

  async #write(bytes: BlobBytes, expect: Expectation, signal: AbortSignal | undefined): Promise<BlobInfo> {
    const temp = await createTemp(this.#disk, 0o444)
    const writer = new BlobWriter(this.#disk.fs, temp.fd, expect)
    let closed = false
    try {
      await feed(writer, bytes, signal)
      const info = await writer.finish()
      if (this.#disk.durability === 'full') await this.#disk.fs.sync(temp.fd)
      throwIfAborted(signal)
      closed = true
      this.#disk.fs.close(temp.fd)
      const stat = await this.#publish(temp.path, info)
      if (stat !== undefined) this.#reads?.trust(info.digest, stat)
      return info
    } catch (error) {
      await writer.abandon()
      discardTemp(this.#disk, temp, closed)
      throw error
    }
  }

  /** Gives a whole, verified temporary file its name. @returns how it looks; `undefined` when there was one already */
  async #publish(from: string, info: BlobInfo): Promise<FileStat | undefined> {
    const { fs } = this.#disk
    if (await this.#renew(info)) {
      fs.remove(from)
      return undefined
    }
    const stat = fs.stat(from)
    await this.#rename(from, info)
    return stat
  }

  async #rename(from: string, info: BlobInfo): Promise<void> {
    const { fs, paths } = this.#disk
    const path = this.#path(info.digest)
    this.#fds.drop(path)
    this.#reads?.forget(info.digest)
    try {
      fs.rename(from, path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || fs.stat(paths.blobs) !== undefined) throw error
      await makeFolder(this.#disk, paths.blobs)
      fs.rename(from, path)
    }
    await this.#syncFolder()
  }

  /** fsync of the folder of blobs. Puts that end at the same time share one that began after all their renames. */
  async #syncFolder(): Promise<void> {
    if (this.#disk.durability === 'none') return
    let sync = this.#folderSync
    if (sync === undefined || sync.started) {
      const before = sync?.done.catch(() => undefined)
      const next = { started: false, done: Promise.resolve() }
      next.done = Promise.resolve(before).then(() => {
        next.started = true
        return this.#disk.fs.syncDir(this.#disk.paths.blobs)
      })
      this.#folderSync = sync = next
    }
    await sync.done
  }
}

interface ReadAhead {
  readonly offset: number
  readonly end: number
  /** Where the next piece goes. Default: a buffer of its own, which the consumer may keep. */
  readonly buffer?: (length: number) => Uint8Array
}

const freshBuffer = (length: number) => new Uint8Array(length)

/** Two buffers by turns, for a consumer that is done with a piece when it asks for the next. */
function twoBuffers(): (length: number) => Uint8Array {
  const buffers = [new Uint8Array(READ_BYTES), new Uint8Array(READ_BYTES)] as const
  let turn = 0
  return (length) => buffers[(turn ^= 1) as 0 | 1].subarray(0, length)
}

/** Reads the next piece on another thread while the consumer, who mostly hashes, has this one. */
async function* readAhead(
  fs: DiskFs,
  fd: number,
  { offset, end, buffer = freshBuffer }: ReadAhead,
): AsyncGenerator<Uint8Array> {
  const read = async (at: number) => {
    const chunk = buffer(Math.min(READ_BYTES, end - at))
    return chunk.subarray(0, await fs.readLater(fd, chunk, at))
  }
  let next: Promise<Uint8Array> | undefined = read(offset)
  try {
    for (let at = offset; next !== undefined;) {
      const chunk: Uint8Array = await next
      next = undefined
      if (chunk.byteLength === 0) return
      at += chunk.byteLength
      if (at < end) next = read(at)
      // Its error is for whoever asks for it; a consumer that stops early does not.
      next?.catch(() => undefined)
      yield chunk
    }
  } finally {
    // The file must not be closed under a read that is under way.
    await next?.catch(() => undefined)
  }
}

function outOfRange(digest: Digest, offset: number, length: number, size: number): StoreError {
  return new StoreError(
    'SIZE_MISMATCH',
    `range ${offset}+${length} is not within blob ${hexOf(digest)} of ${size} bytes`,
    { data: { digest, offset, length, size } },
  )
}
