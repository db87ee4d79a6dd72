// Checksums of a blob's blocks, by which a part of it can be read and known to be right. Derived data: made when a blob
// that was verified whole is first read in parts, kept as the sidecar `block-sums/<hex>`. Pure.
import type { Checksum } from './records.js'

/** A page: what the system reads from the disk at least, and what a small file mostly fits into. */
export const SUM_BLOCK_BYTES = 4096
/** Sidecar kind; its key is the blob's hex digits. */
export const BLOCK_SUMS_KIND = 'block-sums'

const HEADER_BYTES = 16

/** CRC-32 of each 4 KiB of a blob, the last block shorter. docs/format.md § Block sums has every byte. */
export class BlockSums {
  readonly #view: DataView

  constructor(readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** @returns `undefined` when the bytes are not the sums of a blob of that size */
  static decode(bytes: Uint8Array, blobBytes: number): BlockSums | undefined {
    if (bytes.byteLength !== sumsBytes(blobBytes)) return undefined
    const sums = new BlockSums(bytes)
    const isOfBlob =
      sums.#view.getUint32(0, true) === SUM_BLOCK_BYTES && sums.#view.getFloat64(8, true) === blobBytes
    return isOfBlob ? sums : undefined
  }

  /** Whether whole blocks, of which the first has this number, are what they were. */
  match(blocks: Uint8Array, first: number, checksum: Checksum): boolean {
    let at = HEADER_BYTES + first * 4
    for (let from = 0; from < blocks.byteLength; from += SUM_BLOCK_BYTES, at += 4) {
      if (checksum(blocks.subarray(from, from + SUM_BLOCK_BYTES)) !== this.#view.getUint32(at, true))
        return false
    }
    return true
  }
}

function sumsBytes(blobBytes: number): number {
  return HEADER_BYTES + Math.ceil(blobBytes / SUM_BLOCK_BYTES) * 4
}

/** Gathers the sums of a blob whose pieces come in order, each but the last a multiple of the block. */
export class BlockSumsWriter {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = HEADER_BYTES

  constructor(
    blobBytes: number,
    readonly checksum: Checksum,
  ) {
    this.#bytes = new Uint8Array(sumsBytes(blobBytes))
    this.#view = new DataView(this.#bytes.buffer)
    this.#view.setUint32(0, SUM_BLOCK_BYTES, true)
    this.#view.setFloat64(8, blobBytes, true)
  }

  add(piece: Uint8Array): void {
    for (let from = 0; from < piece.byteLength; from += SUM_BLOCK_BYTES, this.#at += 4) {
      this.#view.setUint32(this.#at, this.checksum(piece.subarray(from, from + SUM_BLOCK_BYTES)), true)
    }
  }

  finish(): BlockSums {
    return new BlockSums(this.#bytes)
  }
}
