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

  async close(): Promise<void> {
    const database = this.#database
    this.#database = undefined
    await database?.close()
  }

  #opened(create: boolean): Database | undefined {
    return (this.#database ??= this.#open(create))
  }

  #open(create: boolean): Database | undefined {
    const { fs, paths, durability } = this.disk
    if (fs.stat(`${paths.records}/data.mdb`) === undefined) {
      if (!create) return undefined
      makeOwnFolder(this.disk)
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
