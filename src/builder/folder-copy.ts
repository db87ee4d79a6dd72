// COPY of a host folder into a layer, by what has changed since the same step last ran on the same base. Entries that are
// as they were are taken over from the earlier layer's tar in long ranges; only the others become nodes, go through the
// copy, the comparison and the encoder, and have their content read. The layer is the one that a copy of everything gives,
// byte for byte: what an entry of the layer holds depends on the entry of the folder, on what stands at its path in the
// base, and on the operation, and of all these only the first can differ here.
//
// Where that does not hold, everything is copied: hard links, which tie entries to one another.
import { digestOf, digestOfUncompressed, hexOf, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import { joinPath, parentOf } from '../path.js'
import { openBlob, readInto, type BlobReader, type Store } from '../store/index.js'
import {
  commitChanges,
  mayHoldLinks,
  type Changeset,
  type LayerPart,
  type LayerRef,
  type Tree,
} from '../unionfs/index.js'
import { copyDigest, equalDigests } from './binary-columns.js'
import { timeOfMs, type HostSource } from './context.js'
import {
  COPY_RECORD_KIND,
  CopyColumns,
  decodeCopyRecord,
  encodeCopyRecord,
  type CopyRecord,
} from './copy-record.js'
import type { HostScan } from './host-scan.js'
import { stepChanges } from './ops/step-layer.js'
import { putRecentSidecar } from './recent-sidecars.js'
import { KNOWN, RACY } from './stat-cache.js'

export interface FolderCopy {
  readonly source: HostSource
  /** Entries of the directory whose contents are copied, last, and of those above it; none for the root. */
  readonly trail: readonly number[]
  /** Where they go, free of symlinks, as `normalizePath` writes it. */
  readonly target: string
  /** Names operation, path and base: what the layer depends on besides the folder. */
  readonly identity: string
}

/** Smaller folders are copied faster than a record of them is written. */
const ENTRIES_MIN = 200
/** Records that are kept, of all builds in a store. */
const RECORDS_MAX = 64
/** Small enough that the store gathers them into blocks: it writes one on another thread while the next is read and hashed. */
const RANGE_CHUNK = 128 << 10

/**
 * Stores the layer of a folder's copy.
 *
 * @param apply  gives the tree after the copy, of a source that holds all of the folder or a part of it
 */
export async function commitFolderCopy(
  store: Store,
  lower: Tree,
  copy: FolderCopy,
  apply: (source: Tree) => Promise<Tree>,
): Promise<LayerRef> {
  const canRepeat = !copy.source.scan.hasLinks && !mayHoldLinks(lower.lookup(copy.target)?.children)
  const key = hexOf(digestOf(copy.identity))
  const saved = canRepeat ? store.sidecars.get(COPY_RECORD_KIND, key) : undefined
  const record = saved && decodeCopyRecord(saved)
  const repeated = record && (await repeat(store, lower, copy, record, apply))
  const placed = repeated ?? (await copyAll(store, lower, copy, apply))
  if (canRepeat && placed.columns !== undefined && placed.columns.count >= ENTRIES_MIN) {
    const bytes = encodeCopyRecord({ layer: placed.layer.diffID, columns: placed.columns })
    await putRecentSidecar(store, COPY_RECORD_KIND, key, bytes, RECORDS_MAX)
  }
  return placed.layer
}

interface Placed {
  readonly layer: LayerRef
  readonly columns: CopyColumns | undefined
}

async function copyAll(
  store: Store,
  lower: Tree,
  { source, trail, target }: FolderCopy,
  apply: (source: Tree) => Promise<Tree>,
): Promise<Placed> {
  const dir = trail.at(-1) ?? source.scan.root
  const upper = await apply(source.tree)
  const changes = stepChanges(lower, upper)
  const layout = new LayerLayout({ scan: source.scan, upper, changes })
  return layout.place(dir, target)
    ? layout.commit(store)
    : { layer: await commitChanges(store, changes), columns: undefined }
}

async function repeat(
  store: Store,
  lower: Tree,
  { source, trail, target }: FolderCopy,
  record: CopyRecord,
  apply: (source: Tree) => Promise<Tree>,
): Promise<Placed | undefined> {
  const dir = trail.at(-1) ?? source.scan.root
  const changed = changedEntries(source.scan, dir, record.columns)
  const earlier = changed && (await openEarlier(store, digestOfUncompressed(record.layer)))
  if (changed === undefined || earlier === undefined) return undefined
  const upper = await apply(source.treeOf((entry) => changed[entry] === 1 || trail.includes(entry)))
  const changes = stepChanges(lower, upper)
  const before = { columns: record.columns, tar: earlier }
  const layout = new LayerLayout({ scan: source.scan, upper, changes, changed, before })
  if (!layout.place(dir, target)) return undefined
  try {
    return await layout.commit(store)
  } catch (error) {
    if (isOfEarlier(error, record)) return undefined
    throw error
  }
}

/** gc may take the earlier layer at any time, and what is read of it is verified. */
function isOfEarlier(error: unknown, { layer }: CopyRecord): boolean {
  if (!(error instanceof StoreError)) return false
  const { code, data } = error
  if (code === 'BLOB_NOT_FOUND' || code === 'SIZE_MISMATCH') return data.digest === layer
  return code === 'DIGEST_MISMATCH' && data.expected === layer
}

async function openEarlier(store: Store, digest: Digest): Promise<BlobReader | undefined> {
  try {
    return await openBlob(store.blobs, digest)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'BLOB_NOT_FOUND') return undefined
    throw error
  }
}

