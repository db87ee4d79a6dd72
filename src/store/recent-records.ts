// The records that the last process asked for, in one file beside the database. A cached build asks for the same few
// records each time: found here, they spare it loading and opening lmdb (a third of its whole time). Exact, not a guess:
// the file names the transaction of the database that it was taken from, and is ignored when there has been another.
import { createTemp, discardTemp, type Disk } from './disk-layout.js'
import { newestMeta, type LmdbRecordStore } from './lmdb-records.js'
import { checkRecordValue, requireRecordKey, seal, unseal } from './records.js'
import type { RecordBatch, RecordStore } from './store.js'

const KEYS_MAX = 4096
const BYTES_MAX = 4 << 20
/** Two pages of the size that lmdb takes from the system: 4 KiB nearly everywhere, 16 or 64 on some ARM. */
const HEAD_BYTES = process.arch === 'arm64' ? 2 << 16 : 2 << 12
const NAME = 'recent'
const ABSENT = 0xffffffff

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A key and its value, or that there is none. */
type Entries = Map<string, Uint8Array | undefined>

export class RecentRecordStore implements RecordStore {
  /** What the file holds, once it was looked at; empty when it is of another transaction. */
  #recent: Entries | undefined
  #loadedVersion: string | undefined
  #isChecked = false
  /** What this process asked for or wrote that the file does not hold. */
  readonly #asked = new Set<string>()

  constructor(
    readonly disk: Disk,
    readonly inner: LmdbRecordStore,
  ) {}

  get(key: string): Uint8Array | undefined {
    return this.peek(key)?.slice()
  }

  peek(key: string): Uint8Array | undefined {
    requireRecordKey(key)
    const recent = this.#current()
    if (recent.has(key)) return recent.get(key)
    if (this.#asked.size < KEYS_MAX) this.#asked.add(key)
    return this.inner.get(key)
  }

  async write(batch: RecordBatch): Promise<void> {
    const puts = [...(batch.put ?? [])]
    for (const [key, value] of puts) checkRecordValue(key, value)
    this.#forget()
    for (const [key] of puts) if (this.#asked.size < KEYS_MAX) this.#asked.add(key)
    await this.inner.write({ ...batch, put: puts })
  }

  keys(prefix: string): Iterable<string> {
    return this.inner.keys(prefix)
  }

  async clear(): Promise<void> {
    this.#recent = new Map()
    this.#asked.clear()
    this.disk.fs.remove(this.#path)
    await this.inner.clear()
  }

  async close(): Promise<void> {
    if (this.#asked.size > 0) await this.#save()
    await this.inner.close()
  }

  /** The file's entries, checked once a turn of the event loop: lmdb renews its view of the database as often. */
  #current(): Entries {
    if (this.#isChecked && this.#recent !== undefined) return this.#recent
    if (this.#recent === undefined) this.#recent = this.#load()
    else if (this.#recent.size > 0 && this.#version() !== this.#loadedVersion) this.#forget()
    this.#isChecked = true
    setImmediate(() => void (this.#isChecked = false))
    return this.#recent
  }

  /** From the first write on the file is out of date; what it held is asked for again when it is saved. */
  #forget(): void {
    for (const key of this.#recent?.keys() ?? []) this.#asked.add(key)
    this.#recent = new Map()
  }

  get #path(): string {
    return `${this.disk.paths.records}/${NAME}`
  }

  /** Names the state of the database: its file and its last transaction; `undefined` when there is none. */
  #version(): string | undefined {
    const { fs, paths } = this.disk
    const data = `${paths.records}/data.mdb`
    const stat = fs.stat(data)
    if (stat === undefined) return undefined
    const fd = fs.open(data, 'read')
    try {
      const head = new Uint8Array(HEAD_BYTES)
      const meta = newestMeta(head.subarray(0, fs.read(fd, head, 0)))
      // A file that a crash has cut is begun anew by the database.
      return meta && stat.size >= meta.neededBytes ? `${stat.ino}.${meta.transaction}` : undefined
    } finally {
      fs.close(fd)
    }
  }

  #load(): Entries {
    try {
      const bytes = this.disk.fs.readFile(this.#path)
      const plain = bytes && unseal(NAME, bytes, this.inner.checksum)
      if (plain === undefined) return new Map()
      const { version, entries } = decode(plain)
      if (version !== this.#version()) return new Map()
      this.#loadedVersion = version
      return entries
    } catch {
      // Derived and optional: whatever is wrong with it, the database knows.
      return new Map()
    }
  }

  /** Best effort: a store that cannot be written is read the slower way. */
  async #save(): Promise<void> {
    try {
      const version = this.#version()
      if (version === undefined) return
      // The reader may still look at the state of a moment ago.
      this.inner.refresh()
      const entries: Entries = new Map()
      for (const key of this.#asked) entries.set(key, this.inner.get(key))
      for (const [key, value] of this.#recent ?? []) if (entries.size < KEYS_MAX) entries.set(key, value)
      const bytes = encode(version, entries)
      // Another process may have written while the values were read: then they are of no one state.
      if (bytes.byteLength > BYTES_MAX || this.#version() !== version) return
      await this.#replace(seal(NAME, bytes, this.inner.checksum))
    } catch {
      // as above
    }
  }

  async #replace(bytes: Uint8Array): Promise<void> {
    const { fs } = this.disk
    const temp = await createTemp(this.disk)
    let closed = false
    try {
      fs.write(temp.fd, bytes)
      closed = true
      fs.close(temp.fd)
      fs.rename(temp.path, this.#path)
    } catch (error) {
      discardTemp(this.disk, temp, closed)
      throw error
    }
  }
}

/** Length-prefixed fields, 32-bit little-endian: the version, then key and value by turns; all ones is "no value". */
function encode(version: string, entries: Entries): Uint8Array {
  const parts: Uint8Array[] = []
  const field = (bytes: Uint8Array | undefined): void => {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, bytes?.byteLength ?? ABSENT, true)
    parts.push(length)
    if (bytes !== undefined) parts.push(bytes)
  }
  field(encoder.encode(version))
  for (const [key, value] of entries) {
    field(encoder.encode(key))
    field(value)
  }
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

/** @throws RangeError when a length is not within the bytes */
function decode(bytes: Uint8Array): { version: string; entries: Entries } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const field = (): Uint8Array | undefined => {
    const length = view.getUint32(at, true)
    at += 4
    if (length === ABSENT) return undefined
    if (at + length > bytes.byteLength) throw new RangeError(`field of ${length} bytes at ${at}`)
    at += length
    return bytes.subarray(at - length, at)
  }
  const version = decoder.decode(field())
  const entries: Entries = new Map()
  while (at < bytes.byteLength) {
    const key = decoder.decode(field())
    entries.set(key, field())
  }
  return { version, entries }
}
