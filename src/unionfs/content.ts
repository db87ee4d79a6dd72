// Contents of files compared and named: by place where that is enough, by bytes where it is not. Pure.
import { createSha256 } from '#platform'
import type { TreeNode } from './node.js'

/** Bytes read at a time, so that no file is ever whole in memory. */
const CHUNK = 1024 * 1024

/** A file's content in pieces of at most 1 MiB; they may share memory with the source: never write into them. */
export function* contentChunks(node: TreeNode, chunkBytes = CHUNK): Generator<Uint8Array> {
  if (node.source === undefined) return
  for (let at = 0; at < node.size; at += chunkBytes) {
    yield node.source.read(node.offset + at, Math.min(chunkBytes, node.size - at))
  }
}

/** sha256 of a file's content as 64 hex digits; computed at most once per node. */
export function contentDigest(node: TreeNode): string {
  if (node.contentSha256 === undefined) {
    const hash = createSha256()
    for (const chunk of contentChunks(node)) hash.update(chunk)
    node.contentSha256 = hash.hex()
  }
  return node.contentSha256
}

/** Whether two files have the same bytes. Reads as little as it can: nothing when place or digests tell. */
export function sameContent(a: TreeNode, b: TreeNode): boolean {
  if (a.size !== b.size) return false
  if (a.size === 0 || (a.source === b.source && a.offset === b.offset)) return true
  if (a.contentSha256 !== undefined && b.contentSha256 !== undefined)
    return a.contentSha256 === b.contentSha256
  const other = contentChunks(b)
  for (const chunk of contentChunks(a)) {
    if (!sameBytes(chunk, other.next().value as Uint8Array)) return false
  }
  return true
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
