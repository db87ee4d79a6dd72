// FileHandle: what fs.promises.open gives.
import { Buffer, EventEmitter, readLines } from '#unionfs-host'
import type { Kernel } from '../kernel/kernel.js'
import { toContent, toOptions } from './arguments.js'
import { codedError } from './errno.js'
import type { OpTable } from './op.js'
import { ReadStream, WriteStream } from './streams.js'
import { toPromise } from './triad.js'

const READ_SIZE = 16 * 1024

type Call = (...args: unknown[]) => Promise<unknown>
type Calls = Readonly<Record<string, Call>>

/** The promise forms of the operations that a handle needs, made once a view. */
export function handleCalls(ops: OpTable): Calls {
  const names = [
    'appendFile',
    'close',
    'fchmod',
    'fchown',
    'fdatasync',
    'fstat',
    'fsync',
    'ftruncate',
    'futimes',
    'read',
    'readFile',
    'readv',
    'write',
    'writeFile',
    'writev',
  ]
  return Object.fromEntries(names.map((name) => [name, toPromise(ops[name]!)]))
}

export class FileHandle extends EventEmitter {
  #fd: number
  readonly #kernel: Kernel
  readonly #calls: Calls
  #closing: Promise<void> | undefined

  constructor(kernel: Kernel, calls: Calls, fd: number) {
    super()
    this.#kernel = kernel
    this.#calls = calls
    this.#fd = fd
  }

  /** -1 once the handle is closed. */
  get fd(): number {
    return this.#fd
  }

  async #call(name: string, ...args: unknown[]): Promise<unknown> {
    if (this.#fd === -1) {
      throw Object.assign(codedError('EBADF', 'file closed'), { syscall: name.replace(/^f(?!s)/, '') })
    }
    return this.#calls[name]!(this.#fd, ...args)
  }

  appendFile(data: unknown, options?: unknown): Promise<void> {
    return this.writeFile(data, options)
  }

  async chmod(mode: unknown): Promise<void> {
    await this.#call('fchmod', mode)
  }

  async chown(uid: unknown, gid: unknown): Promise<void> {
    await this.#call('fchown', uid, gid)
  }

  async datasync(): Promise<void> {
    await this.#call('fdatasync')
  }

  async sync(): Promise<void> {
    await this.#call('fsync')
  }

  async stat(options?: unknown): Promise<unknown> {
    return this.#call('fstat', options)
  }

  async truncate(length = 0): Promise<void> {
    await this.#call('ftruncate', length)
  }

  async utimes(atime: unknown, mtime: unknown): Promise<void> {
    await this.#call('futimes', atime, mtime)
  }

  /** `read(buffer, offset, length, position)`, `read(buffer, options)`, `read(options)` or `read()`. */
  async read(first?: unknown, ...rest: unknown[]): Promise<{ bytesRead: number; buffer: unknown }> {
    let [buffer, args] = [first, rest]
    if (!ArrayBuffer.isView(buffer)) {
      const options = (buffer ?? {}) as Record<string, unknown>
      buffer = options.buffer ?? Buffer.alloc(READ_SIZE)
      args = [{ offset: options.offset, length: options.length, position: options.position }]
    }
    const bytesRead = (await this.#call('read', buffer, ...args)) as number
    return { bytesRead, buffer }
  }

  async readv(buffers: unknown, position?: unknown): Promise<{ bytesRead: number; buffers: unknown }> {
    return { bytesRead: (await this.#call('readv', buffers, position)) as number, buffers }
  }

  async readFile(options?: unknown): Promise<unknown> {
    return this.#call('readFile', options)
  }

  async write(data: unknown, ...args: unknown[]): Promise<{ bytesWritten: number; buffer: unknown }> {
    return { bytesWritten: (await this.#call('write', data, ...args)) as number, buffer: data }
  }

  async writev(buffers: unknown, position?: unknown): Promise<{ bytesWritten: number; buffers: unknown }> {
    return { bytesWritten: (await this.#call('writev', buffers, position)) as number, buffers }
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    if (!isChunked(data)) {
      await this.#call('writeFile', data, options)
      return
    }
    const { encoding } = toOptions(options, { encoding: 'utf8' })
    for await (const chunk of data) await this.#call('write', toContent(chunk, encoding))
  }

  createReadStream(options?: object): ReadStream {
    return new ReadStream(this.#kernel, undefined, { ...options, fd: this })
  }

  createWriteStream(options?: object): WriteStream {
    return new WriteStream(this.#kernel, undefined, { ...options, fd: this })
  }

  readLines(options?: object): unknown {
    return readLines(this.createReadStream(options))
  }

  readableWebStream(): ReadableStream {
    const read = () => this.read()
    return new ReadableStream({
      type: 'bytes',
      async pull(controller) {
        const { bytesRead, buffer } = await read()
        if (bytesRead === 0) {
          controller.close()
          // A pending request for bytes is answered with none.
          controller.byobRequest?.respond(0)
        } else controller.enqueue((buffer as Buffer).subarray(0, bytesRead))
      },
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const fd = this.#fd
    if (fd === -1) return
    this.#fd = -1
    await this.#calls.close!(fd)
    this.emit('close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Content that comes in pieces: an iterable or stream, but not a string or buffer. */
export function isChunked(data: unknown): data is AsyncIterable<unknown> | Iterable<unknown> {
  return (
    data !== null &&
    typeof data === 'object' &&
    !ArrayBuffer.isView(data) &&
    (Symbol.asyncIterator in data || Symbol.iterator in data)
  )
}
