// Records on disk: an lmdb database in `lamella/records/`, values sealed (records.ts). Loaded and opened at first use: a
// command that asks for no record does not pay for it, and reading a store that has none creates nothing.
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { RootDatabase } from 'lmdb'
import { type Disk, makeOwnFolder } from './disk-layout.js'
import { checkRecordKey, checkRecordValue, seal, unseal, type Checksum } from './records.js'
import type { RecordBatch, RecordStore } from './store.js'

type Database = RootDatabase<Uint8Array, Uint8Array>

const decoder = new TextDecoder()
/** No machine crashes and is up again within this time. */
const YOUNG_MS = 3000

export class LmdbRecordStore implements RecordStore {
  #database: Database | undefined

  constructor(
    readonly disk: Disk,
    readonly checksum: Checksum,
  ) {}

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
    if (puts.length > 0) await makeOwnFolder(this.disk)
    const database = this.#opened(puts.length > 0)
    if (database === undefined || puts.length + deletes.length === 0) return
    await database.transaction(() => {
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

  async close(): Promise<void> {
    const database = this.#database
    this.#database = undefined
    await database?.close()
  }

  #opened(create: boolean): Database | undefined {
    return (this.#database ??= this.#open(create))
  }

  /** Removes a database that would kill whoever opens it. It is derived: builds make it again. */
  #dropTorn(): void {
    const { fs, paths } = this.disk
    const data = `${paths.records}/data.mdb`
    if (fs.stat(data) === undefined) return
    const fd = fs.open(data, 'read')
    try {
      const head = new Uint8Array(2 * 65536)
      const count = fs.read(fd, head, 0)
      // Its size comes after its metas: it only grows, and grows before a meta says so. A young one without any bytes may
      // be about to get its metas, in one write, from the process that makes it.
      const { size, mtimeMs } = fs.statFd(fd)
      if (!isTorn(head.subarray(0, count), size)) return
      if (Date.now() - mtimeMs < YOUNG_MS && head.every((byte) => byte === 0)) return
    } finally {
      fs.close(fd)
    }
    fs.remove(data)
    fs.remove(`${paths.records}/lock.mdb`)
  }

  #open(create: boolean): Database | undefined {
    const { fs, paths, durability } = this.disk
    this.#dropTorn()
    if (fs.stat(`${paths.records}/data.mdb`) === undefined) {
      if (!create) return undefined
      fs.makeDir(paths.records)
    }
    return loadLmdb().open({
      path: paths.records,
      encoding: 'binary',
      keyEncoding: 'binary',
      noSync: durability === 'none',
    })
  }
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
