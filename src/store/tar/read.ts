// Archive → entries: one pass over the headers, contents never touched. Over bytes in memory nothing is copied; over a
// blob on disk headers come through a window of at most 256 KiB. Every length is checked before it is believed. Pure.
import { decodePath } from '../../path.js'
import type { BlobReader } from '../blobs.js'
import {
  BLOCK,
  FIELD,
  TYPE,
  checksumMatches,
  formatOf,
  isZeroBlock,
  readNumber,
  readText,
  tarError,
} from './header.js'
import { parsePax, paxNumber, paxPath, paxTime, paxXattrs, type PaxRecords } from './pax.js'
import { oldGnuSparse, paxSparse, sparseBytes, type SparseMap } from './sparse.js'

export type TarEntryKind = 'file' | 'dir' | 'symlink' | 'link' | 'chardev' | 'blockdev' | 'fifo'

/** One entry of an archive. Paths are as the archive has them, not normalised; see `decodePath` for their form. */
export interface TarEntry {
  readonly kind: TarEntryKind
  /** Where the entry begins in the archive, with its extension headers. Bytes. */
  readonly offset: number
  readonly path: string
  /** Target of a symlink or hard link, else ''. */
  readonly linkpath: string
  /** Permission bits with set-id and sticky, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of a file's content, holes included; 0 for other kinds. */
  readonly size: number
  readonly mtimeSec: number
  readonly mtimeNsec: number
  readonly devMajor: number
  readonly devMinor: number
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined
  /** Where the content begins in the archive; of a sparse file: its first run of data. */
  readonly dataOffset: number
  /** Set for a file with holes: its content is `readSparse`'s, not the `size` bytes at `dataOffset`. */
  readonly sparse: SparseMap | undefined
}

export interface ScanLimits {
  /** Entries in one archive; default 5,000,000. */
  readonly entriesMax?: number
  /** Bytes of one extension header (PAX records, a GNU long name); default 1 MiB, as in Go's archive/tar. */
  readonly extensionBytesMax?: number
  /** Bytes of one expanded sparse file; default 64 GiB. */
  readonly sparseBytesMax?: number
}

const LIMITS: Required<ScanLimits> = {
  entriesMax: 5_000_000,
  extensionBytesMax: 1024 * 1024,
  sparseBytesMax: 64 * 1024 ** 3,
}

/**
 * The entries of an uncompressed tar archive in their order: v7, ustar, star, old and new GNU, PAX.
 *
 * The archive ends at its first zero block or at the end of the bytes; what follows a zero block is not looked at, as in
 * GNU tar without --ignore-zeros. PAX records win over GNU long names, both over the header's fields; global PAX headers
 * hold for all entries after them.
 *
 * @throws LayerError TAR_HEADER_INVALID | TAR_PAX_INVALID | TAR_SPARSE_INVALID | TAR_TRUNCATED | LAYER_LIMIT, each with
 *         `data.offset`: the byte where the entry begins. From the iteration; entries before the fault were yielded.
 */
export function scanTar(archive: BlobReader | Uint8Array, limits: ScanLimits = {}): Iterable<TarEntry> {
  return new Scanner(archive, { ...LIMITS, ...limits }).entries()
}

const WINDOW_MIN = 4 * 1024
const WINDOW_MAX = 256 * 1024

/** The bytes around the scan's position. Grows while entries are small and falls back when contents are skipped. */
class Window {
  readonly size: number
  bytes: Uint8Array
  view: DataView
  readonly #reader: BlobReader | undefined
  #start = 0
  #ahead = WINDOW_MAX

  constructor(archive: BlobReader | Uint8Array) {
    const inMemory = archive instanceof Uint8Array
    this.#reader = inMemory ? undefined : archive
    // A plain view: subarray of Node's Buffer is several times slower.
    this.bytes = inMemory ? plain(archive) : new Uint8Array(0)
    this.view = viewOf(this.bytes)
    this.size = inMemory ? archive.byteLength : archive.size
  }

