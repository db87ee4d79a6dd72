// Trees that several runs change at once, as folders of the host that all of them mount: a container's volumes. Effect.
//
// A folder is there for as long as somebody uses it; the store has what it was when the last who used it looked. One that a
// killed process left is not used: like all that such a process wrote, its content is lost.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf, hexOf } from '../../../digest.js'
import type { DocumentHold, Store } from '../../../store/index.js'
import { applyChangeset, diffTrees, EMPTY_TREE, type Tree } from '../../../unionfs/index.js'
import type { SharedFolder } from '../../executor.js'
import { removeFolder, type SandboxHost } from './host.js'
import { unpackChanges } from './rootfs.js'
import { isOwnAlive, ownName } from './scratch.js'
import { readUpperFolder } from './upper.js'

const LOCK_KIND = 'sandbox-folders'

/** Opens the folder of that name; who is first fills it. @see Executor.openFolder */
export async function openFolder(
  { host, folder, store }: { readonly host: SandboxHost; readonly folder: string; readonly store: Store },
  name: string,
  tree: Tree,
): Promise<SharedFolder> {
  const key = hexOf(digestOf(name)).slice(0, 24)
  const at = join(folder, 'shared', key)
  const data = join(at, 'data')
  const locked = async <T>(work: () => Promise<T>): Promise<T> => {
    const hold = await lock(store, key)
    try {
      return await work()
    } finally {
      hold.release()
    }
  }
  const own = join(at, 'users', ownName(folder))
  await locked(async () => {
    if (usersOf(folder, at).length === 0) {
      removeFolder(host, at)
      mkdirSync(data, { recursive: true })
      await unpackChanges(host, data, tree, diffTrees(EMPTY_TREE, tree))
    }
    mkdirSync(join(at, 'users'), { recursive: true })
    writeFileSync(own, '')
  })
  const read = async (): Promise<Tree> => {
    const changes = await readUpperFolder(host, data, at, EMPTY_TREE.root)
    return applyChangeset(EMPTY_TREE, changes)
  }
  return {
    path: data,
    close: (save) =>
      locked(async () => {
        try {
          await save?.(await read())
        } finally {
          rmSync(own, { force: true })
          if (usersOf(folder, at).length === 0) removeFolder(host, at)
        }
      }),
  }
}

/** Those that live; what others left is removed. */
function usersOf(folder: string, at: string): string[] {
  const users = join(at, 'users')
  if (!existsSync(users)) return []
  return readdirSync(users).filter((name) => {
    if (isOwnAlive(folder, name) !== false) return true
    rmSync(join(users, name), { force: true })
    return false
  })
}

/** One at a time, of all processes that share the store; a process that ends lets go. */
async function lock(store: Store, key: string): Promise<DocumentHold> {
  for (;;) {
    const hold = await store.documents.hold(LOCK_KIND, key)
    if (hold !== undefined) return hold
    await sleep(20)
  }
}
