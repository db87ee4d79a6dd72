// The entries of one directory: an immutable map from name to node that shares its parts with the maps it came from. Pure.
//
// Up to SHARD_FROM entries it is one Map, which a change copies. Above, it is an array of Maps by the name's hash, and a
// change copies the Maps it touches: 10 changes to 100,000 entries copy about 1,000 entries instead of all.
import { compareNames } from '../path.js'
import type { TreeNode } from './node.js'

export interface Children {
  readonly size: number
  get(name: string): TreeNode | undefined
  /** Names in byte order. Computed once, then shared: never write into it. */
  names(): readonly string[]
  /** In no particular order; the cheapest way to see all. */
  entries(): Iterable<readonly [name: string, node: TreeNode]>
  /** The map after some changes; `undefined` removes. Cost follows the number of changes, not the size. */
  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children
}

/** More entries than this make a directory sharded. */
export const SHARD_FROM = 1024
/** Entries that a shard holds on average when it is made. */
const SHARD_FILL = 64

type NodeMap = ReadonlyMap<string, TreeNode>

/** The entries given; of two with one name the last counts. */
export function childrenOf(entries: Iterable<readonly [name: string, node: TreeNode]>): Children {
  return childrenFrom(new Map(entries))
}

/** As `childrenOf`, and takes the map over: the caller must not write into it any more. @internal */
export function childrenFrom(map: NodeMap): Children {
  if (map.size === 0) return EMPTY_CHILDREN
  return map.size > SHARD_FROM ? shard(map, map.size) : new MapChildren(map, anyLinked(map.values()))
}

/**
 * Whether a hard-linked file may be in this directory or below it. Errs on the side of `true`; it is what makes hard
 * links free for trees that have none.
 */
export function mayHoldLinks(children: Children | undefined): boolean {
  if (children === undefined) return false
  return children instanceof MapChildren || children instanceof ShardedChildren ? children.linked : true
}

/**
 * The names at which two directories differ by node identity, in no particular order. Shared parts are skipped, so for
 * maps that come from one another the cost follows the number of changes.
 */
export function* childrenDifferences(
  a: Children | undefined,
  b: Children | undefined,
): Generator<readonly [name: string, before: TreeNode | undefined, after: TreeNode | undefined]> {
  if (a === b) return
  if (a instanceof ShardedChildren && b instanceof ShardedChildren && a.shards.length === b.shards.length) {
    for (let i = 0; i < a.shards.length; i++) {
      if (a.shards[i] !== b.shards[i]) yield* mapDifferences(a.shards[i]!, b.shards[i]!)
    }
    return
  }
  if (b !== undefined) {
    for (const [name, after] of b.entries()) {
      const before = a?.get(name)
      if (before !== after) yield [name, before, after]
    }
  }
  if (a !== undefined) {
    for (const [name, before] of a.entries()) {
      if (b?.get(name) === undefined) yield [name, before, undefined]
    }
  }
}

function* mapDifferences(
  a: NodeMap,
  b: NodeMap,
): Generator<readonly [string, TreeNode | undefined, TreeNode | undefined]> {
  for (const [name, after] of b) {
    const before = a.get(name)
    if (before !== after) yield [name, before, after]
  }
  for (const [name, before] of a) if (!b.has(name)) yield [name, before, undefined]
}

function isLinked(node: TreeNode | undefined): boolean {
  return (
    node !== undefined && (node.nlink > 1 || (node.children !== undefined && mayHoldLinks(node.children)))
  )
}

function anyLinked(nodes: Iterable<TreeNode | undefined>): boolean {
  for (const node of nodes) if (isLinked(node)) return true
  return false
}

/** Sorted names of an earlier version and what has changed since, so that a re-sort is a merge. */
interface NamesHint {
  readonly names: readonly string[]
  readonly added: readonly string[]
  readonly removed: ReadonlySet<string>
}

abstract class CachedNames {
  #names: readonly string[] | undefined
  #hint: NamesHint | undefined

  names(): readonly string[] {
    if (this.#names === undefined) {
      this.#names = this.#hint === undefined ? sortNames([...this.unsortedNames()]) : mergeNames(this.#hint)
      this.#hint = undefined
    }
    return this.#names
  }

  /** Lets the names of `before` serve again. Must be called at most once, before anyone sees this object. */
  protected inheritNames(before: CachedNames, added: readonly string[], removed: ReadonlySet<string>): void {
    const names = before.#names
    if (names === undefined) return
    if (added.length === 0 && removed.size === 0) this.#names = names
    else if ((added.length + removed.size) * 8 < names.length) this.#hint = { names, added, removed }
  }

  protected abstract unsortedNames(): Iterable<string>
}

const ABOVE_BMP_ORDER = /[\ud800-\uffff]/

/** Sorts in place, by bytes. JavaScript's own order is the same as long as no name reaches the surrogates. */
function sortNames(names: string[]): string[] {
  for (const name of names) if (ABOVE_BMP_ORDER.test(name)) return names.sort(compareNames)
  return names.sort()
}

