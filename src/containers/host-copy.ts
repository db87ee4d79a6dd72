// Copying between two file systems that both have node:fs's form: the host's and a container's. Effect.
import * as fs from 'node:fs'
import { basename, posix } from 'node:path'
import { ContainerError } from '../errors.js'

export type AnyFs = typeof fs

export const hostFs: AnyFs = fs

export interface Side {
  readonly fs: AnyFs
  readonly path: string
}

export interface CopyPathOptions {
  /** Given to all that is made; `undefined` keeps owners. */
  readonly owner: Owner | undefined
  readonly followLinks?: boolean | undefined
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** `undefined` where the system has no such ids: files are the caller's there in any case. */
export function ownIds(): Owner | undefined {
  const { getuid, getgid } = process
  return getuid === undefined || getgid === undefined ? undefined : { uid: getuid(), gid: getgid() }
}

/** @see docker docs, docker container cp. @throws ContainerError COPY_INVALID */
export function copyPath(from: Side, to: Side, options: CopyPathOptions): void {
  const source = sourceStat(from, options.followLinks === true)
  const there = to.fs.statSync(to.path, { throwIfNoEntry: false })
  const copy = new Copy(from.fs, to.fs, options.owner)
  if (source.isDirectory()) {
    if (there !== undefined && !there.isDirectory()) throw invalid(`${to.path} is not a directory`, from, to)
    const isContentOnly = /(^|\/)\.$/.test(from.path)
    const target = there === undefined || isContentOnly ? to.path : within(to.path, from.path)
    requireParent(to, target, from)
    copy.directory(from.path, target)
  } else {
    if (there === undefined && to.path.endsWith('/')) throw invalid(`${to.path} is not a directory`, from, to)
    const target = there?.isDirectory() === true ? within(to.path, from.path) : to.path
    requireParent(to, target, from)
    copy.entry(from.path, target, source)
  }
  if (copy.left.length > 0) {
    throw invalid(`devices, fifos and sockets are not copied: ${copy.left.join(', ')}`, from, to)
  }
}

function sourceStat(from: Side, follows: boolean): fs.Stats {
  // A trailing slash demands a directory, and follows a link to one.
  const call = follows || /\/\.?$/.test(from.path) ? from.fs.statSync : from.fs.lstatSync
  const stat = call(from.path, { throwIfNoEntry: false })
  if (stat !== undefined) return stat
  throw new ContainerError('COPY_INVALID', `${from.path} does not exist`, { data: { path: from.path } })
}

function within(folder: string, path: string): string {
  const name = basename(path)
  return name === '' ? folder : posix.join(folder, name)
}

function requireParent(to: Side, target: string, from: Side): void {
  const parent = posix.dirname(target)
  if (to.fs.statSync(parent, { throwIfNoEntry: false })?.isDirectory() === true) return
  throw invalid(`${parent} is not a directory`, from, to)
}

function invalid(why: string, from: Side, to: Side): ContainerError {
  return new ContainerError('COPY_INVALID', `cannot copy ${from.path} to ${to.path}: ${why}`, {
    data: { from: from.path, to: to.path },
  })
}

const CHUNK_BYTES = 1 << 20

class Copy {
  /** What no call of Node makes. */
  readonly left: string[] = []

  constructor(
    readonly from: AnyFs,
    readonly to: AnyFs,
    readonly owner: Owner | undefined,
  ) {}

  /** The directory with all that is in it; what is there already is kept, unless it is of the same name. */
  directory(source: string, target: string): void {
    // The top may be a link to a directory: that is what was named.
    const there = this.to.statSync(target, { throwIfNoEntry: false })
    if (there === undefined) this.to.mkdirSync(target, { mode: 0o700 })
    this.#entries(source, target)
    if (there === undefined) this.#setMeta(target, this.from.statSync(source))
  }

  entry(source: string, target: string, stat: fs.Stats): void {
    if (stat.isDirectory()) this.#subdirectory(source, target, stat)
    else if (stat.isSymbolicLink()) {
      this.#clear(target)
      this.to.symlinkSync(this.from.readlinkSync(source, { encoding: 'buffer' }), target)
      this.#setMeta(target, stat)
    } else if (stat.isFile()) {
      this.#clear(target)
      this.#content(source, target)
      this.#setMeta(target, stat)
    } else this.left.push(source)
  }

  #entries(source: string, target: string): void {
    for (const name of this.from.readdirSync(source)) {
      const path = posix.join(source, name)
      this.entry(path, posix.join(target, name), this.from.lstatSync(path))
    }
  }

  #subdirectory(source: string, target: string, stat: fs.Stats): void {
    const there = this.to.lstatSync(target, { throwIfNoEntry: false })
    // A link is not followed: it could lead anywhere.
    if (there !== undefined && !there.isDirectory()) {
      throw new ContainerError('COPY_INVALID', `cannot copy the directory ${source} over ${target}`, {
        data: { from: source, to: target },
      })
    }
    if (there === undefined) this.to.mkdirSync(target, { mode: 0o700 })
    this.#entries(source, target)
    this.#setMeta(target, stat)
  }

  #clear(target: string): void {
    const there = this.to.lstatSync(target, { throwIfNoEntry: false })
    if (there === undefined) return
    if (there.isDirectory()) {
      throw new ContainerError('COPY_INVALID', `cannot copy a file over the directory ${target}`, {
        data: { to: target },
      })
    }
    this.to.rmSync(target)
  }

  #content(source: string, target: string): void {
    const input = this.from.openSync(source, 'r')
    const output = this.to.openSync(target, 'wx', 0o600)
    try {
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
      for (;;) {
        const count = this.from.readSync(input, buffer, 0, buffer.length, null)
        if (count === 0) break
        for (let at = 0; at < count;) at += this.to.writeSync(output, buffer, at, count - at)
      }
    } finally {
      this.from.closeSync(input)
      this.to.closeSync(output)
    }
  }

  #setMeta(target: string, stat: fs.Stats): void {
    const { uid, gid } = this.owner ?? stat
    // On the host only root may give files away.
    if (this.to !== hostFs || process.getuid?.() === 0) this.to.lchownSync(target, uid, gid)
    if (stat.isSymbolicLink()) {
      this.to.lutimesSync(target, stat.atime, stat.mtime)
      return
    }
    this.to.chmodSync(target, stat.mode & 0o7777)
    this.to.utimesSync(target, stat.atime, stat.mtime)
  }
}
