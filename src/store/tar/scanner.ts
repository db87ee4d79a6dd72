// The headers of an archive one after the other: what scanTar yields as objects and what layer indexes are made from
// without any. Every length is checked before it is believed. Pure.
//
// A scan stops where bytes are missing that a stream has yet to bring, and reads that header again when they are there:
// until a header is done it changes nothing.
import type { LayerError } from '../../errors.js'
import {
  goKindOf,
  isExtension,
  isHeaderOnly,
  kindOf,
  linkpathOf,
  pathOf,
  sparsePath,
  unknownType,
  untilNul,
  type Extensions,
} from './entry-fields.js'
import {
  BLOCK,
  FIELD,
  TYPE,
  checksumMatches,
  formatOf,
  isZeroBlock,
  plainField,
  readNumber,
  tarError,
} from './header.js'
import { parsePax, paxNumber, paxTime, paxXattrs, type PaxRecords } from './pax.js'
import { PlainHeader, plainPath } from './plain-header.js'
import type { ScanLimits, TarEntry } from './read.js'
import { oldGnuSparse, paxSparse, sparseBytes, type SparseMap } from './sparse.js'
import type { Window } from './window.js'

const LIMITS: Required<ScanLimits> = {
  entriesMax: 5_000_000,
  extensionBytesMax: 1024 * 1024,
  sparseBytesMax: 64 * 1024 ** 3,
  likeGo: false,
}

/** Thrown inside a scan of a stream when a header's own data have not come yet. */
const BYTES_MISSING = new Error('bytes are missing')

/**
 * - `plain`, `entry`: the scanner's field of that name holds the next entry
 * - `more`: of a stream, the next chunk is needed
 * - `end`: there are no more entries
 */
export type ScanStep = 'plain' | 'entry' | 'more' | 'end'

/** One scan. Errors are `scanTar`'s; after one the scan is over. */
export class TarScanner {
  readonly plain = new PlainHeader()
  entry: TarEntry | undefined
  readonly #window: Window
  readonly #limits: Required<ScanLimits>
  #global: PaxRecords = { values: new Map(), sparse: [] }
  #extensions: Extensions | undefined
  /** Whether an extension header says something about the next entry. */
  #isExtended = false
  /** Where the next header is. */
  #next = 0
  /** Of the last header: where its data end, how long they are, where its entry begins. */
  readonly #data = { end: 0, length: 0, of: 0 }
  #count = 0

  constructor(window: Window, limits: ScanLimits = {}) {
    this.#window = window
    this.#limits = { ...LIMITS, ...limits }
  }

