// Errors in Node's form: system errors with `errno code syscall path dest`, and the ERR_* errors of argument checks.
import { inspect } from '#unionfs-host'
import { LamellaError } from '../../errors.js'
import { ERRNO, Fault, type ErrnoCode } from '../kernel/fault.js'

export interface FsError extends Error {
  errno: number
  code: string
  syscall: string
  path?: string
  dest?: string
}

/** A failed system call as libuv and Node report it: `ENOENT: no such file or directory, open '/x'`. */
export function fsError(code: ErrnoCode, syscall: string, path?: string, dest?: string): FsError {
  const [errno, text] = ERRNO[code]
  let message = `${code}: ${text}, ${syscall}`
  if (path !== undefined) message += ` '${path}'`
  if (dest !== undefined) message += ` -> '${dest}'`
  const error = new Error(message) as FsError
  error.errno = -errno
  error.code = code
  error.syscall = syscall
  if (path !== undefined) error.path = path
  if (dest !== undefined) error.dest = dest
  return error
}

/**
 * Runs a system call; its fault becomes Node's error. `path` and `dest` are given as the caller gave them. What goes wrong
 * below, as a layer whose bytes are damaged, is EIO, as of a disk; the cause says more.
 */
export function attempt<T>(syscall: string, path: unknown, dest: unknown, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (error instanceof Fault) throw fsError(error.code, syscall, textOf(path), textOf(dest))
    if (!(error instanceof LamellaError)) throw error
    throw Object.assign(fsError('EIO', syscall, textOf(path), textOf(dest)), { cause: error })
  }
}

const utf8 = new TextDecoder()

/** A path argument as it stands in an error. */
export function textOf(path: unknown): string | undefined {
  if (path === undefined || typeof path === 'string') return path
  if (path instanceof Uint8Array) return utf8.decode(path)
  return String(path)
}

type NodeError = Error & { code: string }

function coded(error: Error, code: string): NodeError {
  // As Node's: the code is shown in the stack, and is no part of the name.
  Object.defineProperty(error, 'code', { value: code, writable: true, enumerable: true, configurable: true })
  return error as NodeError
}

/** How Node names a value in "Received …". */
function received(value: unknown): string {
  if (value === null || value === undefined) return `Received ${String(value)}`
  if (typeof value === 'function')
    return value.name === '' ? 'Received function ' : `Received function ${value.name}`
  if (typeof value === 'object') {
    const name = (value as { constructor?: { name?: string } }).constructor?.name
    return name ? `Received an instance of ${name}` : `Received ${inspect(value, { depth: -1 })}`
  }
  let text = inspect(value, { colors: false })
  if (text.length > 28) text = text.slice(0, 25) + '...'
  return `Received type ${typeof value} (${text})`
}

/** @param name  an argument's name, or a property's as `options.recursive` */
export function invalidType(name: string, expected: string, value: unknown): NodeError {
  const what = name.endsWith(' argument') ? name : `"${name}" ${name.includes('.') ? 'property' : 'argument'}`
  return coded(new TypeError(`The ${what} must be ${expected}. ${received(value)}`), 'ERR_INVALID_ARG_TYPE')
}

export function invalidValue(name: string, value: unknown, reason = 'is invalid'): NodeError {
  const what = name.includes('.') ? 'property' : 'argument'
  let text = inspect(value)
  if (text.length > 128) text = text.slice(0, 128) + '...'
  return coded(new TypeError(`The ${what} '${name}' ${reason}. Received ${text}`), 'ERR_INVALID_ARG_VALUE')
}

export function outOfRange(name: string, range: string, value: unknown): NodeError {
  const text =
    typeof value === 'number' && Number.isInteger(value) && Math.abs(value) > 2 ** 32
      ? withUnderscores(String(value))
      : typeof value === 'bigint'
        ? `${withUnderscores(String(value))}n`
        : inspect(value)
  return coded(
    new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${text}`),
    'ERR_OUT_OF_RANGE',
  )
}

function withUnderscores(digits: string): string {
  return digits.replaceAll(/\B(?=(\d{3})+$)/g, '_')
}

export function codedError(code: string, message: string, Kind: ErrorConstructor = Error): NodeError {
  return coded(new Kind(message), code)
}

/** Node's SystemError, as fs.rm and fs.cp throw it: `Path is a directory: rm returned EISDIR (is a directory) /x`. */
export function systemError(
  code: string,
  text: string,
  context: { syscall: string; code: string; message: string; path?: string; dest?: string; errno: number },
): NodeError {
  let message = `${text}: ${context.syscall} returned ${context.code} (${context.message})`
  if (context.path !== undefined) message += ` ${context.path}`
  if (context.dest !== undefined) message += ` => ${context.dest}`
  const error = coded(new Error(message), code)
  error.name = 'SystemError'
  return Object.assign(error, {
    info: context,
    errno: context.errno,
    syscall: context.syscall,
    ...(context.path === undefined ? {} : { path: context.path }),
    ...(context.dest === undefined ? {} : { dest: context.dest }),
  })
}

/** What is in Node's fs and cannot be had here. */
export function notImplemented(method: string): FsError {
  return fsError('ENOSYS', method)
}