/**
 * The entries below a directory that are not as the record has them, with the directories above them and those that
 * have lost an entry, as a flag by entry. `undefined` when they are so many that copying everything is as good.
 */
function changedEntries(scan: HostScan, dir: number, before: CopyColumns): Uint8Array | undefined {
  const changed = new Uint8Array(scan.size)
  let left = Math.max(scan.size, before.count) / 2
  const mark = (entry: number): void => {
    changed[entry] = 1
    left--
    const count = scan.names(entry).length
    for (let i = 0; i < count; i++) mark(scan.childAt(entry, i))
  }
  const compare = (parent: number, from: number, to: number): boolean => {
    const names = scan.names(parent)
    const siblings = new Siblings(before, from, to)
    let isChanged = names.length < siblings.count
    for (let i = 0; i < names.length; i++) {
      const entry = scan.childAt(parent, i)
      const at = siblings.find(names[i]!)
      if (at === -1 || before.mode[at] !== scan.columns.mode[entry]) mark(entry)
      else if (scan.columns.dir[entry] !== -1) {
        const isOlder = compare(entry, at + 1, before.next[at]!)
        if (isOlder || !sameTime(scan, entry, before, at)) changed[entry] = 1
      } else if (!sameTime(scan, entry, before, at) || !sameDigest(scan, entry, before, at)) mark(entry)
      if (changed[entry] === 1) isChanged = true
      if (left < 0) return true
    }
    return isChanged
  }
  compare(dir, 0, before.count)
  return left < 0 ? undefined : changed
}

function sameTime(scan: HostScan, entry: number, before: CopyColumns, at: number): boolean {
  return timeOfMs(scan.columns.mtimeMs[entry]!).mtimeSec === before.mtimeSec[at]
}

/** Whether header and content are what they were; what was not read for this build is not known. */
function sameDigest(scan: HostScan, entry: number, before: CopyColumns, at: number): boolean {
  const { state, digest } = scan.columns
  if (state[entry] !== KNOWN && state[entry] !== RACY) return false
  return equalDigests(digest, entry, before.digest, at)
}

/** The entries of one directory of a record, found by names that come in their order. */
class Siblings {
  #at: number

  constructor(
    readonly columns: CopyColumns,
    from: number,
    readonly to: number,
  ) {
    this.#at = from
  }

  get count(): number {
    let count = 0
    for (let at = this.#at; at < this.to; at = this.columns.next[at]!) count++
    return count
  }

  /** @returns -1 when there is none */
  find(name: string): number {
    const { names, next } = this.columns
    for (let at = this.#at; at < this.to; at = next[at]!) {
      if (names[at] === name) {
        this.#at = next[at]!
        return at
      }
    }
    return -1
  }
}

/** Entries of the earlier layer that stand side by side there, and will here. */
class TakenOver {
  readonly kind = 'range'
  size = 0

  constructor(
    readonly tar: BlobReader,
    readonly at: number,
  ) {}

  get chunks(): Iterable<Uint8Array> {
    return this.#read()
  }

  *#read(): Generator<Uint8Array> {
    const room = new Uint8Array(Math.min(this.size, RANGE_CHUNK))
    for (let done = 0; done < this.size; done += room.byteLength) {
      yield readInto(this.tar, room.subarray(0, this.size - done), this.at + done)
    }
  }
}

interface LayoutSource {
  readonly scan: HostScan
  /** After the copy. */
  readonly upper: Tree
  readonly changes: Changeset
  /** `undefined`: all entries. */
  readonly changed?: Uint8Array
  readonly before?: { readonly columns: CopyColumns; readonly tar: BlobReader }
}

/** Puts changes and ranges of the earlier layer into the order of a walk, and notes where each entry comes to stand. */
class LayerLayout {
  readonly #source: LayoutSource
  #nextChange = 0
  readonly #parts: LayerPart[] = []
  #range: TakenOver | undefined
  /** Directories that the layer gets as soon as it gets something below them; outermost first. */
  readonly #pending: { readonly path: string; readonly number: number }[] = []
  readonly #columns: CopyColumns
  #count = 0
  /** By entry of the columns, the part that it is in. */
  readonly #partOf: Int32Array

