// The host's disk as a walk of a build context sees it: listings in byte order, stats, reads, and the errors that they end
// in. Effect; everything is synchronous, because promises cost three to seven times as much.
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readdirSync,
  readSync,
  type Stats,
} from 'node:fs'
import { BuildError } from '../errors.js'
import { compareNames, decodePath, encodePath, hasRawBytes } from '../path.js'
import type { StatColumns } from './stat-cache.js'

const NEEDS_CARE = /[\ud800-\uffff]/

/** Names in byte order. The C library sorts them by bytes already, which a check costs less than a sort to see. */
export function listNames(absolute: string, path: string): string[] {
  let names: string[]
  let isPlain: boolean
  try {
    names = readdirSync(hostPath(absolute))
    isPlain = !NEEDS_CARE.test(names.join('/'))
    if (!isPlain && names.some((name) => name.includes('\ufffd'))) {
      names = readdirSync(hostPath(absolute), { encoding: 'buffer' }).map(decodePath)
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw path !== '' && (code === 'ENOENT' || code === 'ENOTDIR') ? changed(path) : unreadable(path, error)
  }
  for (let i = 1; i < names.length; i++) {
    if (names[i - 1]! > names[i]!) return names.sort(compareNames)
  }
  return isPlain ? names : names.sort(compareNames)
}

export function hostPath(path: string): string | Buffer {
  return hasRawBytes(path) ? Buffer.from(encodePath(path)) : path
}

const QUIET = { throwIfNoEntry: false } as const

export function lstatOrFail(path: string | Buffer, name: string): Stats | undefined {
  try {
    return lstatSync(path, QUIET)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw unreadable(name, error)
  }
}

/** Opening a FIFO must not wait for its writer, and the process would wait as a whole. Not on Windows, which has no FIFOs. */
const toRead = (): number => constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)
const toReadItself = (): number => toRead() | (constants.O_NOFOLLOW ?? 0)

/** What open(2) says where another kind of file has taken the place: gone, a symlink (FreeBSD: EMLINK), a socket. */
const REPLACED = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EMLINK', 'ENXIO', 'EISDIR'])

/**
 * Opens a regular file of a listing. What has come in its place is neither followed nor waited for nor read.
 *
 * @param name  relative to the context, for the error
 * @returns the descriptor, which the caller closes
 * @throws BuildError CONTEXT_CHANGED when it is not the file that was listed, CONTEXT_UNREADABLE
 */
export function openListed(path: string | Buffer, name: string, columns: StatColumns, entry: number): number {
  let fd: number
  try {
    fd = openSync(path, toReadItself())
  } catch (error) {
    throw REPLACED.has((error as NodeJS.ErrnoException).code ?? '') ? changed(name) : unreadable(name, error)
  }
  const stat = fstatSync(fd)
  if (stat.isFile() && sameFile(stat, columns, entry)) return fd
  closeSync(fd)
  throw changed(name)
}

/** Where a listed symlink leads. @throws BuildError CONTEXT_CHANGED when there is none any more, CONTEXT_UNREADABLE */
export function readLinkOrFail(path: string | Buffer, name: string): string {
  try {
    return decodePath(readlinkSync(path, { encoding: 'buffer' }))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // readlink(2) says EINVAL of what is no symlink.
    throw code === 'EINVAL' || REPLACED.has(code ?? '') ? changed(name) : unreadable(name, error)
  }
}

/** Why a file that a build is told by could not be read; `kind` is what it is instead of a regular file. */
export type TextFileRefusal = { readonly kind: string } | { readonly tooLarge: true }

/**
 * Reads a whole file, symlinks followed, without waiting for anything but the disk.
 *
 * @param limit  in bytes
 * @returns `undefined` when there is none, or a directory
 * @throws what `node:fs` throws for a file that may not be read
 */
export function readTextFile(path: string, limit: number): Uint8Array | TextFileRefusal | undefined {
  let fd: number
  try {
    fd = openSync(path, toRead())
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
    if (code === 'ENXIO') return { kind: 'a socket or a device without a driver' }
    throw error
  }
  try {
    const stat = fstatSync(fd)
    if (stat.isDirectory()) return undefined
    if (!stat.isFile()) return { kind: stat.isFIFO() ? 'a FIFO' : 'a device' }
    return stat.size > limit ? { tooLarge: true } : readToEnd(fd, stat.size, limit)
  } finally {
    closeSync(fd)
  }
}

/** The size is a hint only: files of procfs say 0, and others may grow. */
function readToEnd(fd: number, size: number, limit: number): Uint8Array | TextFileRefusal {
  let bytes = new Uint8Array(size + 1)
  for (let length = 0; ;) {
    if (length > limit) return { tooLarge: true }
    if (length === bytes.length) {
      const larger = new Uint8Array(Math.min(limit + 1, Math.max(4096, length * 2)))
      larger.set(bytes)
      bytes = larger
    }
    const count = readSync(fd, bytes, length, bytes.length - length, length)
    if (count === 0) return bytes.subarray(0, length)
    length += count
  }
}

export function unreadable(path: string, cause: unknown): BuildError {
  return new BuildError('CONTEXT_UNREADABLE', `cannot read /${path} of the build context: ${String(cause)}`, {
    data: { path },
    cause,
  })
}

export function changed(path: string): BuildError {
  return new BuildError('CONTEXT_CHANGED', `/${path} of the build context changed while it was read`, {
    data: { path },
  })
}

/** Whether an open file is the one that was listed, unchanged. */
export function sameFile(stat: Stats, columns: StatColumns, entry: number): boolean {
  return (
    stat.size === columns.size[entry] &&
    stat.mtimeMs === columns.mtimeMs[entry] &&
    stat.ctimeMs === columns.ctimeMs[entry] &&
    stat.ino === columns.ino[entry]
  )
}

/** @returns `false` when the file ends before `length` bytes were read. */
export function readFully(fd: number, buffer: Uint8Array, at: number, length: number, position = 0): boolean {
  for (let done = 0; done < length;) {
    const count = readSync(fd, buffer, at + done, length - done, position + done)
    if (count === 0) return false
    done += count
  }
  return true
}

export function hashLarge(fd: number, head: Uint8Array, size: number): Uint8Array | undefined {
  const state = createHash('sha256').update(head)
  const buffer = new Uint8Array(Math.min(size, 1 << 20))
  for (let at = 0; at < size; at += buffer.length) {
    const length = Math.min(buffer.length, size - at)
    if (!readFully(fd, buffer, 0, length, at)) return undefined
    state.update(buffer.subarray(0, length))
  }
  return state.digest()
}

/** Linux's encoding of device numbers in st_rdev. @see makedev(3) */
export function deviceMajor(rdev: number): number {
  return ((rdev >>> 8) & 0xfff) | (Math.floor(rdev / 2 ** 32) & ~0xfff)
}

export function deviceMinor(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & ~0xff)
}
