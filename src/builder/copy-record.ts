// What a COPY of a host folder put into a layer: for every entry what it was known by, and where in the layer's tar it
// stands. With it the next layer of the same step takes over what has not changed. A derived file of the store. Pure.
import { hexSlice } from '#platform'
import type { DiffID } from '../digest.js'
import { decodePath, encodePath } from '../path.js'
import { BYTE_ORDER, ColumnReader, DIGEST_BYTES, encodeColumns } from './binary-columns.js'

/** Kind of the sidecar. */
export const COPY_RECORD_KIND = 'copy'

const MAGIC = 0x3152434c // "LCR1", little-endian
const HEADER_BYTES = 64
/** Where the header has the layer's digest. */
const LAYER_AT = 32
const ENTRY_BYTES = 3 * 8 + 2 * 4 + DIGEST_BYTES

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
  const { mtimeSec, at, bytes, mode, next, digest } = columns
  const words = [MAGIC, BYTE_ORDER, columns.count, names.byteLength]
  const out = encodeColumns(HEADER_BYTES, words, [mtimeSec, at, bytes, mode, next, digest, names])
  for (let i = 0; i < DIGEST_BYTES; i++) {
    out[LAYER_AT + i] = Number.parseInt(layer.slice(7 + i * 2, 9 + i * 2), 16)
  }
  return out
}

/** @returns `undefined` for anything that is not a whole record of this version and byte order */
export function decodeCopyRecord(bytes: Uint8Array): CopyRecord | undefined {
  if (bytes.byteLength < HEADER_BYTES) return undefined
  const file = new ColumnReader(bytes, HEADER_BYTES)
  const [magic, order, count, namesBytes] = file.words(4) as [number, number, number, number]
  if (magic !== MAGIC || order !== BYTE_ORDER) return undefined
  if (HEADER_BYTES + count * ENTRY_BYTES + namesBytes !== file.size) return undefined
  const columns = new CopyColumns(0)
  columns.mtimeSec = file.float64(count)
  columns.at = file.float64(count)
  columns.bytes = file.float64(count)
  columns.mode = file.uint32(count)
  columns.next = file.uint32(count)
  columns.digest = file.bytes(count * DIGEST_BYTES)
  const text = decodePath(file.bytes(namesBytes))
  if (count > 0) for (const name of text.split('/')) columns.names.push(name)
  if (columns.names.length !== count) return undefined
  const layer = hexSlice(file.header(LAYER_AT, LAYER_AT + DIGEST_BYTES), 0, DIGEST_BYTES)
  return { layer: `sha256:${layer}` as DiffID, columns }
}
