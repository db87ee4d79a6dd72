// ReadStream and WriteStream over a view, with the options and events of Node's.
import { Buffer, Readable, Writable } from '#unionfs-host'
import * as files from '../kernel/files.js'
import type { Kernel } from '../kernel/kernel.js'
import { checkInteger, shown, toFd, toFlags, toMode, toOptions, toPath } from './arguments.js'
import { attempt, invalidType, outOfRange, textOf } from './errno.js'

const CHUNK = 64 * 1024

/** What a FileHandle is to a stream: a descriptor, and a way to close it. */
export interface HandleLike {
  readonly fd: number
  close(): Promise<void>
}

type Done = (error?: Error | null) => void

interface Source {
  readonly path: string | undefined
  open(): number
  /** `undefined` when the descriptor is the kernel's to close. */
  readonly handle: HandleLike | undefined
  readonly fd: number | undefined
}

function isHandle(value: unknown): value is HandleLike {
  return value !== null && typeof value === 'object' && 'fd' in value && 'close' in value
}

function sourceOf(kernel: Kernel, path: unknown, options: Record<string, unknown>, flag: string): Source {
  const { fd } = options
  if (fd !== undefined && fd !== null) {
    const handle = isHandle(fd) ? fd : undefined
    const number = handle?.fd ?? toFd(fd)
    return { path: undefined, open: () => number, handle, fd: number }
  }
  const name = toPath(path)
  const flags = toFlags(options.flags ?? flag, 'options.flags')
  const mode = toMode(options.mode, 'options.mode', 0o666)
  return {
    path: textOf(shown(path))!,
    open: () => attempt('open', shown(path), undefined, () => files.open(kernel, name, flags, mode)),
    handle: undefined,
    fd: undefined,
  }
}

function checkStart(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined
  checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER)
  return value
}

function checkEnd(value: unknown): number {
  if (value === undefined || value === Infinity) return Infinity
  return checkStart(value, 'end')!
}

/** Gives a descriptor back; a handle closes itself. */
function closeSource(kernel: Kernel, source: Source, fd: number, done: Done, error: Error | null): void {
  if (source.handle !== undefined) {
    source.handle.close().then(() => done(error), done)
    return
  }
  try {
    attempt('close', undefined, undefined, () => kernel.close(fd))
    done(error)
  } catch (closeError) {
    done(error ?? (closeError as Error))
  }
}

/** The options of a stream that its base class takes. */
function baseOptions(options: Record<string, unknown>) {
  const { highWaterMark = CHUNK, emitClose = true, signal, autoClose = true } = options
  return {
    highWaterMark: highWaterMark as number,
    emitClose: emitClose as boolean,
    autoDestroy: autoClose as boolean,
    ...(signal === undefined ? {} : { signal: signal as AbortSignal }),
  }
}

export class ReadStream extends Readable {
  readonly path: string | undefined
  readonly flags: string
  readonly mode: number
  readonly start: number | undefined
  readonly end: number
  readonly autoClose: boolean
  fd: number | null
  bytesRead = 0
  pos: number | undefined
  readonly #kernel: Kernel
  readonly #source: Source

  constructor(kernel: Kernel, path: unknown, given?: unknown) {
    const options = toOptions(given)
    const start = checkStart(options.start, 'start')
    const end = checkEnd(options.end)
    if (start !== undefined && start > end) {
      throw outOfRange('start', `<= "end" (here: ${end})`, start)
    }
    const source = sourceOf(kernel, path, options, 'r')
    const { encoding } = options
    super({ ...baseOptions(options), ...(encoding ? { encoding: encoding as BufferEncoding } : {}) })
    this.#kernel = kernel
    this.#source = source
    this.path = source.path
    this.flags = String(options.flags ?? 'r')
    this.mode = toMode(options.mode, 'options.mode', 0o666)
    this.start = start
    this.end = end
    // A range without a start is read from the beginning by position.
    this.pos = start ?? (end === Infinity ? undefined : 0)
    this.autoClose = options.autoClose !== false
    this.fd = source.fd ?? null
  }

