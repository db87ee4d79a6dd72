// Operations on directories as lists: readdir in its forms, rmdir, rm.
import { Buffer } from '#unionfs-host'
import { encodePath } from '../../path.js'
import { fail, Fault } from '../kernel/fault.js'
import { isPermitted, MAY_READ } from '../kernel/identity.js'
import type { Kernel } from '../kernel/kernel.js'
import * as names from '../kernel/names.js'
import { childOf, namesIn, type AnyNode } from '../kernel/upper.js'
import {
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

/** Path of an entry, as Node's `path.join(parent, name)` writes it. */
export function joined(parent: string, name: string): string {
  if (parent === '' || parent === '.') return name
  return parent.endsWith('/') ? parent + name : `${parent}/${name}`
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
    attempt('scandir', name === path ? given : name, undefined, () => listDirectory(kernel, name))
  if (!options.recursive) {
    const { node, names: found } = scan(path)
    if (options.withFileTypes) return direntsOf(node, found, textOf(given) ?? path, options.encoding)
    return namesFor(found, options.encoding)
  }
  const out: unknown[] = []
  // Breadth first, as Node goes; directories behind symlinks are listed as links only.
  const pending = [{ path, prefix: '' }]
  for (const next of pending) {
    const { node, names: found } = scan(next.path)
    if (options.withFileTypes) out.push(...direntsOf(node, found, next.path, options.encoding))
    else
      for (const name of found) out.push(encodeName(encodePath, joined(next.prefix, name), options.encoding))
    for (const name of found) {
      if (childOf(node, name)?.kind !== 'dir') continue
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

/** Removes a directory's whole content and itself. */
export function removeTree(kernel: Kernel, path: string): void {
  const node = kernel.get(path, false)
  if (node.kind !== 'dir') {
    names.unlink(kernel, path)
    return
  }
  for (const name of namesIn(node).slice()) removeTree(kernel, `${path}/${name}`)
  names.rmdir(kernel, path.replace(/(?<=[^/])\/+$/, ''))
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
  try {
    removeTree(kernel, name)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    throw fsError(error.code, found.kind === 'dir' ? 'rmdir' : 'unlink', textOf(given))
  }
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
