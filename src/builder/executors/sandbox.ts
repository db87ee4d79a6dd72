// The `sandbox` executor (Linux): RUN as a container does it. This file is its light part; the rest is loaded by the first RUN.
import { throwIfAborted } from '../../errors.js'
import type { Store } from '../../store/index.js'
import type { Tree } from '../../unionfs/index.js'
import type { ExecResult, Executor } from '../executor.js'
import { requireCapabilities } from './capabilities.js'
import type { Sandbox } from './sandbox/run.js'

export interface SandboxOptions {
  /** Where the layers come from; their folders are kept beside them. */
  readonly store: Store
  /**
   * For the layers' folders and the runs' scratch; default `lamella/sandbox` in the store, or a folder in the system's
   * temporary one for a store in memory. Must be on a file system that an overlay can use as upper.
   */
  readonly folder?: string | undefined
}

/**
 * RUN as a container does it: the root's own binaries in namespaces of their own (mount, pid, ipc, uts, cgroup, and net
 * under `--network=none`), with Docker's default capabilities, a clean environment, device nodes and set-id bits without
 * effect. Needs Linux, bubblewrap, util-linux, GNU tar, and root or unprivileged user namespaces.
 *
 * Without root the root file system belongs to one user: owners are all 0, and RUN under another USER is refused.
 *
 * @throws BuildError EXECUTOR_MISSING from `run` where the machine cannot, with what is missing
 * @throws BuildError EXECUTOR_CAPABILITY | USER_NOT_FOUND from `run`
 */
export function sandboxExecutor(options: SandboxOptions): Executor {
  let sandbox: Promise<Sandbox> | undefined
  const executor: Executor = {
    name: 'sandbox',
    capabilities: {
      mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
      networks: ['default', 'none', 'host'],
      binaries: true,
      worksOnCopy: true,
      hostMounts: true,
      limits: ['memory', 'pids', 'cpus'],
      sessions: true,
    },
    async run(request): Promise<ExecResult> {
      throwIfAborted(request.signal)
      requireCapabilities(executor, request)
      sandbox ??= open(options)
      return (await sandbox).run(request)
    },
    async openFolder(name, tree, about) {
      sandbox ??= open(options)
      return (await sandbox).openFolder(name, tree, about)
    },
  }
  return executor
}

async function open(options: SandboxOptions): Promise<Sandbox> {
  const { requireHost } = await import('./sandbox/host.js')
  const { Sandbox, sandboxFolder } = await import('./sandbox/run.js')
  const host = requireHost()
  return new Sandbox(host, options.store, options.folder ?? sandboxFolder(options.store, host))
}

/**
 * Gives away what runs that were killed left in shared folders of a store's sandboxes (`Executor.openFolder`), and removes
 * these. Where the machine has no sandbox, they stay.
 *
 * @param take  is given what `openFolder` was told of a folder, and what is in it; where it throws, the folder stays
 */
export async function recoverSharedFolders(
  store: Store,
  take: (about: unknown, tree: Tree) => Promise<void>,
): Promise<void> {
  const folder = await folderWithShared(store)
  if (folder === undefined) return
  const { abandonedFolders, recoverFolders } = await import('./sandbox/folders.js')
  if (abandonedFolders(folder).length === 0) return
  const { host } = (await import('./sandbox/host.js')).checkHost()
  if (host !== undefined) await recoverFolders({ host, folder, store }, take)
}

/** What is now in the shared folder of a store's sandboxes that has this name; `undefined` where nobody has it open. */
export async function readSharedFolder(store: Store, name: string): Promise<Tree | undefined> {
  const folder = await folderWithShared(store)
  if (folder === undefined) return undefined
  const { readFolder } = await import('./sandbox/folders.js')
  const { host } = (await import('./sandbox/host.js')).checkHost()
  return host && readFolder({ host, folder, store }, name)
}

/**
 * Sends a signal to the command of a run with a session, in this process or another.
 * @returns whether there is one in the store's sandboxes
 */
export async function signalSession(store: Store, name: string, signal: number): Promise<boolean> {
  if (store.path === undefined) return false
  const { findSession } = await import('./sandbox/session.js')
  const { signalCommand } = await import('./sandbox/terminate.js')
  const session = await findSession(`${store.path}/lamella/sandbox`, name)
  return session !== undefined && signalCommand(session, signal)
}

/** The folder of a store's sandboxes, where there are any that they share. */
async function folderWithShared(store: Store): Promise<string | undefined> {
  if (store.path === undefined) return undefined
  const folder = `${store.path}/lamella/sandbox`
  const { hasSharedFolders } = await import('./sandbox/shared.js')
  return hasSharedFolders(folder) ? folder : undefined
}

/** Whether this machine can run the sandbox; if not, what is missing, as people read it. Tries it out, once in a process. */
export async function checkSandbox(): Promise<{
  readonly works: boolean
  readonly missing: readonly string[]
}> {
  const { checkHost } = await import('./sandbox/host.js')
  const { host, missing } = checkHost()
  return { works: host !== undefined, missing }
}
