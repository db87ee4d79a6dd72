// Trees that several runs change at once, as folders of the host that all of them mount: a container's volumes. Effect.
//
// A folder is there for as long as somebody uses it; the store has what it was when the last who used it looked. One that
// killed processes left is kept for `recoverFolders`, which gives its content to whoever knows what to do with it.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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
/** Of a folder's name; what comes after it tells abandoned ones apart. */
const KEY_LENGTH = 24

export interface FoldersOptions {
  readonly host: SandboxHost
  readonly folder: string
  readonly store: Store
}

/** In a folder that is filled: what `openFolder` was told of it. */
const ABOUT = 'about'

/** Opens the folder of that name; who is first fills it. @see Executor.openFolder */
export async function openFolder(
  { host, folder, store }: FoldersOptions,
  name: string,
  tree: Tree,
  about?: unknown,
): Promise<SharedFolder> {
  const key = keyOf(name)
  const at = join(folder, 'shared', key)
  const data = join(at, 'data')
  const locked = <T>(work: () => Promise<T>): Promise<T> => withLock(store, key, work)
  const own = join(at, 'users', ownName(folder))
  await locked(async () => {
    if (usersOf(folder, at).length === 0) {
      // Somebody was killed since the last look for such folders.
      if (existsSync(join(at, ABOUT))) renameSync(at, `${at}-${randomBytes(6).toString('hex')}`)
      removeFolder(host, at)
      mkdirSync(data, { recursive: true })
      await unpackChanges(host, data, tree, diffTrees(EMPTY_TREE, tree))
      if (about !== undefined) writeWhole(join(at, ABOUT), JSON.stringify(about))
    }
    mkdirSync(join(at, 'users'), { recursive: true })
    writeFileSync(own, '')
  })
  return {
    path: data,
    close: (save) =>
      locked(async () => {
        try {
          const noted = await save?.(await read(host, at), aboutOf(at))
          if (noted !== undefined) writeWhole(join(at, ABOUT), JSON.stringify(noted))
        } finally {
          rmSync(own, { force: true })
          if (usersOf(folder, at).length === 0) removeFolder(host, at)
        }
      }),
  }
}

/** What is now in the folder of that name, if somebody has it open. */
export async function readFolder(
  { host, folder, store }: FoldersOptions,
  name: string,
): Promise<Tree | undefined> {
  const key = keyOf(name)
  const at = join(folder, 'shared', key)
  const isOpen = (): boolean => existsSync(join(at, ABOUT)) && usersOf(folder, at).length > 0
  if (!isOpen()) return undefined
  return withLock(store, key, async () => (isOpen() ? read(host, at) : undefined))
}

const keyOf = (name: string): string => hexOf(digestOf(name)).slice(0, KEY_LENGTH)

/**
 * Gives away what killed processes left in folders that nobody uses, and removes them.
 * @param take  is given what `openFolder` was told of a folder, and what is in it; where it throws, the folder stays
 */
export async function recoverFolders(
  { host, folder, store }: FoldersOptions,
  take: (about: unknown, tree: Tree) => Promise<void>,
): Promise<void> {
  for (const name of abandonedFolders(folder)) {
    const at = join(folder, 'shared', name)
    await withLock(store, name.slice(0, KEY_LENGTH), async () => {
      if (!abandonedFolders(folder).includes(name)) return
      await take(aboutOf(at), await read(host, at))
      removeFolder(host, at)
    })
  }
}

/** Folders that were filled, and have no living user. */
export function abandonedFolders(folder: string): string[] {
  const shared = join(folder, 'shared')
  if (!existsSync(shared)) return []
  return readdirSync(shared).filter((name) => {
    const at = join(shared, name)
    return existsSync(join(at, ABOUT)) && usersOf(folder, at).length === 0
  })
}

function aboutOf(at: string): unknown {
  const path = join(at, ABOUT)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

async function read(host: SandboxHost, at: string): Promise<Tree> {
  const changes = await readUpperFolder(host, join(at, 'data'), at, EMPTY_TREE.root)
  return applyChangeset(EMPTY_TREE, changes)
}

function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  renameSync(`${path}.new`, path)
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

async function withLock<T>(store: Store, key: string, work: () => Promise<T>): Promise<T> {
  const hold = await lock(store, key)
  try {
    return await work()
  } finally {
    hold.release()
  }
}

/** One at a time, of all processes that share the store; a process that ends lets go. */
async function lock(store: Store, key: string): Promise<DocumentHold> {
  for (;;) {
    const hold = await store.documents.hold(LOCK_KIND, key)
    if (hold !== undefined) return hold
    await sleep(20)
  }
}