  constructor(source: LayoutSource) {
    this.#source = source
    this.#columns = new CopyColumns(source.scan.size)
    this.#partOf = new Int32Array(source.scan.size).fill(-1)
  }

  /** @returns `false` when the changes are not just entries of the folder at their places, and directories above them */
  place(dir: number, target: string): boolean {
    const { changes, before } = this.#source
    if (changes.some(({ kind }) => kind !== 'put')) return false
    for (const path of pathsTo(target)) {
      if (changes[this.#nextChange]?.path === path) this.#take()
      else this.#pending.push({ path, number: -1 })
    }
    this.#placeEntries(dir, target, 0, before?.columns.count ?? 0)
    return this.#nextChange === changes.length
  }

  #placeEntries(parent: number, path: string, from: number, to: number): void {
    const { scan, before, changed } = this.#source
    const names = scan.names(parent)
    const siblings = before && new Siblings(before.columns, from, to)
    for (let i = 0; i < names.length; i++) {
      const entry = scan.childAt(parent, i)
      const at = siblings?.find(names[i]!) ?? -1
      const number = this.#describe(entry, names[i]!)
      const isDir = scan.columns.dir[entry] !== -1
      const here = isDir || changed?.[entry] !== 0 ? joinPath(path, names[i]!) : ''
      const depth = this.#pending.length
      if (changed?.[entry] === 0) this.#takeOver(number, at)
      else this.#takeChange(number, here, isDir)
      if (isDir) {
        const wasDir = at !== -1
        this.#placeEntries(entry, here, wasDir ? at + 1 : 0, wasDir ? before!.columns.next[at]! : 0)
      }
      // What was not needed up to here is not needed.
      if (this.#pending.length > depth) this.#pending.length = depth
      this.#columns.next[number] = this.#count
    }
  }

  #describe(entry: number, name: string): number {
    const { columns } = this.#source.scan
    const number = this.#count++
    this.#columns.names.push(name)
    this.#columns.mode[number] = columns.mode[entry]!
    this.#columns.mtimeSec[number] = timeOfMs(columns.mtimeMs[entry]!).mtimeSec
    if (columns.dir[entry] === -1) copyDigest(this.#columns.digest, number, columns.digest, entry)
    return number
  }

  #takeChange(number: number, path: string, isDir: boolean): void {
    if (this.#source.changes[this.#nextChange]?.path === path) this.#partOf[number] = this.#take()
    else if (isDir) this.#pending.push({ path, number })
  }

  #take(): number {
    this.#takePending()
    return this.#add(this.#source.changes[this.#nextChange++]!)
  }

  #takePending(): void {
    for (const { path, number } of this.#pending) {
      const node = this.#source.upper.lookup(path)!.with({ mtimeNsec: 0 })
      const part = this.#add({ kind: 'put', path, node })
      if (number !== -1) this.#partOf[number] = part
    }
    this.#pending.length = 0
  }

  #add(part: LayerPart): number {
    this.#range = undefined
    return this.#parts.push(part) - 1
  }

  #takeOver(number: number, at: number): void {
    const { columns, tar } = this.#source.before!
    const offset = columns.at[at]!
    const bytes = columns.bytes[at]!
    if (bytes === 0) return
    this.#takePending()
    if (this.#range === undefined || this.#range.at + this.#range.size !== offset) {
      const range = new TakenOver(tar, offset)
      this.#add(range)
      this.#range = range
    }
    this.#partOf[number] = this.#parts.length - 1
    // Within its part, until the part's own place is known.
    this.#columns.at[number] = offset - this.#range.at
    this.#columns.bytes[number] = bytes
    this.#range.size += bytes
  }

  async commit(store: Store): Promise<Placed> {
    const starts: number[] = []
    const layer = await commitChanges(store, this.#parts, (offset) => void starts.push(offset))
    // Behind the last entry: two blocks of zeros.
    starts.push(layer.descriptor.size - 1024)
    const columns = this.#columns.cut(this.#count)
    for (let i = 0; i < this.#count; i++) {
      const part = this.#partOf[i]!
      if (part === -1) continue
      columns.at[i]! += starts[part]!
      if (this.#parts[part]!.kind === 'put') columns.bytes[i] = starts[part + 1]! - starts[part]!
    }
    return { layer, columns }
  }
}

/** The directories down to a path, the root left out: `a`, `a/b`, `a/b/c`. */
function pathsTo(path: string): string[] {
  return path === '' ? [] : [...pathsTo(parentOf(path)), path]
}