  /** Makes a block available. @returns its position in `bytes` */
  block(offset: number): number {
    const at = offset - this.#start
    if (this.#reader === undefined || (at >= 0 && at + BLOCK <= this.bytes.byteLength)) return at
    const skipped = offset - (this.#start + this.bytes.byteLength)
    this.#ahead = skipped > WINDOW_MAX ? WINDOW_MIN : Math.min(this.#ahead * 2, WINDOW_MAX)
    this.bytes = plain(this.#reader.read(offset, Math.min(this.#ahead, this.size - offset)))
    this.view = viewOf(this.bytes)
    this.#start = offset
    return 0
  }

  read(offset: number, length: number): Uint8Array {
    const at = offset - this.#start
    if (at >= 0 && at + length <= this.bytes.byteLength) return this.bytes.subarray(at, at + length)
    return this.#reader!.read(offset, length)
  }
}

function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** What extension headers have said about the entry that follows them. */
interface Extensions {
  /** Where the first of them begins. */
  readonly offset: number
  path?: string
  linkpath?: string
  pax?: PaxRecords
}

class Scanner {
  readonly #window: Window
  readonly #limits: Required<ScanLimits>
  #global: PaxRecords = { values: new Map(), sparse: [] }
  /** Where the next header is. */
  #next = 0

  constructor(archive: BlobReader | Uint8Array, limits: Required<ScanLimits>) {
    this.#window = new Window(archive)
    this.#limits = limits
  }

  *entries(): Generator<TarEntry> {
    let extensions: Extensions | undefined
    let count = 0
    while (this.#next < this.#window.size) {
      const offset = this.#next
      if (offset + BLOCK > this.#window.size) throw tarError('TAR_TRUNCATED', offset, 'the last block is cut')
      const at = this.#window.block(offset)
      const { bytes, view } = this.#window
      if (bytes[at] === 0 && isZeroBlock(bytes, at)) break
      if (!checksumMatches(view, bytes, at, offset)) {
        throw tarError('TAR_HEADER_INVALID', offset, 'the header checksum is wrong')
      }
      const typeflag = bytes[at + FIELD.typeflag[0]]!
      if (isExtension(typeflag)) {
        extensions = this.#extension(at, offset, typeflag, extensions)
        continue
      }
      const entry = this.#entry(at, offset, typeflag, extensions)
      extensions = undefined
      if (entry === undefined) continue
      if (++count > this.#limits.entriesMax) {
        throw tarError('LAYER_LIMIT', offset, `more than ${this.#limits.entriesMax} entries`)
      }
      yield entry
    }
    if (extensions !== undefined) {
      throw tarError('TAR_TRUNCATED', extensions.offset, 'no entry follows its extension header')
    }
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
        this.#global = merged(this.#global, parsePax(data, offset))
        return before
      default:
        extensions.pax = parsePax(data, extensions.offset)
        return extensions
    }
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
    const path = pathOf(bytes, at, format, pax, extensions, start)
    const kind = kindOf(typeflag, path)
    const stored = this.#number(pax, 'size', bytes, at, FIELD.size, start)
    const sparse = kind === 'file' ? this.#sparse(at, offset, typeflag, stored, records, start) : undefined
    const dataOffset = sparse?.dataOffset ?? offset + BLOCK
    // The blocks of an old GNU map stand between header and data and are not counted in the size.
    const dataStart = typeflag === TYPE.gnuSparse ? dataOffset : offset + BLOCK
    this.#skipTo(dataStart, isHeaderOnly(typeflag) ? 0 : stored, start)
    if (kind === undefined) {
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
    return this.#window.read(from, length)
  }

  /** Moves on to the header behind some data, which must be there; padding that is cut off at the end is not missed. */
  #skipTo(dataStart: number, length: number, offset: number): void {
    if (dataStart + length > this.#window.size) {
      throw tarError('TAR_TRUNCATED', offset, `${length} bytes are declared, the archive ends before them`)
    }
    // Small lengths by integer arithmetic; the other form holds up to 2^53.
    this.#next =
      dataStart + (length < 0x4000_0000 ? (length + BLOCK - 1) & -BLOCK : Math.ceil(length / BLOCK) * BLOCK)
  }
}

function isExtension(typeflag: number): boolean {
  return (
    typeflag === TYPE.pax ||
    typeflag === TYPE.paxGlobal ||
    typeflag === TYPE.gnuLongName ||
    typeflag === TYPE.gnuLongLink ||
    typeflag === TYPE.paxSolaris
  )
}

/** Types that never have data, whatever their size field says (Go's archive/tar; some writers put a file's size there). */
function isHeaderOnly(typeflag: number): boolean {
  return typeflag >= TYPE.link && typeflag <= TYPE.fifo
}

/** `undefined` for types that are no file system object. A regular file whose name ends in `/` is a v7 directory. */
function kindOf(typeflag: number, path: string): TarEntryKind | undefined {
  switch (typeflag) {
    case TYPE.regular:
    case TYPE.regularOld:
    case TYPE.contiguous:
      return path.charCodeAt(path.length - 1) === 0x2f ? 'dir' : 'file'
    case TYPE.gnuSparse:
      return 'file'
    case TYPE.dir:
    case TYPE.gnuDumpDir:
      return 'dir'
    case TYPE.symlink:
      return 'symlink'
    case TYPE.link:
      return 'link'
    case TYPE.chardev:
      return 'chardev'
    case TYPE.blockdev:
      return 'blockdev'
    case TYPE.fifo:
      return 'fifo'
    default:
      return undefined
  }
}

function pathOf(
  bytes: Uint8Array,
  at: number,
  format: string,
  pax: ReadonlyMap<string, Uint8Array> | undefined,
  extensions: Extensions | undefined,
  offset: number,
): string {
  const value = pax?.get('path')
  if (value !== undefined && value.length > 0) return paxPath(value, 'path', offset)
  if (extensions?.path !== undefined) return extensions.path
  const name = readText(bytes, at + FIELD.name[0], FIELD.name[1])
  if ((format !== 'ustar' && format !== 'star') || bytes[at + FIELD.prefix[0]] === 0) return name
  // star keeps atime and ctime in the last 24 bytes of the prefix.
  const length = format === 'star' ? FIELD.prefix[1] - 24 : FIELD.prefix[1]
  return `${readText(bytes, at + FIELD.prefix[0], length)}/${name}`
}

function linkpathOf(
  bytes: Uint8Array,
  at: number,
  pax: ReadonlyMap<string, Uint8Array> | undefined,
  extensions: Extensions | undefined,
  offset: number,
): string {
  const value = pax?.get('linkpath')
  if (value !== undefined && value.length > 0) return paxPath(value, 'linkpath', offset)
  return extensions?.linkpath ?? readText(bytes, at + FIELD.linkname[0], FIELD.linkname[1])
}

/** The PAX sparse formats put a made-up name in the header and in `path`, and the real one here. */
function sparsePath(path: string, pax: ReadonlyMap<string, Uint8Array> | undefined, offset: number): string {
  const name = pax?.get('GNU.sparse.name')
  return name === undefined || name.length === 0 ? path : paxPath(name, 'GNU.sparse.name', offset)
}

function untilNul(data: Uint8Array): string {
  const end = data.indexOf(0)
  return decodePath(end === -1 ? data : data.subarray(0, end))
}

function merged(below: PaxRecords, above: PaxRecords): PaxRecords {
  return { values: new Map([...below.values, ...above.values]), sparse: above.sparse }
}
