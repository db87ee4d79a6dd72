// Reads the data file of an lmdb environment without lmdb, which maps the file and trusts it: there a flipped bit in the tree
// of pages kills the process. Here it is an LmdbDamage. Also spares readers loading a native library.
import { compareBytes } from '../path.js'
import { errnoOf, type DiskFs } from './disk-fs.js'
import { checkSnapshot } from './lmdb-check.js'
import {
  childFor,
  childOf,
  damaged,
  keyOf,
  headBytes,
  LmdbDamage,
  leafNodeOf,
  lowerBound,
  newestSnapshot,
  overflowValue,
  parsePage,
  type LeafNode,
  type Page,
  type Snapshot,
  type Tree,
} from './lmdb-format.js'

/** Both metas, where pages have 4 KiB. */
const HEAD_BYTES = 8192
const LEAVES_MAX = 256
const BRANCHES_MAX = 4096
/** Writers that commit all the time could keep a reader from ever seeing one state. */
const TRIES_MAX = 64
/** Damage is looked at again: a writer may have been at work on what it touches, a meta or a page. */
const DAMAGE_TRIES = 3

export class LmdbPages {
  /** Pages of the known state. */
  readonly #branches = new Map<number, Page>()
  readonly #leaves = new Map<number, Page>()
  #known: { readonly head: Uint8Array; readonly snapshot: Snapshot } | undefined
  readonly #head = new Uint8Array(HEAD_BYTES)
  #isFresh = false
  /** Reads of pages so far. */
  #loads = 0
  #file: { readonly fd: number; readonly ino: number } | undefined

  /** @param boot  this run of the kernel, as Linux names it; '' where it is not known */
  constructor(
    readonly fs: DiskFs,
    readonly path: string,
    readonly boot: () => string,
  ) {}