  override _construct(done: Done): void {
    if (this.fd !== null) {
      done()
      return
    }
    try {
      this.fd = this.#source.open()
    } catch (error) {
      done(error as Error)
      return
    }
    done()
    this.emit('open', this.fd)
    this.emit('ready')
  }

  override _read(size: number): void {
    const wanted = this.pos === undefined ? size : Math.min(this.end - this.pos + 1, size)
    if (wanted <= 0) {
      this.push(null)
      return
    }
    const chunk = Buffer.allocUnsafe(wanted)
    let count: number
    try {
      count = attempt('read', undefined, undefined, () =>
        files.read(this.#kernel, this.fd!, chunk, 0, wanted, this.pos),
      )
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    this.bytesRead += count
    if (this.pos !== undefined) this.pos += count
    this.push(count === 0 ? null : chunk.subarray(0, count))
  }

  override _destroy(error: Error | null, done: Done): void {
    const { fd } = this
    this.fd = null
    if (fd === null) done(error)
    else closeSource(this.#kernel, this.#source, fd, done, error)
  }

  get pending(): boolean {
    return this.fd === null
  }

  close(done?: (error?: Error | null) => void): void {
    closeStream(this, done)
  }
}

export class WriteStream extends Writable {
  readonly path: string | undefined
  readonly flags: string
  readonly mode: number
  readonly start: number | undefined
  readonly autoClose: boolean
  fd: number | null
  bytesWritten = 0
  pos: number | undefined
  readonly #kernel: Kernel
  readonly #source: Source

  constructor(kernel: Kernel, path: unknown, given?: unknown) {
    const options = toOptions(given)
    const start = checkStart(options.start, 'start')
    // A position in an existing file is of use only if the file is not emptied.
    const source = sourceOf(kernel, path, options, start === undefined || options.flags ? 'w' : 'r+')
    super({ ...baseOptions({ highWaterMark: 16 * 1024, ...options }), decodeStrings: true })
    if (options.encoding) this.setDefaultEncoding(options.encoding as BufferEncoding)
    this.#kernel = kernel
    this.#source = source
    this.path = source.path
    this.flags = String(options.flags ?? 'w')
    this.mode = toMode(options.mode, 'options.mode', 0o666)
    this.start = start
    this.pos = start
    this.autoClose = options.autoClose !== false
    this.fd = source.fd ?? null
  }

  override _construct(done: Done): void {
    if (this.fd !== null) {
      done()
      return
    }
    try {
      this.fd = this.#source.open()
    } catch (error) {
      done(error as Error)
      return
    }
    done()
    this.emit('open', this.fd)
    this.emit('ready')
  }

  override _write(chunk: unknown, _encoding: BufferEncoding, done: Done): void {
    if (!(chunk instanceof Uint8Array)) {
      done(invalidType('chunk', 'of type string or an instance of Buffer or Uint8Array', chunk))
      return
    }
    try {
      const count = attempt('write', undefined, undefined, () =>
        files.writeAll(this.#kernel, this.fd!, chunk, this.pos),
      )
      this.bytesWritten += count
      if (this.pos !== undefined) this.pos += count
    } catch (error) {
      done(error as Error)
      return
    }
    done()
  }

  override _destroy(error: Error | null, done: Done): void {
    const { fd } = this
    this.fd = null
    if (fd === null) done(error)
    else closeSource(this.#kernel, this.#source, fd, done, error)
  }

  get pending(): boolean {
    return this.fd === null
  }

  close(done?: (error?: Error | null) => void): void {
    if (done !== undefined) {
      if (this.closed) {
        done()
        return
      }
      this.on('close', done)
    }
    // What is buffered is written first.
    if (!this.autoClose) this.on('finish', this.destroy.bind(this))
    this.end()
  }

  destroySoon(): void {
    this.end()
  }
}

function closeStream(stream: Readable, done: ((error?: Error | null) => void) | undefined): void {
  if (done !== undefined) {
    if (stream.closed) {
      done()
      return
    }
    let failure: Error | null = null
    stream.once('error', (error: Error) => (failure = error))
    stream.once('close', () => done(failure))
  }
  stream.destroy()
}
