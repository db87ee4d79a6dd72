// A layer's tar ⇄ its changeset. Reading leaves contents in the blob; writing streams them. What the archive's bytes look
// like is the tar codec's; what the changes do to a tree is apply.ts's.
// @see OCI image-spec v1.1 layer.md
import { LayerError } from '../errors.js'
import { encodePath, escapesRoot, normalizePath } from '../path.js'
import type { BlobReader } from '../store/index.js'
import {
  encodeTar,
  readSparse,
  scanTar,
  type EncodeOptions,
  type ScanLimits,
  type SparseMap,
  type TarEntry,
  type TarInput,
  type TarRange,
} from '../store/index.js'
import type { Change, Changeset } from './changeset.js'
import { contentChunks } from './content.js'
import { TreeNode, bytesSource, type ContentSource, type NodeKind, type Origin } from './node.js'
import { isAufsMetadata, isReservedPath, opaqueName, parseWhiteout, whiteoutName } from './whiteout.js'

export interface ReadLayerOptions {
  /** Set on every node. */
  readonly origin?: Origin | undefined
  /** Where contents are read from; default: the archive itself. Offsets are the archive's. */
  readonly source?: ContentSource | undefined
  readonly limits?: ScanLimits
}

/** Linux: names of at most 255 bytes (NAME_MAX), paths of less than 4,096 with their NUL (PATH_MAX). */
const NAME_MAX = 255
const PATH_MAX = 4095
/** (uid_t) -1 means "no change" to chown(2), so it can own nothing. */
const ID_MAX = 0xffff_fffe

/**
 * The changes that a layer makes, in its own order. Names are cleaned as docker does it: leading `/` and `.` go, `..` is
 * resolved; a name that would climb above the root is an error.
 *
 * @param archive  the uncompressed tar; file nodes keep it as their content source
 * @throws LayerError TAR_* from the archive; LAYER_PATH_INVALID, LAYER_ENTRY_INVALID, LAYER_LINK_INVALID, LAYER_LIMIT
 *         from an entry, all with `data.offset`
 */
export function readLayer(archive: BlobReader | Uint8Array, options: ReadLayerOptions = {}): Changeset {
  return [...readChanges(archive, options)]
}

interface Reading {
  readonly source: ContentSource
  readonly origin: Origin | undefined
  /** Files below aufs' metadata, and the first name that was linked to each. */
  readonly parked: Map<string, { readonly node: TreeNode; path?: string }>
}

/** As `readLayer`, one after the other. @internal */
export function* readChanges(
  archive: BlobReader | Uint8Array,
  options: ReadLayerOptions = {},
): Generator<Change> {
  const changeOf = changeReader(options.source ?? contentSourceOf(archive), options.origin)
  for (const entry of scanTar(archive, options.limits)) {
    const change = changeOf(entry)
    if (change !== undefined) yield change
  }
}

/** What the entries of one layer say, given in their order; nothing for aufs' bookkeeping. @internal */
export function changeReader(
  source: ContentSource,
  origin?: Origin,
): (entry: TarEntry) => Change | undefined {
  const reading: Reading = { source, origin, parked: new Map() }
  return (entry) => changeOf(entry, reading)
}

/** The blob as a content source; one per blob lets equal places be recognised without reading. */
export function contentSourceOf(archive: BlobReader | Uint8Array): ContentSource {
  return archive instanceof Uint8Array
    ? bytesSource(archive)
    : { read: (offset, length) => archive.read(offset, length) }
}

function changeOf(entry: TarEntry, reading: Reading): Change | undefined {
  const path = cleanName(entry.path, entry)
  if (path.includes('.wh.')) {
    if (isAufsMetadata(path)) {
      if (entry.kind === 'file') reading.parked.set(path, { node: nodeOf(entry, entry.kind, reading) })
      return undefined
    }
    const whiteout = withOffset(entry, () => parseWhiteout(path))
    if (isReservedPath(whiteout === undefined ? path : whiteout.path)) {
      throw fault('LAYER_PATH_INVALID', entry, 'names that begin with .wh. are reserved')
    }
    if (whiteout !== undefined) {
      // The hidden name is what must fit, not that of its marker, which is never a file.
      checkLengths(whiteout.path, entry)
      return whiteout
    }
  }
  checkLengths(path, entry)
  if (entry.kind === 'link') {
    const target = linkTarget(path, entry)
    return isAufsMetadata(target) ? unpark(path, target, entry, reading) : { kind: 'link', path, target }
  }
  if (path === '' && entry.kind !== 'dir')
    throw fault('LAYER_ENTRY_INVALID', entry, 'the root is not a directory')
  return { kind: 'put', path, node: nodeOf(entry, entry.kind, reading) }
}

