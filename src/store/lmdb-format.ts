// What lies where in the data file of an lmdb environment, as lmdb-js 3 writes it (data version 2): metas, pages, nodes. Every
// number is checked before it is used, since lmdb itself has no checksums. Pure. docs/format.md § Records.
import { compareBytes } from '../path.js'

/** The file is not what lmdb writes. */
export class LmdbDamage extends Error {}

export interface Tree {
  readonly depth: number
  readonly branchPages: number
  readonly leafPages: number
  readonly overflowPages: number
  readonly entries: number
  /** `undefined`: the tree is empty. */
  readonly root: number | undefined
  readonly flags: number
}

/** One state of the database. Pages that it names are not written while it is the newest, nor in the transaction after. */
export interface Snapshot {
  readonly transaction: bigint
  readonly pageBytes: number
  readonly lastPage: number
  readonly free: Tree
  readonly main: Tree
}

export interface Page {
  readonly number: number
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly isLeaf: boolean
  /** Of nodes. */
  readonly count: number
}

/** A value on pages of its own. */
export interface Big {
  /** The first. */
  readonly number: number
  readonly count: number
}

export interface LeafNode {
  readonly key: Uint8Array
  /** Size of the value in bytes. */
  readonly bytes: number
  /** The value, unless it is big. */
  readonly inline: Uint8Array
  readonly big: Big | undefined
}

const HEADER_BYTES = 24
const NODE_BYTES = 8
const META_BYTES = 144
const MAGIC = 0xbeefc0de
const VERSION = 2
const NO_PAGE = 0xffffffffffffffffn
const DEPTH_MAX = 32
/** A meta whose pages may not be on the disk yet. */
const UNSYNCED = 0x1000
/** The flags of the tree of free pages; the other has none: it is a plain map from key to value. */
const INTEGER_KEYS = 0x08
/** More than any index has, and less than what cannot be mapped. */
const MAP_BYTES_MAX = 2 ** 40
const PAGE_BRANCH = 1
const PAGE_LEAF = 2
const PAGE_OVERFLOW = 4
const NODE_BIG = 1

export function damaged(message: string): never {
  throw new LmdbDamage(message)
}

// ---- metas ----

interface Meta extends Snapshot {
  /** Where the map must lie: 0, anywhere. */
  readonly address: number
  readonly mapBytes: number
  readonly isUnsynced: boolean
  /** The first 32 bits of the id of the boot that wrote it. */
  readonly boot: bigint
}

function metaOf(head: Uint8Array, at: number): Meta | undefined {
  if (at + HEADER_BYTES + META_BYTES > head.byteLength) return undefined
  const view = new DataView(head.buffer, head.byteOffset + at + HEADER_BYTES, META_BYTES)
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return undefined
  const pageBytes = view.getUint32(24, true)
  if (pageBytes < 512 || pageBytes > 65536 || (pageBytes & (pageBytes - 1)) !== 0) return undefined
  return {
    transaction: view.getBigUint64(128, true),
    address: numberAt(view, 8),
    mapBytes: numberAt(view, 16),
    pageBytes,
    lastPage: numberAt(view, 120),
    free: treeAt(view, 24),
    main: treeAt(view, 72),
    isUnsynced: (view.getUint16(28, true) & UNSYNCED) !== 0,
    boot: view.getBigInt64(136, true),
  }
}

/** How much of the file `newestSnapshot` needs; `undefined` when it begins with no meta page. */
export function headBytes(head: Uint8Array): number | undefined {
  const meta = metaOf(head, 0)
  return meta && meta.pageBytes + HEADER_BYTES + META_BYTES
}

function treeAt(view: DataView, at: number): Tree {
  const root = view.getBigUint64(at + 40, true)
  return {
    flags: view.getUint16(at + 4, true),
    depth: view.getUint16(at + 6, true),
    branchPages: numberAt(view, at + 8),
    leafPages: numberAt(view, at + 16),
    overflowPages: numberAt(view, at + 24),
    entries: numberAt(view, at + 32),
    root: root === NO_PAGE ? undefined : numberAt(view, at + 40),
  }
}

/** Anything above 2^53 is no number of a file, and is out of every range that it is compared with. */
export function numberAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}

/**
 * The newest state, as lmdb-js chooses it: after another boot, of those that were written before their pages were synced
 * only the one that was noted as synced, in the middle of page 0, or else the older.
 */
export function newestSnapshot(head: Uint8Array, boot: string): Snapshot | undefined {
  const first = metaOf(head, 0)
  const second = first && metaOf(head, first.pageBytes)
  if (second === undefined || second.pageBytes !== first!.pageBytes) return undefined
  return newestOf(head, first!, second, boot)
}

function newestOf(head: Uint8Array, first: Meta, second: Meta, boot: string): Meta | undefined {
  // lmdb looks into both, whichever it uses.
  if (!isUsable(first) || !isUsable(second)) return undefined
  const [newest, older] = second.transaction > first.transaction ? [second, first] : [first, second]
  const isOfThisBoot = newest.boot !== 0n && newest.boot === BigInt(`0x${/^[\da-f]+/.exec(boot)?.[0] ?? '0'}`)
  if (!newest.isUnsynced || isOfThisBoot) return newest
  const noted = notedMeta(head, first)
  if (noted === undefined || !isUsable(noted)) return undefined
  return noted.transaction < older.transaction ? older : noted
}

