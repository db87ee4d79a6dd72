// What a COPY of a host folder put into a layer: for every entry what it was known by, and where in the layer's tar it
// stands. With it the next layer of the same step takes over what has not changed. A derived file of the store. Pure.
import type { DiffID } from '../digest.js'
import { decodePath, encodePath } from '../path.js'

/** Kind of the sidecar. */
export const COPY_RECORD_KIND = 'copy'

const MAGIC = 0x3152434c // "LCR1", little-endian
const HEADER_BYTES = 64
const DIGEST_BYTES = 32
const ENTRY_BYTES = 3 * 8 + 2 * 4 + DIGEST_BYTES

/** Columns are in the machine's own byte order; a record from another one is no use and is left alone. */
const BYTE_ORDER = new Uint8Array(Uint32Array.of(0x01020304).buffer)[0] === 4 ? 0x4c45 : 0x4245

/** The entries of a folder in the order of a walk, the folder itself left out. */
export class CopyColumns {
  /** st_mode with the file type. */
  mode: Uint32Array
  /** Number of the first entry that is not below this one. */
  next: Uint32Array
  /** Whole seconds of mtime, as the layer has them. */
  mtimeSec: Float64Array
  /** Where the entry's first header stands in the layer's tar. */
  at: Float64Array
  /** With headers and padding; 0 for an entry that the layer does not hold, because the one below it is the same. */
  bytes: Float64Array
  /** Content digests, 32 bytes each; of directories zeros. */
  digest: Uint8Array
  readonly names: string[]

  constructor(count: number, names: string[] = []) {
    this.mode = new Uint32Array(count)
    this.next = new Uint32Array(count)
    this.mtimeSec = new Float64Array(count)
    this.at = new Float64Array(count)
    this.bytes = new Float64Array(count)
    this.digest = new Uint8Array(count * DIGEST_BYTES)
    this.names = names
  }

  get count(): number {
    return this.mode.length
  }

  /** The first `count` entries, sharing memory. */
  cut(count: number): CopyColumns {
    const out = new CopyColumns(0, this.names)
    out.mode = this.mode.subarray(0, count)
    out.next = this.next.subarray(0, count)
    out.mtimeSec = this.mtimeSec.subarray(0, count)
    out.at = this.at.subarray(0, count)
    out.bytes = this.bytes.subarray(0, count)
    out.digest = this.digest.subarray(0, count * DIGEST_BYTES)
    return out
  }
}

export interface CopyRecord {
  readonly layer: DiffID
  readonly columns: CopyColumns
}

export function encodeCopyRecord({ layer, columns }: CopyRecord): Uint8Array {
  const names = encodePath(columns.names.join('/'))
  const out = new Uint8Array(HEADER_BYTES + columns.count * ENTRY_BYTES + names.byteLength)
  const header = new DataView(out.buffer)
  const words = [MAGIC, BYTE_ORDER, columns.count, names.byteLength]
  words.forEach((word, i) => header.setUint32(i * 4, word, true))
  for (let i = 0; i < DIGEST_BYTES; i++) {
    out[32 + i] = Number.parseInt(layer.slice(7 + i * 2, 9 + i * 2), 16)
  }
  let at = HEADER_BYTES
  const { mtimeSec, at: offset, bytes, mode, next, digest } = columns
  for (const column of [mtimeSec, offset, bytes, mode, next, digest]) {
    out.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at)
    at += column.byteLength
  }
  out.set(names, at)
  return out
}

/** @returns `undefined` for anything that is not a whole record of this version and byte order */
export function decodeCopyRecord(bytes: Uint8Array): CopyRecord | undefined {
  if (bytes.byteLength < HEADER_BYTES) return undefined
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice()
  const { buffer, byteOffset } = aligned
  const header = new DataView(buffer, byteOffset, HEADER_BYTES)
  const [magic, order, count, namesBytes] = [0, 1, 2, 3].map((i) => header.getUint32(i * 4, true))
  if (magic !== MAGIC || order !== BYTE_ORDER) return undefined
  if (HEADER_BYTES + count! * ENTRY_BYTES + namesBytes! !== aligned.byteLength) return undefined
  let at = byteOffset + HEADER_BYTES
  const view = <T>(
    type: new (buffer: ArrayBufferLike, offset: number, length: number) => T,
    length: number,
    width: number,
  ): T => {
    const column = new type(buffer, at, length)
    at += length * width
    return column
  }
  const columns = new CopyColumns(0)
  columns.mtimeSec = view(Float64Array, count!, 8)
  columns.at = view(Float64Array, count!, 8)
  columns.bytes = view(Float64Array, count!, 8)
  columns.mode = view(Uint32Array, count!, 4)
  columns.next = view(Uint32Array, count!, 4)
  columns.digest = view(Uint8Array, count! * DIGEST_BYTES, 1)
  const text = decodePath(view(Uint8Array, namesBytes!, 1))
  if (count! > 0) for (const name of text.split('/')) columns.names.push(name)
  if (columns.names.length !== count) return undefined
  const hex = Array.from(aligned.subarray(32, 64), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return { layer: `sha256:${hex}` as DiffID, columns }
}
