// The only file that knows how a layer's tar spells a deletion: `.wh.<name>` hides a name of the lower layers,
// `.wh..wh..opq` all names of its directory. Pure. @see OCI image-spec v1.1 layer.md § Whiteouts
import { LayerError } from '../errors.js'
import { baseNameOf, joinPath, parentOf } from '../path.js'

const PREFIX = '.wh.'
const META_PREFIX = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'

export type Whiteout = { readonly kind: 'delete' | 'opaque'; readonly path: string }

/**
 * What an entry's path says about lower layers; `undefined` for an ordinary entry. Path in the form of `normalizePath`.
 * @throws LayerError LAYER_PATH_INVALID for a whiteout of nothing, `.` or `..`
 */
export function parseWhiteout(path: string): Whiteout | undefined {
  const name = baseNameOf(path)
  if (!name.startsWith(PREFIX)) return undefined
  const parent = parentOf(path)
  if (name === OPAQUE) return { kind: 'opaque', path: parent }
  const hidden = name.slice(PREFIX.length)
  if (hidden === '' || hidden === '.' || hidden === '..') {
    throw new LayerError(
      'LAYER_PATH_INVALID',
      `whiteout ${JSON.stringify(path)} names nothing that can be hidden`,
      {
        data: { path },
      },
    )
  }
  return { kind: 'delete', path: joinPath(parent, hidden) }
}

/** aufs' own bookkeeping (`.wh..wh.plnk`, `.wh..wh.aufs`, …) that old Docker layers contain: no part of the tree. */
export function isAufsMetadata(path: string): boolean {
  if (!path.includes(META_PREFIX)) return false
  return path.split('/').some((name) => name.startsWith(META_PREFIX) && name !== OPAQUE)
}

/** The entry name that deletes `path`. Inverse of `parseWhiteout`. */
export function whiteoutName(path: string): string {
  return joinPath(parentOf(path), PREFIX + baseNameOf(path))
}

/** The entry name that makes the directory `path` opaque. Inverse of `parseWhiteout`. */
export function opaqueName(path: string): string {
  return joinPath(path, OPAQUE)
}

/** Whether a layer can hold an entry of this path: names that begin with `.wh.` are reserved. */
export function isReservedPath(path: string): boolean {
  return path.startsWith(PREFIX) || path.includes('/' + PREFIX)
}
