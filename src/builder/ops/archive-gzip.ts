// gzip as Go's compress/gzip reads it: what stands before a fault comes out, and the fault has Go's name. An effect file: it
// uses node:zlib, whose own gunzip keeps what it has decoded when a checksum is wrong or bytes follow the last member.
// @see RFC 1952; Go compress/gzip Reader
import { crc32, createInflateRaw, constants, inflateRawSync } from 'node:zlib'
import { LayerError } from '../../errors.js'

/** Of a member without optional fields. */
const HEADER_BYTES = 10
const TRAILER_BYTES = 8
const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16 } as const

/** A piece of input of which no output comes once it is found to be damaged. */
const PIECE_BYTES = 64
/** So much of a damaged member is decoded in small pieces; what lies further in is not needed to tell what it is. */
const SALVAGE_BYTES = 1 << 20

export interface Gunzipped {
  readonly parts: readonly Uint8Array[]
  /** What is wrong behind `parts`. */
  readonly damage: LayerError | undefined
}

/** All members of a file. */
export async function gunzip(bytes: Uint8Array): Promise<Gunzipped> {
  const parts: Uint8Array[] = []
  for (let at = 0; at < bytes.byteLength;) {
    const start = afterHeader(bytes, at)
    if (start instanceof LayerError) return { parts, damage: start }
    let member: { readonly buffer: Uint8Array; readonly length: number }
    try {
      member = inflate(bytes.subarray(start))
    } catch (cause) {
      parts.push(...(await salvage(bytes.subarray(start, start + SALVAGE_BYTES))))
      return { parts, damage: fault('flate: corrupt input', cause) }
    }
    parts.push(member.buffer)
    const end = start + member.length
    const damage = faultOfTrailer(bytes, end, member.buffer)
    if (damage !== undefined) return { parts, damage }
    at = end + TRAILER_BYTES
  }
  return { parts, damage: undefined }
}

/** Input that ends early gives what there is of it; `length` is then all of it. */
function inflate(input: Uint8Array): { readonly buffer: Uint8Array; readonly length: number } {
  const options = { info: true, finishFlush: constants.Z_SYNC_FLUSH, chunkSize: 1 << 18 }
  // With `info` Node gives the engine too, which counts what it has read; the types do not know it.
  const { buffer, engine } = inflateRawSync(input, options) as unknown as {
    readonly buffer: Buffer
    readonly engine: { readonly bytesWritten: number }
  }
  return { buffer, length: engine.bytesWritten }
}

/** What comes out of the deflated bytes before they turn bad. */
async function salvage(input: Uint8Array): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = []
  const inflater = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH })
  inflater.on('data', (part: Uint8Array) => parts.push(part))
  await new Promise<void>((resolve) => {
    inflater.on('error', () => resolve()).on('end', () => resolve())
    for (let at = 0; at < input.byteLength; at += PIECE_BYTES)
      inflater.write(input.subarray(at, at + PIECE_BYTES))
    inflater.end()
  })
  return parts
}

/** Where the deflated data of a member begin. */
function afterHeader(bytes: Uint8Array, at: number): number | LayerError {
  if (at + HEADER_BYTES > bytes.byteLength) return fault('unexpected EOF')
  const flags = bytes[at + 3]!
  if (bytes[at] !== 0x1f || bytes[at + 1] !== 0x8b || bytes[at + 2] !== 8)
    return fault('gzip: invalid header')
  let end = at + HEADER_BYTES
  if ((flags & FLAG.extra) !== 0) end += 2 + (bytes[end] ?? 0) + (bytes[end + 1] ?? 0) * 256
  for (const flag of [FLAG.name, FLAG.comment]) {
    if ((flags & flag) === 0) continue
    const nul = bytes.indexOf(0, end)
    if (nul === -1) return fault('unexpected EOF')
    end = nul + 1
  }
  if ((flags & FLAG.headerCrc) !== 0) {
    const stored = (bytes[end] ?? 0) + (bytes[end + 1] ?? 0) * 256
    if (end + 2 <= bytes.byteLength && (crc32(bytes.subarray(at, end)) & 0xffff) !== stored)
      return fault('gzip: invalid header')
    end += 2
  }
  return end > bytes.byteLength ? fault('unexpected EOF') : end
}

function faultOfTrailer(bytes: Uint8Array, at: number, content: Uint8Array): LayerError | undefined {
  if (at + TRAILER_BYTES > bytes.byteLength) return fault('unexpected EOF')
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, TRAILER_BYTES)
  const isRight =
    view.getUint32(0, true) === crc32(content) && view.getUint32(4, true) === content.byteLength >>> 0
  return isRight ? undefined : fault('gzip: invalid checksum')
}

function fault(message: string, cause?: unknown): LayerError {
  return new LayerError('COMPRESSION_INVALID', message, { cause })
}