  /** The value in memory of its own; `undefined` when there is none, or no file. @throws LmdbDamage */
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#inSnapshot((snapshot) => {
      const leaf = this.#descend(snapshot, snapshot.main, key)?.leaf
      if (leaf === undefined) return undefined
      const i = lowerBound(leaf, key)
      if (i === leaf.count) return undefined
      const node = leafNodeOf(leaf, i, snapshot.pageBytes)
      return compareBytes(node.key, key) === 0 ? this.#valueOf(snapshot, node) : undefined
    })
  }

  /**
   * Entries from `start` on in the order of keys, a page at a time of the state that is the newest then. They share their page's
   * memory. @throws LmdbDamage
   */
  *entries(start: Uint8Array): Generator<readonly [key: Uint8Array, value: Uint8Array]> {
    for (let from: Uint8Array | undefined = start; from !== undefined;) {
      const key: Uint8Array = from
      const part = this.#inSnapshot((snapshot) => this.#entriesOfLeaf(snapshot, key))
      yield* part?.entries ?? []
      from = part?.next
    }
  }

  /**
   * Looks at every page that lmdb would: what passes cannot lead it outside of the file.
   * @throws LmdbDamage
   */
  check(): void {
    this.#inSnapshot((snapshot) =>
      checkSnapshot(snapshot, (number, count) => this.#load(snapshot, number, count)),
    )
  }

  close(): void {
    if (this.#file !== undefined) this.fs.close(this.#file.fd)
    this.#file = undefined
    this.#forget()
  }

  /** Nothing but the newest state counts: read again when a writer was faster. `undefined` when there is no file. */
  #inSnapshot<T>(read: (snapshot: Snapshot) => T): T | undefined {
    for (let tries = 0; ; tries++) {
      const loads = this.#loads
      let outcome: { readonly value: T } | { readonly error: unknown }
      try {
        const snapshot = tries === 0 ? this.#current() : this.#renewed()
        if (snapshot === undefined) return undefined
        outcome = { value: read(snapshot) }
      } catch (error) {
        outcome = { error }
      }
      // What was read must be of the newest state; what was held is.
      const isStill = 'value' in outcome && loads === this.#loads ? true : this.#isStill()
      if ('value' in outcome && isStill) return outcome.value
      this.#forget()
      if (tries < TRIES_MAX && (!isStill || tries < DAMAGE_TRIES)) continue
      if ('error' in outcome && isStill) throw outcome.error
      // Whoever is overtaken that often cannot know; records are a cache.
      return undefined
    }
  }

  /** Whether the metas are, to the byte, what they were when they were last read. */
  #isStill(): boolean {
    if (this.#file === undefined) return true
    const before = this.#head.slice()
    this.fs.read(this.#file.fd, this.#head, 0)
    return equalBytes(before, this.#head) && this.fs.stat(this.path)?.ino === this.#file.ino
  }

  /** Looked for once a turn of the event loop, as lmdb does. */
  #current(): Snapshot | undefined {
    if (this.#isFresh && this.#known !== undefined) return this.#known.snapshot
    return this.#renewed()
  }

  #renewed(): Snapshot | undefined {
    if (!this.#open()) return undefined
    if (!this.#isFresh) setImmediate(() => this.refresh())
    this.#isFresh = true
    return this.#snapshot()
  }

  /** The next read sees what was committed by now. */
  refresh(): void {
    this.#isFresh = false
  }

  /** @returns whether there is a file */
  #open(): boolean {
    const stat = this.fs.stat(this.path)
    if (stat !== undefined && stat.ino === this.#file?.ino) return true
    this.close()
    if (stat === undefined) return false
    try {
      const fd = this.fs.open(this.path, 'read')
      this.#file = { fd, ino: this.fs.statFd(fd).ino }
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw error
    }
  }

  #readAt(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    try {
      if (this.fs.read(this.#file!.fd, bytes, position) === length) return bytes
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error
    }
    throw new LmdbDamage(`no ${length} bytes at ${position}`)
  }

  #snapshot(): Snapshot {
    const count = this.fs.read(this.#file!.fd, this.#head, 0)
    if (this.#known !== undefined && equalBytes(this.#head, this.#known.head)) return this.#known.snapshot
    const snapshot = this.#parseHead(this.#head.subarray(0, count))
    if (snapshot.transaction !== this.#known?.snapshot.transaction) this.#forget()
    this.#known = { head: this.#head.slice(), snapshot }
    return snapshot
  }

  #parseHead(read: Uint8Array): Snapshot {
    const needed = headBytes(read) ?? damaged('no meta page')
    const head = needed > read.byteLength ? this.#readAt(0, needed) : read
    return newestSnapshot(head, this.boot()) ?? damaged('no usable meta page')
  }

  #forget(): void {
    this.#branches.clear()
    this.#leaves.clear()
    this.#known = undefined
  }

  #load(snapshot: Snapshot, number: number, count: number): Uint8Array {
    const { pageBytes, lastPage } = snapshot
    if (number < 2 || count < 1 || number + count - 1 > lastPage)
      damaged(`page ${number} is not one of the file`)
    this.#loads++
    return this.#readAt(number * pageBytes, count * pageBytes)
  }

  #page(snapshot: Snapshot, number: number): Page {
    const held = this.#branches.get(number) ?? this.#leaves.get(number)
    if (held !== undefined) return held
    const page = parsePage(number, this.#load(snapshot, number, 1), snapshot)
    const kept = page.isLeaf ? this.#leaves : this.#branches
    if (kept.size >= (page.isLeaf ? LEAVES_MAX : BRANCHES_MAX)) kept.clear()
    kept.set(number, page)
    return page
  }

  /** The leaf where a key would be, and the first key of what comes after it. */
  #descend(
    snapshot: Snapshot,
    tree: Tree,
    key: Uint8Array,
  ): { leaf: Page; next: Uint8Array | undefined } | undefined {
    if (tree.root === undefined) return undefined
    let number = tree.root
    let next: Uint8Array | undefined
    for (let level = 1; level <= tree.depth; level++) {
      const page = this.#page(snapshot, number)
      if (page.isLeaf !== (level === tree.depth)) damaged(`page ${number} is at the wrong depth`)
      if (page.isLeaf) return { leaf: page, next }
      const i = childFor(page, key)
      if (i + 1 < page.count) next = keyOf(page, i + 1)
      number = childOf(page, i)
    }
    return damaged('a tree without leaves')
  }

  #entriesOfLeaf(snapshot: Snapshot, from: Uint8Array) {
    const found = this.#descend(snapshot, snapshot.main, from)
    if (found === undefined) return undefined
    const entries: (readonly [Uint8Array, Uint8Array])[] = []
    for (let i = lowerBound(found.leaf, from); i < found.leaf.count; i++) {
      const node = leafNodeOf(found.leaf, i, snapshot.pageBytes)
      entries.push([node.key, node.big === undefined ? node.inline : this.#valueOf(snapshot, node)])
    }
    return { entries, next: found.next }
  }

  #valueOf(snapshot: Snapshot, { inline, big, bytes }: LeafNode): Uint8Array {
    if (big === undefined) return inline.slice()
    return overflowValue(big, bytes, this.#load(snapshot, big.number, big.count), snapshot)
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
