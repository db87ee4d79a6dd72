// A whole Store in a folder. Opening reads two small files; everything else is opened when it is first used. An effect
// file: it brings the disk store's parts together with Node's.
import { uptime } from 'node:os'
import { crc32 } from 'node:zlib'
import { systemEnv, type Env } from '../env.js'
import { closeable } from './closeable.js'
import { DiskBlobStore } from './disk.js'
import { refusalOf, rememberErrors, type Seen } from './disk-errors.js'
import type { DiskFs } from './disk-fs.js'
import { type Disk, type Durability, layoutPaths, makeOwnFolder, openLayout } from './disk-layout.js'
import { auditDisk } from './disk-audit.js'
import { DiskDocumentStore } from './disk-documents.js'
import { DiskLeaseStore } from './disk-leases.js'
import { DiskRefStore } from './disk-refs.js'
import { DiskSidecarStore } from './disk-sidecars.js'
import { LmdbRecordStore } from './lmdb-records.js'
import { RecentRecordStore } from './recent-records.js'
import { createLock, type Lock } from './lock.js'
import { nodeFs } from './node-fs.js'
import { currentOwner, isOwnerAlive, isRunning, type Owner } from './owner.js'
import { tidyFolders, tidyIngests, tidyTemp } from './disk-tidy.js'
import type { RecordStore, Store } from './store.js'

export interface DiskStoreOptions {
  /** Default `full`. */
  readonly durability?: Durability
  /** Make the store when the folder is absent or empty. Default true. */
  readonly create?: boolean
  /**
   * Verify every read, also of parts of a blob: bytes of a layer that are not what they were are an error. The first
   * partial read of a blob hashes it whole, once for all processes. Default true; without it only whole reads are verified.
   */
  readonly verifyReads?: boolean
  readonly env?: Env
  /** The file system below, for fault injection. @internal */
  readonly fs?: DiskFs
  /** In the place of lmdb, which knows no other file system than the system's own. @internal */
  readonly records?: RecordStore
  /** Who this process is, and whether another lives; for the simulation of crashes. @internal */
  readonly processes?: Processes
}

export interface Processes {
  current(): Owner
  isAlive(owner: Owner): boolean | undefined
  /** When the machine was started, in milliseconds since the epoch. */
  bootMs(): number
}

const systemProcesses: Processes = {
  current: currentOwner,
  isAlive: isOwnerAlive,
  bootMs: () => Date.now() - uptime() * 1000,
}

/** @see openDiskStore in open.ts */
export async function openDiskStoreNow(path: string, options: DiskStoreOptions = {}): Promise<Store> {
  const env = options.env ?? systemEnv
  const seen: Seen = new WeakSet()
  const disk = openDisk(path, options, seen)
  await openLayout(disk, options.create ?? true)
  // What is compared with file times that other processes set goes by the real clock, whatever the Env's says.
  const nowMs = () => Date.now()
  const lockIn = (folder: string) => createLockIn(disk, folder, nowMs, options.processes ?? systemProcesses)
  const lock = lockIn(disk.paths.locks)
  const locked: Lock['run'] = (fn) => lock.run(() => afterSweeps(disk, fn))
  const gate = sweepGate(disk, locked)
  const sidecars = new DiskSidecarStore(disk, crc32)
  const verifyReads = options.verifyReads ?? true
  const blobs = new DiskBlobStore(disk, { now: nowMs, gate, lockIn, verifyReads, sidecars })
  const database = options.records === undefined ? new LmdbRecordStore(disk, crc32) : undefined
  const cached = database && new RecentRecordStore(disk, database)
  const leases = new DiskLeaseStore(disk, env, gate)
  const refs = new DiskRefStore(disk, blobs, env, locked)
  const documents = new DiskDocumentStore(disk, locked, lockIn)
  return closeable({
    blobs,
    refs,
    leases,
    records: cached ?? options.records!,
    sidecars,
    documents,
    path,
    exclusive: (fn) => locked(() => sweeping(disk, fn)),
    async tidy() {
      const others = tidyFolders(disk) + (await tidyIngests(disk, lockIn, nowMs()))
      return leases.sweep() + tidyTemp(disk, isRunning, nowMs()) + others
    },
    space: async () => disk.fs.space(path),
    audit: async () => auditDisk(disk, { refs, leases, sidecars, documents, records: database }),
    errorOf: (error) =>
      typeof error === 'object' && error !== null && seen.has(error)
        ? refusalOf(disk.paths.root, error)
        : error,
    async release() {
      await blobs.close()
      await cached?.close()
    },
  })
}

function openDisk(path: string, options: DiskStoreOptions, seen: Seen): Disk {
  const root = path.length > 1 ? path.replace(/\/+$/, '') || '/' : path
  // Names of temporary files carry the process, so that gc can tell whose they are; the dice are not the Env's, whose
  // fixed sequence would make two processes choose the same names.
  let count = 0
  const mine = Math.random().toString(36).slice(2, 10)
  return {
    fs: rememberErrors(options.fs ?? nodeFs, seen),
    paths: layoutPaths(root),
    durability: options.durability ?? 'full',
    checksum: crc32,
    tempName: () => `${process.pid}-${mine}-${++count}`,
  }
}

function createLockIn(disk: Disk, folder: string, nowMs: () => number, processes: Processes): Lock {
  return createLock({
    fs: disk.fs,
    folder,
    prepare: () => makeOwnFolder(disk),
    tempPath: () => `${disk.paths.temp}/${disk.tempName()}`,
    owner: processes.current,
    isAlive: processes.isAlive,
    bootMs: processes.bootMs,
    nowMs,
  })
}

/** Runs `fn` under the lock. A mark that is there then is of a process that died while it swept. */
async function afterSweeps<T>({ fs, paths }: Disk, fn: () => Promise<T>): Promise<T> {
  fs.remove(paths.sweeping)
  return fn()
}

/** Marks the store as being swept while `fn` runs. The caller holds the lock. */
async function sweeping<T>({ fs, paths }: Disk, fn: () => Promise<T>): Promise<T> {
  fs.close(fs.open(paths.sweeping, 'create'))
  try {
    return await fn()
  } finally {
    fs.remove(paths.sweeping)
  }
}

/**
 * Waits for a sweep that is under way. Whoever shields a blob (renews its time, leases it) and then passes the gate
 * knows: a sweep that began before has ended, one that begins later sees the shield.
 */
function sweepGate(disk: Disk, locked: Lock['run']): () => Promise<void> {
  const { fs, paths } = disk
  return async () => {
    if (fs.stat(paths.sweeping) === undefined) return
    await locked(async () => undefined)
  }
}
