// Records on disk: an lmdb database in `lamella/records/`, values sealed (records.ts). Loaded and opened at first use: a
// command that asks for no record does not pay for it, and reading a store that has none creates nothing.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { RootDatabase, RootDatabaseOptionsWithPath } from 'lmdb'
import { StoreError } from '../errors.js'
import { type Disk, makeOwnFolder } from './disk-layout.js'
import { errnoOf } from './disk-fs.js'
import { LmdbSeal } from './lmdb-seal.js'
import { checkRecordKey, checkRecordValue, seal, unseal, type Checksum } from './records.js'
import type { RecordBatch, RecordStore } from './store.js'

type Database = RootDatabase<Uint8Array, Uint8Array>

const decoder = new TextDecoder()
/** No machine crashes and is up again within this time. */
const YOUNG_MS = 3000

export class LmdbRecordStore implements RecordStore {
  readonly #seal: LmdbSeal
  #database: Database | undefined
  /** Found damaged by a reader. */
  #isDamaged = false
  #hasWritten = false
  #isReadOnly = false

  constructor(
    readonly disk: Disk,
    readonly checksum: Checksum,
  ) {
    this.#seal = new LmdbSeal(disk, this.#data)
  }

  get #data(): string {
    return `${this.disk.paths.records}/data.mdb`
  }

  get(key: string): Uint8Array | undefined {
    const bytes = checkRecordKey(key)
    // Not getBinaryFast: its result is a buffer that says a wrong byteLength and is overwritten by the next get.
    const sealed = this.#opened(false)?.getBinary(bytes)
    return sealed && unseal(key, sealed, this.checksum)
  }

  async write(batch: RecordBatch): Promise<void> {
    const puts = [...(batch.put ?? [])].map(([key, value]) => {
      const bytes = checkRecordKey(key)
      checkRecordValue(key, value)
      return [bytes, seal(key, value, this.checksum)] as const
    })
    const deletes = [...(batch.delete ?? [])].map(checkRecordKey)
    if (puts.length + deletes.length === 0) return
    if (puts.length > 0) await makeOwnFolder(this.disk)
    try {
      await this.#commit(puts, deletes)
    } catch (error) {
      throw writeError(this.disk.paths.root, error)
    }
  }

  async #commit(
    puts: readonly (readonly [Uint8Array, Uint8Array])[],
    deletes: readonly Uint8Array[],
  ): Promise<void> {
    const database = this.#opened(puts.length > 0)
    if (database === undefined) return
    if (this.#isReadOnly) throw new Error('Read-only file system')
    this.#hasWritten = true
    await database.transaction(() => {
      this.#seal.remove()
      for (const key of deletes) void database.remove(key)
      for (const [key, value] of puts) void database.put(key, value)
    })
  }

  *keys(prefix: string): Generator<string> {
    const start = new TextEncoder().encode(prefix)
    const database = this.#opened(false)
    if (database === undefined) return
    for (const key of database.getKeys({ start })) {
      const text = decoder.decode(key)
      if (!text.startsWith(prefix)) return
      yield text
    }
  }

  /** Keys whose values are not what was written. */
  *damaged(): Generator<string> {
    const database = this.#opened(false)
    if (database === undefined) return
    for (const { key, value } of database.getRange()) {
      const text = decoder.decode(key)
      if (unseal(text, value, this.checksum) === undefined) yield text
    }
  }

  /** Lets the next `get` see what other processes have written by now. */
  refresh(): void {
    this.#database?.resetReadTxn()
  }

  /** What is wrong with the database as a whole, of which then nothing is read. */
  problem(): string | undefined {
    const isOpenHere = this.#database !== undefined && !this.#hasWritten
    const isDamaged = isOpenHere
      ? this.#seal.isBroken()
      : this.#database === undefined && this.#looksDamaged()
    return isDamaged ? 'the cache index is damaged; builds begin it anew' : undefined
  }

  /** Forgets all records, also such as cannot be read. */
  async clear(): Promise<void> {
    await this.#database?.close()
    this.#database = undefined
    this.#drop()
  }

  async close(): Promise<void> {
    const database = this.#database
    this.#database = undefined
    if (database === undefined) return
    if (this.#hasWritten) await this.#sealAndSettle(database)
    await database.close()
  }

  /** Best effort: without a seal the next process opens the database as it is. */
  async #sealAndSettle(database: Database): Promise<void> {
    try {
      await database.flushed
      await database.transaction(() => this.#seal.make())
    } catch {
      // as above
    }
  }

  #opened(create: boolean): Database | undefined {
    if (this.#database === undefined && (create || !this.#isDamaged)) this.#database = this.#open(create)
    return this.#database
  }

  /** Whether opening it could kill the process, or lmdb would refuse it. */
  #looksDamaged(): boolean {
    return this.#isTorn() || this.#seal.isBroken()
  }

  #isTorn(): boolean {
    const { fs } = this.disk
    if (fs.stat(this.#data) === undefined) return false
    const fd = fs.open(this.#data, 'read')
    try {
      const head = new Uint8Array(2 * 65536)
      const count = fs.read(fd, head, 0)
      // Its size comes after its metas: it only grows, and grows before a meta says so. A young one without any bytes may
      // be about to get its metas, in one write, from the process that makes it.
      const { size, mtimeMs } = fs.statFd(fd)
      if (!isTorn(head.subarray(0, count), size)) return false
      return Date.now() - mtimeMs >= YOUNG_MS || head.some((byte) => byte !== 0)
    } finally {
      fs.close(fd)
    }
  }

  #drop(): void {
    const { fs, paths } = this.disk
    this.#seal.remove()
    fs.remove(this.#data)
    fs.remove(`${paths.records}/lock.mdb`)
    this.#isDamaged = false
  }

  /** A damaged database is none for a reader; a writer begins it anew: it is derived, and builds make it again. */
  #open(create: boolean): Database | undefined {
    const { fs, paths } = this.disk
    if (this.#looksDamaged()) {
      if (!create) {
        this.#isDamaged = true
        return undefined
      }
      this.#drop()
    }
    if (fs.stat(this.#data) === undefined) {
      if (!create) return undefined
      fs.makeDir(paths.records)
    }
    return this.#openLmdb(create)
  }

  /** Where not even the seat of a reader can be written, a cache without records is better than none that opens. */
  #openForReading(options: RootDatabaseOptionsWithPath): Database | undefined {
    try {
      this.#isReadOnly = true
      return loadLmdb().open({ ...options, readOnly: true })
    } catch {
      this.#isDamaged = true
      return undefined
    }
  }

  #openLmdb(create: boolean): Database | undefined {
    const { durability, paths } = this.disk
    const options = { path: paths.records, encoding: 'binary', keyEncoding: 'binary' } as const
    try {
      return loadLmdb().open({ ...options, noSync: durability === 'none' })
    } catch (error) {
      if (!(error instanceof Error)) throw error
      if (NOT_WRITABLE.test(error.message)) return create ? raise(error) : this.#openForReading(options)
      // Not one that lmdb takes for its own.
      if (!LMDB_REFUSES.test(error.message)) throw error
      if (!create) {
        this.#isDamaged = true
        return undefined
      }
      this.#drop()
      return loadLmdb().open({ ...options, noSync: durability === 'none' })
    }
  }
}

