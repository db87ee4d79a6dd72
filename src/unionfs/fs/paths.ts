// Operations on paths: stat and access, making and removing names, links, metadata.
import { encodePath } from '../../path.js'
import * as attributes from '../kernel/attributes.js'
import { fail, Fault, type ErrnoCode } from '../kernel/fault.js'
import type { Kernel } from '../kernel/kernel.js'
import * as names from '../kernel/names.js'
import { Walk } from '../kernel/resolve.js'
import type { AnyNode, UpperNode } from '../kernel/upper.js'
import {
  checkObject,
  encodeName,
  encodingOf,
  shown,
  toBoolean,
  toId,
  toMode,
  toOptions,
  toPath,
  toSmallMode,
  toTime,
} from './arguments.js'
import { attempt, codedError, fsError, textOf } from './errno.js'
import { shownPath } from './listing.js'
import { op, type OpTable } from './op.js'
import { bigIntStatsOf, statsOf, StatFs, type BigIntStats, type Stats } from './stats.js'

interface StatOptions {
  readonly bigint?: boolean
  readonly throwIfNoEntry?: boolean
}

export function statNode(node: AnyNode, dev: number, isBigInt: boolean): Stats | BigIntStats {
  return isBigInt ? bigIntStatsOf(node, dev) : statsOf(node, dev)
}

function stat(kernel: Kernel, syscall: 'stat' | 'lstat') {
  const follows = syscall === 'stat'
  return (path: unknown, options: StatOptions | undefined) => {
    const name = toPath(path)
    return () => {
      const found = kernel.find(name, follows)
      if (typeof found !== 'string') {
        return statNode(found, kernel.deviceAt(name, follows), options?.bigint === true)
      }
      if (options?.throwIfNoEntry === false && found === 'ENOENT') return undefined
      throw fsError(found, syscall, textOf(shown(path)))
    }
  }
}

/**
 * mkdir with all missing parents; the first directory made, as it stands in the path. The order of attempts is that of
 * Node's own (MKDirpSync), because it decides which error wins.
 */
export function makeParents(kernel: Kernel, name: string, mode: number): string | undefined {
  let first: string | undefined
  const pending = [name]
  while (pending.length > 0) {
    const path = pending.pop()!
    let code = faultOf(() => names.mkdir(kernel, path, mode))
    if (code === undefined) {
      first ??= path
      continue
    }
    if (code === 'EACCES' || code === 'ENOTDIR' || code === 'EPERM') fail(code)
    if (code === 'ENOENT') {
      const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')))
      if (parent !== path && path.includes('/')) {
        pending.push(path, parent)
        continue
      }
      if (pending.length > 0) continue
      code = 'EEXIST'
    }
    const there = kernel.find(path, true)
    if (typeof there === 'string') fail(there)
    if (there.kind !== 'dir') fail(code === 'EEXIST' && pending.length > 0 ? 'ENOTDIR' : 'EEXIST')
  }
  return first
}

function faultOf(body: () => void): ErrnoCode | undefined {
  try {
    body()
    return undefined
  } catch (error) {
    if (error instanceof Fault) return error.code
    throw error
  }
}

const TEMP_LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
const TEMP_TRIES = 100

/** A number that every character of a text has a part in. */
function toNumber(text: string): bigint {
  let number = 0n
  for (let i = 0; i < text.length; i++) number = number * 131n + BigInt(text.charCodeAt(i))
  return number
}

function mkdtemp(kernel: Kernel, prefix: string): string {
  for (let i = 0; ; i++) {
    const dice = toNumber(kernel.randomId()) + BigInt(i)
    let suffix = ''
    for (let rest = dice, n = 0; n < 6; n++, rest /= 62n) suffix += TEMP_LETTERS[Number(rest % 62n)]
    try {
      names.mkdir(kernel, prefix + suffix, 0o700)
      return prefix + suffix
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST' || i === TEMP_TRIES) throw error
    }
  }
}

