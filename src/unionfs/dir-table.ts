// The directories of a layer index: a row for each, parents before children. Looked up by the bytes of the path, because
// the headers of a tar have bytes and a layer has a directory for every few files. Pure.
import { Text } from './index-columns.js'

const SLASH = 0x2f
const FIRST_SLOTS = 1024
const PROBES_MAX = 32

export class DirTable {
  /** Rows of the parents; row 0 is the root. */
  readonly parents: number[] = [0]
  /** Names, a NUL behind each. */
  readonly names = new Text()
  /** All paths, one behind the other, and where each begins; the last one ends at the end. */
  readonly #paths = new Text()
  readonly #starts: number[] = [0, 0]
  /** Open addressing: rows by the path's hash, 0 where there is none. */
  #slots = new Int32Array(FIRST_SLOTS)
  readonly #hashes: number[] = [0]
  /** Rows whose hashes met too many others: a layer made to do so must not cost more than its share. */
  readonly #crowded = new Map<string, number>()

  constructor() {
    this.names.addName(new Uint8Array(0), 0, 0)
  }

  get count(): number {
    return this.parents.length
  }

  /** The row of `path[start..end)`, made with all its parents where it is missing. */
  row(path: Uint8Array, start: number, end: number): number {
    if (start >= end) return 0
    const hash = hashOf(path, start, end)
    const known = this.#find(hash, path, start, end)
    if (known !== 0) return known
    let slash = end - 1
    while (slash >= start && path[slash] !== SLASH) slash--
    const parent = this.row(path, start, slash)
    return this.#add(hash, parent, path, start, end, slash + 1)
  }

  /** Where the name begins when `path[start..end)` lies in a row's directory or below it; else -1. */
  skip(row: number, path: Uint8Array, start: number, end: number): number {
    const from = this.#starts[row]!
    const after = start + this.#starts[row + 1]! - from
    if (row === 0) return start
    return after < end && path[after] === SLASH && this.#paths.has(from, path, start, after) ? after + 1 : -1
  }

  #is(row: number, path: Uint8Array, start: number, end: number): boolean {
    const from = this.#starts[row]!
    return end - start === this.#starts[row + 1]! - from && this.#paths.has(from, path, start, end)
  }

  #find(hash: number, path: Uint8Array, start: number, end: number): number {
    const mask = this.#slots.length - 1
    for (let step = 0; step < PROBES_MAX; step++) {
      const row = this.#slots[(hash + step) & mask]!
      if (row === 0 || (this.#hashes[row] === hash && this.#is(row, path, start, end))) return row
    }
    return this.#crowded.get(latin1(path, start, end)) ?? 0
  }

  #add(hash: number, parent: number, path: Uint8Array, start: number, end: number, name: number): number {
    const row = this.parents.length
    this.parents.push(parent)
    this.names.addName(path, name, end)
    this.#paths.append(path.subarray(start, end))
    this.#starts.push(this.#paths.length)
    this.#hashes.push(hash)
    if (row * 2 > this.#slots.length) this.#grow()
    this.#put(row)
    return row
  }

  #put(row: number): void {
    const mask = this.#slots.length - 1
    const hash = this.#hashes[row]!
    for (let step = 0; step < PROBES_MAX; step++) {
      const slot = (hash + step) & mask
      if (this.#slots[slot] !== 0) continue
      this.#slots[slot] = row
      return
    }
    const path = this.#paths.view().subarray(this.#starts[row], this.#starts[row + 1])
    this.#crowded.set(latin1(path, 0, path.length), row)
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2)
    this.#crowded.clear()
    for (let row = 1; row < this.parents.length - 1; row++) this.#put(row)
  }
}

/** FNV-1a, folded. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash ^ (hash >>> 15)
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  let out = ''
  for (let i = start; i < end; i++) out += String.fromCharCode(bytes[i]!)
  return out
}
