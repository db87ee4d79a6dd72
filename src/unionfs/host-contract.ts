// What the view and its fs surface need from their host beyond the core: memfs, Buffer, and the classes that Node's fs
// objects extend. `#unionfs-host` resolves to node.ts under Node and to browser.ts elsewhere.
import type { Volume } from 'memfs'

export type MemfsVolume = Volume
export type MemfsInode = ReturnType<Volume['_core']['createNode']>

export interface UnionfsHost {
  /** memfs, loaded at the first call: it costs 40 ms, and a view that is only read never needs it. */
  loadMemfs(): typeof import('memfs')
}

/** The type of `view.fs`: that of node:fs, so that everything written for it takes a view. */
export type NodeFs = typeof import('node:fs')
