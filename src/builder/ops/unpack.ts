// ADD of a local archive: a file whose content is a tar, compressed or not, is unpacked into the destination. Whiteout
// names mean nothing here; they are files like others.
// @see moby/buildkit solver/llbsolver/file/{unpack,unpack_root}.go
import type { Digest } from '../../digest.js'
import { BuildError, LayerError } from '../../errors.js'
import { baseNameOf, joinPath, normalizePath, parentOf, splitPath } from '../../path.js'
import { readSparse, scanTar, type BlobReader, type TarEntry } from '../../store/index.js'
import { bytesSource, childrenOf, TreeNode, type ContentSource, type Tree } from '../../unionfs/index.js'
import { makeDirectories, type EditedTree, type NodeTime } from './copy.js'
import { decompressArchive } from './decompress.js'
import { ROOT_OWNER, type Owner } from './owner.js'
import { conflict, rootPath, rootPathOfLink, type NodeLookup } from './root-path.js'

const BLOCK = 512

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
  // Nothing is read beyond the archive's end, so what is wrong there is never found out.
  if (damage === undefined || isWhole(content)) return content
  throw new LayerError('TAR_TRUNCATED', 'unexpected EOF: the archive is damaged', {
    cause: damage,
    data: { offset: content.size },
  })
}

function isWhole(content: BlobReader): boolean {
  let end = 0
  try {
    for (const { dataOffset, size, sparse } of scanTar(content)) {
      if (sparse === undefined) end = dataOffset + Math.ceil(size / BLOCK) * BLOCK
    }
  } catch (error) {
    if (error instanceof LayerError) return false
    throw error
  }
  return end + 2 * BLOCK <= content.size
}

function beginsAsTar(content: BlobReader): boolean {
  try {
    for (const _ of scanTar(content)) return true
  } catch (error) {
    if (!(error instanceof LayerError)) throw error
    // A header that is right, whose content is cut.
    return error.code === 'TAR_TRUNCATED' && content.size >= BLOCK
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

  /** @throws LayerError, BuildError COPY_CONFLICT */
  unpack(): void {
    try {
      for (const entry of scanTar(this.archive)) this.apply(entry)
    } catch (error) {
      throw asGoSaysIt(error)
    }
    for (const { path, time } of this.directories.toReversed()) this.tree.change(path, time)
  }

  private apply(entry: TarEntry): void {
    const name = insidePath(entry.path, entry.offset, 'invalid entry name')
    if (name === '') return
    const local = joinPath(directoryOf(this.inside, parentOf(name)), baseNameOf(name))
    const path = joinPath(this.root, local)
    this.makeParents(path, name)
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

  private makeParents(path: string, name: string): void {
    try {
      makeDirectories(this.tree, parentOf(path), { mode: 0o755, owner: ROOT_OWNER, time: undefined })
    } catch (cause) {
      if (!(cause instanceof BuildError)) throw cause
      throw new BuildError(cause.code, `openat ${name}: not a directory`, { cause, data: cause.data })
    }
  }

  private replace(path: string, there: TreeNode | undefined, node: TreeNode): void {
    if (there !== undefined) this.tree.remove(path)
    this.tree.create(path, node)
  }

  private link(path: string, entry: TarEntry, meta: ReturnType<Unpacker['metaOf']>): void {
    const name = insidePath(entry.linkpath, entry.offset, 'invalid hardlink target')
    const target = joinPath(this.root, rootPathOfLink(this.inside, name))
    const node = this.tree.lookup(target)
    const linkat = `linkat ${name} ${entry.path}`
    if (name === '' || node === undefined) throw conflict(`${linkat}: no such file or directory`, path)
    if (node.kind === 'dir') throw conflict(`${linkat}: operation not permitted`, path)
    if (target === path) return
    if (this.tree.lookup(path) !== undefined) this.tree.remove(path)
    this.tree.link(path, target)
    this.tree.change(path, node.kind === 'symlink' ? { ...meta, mode: node.mode } : meta)
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
        if (sparse === undefined && dataOffset + size > this.archive.size) throw cut(entry)
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

function cut({ path, offset }: TarEntry): LayerError {
  return new LayerError('TAR_TRUNCATED', `unexpected EOF: the content of ${JSON.stringify(path)} is cut`, {
    data: { path, offset },
  })
}

/** Faults of the archive itself under the names that Go has for them. */
function asGoSaysIt(error: unknown): unknown {
  if (!(error instanceof LayerError) || !error.code.startsWith('TAR_')) return error
  const name = error.code === 'TAR_TRUNCATED' ? 'unexpected EOF' : 'archive/tar: invalid tar header'
  if (error.message.startsWith(name)) return error
  return new LayerError(error.code, `${name}: ${error.message}`, { cause: error, data: error.data })
}

/**
 * The directory that a path names, links followed as long as they stay inside; what does not exist is taken as it is.
 * An absolute one begins at the root of the archive.
 * @throws BuildError COPY_CONFLICT for a link that leads above. @see Go os.Root
 */
function directoryOf(inside: NodeLookup, path: string): string {
  const pending = splitPath(path).toReversed()
  const done: string[] = []
  for (let links = 0; pending.length > 0;) {
    const part = pending.pop()!
    if (part === '' || part === '.') continue
    const at = [...done, part].join('/')
    if (part === '..') {
      if (done.pop() === undefined) throw escapes(path)
      continue
    }
    const node = inside.lookup(at)
    if (node?.kind !== 'symlink') {
      done.push(part)
      continue
    }
    if (++links > LINKS_MAX) throw conflict(`openat ${path}: too many levels of symbolic links`, path)
    if (node.target.startsWith('/')) done.length = 0
    pending.push(...node.target.split('/').toReversed())
  }
  return done.join('/')
}

function escapes(path: string): BuildError {
  return conflict(`statat ${path}: path escapes from parent`, path)
}

const LINKS_MAX = 40

/** @throws LayerError LAYER_PATH_INVALID for a path that would leave the destination */
function insidePath(path: string, offset: number, what: string): string {
  let depth = 0
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    depth += part === '..' ? -1 : 1
    if (depth < 0) {
      throw new LayerError('LAYER_PATH_INVALID', `${what} ${JSON.stringify(path)}`, {
        data: { path, offset },
      })
    }
  }
  return normalizePath(splitPath(path).join('/'))
}
