// Entries → archive, in one canonical form: equal entries give equal bytes. ustar headers, and a PAX header before an
// entry only for what ustar cannot hold. docs/format.md has every byte of it. Pure.
import { LayerError } from '../../errors.js'
import { encodePath, hasRawBytes } from '../../path.js'
import { BLOCK, FIELD, TYPE, sumBlock, wordsOf } from './header.js'
import { formatPax, formatPaxTime, xattrKeyword } from './pax.js'
import type { TarEntryKind } from './read.js'

/** What an entry to be written says. Paths without leading or trailing `/`; the root directory is ''. */
export interface TarInput {
  readonly kind: TarEntryKind
  readonly path: string
  readonly linkpath?: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of a file's content. */
  readonly size?: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly devMajor?: number
  readonly devMinor?: number
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined
  /** A file's content, exactly `size` bytes; read when the entry is written, once. */
  readonly content?: Iterable<Uint8Array>
}

/** Whole entries of another archive that this module wrote, headers and padding with them. */
export interface TarRange {
  readonly kind: 'range'
  /** A multiple of 512. */
  readonly size: number
  /** Exactly `size` bytes; read when the range is written, once. Its memory may be reused for the next chunk. */
  readonly chunks: Iterable<Uint8Array>
}

export interface EncodeOptions {
  /** Told where each entry lies as it is written: offset of its first header, and of its content. A range counts as one. */
  readonly onEntry?: (index: number, offset: number, dataOffset: number) => void
}

/** Largest numbers that a field's octal digits hold. */
const OCTAL_7 = 0o7777777
const OCTAL_11 = 0o77777777777

const TYPEFLAG: Readonly<Record<TarEntryKind, number>> = {
  file: TYPE.regular,
  link: TYPE.link,
  symlink: TYPE.symlink,
  chardev: TYPE.chardev,
  blockdev: TYPE.blockdev,
  dir: TYPE.dir,
  fifo: TYPE.fifo,
}

/**
 * The archive's bytes in chunks of at most 256 KiB and contents of larger files as they come; ends with two zero blocks.
 * Chunks are never written to again, but for those of ranges, which are as their source gives them.
 *
 * @throws LayerError LAYER_ENTRY_INVALID when a number has no form in a tar or content is not `size` bytes long
 */
export function* encodeTar(
  entries: Iterable<TarInput | TarRange>,
  options: EncodeOptions = {},
): Generator<Uint8Array> {
  const out = new Batch()
  let index = 0
  for (const entry of entries) {
    const offset = out.offset
    if (entry.kind === 'range') {
      options.onEntry?.(index++, offset, offset)
      yield* writeExactly(out, entry.chunks, entry.size, 'a range of entries')
      continue
    }
    const pax = paxRecordsOf(entry)
    if (pax.length > 0) {
      const records = formatPax(pax)
      yield* out.room(BLOCK)
      writePaxHeader(out.take(BLOCK), archivePath(entry), records.length)
      yield* out.write(records)
    }
    yield* out.room(BLOCK)
    writeHeader(out.take(BLOCK), entry)
    options.onEntry?.(index++, offset, out.offset)
    if (entry.kind === 'file') yield* writeContent(out, entry)
  }
  yield* out.room(2 * BLOCK)
  out.take(2 * BLOCK)
  yield* out.flush()
}

function* writeContent(out: Batch, entry: TarInput): Generator<Uint8Array> {
  yield* writeExactly(out, entry.content ?? [], entry.size ?? 0, entry.path)
  yield* out.pad()
}

function* writeExactly(
  out: Batch,
  chunks: Iterable<Uint8Array>,
  size: number,
  path: string,
): Generator<Uint8Array> {
  let written = 0
  for (const chunk of chunks) {
    written += chunk.byteLength
    if (written > size) break
    yield* out.append(chunk)
  }
  if (written !== size) {
    throw new LayerError(
      'LAYER_ENTRY_INVALID',
      `${JSON.stringify(path)}: content is not the ${size} bytes that were announced`,
      { data: { path, size, written } },
    )
  }
}

const BATCH = 256 * 1024
/** Contents from this size on leave as they are, without a copy. */
const PASS_THROUGH = 64 * 1024

