// The entries of one directory: an immutable map from name to node that shares its parts with the maps it came from. Pure.
//
// A directory is two arrays, sorted names and their nodes. The names, with a hash index that is made when a larger
// directory is first asked, are shared by all versions in which only nodes change: replacing an entry copies an array of
// pointers, and memory is 16 bytes an entry (a Map costs 47). Above SHARD_FROM entries the directory is split by the
// name's hash, and a change copies the parts it touches.
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
export const SHARD_FROM = 512
/** Entries that a shard holds on average when it is made. */
const SHARD_FILL = 32
/** Up to this many names a scan of the array beats a hash index. */
const SCAN_MAX = 8

/** The entries given; of two with one name the last counts. */
export function childrenOf(entries: Iterable<readonly [name: string, node: TreeNode]>): Children {
  return childrenFrom(new Map(entries))
}

/** As `childrenOf`, for entries that are in a map already. @internal */
export function childrenFrom(map: ReadonlyMap<string, TreeNode>): Children {
  if (map.size === 0) return EMPTY_CHILDREN
  return map.size > SHARD_FROM ? shard(map, map.size) : FlatChildren.from(map)
}

/** As `childrenOf`, for names in UTF-16 order without doubles; takes the arrays over. @internal */
export function childrenFromSorted(names: readonly string[], nodes: readonly TreeNode[]): Children {
  const flat = new FlatChildren(new NameTable(names), nodes, anyLinked(nodes))
  return nodes.length > SHARD_FROM ? shard(flat.entries(), nodes.length) : flat
}

/**
 * Whether a hard-linked file may be in this directory or below it. Errs on the side of `true`; it is what makes hard
 * links free for trees that have none.
 */
export function mayHoldLinks(children: Children | undefined): boolean {
  if (children === undefined) return false
  return children instanceof FlatChildren || children instanceof ShardedChildren ? children.linked : true
}

type Difference = readonly [name: string, before: TreeNode | undefined, after: TreeNode | undefined]

/**
 * The names at which two directories differ by node identity, in no particular order. Shared parts are skipped, so for
 * maps that come from one another the cost follows the number of changes.
 */
export function childrenDifferences(a: Children | undefined, b: Children | undefined): Difference[] {
  const out: Difference[] = []
  if (a === b) return out
  if (a instanceof ShardedChildren && b instanceof ShardedChildren && a.shards.length === b.shards.length) {
    for (let i = 0; i < a.shards.length; i++) {
      if (a.shards[i] !== b.shards[i]) flatDifferences(a.shards[i]!, b.shards[i]!, out)
    }
  } else if (a instanceof FlatChildren && b instanceof FlatChildren) flatDifferences(a, b, out)
  else {
    for (const [name, after] of b?.entries() ?? []) {
      const before = a?.get(name)
      if (before !== after) out.push([name, before, after])
    }
    for (const [name, before] of a?.entries() ?? []) {
      if (b?.get(name) === undefined) out.push([name, before, undefined])
    }
  }
  return out
}

