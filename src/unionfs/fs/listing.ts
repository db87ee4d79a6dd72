// Operations on directories as lists: readdir in its forms, rmdir, rm.
import { Buffer } from '#unionfs-host'
import { encodePath } from '../../path.js'
import { fail } from '../kernel/fault.js'
import { isPermitted, MAY_READ } from '../kernel/identity.js'
import type { Kernel } from '../kernel/kernel.js'
import * as names from '../kernel/names.js'
import { childOf, namesIn, type AnyNode } from '../kernel/upper.js'
import {
  checkInteger,
  checkObject,
  encodeName,
  encodingOf,
  shown,
  toBoolean,
  toOptions,
  toPath,
  type Encoding,
} from './arguments.js'
import { attempt, fsError, systemError, textOf } from './errno.js'
import { op, type OpTable } from './op.js'
import { Dirent } from './stats.js'

/** Names of the entries of a directory, in byte order. @throws Fault */
export function listDirectory(kernel: Kernel, path: string): { node: AnyNode; names: readonly string[] } {
  const node = kernel.get(path, true)
  if (node.kind !== 'dir') fail('ENOTDIR')
  if (!isPermitted(kernel.identity, node, MAY_READ)) fail('EACCES')
  kernel.listObserver?.(kernel.walk(path, true).path)
  return { node, names: namesIn(node) }
}

/** Path of an entry, as Node's `path.join(parent, name)` writes it: `.` and `..` are resolved lexically. */
export function joined(parent: string, name: string): string {
  const isAbsolute = parent.startsWith('/')
  const out: string[] = []
  for (const part of `${parent}/${name}`.split('/')) {
    if (part === '' || part === '.') continue
    const canGoUp = out.length > 0 && out.at(-1) !== '..'
    if (part !== '..') out.push(part)
    else if (canGoUp) out.pop()
    else if (!isAbsolute) out.push(part)
  }
  return (isAbsolute ? '/' : '') + out.join('/')
}

function isPlainEncoding(encoding: Encoding): boolean {
  return encoding === undefined || encoding === 'utf8' || encoding === 'utf-8'
}

interface ListOptions {
  readonly encoding: Encoding
  readonly withFileTypes: boolean
  readonly recursive: boolean
}

export function readdir(kernel: Kernel, path: string, given: unknown, options: ListOptions): unknown[] {
  const scan = (name: string) =>
    attempt('scandir', name === path ? given : shownPath(name), undefined, () => listDirectory(kernel, name))
  if (!options.recursive) {
    const { node, names: found } = scan(path)
    if (options.withFileTypes) return direntsOf(node, found, textOf(given) ?? path, options.encoding)
    return namesFor(found, options.encoding)
  }
  const out: unknown[] = []
  // Breadth first, as Node goes. Like Node 20 it asks the entry's type of the listing, which shows a symlink as such, or
  // with bare names of stat, which follows it.
  const pending = [{ path, prefix: '' }]
  for (const next of pending) {
    const { node, names: found } = scan(next.path)
    if (options.withFileTypes) out.push(...direntsOf(node, found, shownPath(next.path), options.encoding))
    else
      for (const name of found) out.push(encodeName(encodePath, joined(next.prefix, name), options.encoding))
    for (const name of found) {
      const child = childOf(node, name)
      const below = joined(next.path, name)
      const target = child?.kind === 'symlink' && !options.withFileTypes ? kernel.find(below, true) : child
      if (target === undefined || typeof target === 'string' || target.kind !== 'dir') continue
      pending.push({ path: joined(next.path, name), prefix: joined(next.prefix, name) })
    }
  }
  return out
}

function namesFor(found: readonly string[], encoding: Encoding): (string | Buffer)[] {
  if (isPlainEncoding(encoding)) {
    const out = found.slice()
    for (let i = 0; i < out.length; i++) {
      if (!out[i]!.isWellFormed()) out[i] = encodeName(encodePath, out[i]!, undefined) as string
    }
    return out
  }
  return found.map((name) => encodeName(encodePath, name, encoding))
}

export function direntsOf(
  node: AnyNode,
  found: readonly string[],
  parent: string,
  encoding: Encoding,
): Dirent<string | Buffer>[] {
  const isPlain = isPlainEncoding(encoding)
  const out: Dirent<string | Buffer>[] = []
  for (const name of found) {
    const child = childOf(node, name)
    if (child === undefined) continue
    const shownName = isPlain && name.isWellFormed() ? name : encodeName(encodePath, name, encoding)
    out.push(new Dirent<string | Buffer>(shownName, parent, child.kind))
  }
  return out
}

