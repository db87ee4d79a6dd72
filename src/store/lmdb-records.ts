// Records on disk: an lmdb database in `lamella/records/`, values sealed (records.ts). lmdb itself is loaded by the first
// write and only let at a file that is sound; reading goes through lmdb-pages.ts, which no damage kills.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { RootDatabase } from 'lmdb'
import { StoreError } from '../errors.js'
import { type Disk, makeOwnFolder } from './disk-layout.js'
import { errnoOf } from './disk-fs.js'
import { LmdbDamage } from './lmdb-format.js'
import { LmdbPages } from './lmdb-pages.js'
import { LmdbSeal } from './lmdb-seal.js'
import { currentOwner } from './owner.js'
import { checkRecordKey, checkRecordValue, seal, unseal, type Checksum } from './records.js'
import type { RecordBatch, RecordStore } from './store.js'

type Database = RootDatabase<Uint8Array, Uint8Array>

const decoder = new TextDecoder()
/** No machine crashes and is up again within this time. */
const YOUNG_MS = 3000
/** Both metas, also where pages have 64 KiB. */
const HEAD_BYTES = 2 * 65536

export class LmdbRecordStore implements RecordStore {
  readonly #seal: LmdbSeal
  readonly #pages: LmdbPages
  /** Of a process that writes. */
  #database: Database | undefined
  #hasWritten = false

  constructor(
    readonly disk: Disk,
    readonly checksum: Checksum,
  ) {
    this.#seal = new LmdbSeal(disk, this.#data)
    this.#pages = new LmdbPages(disk.fs, this.#data, () => currentOwner().boot)
  }

  get #data(): string {
    return `${this.disk.paths.records}/data.mdb`
  }

  /** What cannot be read is not there: it is derived, and builds make it again. */
  get(key: string): Uint8Array | undefined {
    const bytes = checkRecordKey(key)
    const sealed = unlessDamaged(() => this.#pages.get(bytes))
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
    if (puts.length === 0 && this.disk.fs.stat(this.#data) === undefined) return
    const database = (this.#database ??= this.#open())
    this.#hasWritten = true
    await database.transaction(() => {
      this.#seal.remove()
      for (const key of deletes) void database.remove(key)
      for (const [key, value] of puts) void database.put(key, value)
    })
    this.#pages.refresh()
  }

  *keys(prefix: string): Generator<string> {
    for (const { text } of this.#entries(prefix)) {
      if (!text.startsWith(prefix)) return
      yield text
    }
  }

  /** Keys whose values are not what was written. */
  *damaged(): Generator<string> {
    for (const { text, value } of this.#entries('')) {
      if (unseal(text, value, this.checksum) === undefined) yield text
    }
  }

  /** From a damaged page on there are none. */
  *#entries(start: string): Generator<{ readonly text: string; readonly value: Uint8Array }> {
    const entries = this.#pages.entries(new TextEncoder().encode(start))
    for (;;) {
      const step = unlessDamaged(() => entries.next())
      if (step === undefined || step.done === true) return
      const [key, value] = step.value
      yield { text: decoder.decode(key), value }
    }
  }

  /** Lets the next `get` see what other processes have written by now. */
  refresh(): void {
    this.#pages.refresh()
  }

  /** What is wrong with the database as a whole. */
  problem(): string | undefined {
    // While this process writes, a seal is of others' making and the file is growing: the pages alone are judged.
    const damage = this.#hasWritten ? this.#damageOfPages() : this.#damage(true)
    return damage === undefined ? undefined : `the cache index is damaged (${damage}); builds begin it anew`
  }

  /** Forgets all records, also such as cannot be read. */
  async clear(): Promise<void> {
    await this.#database?.close()
    this.#database = undefined
    this.#drop()
  }

  async close(): Promise<void> {
    this.#pages.close()
    const database = this.#database
    this.#database = undefined
    if (database === undefined) return
    if (this.#hasWritten) await this.#sealAndSettle(database)
    await database.close()
  }

  /** Best effort: without a seal the next writer looks at every page before it opens the database. */
  async #sealAndSettle(database: Database): Promise<void> {
    try {
      await database.flushed
      await database.transaction(() => this.#seal.make())
    } catch {
      // as above
    }
  }

  /**
   * Why lmdb cannot be let at it; `undefined` when the file is the one that was sealed or, without a seal, each of its pages
   * is in order.
   * @param all  look at the pages of a sealed one too
   */
  #damage(all: boolean): string | undefined {
    // A seal that is left without its file, or with one that was emptied, is broken too.
    const seal = this.#seal.state()
    if (seal === 'broken') return 'its seal is of another file'
    if (seal === 'whole' && !all) return undefined
    const { fs } = this.disk
    const stat = fs.stat(this.#data)
    if (stat === undefined) return undefined
    const head = this.#head()
    // One without any bytes may be about to get its metas, in one write, from the process that makes it.
    if (head.every((byte) => byte === 0) && Date.now() - stat.mtimeMs < YOUNG_MS) return undefined
    return this.#damageOfPages()
  }

  #damageOfPages(): string | undefined {
    try {
      this.#pages.check()
      return undefined
    } catch (error) {
      if (error instanceof LmdbDamage) return error.message
      throw error
    }
  }

  #head(): Uint8Array {
    const { fs } = this.disk
    const fd = fs.open(this.#data, 'read')
    try {
      const head = new Uint8Array(HEAD_BYTES)
      return head.subarray(0, fs.read(fd, head, 0))
    } finally {
      fs.close(fd)
    }
  }

  #drop(): void {
    const { fs, paths } = this.disk
    this.#pages.close()
    this.#seal.remove()
    fs.remove(this.#data)
    fs.remove(`${paths.records}/lock.mdb`)
  }

  /** For writing. A damaged one is begun anew. */
  #open(): Database {
    const { fs, paths } = this.disk
    if (this.#damage(false) !== undefined) this.#drop()
    fs.makeDir(paths.records)
    try {
      return this.#openLmdb()
    } catch (error) {
      // Not one that lmdb takes for its own.
      if (!(error instanceof Error) || !LMDB_REFUSES.test(error.message)) throw error
      this.#drop()
      return this.#openLmdb()
    }
  }

  #openLmdb(): Database {
    const { durability, paths } = this.disk
    const options = { path: paths.records, encoding: 'binary', keyEncoding: 'binary' } as const
    return loadLmdb().open({ ...options, noSync: durability === 'none' })
  }
}

function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof LmdbDamage) return undefined
    throw error
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

/**
 * The newer of the two meta pages at the beginning of a data file; `undefined` when there is none. The metas are pages 0 and 1;
 * offsets as in lmdb.h's MDB_page and MDB_meta, 64-bit.
 */
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
