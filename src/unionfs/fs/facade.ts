// Puts the surface together: an object with the shape of node:fs over one view.
import type { NodeFs } from '../host-contract.js'
import type { Kernel } from '../kernel/kernel.js'
import { constants } from './constants.js'
import { contentOps } from './contents.js'
import { copyOps } from './copy.js'
import { descriptorOps } from './descriptors.js'
import { listingOps } from './listing.js'
import type { OpTable } from './op.js'
import { pathOps } from './paths.js'
import { BigIntStats, Dirent, Stats, StatFs } from './stats.js'
import { toCallback, toPromise, toSync, type Method } from './triad.js'

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
  addPromisified(fs, ops)
  fs.promises = promises
  // The table above is typed by Node's names; the tests compare the two surfaces key by key.
  return fs as unknown as NodeFs
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
