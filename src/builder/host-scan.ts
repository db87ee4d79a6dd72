// A host folder as a build context, by content: what host-walk.ts lists is hashed where the stat cache does not know it, and
// what the next scan can start from is gathered. Effect: reads the host's disk, synchronously.
import { hash } from 'node:crypto'
import { closeSync, fstatSync } from 'node:fs'
import { hexSlice } from '#platform'
import type { Digest } from '../digest.js'
import { throwIfAborted } from '../errors.js'
import { encodePath, hasRawBytes } from '../path.js'
import { equalDigests } from './binary-columns.js'
import { contextRootHeader, headerBytes } from './content-header.js'
import { changed, hashLarge, openListed, readFully, sameFile } from './host-files.js'
import { HostWalk, type HostScanOptions, type ScanDir } from './host-walk.js'
import type { NodeAccess } from './node-access.js'
import { KNOWN, RACY, StatCacheWriter, SUSPECT, UNKNOWN, type StatColumns } from './stat-cache.js'

/** Milliseconds of work between two turns of the event loop. */
const SLICE_MS = 25
const BUFFER_BYTES = 1 << 18
/** Distance of two changes that leave different times: the kernel's tick is at most 10 ms; some file systems keep seconds. */
const FINE_MS = 20
const COARSE_MS = 2_000

export class HostScan extends HostWalk implements NodeAccess<number> {
  readonly #onProgress: ((entries: number) => void) | undefined
  /** Digests of directory headers by mode: nothing else varies in them. */
  readonly #headers = new Map<number, Digest>()
  #buffer: Uint8Array | undefined
  #dirty = false

  /**
   * @param base  absolute path of the context's root
   * @throws BuildError CONTEXT_NOT_FOUND | CONTEXT_UNREADABLE
   */
  constructor(base: string, options: HostScanOptions = {}) {
    super(base, options)
    this.#onProgress = options.onProgress
  }

  /** Whether a digest was computed that the stat cache did not have. */
  get dirty(): boolean {
    return this.#dirty
  }

  meta(entry: number): { readonly mode: number; readonly uid: number; readonly gid: number } {
    return { mode: this.columns.mode[entry]! & 0o7777, uid: 0, gid: 0 }
  }

  nodeDigest(entry: number): Digest {
    if (entry === 0) return this.#rootHeader()
    const { columns } = this
    if (columns.dir[entry] !== -1) return this.#headerOf(entry)
    if (isUnread(columns.state[entry]!)) this.#hashEntry(entry)
    return digestAt(columns, entry)
  }

  /** The digest that a file would have with this mode; reads it once more. */
  digestWith(entry: number, { mode }: { readonly mode: number }): Digest {
    const header = this.#header(entry, mode)
    return `sha256:${Buffer.from(this.#hashFile(entry, header)).toString('hex')}` as Digest
  }

  dirDigest(entry: number): Digest {
    for (const _ of this.#digestDir(entry)) {
      // runs to the end without a pause
    }
    return digestAt(this.columns, entry)
  }

  async prepare(entries: number | readonly number[]): Promise<void> {
    throwIfAborted(this.signal)
    let until = performance.now() + SLICE_MS
    for (const _ of typeof entries === 'number' ? this.#digestAll(entries) : this.#digestEach(entries)) {
      if (performance.now() < until) continue
      this.#onProgress?.(this.columns.length)
      await new Promise<void>((resolve) => setImmediate(resolve))
      throwIfAborted(this.signal)
      until = performance.now() + SLICE_MS
    }
    this.#onProgress?.(this.columns.length)
  }

