// Changesets in the form of an overlay's directories, as tar archives: a deletion is a character device 0:0, an opaque
// directory has an extended attribute. GNU tar carries both to and from the disk, with owners, links and attributes,
// which Node has no calls for. Pure.
// @see Linux Documentation/filesystems/overlayfs.rst
import { LayerError } from '../../../errors.js'
import { compareBytes, parentOf } from '../../../path.js'
import { scanTar, type BlobReader, type TarInput } from '../../../store/index.js'
import {
  contentChunks,
  TreeNode,
  type Changeset,
  type ContentSource,
  type Tree,
} from '../../../unionfs/index.js'

/** `user` where an overlay is mounted with `userxattr`, as it must be in a user namespace. */
export type XattrNamespace = 'trusted' | 'user'

const YES = new TextEncoder().encode('y')
const BOOKKEEPING = /^(?:trusted|user)\.overlay\./

/**
 * The entries of an overlay layer that makes `after` out of what the changeset was computed against. Directories above a
 * change are written as well, because an overlay shows a directory as its topmost layer has it. The root is left out.
 */
export function overlayEntries(after: Tree, changeset: Changeset, namespace: XattrNamespace): TarInput[] {
  const entries = new Map<string, TarInput>()
  const opaque = new Set(changeset.flatMap((change) => (change.kind === 'opaque' ? [change.path] : [])))
  const addDirectory = (path: string): void => {
    if (path === '' || entries.has(path)) return
    addDirectory(parentOf(path))
    const node = after.lookup(path)!
    entries.set(path, entryOf(path, node, opaque.has(path) ? namespace : undefined))
  }
  for (const change of changeset) {
    const { path } = change
    if (path === '') continue
    addDirectory(parentOf(path))
    if (change.kind === 'delete') entries.set(path, whiteout(path))
    else if (change.kind === 'link')
      entries.set(path, {
        ...entryOf(path, after.lookup(path)!, undefined),
        kind: 'link',
        linkpath: change.target,
      })
    else if (change.kind === 'opaque' || change.node.kind === 'dir') addDirectory(path)
    else entries.set(path, entryOf(path, change.node, undefined))
  }
  return inOrder(entries)
}

/** The root directory alone, for what `overlayEntries` leaves out. */
export function rootEntry(root: TreeNode): TarInput {
  return entryOf('', root, undefined)
}

/** Directories were added before what is in them; hard links must come after what they link to. */
function inOrder(entries: ReadonlyMap<string, TarInput>): TarInput[] {
  const all = [...entries.values()]
  const links = all.filter(({ kind }) => kind === 'link')
  return links.length === 0 ? all : [...all.filter(({ kind }) => kind !== 'link'), ...links]
}

function whiteout(path: string): TarInput {
  return {
    kind: 'chardev',
    path,
    mode: 0,
    uid: 0,
    gid: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    devMajor: 0,
    devMinor: 0,
  }
}

function entryOf(path: string, node: TreeNode, opaque: XattrNamespace | undefined): TarInput {
  const [devMajor, devMinor] = node.rdev
  const { mode, uid, gid, mtimeSec, mtimeNsec, size } = node
  const xattrs =
    opaque === undefined ? node.xattrs : new Map(node.xattrs).set(`${opaque}.overlay.opaque`, YES)
  const head = { path, mode, uid, gid, mtimeSec, mtimeNsec, devMajor, devMinor, xattrs }
  if (node.kind === 'socket') return { ...head, kind: 'fifo' }
  if (node.kind === 'symlink') return { ...head, kind: 'symlink', linkpath: node.target }
  if (node.kind !== 'file') return { ...head, kind: node.kind }
  return { ...head, kind: 'file', size, content: contentChunks(node) }
}

/**
 * Reads an overlay's upper directory, archived with its root as `.`, as the changes that it means.
 *
 * @param root  what the root directory looked like before; it is always in the archive, and changed when it differs from
 *   this in more than its time, which whatever is made or removed in it changes
 */
export function readUpper(reader: BlobReader, root: RootLook): Changeset {
  const source: ContentSource = { read: (offset, length) => reader.read(offset, length) }
  const changes: Changeset[number][] = []
  for (const entry of scanTar(reader)) {
    const path = entry.path
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .join('/')
    if (entry.kind === 'link') {
      const target = entry.linkpath
        .split('/')
        .filter((part) => part !== '' && part !== '.')
        .join('/')
      changes.push({ kind: 'link', path, target })
      continue
    }
    if (entry.kind === 'chardev' && entry.devMajor === 0 && entry.devMinor === 0) {
      changes.push({ kind: 'delete', path })
      continue
    }
    if (entry.sparse !== undefined) {
      throw new LayerError('TAR_SPARSE_INVALID', `sparse entry ${path} in an archive made without --sparse`)
    }
    const xattrs = new Map([...(entry.xattrs ?? [])].filter(([name]) => !BOOKKEEPING.test(name)))
    const isOpaque = [...(entry.xattrs?.keys() ?? [])].some((name) =>
      /^(?:trusted|user)\.overlay\.opaque$/.test(name),
    )
    if (path === '' && looksSame({ mode: entry.mode, uid: entry.uid, gid: entry.gid, xattrs }, root)) continue
    if (entry.kind === 'dir' && isOpaque) changes.push({ kind: 'opaque', path })
    const { mode, uid, gid, mtimeSec, mtimeNsec, size, dataOffset } = entry
    const head = { mode, uid, gid, mtimeSec, mtimeNsec, xattrs }
    changes.push({
      kind: 'put',
      path,
      node: nodeOf(entry, head, size === 0 ? undefined : source, dataOffset),
    })
  }
  return changes
}

export type RootLook = Pick<TreeNode, 'mode' | 'uid' | 'gid' | 'xattrs'>

function looksSame(a: RootLook, b: RootLook): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false
  const [ofA, ofB] = [labels(a), labels(b)]
  return ofA.size === ofB.size && [...ofA].every(([name, value]) => sameBytes(value, ofB.get(name)))
}

/** Without the security label, which the machine gives to every directory that is made on it. */
function labels({ xattrs }: RootLook): ReadonlyMap<string, Uint8Array> {
  return new Map([...(xattrs ?? [])].filter(([name]) => name !== 'security.selinux'))
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && compareBytes(a, b) === 0
}

function nodeOf(
  entry: {
    readonly kind: string
    readonly linkpath: string
    readonly size: number
    readonly devMajor: number
    readonly devMinor: number
  },
  head: Partial<TreeNode>,
  source: ContentSource | undefined,
  offset: number,
): TreeNode {
  switch (entry.kind) {
    case 'file':
      return new TreeNode({ ...head, kind: 'file', size: entry.size, source, offset })
    case 'symlink':
      return new TreeNode({
        ...head,
        kind: 'symlink',
        target: entry.linkpath,
        size: new TextEncoder().encode(entry.linkpath).length,
      })
    case 'chardev':
    case 'blockdev':
      return new TreeNode({ ...head, kind: entry.kind, rdevMajor: entry.devMajor, rdevMinor: entry.devMinor })
    case 'fifo':
      return new TreeNode({ ...head, kind: 'fifo' })
    default:
      return new TreeNode({ ...head, kind: 'dir' })
  }
}