// lmdb's errors have no code, only their text and that of strerror(3).
const NOT_WRITABLE = /Permission denied|Read-only file system|Operation not permitted/
const LMDB_REFUSES = /MDB_(INVALID|VERSION_MISMATCH|CORRUPTED|PAGE_NOTFOUND|PANIC)/

/** lmdb's errors have no code, only a text. */
function writeError(root: string, error: unknown): unknown {
  if (!(error instanceof Error) || errnoOf(error) !== undefined) return error
  const code = NOT_WRITABLE.test(error.message) ? 'STORE_READ_ONLY' : 'STORE_WRITE_FAILED'
  return new StoreError(code, `the cache index of ${root} could not be written: ${error.message}`, {
    data: { path: root },
    cause: error,
  })
}

function raise(error: Error): never {
  throw error
}

/**
 * Whether a data file is shorter than its newest meta page says, or has no meta page: a crash of the machine can leave
 * that behind where nothing was synced. lmdb maps the file, so that touching what is not there kills the process. The
 * metas are pages 0 and 1; offsets as in lmdb.h's MDB_page and MDB_meta, 64-bit.
 */
export function isTorn(head: Uint8Array, fileBytes: number): boolean {
  const meta = newestMeta(head)
  return meta === undefined || fileBytes < meta.neededBytes
}

/** The newer of the two meta pages at the beginning of a data file; `undefined` when there is none. */
export function newestMeta(
  head: Uint8Array,
): { readonly transaction: bigint; readonly neededBytes: number } | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  let newest: { transaction: bigint; neededBytes: number } | undefined
  for (let page = 0, pageBytes = 4096; page < 2; page++) {
    const at = page * pageBytes
    if (at + META_END > head.byteLength || view.getUint32(at + 24, true) !== META_MAGIC) continue
    pageBytes = view.getUint32(at + 48, true)
    const transaction = view.getBigUint64(at + 152, true)
    if (newest !== undefined && transaction < newest.transaction) continue
    newest = { transaction, neededBytes: (Number(view.getBigUint64(at + 144, true)) + 1) * pageBytes }
  }
  return newest
}

const META_MAGIC = 0xbeefc0de
const META_END = 160

/**
 * lmdb's loader finds out the C library by loading detect-libc, which took a third of the 20 ms of a first lookup (a fully
 * cached build is 100 ms in all). LIBC spares it that; where musl may be at work, the loader finds out by itself.
 */
function loadLmdb(): typeof import('lmdb') {
  const require = createRequire(import.meta.url)
  if (process.platform !== 'linux' || process.env.LIBC !== undefined || mayBeMusl()) return require('lmdb')
  process.env.LIBC = 'glibc'
  try {
    return require('lmdb')
  } finally {
    delete process.env.LIBC
  }
}

function mayBeMusl(): boolean {
  try {
    return readdirSync('/lib').some((name) => name.startsWith('ld-musl-'))
  } catch {
    return true
  }
}
