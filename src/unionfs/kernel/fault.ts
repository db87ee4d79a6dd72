// Failures of the kernel layer: Linux error codes as values that are thrown without a stack. `fs/errno.ts` turns them into
// the errors that Node throws.

/** Linux error numbers (asm-generic/errno.h) and libuv's texts for them, by code. */
export const ERRNO = {
  EPERM: [1, 'operation not permitted'],
  ENOENT: [2, 'no such file or directory'],
  EIO: [5, 'i/o error'],
  ENXIO: [6, 'no such device or address'],
  E2BIG: [7, 'argument list too long'],
  EBADF: [9, 'bad file descriptor'],
  EAGAIN: [11, 'resource temporarily unavailable'],
  ENOMEM: [12, 'not enough memory'],
  EACCES: [13, 'permission denied'],
  EBUSY: [16, 'resource busy or locked'],
  EEXIST: [17, 'file already exists'],
  EXDEV: [18, 'cross-device link not permitted'],
  ENOTDIR: [20, 'not a directory'],
  EISDIR: [21, 'illegal operation on a directory'],
  EINVAL: [22, 'invalid argument'],
  EMFILE: [24, 'too many open files'],
  EFBIG: [27, 'file too large'],
  ENOSPC: [28, 'no space left on device'],
  ESPIPE: [29, 'invalid seek'],
  EROFS: [30, 'read-only file system'],
  EMLINK: [31, 'too many links'],
  ERANGE: [34, 'result too large'],
  ENAMETOOLONG: [36, 'name too long'],
  ENOSYS: [38, 'function not implemented'],
  ENOTEMPTY: [39, 'directory not empty'],
  ELOOP: [40, 'too many symbolic links encountered'],
  ENODATA: [61, 'no data available'],
  ENOTSUP: [95, 'operation not supported on socket'],
} as const satisfies Record<string, readonly [errno: number, text: string]>

export type ErrnoCode = keyof typeof ERRNO

/** Thrown by the kernel layer. One frozen instance a code: creating an Error costs more than most operations. */
export class Fault extends Error {
  readonly code: ErrnoCode
  constructor(code: ErrnoCode) {
    super(code)
    this.code = code
  }
}

const faults = new Map<ErrnoCode, Fault>()

export function fault(code: ErrnoCode): Fault {
  let known = faults.get(code)
  if (known === undefined) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    known = new Fault(code)
    Error.stackTraceLimit = limit
    faults.set(code, known)
  }
  return known
}

export function fail(code: ErrnoCode): never {
  throw fault(code)
}
