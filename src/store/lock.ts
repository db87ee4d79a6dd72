// An exclusive lock between processes, in a folder. Node has no flock, so it is made of files whose appearance is atomic.
//
// Each holding has a number. The file `<n>` means "held, by whom it says"; its holder renames it to `<n>.free`. Whoever
// finds the highest number free, or its owner dead, makes `<n+1>` with link(2), which one process alone can. The highest
// file is never removed, so a process that was asleep and makes an old number sees a higher one and steps back: no race
// between two that find the same dead owner, which is where lock files that are deleted and made again go wrong.
import { errnoOf, type DiskFs } from './disk-fs.js'
import { createMutex } from './mutex.js'
import type { Owner } from './owner.js'

export interface LockOptions {
  readonly fs: DiskFs
  /** The lock's folder, made when it is first needed. */
  readonly folder: string
  /** Makes the folder of `tempPath`. */
  readonly prepare: () => Promise<void>
  /** Where the file is written before it is linked: in the same file system. */
  readonly tempPath: () => string
  readonly owner: () => Owner
  /** `undefined` when it cannot be known. */
  readonly isAlive: (owner: Owner) => boolean | undefined
  /** When the machine was started, in milliseconds since the epoch. */
  readonly bootMs: () => number
  readonly nowMs: () => number
}

/** An owner of whom nothing can be known counts as dead when its sign of life is older than this. */
const SILENCE_MS = 60_000
const HEARTBEAT_MS = 10_000
const WAIT_MIN_MS = 1
const WAIT_MAX_MS = 50

interface Held {
  readonly number: number
  readonly path: string
}

export interface Lock {
  /** Runs `fn` while no other process, and nothing else in this one, holds the lock. */
  run<T>(fn: () => Promise<T>): Promise<T>
  /** Takes the lock if it is free. @returns how to release it, or `undefined` when someone else has it */
  take(): Promise<(() => void) | undefined>
  /** Who holds the lock now; `undefined` when it is free, or its owner dead. Changes nothing. */
  holder(): Owner | undefined
}

export function createLock(options: LockOptions): Lock {
  const mutex = createMutex()
  const state: LockState = { ...options, given: new Set() }
  return {
    run: (fn) => mutex.run(() => runLocked(state, fn)),
    async take() {
      await options.prepare()
      const held = tryAcquire(state)
      return held && keep(state, held)
    },
    holder: () => holderOf(state),
  }
}

interface LockState extends LockOptions {
  /** Lock files that this process has given up but could not rename: free for it, and for all once it ends. */
  readonly given: Set<string>
}

async function runLocked<T>(options: LockState, fn: () => Promise<T>): Promise<T> {
  await options.prepare()
  const release = keep(options, await acquire(options))
  try {
    return await fn()
  } finally {
    release()
  }
}

/** Gives signs of life until it is released. */
function keep(options: LockState, held: Held): () => void {
  const heartbeat = setInterval(() => beat(options, held), HEARTBEAT_MS)
  heartbeat.unref()
  return () => {
    clearInterval(heartbeat)
    try {
      options.fs.rename(held.path, `${held.path}.free`)
    } catch {
      options.given.add(held.path)
    }
  }
}

function beat({ fs, nowMs }: LockOptions, held: Held): void {
  try {
    fs.touch(held.path, nowMs())
  } catch {
    // only matters to those who cannot see this process
  }
}

async function acquire(options: LockState): Promise<Held> {
  for (let wait = WAIT_MIN_MS; ; wait = Math.min(wait * 2, WAIT_MAX_MS)) {
    const held = tryAcquire(options)
    if (held !== undefined) return held
    await new Promise((resolve) => {
      setTimeout(resolve, wait * (0.5 + Math.random()))
    })
  }
}

/** One attempt. @returns `undefined` when someone else has it, or was faster */
function tryAcquire(options: LockState): Held | undefined {
  const { fs, folder } = options
  const top = highest(namesIn(fs, folder))
  if (top !== undefined && !top.free && !isAbandoned(options, `${folder}/${top.number}`)) return undefined
  const number = (top?.number ?? 0) + 1
  const path = `${folder}/${number}`
  if (!place(options, path)) return undefined
  const names = namesIn(fs, folder)
  const now = highest(names)
  if (now === undefined || now.number !== number || now.free) {
    fs.remove(path)
    return undefined
  }
  for (const name of names) if (Number.parseInt(name, 10) < number) removeQuietly(fs, `${folder}/${name}`)
  return { number, path }
}

function namesIn(fs: DiskFs, folder: string): string[] {
  const names = fs.readDir(folder)
  if (names !== undefined) return names
  fs.makeDir(folder)
  return []
}

/** Of one number as held and as free, which a process that was asleep can bring about, free came first. */
function highest(names: readonly string[]): { number: number; free: boolean } | undefined {
  let top: { number: number; free: boolean } | undefined
  for (const name of names) {
    const match = /^(\d+)(\.free)?$/.exec(name)
    if (match === null) continue
    const number = Number(match[1])
    const free = match[2] !== undefined
    if (top === undefined || number > top.number) top = { number, free }
    else if (number === top.number && free) top = { number, free }
  }
  return top
}

function holderOf(options: LockState): Owner | undefined {
  const top = highest(options.fs.readDir(options.folder) ?? [])
  if (top === undefined || top.free) return undefined
  const path = `${options.folder}/${top.number}`
  const bytes = options.fs.readFile(path)
  return bytes === undefined || isAbandoned(options, path) ? undefined : parseOwner(bytes)
}

/** Makes the lock file, whole. @returns false when it is there already */
function place(options: LockOptions, path: string): boolean {
  const { fs, owner } = options
  const temp = options.tempPath()
  const bytes = new TextEncoder().encode(JSON.stringify(owner()))
  const fd = fs.open(temp, 'create')
  try {
    fs.write(fd, bytes)
  } finally {
    fs.close(fd)
  }
  try {
    return fs.link(temp, path)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errnoOf(error) ?? '')) throw error
    return createWhole(fs, path, bytes)
  } finally {
    removeQuietly(fs, temp)
  }
}

/** What is left over does no harm; an error now would leave a lock behind that its holder knows nothing of. */
function removeQuietly(fs: DiskFs, path: string): void {
  try {
    fs.remove(path)
  } catch {
    // gc and later holders remove it
  }
}

/** For file systems without hard links: others may see the file before its text, and then go by its age. */
function createWhole(fs: DiskFs, path: string, bytes: Uint8Array): boolean {
  let fd: number
  try {
    fd = fs.open(path, 'create')
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
  try {
    fs.write(fd, bytes)
  } finally {
    fs.close(fd)
  }
  return true
}

function isAbandoned(options: LockState, path: string): boolean {
  if (options.given.has(path)) return true
  const stat = options.fs.stat(path)
  const bytes = options.fs.readFile(path)
  // It was released a moment ago: not abandoned, but the next attempt will find it free.
  if (stat === undefined || bytes === undefined) return false
  const owner = parseOwner(bytes)
  const alive = owner && options.isAlive(owner)
  if (alive !== undefined) return !alive
  // Lock files are not synced: a power cut may leave one without its text, and then it is older than this boot.
  if (owner === undefined && stat.mtimeMs < options.bootMs()) return true
  return options.nowMs() - stat.mtimeMs > SILENCE_MS
}

function parseOwner(bytes: Uint8Array): Owner | undefined {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes)) as Owner
    return typeof value.pid === 'number' && typeof value.boot === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
