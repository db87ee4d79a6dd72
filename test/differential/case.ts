// What a differential case is: layers, who acts, and the steps. All of it is JSON.

/** One entry of a layer. Paths are normalised, as bytes in latin1. */
export interface LayerEntry {
  readonly kind: 'file' | 'dir' | 'symlink' | 'link' | 'fifo' | 'chardev' | 'delete'
  readonly path: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** Seconds since the epoch. */
  readonly mtime?: number
  readonly content?: string
  /** Symlinks: the target. Hard links: the path of an entry of the same layer. */
  readonly target?: string
  readonly rdev?: readonly [number, number]
  readonly xattrs?: Readonly<Record<string, string>>
  /** Directories: nothing of the lower layers shows. */
  readonly isOpaque?: boolean
}

/** A call of a method of node:fs. See executor.mjs for the forms of arguments. */
export interface Step {
  readonly call: string
  readonly args: readonly unknown[]
  /** openSync: the name of the descriptor for later steps. */
  readonly slot?: number
}

export interface Case {
  readonly seed: number
  readonly layers: readonly (readonly LayerEntry[])[]
  readonly identity: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] }
  readonly umask: number
  readonly steps: readonly Step[]
}

export interface Outcome {
  readonly results: readonly unknown[]
  readonly tree: Readonly<Record<string, unknown>>
}
