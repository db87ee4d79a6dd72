// Content digests of files and directories as BuildKit computes them for cache keys: headers, directories, matches of
// wildcards and filters. Pure; works on any kind of tree through `NodeAccess`, so that a host context needs no nodes.
// Form of BuildKit 0.25 (moby 28.5.2): the paths of a match list are base names.
// @see moby/buildkit cache/contenthash/{checksum,tarsum,filehash}.go, solver/llbsolver/ops/opsutils/contenthash.go
import { digestOf, EMPTY_DIGEST, type Digest } from '../digest.js'
import { BuildError } from '../errors.js'
import { baseNameOf, compareNames, encodePath, hasRawBytes, joinPath, splitPath } from '../path.js'
import type { NodeKind, Tree, TreeNode } from '../unionfs/index.js'
import { combineDir, treeNodeDigest, type Owned } from './content-header.js'
import { createIgnoreMatcher, matchPath, type IgnoreMatcher, type ParentMatch } from './dockerfile/index.js'
import { contentKey } from './key.js'
import type { Result } from './vertex.js'

/** What is read of an input, as one source of a COPY or one mount names it. @see opsutils.Selector */
export interface ContentSelector {
  /** Absolute or relative to the input's root; cleaned and clamped at the root. */
  readonly path: string
  /** Whether `*`, `?` and `[` in the path match names. Without any of them it makes no difference. */
  readonly wildcard?: boolean | undefined
  /** Whether a symlink at the end is followed; those on the way always are. */
  readonly followLinks?: boolean | undefined
  /** Patterns as in an ignore file, relative to what the path names. */
  readonly include?: readonly string[] | undefined
  readonly exclude?: readonly string[] | undefined
}

/** The least that digests need to know of a tree; `N` is whatever stands for a node. */
export interface NodeAccess<N> {
  readonly root: N
  kind(node: N): NodeKind
  /** Of a symlink. */
  target(node: N): string
  /** Entry of a directory; `undefined` when there is none or the node is not a directory. */
  child(node: N, name: string): N | undefined
  /** Names in a directory, in byte order. */
  names(node: N): readonly string[]
  /** Entry of the `at`-th name of a directory; default: by its name. */
  childAt?(node: N, at: number): N
  /** Digest of the node itself: header and content of a file, header of anything else. */
  nodeDigest(node: N): Digest
  /** Digest of a directory with all below it; memoised. */
  dirDigest(node: N): Digest
  /** What can change beside the content, for explanations. */
  meta(node: N): Owned
  /** Digest that a file would have with another mode and owner, for explanations: tells whether its content changed as well. */
  digestWith(node: N, meta: Owned): Digest
  /**
   * Does the long part of `checksum` ahead, in slices, so that timers and signals get their turn: a directory with all below
   * it, or just some nodes.
   */
  prepare?(nodes: N | readonly N[]): Promise<void>
}

const nodeDigests = new WeakMap<TreeNode, Digest>()
const dirDigests = new WeakMap<TreeNode, Digest>()

/**
 * Digests over a `Tree`; those of nodes and directories are kept with the nodes, which trees share.
 *
 * @param rootHeader  instead of the root directory's own header. The root of a build context never reaches BuildKit, and
 *                    counts as the digest of nothing. @see checksum.go HandleChange
 */
export function treeAccess(tree: Tree, rootHeader?: Digest): NodeAccess<TreeNode> {
  const { root } = tree
  return {
    root,
    kind: (node) => node.kind,
    target: (node) => node.target,
    child: (node, name) => node.children?.get(name),
    names: (node) => node.children?.names() ?? [],
    meta: ({ mode, uid, gid }) => ({ mode, uid, gid }),
    nodeDigest: (node) => (node === root && rootHeader !== undefined ? rootHeader : nodeDigest(node)),
    digestWith: treeNodeDigest,
    dirDigest: (node) =>
      node === root && rootHeader !== undefined ? combineChildren(rootHeader, node) : dirDigest(node),
  }
}

function nodeDigest(node: TreeNode): Digest {
  let digest = nodeDigests.get(node)
  if (digest === undefined) nodeDigests.set(node, (digest = treeNodeDigest(node)))
  return digest
}

/** Depth is bounded by the length of paths, not by the number of files. */
function dirDigest(node: TreeNode): Digest {
  let digest = dirDigests.get(node)
  if (digest === undefined) dirDigests.set(node, (digest = combineChildren(nodeDigest(node), node)))
  return digest
}

function combineChildren(header: Digest, node: TreeNode): Digest {
  const names = node.children?.names() ?? []
  const digests = names.map((name) => {
    const child = node.children!.get(name)!
    return child.kind === 'dir' ? dirDigest(child) : nodeDigest(child)
  })
  return combineDir(header, names, digests)
}

