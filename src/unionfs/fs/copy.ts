// fs.cp: recursive copy, with Node's options and errors.
import * as attributes from '../kernel/attributes.js'
import type { Kernel } from '../kernel/kernel.js'
import * as names from '../kernel/names.js'
import { childOf, type AnyNode } from '../kernel/upper.js'
import { checkFunction, checkInteger, checkObject, toBoolean, toPath } from './arguments.js'
import { copyFile, COPYFILE_EXCL } from './contents.js'
import { attempt, codedError, fsError, systemError } from './errno.js'
import { listDirectory } from './listing.js'
import { op, type OpTable } from './op.js'
import { makeParents } from './paths.js'

interface CpOptions {
  readonly dereference: boolean
  readonly errorOnExist: boolean
  readonly force: boolean
  readonly preserveTimestamps: boolean
  readonly recursive: boolean
  readonly verbatimSymlinks: boolean
  readonly mode: number
  readonly filter: ((source: string, dest: string) => unknown) | undefined
}

function checkCpOptions(given: unknown): CpOptions {
  const options = given ?? {}
  checkObject(options, 'options')
  const flag = (name: string, fallback: boolean) =>
    options[name] === undefined ? fallback : toBoolean(options[name], `options.${name}`)
  const { filter } = options
  const mode = options.mode ?? 0
  const checked = {
    dereference: flag('dereference', false),
    errorOnExist: flag('errorOnExist', false),
    force: flag('force', true),
    preserveTimestamps: flag('preserveTimestamps', false),
    recursive: flag('recursive', false),
    verbatimSymlinks: flag('verbatimSymlinks', false),
  }
  checkInteger(mode, 'mode', 0, 7)
  if (checked.dereference && checked.verbatimSymlinks) {
    throw Object.assign(
      new TypeError('Option "dereference" cannot be used in combination with option "verbatimSymlinks"'),
      { code: 'ERR_INCOMPATIBLE_OPTION_PAIR' },
    )
  }
  if (filter !== undefined) checkFunction(filter, 'options.filter')
  return { ...checked, mode, filter: filter as CpOptions['filter'] }
}

const CP_ERRORS = {
  DIR_TO_NON_DIR: ['ERR_FS_CP_DIR_TO_NON_DIR', 'Cannot overwrite non-directory with directory', 'EISDIR', 21],
  NON_DIR_TO_DIR: [
    'ERR_FS_CP_NON_DIR_TO_DIR',
    'Cannot overwrite directory with non-directory',
    'ENOTDIR',
    20,
  ],
  EINVAL: ['ERR_FS_CP_EINVAL', 'Invalid src or dest', 'EINVAL', 22],
  EISDIR: ['ERR_FS_EISDIR', 'Path is a directory', 'EISDIR', 22],
  EEXIST: ['ERR_FS_CP_EEXIST', 'Target already exists', 'EEXIST', 17],
  SYMLINK_TO_SUBDIRECTORY: [
    'ERR_FS_CP_SYMLINK_TO_SUBDIRECTORY',
    'Cannot overwrite symlink in subdirectory of self',
    'EINVAL',
    22,
  ],
  FIFO_PIPE: ['ERR_FS_CP_FIFO_PIPE', 'Cannot copy a FIFO pipe', 'EINVAL', 22],
  SOCKET: ['ERR_FS_CP_SOCKET', 'Cannot copy a socket file', 'EINVAL', 22],
  UNKNOWN: ['ERR_FS_CP_UNKNOWN', 'Cannot copy an unknown file type', 'EINVAL', 22],
} as const

function cpError(kind: keyof typeof CP_ERRORS, message: string, path: string): Error {
  const [code, text, errnoCode, errno] = CP_ERRORS[kind]
  return systemError(code, text, { message, path, syscall: 'cp', errno, code: errnoCode })
}

type Copying = Generator<unknown, void, unknown>

class Copier {
  readonly #kernel: Kernel
  readonly #options: CpOptions

  constructor(kernel: Kernel, options: CpOptions) {
    this.#kernel = kernel
    this.#options = options
  }

