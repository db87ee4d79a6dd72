// Node's argument checks: what it accepts as path, mode, flags, id, time, options, and the errors for the rest. Node checks
// before it touches the filesystem, and throws these even from its callback methods.
import { Buffer, fileURLToPath } from '#unionfs-host'
import { decodePath } from '../../path.js'
import type { Time } from '../kernel/attributes.js'
import { O } from '../kernel/files.js'
import { codedError, invalidType, invalidValue, outOfRange } from './errno.js'

export type PathArgument = string | Uint8Array | URL
export type Encoding = BufferEncoding | 'buffer' | undefined

function isUrl(value: unknown): value is URL {
  if (value === null || typeof value !== 'object') return false
  const url = value as Partial<URL>
  return Boolean(url.href && url.protocol && (url as { auth?: unknown }).auth === undefined)
}

const NUL_REASON = 'must be a string, Uint8Array, or URL without null bytes'

/** A path in the form of the kernel layer: bytes that are no UTF-8 escaped. Lone surrogates are U+FFFD, as in Node. */
export function toPath(value: unknown, name = 'path'): string {
  const path = isUrl(value) ? fileURLToPath(value) : value
  if (typeof path === 'string') {
    if (path.includes('\0')) throw invalidValue(name, path, NUL_REASON)
    return path.isWellFormed() ? path : path.toWellFormed()
  }
  if (path instanceof Uint8Array) {
    if (path.includes(0)) throw invalidValue(name, path, NUL_REASON)
    return decodePath(path)
  }
  throw invalidType(name, 'of type string or an instance of Buffer or URL', value)
}

/** A path argument as errors show it. */
export function shown(value: unknown): unknown {
  return isUrl(value) ? fileURLToPath(value) : value
}

export function checkInteger(
  value: unknown,
  name: string,
  min: number,
  max: number,
): asserts value is number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value)
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value)
}

export function toFd(value: unknown, name = 'fd'): number {
  // -0 is a descriptor too.
  if (Object.is(value, -0)) return 0
  checkInteger(value, name, 0, 2 ** 31 - 1)
  return value
}

const ID_MAX = 2 ** 32 - 1

/** A user or group id; -1 means "as it is". */
export function toId(value: unknown, name: string): number {
  checkInteger(value, name, -1, ID_MAX)
  return value >>> 0
}

const OCTAL = /^[0-7]+$/

export function toMode(value: unknown, name: string, fallback?: number): number {
  const mode = value ?? fallback
  if (typeof mode === 'string') {
    if (!OCTAL.test(mode)) {
      throw invalidValue(name, mode, 'must be a 32-bit unsigned integer or an octal string')
    }
    return Number.parseInt(mode, 8)
  }
  checkInteger(mode, name, 0, ID_MAX)
  return mode
}

export function toBoolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value)
  return value
}

export function checkFunction(value: unknown, name: string): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') throw invalidType(name, 'of type function', value)
}

export function checkObject(value: unknown, name: string): asserts value is Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value)
  }
}

const FLAGS: Readonly<Record<string, number>> = {
  r: O.RDONLY,
  rs: O.RDONLY | O.SYNC,
  sr: O.RDONLY | O.SYNC,
  'r+': O.RDWR,
  'rs+': O.RDWR | O.SYNC,
  'sr+': O.RDWR | O.SYNC,
  w: O.TRUNC | O.CREAT | O.WRONLY,
  wx: O.TRUNC | O.CREAT | O.WRONLY | O.EXCL,
  xw: O.TRUNC | O.CREAT | O.WRONLY | O.EXCL,
  'w+': O.TRUNC | O.CREAT | O.RDWR,
  'wx+': O.TRUNC | O.CREAT | O.RDWR | O.EXCL,
  'xw+': O.TRUNC | O.CREAT | O.RDWR | O.EXCL,
  a: O.APPEND | O.CREAT | O.WRONLY,
  ax: O.APPEND | O.CREAT | O.WRONLY | O.EXCL,
  xa: O.APPEND | O.CREAT | O.WRONLY | O.EXCL,
  as: O.APPEND | O.CREAT | O.WRONLY | O.SYNC,
  sa: O.APPEND | O.CREAT | O.WRONLY | O.SYNC,
  'a+': O.APPEND | O.CREAT | O.RDWR,
  'ax+': O.APPEND | O.CREAT | O.RDWR | O.EXCL,
  'xa+': O.APPEND | O.CREAT | O.RDWR | O.EXCL,
  'as+': O.APPEND | O.CREAT | O.RDWR | O.SYNC,
  'sa+': O.APPEND | O.CREAT | O.RDWR | O.SYNC,
}

export function toFlags(value: unknown, name = 'flags'): number {
  if (typeof value === 'number') {
    checkInteger(value, name, -(2 ** 31), 2 ** 31 - 1)
    return value
  }
  if (value === null || value === undefined) return O.RDONLY
  const flags = Object.hasOwn(FLAGS, String(value)) ? FLAGS[String(value)] : undefined
  if (flags === undefined) throw invalidValue(name, value)
  return flags
}

const DATE_MAX = 8.64e15

