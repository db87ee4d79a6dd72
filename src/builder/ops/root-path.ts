// Paths inside a root: symlinks followed without ever leaving it, parts that do not exist yet kept as they are. Pure.
// @see containerd/continuity fs/path.go RootPath
import { BuildError } from '../../errors.js'
import { joinPath, splitPath } from '../../path.js'
import type { TreeNode } from '../../unionfs/index.js'

/** What a path walk needs of a tree or of a tree under edit: one step without following symlinks. */
export interface NodeLookup {
  lookup(path: string): TreeNode | undefined
}

const LINKS_MAX = 255

/**
 * The place that `path` names once every symlink on the way, the last one too, is followed inside the root. `..` in
 * `path` is taken lexically and clamped; `..` in a link's target is relative to where the link stands.
 *
 * @returns a path in the form of `normalizePath`; what it names need not exist
 * @throws BuildError COPY_CONFLICT when a file stands where a directory is needed, or after 255 links
 */
export function rootPath(tree: NodeLookup, path: string): string {
  const pending = splitPath(path).toReversed()
  let done: string[] = []
  let links = 0
  let here = tree.lookup('')
  while (pending.length > 0) {
    const part = pending.pop()!
    if (part === '' || part === '.') continue
    if (part === '..') {
      done.pop()
      here = tree.lookup(done.join('/'))
      continue
    }
    if (here !== undefined && here.kind !== 'dir') throw notDirectory('lstat', [...done, part].join('/'))
    const next = here === undefined ? undefined : tree.lookup(joinPath(done.join('/'), part))
    if (next?.kind !== 'symlink') {
      done.push(part)
      here = next
      continue
    }
    if (++links > LINKS_MAX) throw conflict(`too many links (/${splitPath(path).join('/')})`, path)
    if (next.target.startsWith('/')) {
      done = []
      here = tree.lookup('')
    }
    pending.push(...next.target.split('/').toReversed())
  }
  return done.join('/')
}

/** Like `rootPath`, but a symlink at the very end stays itself. */
export function rootPathOfLink(tree: NodeLookup, path: string): string {
  const parts = splitPath(path)
  const name = parts.pop()
  return name === undefined ? '' : joinPath(rootPath(tree, parts.join('/')), name)
}

export function notDirectory(what: string, path: string): BuildError {
  return conflict(`${what} /${path}: not a directory`, path)
}

export function conflict(message: string, path: string): BuildError {
  return new BuildError('COPY_CONFLICT', message, { data: { path: `/${path}` } })
}

export function sourceNotFound(path: string): BuildError {
  return new BuildError('SOURCE_NOT_FOUND', `lstat /${path}: no such file or directory`, {
    data: { path: `/${path}` },
  })
}