/** The note has no magic of its own: it begins where the size of the map stands. Without one it is of no transaction. */
function notedMeta(head: Uint8Array, first: Meta): Meta | undefined {
  const at = first.pageBytes >> 1
  const copy = head.slice(at, at + HEADER_BYTES + META_BYTES)
  if (copy.every((byte) => byte === 0)) return { ...first, transaction: 0n }
  copy.set(head.subarray(HEADER_BYTES, HEADER_BYTES + 16), HEADER_BYTES)
  const meta = metaOf(copy, 0)
  return meta?.pageBytes === first.pageBytes ? meta : undefined
}

function isUsable({ main, free, address, mapBytes, lastPage, pageBytes }: Meta): boolean {
  const isTree = ({ root, depth }: Tree) =>
    root === undefined ? depth === 0 : depth >= 1 && depth <= DEPTH_MAX
  const isMap =
    address === 0 &&
    mapBytes % pageBytes === 0 &&
    mapBytes >= (lastPage + 1) * pageBytes &&
    mapBytes <= MAP_BYTES_MAX
  return (
    isTree(main) && isTree(free) && main.flags === 0 && (free.flags & ~UNSYNCED) === INTEGER_KEYS && isMap
  )
}

// ---- pages and nodes ----

/** What all pages begin with: their number, the transaction that wrote them, padding, flags. lmdb writes into later ones. */
function isPage(view: DataView, number: number, kind: number, { transaction }: Snapshot): boolean {
  const isSound = numberAt(view, 0) === number && view.getUint16(16, true) === 0
  return isSound && view.getUint16(18, true) === kind && view.getBigUint64(8, true) <= transaction
}

export function parsePage(number: number, bytes: Uint8Array, snapshot: Snapshot): Page {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const kind = view.getUint16(18, true)
  const lower = view.getUint16(20, true)
  const upper = view.getUint16(22, true)
  const isSound =
    isPage(view, number, kind, snapshot) &&
    (kind === PAGE_BRANCH || kind === PAGE_LEAF) &&
    lower % 2 === 0 &&
    lower <= upper &&
    HEADER_BYTES + upper <= bytes.byteLength
  if (!isSound) damaged(`page ${number} has a damaged header`)
  const isLeaf = kind === PAGE_LEAF
  const count = lower >> 1
  if (count < (isLeaf ? 1 : 2)) damaged(`page ${number} has too few nodes`)
  return { number, bytes, view, isLeaf, count }
}

/** Where a node begins, with its key within the page. */
function nodeAt(page: Page, i: number): number {
  const { view, bytes, number } = page
  const at = HEADER_BYTES + view.getUint16(HEADER_BYTES + i * 2, true)
  if (at < HEADER_BYTES + page.count * 2 || at + NODE_BYTES > bytes.byteLength)
    damaged(`page ${number}, node ${i}`)
  if (at + NODE_BYTES + view.getUint16(at + 6, true) > bytes.byteLength) damaged(`page ${number}, key ${i}`)
  return at
}

export function keyOf(page: Page, i: number): Uint8Array {
  const at = nodeAt(page, i)
  return page.bytes.subarray(at + NODE_BYTES, at + NODE_BYTES + page.view.getUint16(at + 6, true))
}

export function childOf(page: Page, i: number): number {
  const at = nodeAt(page, i)
  return page.view.getUint32(at, true) + page.view.getUint16(at + 4, true) * 2 ** 32
}

export function leafNodeOf(page: Page, i: number, pageBytes: number): LeafNode {
  const { view } = page
  const at = nodeAt(page, i)
  const size = view.getUint32(at, true)
  const flags = view.getUint16(at + 4, true)
  const key = keyOf(page, i)
  const from = at + NODE_BYTES + key.byteLength
  if ((flags & ~NODE_BIG) !== 0) damaged(`page ${page.number}, flags of node ${i}`)
  const stored = flags === NODE_BIG ? 24 : size
  if (from + stored > page.bytes.byteLength) damaged(`page ${page.number}, value ${i}`)
  const inline = page.bytes.subarray(from, from + stored)
  const big = flags === NODE_BIG ? bigAt(view, from) : undefined
  // A smaller value that replaced a larger one keeps its pages.
  if (big !== undefined && big.count < Math.ceil((HEADER_BYTES + size) / pageBytes)) {
    damaged(`page ${page.number}, large value ${i}`)
  }
  return { key, bytes: size, inline, big }
}

/** Page number, transaction, count. Not aligned. */
function bigAt(view: DataView, at: number): Big {
  return { number: numberAt(view, at), count: numberAt(view, at + 16) }
}

export function overflowValue(big: Big, size: number, bytes: Uint8Array, snapshot: Snapshot): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isSound = isPage(view, big.number, PAGE_OVERFLOW, snapshot) && view.getUint32(20, true) === big.count
  if (!isSound) damaged(`page ${big.number} has a damaged header`)
  return bytes.subarray(HEADER_BYTES, HEADER_BYTES + size)
}

/** The first node of a leaf whose key is not before `key`. */
export function lowerBound(page: Page, key: Uint8Array): number {
  let [low, high] = [0, page.count]
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareBytes(keyOf(page, middle), key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** The child of a branch under which a key is. The first one's own key counts as before all others. */
export function childFor(page: Page, key: Uint8Array): number {
  let [low, high] = [1, page.count]
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareBytes(keyOf(page, middle), key) <= 0) low = middle + 1
    else high = middle
  }
  return low - 1
}
