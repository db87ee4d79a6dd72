// What the record and sidecar stores share: the limits of the contract, and the checksums by which a damaged value or line
// is told from a good one. Pure.
//
// The checksum is CRC-32 (zlib's, ISO 3309), because `get` is synchronous and must not cost start-up time: xxhash-wasm
// has only an asynchronous start of 8 ms, and the native CRC runs at 6 GB/s. It guards against damage, not malice.

import type { RecordStore } from './store.js'

const KEY_BYTES_MAX = 500
const VALUE_BYTES_MAX = 1 << 20
const encoder = new TextEncoder()

/** @returns the key's bytes @throws RangeError for a key that is empty or longer than 500 bytes */
export function checkRecordKey(key: string): Uint8Array {
  const bytes = encoder.encode(key)
  if (bytes.byteLength > 0 && bytes.byteLength <= KEY_BYTES_MAX) return bytes
  throw new RangeError(`record key of ${bytes.byteLength} bytes: must have 1 to ${KEY_BYTES_MAX}`)
}

/** As `checkRecordKey`, for whoever needs no bytes: a key that is short enough by far is not encoded. */
export function requireRecordKey(key: string): void {
  if (key.length === 0 || key.length > KEY_BYTES_MAX / 3) checkRecordKey(key)
}

/** A record's value to be read and not written into; cheaper than `get` where the store has it in memory. */
export function peekRecord(records: RecordStore, key: string): Uint8Array | undefined {
  return records.peek === undefined ? records.get(key) : records.peek(key)
}

/** @throws RangeError for a value above 1 MiB */
export function checkRecordValue(key: string, value: Uint8Array): void {
  if (value.byteLength <= VALUE_BYTES_MAX) return
  throw new RangeError(`record ${key} of ${value.byteLength} bytes: must have at most ${VALUE_BYTES_MAX}`)
}

const NAME = /^[a-z0-9-]{1,200}$/

/** @throws RangeError unless both are `[a-z0-9-]+` and short enough for a file name */
export function checkSidecarName(kind: string, key?: string): void {
  if (NAME.test(kind) && (key === undefined || NAME.test(key))) return
  throw new RangeError(`invalid sidecar name ${JSON.stringify(kind)} ${JSON.stringify(key)}`)
}

export type Checksum = (bytes: Uint8Array | string, seed?: number) => number

const TRAILER_BYTES = 8
/** "LMS1", little-endian. */
const TRAILER_MAGIC = 0x31534d4c

/**
 * A value with its trailer: magic, then the checksum of name and value, both 32-bit little-endian. The name is part of
 * it, so that a value that ended up under a wrong name is damaged too.
 */
export function seal(name: string, value: Uint8Array, checksum: Checksum): Uint8Array {
  const out = new Uint8Array(value.byteLength + TRAILER_BYTES)
  out.set(value)
  out.set(trailerOf(name, value, checksum), value.byteLength)
  return out
}

/** What `seal` puts behind a value, for values that are too large to be copied for it. */
export function trailerOf(name: string, value: Uint8Array, checksum: Checksum): Uint8Array {
  const out = new Uint8Array(TRAILER_BYTES)
  const view = new DataView(out.buffer)
  view.setUint32(0, TRAILER_MAGIC, true)
  view.setUint32(4, checksum(value, checksum(name)), true)
  return out
}

/** The value, sharing memory with `sealed`, or `undefined` when it is damaged. */
export function unseal(name: string, sealed: Uint8Array, checksum: Checksum): Uint8Array | undefined {
  const length = sealed.byteLength - TRAILER_BYTES
  if (length < 0) return undefined
  const view = new DataView(sealed.buffer, sealed.byteOffset + length, TRAILER_BYTES)
  if (view.getUint32(0, true) !== TRAILER_MAGIC) return undefined
  const value = sealed.subarray(0, length)
  return view.getUint32(4, true) === checksum(value, checksum(name)) ? value : undefined
}

/** A line of JSON with the checksum of what it would be without: `{…,"crc":"<8 hex digits>"}`. Without a line end. */
export function sealLine(value: object, checksum: Checksum): string {
  return JSON.stringify({ ...value, crc: crcOf(value, checksum) })
}

/** What was sealed, or `undefined` for a line that is damaged. */
export function unsealLine(line: string, checksum: Checksum): unknown {
  try {
    const { crc, ...value } = JSON.parse(line) as Record<string, unknown>
    return crc === crcOf(value, checksum) ? value : undefined
  } catch {
    return undefined
  }
}

/** Whether a line that cannot be read is whole, and so damaged: one that a crash left unfinished lacks its end. */
export function isWholeLine(line: string): boolean {
  return line.endsWith('}') || /"crc":"[^"]{8}"./.test(line)
}

/** Of the JSON text, which is the same again for what was parsed from it. */
function crcOf(value: object, checksum: Checksum): string {
  return checksum(JSON.stringify(value)).toString(16).padStart(8, '0')
}
