// What stands where in a layer index, for its writer and its reader; docs/format.md § Layer index says it in prose. Pure.
import type { NodeKind } from './node.js'

/** xxh64 with seed 0 (xxhash-wasm's `h64Raw`). */
export type Xxh64 = (bytes: Uint8Array) => bigint

/** "LAMIDX" and two bytes that text transfers would damage. */
export const MAGIC = Uint8Array.of(0x4c, 0x41, 0x4d, 0x49, 0x44, 0x58, 0x0d, 0x0a)
export const VERSION = 1
export const HEADER = 64
/** Where the checksummed part begins: everything behind the checksum. */
export const CHECKED_FROM = 24

/** Change kinds by number; a `put`'s node kinds first. */
export const KINDS: readonly (NodeKind | 'link' | 'delete' | 'opaque')[] = [
  'file',
  'dir',
  'symlink',
  'chardev',
  'blockdev',
  'fifo',
  'link',
  'delete',
  'opaque',
]
export const KIND_CODE: ReadonlyMap<string, number> = new Map(KINDS.map((kind, code) => [kind, code]))
export const LINK = 6
export const OPAQUE = 8
/** Kinds that have a target among the strings: symlinks, devices (`major:minor`), links. */
export const HAS_TARGET = [false, false, true, true, true, false, true, false, false]

/** 32-bit numbers of one metadata record: kind, mode, uid, gid, xattrs (1 + position in the extra part, or 0). */
export const META_WORDS = 5

export interface Sections {
  /** Numbers of changes, directories, metadata records, files with digest, sparse files. */
  readonly counts: {
    readonly n: number
    readonly dirs: number
    readonly metas: number
    readonly shas: number
    readonly holes: number
  }
  /** Bytes of the text and of the extra part. */
  readonly textBytes: number
  readonly extraBytes: number
}

/** Offsets of the columns; the 8-byte ones first, so that all are aligned. */
export function layout({ counts: { n, dirs, metas, shas, holes }, textBytes, extraBytes }: Sections) {
  let at = HEADER
  const take = (bytes: number) => {
    const start = at
    at += bytes
    return start
  }
  const columns = {
    size: take(n * 8),
    offset: take(n * 8),
    mtimeSec: take(n * 8),
    mtimeNsec: take(n * 4),
    dir: take(n * 4),
    meta: take(n * 4),
    dirParent: take(dirs * 4),
    metas: take(metas * META_WORDS * 4),
    shaOf: take(shas * 4),
    holeOf: take(holes * 8),
    sha: take(shas * 32),
    text: take(textBytes),
    extra: take(extraBytes),
  }
  return { ...columns, end: at }
}
