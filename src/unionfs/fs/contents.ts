// Operations on whole contents: readFile, writeFile, appendFile, truncate, copyFile, exists. A descriptor may stand for the
// path, as in Node.
import { Buffer } from '#unionfs-host'
import * as attributes from '../kernel/attributes.js'
import { fail } from '../kernel/fault.js'
import * as files from '../kernel/files.js'
import { isPermitted, MAY_READ } from '../kernel/identity.js'
import type { Kernel } from '../kernel/kernel.js'
import * as names from '../kernel/names.js'
import { UpperNode, type AnyNode } from '../kernel/upper.js'
import {
  checkInteger,
  encodingOf,
  shown,
  toContent,
  toFlags,
  toMode,
  toOptions,
  toPath,
  toFd,
  toSmallMode,
} from './arguments.js'
import { attempt, textOf, fsError } from './errno.js'
import { op, type OpTable, type Run } from './op.js'

/** Whether an argument stands for an open file. (-0 and 2^31 are none.) */
export function isFd(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31
}

/** A copy of bytes that may be shared, as Buffer or text. */
function deliver(bytes: Uint8Array, encoding: unknown): Buffer | string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (encoding && encoding !== 'buffer') return view.toString(encoding as BufferEncoding)
  const copy = Buffer.allocUnsafe(bytes.byteLength)
  copy.set(bytes)
  return copy
}

function readFile(kernel: Kernel, path: unknown, given: unknown): Run {
  const options = toOptions(given, { flag: 'r' })
  const encoding = encodingOf(options)
  if (isFd(path)) {
    const fd = path
    return () => {
      attempt('fstat', undefined, undefined, () => kernel.file(fd))
      return deliver(
        attempt('read', undefined, undefined, () => files.remaining(kernel, fd)),
        encoding,
      )
    }
  }
  const name = toPath(path)
  const flags = toFlags(options.flag)
  if (flags === files.O.RDONLY) return () => deliver(readPlain(kernel, name, path), encoding)
  return () => {
    const fd = attempt('open', shown(path), undefined, () => files.open(kernel, name, flags, 0o666))
    try {
      return deliver(
        attempt('read', undefined, undefined, () => files.remaining(kernel, fd)),
        encoding,
      )
    } finally {
      kernel.close(fd)
    }
  }
}

/** The content without opening: nothing is copied up. May share memory. */
function readPlain(kernel: Kernel, name: string, path: unknown): Uint8Array {
  const node = kernel.find(name, true)
  if (typeof node === 'string') throw fsError(node, 'open', textOf(shown(path)))
  if (!isPermitted(kernel.identity, node, MAY_READ)) throw fsError('EACCES', 'open', textOf(shown(path)))
  if (node.kind === 'dir') throw fsError('EISDIR', 'read')
  if (node.kind !== 'file') throw fsError('ENXIO', 'open', textOf(shown(path)))
  return attempt('read', undefined, undefined, () =>
    node instanceof UpperNode ? node.data!.bytes() : node.content(),
  )
}

function writeFile(kernel: Kernel, path: unknown, data: unknown, given: unknown, flag: 'w' | 'a'): Run {
  const options = toOptions(given, { encoding: 'utf8', mode: 0o666, flag })
  const flags = options.flag || flag
  if (isFd(path)) {
    const fd = path
    const bytes = toContent(data, options.encoding)
    return () => {
      if (bytes.byteLength === 0) return
      attempt('write', undefined, undefined, () => files.writeAll(kernel, fd, bytes))
    }
  }
  const bytes = toContent(data, options.encoding)
  const name = toPath(path)
  const bits = toFlags(flags)
  const mode = toMode(options.mode, 'mode', 0o666)
  return () => {
    const fd = attempt('open', shown(path), undefined, () => files.open(kernel, name, bits, mode))
    try {
      // Node asks for no write of nothing: the descriptor's access mode does not matter then.
      if (bytes.byteLength > 0) {
        attempt('write', undefined, undefined, () => files.writeAll(kernel, fd, bytes))
      }
    } finally {
      kernel.close(fd)
    }
  }
}

export const COPYFILE_EXCL = 1

/**
 * libuv's uv_fs_copyfile: the copy gets content and mode of the source; owner, times and xattrs are new. When something
 * goes wrong after the destination was opened, the destination is removed, even if it was there before.
 */
export function copyFile(kernel: Kernel, source: string, dest: string, flags: number): void {
  const from = kernel.get(source, true)
  if (!isPermitted(kernel.identity, from, MAY_READ)) fail('EACCES')
  if (from.kind !== 'file' && from.kind !== 'dir') fail('ENXIO')
  const excl = (flags & COPYFILE_EXCL) !== 0 ? files.O.EXCL : 0
  const fd = files.open(kernel, dest, files.O.WRONLY | files.O.CREAT | excl, from.mode)
  try {
    const { node } = kernel.file(fd)
    // Opening may have copied the source up, when it is another name of the destination.
    const original = from instanceof UpperNode ? from : kernel.get(source, true)
    if (original === node) return
    const bytes = from.kind === 'dir' ? undefined : contentOf(original)
    files.ftruncate(kernel, fd, 0)
    attributes.chmod(kernel, node, from.mode)
    if (bytes === undefined) fail('EISDIR')
    if (bytes.byteLength > 0) files.writeAll(kernel, fd, bytes)
  } catch (error) {
    try {
      names.unlink(kernel, dest)
    } catch {
      // The first error counts.
    }
    throw error
  } finally {
    kernel.close(fd)
  }
}

function contentOf(node: AnyNode): Uint8Array {
  return attempt('read', undefined, undefined, () =>
    node instanceof UpperNode ? node.data!.bytes() : node.content(),
  )
}

export function contentOps(kernel: Kernel): OpTable {
  return {
    readFile: op(1, 2, (path: unknown, options: unknown) => readFile(kernel, path, options)),
    writeFile: op(2, 3, (path: unknown, data: unknown, options: unknown) =>
      writeFile(kernel, path, data, options, 'w'),
    ),
    appendFile: op(2, 3, (path: unknown, data: unknown, options: unknown) =>
      writeFile(kernel, path, data, options, 'a'),
    ),
    truncate: op(1, 2, (path: unknown, length: unknown) => {
      const size = length ?? 0
      checkInteger(size, 'len', -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
      const bytes = Math.max(0, size)
      if (isFd(path)) {
        const fd = toFd(path)
        return () => attempt('ftruncate', undefined, undefined, () => files.ftruncate(kernel, fd, bytes))
      }
      const name = toPath(path)
      return () => {
        const fd = attempt('open', shown(path), undefined, () => files.open(kernel, name, files.O.RDWR, 0))
        try {
          attempt('ftruncate', undefined, undefined, () => files.ftruncate(kernel, fd, bytes))
        } finally {
          kernel.close(fd)
        }
      }
    }),
    copyFile: op(2, 3, (source: unknown, dest: unknown, mode: unknown) => {
      const from = toPath(source, 'src')
      const to = toPath(dest, 'dest')
      const flags = toSmallMode(mode)
      return () => attempt('copyfile', shown(source), shown(dest), () => copyFile(kernel, from, to, flags))
    }),
    exists: op(
      1,
      1,
      (path: unknown) => {
        let name: string | undefined
        try {
          name = toPath(path)
        } catch {
          // Node answers false for what is no path at all.
        }
        return () => name !== undefined && typeof kernel.find(name, true) !== 'string'
      },
      { results: (result) => [result] },
    ),
  }
}
