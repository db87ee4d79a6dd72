// The directories of RUN --mount=type=cache, kept in the store between runs: each is a layer of its own that a sidecar
// names. Losing one costs time only.
import { digestOf, hexOf, type DiffID, type Digest } from '../../digest.js'
import type { Descriptor } from '../../descriptor.js'
import { systemEnv, type Env } from '../../env.js'
import type { Hold, Store } from '../../store/index.js'
import { commitDiff, EMPTY_TREE, openTree, Tree, TreeNode } from '../../unionfs/index.js'

const KIND = 'cache-mount'

interface Saved {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly usedMs: number
  readonly descriptor: Descriptor
  readonly diffID: DiffID
}

export interface CacheMountInfo {
  readonly id: string
  /** Names it in `remove`. */
  readonly key: string
  readonly usedMs: number
  readonly layer: { readonly descriptor: Descriptor; readonly diffID: DiffID }
}

/** Cache mounts by id. Of two runs that share one at the same time, the later end wins; `lock` lets them take turns. */
export class CacheMounts {
  private readonly locks = new Map<string, Promise<void>>()

  /** @param hold  keeps what `load` gives from gc; without it a gc beside may take it away */
  constructor(
    private readonly store: Store,
    private readonly env: Env = systemEnv,
    private readonly hold?: Hold,
  ) {}

  /** The directory as the last run left it; `undefined` when there is none. */
  async load(id: string): Promise<TreeNode | undefined> {
    const saved = this.read(keyOf(id))
    if (saved === undefined || !(await this.keep(saved.descriptor.digest))) return undefined
    try {
      return (await openTree(this.store, [saved])).root
    } catch {
      // A damaged or collected cache is an empty one.
      return undefined
    }
  }

  async save(id: string, directory: TreeNode): Promise<void> {
    const tree = directory.kind === 'dir' ? new Tree(directory) : EMPTY_TREE
    const { descriptor, diffID } = await commitDiff(this.store, EMPTY_TREE, tree)
    const usedMs = Number(this.env.now() / 1_000_000n)
    const saved: Saved = { id, usedMs, descriptor, diffID }
    await this.store.sidecars.put(KIND, keyOf(id), new TextEncoder().encode(JSON.stringify(saved)))
  }

  /** All that are kept. */
  async list(): Promise<CacheMountInfo[]> {
    const keys = await this.store.sidecars.list(KIND)
    return keys.flatMap((key) => {
      const saved = this.read(key)
      if (saved === undefined) return []
      const { id, usedMs, descriptor, diffID } = saved
      return [{ id, key, usedMs, layer: { descriptor, diffID } }]
    })
  }

  /** @param key  as `list` gives it; removing one that is not there is no error */
  async remove(key: string): Promise<void> {
    await this.store.sidecars.delete(KIND, key)
  }

  /**
   * A run reads its mount bit by bit, and may do so after another build has replaced it. Asked for alone with the store, so
   * that no gc is at work that has not seen the hold.
   * @returns whether the blob is there
   */
  private async keep(digest: Digest): Promise<boolean> {
    if (this.hold === undefined) return true
    await this.hold([digest])
    return this.store.exclusive(async () => (await this.store.blobs.stat(digest)) !== undefined)
  }

  private read(key: string): Saved | undefined {
    const bytes = this.store.sidecars.get(KIND, key)
    return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as Saved)
  }

  /** Waits until nobody else in this process holds the id. @returns what gives it free */
  async lock(id: string): Promise<() => void> {
    for (let held = this.locks.get(id); held !== undefined; held = this.locks.get(id)) await held
    let free = (): void => {}
    this.locks.set(id, new Promise((resolve) => (free = resolve)))
    return () => {
      this.locks.delete(id)
      free()
    }
  }
}

function keyOf(id: string): string {
  return hexOf(digestOf(id))
}