/** Collects small writes. Memory that has left is never written to again, because the taker may keep it. */
class Batch {
  #buffer = new Uint8Array(BATCH)
  /** What of the buffer has left, and what is filled. */
  #start = 0
  #end = 0
  #flushed = 0

  /** Bytes written since the beginning. */
  get offset(): number {
    return this.#flushed + this.#end - this.#start
  }

  *flush(): Generator<Uint8Array> {
    if (this.#end === this.#start) return
    yield this.#buffer.subarray(this.#start, this.#end)
    this.#flushed += this.#end - this.#start
    this.#start = this.#end
  }

  /** Makes the next `take` of `length` bytes possible. */
  *room(length: number): Generator<Uint8Array> {
    if (this.#end + length <= BATCH) return
    yield* this.flush()
    this.#buffer = new Uint8Array(BATCH)
    this.#start = this.#end = 0
  }

  /** Zeroed bytes to be filled; `room` must have been asked for. */
  take(length: number): Uint8Array {
    this.#end += length
    return this.#buffer.subarray(this.#end - length, this.#end)
  }

  *append(bytes: Uint8Array): Generator<Uint8Array> {
    if (bytes.byteLength >= PASS_THROUGH) {
      yield* this.flush()
      yield bytes
      this.#flushed += bytes.byteLength
      return
    }
    yield* this.room(bytes.byteLength)
    this.take(bytes.byteLength).set(bytes)
  }

  *pad(): Generator<Uint8Array> {
    const length = (BLOCK - (this.offset % BLOCK)) % BLOCK
    yield* this.room(length)
    this.take(length)
  }

  *write(bytes: Uint8Array): Generator<Uint8Array> {
    yield* this.append(bytes)
    yield* this.pad()
  }
}

type PaxRecord = readonly [keyword: string, value: string | Uint8Array]
const NO_RECORDS: readonly PaxRecord[] = []

function paxRecordsOf(entry: TarInput): readonly PaxRecord[] {
  let records: PaxRecord[] | undefined
  const add = (keyword: string, value: string | Uint8Array) => void (records ??= []).push([keyword, value])
  const path = archivePath(entry)
  if (splitPath(path) === undefined) add('path', path)
  if (entry.linkpath !== undefined && !fitsField(entry.linkpath, FIELD.linkname[1])) {
    add('linkpath', entry.linkpath)
  }
  if (entry.uid > OCTAL_7) add('uid', String(entry.uid))
  if (entry.gid > OCTAL_7) add('gid', String(entry.gid))
  if ((entry.size ?? 0) > OCTAL_11) add('size', String(entry.size))
  if (entry.mtimeNsec !== 0 || entry.mtimeSec < 0 || entry.mtimeSec > OCTAL_11) {
    add('mtime', formatPaxTime(entry.mtimeSec, entry.mtimeNsec))
  }
  for (const [name, value] of entry.xattrs ?? []) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      throw invalid(entry, 'an xattr name has no form')
    add(xattrKeyword(name), value)
  }
  return records ?? NO_RECORDS
}

/** The path as it stands in the archive: directories end in `/`, the root is `./`. */
function archivePath({ kind, path }: TarInput): string {
  if (path === '') return './'
  return kind === 'dir' ? `${path}/` : path
}

/**
 * Whether text can stand in a field: it must fit, and be ASCII, because ustar says nothing of other encodings. Bytes that
 * are not UTF-8 have no PAX form either, so they go into the field as they are.
 */
function fitsField(text: string, length: number): boolean {
  if (text.length > length) return false
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) >= 0x80) return hasRawBytes(text) && encodePath(text).length <= length
  }
  return true
}

/** Name and prefix of a path, split at a `/`; `undefined` when it must go into a PAX record. */
function splitPath(path: string): { name: string; prefix: string } | undefined {
  if (fitsField(path, FIELD.name[1])) return { name: path, prefix: '' }
  if (path.length > FIELD.prefix[1] + 1 + FIELD.name[1]) return undefined
  // The last slash that leaves a name and lets the prefix fit: the shortest name, as Go's archive/tar splits.
  const last = path.lastIndexOf('/', Math.min(FIELD.prefix[1], path.length - 2))
  if (last <= 0) return undefined
  const [prefix, name] = [path.slice(0, last), path.slice(last + 1)]
  return fitsField(prefix, FIELD.prefix[1]) && fitsField(name, FIELD.name[1]) ? { name, prefix } : undefined
}

