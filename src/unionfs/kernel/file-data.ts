// The bytes of one file in the upper. They stay a reference into the lower until the first write; then they live in a
// memfs inode. Bytes that a snapshot holds are shared, and copied before they change: memfs writes in place.
import type { ContentSource } from '../node.js'
import { bytesSource } from '../node.js'
import { Buffer, loadMemfs, type MemfsInode, type MemfsVolume } from '#unionfs-host'
import { fail } from './fault.js'

/** Largest file that the upper holds: one Buffer, 2 GiB less one page. The kernel's limit is far above. */
export const FILE_SIZE_MAX = 2 ** 31 - 4096

/** Permission bits of every memfs inode: memfs checks nothing here, the view's own metadata count. */
const INODE_MODE = 0o100600

/** What a limit is counted in, as tmpfs does: a file takes whole pages. */
const PAGE = 4096

/** The memfs volume that holds the upper's bytes; loaded and made at the first write. */
export class UpperStorage {
  #volume: MemfsVolume | undefined
  #freePages: number

  /** @param sizeBytes  how much it may hold, rounded up to pages, as tmpfs(5) `size` */
  constructor(sizeBytes = Number.POSITIVE_INFINITY) {
    this.#freePages = Math.ceil(sizeBytes / PAGE)
  }

  get isLimited(): boolean {
    return this.#freePages !== Number.POSITIVE_INFINITY
  }

  /** How large a file can become that takes `held` bytes now. */
  roomFor(held: number): number {
    return (Math.ceil(held / PAGE) + this.#freePages) * PAGE
  }

  /** A file that took `before` bytes takes `after` now. */
  account(before: number, after: number): void {
    this.#freePages -= Math.ceil(after / PAGE) - Math.ceil(before / PAGE)
  }

  create(): MemfsInode {
    this.#volume ??= new (loadMemfs().Volume)()
    return this.#volume._core.createNode(INODE_MODE)
  }

  release(inode: MemfsInode): void {
    this.#volume?._core.deleteNode(inode)
  }

  /** Files whose bytes memfs holds now. For tests of leaks. */
  get inodeCount(): number {
    // memfs's own root directory is an inode too.
    return this.#volume === undefined ? 0 : Object.keys(this.#volume._core.inodes).length - 1
  }
}

export interface ContentRef {
  readonly source: ContentSource | undefined
  readonly offset: number
  readonly size: number
}

const NOTHING: ContentRef = { source: undefined, offset: 0, size: 0 }
const EMPTY = new Uint8Array(0)

export class FileData {
  readonly #storage: UpperStorage
  #ref: ContentRef
  #inode: MemfsInode | undefined
  /** A snapshot refers to the inode's buffer. */
  #shared = false

  constructor(storage: UpperStorage, ref: ContentRef = NOTHING) {
    this.#storage = storage
    this.#ref = ref
  }

  get size(): number {
    return this.#inode === undefined ? this.#ref.size : this.#inode.getSize()
  }

  /** All bytes, as a view that must not be written into and is valid until the next change. */
  bytes(): Uint8Array {
    if (this.#inode !== undefined) return this.#inode.buf.subarray(0, this.#inode.getSize())
    const { source, offset, size } = this.#ref
    return source === undefined || size === 0 ? EMPTY : source.read(offset, size)
  }

  /** Copies up to `length` bytes from `position` into `target`. @returns how many; 0 at the end of the file */
  read(target: Uint8Array, at: number, length: number, position: number): number {
    const count = Math.min(length, this.size - position)
    if (count <= 0) return 0
    if (this.#inode === undefined) {
      target.set(this.#ref.source!.read(this.#ref.offset + position, count), at)
    } else {
      target.set(this.#inode.buf.subarray(position, position + count), at)
    }
    return count
  }

  /**
   * Writes at `position`; a gap after the present end reads as zeros.
   * @returns how many bytes there was room for
   * @throws Fault EFBIG; ENOSPC where there was room for none
   */
  write(bytes: Uint8Array, position: number): number {
    const end = position + bytes.byteLength
    if (end > FILE_SIZE_MAX) fail('EFBIG')
    if (!this.#storage.isLimited) this.#write(bytes, position, end)
    else {
      const room = this.#storage.roomFor(this.#held)
      if (room <= position) fail('ENOSPC')
      if (end > room) return this.write(bytes.subarray(0, room - position), position)
      const before = this.#held
      this.#write(bytes, position, end)
      this.#storage.account(before, this.#held)
    }
    return bytes.byteLength
  }

  /** Bytes that the storage holds for it. */
  get #held(): number {
    return this.#inode?.getSize() ?? 0
  }

  #write(bytes: Uint8Array, position: number, end: number): void {
    if (position === 0 && end >= this.size) {
      // The whole content is new: nothing of the old need be copied, and the buffer gets its exact size.
      this.#replace(bytes)
      return
    }
    this.#own().write(asBuffer(bytes), 0, bytes.byteLength, position)
  }

  /** Cuts or extends with zeros, which take as much room as other bytes. @throws Fault EFBIG | ENOSPC */
  truncate(size: number): void {
    if (size > FILE_SIZE_MAX) fail('EFBIG')
    if (size === this.size) return
    if (size > this.#storage.roomFor(this.#held)) fail('ENOSPC')
    const before = this.#held
    this.#truncate(size)
    if (this.#storage.isLimited && size > 0) this.#storage.account(before, this.#held)
  }

  #truncate(size: number): void {
    if (size === 0) {
      this.#drop()
      this.#ref = NOTHING
      return
    }
    this.#own().truncate(size)
  }

  /** The present content as a value for a tree. Later changes do not show in it. */
  freeze(): ContentRef {
    if (this.#inode === undefined) return this.#ref
    const size = this.#inode.getSize()
    if (size === 0) return NOTHING
    this.#shared = true
    return { source: bytesSource(this.#inode.buf), offset: 0, size }
  }

  /** Whether the content is still exactly `ref`, by reference. */
  isUnchanged(ref: ContentRef): boolean {
    return (
      this.#inode === undefined &&
      this.#ref.size === ref.size &&
      (ref.size === 0 || (this.#ref.source === ref.source && this.#ref.offset === ref.offset))
    )
  }

  /** Gives the inode back; the file has no name and no descriptor any more. */
  release(): void {
    this.#drop()
    this.#ref = NOTHING
  }

  #drop(): void {
    if (this.#storage.isLimited) this.#storage.account(this.#held, 0)
    if (this.#inode !== undefined) this.#storage.release(this.#inode)
    this.#inode = undefined
    this.#shared = false
  }

  #replace(bytes: Uint8Array): void {
    this.#inode ??= this.#storage.create()
    this.#inode.setBuffer(asBuffer(bytes))
    this.#shared = false
    this.#ref = NOTHING
  }

  /** The inode, with a buffer of its own that holds the content. */
  #own(): MemfsInode {
    if (this.#inode === undefined) {
      const bytes = this.bytes()
      this.#inode = this.#storage.create()
      if (bytes.byteLength > 0) this.#inode.setBuffer(asBuffer(bytes))
      this.#ref = NOTHING
    } else if (this.#shared) {
      this.#inode.setBuffer(asBuffer(this.bytes()))
    }
    this.#shared = false
    return this.#inode
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