/**
 * The content digest of what a selector names.
 *
 * @throws BuildError SOURCE_NOT_FOUND when the path, or the target of a followed symlink, does not exist
 */
export function checksum<N>(access: NodeAccess<N>, selector: ContentSelector): Digest {
  if (hasFilters(selector)) return listChecksum(access, selector, includedNodes(access, selector))
  return plainChecksum(access, splitPath(selector.path), selector.followLinks ?? false).digest
}

async function checksumInSlices<N>(access: NodeAccess<N>, selector: ContentSelector): Promise<Digest> {
  if (hasFilters(selector)) {
    const matches = includedNodes(access, selector)
    await access.prepare?.(matches.map(({ node }) => node))
    return listChecksum(access, selector, matches)
  }
  const { node } = follow(access, splitPath(selector.path), selector.followLinks ?? false)
  if (node !== undefined) await access.prepare?.(node)
  return checksum(access, selector)
}

function listChecksum<N>(
  access: NodeAccess<N>,
  selector: ContentSelector,
  matches: readonly Included<N>[],
): Digest {
  const parts = splitPath(selector.path)
  const digests = matches.map(({ path, node, isTop }) =>
    selector.followLinks && isTop && access.kind(node) === 'symlink'
      ? plainChecksum(access, splitPath(path), true).digest
      : access.nodeDigest(node),
  )
  if (matches.length === 0) return EMPTY_DIGEST
  if (matches.length === 1 && baseName(parts.join('/')) === baseName(matches[0]!.path)) return digests[0]!
  const text = matches.map(({ path }, i) => baseName(path) + digests[i]!).join('\0')
  return digestOf(hasRawBytes(text) ? encodePath(text) : text)
}

/** `checksum` over a `Tree`. */
export function checksumTree(tree: Tree, path: string, options: Omit<ContentSelector, 'path'> = {}): Digest {
  return checksum(treeAccess(tree), { ...options, path })
}

function hasFilters(selector: ContentSelector): boolean {
  return (
    (selector.wildcard === true && containsWildcards(selector.path)) ||
    (selector.include?.length ?? 0) > 0 ||
    (selector.exclude?.length ?? 0) > 0
  )
}

/** path.Base of an absolute path. */
function baseName(path: string): string {
  return path === '' ? '/' : baseNameOf(path)
}

function plainChecksum<N>(
  access: NodeAccess<N>,
  parts: readonly string[],
  followLast: boolean,
): { readonly digest: Digest; readonly node: N } {
  const { node } = follow(access, parts, followLast)
  if (node === undefined) throw notFound(parts.join('/'))
  return { node, digest: access.kind(node) === 'dir' ? access.dirDigest(node) : access.nodeDigest(node) }
}

function notFound(path: string): BuildError {
  return new BuildError('SOURCE_NOT_FOUND', `failed to compute cache key: "/${path}": not found`, {
    data: { path },
  })
}

/** Symlinks followed before a path is given up. @see checksum.go maxSymlinkLimit */
const LINKS_MAX = 255

