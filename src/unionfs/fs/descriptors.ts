// Operations on open files: open and close, read and write in their forms, metadata through a descriptor.
import { Buffer } from '#unionfs-host'
import * as attributes from '../kernel/attributes.js'
import * as files from '../kernel/files.js'
import { fail } from '../kernel/fault.js'
import type { Kernel } from '../kernel/kernel.js'
import {
  checkArrayOfViews,
  checkEncoding,
  checkInteger,
  checkOffsetLengthRead,
  checkOffsetLengthWrite,
  toBytes,
  toContent,
  toFd,
  toFlags,
  toId,
  toMode,
  toPath,
  toPosition,
  toTime,
  shown,
} from './arguments.js'
import { attempt, invalidType, invalidValue } from './errno.js'
import { op, type OpTable } from './op.js'
import { statNode } from './paths.js'

interface ReadArguments {
  readonly bytes: Uint8Array
  readonly offset: number
  readonly length: number
  readonly position: number | undefined
}

/** `read(fd, buffer, offset, length, position)` and its forms with an options object. */
export function toReadArguments(
  buffer: unknown,
  offsetOrOptions: unknown,
  lengthGiven: unknown,
  positionGiven: unknown,
): ReadArguments {
  let [offset, length, position] = [offsetOrOptions, lengthGiven, positionGiven]
  const bytes = toBytes(buffer)
  if (offsetOrOptions !== null && typeof offsetOrOptions === 'object') {
    ;({ offset = 0, length, position = null } = offsetOrOptions as Record<string, unknown>)
  }
  let start = 0
  if (offset !== undefined && offset !== null) {
    checkInteger(offset, 'offset', 0, Number.MAX_SAFE_INTEGER)
    start = offset
  }
  const count = length === undefined ? bytes.byteLength - start : Math.trunc(Number(length))
  if (count === 0) return { bytes, offset: start, length: 0, position: undefined }
  if (bytes.byteLength === 0) {
    throw invalidValue('buffer', buffer, 'is empty and cannot be written')
  }
  checkOffsetLengthRead(start, count, bytes.byteLength)
  return { bytes, offset: start, length: count, position: toPosition(position, count) }
}

interface WriteArguments {
  readonly bytes: Uint8Array
  readonly position: number | undefined
}

/** `write(fd, buffer, offset, length, position)` and `write(fd, string, position, encoding)`. */
export function toWriteArguments(
  data: unknown,
  offsetOrOptions: unknown,
  lengthGiven: unknown,
  positionGiven: unknown,
): WriteArguments {
  if (typeof data === 'string') {
    checkEncoding(lengthGiven)
    const position = typeof offsetOrOptions === 'number' ? toPosition(offsetOrOptions, 0) : undefined
    return { bytes: toContent(data, lengthGiven), position }
  }
  if (!ArrayBuffer.isView(data)) {
    throw invalidType('buffer', 'of type string or an instance of Buffer, TypedArray, or DataView', data)
  }
  const bytes = toBytes(data)
  let [offset, length, position] = [offsetOrOptions, lengthGiven, positionGiven]
  if (offsetOrOptions !== null && typeof offsetOrOptions === 'object') {
    ;({ offset = 0, length, position = null } = offsetOrOptions as Record<string, unknown>)
  }
  let start = 0
  if (offset !== undefined && offset !== null) {
    checkInteger(offset, 'offset', 0, Number.MAX_SAFE_INTEGER)
    start = offset
  }
  const count = typeof length === 'number' ? length : bytes.byteLength - start
  checkOffsetLengthWrite(start, count, bytes.byteLength)
  return {
    bytes: bytes.subarray(start, start + count),
    position:
      typeof position === 'number' || typeof position === 'bigint' ? toPosition(position, 0) : undefined,
  }
}