function mergeNames({ names, added, removed }: NamesHint): string[] {
  const fresh = [...added].sort(compareNames)
  const out: string[] = []
  let next = 0
  for (const name of names) {
    while (next < fresh.length && compareNames(fresh[next]!, name) < 0) out.push(fresh[next++]!)
    if (!removed.has(name)) out.push(name)
  }
  while (next < fresh.length) out.push(fresh[next++]!)
  return out
}

class MapChildren extends CachedNames implements Children {
  readonly #map: NodeMap
  readonly linked: boolean

  constructor(map: NodeMap, linked: boolean) {
    super()
    this.#map = map
    this.linked = linked
  }

  get size(): number {
    return this.#map.size
  }

  get(name: string): TreeNode | undefined {
    return this.#map.get(name)
  }

  entries(): Iterable<readonly [string, TreeNode]> {
    return this.#map
  }

  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children {
    const delta = deltaOf(this, changes)
    if (delta === undefined) return this
    const map = new Map(this.#map)
    for (const [name, node] of changes) {
      if (node === undefined) map.delete(name)
      else map.set(name, node)
    }
    if (map.size === 0) return EMPTY_CHILDREN
    if (map.size > SHARD_FROM) return shard(map, map.size)
    const out = new MapChildren(map, this.linked || anyLinked(changes.values()))
    out.inheritNames(this, delta.added, delta.removed)
    return out
  }

  protected unsortedNames(): Iterable<string> {
    return this.#map.keys()
  }
}

class ShardedChildren extends CachedNames implements Children {
  readonly shards: readonly NodeMap[]
  readonly size: number
  readonly linked: boolean

  constructor(shards: readonly NodeMap[], size: number, linked: boolean) {
    super()
    this.shards = shards
    this.size = size
    this.linked = linked
  }

  get(name: string): TreeNode | undefined {
    return this.shards[shardOf(name, this.shards.length)]!.get(name)
  }

  *entries(): Iterable<readonly [string, TreeNode]> {
    for (const map of this.shards) yield* map
  }

  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children {
    const delta = deltaOf(this, changes)
    if (delta === undefined) return this
    const size = this.size + delta.added.length - delta.removed.size
    const shards = this.#changedShards(changes)
    if (size <= SHARD_FROM / 2 || size > shards.length * SHARD_FILL * 4) return rebuild(shards, size)
    const out = new ShardedChildren(shards, size, this.linked || anyLinked(changes.values()))
    out.inheritNames(this, delta.added, delta.removed)
    return out
  }

  #changedShards(changes: ReadonlyMap<string, TreeNode | undefined>): NodeMap[] {
    const shards = this.shards.slice()
    const owned = new Map<number, Map<string, TreeNode>>()
    for (const [name, node] of changes) {
      const at = shardOf(name, shards.length)
      let map = owned.get(at)
      if (map === undefined) {
        map = new Map(shards[at])
        owned.set(at, map)
        shards[at] = map
      }
      if (node === undefined) map.delete(name)
      else map.set(name, node)
    }
    return shards
  }

  protected *unsortedNames(): Iterable<string> {
    for (const map of this.shards) yield* map.keys()
  }
}

/** What `changes` really does to `before`; `undefined` when nothing. */
function deltaOf(
  before: Children,
  changes: ReadonlyMap<string, TreeNode | undefined>,
): { added: string[]; removed: Set<string> } | undefined {
  const added: string[] = []
  const removed = new Set<string>()
  let replaced = false
  for (const [name, node] of changes) {
    const old = before.get(name)
    if (old === node) continue
    if (old === undefined) added.push(name)
    else if (node === undefined) removed.add(name)
    else replaced = true
  }
  return replaced || added.length > 0 || removed.size > 0 ? { added, removed } : undefined
}

function shard(entries: Iterable<readonly [string, TreeNode]>, size: number): ShardedChildren {
  const count = 2 ** Math.ceil(Math.log2(size / SHARD_FILL))
  const shards = Array.from({ length: count }, () => new Map<string, TreeNode>())
  let linked = false
  for (const [name, node] of entries) {
    shards[shardOf(name, count)]!.set(name, node)
    linked ||= isLinked(node)
  }
  return new ShardedChildren(shards, size, linked)
}

function rebuild(shards: readonly NodeMap[], size: number): Children {
  const entries = shards.flatMap((map) => [...map])
  return size > SHARD_FROM ? shard(entries, size) : childrenOf(entries)
}

/** FNV-1a over the UTF-16 units, folded; `count` is a power of two. Names made to collide cost time, never answers. */
function shardOf(name: string, count: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  hash ^= hash >>> 15
  return hash & (count - 1)
}

/** The entries of a directory that has none. */
export const EMPTY_CHILDREN: Children = new MapChildren(new Map(), false)
