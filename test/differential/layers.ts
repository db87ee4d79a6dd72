// A case's layers in the two forms in which they are used: as changesets for a tree, and as tars in overlayfs's own form
// (whiteouts are devices 0:0, opaque directories carry an xattr) for the kernel.
import { encodeTar, type TarInput } from 'lamella/store'
import { applyChangeset, bytesSource, EMPTY_TREE, TreeNode, type Change, type Tree } from 'lamella/unionfs'
import { decodePath, encodePath, splitPath } from '../../src/path.js'
import type { LayerEntry } from './case.js'

const bytes = (latin1: string) => Uint8Array.from(Buffer.from(latin1, 'latin1'))
const pathOf = (latin1: string) => decodePath(bytes(latin1))

/** A path as the final trees name it: absolute, its bytes as latin1. */
export function latin1Path(path: string): string {
  return `/${Buffer.from(encodePath(splitPath(path).join('/'))).toString('latin1')}`
}

/** Values as latin1. */
export function describeXattrs(xattrs: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries(
    [...xattrs].sort().map(([name, value]) => [name, Buffer.from(value).toString('latin1')]),
  )
}

/** The merged tree of a stack, base first. */
export function treeOf(layers: readonly (readonly LayerEntry[])[]): Tree {
  return layers.reduce((tree, layer) => applyChangeset(tree, layer.flatMap(changesOf)), EMPTY_TREE)
}

function changesOf(entry: LayerEntry): Change[] {
  const path = pathOf(entry.path)
  if (entry.kind === 'delete') return [{ kind: 'delete', path }]
  if (entry.kind === 'link') return [{ kind: 'link', path, target: pathOf(entry.target!) }]
  const content = bytes(entry.content ?? '')
  const node = new TreeNode({
    kind: entry.kind,
    mode: entry.mode!,
    uid: entry.uid!,
    gid: entry.gid!,
    mtimeSec: entry.mtime!,
    ...(entry.kind === 'file' ? { size: content.length, source: bytesSource(content) } : {}),
    ...(entry.kind === 'chardev' ? { rdevMajor: entry.rdev![0], rdevMinor: entry.rdev![1] } : {}),
    ...(entry.kind === 'symlink' ? { target: entry.target!, size: entry.target!.length } : {}),
    xattrs:
      entry.xattrs && new Map(Object.entries(entry.xattrs).map(([name, value]) => [name, bytes(value)])),
  })
  const put: Change = { kind: 'put', path, node }
  return entry.isOpaque ? [{ kind: 'opaque', path }, put] : [put]
}

/** One layer as overlayfs wants it unpacked. */
export function overlayTar(layer: readonly LayerEntry[]): Uint8Array {
  const root: TarInput = { kind: 'dir', path: '', mode: 0o755, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0 }
  return Buffer.concat([...encodeTar([root, ...layer.map(tarEntry)])])
}

function tarEntry(entry: LayerEntry): TarInput {
  const meta = {
    mode: entry.mode ?? 0,
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtimeSec: entry.mtime ?? 0,
    mtimeNsec: 0,
  }
  const path = pathOf(entry.path)
  if (entry.kind === 'delete') return { kind: 'chardev', path, ...meta, devMajor: 0, devMinor: 0 }
  if (entry.kind === 'link') return { kind: 'link', path, ...meta, linkpath: pathOf(entry.target!) }
  if (entry.kind === 'symlink') return { kind: 'symlink', path, ...meta, linkpath: entry.target! }
  const content = bytes(entry.content ?? '')
  const xattrs = new Map(Object.entries(entry.xattrs ?? {}).map(([name, value]) => [name, bytes(value)]))
  if (entry.isOpaque) xattrs.set('trusted.overlay.opaque', bytes('y'))
  return {
    kind: entry.kind,
    path,
    ...meta,
    ...(entry.kind === 'file' ? { size: content.length, content: [content] } : {}),
    ...(entry.kind === 'chardev' ? { devMajor: entry.rdev![0], devMinor: entry.rdev![1] } : {}),
    ...(xattrs.size === 0 ? {} : { xattrs }),
  }
}
