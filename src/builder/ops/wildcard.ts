// Source patterns of COPY and ADD: which paths of the source tree they name. Pure.
// @see tonistiigi/fsutil copy/copy.go ResolveWildcards
import { BuildError } from '../../errors.js'
import { joinPath, splitPath } from '../../path.js'
import type { Tree, TreeNode } from '../../unionfs/index.js'
import { matchPath, PatternError } from '../dockerfile/index.js'
import { rootPath, rootPathOfLink, sourceNotFound } from './root-path.js'

/** Whether a path has `*`, `?` or `[` that no backslash takes the meaning from. */
export function containsWildcards(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    if (path[i] === '\\') i++
    else if (path[i] === '*' || path[i] === '?' || path[i] === '[') return true
  }
  return false
}

/** The part of a path before its first component with a wildcard, and the rest; the rest is '' without wildcards. */
export function splitWildcards(path: string): { readonly base: string; readonly pattern: string } {
  const parts = splitPath(path)
  const at = parts.findIndex(containsWildcards)
  if (at === -1) return { base: parts.join('/'), pattern: '' }
  return { base: parts.slice(0, at).join('/'), pattern: parts.slice(at).join('/') }
}

/**
 * The paths that a source names: itself when it has no wildcard, else every match in the order of a walk. A directory
 * that matches is not looked into; symlinks are matched, never walked.
 *
 * @throws BuildError SOURCE_NOT_FOUND when the fixed part before a wildcard does not exist
 */
export function resolveWildcards(tree: Tree, path: string, followLinks: boolean): string[] {
  const { base, pattern } = splitWildcards(path)
  if (pattern === '') return [base]
  const from = followLinks ? rootPath(tree, base) : rootPathOfLink(tree, base)
  const root = tree.lookup(from)
  if (root === undefined) throw sourceNotFound(from)
  const out: string[] = []
  walk(root, '', (relative, node) => {
    if (!matches(pattern, relative)) return node.kind === 'dir' && mayMatchBelow(pattern, relative)
    out.push(joinPath(from, relative))
    return false
  })
  return out
}

function walk(node: TreeNode, at: string, visit: (path: string, node: TreeNode) => boolean): void {
  if (node.children === undefined) return
  for (const name of node.children.names()) {
    const child = node.children.get(name)!
    const path = joinPath(at, name)
    if (visit(path, child)) walk(child, path, visit)
  }
}

/** A pattern matches as many components as it has itself, unless a class in it matches a slash. */
function mayMatchBelow(pattern: string, path: string): boolean {
  return pattern.includes('[') || path.split('/').length < pattern.split('/').length
}

/** A pattern that is none matches nothing, as in BuildKit. */
function matches(pattern: string, path: string): boolean {
  try {
    return matchPath(pattern, path)
  } catch (error) {
    if (error instanceof PatternError) return false
    throw error
  }
}

/**
 * A pattern that matches nothing is no error, but the directory before its first wildcard must be there, and of a folder
 * of the host only what some step reads ever comes.
 *
 * @param sent  absolute paths and patterns that steps read
 * @throws BuildError SOURCE_NOT_FOUND when nothing at, above or below that directory is read
 */
export function requireSent(tree: Tree, path: string, sent: ReadonlySet<string>): void {
  const base = rootPath(tree, splitWildcards(path).base)
  if (base !== '' && ![...sent].some((read) => placesOf(tree, read).some((place) => touches(place, base))))
    throw sourceNotFound(base)
}

function placesOf(tree: Tree, path: string): string[] {
  try {
    const places = containsWildcards(path) ? resolveWildcards(tree, path, true) : [rootPath(tree, path)]
    return places.filter((place) => tree.lookup(place) !== undefined)
  } catch (error) {
    if (error instanceof BuildError) return []
    throw error
  }
}

function touches(a: string, b: string): boolean {
  return a === '' || a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`)
}
