// Digests of single nodes and of directories from their parts: BuildKit's headers, byte for byte. Pure.
// @see moby/buildkit cache/contenthash/{tarsum,filehash,checksum}.go
import { digestOf, EMPTY_DIGEST, type Digest } from '../digest.js'
import { compareNames, encodePath, hasRawBytes } from '../path.js'
import type { NodeKind, TreeNode, Xattrs } from '../unionfs/index.js'
import { createSha256, sha256Hex } from '#platform'

/** Fields of the header that enter a digest. @see tarsum.go v1TarHeaderSelect */
export interface HeaderFields {
  readonly kind: NodeKind
  /** Permission bits with set-id and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of a file. */
  readonly size: number
  readonly target: string
  readonly rdevMajor: number
  readonly rdevMinor: number
  readonly xattrs: Xattrs | undefined
}

const TYPE_FLAGS: Readonly<Record<NodeKind, string>> = {
  file: '0',
  symlink: '2',
  chardev: '3',
  blockdev: '4',
  dir: '5',
  fifo: '6',
  // Contexts carry sockets as files, and layers have none.
  socket: '6',
}

/** The text of a header without extended attributes. Names, times, inode and link counts take no part. */
export function headerText(header: HeaderFields): string {
  const { kind } = header
  const mode = kind === 'symlink' ? 0o777 : header.mode & 0o7777
  return (
    `namemode${mode}uid${header.uid}gid${header.gid}size${kind === 'file' ? header.size : 0}` +
    `typeflag${TYPE_FLAGS[kind]}linkname${kind === 'symlink' ? header.target : ''}unamegname` +
    `devmajor${header.rdevMajor}devminor${header.rdevMinor}`
  )
}

/** Bytes of a header that is not plain text: a raw link target, or extended attributes, sorted by name. */
export function headerBytes(header: HeaderFields): Uint8Array | string {
  const text = headerText(header)
  if (header.xattrs === undefined) return hasRawBytes(text) ? encodePath(text) : text
  const parts = [encodePath(text)]
  for (const name of [...header.xattrs.keys()].filter(isHashedXattr).sort(compareNames)) {
    parts.push(encodePath(name), header.xattrs.get(name)!)
  }
  return concat(parts)
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** All but `security.*` (except the capabilities), `system.*` and Apple's. */
function isHashedXattr(name: string): boolean {
  if (name === 'security.capability') return true
  return !name.startsWith('security.') && !name.startsWith('system.') && !name.startsWith('com.apple.')
}

/** Digest of a header followed by content. */
export function digestWithContent(header: Uint8Array | string, content: Uint8Array): Digest {
  if (content.byteLength === 0) return digestOf(header)
  const state = createSha256()
  state.update(typeof header === 'string' ? encodePath(header) : header)
  state.update(content)
  return `sha256:${state.hex()}` as Digest
}

export interface Owned {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** Bytes of a file that are hashed at a time. */
const CHUNK = 1 << 20

/** Digest of a node of a tree: header and content of a file, header of anything else. */
export function treeNodeDigest(node: TreeNode, meta: Owned = node): Digest {
  const [rdevMajor, rdevMinor] = node.rdev
  const header = headerBytes({
    kind: node.kind,
    mode: meta.mode,
    uid: meta.uid,
    gid: meta.gid,
    size: node.size,
    target: node.target,
    rdevMajor,
    rdevMinor,
    xattrs: node.xattrs,
  })
  if (node.kind !== 'file' || node.size <= CHUNK) return digestWithContent(header, node.content())
  const state = createSha256()
  state.update(typeof header === 'string' ? encodePath(header) : header)
  for (let at = 0; at < node.size; at += CHUNK) {
    state.update(node.source!.read(node.offset + at, Math.min(CHUNK, node.size - at)))
  }
  return `sha256:${state.hex()}` as Digest
}

/**
 * What stands for the header of a build context's root, which never reaches BuildKit: the digest of nothing. Of a context
 * without any entry BuildKit is told nothing at all; it then looks at the folder that it made, an ordinary directory.
 *
 * @see checksum.go HandleChange, scanPath
 */
export function contextRootHeader(isEmpty: boolean): Digest {
  return isEmpty ? digestOf(headerText(BARE_DIR)) : EMPTY_DIGEST
}

const BARE_DIR: HeaderFields = {
  kind: 'dir',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  target: '',
  rdevMajor: 0,
  rdevMinor: 0,
  xattrs: undefined,
}

/** Digest of a directory from its header's and its entries' digests, entries in byte order. */
export function combineDir(header: Digest, names: readonly string[], digests: readonly Digest[]): Digest {
  let text = `\0${header}`
  for (let i = 0; i < names.length; i++) text += `\0${names[i]!}${digests[i]!}`
  return `sha256:${sha256Hex(hasRawBytes(text) ? encodePath(text) : text)}` as Digest
}