/** Walks a path inside the tree; `path` is where it ended. @see checksum.go getFollowLinksCallback */
function follow<N>(
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

interface Included<N> {
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
function includedNodes<N>(access: NodeAccess<N>, selector: ContentSelector): Included<N>[] {
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

/** The part of a selector's path before its first wildcard. */
function fixedParts({ path, wildcard }: ContentSelector): string[] {
  const parts = splitPath(path)
  return wildcard === true ? parts.slice(0, firstWildcard(parts)) : parts
}

function firstWildcard(parts: readonly string[]): number {
  const at = parts.findIndex(containsWildcards)
  return at === -1 ? parts.length : at
}

/** Whether a path has `*`, `?` or `[` that no backslash takes the meaning from. */
export function containsWildcards(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const char = path[i]
    if (char === '\\') i++
    else if (char === '*' || char === '?' || char === '[') return true
  }
  return false
}

/**
 * The selectors that are hashed: plain paths that lie below another plain one dropped, all sorted by path. Paths that
 * follow their last link and those that don't are kept apart. @see ops/file.go dedupeSelectors
 */
export function dedupeSelectors(selectors: readonly ContentSelector[]): ContentSelector[] {
  const clean = selectors.map((selector) => ({ ...selector, path: `/${splitPath(selector.path).join('/')}` }))
  const plain = clean.filter((selector) => !hasFilters(selector))
  const out: ContentSelector[] = clean.filter(hasFilters)
  for (const followLinks of [false, true]) {
    const paths = plain.filter((selector) => (selector.followLinks ?? false) === followLinks)
    for (const path of dedupePaths(paths.map((selector) => selector.path))) out.push({ path, followLinks })
  }
  return out.sort((a, b) => compareNames(a.path, b.path))
}

function dedupePaths(paths: readonly string[]): string[] {
  const all = [...new Set(paths)]
  return all.filter(
    (path) => !all.some((other) => other !== path && path.startsWith(other === '/' ? '/' : `${other}/`)),
  )
}

const accesses = new WeakMap<Result, NodeAccess<unknown>>()
/** Keys that were computed of a result, by the selectors in JSON. */
const contentKeys = new WeakMap<Result, Map<string, Digest>>()

/** Lets the content of a result be hashed without making its tree; for results that come from a build context. */
export function provideAccess<N>(result: Result, access: NodeAccess<N>): void {
  accesses.set(result, access as NodeAccess<unknown>)
}

async function accessOf(result: Result): Promise<NodeAccess<unknown>> {
  const provided = accesses.get(result)
  if (provided !== undefined) return provided
  const access = treeAccess(await result.tree()) as NodeAccess<unknown>
  accesses.set(result, access)
  return access
}

/**
 * Content key of an input: what `CacheDep.content` returns, for every kind of input. Memoised per result.
 *
 * @param selectors  the parts that are read; none means everything
 * @throws BuildError SOURCE_NOT_FOUND
 */
export async function contentKeyOf(result: Result, selectors: readonly ContentSelector[]): Promise<Digest> {
  const wanted = selectors.length === 0 ? [{ path: '/' }] : dedupeSelectors(selectors)
  const id = JSON.stringify(wanted)
  const known = contentKeys.get(result)?.get(id)
  if (known !== undefined) return known
  const access = await accessOf(result)
  const digests: Digest[] = []
  for (const selector of wanted) digests.push(await checksumInSlices(access, selector))
  const digest = contentKey(digests)
  let keys = contentKeys.get(result)
  if (keys === undefined) contentKeys.set(result, (keys = new Map()))
  keys.set(id, digest)
  return digest
}

/** One entry that takes part in a content key. */
export interface ContentEntry {
  /** Relative to the input's root. */
  readonly path: string
  readonly kind: NodeKind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of a symlink. */
  readonly target: string
  /** Of header and content. */
  readonly digest: Digest
}

/** An entry that can be held against an earlier version of itself. */
export interface ComparableEntry extends ContentEntry {
  /** The digest that it would have with another mode and owner. */
  digestWith(meta: Owned): Digest
}

/**
 * The entries behind a content key that `contentKeyOf` computed of this result: every file and directory that had a say in
 * it, in the order of the walk. `undefined` when the key is not one of this result.
 */
export function contentEntriesOf(result: Result, key: Digest): ComparableEntry[] | undefined {
  const out: ComparableEntry[] = []
  const isKnown = visitContentEntries(result, key, (entry, digestWith) => out.push({ ...entry, digestWith }))
  return isKnown ? out : undefined
}

type EntryVisitor = (entry: ContentEntry, digestWith: ComparableEntry['digestWith']) => void

/** As `contentEntriesOf`, one after the other. @returns whether the key is one of this result */
export function visitContentEntries(result: Result, key: Digest, visit: EntryVisitor): boolean {
  const access = accesses.get(result)
  for (const [id, computed] of contentKeys.get(result) ?? []) {
    if (computed !== key || access === undefined) continue
    for (const selector of JSON.parse(id) as ContentSelector[]) visitEntries(access, selector, visit)
    return true
  }
  return false
}

function visitEntries<N>(access: NodeAccess<N>, selector: ContentSelector, visit: EntryVisitor): void {
  const visitOne = (path: string, node: N): void => {
    const kind = access.kind(node)
    const { mode, uid, gid } = access.meta(node)
    const target = kind === 'symlink' ? access.target(node) : ''
    const entry = { path, kind, mode, uid, gid, target, digest: access.nodeDigest(node) }
    visit(entry, (meta) => access.digestWith(node, meta))
  }
  if (hasFilters(selector)) {
    for (const { path, node } of includedNodes(access, selector)) visitOne(path, node)
    return
  }
  const { path, node } = follow(access, splitPath(selector.path), selector.followLinks ?? false)
  if (node === undefined) return
  const visitAll = (at: string, below: N): void => {
    if (at !== '') visitOne(at, below)
    if (access.kind(below) !== 'dir') return
    const names = access.names(below)
    for (let i = 0; i < names.length; i++) {
      const child = access.childAt === undefined ? access.child(below, names[i]!)! : access.childAt(below, i)
      visitAll(joinPath(at, names[i]!), child)
    }
  }
  visitAll(path.join('/'), node)
}