/**
 * aufs kept the inode of linked files below `.wh..wh.plnk` and made all their names links to it; layers of old Docker
 * images still say it so. The first name gets the file, the others link to that.
 */
function unpark(path: string, target: string, entry: TarEntry, { parked }: Reading): Change {
  const found = parked.get(target)
  if (found === undefined) throw fault('LAYER_LINK_INVALID', entry, `${quote(target)} is not in the layer`)
  if (found.path !== undefined) return { kind: 'link', path, target: found.path }
  found.path = path
  return { kind: 'put', path, node: found.node }
}

function nodeOf(entry: TarEntry, kind: NodeKind, { source, origin }: Reading): TreeNode {
  if (entry.uid > ID_MAX || entry.gid > ID_MAX)
    throw fault('LAYER_ENTRY_INVALID', entry, 'owner exceeds 2^32-2')
  const isFile = kind === 'file' && entry.size > 0
  const init = {
    kind,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeSec: entry.mtimeSec,
    mtimeNsec: entry.mtimeNsec,
    xattrs: entry.xattrs,
    size: entry.size,
    source: isFile ? source : undefined,
    offset: isFile ? entry.dataOffset : 0,
    origin,
  }
  if (entry.sparse !== undefined && isFile) {
    init.source = new SparseContent(entry.sparse, source)
    init.offset = 0
  }
  if (kind === 'symlink') {
    const size = encodePath(entry.linkpath).length
    if (size === 0 || entry.linkpath.includes('\0'))
      throw fault('LAYER_ENTRY_INVALID', entry, 'an empty symlink')
    if (size > PATH_MAX) throw fault('LAYER_LIMIT', entry, `a symlink target of ${size} bytes`)
    // Linux gives symlinks no mode of their own: always 0777.
    return new TreeNode({ ...init, mode: 0o777, size, target: entry.linkpath })
  }
  if (kind === 'chardev' || kind === 'blockdev') {
    return new TreeNode({ ...init, rdevMajor: entry.devMajor, rdevMinor: entry.devMinor })
  }
  return new TreeNode(init)
}

/** A hole costs nothing in a layer; expanded in one piece it may not take more memory than this. */
const READ_MAX = 2 ** 31

/** A file with holes, expanded while it is read. */
export class SparseContent implements ContentSource {
  readonly map: SparseMap
  readonly #source: ContentSource

  constructor(map: SparseMap, source: ContentSource) {
    this.map = map
    this.#source = source
  }

  read(offset: number, length: number): Uint8Array {
    if (length > READ_MAX) {
      throw new LayerError('LAYER_LIMIT', `${length} bytes of a sparse file do not fit into memory`, {
        data: { length },
      })
    }
    return readSparse(this.map, (from, bytes) => this.#source.read(from, bytes), offset, length)
  }
}

function linkTarget(path: string, entry: TarEntry): string {
  if (entry.linkpath === '') throw fault('LAYER_LINK_INVALID', entry, 'a hard link without target')
  const target = cleanName(entry.linkpath, entry)
  checkLengths(target, entry)
  if (target === path || target === '')
    throw fault('LAYER_LINK_INVALID', entry, 'a hard link to itself or the root')
  return target
}

const NEEDS_CLEANING = /(?:^|\/)(?:\.{0,2})(?:\/|$)/

function cleanName(name: string, entry: TarEntry): string {
  let path = name.endsWith('/') ? name.slice(0, -1) : name
  if (mayNeedCleaning(path) && NEEDS_CLEANING.test(path)) {
    if (escapesRoot(path)) throw fault('LAYER_PATH_INVALID', entry, `${JSON.stringify(name)} leaves the root`)
    path = normalizePath(path)
  }
  return path
}

/** A quick look that spares most names the pattern: dots and slashes side by side, or at the beginning. */
function mayNeedCleaning(path: string): boolean {
  const first = path.charCodeAt(0)
  return first === DOT || first === SLASH || path.endsWith('/') || path.includes('/.') || path.includes('//')
}

const DOT = 0x2e
const SLASH = 0x2f

function checkLengths(path: string, entry: TarEntry): void {
  if (path.length <= NAME_MAX / 3) return
  const bytes = encodePath(path)
  if (bytes.length > PATH_MAX) throw fault('LAYER_LIMIT', entry, `a path of ${bytes.length} bytes`)
  for (let start = 0; start < bytes.length;) {
    const slash = bytes.indexOf(0x2f, start)
    const end = slash === -1 ? bytes.length : slash
    if (end - start > NAME_MAX) throw fault('LAYER_LIMIT', entry, `a name of ${end - start} bytes`)
    start = end + 1
  }
}

type Fault = 'LAYER_PATH_INVALID' | 'LAYER_ENTRY_INVALID' | 'LAYER_LINK_INVALID' | 'LAYER_LIMIT'

function fault(code: Fault, entry: TarEntry, message: string): LayerError {
  return new LayerError(code, `layer entry ${quote(entry.path)} at byte ${entry.offset}: ${message}`, {
    data: { path: entry.path, offset: entry.offset },
  })
}

function quote(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path)
}