export function pathOps(kernel: Kernel): OpTable {
  const change = (syscall: string, path: unknown, follows: boolean, body: (node: UpperNode) => void) => {
    const name = toPath(path)
    return () => attempt(syscall, shown(path), undefined, () => body(kernel.ownPath(name, follows)))
  }
  const setTimes = (syscall: string, follows: boolean) => (path: unknown, atime: unknown, mtime: unknown) => {
    const name = toPath(path)
    const [a, m] = [toTime(atime), toTime(mtime)]
    return () =>
      attempt(syscall, shown(path), undefined, () =>
        attributes.utimes(kernel, kernel.ownPath(name, follows), a, m),
      )
  }
  const setOwner = (syscall: string, follows: boolean) => (path: unknown, uid: unknown, gid: unknown) => {
    toPath(path)
    const [u, g] = [toId(uid, 'uid'), toId(gid, 'gid')]
    return change(syscall, path, follows, (node) => attributes.chown(kernel, node, u, g))
  }

  return {
    stat: op(1, 2, stat(kernel, 'stat')),
    lstat: op(1, 2, stat(kernel, 'lstat')),
    access: op(1, 2, (path: unknown, mode: unknown) => {
      const name = toPath(path)
      const want = toSmallMode(mode)
      return () => attempt('access', shown(path), undefined, () => attributes.access(kernel, name, want))
    }),
    statfs: op(1, 2, (path: unknown, options?: { bigint?: boolean }) => {
      const name = toPath(path)
      if (options !== undefined) checkObject(options, 'options')
      return () => {
        attempt('statfs', shown(path), undefined, () => kernel.get(name, true))
        return statFs(options?.bigint === true)
      }
    }),
    mkdir: op(1, 2, (path: unknown, options: unknown) => {
      let recursive: unknown = false
      let mode: unknown
      if (typeof options === 'number' || typeof options === 'string') mode = options
      else if (options) ({ recursive = false, mode } = options as { recursive?: unknown; mode?: unknown })
      const name = toPath(path)
      const bits = toMode(mode, 'mode', 0o777)
      const isRecursive = toBoolean(recursive, 'options.recursive')
      return () => {
        const first = attempt('mkdir', shown(path), undefined, () =>
          isRecursive ? makeParents(kernel, name, bits) : names.mkdir(kernel, name, bits),
        )
        return first === undefined ? undefined : encodeName(encodePath, first, undefined)
      }
    }),
    mkdtemp: op(1, 2, (prefix: unknown, options: unknown) => {
      const parsed = toOptions(options)
      const name = toPath(prefix, 'prefix')
      return () => {
        const made = attempt('mkdtemp', `${textOf(shown(prefix))}XXXXXX`, undefined, () =>
          mkdtemp(kernel, name),
        )
        return encodeName(encodePath, made, encodingOf(parsed))
      }
    }),
    symlink: op(2, 3, (target: unknown, path: unknown, type: unknown) => {
      if (type !== undefined && type !== null && !['dir', 'file', 'junction'].includes(type as string)) {
        throw codedError(
          'ERR_FS_INVALID_SYMLINK_TYPE',
          `Symlink type must be one of "dir", "file", or "junction". Received "${String(type)}"`,
        )
      }
      const to = toPath(target, 'target')
      const name = toPath(path)
      return () => attempt('symlink', shown(target), shown(path), () => names.symlink(kernel, to, name))
    }),
    link: op(2, 2, (existing: unknown, path: unknown) => {
      const from = toPath(existing, 'existingPath')
      const to = toPath(path, 'newPath')
      return () => attempt('link', shown(existing), shown(path), () => names.link(kernel, from, to))
    }),
    rename: op(2, 2, (oldPath: unknown, newPath: unknown) => {
      const from = toPath(oldPath, 'oldPath')
      const to = toPath(newPath, 'newPath')
      return () => attempt('rename', shown(oldPath), shown(newPath), () => names.rename(kernel, from, to))
    }),
    unlink: op(1, 1, (path: unknown) => {
      const name = toPath(path)
      return () => attempt('unlink', shown(path), undefined, () => names.unlink(kernel, name))
    }),
    readlink: op(1, 2, (path: unknown, options: unknown) => {
      const parsed = toOptions(options)
      // The name is Node 20's.
      const name = toPath(path, 'oldPath')
      return () => {
        const target = attempt('readlink', shown(path), undefined, () => attributes.readlink(kernel, name))
        return encodeName(encodePath, target, encodingOf(parsed))
      }
    }),
    realpath: op(1, 2, (path: unknown, options: unknown) => {
      const parsed = toOptions(options)
      const name = toPath(path)
      return () => encodeName(encodePath, realpath(kernel, name), encodingOf(parsed))
    }),
    realpathNative: op(1, 2, (path: unknown, options: unknown) => {
      const parsed = toOptions(options)
      const name = toPath(path)
      return () => {
        const walk = new Walk(kernel)
        const found = walk.walkByPieces(name)
        if (typeof found === 'string') throw fsError(found, 'realpath', textOf(shown(path)))
        return encodeName(encodePath, walk.path, encodingOf(parsed))
      }
    }),
    chmod: op(2, 2, (path: unknown, mode: unknown) => {
      toPath(path)
      const bits = toMode(mode, 'mode')
      return change('chmod', path, true, (node) => attributes.chmod(kernel, node, bits))
    }),
    chown: op(3, 3, setOwner('chown', true)),
    lchown: op(3, 3, setOwner('lchown', false)),
    utimes: op(3, 3, setTimes('utime', true)),
    lutimes: op(3, 3, setTimes('lutime', false)),
  }
}

/**
 * Node's own realpath, which walks by itself: `..` is taken lexically before links are followed, each link is looked at
 * with stat, and an error names the part of the path that failed.
 */
function realpath(kernel: Kernel, name: string): string {
  let path = lexical(name)
  let done = '/'
  const plain = new Set<string>()
  for (let at = 1; at < path.length;) {
    const slash = path.indexOf('/', at)
    const end = slash === -1 ? path.length : slash
    const base = done + path.slice(at, end)
    const previous = done
    done = slash === -1 ? base : `${base}/`
    at = slash === -1 ? end : end + 1
    if (plain.has(base)) continue
    const node = kernel.find(base, false)
    if (typeof node === 'string') throw fsError(node, 'lstat', shownPath(base))
    if (node.kind !== 'symlink') {
      plain.add(base)
      continue
    }
    const target = kernel.find(base, true)
    if (typeof target === 'string') throw fsError(target, 'stat', shownPath(base))
    path = lexical(`${node.target.startsWith('/') ? '' : previous}${node.target}/${path.slice(at)}`)
    done = '/'
    at = 1
  }
  return path
}

function lexical(path: string): string {
  const out: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') out.pop()
    else if (part !== '' && part !== '.') out.push(part)
  }
  return '/' + out.join('/')
}

/** Memory has no fixed capacity: what is free is what a 64-bit count of blocks can say. */
function statFs(isBigInt: boolean): StatFs | StatFs<bigint> {
  const TMPFS_MAGIC = 0x01021994
  const fields = [TMPFS_MAGIC, 4096, 2 ** 40, 2 ** 40, 2 ** 40, 2 ** 40, 2 ** 40] as const
  if (!isBigInt) return new StatFs(...fields)
  return new StatFs(...(fields.map(BigInt) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint]))
}