  /** Copies. Yields what the filter answered, and wants to be given what that means: only the caller knows to wait. */
  *copy(source: string, dest: string): Copying {
    if (!(yield* this.#isSelected(source, dest))) return
    const from = this.#node(source, 'lstat')
    const to = this.#nodeOrNone(dest)
    this.#checkPair(from, to, source, dest)
    this.#checkAncestors(from, source, dest)
    this.#makeParent(dest)
    yield* this.#copyNode(from, to, source, dest)
  }

  *#isSelected(source: string, dest: string): Generator<unknown, boolean, unknown> {
    const { filter } = this.#options
    return filter === undefined || Boolean(yield filter(source, dest))
  }

  #node(path: string, syscall: string): AnyNode {
    const found = this.#kernel.find(path, this.#options.dereference)
    if (typeof found === 'string') throw fsError(found, this.#options.dereference ? 'stat' : syscall, path)
    return found
  }

  #nodeOrNone(path: string): AnyNode | undefined {
    const found = this.#kernel.find(path, this.#options.dereference)
    if (found === 'ENOENT') return undefined
    if (typeof found === 'string') throw fsError(found, this.#options.dereference ? 'stat' : 'lstat', path)
    return found
  }

  #checkPair(from: AnyNode, to: AnyNode | undefined, source: string, dest: string): void {
    const isDirectory = from.kind === 'dir'
    if (to !== undefined) {
      if (to === from) throw cpError('EINVAL', 'src and dest cannot be the same', dest)
      if (isDirectory && to.kind !== 'dir') {
        throw cpError(
          'DIR_TO_NON_DIR',
          `cannot overwrite non-directory ${dest} with directory ${source}`,
          dest,
        )
      }
      if (!isDirectory && to.kind === 'dir') {
        throw cpError(
          'NON_DIR_TO_DIR',
          `cannot overwrite directory ${dest} with non-directory ${source}`,
          dest,
        )
      }
    }
    if (!isDirectory) return
    if (!this.#options.recursive) throw cpError('EISDIR', `${source} is a directory (not copied)`, source)
    if (isBelow(absolute(source), absolute(dest))) {
      throw cpError('EINVAL', `cannot copy ${source} to a subdirectory of self ${dest}`, dest)
    }
  }

  /** A destination that lies below the source by way of links (checkParentPaths in Node). */
  #checkAncestors(from: AnyNode, source: string, dest: string): void {
    const sourceParent = parentOf(source)
    for (let parent = parentOf(dest); parent !== sourceParent && parent !== '/'; parent = parentOf(parent)) {
      const found = this.#kernel.find(parent, true)
      if (found === 'ENOENT') return
      if (typeof found === 'string') throw fsError(found, 'stat', parent)
      if (found === from) {
        throw cpError('EINVAL', `cannot copy ${source} to a subdirectory of self ${dest}`, dest)
      }
    }
  }

