// A directory with edits pending: what tree-editor.ts is made of. Pure.
import { EMPTY_CHILDREN, childrenFrom, childrenFromSorted, mayHoldLinks, type Children } from './children.js'
import type { TreeNode } from './node.js'

/** What a name of a draft stands for: a node, a directory with edits of its own, or nothing. */
export type Slot = TreeNode | Draft | undefined

export class Draft {
  /** The directory's metadata; its `children` are not looked at. */
  node: TreeNode
  /** The entries before the edits. */
  readonly base: Children
  #changes: Map<string, Slot> | undefined
  /**
   * A new directory that is filled in order of names, as sorted layers do it, needs no map: two lists are what its
   * entries will be in the end. The first name out of order ends this.
   */
  #names: string[] = []
  #slots: (TreeNode | Draft)[] = []

  constructor(node: TreeNode, base: Children = node.children ?? EMPTY_CHILDREN) {
    this.node = node
    this.base = base
  }

  get(name: string): Slot {
    if (this.#changes === undefined) {
      const last = this.#names.at(-1)
      if (last === undefined) return this.base.get(name)
      if (name > last) return undefined
      if (name === last) return this.#slots.at(-1)
    }
    const changes = this.#map()
    const changed = changes.get(name)
    return changed !== undefined || changes.has(name) ? changed : this.base.get(name)
  }

  /** `undefined` removes. */
  set(name: string, slot: Slot): void {
    if (this.#changes === undefined && slot !== undefined && this.base.size === 0) {
      const last = this.#names.at(-1)
      if (last === undefined || name > last) {
        this.#names.push(name)
        this.#slots.push(slot)
        return
      }
      if (name === last) {
        this.#slots[this.#slots.length - 1] = slot
        return
      }
    }
    this.#map().set(name, slot)
  }

  /** Names that are there now, in no particular order. */
  *names(): Generator<string> {
    if (this.#changes === undefined) yield* this.#names
    for (const [name, changed] of this.#changes ?? []) if (changed !== undefined) yield name
    for (const [name] of this.base.entries()) if (this.#changes?.has(name) !== true) yield name
  }

  /** What may be, or have below it, a hard-linked file: all that was set, and of the rest what may. */
  *linkable(): Generator<readonly [name: string, slot: Draft | TreeNode]> {
    for (const [i, name] of this.#names.entries()) yield [name, this.#slots[i]!]
    for (const [name, slot] of this.#changes ?? []) if (slot !== undefined) yield [name, slot]
    if (!mayHoldLinks(this.base)) return
    for (const [name, node] of this.base.entries()) {
      if ((node.nlink > 1 || node.kind === 'dir') && this.#changes?.has(name) !== true) yield [name, node]
    }
  }

  /** The drafts directly below. */
  *drafts(): Generator<Draft> {
    for (const slot of this.#changes?.values() ?? this.#slots) if (slot instanceof Draft) yield slot
  }

  /** The node with all edits, given those of the drafts below; the same object when nothing has changed. */
  freeze(frozen: ReadonlyMap<Draft, TreeNode>): TreeNode {
    if (this.#changes === undefined) {
      if (this.#names.length === 0 && this.base === (this.node.children ?? EMPTY_CHILDREN)) return this.node
      if (this.#names.length === 0) return this.node.withChildren(this.base)
      const nodes = this.#slots.map((slot) => (slot instanceof Draft ? frozen.get(slot)! : slot))
      return this.node.withChildren(childrenFromSorted(this.#names.slice(), nodes))
    }
    const settled = new Map<string, TreeNode | undefined>()
    for (const [name, slot] of this.#changes) {
      const node = slot instanceof Draft ? frozen.get(slot)! : slot
      if (node !== undefined || this.base.size > 0) settled.set(name, node)
    }
    if (this.base.size > 0) return this.node.withChildren(this.base.with(settled))
    return this.node.withChildren(childrenFrom(settled as Map<string, TreeNode>))
  }

  #map(): Map<string, Slot> {
    if (this.#changes === undefined) {
      this.#changes = new Map()
      for (const [i, name] of this.#names.entries()) this.#changes.set(name, this.#slots[i])
      this.#names = []
      this.#slots = []
    }
    return this.#changes
  }
}

/** Immutable nodes from drafts, deepest first, without recursion: a tree may be deeper than the call stack. */
export function freeze(root: Draft): TreeNode {
  const frozen = new Map<Draft, TreeNode>()
  const todo: Draft[] = [root]
  while (todo.length > 0) {
    const draft = todo.at(-1)!
    const depth = todo.length
    for (const below of draft.drafts()) if (!frozen.has(below)) todo.push(below)
    if (todo.length > depth) continue
    todo.pop()
    if (!frozen.has(draft)) frozen.set(draft, draft.freeze(frozen))
  }
  return frozen.get(root)!
}
