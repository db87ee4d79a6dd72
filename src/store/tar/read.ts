// Archive → entries: one pass over the headers, contents never touched. Over bytes in memory nothing is copied; over a
// blob on disk headers come through a window of at most 256 KiB. Pure.
import type { BlobReader } from '../blobs.js'
import { TarScanner } from './scanner.js'
import type { SparseMap } from './sparse.js'
import { ReaderWindow, Window } from './window.js'

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
  /**
   * To read as Go's archive/tar reads, where that is stricter or takes something else to be meant: global PAX headers say
   * nothing about later entries, only the old type NUL makes a directory of a name that ends in a slash, what no file
   * system has (also types 7, D, S, V, X) is TAR_TYPE_UNKNOWN with `data.typeflag`, an extension header may be the last, and
   * one zero block alone does not end an archive that goes on. Default: false.
   */
  readonly likeGo?: boolean
}

/**
 * The entries of an uncompressed tar archive in their order: v7, ustar, star, old and new GNU, PAX.
 *
 * The archive ends at its first zero block or at the end of the bytes; what follows a zero block is not looked at, as in
 * GNU tar without --ignore-zeros. PAX records win over GNU long names, both over the header's fields; global PAX headers
 * hold for all entries after them.
 *
 * @throws LayerError TAR_HEADER_INVALID | TAR_TYPE_UNKNOWN | TAR_PAX_INVALID | TAR_SPARSE_INVALID | TAR_TRUNCATED | LAYER_LIMIT, each with
 *         `data.offset`: the byte where the entry begins. From the iteration; entries before the fault were yielded.
 */
export function* scanTar(
  archive: BlobReader | Uint8Array,
  limits: ScanLimits = {},
): Generator<TarEntry, undefined> {
  const scanner = new TarScanner(windowOver(archive), limits)
  for (;;) {
    switch (scanner.next()) {
      case 'plain':
        yield scanner.plain.toEntry()
        break
      case 'entry':
        yield scanner.entry!
        break
      default:
        return
    }
  }
}

/** What a scan sees of an archive: its bytes in memory, or a window that moves over a blob. */
export function windowOver(archive: BlobReader | Uint8Array): Window {
  return archive instanceof Uint8Array ? new Window(archive.byteLength, archive) : new ReaderWindow(archive)
}
