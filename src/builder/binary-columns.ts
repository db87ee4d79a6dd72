// Derived files made of columns: a header of 32-bit words, then arrays of numbers one behind another, so that a file is
// read as views of its bytes and nothing is made per entry. Columns are in the machine's own byte order; files name it, and
// one from another machine is no use and is left alone. Pure.

/** A digest in a column, without its algorithm. */
export const DIGEST_BYTES = 32

/** Written into headers. */
export const BYTE_ORDER = new Uint8Array(Uint32Array.of(0x01020304).buffer)[0] === 4 ? 0x4c45 : 0x4245

export type Column = Float64Array | Uint32Array | Int32Array | Uint8Array

/**
 * @param headerBytes  a multiple of 8; what the words leave of it is zeros
 * @param columns      wide ones first, so that each begins where its numbers may lie
 */
export function encodeColumns(
  headerBytes: number,
  words: readonly number[],
  columns: readonly Column[],
): Uint8Array {
  const size = columns.reduce((sum, { byteLength }) => sum + byteLength, headerBytes)
  const out = new Uint8Array(size)
  const header = new DataView(out.buffer)
  words.forEach((word, i) => header.setUint32(i * 4, word, true))
  let at = headerBytes
  for (const { buffer, byteOffset, byteLength } of columns) {
    out.set(new Uint8Array(buffer, byteOffset, byteLength), at)
    at += byteLength
  }
  return out
}

type ViewType<T> = new (buffer: ArrayBufferLike, offset: number, length: number) => T

/** Takes columns off the bytes of a file, in the order in which they were written. */
export class ColumnReader {
  /** Of the whole file. */
  readonly size: number
  readonly #buffer: ArrayBufferLike
  readonly #start: number
  #at: number

  /** @param bytes  at least a header; it must stay as it is for as long as a column is used */
  constructor(bytes: Uint8Array, headerBytes: number) {
    // Wide columns need eight-byte alignment, which bytes from a file read into a larger buffer may not have.
    const { buffer, byteOffset, byteLength } = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice()
    this.size = byteLength
    this.#buffer = buffer
    this.#start = byteOffset
    this.#at = byteOffset + headerBytes
  }

  /** The first words of the header. */
  words(count: number): number[] {
    const header = new DataView(this.#buffer, this.#start)
    return Array.from({ length: count }, (_, i) => header.getUint32(i * 4, true))
  }

  /** Bytes of the header. */
  header(from: number, to: number): Uint8Array {
    return new Uint8Array(this.#buffer, this.#start + from, to - from)
  }

  float64(count: number): Float64Array {
    return this.#take(Float64Array, count, 8)
  }

  uint32(count: number): Uint32Array {
    return this.#take(Uint32Array, count, 4)
  }

  int32(count: number): Int32Array {
    return this.#take(Int32Array, count, 4)
  }

  bytes(count: number): Uint8Array {
    return this.#take(Uint8Array, count, 1)
  }

  #take<T>(type: ViewType<T>, count: number, width: number): T {
    const column = new type(this.#buffer, this.#at, count)
    this.#at += count * width
    return column
  }
}

/** Digests by number of their entry. A loop, because a `subarray` for each of 10,000 entries costs three times as much. */
export function copyDigest(to: Uint8Array, target: number, from: Uint8Array, source: number): void {
  const at = target * DIGEST_BYTES
  const start = source * DIGEST_BYTES
  for (let i = 0; i < DIGEST_BYTES; i++) to[at + i] = from[start + i]!
}

export function equalDigests(a: Uint8Array, first: number, b: Uint8Array, second: number): boolean {
  const at = first * DIGEST_BYTES
  const start = second * DIGEST_BYTES
  for (let i = 0; i < DIGEST_BYTES; i++) if (a[at + i] !== b[start + i]) return false
  return true
}
