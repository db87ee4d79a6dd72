// What an entry's kind, path and target are, by its header and the extension headers before it. Pure.
import { LayerError } from '../../errors.js'
import { decodePath } from '../../path.js'
import { FIELD, TYPE, readText } from './header.js'
import { paxPath, type PaxRecords } from './pax.js'
import type { TarEntryKind } from './read.js'

/** What extension headers have said about the entry that follows them. */
export interface Extensions {
  /** Where the first of them begins. */
  readonly offset: number
  path?: string
  linkpath?: string
  pax?: PaxRecords
}

/** Types of headers that speak of the entry behind them. */
export function isExtension(typeflag: number): boolean {
  return (
    typeflag === TYPE.pax ||
    typeflag === TYPE.paxGlobal ||
    typeflag === TYPE.gnuLongName ||
    typeflag === TYPE.gnuLongLink ||
    typeflag === TYPE.paxSolaris
  )
}

/** Types that never have data, whatever their size field says (Go's archive/tar; some writers put a file's size there). */
export function isHeaderOnly(typeflag: number): boolean {
  return typeflag >= TYPE.link && typeflag <= TYPE.fifo
}

/** `undefined` for types that are no file system object. A regular file whose name ends in `/` is a v7 directory. */
export function kindOf(typeflag: number, path: string): TarEntryKind | undefined {
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

/** @see Go archive/tar Reader.next: TypeRegA */
export function goKindOf(typeflag: number, path: string): TarEntryKind | undefined {
  const isForeign =
    typeflag === TYPE.contiguous || typeflag === TYPE.gnuDumpDir || typeflag === TYPE.gnuSparse
  if (isForeign) return undefined
  return typeflag === TYPE.regular ? 'file' : kindOf(typeflag, path)
}

export function unknownType(typeflag: number, offset: number): LayerError {
  return new LayerError('TAR_TYPE_UNKNOWN', `unhandled tar header type ${typeflag}`, {
    data: { offset, typeflag },
  })
}

export function pathOf(
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

export function linkpathOf(
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
export function sparsePath(
  path: string,
  pax: ReadonlyMap<string, Uint8Array> | undefined,
  offset: number,
): string {
  const name = pax?.get('GNU.sparse.name')
  return name === undefined || name.length === 0 ? path : paxPath(name, 'GNU.sparse.name', offset)
}

export function untilNul(data: Uint8Array): string {
  const end = data.indexOf(0)
  return decodePath(end === -1 ? data : data.subarray(0, end))
}