/** A merge of two sorted lists; of one list where the names are shared. */
function flatDifferences(a: FlatChildren, b: FlatChildren, out: Difference[]): void {
  const [before, after] = [a.table.sorted, b.table.sorted]
  if (before === after) {
    for (let i = 0; i < before.length; i++) {
      if (a.nodes[i] !== b.nodes[i]) out.push([before[i]!, a.nodes[i], b.nodes[i]])
    }
    return
  }
  let i = 0
  let j = 0
  while (i < before.length || j < after.length) {
    const [x, y] = [before[i], after[j]]
    if (x === y) {
      if (a.nodes[i] !== b.nodes[j]) out.push([x!, a.nodes[i], b.nodes[j]])
      i++
      j++
    } else if (y === undefined || (x !== undefined && x < y)) out.push([x!, a.nodes[i++], undefined])
    else out.push([y, undefined, b.nodes[j++]])
  }
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

const BEYOND_UTF16_ORDER = /[\ud800-\uffff]/

/** The names of a directory and ways to find them; one object for all versions that have the same names. */
class NameTable {
  /** In UTF-16 order, which JavaScript compares natively. */
  readonly sorted: readonly string[]
  #index: Map<string, number> | undefined
  #inByteOrder: readonly string[] | undefined

  constructor(sorted: readonly string[]) {
    this.sorted = sorted
  }

  /** Position of a name, or -1. */
  find(name: string): number {
    if (this.#index !== undefined) return this.#index.get(name) ?? -1
    if (this.sorted.length <= SCAN_MAX) return this.sorted.indexOf(name)
    this.#index = new Map()
    for (let i = 0; i < this.sorted.length; i++) this.#index.set(this.sorted[i]!, i)
    return this.#index.get(name) ?? -1
  }

  inByteOrder(): readonly string[] {
    return (this.#inByteOrder ??= this.sorted.some((name) => BEYOND_UTF16_ORDER.test(name))
      ? this.sorted.toSorted(compareNames)
      : this.sorted)
  }
}

class FlatChildren implements Children {
  readonly table: NameTable
  /** Parallel to `table.sorted`. */
  readonly nodes: readonly TreeNode[]
  readonly linked: boolean

  constructor(table: NameTable, nodes: readonly TreeNode[], linked: boolean) {
    this.table = table
    this.nodes = nodes
    this.linked = linked
  }

  static from(map: ReadonlyMap<string, TreeNode>): FlatChildren {
    // Arrays of the exact length: a spread of an iterator leaves room for half as much again.
    const names = Array<string>(map.size)
    const nodes = Array<TreeNode>(map.size)
    let at = 0
    let linked = false
    for (const [name, node] of map) {
      names[at] = name
      nodes[at++] = node
      linked ||= isLinked(node)
    }
    if (!isSorted(names)) {
      names.sort()
      for (let i = 0; i < at; i++) nodes[i] = map.get(names[i]!)!
    }
    return new FlatChildren(new NameTable(names), nodes, linked)
  }

  get size(): number {
    return this.nodes.length
  }

  get(name: string): TreeNode | undefined {
    const at = this.table.find(name)
    return at === -1 ? undefined : this.nodes[at]
  }

  names(): readonly string[] {
    return this.table.inByteOrder()
  }

  *entries(): Generator<readonly [string, TreeNode]> {
    const names = this.table.sorted
    for (let i = 0; i < names.length; i++) yield [names[i]!, this.nodes[i]!]
  }

  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children {
    const out = this.changed(changes)
    if (out.size === 0) return EMPTY_CHILDREN
    return out.size > SHARD_FROM ? shard(out.entries(), out.size) : out
  }

  /** As `with`, but flat whatever the size; itself when nothing changes. */
  changed(changes: ReadonlyMap<string, TreeNode | undefined>): FlatChildren {
    let nodes: TreeNode[] | undefined
    let added: string[] | undefined
    let removed = false
    for (const [name, node] of changes) {
      const at = this.table.find(name)
      if (at === -1) {
        if (node !== undefined) (added ??= []).push(name)
      } else if (node === undefined) removed = true
      else if (this.nodes[at] !== node) (nodes ??= this.nodes.slice())[at] = node
    }
    if (added !== undefined || removed) return this.#merged(nodes ?? this.nodes, added ?? [], changes)
    if (nodes === undefined) return this
    return new FlatChildren(this.table, nodes, this.linked || anyLinked(changes.values()))
  }

  #merged(
    old: readonly TreeNode[],
    added: string[],
    changes: ReadonlyMap<string, TreeNode | undefined>,
  ): FlatChildren {
    if (!isSorted(added)) added.sort()
    const names: string[] = []
    const nodes: TreeNode[] = []
    const before = this.table.sorted
    let next = 0
    const take = (name: string) => {
      names.push(name)
      nodes.push(changes.get(name)!)
    }
    for (const [i, name] of before.entries()) {
      for (; next < added.length && added[next]! < name; next++) take(added[next]!)
      if (changes.has(name) && changes.get(name) === undefined) continue
      names.push(name)
      nodes.push(old[i]!)
    }
    for (; next < added.length; next++) take(added[next]!)
    return new FlatChildren(new NameTable(names), nodes, this.linked || anyLinked(changes.values()))
  }
}

function isSorted(names: readonly string[]): boolean {
  for (let i = 1; i < names.length; i++) if (names[i - 1]! > names[i]!) return false
  return true
}

/** Sorted names of an earlier version and what has changed since. */
interface NamesHint {
  readonly names: readonly string[]
  readonly changes: ReadonlyMap<string, TreeNode | undefined>
}

class ShardedChildren implements Children {
  readonly shards: readonly FlatChildren[]
  readonly size: number
  readonly linked: boolean
  #names: readonly string[] | undefined
  #hint: NamesHint | undefined

  constructor(shards: readonly FlatChildren[], size: number, linked: boolean) {
    this.shards = shards
    this.size = size
    this.linked = linked
  }

  get(name: string): TreeNode | undefined {
    return this.shards[shardOf(name, this.shards.length)]!.get(name)
  }

  names(): readonly string[] {
    if (this.#names === undefined) {
      this.#names = this.#hint === undefined ? this.#sortedNames() : mergeNames(this.#hint)
      this.#hint = undefined
    }
    return this.#names
  }

  #sortedNames(): readonly string[] {
    const names = this.shards.flatMap((part) => part.table.sorted)
    return new NameTable(names.sort()).inByteOrder()
  }

  *entries(): Generator<readonly [string, TreeNode]> {
    for (const part of this.shards) yield* part.entries()
  }

  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children {
    const groups = new Map<number, Map<string, TreeNode | undefined>>()
    for (const [name, node] of changes) {
      const at = shardOf(name, this.shards.length)
      let group = groups.get(at)
      if (group === undefined) groups.set(at, (group = new Map()))
      group.set(name, node)
    }
    const shards = this.shards.slice()
    let size = this.size
    let sameNames = true
    let same = true
    for (const [at, group] of groups) {
      const before = shards[at]!
      const after = before.changed(group)
      if (after === before) continue
      shards[at] = after
      size += after.size - before.size
      same = false
      if (after.table !== before.table) sameNames = false
    }
    if (same) return this
    if (size <= SHARD_FROM / 2 || size > shards.length * SHARD_FILL * 4) return rebuild(shards, size)
    const out = new ShardedChildren(shards, size, this.linked || anyLinked(changes.values()))
    if (this.#names !== undefined) {
      if (sameNames) out.#names = this.#names
      else if (changes.size * 8 < size) out.#hint = { names: this.#names, changes }
    }
    return out
  }
}

