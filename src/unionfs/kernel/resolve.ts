// Path walk as Linux does it (fs/namei.c): component by component, symlinks where they stand, `..` by the real parent and
// clamped at the root, search permission on every directory. Looks only; nothing is copied up.
import { encodePath } from '../../path.js'
import type { ErrnoCode } from './fault.js'
import { isPermitted, MAY_EXEC, type Identity } from './identity.js'
import { crossMounts } from './mounts.js'
import { UpperNode, childOf, type AnyNode } from './upper.js'

/** Limits of Linux: bytes of a path with its final NUL, bytes of a name, links in one walk. */
export const PATH_MAX = 4096
export const NAME_MAX = 255
const SYMLINKS_MAX = 40

/** Longest name in UTF-16 units that cannot exceed NAME_MAX bytes, whatever its characters. */
const NAME_SAFE = Math.floor(NAME_MAX / 3)
const PATH_SAFE = Math.floor(PATH_MAX / 3)

export type LastKind = 'name' | 'dot' | 'dotdot' | 'root'

/** Told what a walk met: `found`, or looked for in vain. Directories are given by their path from the root. */
export type LookupObserver = (path: string, node: AnyNode | undefined) => void

export interface WalkContext {
  readonly root: UpperNode
  readonly identity: Identity
  readonly observer: LookupObserver | undefined
}

export function isTooLong(path: string): boolean {
  return path.length > PATH_SAFE && encodePath(path).byteLength >= PATH_MAX
}

function isNameTooLong(name: string): boolean {
  return name.length > NAME_SAFE && encodePath(name).byteLength > NAME_MAX
}

/**
 * One walk, or the result of one. `nodes[i + 1]` is the entry `names[i]` of `nodes[i]`: a path from the root without
 * symlinks, `.` and `..`. After `walk` it is the way to the found node; after `walkToParent` the way to the parent.
 */
export class Walk {
  readonly names: string[] = []
  readonly nodes: AnyNode[] = []
  /** The last component after `walkToParent`. */
  last = ''
  lastKind: LastKind = 'root'
  /** Whether a slash follows the last component. */
  hasTrailingSlash = false
  #linkCount = 0
  readonly #context: WalkContext

  constructor(context: WalkContext) {
    this.#context = context
  }

  get node(): AnyNode {
    return this.nodes[this.nodes.length - 1]!
  }

  /** Path of the node that was reached, `/a/b`. */
  get path(): string {
    return '/' + this.names.join('/')
  }

  /** The node at `path`, or an error code. */
  walk(path: string, followsLast: boolean): AnyNode | ErrnoCode {
    const problem = this.#run(path, followsLast, false)
    return problem ?? this.node
  }

  /** As `walk`, for a path of any length: realpath(3) hands it to the kernel piece by piece. */
  walkByPieces(path: string): AnyNode | ErrnoCode {
    if (path === '') return 'ENOENT'
    this.#linkCount = 0
    this.#restart()
    return this.#components(path, true, false) ?? this.node
  }

  /** Walks to the directory that has the last component, which is not looked up. */
  walkToParent(path: string): ErrnoCode | undefined {
    return this.#run(path, false, true)
  }

  /** Goes on from where `walkToParent` stopped at a symlink: along its target, again to the parent. */
  walkLinkToParent(link: AnyNode): ErrnoCode | undefined {
    if (++this.#linkCount > SYMLINKS_MAX) return 'ELOOP'
    return this.#components(link.target, false, true)
  }

  /** The entry `last` of the reached directory. */
  child(): AnyNode | undefined | 'ENAMETOOLONG' {
    return this.#lookup(this.node, this.last)
  }

  #run(path: string, followsLast: boolean, stopsAtParent: boolean): ErrnoCode | undefined {
    if (path === '') return 'ENOENT'
    if (isTooLong(path)) return 'ENAMETOOLONG'
    this.#linkCount = 0
    // A view's working directory is its root.
    this.#restart()
    return this.#components(path, followsLast, stopsAtParent)
  }

