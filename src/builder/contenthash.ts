// Content digests of what selectors name, as BuildKit computes them for cache keys, and the content keys made of them.
// Works on any kind of tree through `NodeAccess`, so that a host context needs no nodes.
// Form of BuildKit 0.25 (moby 28.5.2): the paths of a match list are base names.
// @see moby/buildkit cache/contenthash/{checksum,tarsum,filehash}.go, solver/llbsolver/ops/opsutils/contenthash.go
import { digestOf, EMPTY_DIGEST, type Digest } from '../digest.js'
import { BuildError } from '../errors.js'
import { baseNameOf, encodePath, hasRawBytes, joinPath, splitPath } from '../path.js'
import type { NodeKind, Tree } from '../unionfs/index.js'
import type { Owned } from './content-header.js'
import { dedupeSelectors, hasFilters, type ContentSelector } from './content-selector.js'
import { follow, includedNodes, type Included } from './content-walk.js'
import { contentKey } from './key.js'
import { treeAccess, type NodeAccess } from './node-access.js'
import type { Result } from './vertex.js'

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
