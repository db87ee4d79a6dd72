// Mounting a host folder in a view. host-mount.ts, and with it node:fs, is loaded when that is done.
import { diffTrees } from './diff.js'
import type { Tree } from './tree.js'
import { UnionView, type MountOptions } from './view.js'

export interface FolderMount {
  /** Writes what changed in the mount since it began, or since the last flush, into the folder. */
  flush(): void
  /** Flushes, unless the mount is read-only, and ends the mount. */
  unmount(): void
}

/**
 * Mounts a host folder in a view. Directories are read when they are looked into. Changes stay in the view until `flush` or
 * `unmount` writes them out; nothing outside the folder is ever written.
 *
 * @throws Node's errors, of the mount point and of the folder
 */
export async function mountFolder(
  view: UnionView,
  path: string,
  folder: string,
  options: MountOptions = {},
): Promise<FolderMount> {
  const host = await import('./host-mount.js')
  const inner = new UnionView(host.hostTree(folder))
  const unmount = view.mount(path, inner, options)
  let written: Tree = inner.base
  const flush = () => {
    const now = inner.snapshot()
    host.writeChanges(folder, diffTrees(written, now))
    written = now
  }
  return {
    flush,
    unmount: () => {
      if (options.readOnly !== true) flush()
      unmount()
    },
  }
}