/** A path of the kernel layer as an error shows it. */
export function shownPath(path: string): string {
  return path.isWellFormed() ? path : textOf(encodePath(path))!
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code
}

const NOT_EMPTY = new Set<unknown>(['ENOTEMPTY', 'EEXIST', 'EPERM'])

/**
 * Removes what is at a path with all below it. The order of attempts is that of Node's own (rimraf), because it decides
 * which error wins: a name is unlinked, or removed as a directory, and only then is looked into.
 */
function removeTree(kernel: Kernel, path: string): void {
  const found = kernel.find(path, false)
  if (found === 'ENOENT') return
  if (typeof found === 'string') throw fsError(found, 'lstat', shownPath(path))
  try {
    if (found.kind === 'dir') removeDirectory(kernel, path, undefined)
    else attempt('unlink', shownPath(path), undefined, () => names.unlink(kernel, path))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    if (codeOf(error) !== 'EPERM' && codeOf(error) !== 'EISDIR') throw error
    removeDirectory(kernel, path, error)
  }
}

function removeDirectory(kernel: Kernel, path: string, earlier: unknown): void {
  const remove = () => attempt('rmdir', shownPath(path), undefined, () => names.rmdir(kernel, path))
  try {
    remove()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    if (codeOf(error) === 'ENOTDIR') throw earlier ?? error
    if (!NOT_EMPTY.has(codeOf(error))) throw error
    const { names: found } = attempt('scandir', shownPath(path), undefined, () => listDirectory(kernel, path))
    for (const name of found.slice()) removeTree(kernel, `${path}/${name}`)
    remove()
  }
}

interface RmOptions {
  readonly recursive?: unknown
  readonly force?: unknown
  readonly retryDelay?: unknown
  readonly maxRetries?: unknown
}

function checkRmOptions(given: unknown): { recursive: boolean; force: boolean } {
  const options = (given ?? {}) as RmOptions
  checkObject(options, 'options')
  if (options.retryDelay !== undefined) checkInteger(options.retryDelay, 'options.retryDelay', 0, 2 ** 31 - 1)
  if (options.maxRetries !== undefined) checkInteger(options.maxRetries, 'options.maxRetries', 0, 2 ** 32 - 1)
  const force = options.force === undefined ? false : toBoolean(options.force, 'options.force')
  const recursive =
    options.recursive === undefined ? false : toBoolean(options.recursive, 'options.recursive')
  return { force, recursive }
}

function rm(
  kernel: Kernel,
  name: string,
  given: unknown,
  options: { recursive: boolean; force: boolean },
): void {
  const found = kernel.find(name, false)
  if (typeof found === 'string') {
    if (options.force && found === 'ENOENT') return
    throw fsError(found, 'lstat', textOf(given))
  }
  if (found.kind === 'dir' && !options.recursive) {
    const path = textOf(given)!
    throw systemError('ERR_FS_EISDIR', 'Path is a directory', {
      code: 'EISDIR',
      message: 'is a directory',
      path,
      syscall: 'rm',
      errno: 21,
    })
  }
  removeTree(kernel, name)
}

export function listingOps(kernel: Kernel): OpTable {
  return {
    readdir: op(1, 2, (path: unknown, given: unknown) => {
      const parsed = toOptions(given)
      const name = toPath(path)
      const recursive =
        parsed.recursive === undefined ? false : toBoolean(parsed.recursive, 'options.recursive')
      const options = {
        encoding: encodingOf(parsed),
        withFileTypes: Boolean(parsed.withFileTypes),
        recursive,
      }
      return () => readdir(kernel, name, shown(path), options)
    }),
    rmdir: op(1, 2, (path: unknown, given: unknown) => {
      const name = toPath(path)
      const options = (given ?? {}) as RmOptions
      const recursive =
        options.recursive === undefined ? false : toBoolean(options.recursive, 'options.recursive')
      return () => {
        if (recursive) {
          const found = kernel.find(name, false)
          // The deprecated form removes directories with their content, and only those.
          if (typeof found !== 'string' && found.kind === 'dir')
            return rm(kernel, name, shown(path), { recursive, force: false })
        }
        return attempt('rmdir', shown(path), undefined, () => names.rmdir(kernel, name))
      }
    }),
    rm: op(1, 2, (path: unknown, given: unknown) => {
      const name = toPath(path)
      const options = checkRmOptions(given)
      return () => rm(kernel, name, shown(path), options)
    }),
  }
}