/** Seconds since the epoch as a number, a numeric string or a Date. Node passes doubles on, and libuv cuts them to nanoseconds. */
export function toTime(value: unknown, name = 'time'): Time {
  if (typeof value === 'string' && String(Number(value)) === value) return splitSeconds(Number(value))
  if (typeof value === 'number' && Number.isFinite(value)) {
    // What Node does with times before the epoch: they become now.
    return splitSeconds(value < 0 ? Date.now() / 1000 : value)
  }
  if (value instanceof Date && Math.abs(value.getTime()) <= DATE_MAX)
    return splitSeconds(value.getTime() / 1000)
  throw invalidType(name, 'an instance of Date or an Time in seconds', value)
}

/** libuv's conversion of a double (uv__fs_to_timespec): the fraction is cut to microseconds. */
function splitSeconds(value: number): Time {
  let sec = Math.trunc(value)
  let nsec = Math.trunc((value - sec) * 1e6) * 1000
  if (nsec < 0) {
    nsec += 1e9
    sec -= 1
  }
  return { sec, nsec }
}

const ENCODINGS = /^(utf-?8|utf-?16-?le|ucs-?2|latin1|binary|ascii|base64|base64url|hex)$/i

export function checkEncoding(value: unknown): void {
  if (value && !(typeof value === 'string' && ENCODINGS.test(value))) {
    throw invalidValue('encoding', value, 'is invalid encoding')
  }
}

type Options = Record<string, unknown>

/** Options that may be a string, which then is the encoding. */
export function toOptions(value: unknown, defaults: Options = {}): Options {
  if (value === null || value === undefined || typeof value === 'function') return defaults
  let options: Options
  if (typeof value === 'string') options = { ...defaults, encoding: value }
  else if (typeof value === 'object') options = value as Options
  else throw invalidType('options', 'one of type string or object', value)
  if (options.encoding !== 'buffer') checkEncoding(options.encoding)
  if (options.signal !== undefined) checkSignal(options.signal)
  return options
}

export function checkSignal(value: unknown): asserts value is AbortSignal {
  if (value === null || typeof value !== 'object' || !('aborted' in value)) {
    throw invalidType('options.signal', 'an instance of AbortSignal', value)
  }
}

export function encodingOf(options: Options): Encoding {
  return (options.encoding ?? undefined) as Encoding
}

/** A name or path for the caller. The default encoding is utf8, in which bytes that are no UTF-8 show as U+FFFD. */
export function encodeName(
  bytesOf: (name: string) => Uint8Array,
  name: string,
  encoding: Encoding,
): string | Buffer {
  if (encoding === undefined || encoding === 'utf8' || encoding === 'utf-8') {
    return name.isWellFormed() ? name : Buffer.from(bytesOf(name)).toString('utf8')
  }
  const bytes = Buffer.from(bytesOf(name))
  return encoding === 'buffer' ? bytes : bytes.toString(encoding)
}

const VIEW = 'an instance of Buffer, TypedArray, or DataView'

export function toBytes(value: unknown, name = 'buffer'): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  throw invalidType(name, VIEW, value)
}

/** What writeFile and its kin accept as content. */
export function toContent(value: unknown, encoding: unknown, name = 'data'): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value, (encoding || 'utf8') as BufferEncoding)
  if (ArrayBuffer.isView(value)) return toBytes(value)
  throw invalidType(name, `of type string or ${VIEW}`, value)
}

export function checkOffsetLengthRead(offset: number, length: number, byteLength: number): void {
  if (offset < 0) throw outOfRange('offset', '>= 0', offset)
  if (length < 0) throw outOfRange('length', '>= 0', length)
  if (offset + length > byteLength) throw outOfRange('length', `<= ${byteLength - offset}`, length)
}

export function checkOffsetLengthWrite(offset: number, length: number, byteLength: number): void {
  if (offset > byteLength) throw outOfRange('offset', `<= ${byteLength}`, offset)
  if (length > byteLength - offset) throw outOfRange('length', `<= ${byteLength - offset}`, length)
  if (length < 0) throw outOfRange('length', '>= 0', length)
}

/** A position in a file: `undefined` for the descriptor's own. */
export function toPosition(value: unknown, length: number): number | undefined {
  if (value === null || value === undefined || value === -1 || value === -1n) return undefined
  if (typeof value === 'bigint') {
    const max = 2n ** 63n - 1n - BigInt(length)
    if (value < -1n || value > max) throw outOfRange('position', `>= -1 && <= ${max}`, value)
    return Number(value)
  }
  if (typeof value !== 'number') throw invalidType('position', 'of type bigint or integer', value)
  checkInteger(value, 'position', -1, Number.MAX_SAFE_INTEGER)
  return value
}

export function checkArrayOfViews(value: unknown): asserts value is NodeJS.ArrayBufferView[] {
  if (!Array.isArray(value) || !value.every((item) => ArrayBuffer.isView(item))) {
    throw invalidType('buffers', 'an ArrayBufferView[]', value)
  }
}

/** The mode of access and copyFile: bits 0 to 7, a fraction is cut as in Node. */
export function toSmallMode(value: unknown): number {
  if (value === undefined || value === null) return 0
  if (typeof value !== 'number') {
    throw codedError('ERR_INVALID_ARG_TYPE', 'mode must be int32 or null/undefined', TypeError)
  }
  const mode = Math.trunc(value)
  if (!(mode >= 0 && mode <= 7)) {
    throw codedError('ERR_OUT_OF_RANGE', 'mode is out of range: >= 0 && <= 7', RangeError)
  }
  return mode
}
