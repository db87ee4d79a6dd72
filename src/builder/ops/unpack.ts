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

/** archive/tar: a global PAX header, which is an entry to Go and nothing to unpack. */
const GLOBAL_HEADER = 0x67
const TYPEFLAG_AT = 156

/** BuildKit reads archives with Go's archive/tar. */
const LIKE_GO = { likeGo: true } as const

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

interface Archive {
  readonly content: BlobReader
  /** Why no more than this came out of a compressed file. */
  readonly damage: Error | undefined
}

/** The uncompressed archive when its first header is one of a tar. */
async function openArchive(node: TreeNode): Promise<Archive | undefined> {
  const archive = await decompressArchive(readerOf(node.source!, node.offset, node.size))
  return beginsAsTar(archive.content) ? archive : undefined
}

/** Whether Go finds a first header; what follows it, its content too, may be anything. */
function beginsAsTar(content: BlobReader): boolean {
  const isGlobal = content.size > TYPEFLAG_AT && content.read(TYPEFLAG_AT, 1)[0] === GLOBAL_HEADER
  try {
    for (const _ of scanTar(content, LIKE_GO)) return true
    return isGlobal
  } catch (error) {
    if (!(error instanceof LayerError)) throw error
    if (error.code === 'TAR_TYPE_UNKNOWN' || (isGlobal && offsetOf(error) > 0)) return true
    return error.code === 'TAR_TRUNCATED' && content.size >= BLOCK
  }
}

function offsetOf({ data }: LayerError): number {
  return typeof data?.offset === 'number' ? data.offset : 0
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
    private readonly archive: Archive,
    private readonly owner: Owner | undefined,
  ) {
    this.inside = { lookup: (path) => tree.lookup(joinPath(root, path)) }
  }

  /** @throws LayerError, BuildError COPY_CONFLICT */
  unpack(): void {
    try {
      let end = 0
      for (const entry of scanTar(this.archive.content, LIKE_GO)) {
        this.apply(entry)
        end = endOf(entry)
      }
      this.expectEnd(end)
    } catch (error) {
      throw this.asGoSaysIt(error)
    }
    for (const { path, time } of this.directories.toReversed()) this.tree.change(path, time)
  }

  /** Nothing is read beyond the two blocks that end an archive, so what is wrong there is never found out. */
  private expectEnd(end: number): void {
    const { content, damage } = this.archive
    if (damage !== undefined && end + 2 * BLOCK > content.size) throw damage
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
    if (entry.linkpath === '') throw notInside('', entry.offset, 'invalid hardlink target')
    const name = insidePath(entry.linkpath, entry.offset, 'invalid hardlink target')
    const linkat = `linkat ${name} ${entry.path}`
    // What is in the way goes first, be it the target itself.
    if (this.tree.lookup(path) !== undefined) this.tree.remove(path)
    const target = joinPath(this.root, rootPathOfLink(this.inside, name))
    const node = this.tree.lookup(target)
    if (node === undefined) throw conflict(`${linkat}: no such file or directory`, path)
    if (node.kind === 'dir') throw conflict(`${linkat}: operation not permitted`, path)
    this.tree.link(path, target)
    this.tree.change(path, node.kind === 'symlink' ? { ...meta, mode: node.mode } : meta)
  }

  /** Faults of the archive itself under the names that Go has for them; what its compression hides comes first. */
  private asGoSaysIt(error: unknown): unknown {
    if (!(error instanceof LayerError) || !error.code.startsWith('TAR_')) return error
    if (error.code === 'TAR_TYPE_UNKNOWN') return error
    const { damage } = this.archive
    if (error.code === 'TAR_TRUNCATED' && damage !== undefined) return damage
    const name = error.code === 'TAR_TRUNCATED' ? 'unexpected EOF' : 'archive/tar: invalid tar header'
    if (error.message.startsWith(name)) return error
    return new LayerError(error.code, `${name}: ${error.message}`, { cause: error, data: error.data })
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
        if (entry.linkpath === '')
          throw conflict(`symlinkat  ${entry.path}: no such file or directory`, entry.path)
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
        if (sparse === undefined && dataOffset + size > this.archive.content.size) throw cut(entry)
        const read = (at: number, length: number): Uint8Array => this.archive.content.read(at, length)
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

/** Where the padded content of an entry ends. */
function endOf({ dataOffset, size, sparse }: TarEntry): number {
  return (
    dataOffset +
    Math.ceil((sparse?.runs.reduce((sum, { length }) => sum + length, 0) ?? size) / BLOCK) * BLOCK
  )
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
    if (depth < 0) throw notInside(path, offset, what)
  }
  return normalizePath(splitPath(path).join('/'))
}

function notInside(path: string, offset: number, what: string): LayerError {
  return new LayerError('LAYER_PATH_INVALID', `${what} ${JSON.stringify(path)}`, { data: { path, offset } })
}