  #makeParent(dest: string): void {
    const parent = directoryName(dest)
    if (typeof this.#kernel.find(parent, true) !== 'string') return
    attempt('mkdir', parent, undefined, () => makeParents(this.#kernel, parent, 0o777))
  }

  *#copyNode(from: AnyNode, to: AnyNode | undefined, source: string, dest: string): Copying {
    switch (from.kind) {
      case 'dir':
        yield* this.#copyDirectory(from, to, source, dest)
        return
      case 'file':
      case 'chardev':
      case 'blockdev':
        this.#copyFile(to, source, dest)
        return
      case 'symlink':
        this.#copyLink(from, to, source, dest)
        return
      case 'fifo':
        throw cpError('FIFO_PIPE', `cannot copy a FIFO pipe: ${dest}`, dest)
      case 'socket':
        throw cpError('SOCKET', `cannot copy a socket file: ${dest}`, dest)
    }
  }

  #copyFile(to: AnyNode | undefined, source: string, dest: string): void {
    const { errorOnExist, force, mode, preserveTimestamps } = this.#options
    if (to !== undefined) {
      if (!force) {
        if (errorOnExist) throw cpError('EEXIST', `${dest} already exists`, dest)
        return
      }
      attempt('unlink', dest, undefined, () => names.unlink(this.#kernel, dest))
    }
    const flags = to === undefined ? mode : mode & ~COPYFILE_EXCL
    attempt('copyfile', source, dest, () => copyFile(this.#kernel, source, dest, flags))
    if (preserveTimestamps) this.#copyTimes(source, dest)
  }

  #copyTimes(source: string, dest: string): void {
    attempt('utime', dest, undefined, () => {
      const from = this.#kernel.get(source, true)
      const atime = 'atimeSec' in from ? { sec: from.atimeSec, nsec: from.atimeNsec } : undefined
      const mtime = { sec: from.mtimeSec, nsec: from.mtimeNsec }
      attributes.utimes(this.#kernel, this.#kernel.ownPath(dest, true), atime ?? mtime, mtime)
    })
  }

  *#copyDirectory(from: AnyNode, to: AnyNode | undefined, source: string, dest: string): Copying {
    if (to === undefined) attempt('mkdir', dest, undefined, () => names.mkdir(this.#kernel, dest, 0o777))
    const found = attempt('opendir', source, undefined, () => listDirectory(this.#kernel, source))
    for (const name of found.names.slice()) {
      // An entry may have gone, or be the copy itself.
      if (childOf(from, name) !== undefined) yield* this.#copyEntry(join(source, name), join(dest, name))
    }
    if (to === undefined) {
      attempt('chmod', dest, undefined, () =>
        attributes.chmod(this.#kernel, this.#kernel.ownPath(dest, true), from.mode),
      )
    }
  }

  *#copyEntry(source: string, dest: string): Copying {
    if (!(yield* this.#isSelected(source, dest))) return
    const from = this.#node(source, 'lstat')
    const to = this.#nodeOrNone(dest)
    this.#checkPair(from, to, source, dest)
    yield* this.#copyNode(from, to, source, dest)
  }

  #copyLink(from: AnyNode, to: AnyNode | undefined, source: string, dest: string): void {
    const { verbatimSymlinks } = this.#options
    const isRelative = !from.target.startsWith('/')
    const target =
      !verbatimSymlinks && isRelative ? absolute(`${parentOf(source)}/${from.target}`) : from.target
    if (to === undefined) {
      attempt('symlink', target, dest, () => names.symlink(this.#kernel, target, dest))
      return
    }
    if (to.kind !== 'symlink') {
      attempt('symlink', target, dest, () => names.symlink(this.#kernel, target, dest))
      return
    }
    const there = absolute(to.target.startsWith('/') ? to.target : `${parentOf(dest)}/${to.target}`)
    const linked = this.#kernel.find(source, true)
    if (typeof linked !== 'string' && linked.kind === 'dir' && isBelow(absolute(target), there)) {
      throw cpError('EINVAL', `cannot copy ${target} to a subdirectory of self ${there}`, dest)
    }
    // Node looks at what the old link leads to, and fails where that is nothing.
    const replaced = this.#kernel.find(dest, true)
    if (typeof replaced === 'string') throw fsError(replaced, 'stat', dest)
    if (replaced.kind === 'dir' && isBelow(there, absolute(target))) {
      throw cpError('SYMLINK_TO_SUBDIRECTORY', `cannot overwrite ${there} with ${target}`, dest)
    }
    attempt('unlink', dest, undefined, () => names.unlink(this.#kernel, dest))
    attempt('symlink', target, dest, () => names.symlink(this.#kernel, target, dest))
  }
}

/** Runs a copy whose filter answers at once. */
function copySync(copying: Copying): void {
  for (let step = copying.next(); step.done !== true; step = copying.next(step.value)) {
    if (step.value instanceof Promise) {
      throw codedError(
        'ERR_INVALID_RETURN_VALUE',
        'Expected boolean to be returned from the "filter" function but got an instance of Promise.',
        TypeError,
      )
    }
  }
}

/** Runs a copy whose filter may answer later. */
async function copyAsync(copying: Copying): Promise<void> {
  for (let step = copying.next(); step.done !== true; step = copying.next(await step.value));
}

function absolute(path: string): string {
  const out: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') out.pop()
    else if (part !== '' && part !== '.') out.push(part)
  }
  return '/' + out.join('/')
}

function parentOf(path: string): string {
  return absolute(`${path}/..`)
}

/** dirname as node:path has it: `..` stays where it is. */
function directoryName(path: string): string {
  const trimmed = path.replace(/(?<=.)\/+$/, '')
  const at = trimmed.lastIndexOf('/')
  if (at === -1) return '.'
  return trimmed.slice(0, at).replace(/\/+$/, '') || '/'
}

/** join as node:path has it: by the text alone, so that `..` takes a symlink's name away and not what it leads to. */
function join(parent: string, name: string): string {
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(parent.slice(1))) return `${parent}/${name}`
  const isAbsolute = parent.startsWith('/')
  const out: string[] = []
  for (const part of parent.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') out.push(part)
    else if (out.length > 0 && out.at(-1) !== '..') out.pop()
    else if (!isAbsolute) out.push(part)
  }
  return (isAbsolute ? '/' : '') + [...out, name].join('/')
}

/** Whether `path` lies in `parent`, or is it; both absolute. */
function isBelow(parent: string, path: string): boolean {
  return parent === '/' || path === parent || path.startsWith(`${parent}/`)
}

export function copyOps(kernel: Kernel): OpTable {
  const prepare = (source: unknown, dest: unknown, given: unknown): (() => Copying) => {
    const options = checkCpOptions(given)
    const from = toPath(source, 'src')
    const to = toPath(dest, 'dest')
    return () => new Copier(kernel, options).copy(from, to)
  }
  return {
    cp: op(
      2,
      3,
      (source: unknown, dest: unknown, given: unknown) => {
        const start = prepare(source, dest, given)
        return () => copySync(start())
      },
      {
        prepareAsync: (source: unknown, dest: unknown, given: unknown) => {
          const start = prepare(source, dest, given)
          // Without a filter there is nothing to wait for: the effect is at the call, as with all others.
          const hasFilter = (given as { filter?: unknown } | undefined)?.filter !== undefined
          return () => (hasFilter ? copyAsync(start()) : copySync(start()))
        },
      },
    ),
  }
}
