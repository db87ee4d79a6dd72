// Read-only mounts for executors that work in the view itself: what they may not write to answers EROFS while they run. Pure.
import { Tree } from '../../unionfs/index.js'
import type { ExecMount, ExecRequest, ExecResult } from '../executor.js'

/**
 * Runs with the directories of read-only mounts mounted so; files among them stay as they are, since a view mounts
 * directories only, and what is written into them is dropped with the mount. One that has a writable mount in it stays
 * writable as well.
 */
export async function withReadOnlyMounts(
  request: ExecRequest,
  run: () => Promise<ExecResult>,
): Promise<ExecResult> {
  const ends = request.mounts
    .filter((mount) => mount.readonly && !hasWritableWithin(mount, request.mounts))
    .toSorted((a, b) => a.target.length - b.target.length)
    .flatMap(({ target }) => mountReadOnly(request, target))
  try {
    return await run()
  } finally {
    for (const end of ends.toReversed()) end()
  }
}

function hasWritableWithin({ target }: ExecMount, mounts: readonly ExecMount[]): boolean {
  const within = target.endsWith('/') ? target : `${target}/`
  return mounts.some((other) => !other.readonly && other.target.startsWith(within))
}

/** Nothing where it is a mount of the view already, or no directory. @returns what ends it */
function mountReadOnly({ view }: ExecRequest, target: string): (() => void)[] {
  const found = view.base.resolve(target)
  if (found?.node.kind !== 'dir' || isReadOnly(view, target)) return []
  return [view.mount(target, new Tree(found.node), { readOnly: true })]
}

function isReadOnly({ fs }: ExecRequest['view'], path: string): boolean {
  try {
    fs.accessSync(path, fs.constants.W_OK)
    return false
  } catch {
    return true
  }
}
