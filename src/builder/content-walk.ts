// The nodes that a selector names: paths through symlinks, wildcards and filters, as BuildKit walks them. Pure.
// @see moby/buildkit cache/contenthash/checksum.go
import { BuildError } from '../errors.js'
import { joinPath, splitPath } from '../path.js'
import { containsWildcards, fixedParts, type ContentSelector } from './content-selector.js'
import { createIgnoreMatcher, matchPath, type IgnoreMatcher, type ParentMatch } from './dockerfile/index.js'
import type { NodeAccess } from './node-access.js'

/** Symlinks followed before a path is given up. @see checksum.go maxSymlinkLimit */
const LINKS_MAX = 255

/** Walks a path inside the tree; `path` is where it ended. @see checksum.go getFollowLinksCallback */
export function follow<N>(
  access: NodeAccess<N>,
  parts: readonly string[],
  followLast: boolean,
): { readonly path: readonly string[]; readonly node: N | undefined } {
  const todo = [...parts].reverse()
  let path: string[] = []
  let links = 0
  let node: N | undefined = access.root
  while (todo.length > 0) {
    const part = todo.pop()!
    if (part === '..') {
      path.pop()
      node = lookup(access, path)
      continue
    }
    const next: N | undefined = node === undefined ? undefined : access.child(node, part)
    if (next === undefined || access.kind(next) !== 'symlink' || (todo.length === 0 && !followLast)) {
      path.push(part)
      node = next
      continue
    }
    if (++links > LINKS_MAX) {
      throw new BuildError(
        'SOURCE_NOT_FOUND',
        `failed to compute cache key: too many links ("/${parts.join('/')}")`,
        {
          data: { path: parts.join('/') },
        },
      )
    }
    const target = access.target(next)
    if (target.startsWith('/')) {
      path = []
      node = access.root
    }
    todo.push(
      ...target
        .split('/')
        .filter((name) => name !== '' && name !== '.')
        .reverse(),
    )
  }
  return { path, node }
}

function lookup<N>(access: NodeAccess<N>, path: readonly string[]): N | undefined {
  let node: N | undefined = access.root
  for (const name of path) node = node === undefined ? undefined : access.child(node, name)
  return node
}

/** An entry of a match list. */
export interface Included<N> {
  /** As the selector spells it: the part before a followed symlink keeps the link's name. */
  readonly path: string
  readonly node: N
  /** No directory above it is part of the walk: only then is a symlink followed. */
  readonly isTop: boolean
}

/**
 * Nodes that a wildcard or filter lets in, directories by their header, in the order of the walk; a directory above a
 * match comes with it. @see checksum.go includedPaths
 */
export function includedNodes<N>(access: NodeAccess<N>, selector: ContentSelector): Included<N>[] {
  const parts = splitPath(selector.path)
  const wildcard = selector.wildcard === true && containsWildcards(selector.path)
  const fixed = wildcard ? fixedParts(selector) : parts
  const { node } = follow(access, fixed, wildcard)
  if (node === undefined) return []
  const walk = new FilterWalk(access, selector, wildcard ? parts.join('/') : undefined)
  // The root's own header is never part of a match list: a path that ends in a slash names what is in it.
  if (fixed.length === 0) walk.visitChildren('', node, wildcard ? undefined : '', [])
  else walk.visit(fixed.join('/'), node, wildcard ? undefined : fixed.join('/'), [])
  return walk.included
}

class FilterWalk<N> {
  readonly included: Included<N>[] = []
  readonly #access: NodeAccess<N>
  readonly #pattern: string | undefined
  readonly #include: IgnoreMatcher | undefined
  readonly #exclude: IgnoreMatcher | undefined

  constructor(access: NodeAccess<N>, selector: ContentSelector, pattern: string | undefined) {
    this.#access = access
    this.#pattern = pattern
    this.#include = matcherOf(selector.include)
    this.#exclude = matcherOf(selector.exclude)
  }

  /**
   * @param top      the path that filters are relative to; `undefined` while no wildcard has matched yet
   * @param parents  directories above that have been seen, and may still have to be taken in
   */
  visit(path: string, node: N, top: string | undefined, parents: readonly PendingDir<N>[]): void {
    if (top === undefined) {
      if (matchPath(this.#pattern!, path)) top = path
      else if (this.#mayMatchBelow(path)) return this.visitChildren(path, node, undefined, parents)
      else return
    }
    const isTop = parents.length === 0
    const self: PendingDir<N> = { path, node, isTop, taken: false, include: undefined, exclude: undefined }
    if (this.#lets(path === top ? '' : path.slice(top === '' ? 0 : top.length + 1), self, parents.at(-1))) {
      this.#take(self, parents)
    }
    if (this.#access.kind(node) === 'dir') this.visitChildren(path, node, top, [...parents, self])
  }

  visitChildren(path: string, node: N, top: string | undefined, parents: readonly PendingDir<N>[]): void {
    if (this.#access.kind(node) !== 'dir') return
    for (const name of this.#access.names(node)) {
      this.visit(joinPath(path, name), this.#access.child(node, name)!, top, parents)
    }
  }

  /** A pattern matches as many components as it has itself, unless a class in it matches a slash. */
  #mayMatchBelow(path: string): boolean {
    return this.#pattern!.includes('[') || depthOf(path) < depthOf(this.#pattern!)
  }

  /** Patterns go on from what they said about the directory above. @see checksum.go shouldIncludePath */
  #lets(relative: string, self: PendingDir<N>, parent: PendingDir<N> | undefined): boolean {
    if (this.#include !== undefined) {
      const { matched, state } = this.#include.matchesUsingParent(relative, parent?.include)
      self.include = state
      if (!matched) return false
    }
    if (this.#exclude === undefined) return true
    const { matched, state } = this.#exclude.matchesUsingParent(relative, parent?.exclude)
    self.exclude = state
    return !matched
  }

  #take(self: PendingDir<N>, parents: readonly PendingDir<N>[]): void {
    for (const dir of [...parents, self]) {
      if (dir.taken) continue
      dir.taken = true
      this.included.push(dir)
    }
  }
}

function depthOf(path: string): number {
  let depth = 1
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) depth++
  return depth
}

interface PendingDir<N> extends Included<N> {
  taken: boolean
  include: ParentMatch | undefined
  exclude: ParentMatch | undefined
}

function matcherOf(patterns: readonly string[] | undefined): IgnoreMatcher | undefined {
  return patterns === undefined || patterns.length === 0 ? undefined : createIgnoreMatcher(patterns)
}
