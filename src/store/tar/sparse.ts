// GNU sparse files: the map of data in a file with holes, in its four spellings, and reading through it. Pure.
// @see GNU tar manual § Storing Sparse Files
import type { PaxRecords } from './pax.js'
import { paxNumber } from './pax.js'
import { BLOCK, GNU_FIELD, readNumber, tarError } from './header.js'

/** A run of data in the expanded file; runs lie one after the other in the archive. */
export interface SparseRun {
  /** In the expanded file. */
  readonly offset: number
  readonly length: number
}

/** Data runs ascending and apart, all within the file. */
export interface SparseMap {
  readonly runs: readonly SparseRun[]
  /** Size of the expanded file. */
  readonly realSize: number
  /** Where the first run's bytes are in the archive. */
  readonly dataOffset: number
}

/** Exactly `length` bytes of the archive; throws TAR_TRUNCATED past the end. */
export type ReadAt = (at: number, length: number) => Uint8Array

/** More runs than any file system writes; bounds the memory of a hostile map. */
const RUNS_MAX = 1_000_000

/** The map of an old GNU entry (type `S`): four runs in the header, 21 in each block that follows. */
export function oldGnuSparse(header: Uint8Array, at: number, headerOffset: number, read: ReadAt): SparseMap {
  const pairs: number[] = []
  takePairs(header, at + GNU_FIELD.sparse, GNU_FIELD.sparseCount, pairs, headerOffset)
  const realSize = readNumber(header, at + GNU_FIELD.realSize, 12, headerOffset)
  let next = headerOffset + BLOCK
  let more = header[at + GNU_FIELD.isExtended] !== 0
  while (more) {
    const block = read(next, BLOCK)
    takePairs(block, 0, 21, pairs, headerOffset)
    more = block[504] !== 0
    next += BLOCK
    if (pairs.length > RUNS_MAX * 2) throw tarError('LAYER_LIMIT', headerOffset, 'the sparse map is too long')
  }
  return { runs: toRuns(pairs, realSize, headerOffset), realSize, dataOffset: next }
}

function takePairs(block: Uint8Array, at: number, count: number, pairs: number[], offset: number): void {
  for (let i = 0; i < count; i++, at += 24) {
    if (block[at] === 0) return
    pairs.push(readNumber(block, at, 12, offset), readNumber(block, at + 12, 12, offset))
  }
}

/** The map that PAX records declare (formats 0.0, 0.1, 1.0); `undefined` when the entry is not sparse. */
export function paxSparse(
  { values, sparse }: PaxRecords,
  dataOffset: number,
  storedSize: number,
  offset: number,
  read: ReadAt,
): SparseMap | undefined {
  const major = values.get('GNU.sparse.major')
  const size = values.get('GNU.sparse.realsize') ?? values.get('GNU.sparse.size')
  if (major !== undefined && paxNumber(major, 'GNU.sparse.major', offset) === 1) {
    const realSize = paxNumber(size ?? new Uint8Array(0), 'GNU.sparse.realsize', offset)
    return inlineSparse(realSize, dataOffset, storedSize, offset, read)
  }
  const map = values.get('GNU.sparse.map')
  if (map === undefined && sparse.length === 0 && size === undefined) return undefined
  const pairs = map === undefined ? sparse : splitMap(map, offset)
  const realSize = paxNumber(size ?? new Uint8Array(0), 'GNU.sparse.size', offset)
  return { runs: toRuns(pairs, realSize, offset), realSize, dataOffset }
}

function splitMap(map: Uint8Array, offset: number): number[] {
  const pairs: number[] = []
  for (let at = 0; at < map.length;) {
    let end = map.indexOf(0x2c, at)
    if (end === -1) end = map.length
    pairs.push(paxNumber(map.subarray(at, end), 'GNU.sparse.map', offset))
    at = end + 1
  }
  return pairs
}

/** Format 1.0: the map stands before the data as decimal lines, padded to a block. */
function inlineSparse(
  realSize: number,
  dataOffset: number,
  storedSize: number,
  offset: number,
  read: ReadAt,
): SparseMap {
  const pairs: number[] = []
  const end = dataOffset + storedSize
  let at = dataOffset
  let left = -1
  let value = 0
  let digits = 0
  while (left !== 0) {
    if (at + BLOCK > end) throw tarError('TAR_SPARSE_INVALID', offset, 'the sparse map does not end')
    const block = read(at, BLOCK)
    at += BLOCK
    for (let i = 0; i < BLOCK && left !== 0; i++) {
      const byte = block[i]!
      if (byte !== 0x0a) {
        value = value * 10 + byte - 0x30
        if (byte < 0x30 || byte > 0x39 || ++digits > 16) {
          throw tarError('TAR_SPARSE_INVALID', offset, 'the sparse map is not decimal')
        }
        continue
      }
      if (digits === 0) throw tarError('TAR_SPARSE_INVALID', offset, 'the sparse map has an empty line')
      if (left === -1) {
        if (value > RUNS_MAX) throw tarError('LAYER_LIMIT', offset, 'the sparse map is too long')
        left = value * 2
      } else {
        pairs.push(value)
        left--
      }
      value = digits = 0
    }
  }
  return { runs: toRuns(pairs, realSize, offset), realSize, dataOffset: at }
}

function toRuns(pairs: readonly number[], realSize: number, offset: number): SparseRun[] {
  if (pairs.length % 2 !== 0) throw tarError('TAR_SPARSE_INVALID', offset, 'the sparse map is uneven')
  const runs: SparseRun[] = []
  let end = 0
  for (let i = 0; i < pairs.length; i += 2) {
    const [start, length] = [pairs[i]!, pairs[i + 1]!]
    if (start < end || length < 0 || start + length > realSize) {
      throw tarError('TAR_SPARSE_INVALID', offset, 'sparse runs overlap or leave the file')
    }
    end = start + length
    if (length > 0) runs.push({ offset: start, length })
  }
  if (realSize < 0) throw tarError('TAR_SPARSE_INVALID', offset, 'the sparse file has a negative size')
  return runs
}

/** Bytes that a map's runs take in the archive. */
export function sparseBytes(map: SparseMap): number {
  return map.runs.reduce((sum, run) => sum + run.length, 0)
}

/** `length` bytes of the expanded file from `offset`, holes as zeros. */
export function readSparse(map: SparseMap, read: ReadAt, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length)
  let stored = map.dataOffset
  for (const run of map.runs) {
    const from = Math.max(run.offset, offset)
    const to = Math.min(run.offset + run.length, offset + length)
    if (from < to) out.set(read(stored + from - run.offset, to - from), from - offset)
    if (run.offset >= offset + length) break
    stored += run.length
  }
  return out
}