  #restart(): void {
    this.names.length = 0
    this.nodes.length = 0
    this.nodes.push(crossMounts(this.#context.root))
  }

  #components(start: string, followsLast: boolean, stopsAtParent: boolean): ErrnoCode | undefined {
    let path = start
    if (path === '') return 'ENOENT'
    let at = 0
    if (path.charCodeAt(0) === SLASH) this.#restart()
    this.lastKind = 'root'
    for (;;) {
      while (path.charCodeAt(at) === SLASH) at++
      if (at === path.length) break
      let end = path.indexOf('/', at)
      if (end === -1) end = path.length
      const name = path.slice(at, end)
      at = end
      while (path.charCodeAt(at) === SLASH) at++
      const isLast = at === path.length
      const hasSlash = at > end
      const dir = this.node
      if (dir.kind !== 'dir') return 'ENOTDIR'
      if (!isPermitted(this.#context.identity, dir, MAY_EXEC)) return 'EACCES'
      if (isLast && stopsAtParent) {
        this.last = name
        this.lastKind = name === '.' ? 'dot' : name === '..' ? 'dotdot' : 'name'
        this.hasTrailingSlash = hasSlash
        return undefined
      }
      if (name === '.') {
        // Stays where it is.
      } else if (name === '..') {
        if (this.names.length > 0) {
          this.names.pop()
          this.nodes.pop()
        }
      } else {
        const child = this.#lookup(dir, name)
        if (child === undefined) return 'ENOENT'
        if (child === 'ENAMETOOLONG') return child
        if (child.kind === 'symlink' && (!isLast || followsLast || hasSlash)) {
          if (++this.#linkCount > SYMLINKS_MAX) return 'ELOOP'
          if (child.target === '') return 'ENOENT'
          path = isLast ? child.target + (hasSlash ? '/' : '') : `${child.target}/${path.slice(at)}`
          at = 0
          if (path.charCodeAt(0) === SLASH) this.#restart()
          continue
        }
        this.names.push(name)
        this.nodes.push(child)
      }
      if (isLast) {
        if (hasSlash && this.node.kind !== 'dir') return 'ENOTDIR'
        return undefined
      }
    }
    return undefined
  }

  #lookup(dir: AnyNode, name: string): AnyNode | undefined | 'ENAMETOOLONG' {
    if (isNameTooLong(name)) return 'ENAMETOOLONG'
    const node = crossMounts(childOf(dir, name))
    const { observer } = this.#context
    if (observer !== undefined) observer(this.names.length === 0 ? `/${name}` : `${this.path}/${name}`, node)
    return node
  }
}

const SLASH = 47
const DOT = 46

/** Whether a component that was not found is simply not there: no `.` or `..`, and surely not too long. */
function isCertainlyAName(name: string): boolean {
  return name.charCodeAt(0) !== DOT && name.length <= NAME_SAFE
}

/**
 * The node at `path` where the walk is plain: absolute or not, no symlink, no `..`, root's permissions, nobody watching.
 * `undefined` means only that the careful walk has to be asked.
 */
export function walkPlain(root: UpperNode, path: string): AnyNode | 'ENOENT' | undefined {
  if (path.length > PATH_SAFE) return undefined
  let node: AnyNode | undefined = root.mounted === undefined ? root : crossMounts(root)
  let at = 0
  const { length } = path
  while (at < length) {
    if (path.charCodeAt(at) === SLASH) {
      at++
      continue
    }
    let end = path.indexOf('/', at)
    if (end === -1) end = length
    const name = at === 0 && end === length ? path : path.slice(at, end)
    // `.` and `..` are no entries, so they are not found here.
    const child: AnyNode | undefined =
      node instanceof UpperNode ? node.dir?.find(name) : node.children?.get(name)
    if (child === undefined) return isCertainlyAName(name) ? 'ENOENT' : undefined
    if (child.kind === 'symlink') return undefined
    node = child instanceof UpperNode && child.mounted !== undefined ? crossMounts(child) : child
    at = end + 1
    if (end < length && node.kind !== 'dir') return undefined
  }
  return length === 0 ? undefined : node
}
