// ADD of a local archive: a file whose content is a tar, compressed or not, is unpacked into the destination. Whiteout
// names mean nothing here; they are files like others.
// @see moby/buildkit solver/llbsolver/file/{unpack,unpack_root}.go
import type { Digest } from '../../digest.js'
import { LayerError } from '../../errors.js'
import { joinPath, normalizePath, parentOf, splitPath } from '../../path.js'
import { readSparse, scanTar, type BlobReader, type TarEntry } from '../../store/index.js'
import { bytesSource, childrenOf, TreeNode, type ContentSource, type Tree } from '../../unionfs/index.js'
import { makeDirectories, type EditedTree, type NodeTime } from './copy.js'
import { decompressArchive } from './decompress.js'
import { ROOT_OWNER, type Owner } from './owner.js'
import { conflict, rootPath, rootPathOfLink, type NodeLookup } from './root-path.js'

export interface UnpackOptions {
  /** --chown; otherwise the archive's owners stay. */
  readonly owner: Owner | undefined
  /** Of directories that are made on the way to the destination. */
  readonly time: NodeTime | undefined
}

/**
 * Unpacks a source file when it is an archive.
 *
 * @param dest  always taken as a directory, and made
 * @returns whether it was one; otherwise nothing was done
 * @throws LayerError for an archive that is damaged or would write outside `dest`
 */
export async function unpackArchive(
  source: Tree,
  path: string,
  tree: EditedTree,
  dest: string,
  options: UnpackOptions,
): Promise<boolean> {
  const node = source.lookup(rootPath(source, path))
  if (node?.kind !== 'file' || node.source === undefined) return false
  const archive = await openArchive(node)
  if (archive === undefined) return false
  const target = rootPath(tree, dest)
  makeDirectories(tree, target, { mode: 0o755, owner: options.owner, time: options.time })
  new Unpacker(tree, target, archive, options.owner).unpack()
  return true
}

/**
 * The uncompressed archive when its first header is one of a tar.
 * @throws LayerError TAR_TRUNCATED when it is one, but not to its end
 */
async function openArchive(node: TreeNode): Promise<BlobReader | undefined> {
  const file = readerOf(node.source!, node.offset, node.size)
  const { content, damage } = await decompressArchive(file)
  if (!beginsAsTar(content)) return undefined
  if (damage === undefined) return content
  throw new LayerError('TAR_TRUNCATED', 'unexpected EOF: the archive is damaged', {
    cause: damage,
    data: { offset: content.size },
  })
}

function beginsAsTar(content: BlobReader): boolean {
  try {
    for (const _ of scanTar(content)) return true
  } catch (error) {
    if (!(error instanceof LayerError)) throw error
  }
  return false
}

/** A window on a content source as the readers of archives want it. It has no digest of its own. */
function readerOf(source: ContentSource, offset: number, size: number): BlobReader {
  return { digest: '' as Digest, size, read: (at, length) => source.read(offset + at, length) }
}

class Unpacker {
  private readonly inside: NodeLookup
  private readonly directories: { readonly path: string; readonly time: NodeTime }[] = []

  constructor(
    private readonly tree: EditedTree,
    private readonly root: string,
    private readonly archive: BlobReader,
    private readonly owner: Owner | undefined,
  ) {
    this.inside = { lookup: (path) => tree.lookup(joinPath(root, path)) }
  }

  unpack(): void {
    for (const entry of scanTar(this.archive)) this.apply(entry)
    for (const { path, time } of this.directories.toReversed()) this.tree.change(path, time)
  }

  private apply(entry: TarEntry): void {
    const name = insidePath(entry.path, entry.offset)
    if (name === '') return
    const local = entry.kind === 'dir' ? rootPath(this.inside, name) : rootPathOfLink(this.inside, name)
    if (local === '') return
    const path = joinPath(this.root, local)
    makeDirectories(this.tree, parentOf(path), { mode: 0o755, owner: ROOT_OWNER, time: undefined })
    const there = this.tree.lookup(path)
    const meta = this.metaOf(entry)
    if (entry.kind === 'dir') {
      if (there?.kind === 'dir') this.tree.change(path, meta)
      else this.replace(path, there, new TreeNode({ kind: 'dir', ...meta, children: childrenOf([]) }))
      this.directories.push({ path, time: timeOf(entry) })
    } else if (entry.kind === 'link') {
      this.link(path, entry, meta)
    } else this.replace(path, there, this.nodeOf(entry, meta))
  }

  private replace(path: string, there: TreeNode | undefined, node: TreeNode): void {
    if (there !== undefined) this.tree.remove(path)
    this.tree.create(path, node)
  }

  private link(path: string, entry: TarEntry, meta: ReturnType<Unpacker['metaOf']>): void {
    const name = insidePath(entry.linkpath, entry.offset)
    const target = joinPath(this.root, rootPathOfLink(this.inside, name))
    const node = this.tree.lookup(target)
    if (name === '' || node === undefined || node.kind === 'dir') {
      throw conflict(`archive hard link /${path}: no file /${target}`, path)
    }
    if (target === path) return
    if (this.tree.lookup(path) !== undefined) this.tree.remove(path)
    this.tree.link(path, target)
    this.tree.change(path, meta)
  }

  private metaOf(entry: TarEntry) {
    const { uid, gid } = this.owner ?? entry
    return {
      mode: entry.kind === 'symlink' ? 0o777 : entry.mode,
      uid,
      gid,
      ...timeOf(entry),
      ...(entry.xattrs === undefined ? undefined : { xattrs: entry.xattrs }),
    }
  }

  private nodeOf(entry: TarEntry, meta: ReturnType<Unpacker['metaOf']>): TreeNode {
    const { size, dataOffset, sparse } = entry
    switch (entry.kind) {
      case 'symlink':
        return new TreeNode({
          kind: 'symlink',
          ...meta,
          target: entry.linkpath,
          size: byteLength(entry.linkpath),
        })
      case 'chardev':
      case 'blockdev':
        return new TreeNode({
          kind: entry.kind,
          ...meta,
          rdevMajor: entry.devMajor,
          rdevMinor: entry.devMinor,
        })
      case 'fifo':
        return new TreeNode({ kind: 'fifo', ...meta })
      default: {
        if (size === 0) return new TreeNode({ kind: 'file', ...meta })
        const read = (at: number, length: number): Uint8Array => this.archive.read(at, length)
        const source: ContentSource =
          sparse === undefined ? { read } : bytesSource(readSparse(sparse, read, 0, size))
        return new TreeNode({
          kind: 'file',
          ...meta,
          size,
          source,
          offset: sparse === undefined ? dataOffset : 0,
        })
      }
    }
  }
}

function timeOf(entry: TarEntry): NodeTime {
  return entry.mtimeSec < 0
    ? { mtimeSec: 0, mtimeNsec: 0 }
    : { mtimeSec: entry.mtimeSec, mtimeNsec: entry.mtimeNsec }
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).byteLength
}

/** @throws LayerError LAYER_PATH_INVALID for a path that would leave the destination */
function insidePath(path: string, offset: number): string {
  let depth = 0
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    depth += part === '..' ? -1 : 1
    if (depth < 0) {
      throw new LayerError(
        'LAYER_PATH_INVALID',
        `archive path ${JSON.stringify(path)} is outside extraction root`,
        {
          data: { path, offset },
        },
      )
    }
  }
  return normalizePath(splitPath(path).join('/'))
}
