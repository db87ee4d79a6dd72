// PAX extended header records: `<length> <keyword>=<value>\n`, the length decimal and of the whole record. Pure.
// @see POSIX.1-2024 pax § pax Extended Header
import { compareBytes, decodePath, encodePath } from '../../path.js'
import { tarError } from './header.js'

/** What the records say about the next entry (or, from a global header, about all that follow); values are raw bytes. */
export interface PaxRecords {
  /** By keyword; an empty value takes an earlier setting back. */
  readonly values: Map<string, Uint8Array>
  /** Repeated GNU.sparse.offset and GNU.sparse.numbytes of sparse format 0.0, in their order. */
  readonly sparse: number[]
}

const XATTR = 'SCHILY.xattr.'
const decoder = new TextDecoder()

/** @throws LayerError TAR_PAX_INVALID */
export function parsePax(bytes: Uint8Array, offset: number): PaxRecords {
  const values = new Map<string, Uint8Array>()
  const sparse: number[] = []
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] === 0) break // padding that some writers count as data
    const blank = bytes.indexOf(0x20, at)
    const length = blank === -1 || blank - at > 9 ? Number.NaN : decimal(bytes, at, blank)
    const end = at + length
    if (!(length > blank - at + 2) || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw tarError('TAR_PAX_INVALID', offset, 'a PAX record has a wrong length')
    }
    const equals = bytes.indexOf(0x3d, blank + 1)
    if (equals === -1 || equals >= end || equals === blank + 1) {
      throw tarError('TAR_PAX_INVALID', offset, 'a PAX record has no keyword')
    }
    const keyword = decodePath(bytes.subarray(blank + 1, equals))
    const value = bytes.subarray(equals + 1, end - 1)
    if (keyword === 'GNU.sparse.offset' || keyword === 'GNU.sparse.numbytes') {
      if ((sparse.length & 1) !== (keyword === 'GNU.sparse.offset' ? 0 : 1)) {
        throw tarError('TAR_SPARSE_INVALID', offset, 'sparse offsets and lengths do not alternate')
      }
      sparse.push(paxNumber(value, keyword, offset))
    } else values.set(keyword, value)
    at = end
  }
  return { values, sparse }
}

function decimal(bytes: Uint8Array, at: number, end: number): number {
  let value = 0
  for (; at < end; at++) {
    const digit = bytes[at]! - 0x30
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

/** A decimal value that is not negative. @throws LayerError TAR_PAX_INVALID */
export function paxNumber(value: Uint8Array, keyword: string, offset: number): number {
  const number = value.length === 0 || value.length > 16 ? Number.NaN : decimal(value, 0, value.length)
  if (Number.isSafeInteger(number)) return number
  throw tarError('TAR_PAX_INVALID', offset, `${keyword} is not a number`)
}

/** A path or link target. @throws LayerError TAR_PAX_INVALID when it holds a NUL */
export function paxPath(value: Uint8Array, keyword: string, offset: number): string {
  if (value.includes(0)) throw tarError('TAR_PAX_INVALID', offset, `${keyword} holds a NUL byte`)
  return decodePath(value)
}

/** Decimal seconds with any number of digits after the point; cut to nanoseconds, towards the past. */
export function paxTime(value: Uint8Array, offset: number): { sec: number; nsec: number } {
  const match = /^(-?)(\d{1,16})(?:\.(\d*))?$/.exec(decoder.decode(value))
  if (match === null) throw tarError('TAR_PAX_INVALID', offset, 'mtime is not a time')
  const [, sign, whole, fraction = ''] = match
  const sec = Number(whole)
  const nsec = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (!Number.isSafeInteger(sec)) throw tarError('TAR_PAX_INVALID', offset, 'mtime exceeds 2^53')
  if (sign === '' || (sec === 0 && nsec === 0)) return { sec, nsec }
  return nsec === 0 ? { sec: -sec, nsec: 0 } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec }
}

/** Seconds and nanoseconds as `paxTime` reads them, without trailing zeros. */
export function formatPaxTime(sec: number, nsec: number): string {
  if (nsec === 0) return String(sec)
  const negative = sec < 0
  const whole = negative ? -(sec + 1) : sec
  const fraction = String(negative ? 1_000_000_000 - nsec : nsec).padStart(9, '0')
  return `${negative ? '-' : ''}${whole}.${fraction.replace(/0+$/, '')}`
}

/** The extended attributes among the records; copied, so that they do not hold the archive's memory. */
export function paxXattrs(values: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> | undefined {
  let out: Map<string, Uint8Array> | undefined
  for (const [keyword, value] of values) {
    if (keyword.startsWith(XATTR) && keyword.length > XATTR.length) {
      out ??= new Map()
      out.set(keyword.slice(XATTR.length), new Uint8Array(value))
    }
  }
  return out
}

/** The record's keyword for an extended attribute. */
export function xattrKeyword(name: string): string {
  return XATTR + name
}

/** Records in one fixed order, by the keywords' bytes, so that equal entries are equal bytes. */
export function formatPax(
  records: Iterable<readonly [keyword: string, value: string | Uint8Array]>,
): Uint8Array {
  const parts = [...records]
    .map(([keyword, value]) => ({
      keyword: encodePath(keyword),
      value: typeof value === 'string' ? encodePath(value) : value,
    }))
    .sort((a, b) => compareBytes(a.keyword, b.keyword))
    .map(({ keyword, value }) => formatRecord(keyword, value))
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

function formatRecord(keyword: Uint8Array, value: Uint8Array): Uint8Array {
  const rest = keyword.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length + rest !== length) length = rest + String(length).length
  const head = encodePath(`${length} `)
  const out = new Uint8Array(length)
  out.set(head)
  out.set(keyword, head.length)
  out[head.length + keyword.length] = 0x3d
  out.set(value, head.length + keyword.length + 1)
  out[length - 1] = 0x0a
  return out
}