/** Sorted names made from an earlier version's, in a pass instead of a sort. */
function mergeNames({ names, changes }: NamesHint): readonly string[] {
  const touched = [...changes.keys()].filter((name) => changes.get(name) !== undefined).sort(compareNames)
  const out: string[] = []
  let next = 0
  for (const name of names) {
    for (; next < touched.length && compareNames(touched[next]!, name) < 0; next++) out.push(touched[next]!)
    if (touched[next] === name) next++
    if (!changes.has(name) || changes.get(name) !== undefined) out.push(name)
  }
  return out.concat(touched.slice(next))
}

function shard(entries: Iterable<readonly [string, TreeNode]>, size: number): ShardedChildren {
  const count = 2 ** Math.ceil(Math.log2(size / SHARD_FILL))
  const maps = Array.from({ length: count }, () => new Map<string, TreeNode>())
  for (const [name, node] of entries) maps[shardOf(name, count)]!.set(name, node)
  const shards = maps.map((map) => FlatChildren.from(map))
  return new ShardedChildren(
    shards,
    size,
    shards.some((part) => part.linked),
  )
}

function rebuild(shards: readonly FlatChildren[], size: number): Children {
  const entries = shards.flatMap((part) => [...part.entries()])
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
export const EMPTY_CHILDREN: Children = FlatChildren.from(new Map())
