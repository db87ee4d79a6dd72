// What the system refuses becomes a StoreError where it leaves the store. Inside it stays what it is, because decisions
// hang on it; and an error of whoever gave the bytes is his.
import { LamellaError, StoreError } from '../errors.js'
import { errnoOf, isReadOnlyError, type DiskFs } from './disk-fs.js'

/** Errors that a disk's calls threw. */
export type Seen = WeakSet<object>

/** The same calls; what they throw is remembered. */
export function rememberErrors(fs: DiskFs, seen: Seen): DiskFs {
  const remember = (error: unknown): never => {
    if (typeof error === 'object' && error !== null) seen.add(error)
    throw error
  }
  const out: Record<string, unknown> = {}
  for (const [name, call] of callsOf(fs)) {
    out[name] = (...args: unknown[]) => {
      try {
        const result = call.apply(fs, args)
        return result instanceof Promise ? result.catch(remember) : result
      } catch (error) {
        return remember(error)
      }
    }
  }
  return out as unknown as DiskFs
}

type Call = (...args: unknown[]) => unknown

/** Of an object or of a class. */
function callsOf(fs: DiskFs): [string, Call][] {
  const names = new Set([...Object.keys(fs), ...Object.getOwnPropertyNames(Object.getPrototypeOf(fs))])
  return [...names].flatMap((name) => {
    const call = (fs as unknown as Record<string, unknown>)[name]
    return typeof call === 'function' && name !== 'constructor' ? [[name, call as Call]] : []
  })
}

const REFUSALS = new Set([
  'ENOSPC',
  'EDQUOT',
  'EIO',
  'EFBIG',
  'EMFILE',
  'ENFILE',
  'ENOENT',
  'ESTALE',
  'EBUSY',
  'EXDEV',
  // Something of another kind lies where a file or folder of ours belongs.
  'ENOTDIR',
  'EISDIR',
  'EEXIST',
  'ENOTEMPTY',
  'ELOOP',
])

/**
 * A system error as a StoreError, anything else as it is.
 * @returns StoreError STORE_READ_ONLY | STORE_WRITE_FAILED (data: path, errno; cause: the system's)
 */
export function refusalOf(root: string, error: unknown): unknown {
  const errno = errnoOf(error)
  if (errno === undefined || error instanceof LamellaError) return error
  const { message } = error as Error
  const more = { data: { path: root, errno }, cause: error }
  if (isReadOnlyError(error)) {
    return new StoreError('STORE_READ_ONLY', `the store ${root} cannot be written: ${message}`, more)
  }
  if (!REFUSALS.has(errno)) return error
  return new StoreError('STORE_WRITE_FAILED', `the store ${root} could not be written: ${message}`, more)
}
