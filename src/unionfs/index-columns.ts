// What a layer index is written into while a layer is scanned: columns of numbers and a text, as long as they come. Pure.
import { encodePath } from '../path.js'

/** Rows at first; memory that is not touched costs nothing. */
const FIRST = 4096

const SLASH = 0x2f
const DOT = 0x2e

/** Where each column begins in an index. */
type Positions = Readonly<Record<'size' | 'offset' | 'mtimeSec' | 'mtimeNsec' | 'dir' | 'meta', number>>

/** One number of each column for each change. */
export class Rows {
  count = 0
  #size = new Float64Array(FIRST)
  #offset = new Float64Array(FIRST)
  #mtimeSec = new Float64Array(FIRST)
  #mtimeNsec = new Uint32Array(FIRST)
  #dir = new Uint32Array(FIRST)
  #meta = new Uint32Array(FIRST)

  get capacity(): number {
    return this.#dir.length
  }

  add(dir: number, meta: number, size: number, offset: number, sec: number, nsec: number): void {
    if (this.count === this.#dir.length) this.#grow()
    const at = this.count++
    this.#dir[at] = dir
    this.#meta[at] = meta
    this.#size[at] = size
    this.#offset[at] = offset
    this.#mtimeSec[at] = sec
    this.#mtimeNsec[at] = nsec
  }

  copyTo(out: Uint8Array, at: Positions): void {
    copyNumbers(this.#size, this.count, out, at.size)
    copyNumbers(this.#offset, this.count, out, at.offset)
    copyNumbers(this.#mtimeSec, this.count, out, at.mtimeSec)
    copyNumbers(this.#mtimeNsec, this.count, out, at.mtimeNsec)
    copyNumbers(this.#dir, this.count, out, at.dir)
    copyNumbers(this.#meta, this.count, out, at.meta)
  }

  #grow(): void {
    this.#size = doubled(this.#size)
    this.#offset = doubled(this.#offset)
    this.#mtimeSec = doubled(this.#mtimeSec)
    this.#mtimeNsec = doubled(this.#mtimeNsec)
    this.#dir = doubled(this.#dir)
    this.#meta = doubled(this.#meta)
  }
}

/** Rows of the last index, for the next one: fresh memory costs as much as what is written into it. */
let spare: Rows | undefined
/** Of a spare; 36 bytes each. */
const SPARE_ROWS_MAX = 1 << 16

export function takeRows(): Rows {
  const rows = spare ?? new Rows()
  spare = undefined
  return rows
}

/** Ends the use of rows that were taken. */
export function giveRows(rows: Rows): void {
  if (rows.capacity > SPARE_ROWS_MAX) return
  rows.count = 0
  spare = rows
}

function doubled<A extends Float64Array | Uint32Array>(array: A): A {
  const larger = new (array.constructor as new (length: number) => A)(array.length * 2)
  larger.set(array as Float64Array)
  return larger
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** The first `count` numbers as little-endian bytes. */
function copyNumbers(from: Float64Array | Uint32Array, count: number, out: Uint8Array, at: number): void {
  const width = from.BYTES_PER_ELEMENT
  out.set(new Uint8Array(from.buffer, 0, count * width), at)
  if (IS_LITTLE_ENDIAN) return
  for (let i = at; i < at + count * width; i += width) out.subarray(i, i + width).reverse()
}

/** Bytes that are appended to. */
export class Text {
  #bytes = new Uint8Array(FIRST * 8)
  #length = 0

  get length(): number {
    return this.#length
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Some bytes and a NUL. Names are short: a call of `set` would cost more than the loop. */
  addName(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start + 1)
    const to = this.#bytes
    let at = this.#length
    for (let i = start; i < end; i++) to[at++] = bytes[i]!
    to[at] = 0
    this.#length = at + 1
  }

  /**
   * As `addName`, unless it is no single name, begins with a dot or is empty; then nothing is added.
   * @returns whether it was added; a slash at the end is not
   */
  addPlainName(bytes: Uint8Array, start: number, end: number): boolean {
    const last = bytes[end - 1] === SLASH ? end - 1 : end
    if (start >= last || bytes[start] === DOT) return false
    this.#reserve(last - start + 1)
    const to = this.#bytes
    let at = this.#length
    for (let i = start; i < last; i++) {
      const byte = bytes[i]!
      if (byte === SLASH) return false
      to[at++] = byte
    }
    to[at] = 0
    this.#length = at + 1
    return true
  }

  /** A path's bytes from a position in the string on. */
  addString(text: string, start: number): void {
    this.#reserve(text.length - start)
    const to = this.#bytes
    let at = this.#length
    for (let i = start; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) return this.append(encodePath(text.slice(start)))
      to[at++] = code
    }
    this.#length = at
  }

  addNul(): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = 0
  }

  /** Whether `bytes[start..end)` stand at a position. */
  has(at: number, bytes: Uint8Array, start: number, end: number): boolean {
    const own = this.#bytes
    for (let i = start; i < end; i++) if (own[at + i - start] !== bytes[i]) return false
    return true
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + length))
    bytes.set(this.#bytes)
    this.#bytes = bytes
  }
}