  next(): ScanStep {
    const window = this.#window
    for (;;) {
      const offset = this.#next
      if (offset >= window.size) return this.#end()
      window.begin(offset)
      const at = window.locate(offset, BLOCK)
      if (at < 0) {
        if (offset + BLOCK > window.size) throw tarError('TAR_TRUNCATED', offset, 'the last block is cut')
        return 'more'
      }
      const { bytes } = window
      if (bytes[at] === 0 && isZeroBlock(bytes, at)) {
        if (this.#limits.likeGo) this.#expectSecondZeros(offset)
        return this.#end()
      }
      if (!checksumMatches(window.words, bytes, at, offset)) {
        throw tarError('TAR_HEADER_INVALID', offset, 'the header checksum is wrong')
      }
      if (!this.#isExtended && this.#plain(bytes, at, offset)) {
        this.#counted(offset)
        return 'plain'
      }
      try {
        if (this.#full(bytes, at, offset)) return 'entry'
      } catch (error) {
        if (error === BYTES_MISSING) return 'more'
        throw error
      }
    }
  }

  #end(): 'end' {
    this.#next = Number.POSITIVE_INFINITY
    // Of a stream it is known only now that it ends too early.
    if (this.#data.end > this.#window.size) throw this.#cut()
    if (this.#extensions !== undefined && !this.#limits.likeGo) {
      throw tarError('TAR_TRUNCATED', this.#extensions.offset, 'no entry follows its extension header')
    }
    return 'end'
  }

  /** @throws LayerError TAR_HEADER_INVALID when anything but zeros, or the end of the bytes, follows a zero block */
  #expectSecondZeros(offset: number): void {
    const second = offset + BLOCK
    if (second + BLOCK > this.#window.size) return
    if (!isZeroBlock(this.#read(second, BLOCK, offset), 0)) {
      throw tarError('TAR_HEADER_INVALID', offset, 'a single zero block stands before more')
    }
  }

  #counted(offset: number): void {
    if (++this.#count > this.#limits.entriesMax) {
      throw tarError('LAYER_LIMIT', offset, `more than ${this.#limits.entriesMax} entries`)
    }
  }

  /** @returns false, with nothing changed, when the header is not as plain as that */
  #plain(bytes: Uint8Array, at: number, offset: number): boolean {
    const typeflag = bytes[at + FIELD.typeflag[0]]
    const isDir = typeflag === TYPE.dir
    if (!isDir && typeflag !== TYPE.regular) return false
    const header = this.plain
    const { words } = this.#window
    if (!plainPath(bytes, at, header)) return false
    // A file whose name ends in a slash is a v7 directory, unless Go reads it.
    if (!isDir && header.path[header.pathEnd - 1] === 0x2f) return false
    const mode = plainField(words, bytes, at, FIELD.mode)
    const uid = plainField(words, bytes, at, FIELD.uid)
    const gid = plainField(words, bytes, at, FIELD.gid)
    const stored = plainField(words, bytes, at, FIELD.size)
    const mtime = plainField(words, bytes, at, FIELD.mtime)
    if (mode < 0 || uid < 0 || gid < 0 || stored < 0 || mtime < 0) return false
    const size = isDir ? 0 : stored
    this.#skipTo(offset + BLOCK, size, offset)
    header.kind = isDir ? 'dir' : 'file'
    header.offset = offset
    header.mode = mode & 0o7777
    header.uid = uid
    header.gid = gid
    header.size = size
    header.mtimeSec = mtime
    return true
  }

  /** @returns whether it brought an entry */
  #full(bytes: Uint8Array, at: number, offset: number): boolean {
    const typeflag = bytes[at + FIELD.typeflag[0]]!
    if (isExtension(typeflag) && !(this.#limits.likeGo && typeflag === TYPE.paxSolaris)) {
      this.#extensions = this.#extension(at, offset, typeflag, this.#extensions)
      this.#isExtended = this.#extensions !== undefined || this.#global.values.size > 0
      return false
    }
    this.entry = this.#entry(at, offset, typeflag, this.#extensions)
    this.#extensions = undefined
    this.#isExtended = this.#global.values.size > 0
    if (this.entry === undefined) return false
    this.#counted(offset)
    return true
  }

  #extension(
    at: number,
    offset: number,
    typeflag: number,
    before: Extensions | undefined,
  ): Extensions | undefined {
    const size = readNumber(this.#window.bytes, at + FIELD.size[0], FIELD.size[1], offset)
    if (size < 0 || size > this.#limits.extensionBytesMax) {
      throw tarError('LAYER_LIMIT', offset, `an extension header of ${size} bytes`)
    }
    const data = this.#read(offset + BLOCK, size, offset)
    this.#skipTo(offset + BLOCK, size, offset)
    const extensions = before ?? { offset }
    switch (typeflag) {
      case TYPE.gnuLongName:
        extensions.path = untilNul(data)
        return extensions
      case TYPE.gnuLongLink:
        extensions.linkpath = untilNul(data)
        return extensions
      case TYPE.paxGlobal:
        return this.#readGlobal(parsePax(data, offset), before)
      default:
        extensions.pax = parsePax(data, extensions.offset)
        return extensions
    }
  }

  #readGlobal(records: PaxRecords, before: Extensions | undefined): Extensions | undefined {
    // To Go it is an entry of its own: it ends what extensions before it have said.
    if (this.#limits.likeGo) return undefined
    this.#global = merged(this.#global, records)
    return before
  }

  #entry(
    at: number,
    offset: number,
    typeflag: number,
    extensions: Extensions | undefined,
  ): TarEntry | undefined {
    const { bytes } = this.#window
    const start = extensions?.offset ?? offset
    const records = this.#records(extensions?.pax)
    const pax = records?.values
    const format = formatOf(bytes, at)
    if (this.#limits.likeGo && typeflag === TYPE.gnuSparse && format !== 'gnu') {
      throw tarError('TAR_HEADER_INVALID', start, 'a sparse file of GNU in another format')
    }
    const path = pathOf(bytes, at, format, pax, extensions, start)
    const kind = this.#limits.likeGo ? goKindOf(typeflag, path) : kindOf(typeflag, path)
    const stored = this.#number(pax, 'size', bytes, at, FIELD.size, start)
    const sparse = kind === 'file' ? this.#sparse(at, offset, typeflag, stored, records, start) : undefined
    const dataOffset = sparse?.dataOffset ?? offset + BLOCK
    // The blocks of an old GNU map stand between header and data and are not counted in the size.
    const dataStart = typeflag === TYPE.gnuSparse ? dataOffset : offset + BLOCK
    this.#skipTo(dataStart, isHeaderOnly(typeflag) ? 0 : stored, start)
    if (kind === undefined) {
      if (this.#limits.likeGo) throw unknownType(typeflag, start)
      if (typeflag === TYPE.gnuVolume) return undefined
      throw tarError('TAR_HEADER_INVALID', start, `unknown entry type 0x${typeflag.toString(16)}`)
    }
    const isLink = kind === 'symlink' || kind === 'link'
    const isDevice = kind === 'chardev' || kind === 'blockdev'
    const mtime = pax?.get('mtime')
    const time = mtime === undefined || mtime.length === 0 ? undefined : paxTime(mtime, start)
    return {
      kind,
      offset: start,
      path: sparse === undefined ? path : sparsePath(path, pax, start),
      linkpath: isLink ? linkpathOf(bytes, at, pax, extensions, start) : '',
      mode: readNumber(bytes, at + FIELD.mode[0], FIELD.mode[1], start) & 0o7777,
      uid: this.#number(pax, 'uid', bytes, at, FIELD.uid, start),
      gid: this.#number(pax, 'gid', bytes, at, FIELD.gid, start),
      size: kind === 'file' ? (sparse?.realSize ?? stored) : 0,
      mtimeSec: time?.sec ?? readNumber(bytes, at + FIELD.mtime[0], FIELD.mtime[1], start),
      mtimeNsec: time?.nsec ?? 0,
      devMajor: isDevice ? readNumber(bytes, at + FIELD.devmajor[0], FIELD.devmajor[1], start) : 0,
      devMinor: isDevice ? readNumber(bytes, at + FIELD.devminor[0], FIELD.devminor[1], start) : 0,
      xattrs: pax === undefined ? undefined : paxXattrs(pax),
      dataOffset,
      sparse,
    }
  }

  #records(local: PaxRecords | undefined): PaxRecords | undefined {
    if (this.#global.values.size === 0) return local
    return local === undefined ? this.#global : merged(this.#global, local)
  }

  #number(
    pax: ReadonlyMap<string, Uint8Array> | undefined,
    keyword: 'size' | 'uid' | 'gid',
    bytes: Uint8Array,
    at: number,
    field: readonly [number, number],
    offset: number,
  ): number {
    const value = pax?.get(keyword)
    const number =
      value === undefined || value.length === 0
        ? readNumber(bytes, at + field[0], field[1], offset)
        : paxNumber(value, keyword, offset)
    if (number < 0) throw tarError('TAR_HEADER_INVALID', offset, `negative ${keyword}`)
    return number
  }

  #sparse(
    at: number,
    offset: number,
    typeflag: number,
    stored: number,
    records: PaxRecords | undefined,
    start: number,
  ): SparseMap | undefined {
    const read = (from: number, length: number) => this.#read(from, length, start)
    let sparse: SparseMap | undefined
    // Reading the map may move the window, so the header is handed over as a copy of its own.
    if (typeflag === TYPE.gnuSparse) {
      sparse = oldGnuSparse(new Uint8Array(this.#window.bytes.subarray(at, at + BLOCK)), 0, offset, read)
    } else if (records !== undefined) {
      sparse = paxSparse(records, offset + BLOCK, stored, start, read)
    }
    if (sparse === undefined) return undefined
    const mapBytes = typeflag === TYPE.gnuSparse ? 0 : sparse.dataOffset - offset - BLOCK
    if (sparseBytes(sparse) !== stored - mapBytes) {
      throw tarError('TAR_SPARSE_INVALID', start, 'the sparse runs are not as long as the data')
    }
    if (sparse.realSize > this.#limits.sparseBytesMax) {
      throw tarError('LAYER_LIMIT', start, `a sparse file of ${sparse.realSize} bytes`)
    }
    return sparse
  }

  #read(from: number, length: number, offset: number): Uint8Array {
    if (from + length > this.#window.size)
      throw tarError('TAR_TRUNCATED', offset, 'the archive ends inside it')
    const bytes = this.#window.read(from, length)
    if (bytes === undefined) throw BYTES_MISSING
    return bytes
  }

  /** Moves on to the header behind some data, which must be there; padding that is cut off at the end is not missed. */
  #skipTo(dataStart: number, length: number, offset: number): void {
    const data = this.#data
    data.end = dataStart + length
    data.length = length
    data.of = offset
    if (data.end > this.#window.size) throw this.#cut()
    // Small lengths by integer arithmetic; the other form holds up to 2^53.
    this.#next =
      dataStart + (length < 0x4000_0000 ? (length + BLOCK - 1) & -BLOCK : Math.ceil(length / BLOCK) * BLOCK)
  }

  #cut(): LayerError {
    const { length, of } = this.#data
    return tarError('TAR_TRUNCATED', of, `${length} bytes are declared, the archive ends before them`)
  }
}

function merged(below: PaxRecords, above: PaxRecords): PaxRecords {
  return { values: new Map([...below.values, ...above.values]), sparse: above.sparse }
}