function toSize(value: unknown): number {
  const size = value ?? 0
  checkInteger(size, 'len', -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  return Math.max(0, size)
}

const secondArgument = (result: unknown, args: readonly unknown[]): readonly unknown[] => [
  null,
  result,
  args[1],
]

export function descriptorOps(kernel: Kernel): OpTable {
  const withFd =
    (syscall: string, body: (fd: number) => unknown) =>
    (given: unknown): (() => unknown) => {
      const fd = toFd(given)
      return () => attempt(syscall, undefined, undefined, () => body(fd))
    }
  const node = (fd: number) => kernel.file(fd).node
  const owned = (fd: number) => (kernel.file(fd).isReadOnly ? fail('EROFS') : node(fd))

  return {
    open: op(1, 3, (path: unknown, flags: unknown, mode: unknown) => {
      const name = toPath(path)
      const bits = toFlags(flags)
      const permissions = toMode(mode, 'mode', 0o666)
      return () => attempt('open', shown(path), undefined, () => files.open(kernel, name, bits, permissions))
    }),
    close: op(
      1,
      1,
      withFd('close', (fd) => kernel.close(fd)),
    ),
    fsync: op(
      1,
      1,
      withFd('fsync', (fd) => void kernel.file(fd)),
    ),
    fdatasync: op(
      1,
      1,
      withFd('fdatasync', (fd) => void kernel.file(fd)),
    ),
    fstat: op(1, 2, (given: unknown, options?: { bigint?: boolean }) => {
      const fd = toFd(given)
      return () =>
        attempt('fstat', undefined, undefined, () =>
          statNode(node(fd), node(fd).superblock.dev, options?.bigint === true),
        )
    }),
    ftruncate: op(1, 2, (given: unknown, length: unknown) => {
      const fd = toFd(given)
      const size = toSize(length)
      return () => attempt('ftruncate', undefined, undefined, () => files.ftruncate(kernel, fd, size))
    }),
    fchmod: op(2, 2, (given: unknown, mode: unknown) => {
      const fd = toFd(given)
      const bits = toMode(mode, 'mode')
      return () => attempt('fchmod', undefined, undefined, () => attributes.chmod(kernel, owned(fd), bits))
    }),
    fchown: op(3, 3, (given: unknown, uid: unknown, gid: unknown) => {
      const fd = toFd(given)
      const [u, g] = [toId(uid, 'uid'), toId(gid, 'gid')]
      return () => attempt('fchown', undefined, undefined, () => attributes.chown(kernel, owned(fd), u, g))
    }),
    futimes: op(3, 3, (given: unknown, atime: unknown, mtime: unknown) => {
      const fd = toFd(given)
      const [a, m] = [toTime(atime, 'atime'), toTime(mtime, 'mtime')]
      return () => attempt('futime', undefined, undefined, () => attributes.utimes(kernel, owned(fd), a, m))
    }),
    read: op(
      1,
      5,
      (given: unknown, buffer: unknown, offset: unknown, length: unknown, position: unknown) => {
        const fd = toFd(given)
        const to = toReadArguments(buffer, offset, length, position)
        return () => (to.length === 0 ? 0 : readInto(kernel, fd, to))
      },
      { results: secondArgument },
    ),
    readv: op(
      2,
      3,
      (given: unknown, buffers: unknown, position: unknown) => {
        const fd = toFd(given)
        checkArrayOfViews(buffers)
        const start = typeof position === 'number' ? position : undefined
        return () => attempt('read', undefined, undefined, () => readVector(kernel, fd, buffers, start))
      },
      { results: secondArgument },
    ),
    write: op(
      2,
      5,
      (given: unknown, data: unknown, offset: unknown, length: unknown, position: unknown) => {
        const fd = toFd(given)
        const from = toWriteArguments(data, offset, length, position)
        return () =>
          attempt('write', undefined, undefined, () => files.write(kernel, fd, from.bytes, from.position))
      },
      { results: secondArgument },
    ),
    writev: op(
      2,
      3,
      (given: unknown, buffers: unknown, position: unknown) => {
        const fd = toFd(given)
        checkArrayOfViews(buffers)
        const start = typeof position === 'number' ? position : undefined
        return () => attempt('write', undefined, undefined, () => writeVector(kernel, fd, buffers, start))
      },
      { results: secondArgument },
    ),
  }
}

function readInto(kernel: Kernel, fd: number, to: ReadArguments): number {
  return attempt('read', undefined, undefined, () =>
    files.read(kernel, fd, to.bytes, to.offset, to.length, to.position),
  )
}

function readVector(
  kernel: Kernel,
  fd: number,
  buffers: readonly NodeJS.ArrayBufferView[],
  position: number | undefined,
): number {
  // An empty vector still asks whether the descriptor may be read.
  let total = 0
  for (const buffer of buffers.length === 0 ? [new Uint8Array(0)] : buffers) {
    const bytes = toBytes(buffer)
    const at = position === undefined ? undefined : position + total
    const count = files.read(kernel, fd, bytes, 0, bytes.byteLength, at)
    total += count
    if (count < bytes.byteLength) break
  }
  return total
}

function writeVector(
  kernel: Kernel,
  fd: number,
  buffers: readonly NodeJS.ArrayBufferView[],
  position: number | undefined,
): number {
  let total = 0
  for (const buffer of buffers.length === 0 ? [new Uint8Array(0)] : buffers) {
    const bytes = toBytes(buffer)
    const count = files.write(kernel, fd, bytes, position === undefined ? undefined : position + total)
    total += count
    if (count < bytes.byteLength) break
  }
  return total
}

const READ_SIZE = 16 * 1024

/** The forms `read(fd, callback)` and `read(fd, { buffer, … }, callback)`, which only the callback method has. */
export function withReadDefaults(read: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
  return (...args) => {
    const [fd, given, ...rest] = args
    if (typeof given === 'function') return read(fd, Buffer.alloc(READ_SIZE), given, ...rest)
    if (given !== null && typeof given === 'object' && !ArrayBuffer.isView(given)) {
      const { buffer = Buffer.alloc(READ_SIZE), ...options } = given as Record<string, unknown>
      return read(fd, buffer, options, ...rest)
    }
    return read(...args)
  }
}