function writePaxHeader(block: Uint8Array, path: string, size: number): void {
  putAscii(block, FIELD.name[0], paxHeaderName(path))
  putOctal(block, FIELD.mode, 0)
  putOctal(block, FIELD.uid, 0)
  putOctal(block, FIELD.gid, 0)
  putOctal(block, FIELD.size, size)
  putOctal(block, FIELD.mtime, 0)
  finish(block, TYPE.pax)
}

function writeHeader(block: Uint8Array, entry: TarInput): void {
  const path = archivePath(entry)
  const split = splitPath(path)
  if (split === undefined) putAscii(block, FIELD.name[0], asciiPart(path))
  else {
    putText(block, FIELD.name[0], split.name)
    putText(block, FIELD.prefix[0], split.prefix)
  }
  const linkpath = entry.linkpath ?? ''
  if (fitsField(linkpath, FIELD.linkname[1])) putText(block, FIELD.linkname[0], linkpath)
  else putAscii(block, FIELD.linkname[0], asciiPart(linkpath))
  putOctal(block, FIELD.mode, entry.mode)
  putOctal(block, FIELD.uid, entry.uid > OCTAL_7 ? 0 : entry.uid)
  putOctal(block, FIELD.gid, entry.gid > OCTAL_7 ? 0 : entry.gid)
  const size = entry.size ?? 0
  putOctal(block, FIELD.size, size > OCTAL_11 ? 0 : size)
  const mtime = entry.mtimeSec < 0 || entry.mtimeSec > OCTAL_11 ? 0 : entry.mtimeSec
  putOctal(block, FIELD.mtime, mtime)
  const major = entry.devMajor ?? 0
  const minor = entry.devMinor ?? 0
  if (major > OCTAL_7 || minor > OCTAL_7) throw invalid(entry, 'a device number has no form')
  putOctal(block, FIELD.devmajor, major)
  putOctal(block, FIELD.devminor, minor)
  finish(block, TYPEFLAG[entry.kind])
}

/** Type, magic and checksum. */
function finish(block: Uint8Array, typeflag: number): void {
  block[FIELD.typeflag[0]] = typeflag
  putAscii(block, FIELD.magic[0], 'ustar\u000000')
  const sum = sumBlock(wordsOf(block), block, 0)
  putOctal(block, [FIELD.checksum[0], 7], sum)
  block[FIELD.checksum[0] + 7] = 0x20
}

/** All but the last byte of a field as octal digits, the last NUL. */
function putOctal(block: Uint8Array, [at, length]: readonly [number, number], value: number): void {
  let rest = value
  for (let i = at + length - 2; i >= at; i--) {
    block[i] = 0x30 + (rest % 8)
    rest = Math.floor(rest / 8)
  }
}

function putText(block: Uint8Array, at: number, text: string): void {
  if (hasRawBytes(text)) block.set(encodePath(text), at)
  else putAscii(block, at, text)
}

function putAscii(block: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) block[at + i] = text.charCodeAt(i)
}

/** Beside the entry, under a name of its own: what Go's archive/tar, and so every layer of BuildKit's, has there. */
function paxHeaderName(path: string): string {
  const at = path.lastIndexOf('/') + 1
  const directory = path.slice(0, at).replace(/\/+$/, '')
  const name = path.slice(at)
  const parts = [directory === '.' ? '' : directory, 'PaxHeaders.0', name]
  return asciiPart(parts.filter((part) => part !== '').join('/')).replace(/\/+$/, '')
}

/** What a reader without PAX shows: the first 100 ASCII characters. */
function asciiPart(text: string): string {
  let out = ''
  for (const char of text) if (char < '\u0080' && out.length < FIELD.name[1]) out += char
  return out
}

function invalid(entry: TarInput, message: string): LayerError {
  return new LayerError('LAYER_ENTRY_INVALID', `${JSON.stringify(entry.path)}: ${message}`, {
    data: { path: entry.path },
  })
}