function withOffset<T>(entry: TarEntry, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof LayerError)) throw error
    throw new LayerError(error.code, `${error.message} (entry at byte ${entry.offset})`, {
      data: { ...error.data, offset: entry.offset },
      cause: error,
    })
  }
}

/** A change, or entries of a layer that was written before, as they stand there. */
export type LayerPart = Change | TarRange

/**
 * The changeset as an uncompressed OCI layer tar, in the changeset's order: equal changesets give equal bytes. Contents
 * are read when they are reached, once, in pieces.
 *
 * @throws LayerError LAYER_PATH_INVALID for names that begin with `.wh.`, which no layer can hold
 * @throws LayerError LAYER_LINK_INVALID for a `link` whose target the changeset does not `put` before: unpackers give a
 *         link entry's metadata to its target, so they must be known
 * @throws LayerError LAYER_ENTRY_INVALID for a socket, and for numbers that a tar cannot hold
 */
export function encodeLayer(
  changeset: readonly LayerPart[],
  options: EncodeOptions = {},
): Generator<Uint8Array> {
  return encodeTar(inputsOf(changeset), options)
}

function* inputsOf(changeset: readonly LayerPart[]): Generator<TarInput | TarRange> {
  const targets = changeset.some((change) => change.kind === 'link') ? new Map<string, TreeNode>() : undefined
  for (const change of changeset) {
    if (change.kind === 'range') {
      yield change
      continue
    }
    if (change.path.includes('.wh.') && isReservedPath(change.path)) {
      throw new LayerError(
        'LAYER_PATH_INVALID',
        `${quote(change.path)}: no layer can hold names that begin with .wh.`,
        {
          data: { path: change.path },
        },
      )
    }
    switch (change.kind) {
      case 'put':
        targets?.set(change.path, change.node)
        yield inputOf(change.path, change.node)
        break
      case 'link': {
        const node = targets!.get(change.target)
        if (node === undefined) {
          throw new LayerError(
            'LAYER_LINK_INVALID',
            `link ${quote(change.path)}: its target is not in the layer`,
            {
              data: { path: change.path, target: change.target },
            },
          )
        }
        targets!.set(change.path, node)
        yield { ...inputOf(change.path, node), kind: 'link', linkpath: change.target, size: 0, content: [] }
        break
      }
      case 'delete':
        yield marker(whiteoutName(change.path))
        break
      case 'opaque':
        yield marker(opaqueName(change.path))
        break
    }
  }
}

function inputOf(path: string, node: TreeNode): TarInput {
  if (node.kind === 'socket') {
    throw new LayerError('LAYER_ENTRY_INVALID', `${quote(path)}: a layer cannot hold a socket`, {
      data: { path },
    })
  }
  const [devMajor, devMinor] = node.rdev
  return {
    kind: node.kind,
    path,
    linkpath: node.kind === 'symlink' ? node.target : '',
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    size: node.kind === 'file' ? node.size : 0,
    mtimeSec: node.mtimeSec,
    mtimeNsec: node.mtimeNsec,
    devMajor,
    devMinor,
    xattrs: node.xattrs,
    content: contentChunks(node),
  }
}

/** A whiteout: an empty file. Unpackers look at its name only. */
function marker(path: string): TarInput {
  return { kind: 'file', path, mode: 0o644, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0 }
}
