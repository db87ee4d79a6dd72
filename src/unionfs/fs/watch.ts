// fs.watch and fs.watchFile. Changes are told by the view itself as they happen, so nothing is polled; events arrive in a
// later turn of the event loop, as everywhere.
import { Buffer, EventEmitter, defer } from '#unionfs-host'
import { AbortError } from '../../errors.js'
import { encodePath } from '../../path.js'
import type { ChangeEvent, Kernel } from '../kernel/kernel.js'
import { checkFunction, checkInteger, encodingOf, encodeName, shown, toOptions, toPath } from './arguments.js'
import { attempt } from './errno.js'
import { statNode } from './paths.js'
import { Stats, type BigIntStats } from './stats.js'

export type WatchListener = (eventType: 'rename' | 'change', filename: string | Buffer) => void

/**
 * Watches one path: a directory's events are those of its entries (and below, when recursive), a file's are its own.
 * It does not keep the process alive, whatever `persistent` says: no other process can cause an event.
 */
export class FSWatcher extends EventEmitter {
  readonly #kernel: Kernel
  readonly #listener: (event: ChangeEvent) => void
  #isClosed = false

  constructor(kernel: Kernel, path: unknown, given: unknown) {
    super()
    const options = toOptions(given, { persistent: true, recursive: false })
    const name = toPath(path)
    const walk = attempt('watch', shown(path), undefined, () => kernel.walk(name, true))
    const base = walk.path === '/' ? '' : walk.path
    const isDirectory = walk.node.kind === 'dir'
    const encoding = encodingOf(options)
    this.#kernel = kernel
    this.#listener = (event) => {
      const filename = relevantName(event.path, base, isDirectory, options.recursive === true)
      if (filename === undefined) return
      defer(() => {
        if (!this.#isClosed) this.emit('change', event.kind, encodeName(encodePath, filename, encoding))
      })
    }
    kernel.changeListeners.add(this.#listener)
    const { signal } = options as { signal?: AbortSignal }
    if (signal?.aborted) this.close()
    else signal?.addEventListener('abort', () => this.close(), { once: true })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#kernel.changeListeners.delete(this.#listener)
    defer(() => this.emit('close'))
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

/** The name under which a watcher of `base` reports a change at `path`, or `undefined` if it does not concern it. */
function relevantName(
  path: string,
  base: string,
  isDirectory: boolean,
  isRecursive: boolean,
): string | undefined {
  if (path === base) return base.slice(base.lastIndexOf('/') + 1)
  if (!isDirectory || !path.startsWith(`${base}/`)) return undefined
  const below = path.slice(base.length + 1)
  return isRecursive || !below.includes('/') ? below : undefined
}

/** fs.promises.watch: the events as an async iterable, which ends by `return` or by the signal. */
export async function* watchEvents(
  kernel: Kernel,
  path: unknown,
  given: unknown,
): AsyncGenerator<{ eventType: string; filename: string | Buffer }> {
  const { signal } = toOptions(given) as { signal?: AbortSignal }
  if (signal?.aborted) throw new AbortError(signal.reason)
  const watcher = new FSWatcher(kernel, path, given)
  const queue: { eventType: string; filename: string | Buffer }[] = []
  let wake = (): void => undefined
  watcher.on('change', (eventType: string, filename: string | Buffer) => {
    queue.push({ eventType, filename })
    wake()
  })
  watcher.on('close', () => wake())
  try {
    for (;;) {
      const event = queue.shift()
      if (event !== undefined) yield event
      else if (signal?.aborted) throw new AbortError(signal.reason)
      else await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    watcher.close()
  }
}

type StatListener = (now: Stats | BigIntStats, before: Stats | BigIntStats) => void

const NOTHING = new Stats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

/** fs.watchFile's watcher of one path. */
export class StatWatcher extends EventEmitter {
  readonly #kernel: Kernel
  readonly #path: string
  readonly #isBigInt: boolean
  #before: Stats | BigIntStats
  #isDue = false

  constructor(kernel: Kernel, path: string, isBigInt: boolean) {
    super()
    this.#kernel = kernel
    this.#path = path
    this.#isBigInt = isBigInt
    this.#before = this.#look()
    kernel.changeListeners.add(this.#onChange)
    // What is not there is told once, at the start.
    if (this.#before === NOTHING) defer(() => this.emit('change', NOTHING, NOTHING))
  }

  #look(): Stats | BigIntStats {
    const found = this.#kernel.find(this.#path, true)
    if (typeof found === 'string') return NOTHING
    return statNode(found, this.#kernel.deviceAt(this.#path, true), this.#isBigInt)
  }

  readonly #onChange = (): void => {
    if (this.#isDue) return
    this.#isDue = true
    defer(() => {
      this.#isDue = false
      const [now, before] = [this.#look(), this.#before]
      if (isSame(now, before)) return
      this.#before = now
      this.emit('change', now, before)
    })
  }

  stop(): void {
    this.#kernel.changeListeners.delete(this.#onChange)
    this.removeAllListeners()
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

const COMPARED = ['ino', 'mode', 'nlink', 'uid', 'gid', 'size', 'mtimeMs', 'ctimeMs'] as const

function isSame(a: Stats | BigIntStats, b: Stats | BigIntStats): boolean {
  return COMPARED.every((field) => a[field] === b[field])
}

/** `watch`, `watchFile` and `unwatchFile` of one view. */
export function watchMethods(kernel: Kernel) {
  const watchers = new Map<string, StatWatcher>()
  return {
    watch(path: unknown, given?: unknown, listener?: unknown): FSWatcher {
      const [options, heard] = typeof given === 'function' ? [undefined, given] : [given, listener]
      const watcher = new FSWatcher(kernel, path, options)
      if (heard !== undefined) watcher.on('change', heard as WatchListener)
      return watcher
    },
    watchFile(path: unknown, given?: unknown, listener?: unknown): StatWatcher {
      const name = toPath(path, 'filename')
      const [options, heard] = typeof given === 'function' ? [{}, given] : [given ?? {}, listener]
      checkFunction(heard, 'listener')
      const { bigint = false, interval } = options as { bigint?: boolean; interval?: unknown }
      if (interval !== undefined) checkInteger(interval, 'interval', 0, 2 ** 32 - 1)
      const known = watchers.get(name)
      const watcher = known ?? new StatWatcher(kernel, name, bigint)
      watchers.set(name, watcher)
      watcher.on('change', heard as StatListener)
      return watcher
    },
    unwatchFile(path: unknown, listener?: unknown): void {
      const name = toPath(path, 'filename')
      const watcher = watchers.get(name)
      if (watcher === undefined) return
      if (typeof listener === 'function') watcher.removeListener('change', listener as StatListener)
      else watcher.removeAllListeners('change')
      if (watcher.listenerCount('change') > 0) return
      watcher.stop()
      watchers.delete(name)
    },
  }
}