  *#digestAll(entry: number): Generator<undefined> {
    if (this.columns.dir[entry] !== -1) yield* this.#digestDir(entry)
  }

  *#digestEach(entries: readonly number[]): Generator<undefined> {
    for (const entry of entries) {
      this.nodeDigest(entry)
      yield undefined
    }
  }

  /**
   * What the next scan can start from. Entries that were read too soon after their last change are read once more,
   * so that what is written can be relied on. @returns `undefined` when nothing is new
   */
  snapshot(): StatCacheWriter | undefined {
    if (!this.#dirty) return undefined
    const out = new StatCacheWriter(this.columns.length)
    out.columns.mode[0] = this.columns.mode[0]!
    out.columns.copyDigest(0, this.columns, 0)
    const rootDir = this.dirs[0]!
    const number = this.#emit(out, rootDir)
    out.columns.dir[0] = number
    return out
  }

  #emit(out: StatCacheWriter, dir: ScanDir): number {
    if (!dir.listed) return dir.previous === -1 ? out.addDir(0, 0, '') : this.#emitPrevious(out, dir.previous)
    const first = out.columns.allocate(dir.names.length)
    const number = out.addDir(first, dir.names.length, dir.names.join('/'))
    for (let i = 0; i < dir.names.length; i++) {
      const entry = dir.first + i
      if (this.columns.state[entry] === RACY) this.#settle(entry)
      out.columns.copyEntry(first + i, this.columns, entry)
      if (out.columns.state[first + i] === SUSPECT) out.columns.state[first + i] = RACY
      const below = this.columns.dir[entry]!
      // Numbered first: what lies below may make the columns grow, and so be others by the time of the assignment.
      const belowNumber = below === -1 ? -1 : this.#emit(out, this.dirs[below]!)
      out.columns.dir[first + i] = belowNumber
    }
    return number
  }

  /** A directory that nothing asked for this time keeps what was known of it. */
  #emitPrevious(out: StatCacheWriter, number: number): number {
    const { columns } = this.previous!
    const { first, count } = this.previous!.dir(number)
    const at = out.columns.allocate(count)
    const added = out.addDir(at, count, this.previous!.namesOf(number))
    for (let i = 0; i < count; i++) {
      out.columns.copyEntry(at + i, columns, first + i)
      const below = columns.dir[first + i]!
      const belowNumber = below === -1 ? -1 : this.#emitPrevious(out, below)
      out.columns.dir[at + i] = belowNumber
    }
    return added
  }

  /** When the clock has moved on by now: if the file still reads the same, its stat data can be trusted from here on. */
  #settle(entry: number): void {
    if (this.#isYoung(entry)) return
    const before = digestAt(this.columns, entry)
    try {
      this.#hashEntry(entry)
    } catch {
      this.columns.state[entry] = UNKNOWN
    }
    if (digestAt(this.columns, entry) !== before) this.columns.state[entry] = UNKNOWN
  }

  /** Digests of a directory with all below it; pauses after each directory and each large file. */
  *#digestDir(entry: number): Generator<undefined> {
    const { columns } = this
    if (columns.state[entry] !== UNKNOWN) return
    const dir = this.list(columns.dir[entry]!)
    yield undefined
    const end = dir.first + dir.names.length
    let same = dir.same
    for (let child = dir.first; child < end; child++) {
      if (columns.dir[child] !== -1) {
        yield* this.#digestDir(child)
        same &&= this.#isAsBefore(child, dir)
      } else if (isUnread(columns.state[child]!)) {
        if (!this.#hashEntry(child)) same = false
        if (columns.size[child]! > BUFFER_BYTES) yield undefined
      }
    }
    if (same && this.#reuseDigest(entry, dir)) return
    this.#combine(entry, dir)
  }

  #isAsBefore(child: number, dir: ScanDir): boolean {
    const previous = this.previous!.dir(dir.previous).first + (child - dir.first)
    const before = this.previous!.columns
    return (
      before.state[previous] === KNOWN &&
      before.mode[previous] === this.columns.mode[child] &&
      equalDigests(before.digest, previous, this.columns.digest, child)
    )
  }

  /** An unchanged directory has the digest that it had, as long as its own mode is what it was. */
  #reuseDigest(entry: number, dir: ScanDir): boolean {
    const before = this.previous!.columns
    const at = dir.previousEntry
    if (before.state[at] !== KNOWN) return false
    if (entry !== 0 && before.mode[at] !== this.columns.mode[entry]) return false
    this.columns.copyDigest(entry, before, at)
    return true
  }

  #combine(entry: number, dir: ScanDir): void {
    let text = `\0${entry === 0 ? this.#rootHeader() : this.#headerOf(entry)}`
    for (let i = 0; i < dir.names.length; i++) {
      text += `\0${dir.names[i]!}${digestAt(this.columns, dir.first + i)}`
    }
    this.#setDigest(entry, hash('sha256', hasRawBytes(text) ? encodePath(text) : text, 'buffer'), KNOWN)
  }

  #rootHeader(): Digest {
    return contextRootHeader(this.dirs[0]!.names.length === 0)
  }

  #headerOf(entry: number): Digest {
    const mode = this.columns.mode[entry]!
    let digest = this.#headers.get(mode)
    if (digest === undefined) {
      digest = `sha256:${hash('sha256', this.#header(entry), 'hex')}` as Digest
      this.#headers.set(mode, digest)
    }
    return digest
  }

  /** Owner 0:0, as BuildKit's client sends every file of a local context. */
  #header(entry: number, mode = this.columns.mode[entry]! & 0o7777): Uint8Array | string {
    const kind = this.kind(entry)
    const [rdevMajor, rdevMinor] = this.rdev(entry)
    return headerBytes({
      kind,
      mode,
      uid: 0,
      gid: 0,
      size: this.columns.size[entry]!,
      target: kind === 'symlink' ? this.target(entry) : '',
      rdevMajor,
      rdevMinor,
      xattrs: undefined,
    })
  }

  /** @returns whether this only confirmed what was known */
  #hashEntry(entry: number): boolean {
    const { digest, state } = this.columns
    // Before the first byte is read: what is written while a long reading lasts can leave the same times too.
    const next = this.#isYoung(entry) ? RACY : KNOWN
    const header = this.#header(entry)
    const hasContent = this.kind(entry) === 'file' && this.columns.size[entry]! > 0
    const bytes = hasContent ? this.#hashFile(entry, header) : hash('sha256', header, 'buffer')
    if (state[entry] === SUSPECT && equalDigests(bytes, 0, digest, entry)) {
      state[entry] = next
      return true
    }
    this.#setDigest(entry, bytes, next)
    return false
  }

  #setDigest(entry: number, bytes: Uint8Array, state: number): void {
    this.columns.digest.set(bytes, entry * 32)
    this.columns.state[entry] = state
    this.#dirty = true
  }

  /**
   * Whether a write that comes after a reading that starts now could leave the same times. ctime decides: every change
   * sets it to the file system's clock, and nobody can set it back.
   */
  #isYoung(entry: number): boolean {
    const ctimeMs = this.columns.ctimeMs[entry]!
    // Times in whole seconds betray a clock of that kind.
    const granularityMs = ctimeMs % 1000 === 0 ? COARSE_MS : FINE_MS
    return Date.now() - ctimeMs <= granularityMs
  }

  #hashFile(entry: number, header: Uint8Array | string): Uint8Array {
    const path = this.hostPath(entry)
    const fd = openListed(path, this.pathOf(entry), this.columns, entry)
    try {
      const size = this.columns.size[entry]!
      const head = typeof header === 'string' ? Buffer.from(header) : header
      const digest =
        head.length + size <= BUFFER_BYTES ? this.#hashSmall(fd, head, size) : hashLarge(fd, head, size)
      if (digest === undefined || !sameFile(fstatSync(fd), this.columns, entry))
        throw changed(this.pathOf(entry))
      return digest
    } finally {
      closeSync(fd)
    }
  }

  /** Header and content in one buffer and one call: half the time of an incremental hash. */
  #hashSmall(fd: number, head: Uint8Array, size: number): Uint8Array | undefined {
    const buffer = (this.#buffer ??= new Uint8Array(BUFFER_BYTES))
    buffer.set(head)
    if (!readFully(fd, buffer, head.length, size)) return undefined
    return hash('sha256', buffer.subarray(0, head.length + size), 'buffer')
  }
}

/** Whether a digest has to be computed, for the first time or again. */
function isUnread(state: number): boolean {
  return state === UNKNOWN || state === SUSPECT
}

function digestAt(columns: StatColumns, entry: number): Digest {
  return `sha256:${hexSlice(columns.digest, entry * 32, entry * 32 + 32)}` as Digest
}
