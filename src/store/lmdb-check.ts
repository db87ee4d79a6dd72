// Whether lmdb can be let at a data file: all that it would follow is looked at, page by page. Pure.
import { compareBytes } from '../path.js'
import {
  type Big,
  childOf,
  damaged,
  keyOf,
  leafNodeOf,
  overflowValue,
  parsePage,
  numberAt,
  type Page,
  type Snapshot,
  type Tree,
} from './lmdb-format.js'

type Load = (number: number, count: number) => Uint8Array

export function checkSnapshot(snapshot: Snapshot, load: Load): void {
  const used = new Uint8Array(snapshot.lastPage < 2 ** 32 ? snapshot.lastPage + 1 : damaged('too many pages'))
  const free = new TreeCheck(snapshot, snapshot.free, used, load)
  new TreeCheck(snapshot, snapshot.main, used, load).run(() => undefined)
  const lists: Uint8Array[] = []
  free.run((key, value) => {
    if (key.byteLength !== 8) damaged('a list of free pages has a wrong key')
    lists.push(value())
  })
  for (const list of lists) checkFreeList(list, used)
}

/** 64-bit numbers: their count, then a page each, or minus a length before the first page of a run; zeros, and what follows, are room. */
function checkFreeList(list: Uint8Array, used: Uint8Array): void {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength)
  const count = list.byteLength < 8 ? -1 : numberAt(view, 0)
  if (count < 0 || list.byteLength < (count + 1) * 8) damaged('a list of free pages has a wrong length')
  for (let i = 1; i <= count; i++) {
    const entry = view.getBigInt64(i * 8, true)
    if (entry === 0n) continue
    if (entry < 0n && i === count) damaged('a list of free pages ends in a length')
    const first = Number(entry < 0n ? view.getBigInt64(++i * 8, true) : entry)
    const pages = entry < 0n ? Number(-entry) : 1
    if (first < 2 || first + pages > used.byteLength) damaged(`free page ${first} is not one of the file`)
    // Lists of several processes may name a page twice; one that a tree uses is none to be written over.
    for (let page = first; page < first + pages; page++)
      if (used[page] === 1) damaged(`free page ${page} is in use`)
  }
}

function take(used: Uint8Array, page: number): void {
  if (used[page] !== 0) damaged(`page ${page} is used twice`)
  used[page] = 1
}

class TreeCheck {
  #branches = 0
  #leaves = 0
  #overflows = 0
  #entries = 0
  #last: { readonly key: Uint8Array; readonly isOfLeaf: boolean } | undefined

  constructor(
    readonly snapshot: Snapshot,
    readonly tree: Tree,
    readonly used: Uint8Array,
    readonly load: Load,
  ) {}

  run(visit: (key: Uint8Array, value: () => Uint8Array) => void): void {
    const { tree } = this
    if (tree.root !== undefined) this.#page(tree.root, 1, visit)
    const isCounted =
      this.#branches === tree.branchPages &&
      this.#leaves === tree.leafPages &&
      this.#overflows === tree.overflowPages &&
      this.#entries === tree.entries
    if (!isCounted) damaged('a tree has other pages than it says')
  }

  #page(number: number, level: number, visit: (key: Uint8Array, value: () => Uint8Array) => void): void {
    const page = parsePage(number, this.load(number, 1), this.snapshot)
    take(this.used, number)
    if (page.isLeaf !== (level === this.tree.depth)) damaged(`page ${number} is at the wrong depth`)
    if (page.isLeaf) return this.#leaf(page, visit)
    this.#branches++
    for (let i = 0; i < page.count; i++) {
      // A key stands before all that is under it, and after all before it.
      if (i > 0) this.#ascend(page, i)
      this.#page(childOf(page, i), level + 1, visit)
    }
  }

  #leaf(page: Page, visit: (key: Uint8Array, value: () => Uint8Array) => void): void {
    this.#leaves++
    this.#entries += page.count
    for (let i = 0; i < page.count; i++) {
      const node = leafNodeOf(page, i, this.snapshot.pageBytes)
      this.#ascend(page, i)
      if (node.big !== undefined) this.#overflow(node.big, node.bytes)
      visit(node.key, () =>
        node.big === undefined
          ? node.inline
          : overflowValue(node.big, node.bytes, this.load(node.big.number, node.big.count), this.snapshot),
      )
    }
  }

  #overflow(big: Big, size: number): void {
    this.#overflows += big.count
    overflowValue(big, size, this.load(big.number, big.count), this.snapshot)
    for (let page = big.number; page < big.number + big.count; page++) take(this.used, page)
  }

  /** The key by which a branch leads to a page may be the first key there; no other two are equal. */
  #ascend(page: Page, i: number): void {
    const key = keyOf(page, i)
    const order = this.#last === undefined ? -1 : this.#compare(this.#last.key, key)
    if (order > 0 || (order === 0 && this.#last?.isOfLeaf !== false))
      damaged(`page ${page.number}, order of ${i}`)
    this.#last = { key, isOfLeaf: page.isLeaf }
  }

  /** Free lists are by transaction, a 64-bit number. */
  #compare(a: Uint8Array, b: Uint8Array): number {
    if (this.tree !== this.snapshot.free) return compareBytes(a, b)
    if (a.byteLength !== 8 || b.byteLength !== 8) return 1
    return Number(u64(a) - u64(b))
  }
}

function u64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
}
