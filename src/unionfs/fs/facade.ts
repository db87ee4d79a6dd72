// Puts the surface together: an object with the shape of node:fs over one view.
import type { NodeFs } from '../host-contract.js'
import type { Kernel } from '../kernel/kernel.js'
import { constants } from './constants.js'
import { contentOps } from './contents.js'
import { copyOps } from './copy.js'
import { descriptorOps, withReadDefaults } from './descriptors.js'
import { Dir, directoryOps } from './dir.js'
import { codedError } from './errno.js'
import { globMethods } from './glob.js'
import { FileHandle, handleCalls, isChunked } from './handle.js'
import { listingOps } from './listing.js'
import type { OpTable } from './op.js'
import { pathOps } from './paths.js'
import { BigIntStats, Dirent, Stats, StatFs } from './stats.js'
import { ReadStream, WriteStream } from './streams.js'
import { toTime } from './arguments.js'
import { toCallback, toPromise, toSync, type Method } from './triad.js'
import { FSWatcher, StatWatcher, watchEvents, watchMethods } from './watch.js'

/** Operations on descriptors, which fs.promises has as methods of FileHandle instead. */
const BY_DESCRIPTOR = new Set([
  'close',
  'fsync',
  'fdatasync',
  'fstat',
  'ftruncate',
  'fchmod',
  'fchown',
  'futimes',
  'read',
  'readv',
  'write',
  'writev',
])
/** In fs, but not in fs.promises. */
const NOT_PROMISED = new Set(['exists', 'realpathNative'])

const CUSTOM_PROMISIFY = Symbol.for('nodejs.util.promisify.custom')

export function createFs(kernel: Kernel): NodeFs {
  const ops: OpTable = {
    ...pathOps(kernel),
    ...descriptorOps(kernel),
    ...contentOps(kernel),
    ...listingOps(kernel),
    ...directoryOps(kernel),
    ...copyOps(kernel),
  }
  const fs: Record<string, unknown> = {
    constants,
    F_OK: constants.F_OK,
    R_OK: constants.R_OK,
    W_OK: constants.W_OK,
    X_OK: constants.X_OK,
    Stats,
    BigIntStats,
    StatFs,
    Dirent,
    Dir,
    FSWatcher,
    StatWatcher,
    ...streamMethods(kernel),
    ...watchMethods(kernel),
    // Linux has no modes for symlinks; Node leaves these undefined there.
    lchmod: undefined,
    lchmodSync: undefined,
    openAsBlob: (path: unknown, options?: { type?: string }) =>
      openAsBlob(fs as unknown as NodeFs, path, options),
    _toUnixTimestamp: (time: unknown) => secondsOf(time),
  }
  const promises: Record<string, unknown> = { constants }
  for (const [name, operation] of Object.entries(ops)) {
    if (name === 'realpathNative') continue
    fs[name] = toCallback(operation)
    fs[`${name}Sync`] = toSync(operation)
    if (!BY_DESCRIPTOR.has(name) && !NOT_PROMISED.has(name)) promises[name] = toPromise(operation)
  }
  ;(fs.realpath as { native?: Method }).native = toCallback(ops.realpathNative!)
  ;(fs.realpathSync as { native?: Method }).native = toSync(ops.realpathNative!)
  fs.read = withReadDefaults(fs.read as Method)
  addPromisified(fs, ops)
  Object.assign(promises, promiseMethods(kernel, ops))
  const globs = globMethods(fs as unknown as NodeFs)
  Object.assign(fs, { glob: globs.glob, globSync: globs.globSync, promises })
  promises.glob = globs.globAsync
  // The table is built by Node's names; a test compares the two surfaces key by key.
  return fs as unknown as NodeFs
}

/** Streams are classes that are made with `new` by some and called by others; both get the view's. */
function streamMethods(kernel: Kernel): Record<string, unknown> {
  const BoundReadStream = class extends ReadStream {
    constructor(path: unknown, options?: unknown) {
      super(kernel, path, options)
    }
  }
  const BoundWriteStream = class extends WriteStream {
    constructor(path: unknown, options?: unknown) {
      super(kernel, path, options)
    }
  }
  Object.defineProperty(BoundReadStream, 'name', { value: 'ReadStream' })
  Object.defineProperty(BoundWriteStream, 'name', { value: 'WriteStream' })
  return {
    createReadStream: (path: unknown, options?: unknown) => new BoundReadStream(path, options),
    createWriteStream: (path: unknown, options?: unknown) => new BoundWriteStream(path, options),
    ReadStream: BoundReadStream,
    WriteStream: BoundWriteStream,
    FileReadStream: BoundReadStream,
    FileWriteStream: BoundWriteStream,
  }
}

/** What fs.promises has beyond the promise forms of the operations, or has in another form. */
function promiseMethods(kernel: Kernel, ops: OpTable): Record<string, unknown> {
  const calls = handleCalls(ops)
  const [open, readFile, writeFile, appendFile] = ['open', 'readFile', 'writeFile', 'appendFile'].map(
    (name) => toPromise(ops[name]!),
  ) as [Call, Call, Call, Call]
  const openHandle = async (...args: unknown[]) =>
    new FileHandle(kernel, calls, (await open(...args)) as number)
  const writeTo = (method: Call, flag: string) => async (path: unknown, data: unknown, options?: unknown) => {
    if (path instanceof FileHandle) return path.writeFile(data, options)
    if (!isChunked(data)) return method(path, data, options)
    const given = (typeof options === 'object' && options !== null ? options : {}) as Record<string, unknown>
    const handle = await openHandle(path, given.flag ?? flag, given.mode)
    try {
      await handle.writeFile(data, options)
    } finally {
      await handle.close()
    }
    return undefined
  }
  return {
    open: openHandle,
    readFile: async (path: unknown, options?: unknown) =>
      path instanceof FileHandle ? path.readFile(options) : readFile(path, options),
    writeFile: writeTo(writeFile, 'w'),
    appendFile: writeTo(appendFile, 'a'),
    watch: (path: unknown, options?: unknown) => watchEvents(kernel, path, options),
    lchmod: () =>
      Promise.reject(codedError('ERR_METHOD_NOT_IMPLEMENTED', 'The lchmod() method is not implemented')),
  }
}

type Call = (...args: unknown[]) => Promise<unknown>

/** The content as it is now; Node's blob reads later, and fails when the file has changed. */
async function openAsBlob(fs: NodeFs, path: unknown, options: { type?: string } = {}): Promise<Blob> {
  return new Blob([fs.readFileSync(path as string)], options)
}

function secondsOf(time: unknown): number {
  const { sec, nsec } = toTime(time)
  return sec + nsec / 1e9
}

/** util.promisify of methods whose callbacks have more than one result. */
function addPromisified(fs: Record<string, unknown>, ops: OpTable): void {
  const names = { read: 'bytesRead', readv: 'bytesRead', write: 'bytesWritten', writev: 'bytesWritten' }
  for (const [name, count] of Object.entries(names)) {
    const run = toPromise(ops[name]!)
    const what = name.endsWith('v') ? 'buffers' : 'buffer'
    const promised = async (...args: unknown[]) => ({ [count]: await run(...args), [what]: args[1] })
    Object.defineProperty(fs[name], CUSTOM_PROMISIFY, { value: promised })
  }
  Object.defineProperty(fs.exists, CUSTOM_PROMISIFY, { value: toPromise(ops.exists!) })
}
