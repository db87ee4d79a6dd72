// Mounts for executors that work in the view itself: what they may not write to answers EROFS while they run, and a tmpfs
// holds no more than its size. Pure.
import { Tree } from '../../unionfs/index.js'
import type { ExecMount, ExecRequest, ExecResult } from '../executor.js'

/**
 * Runs with the mounts in force: directories and files alike, one that can be written to in one that cannot. A tmpfs in which
 * something else is mounted has no limit.
 */
export async function withMounts(request: ExecRequest, run: () => Promise<ExecResult>): Promise<ExecResult> {
  const ends: (() => void)[] = []
  try {
    for (const mount of request.mounts.toSorted((a, b) => a.target.length - b.target.length)) {
      const end = enforce(request, mount)
      if (end !== undefined) ends.push(end)
    }
    return await run()
  } finally {
    for (const end of ends.toReversed()) end()
  }
}

/** Nothing where the view's own mounts see to it, and for what is never written to as a file. @returns what ends it */
function enforce({ view, mounts }: ExecRequest, mount: ExecMount): (() => void) | undefined {
  const { target, size = 0 } = mount
  // A secret's is mounted so in any case: moby/buildkit solver/llbsolver/mounts, secretMountInstance.
  const readonly = mount.readonly || mount.type === 'secret'
  const stat = view.fs.statSync(target, { throwIfNoEntry: false })
  if (stat === undefined || !(stat.isFile() || stat.isDirectory())) return undefined
  if (mount.type === 'tmpfs' && size > 0 && !hasOtherWithin(mount, mounts)) {
    const node = view.base.resolve(target)?.node
    return node === undefined ? undefined : view.mount(target, new Tree(node), { sizeBytes: size })
  }
  return isReadOnly(view, target) === readonly ? undefined : view.bind(target, { readOnly: readonly })
}

function hasOtherWithin({ target }: ExecMount, mounts: readonly ExecMount[]): boolean {
  const within = target.endsWith('/') ? target : `${target}/`
  return mounts.some((other) => other.target.startsWith(within))
}

function isReadOnly({ fs }: ExecRequest['view'], path: string): boolean {
  try {
    fs.accessSync(path, fs.constants.W_OK)
    return false
  } catch {
    return true
  }
}
