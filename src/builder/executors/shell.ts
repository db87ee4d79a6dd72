// The `shell` executor: RUN in process, over the view. This file is its light part; just-bash and the commands are loaded
// by the first RUN.
import { throwIfAborted } from '../../errors.js'
import type { ExecResult, Executor } from '../executor.js'
import { requireCapabilities } from './capabilities.js'
import { withMounts } from './in-view-mounts.js'
import { withWholeStdin } from './stdin.js'

export interface ShellExecutorOptions {
  /** Loads just-bash; default `import('just-bash')`. For bundlers and for tests. */
  readonly load?: (() => Promise<unknown>) | undefined
}

/**
 * RUN in process: a POSIX shell (bash where the argument vector names bash) with about 110 commands over the view, with
 * ownership, modes, hard links and accounts. Nothing of the host is started, read or written, and the root's own binaries
 * are not run: a name that is none of the commands ends with 127. Output is handed over when the line ends. Needs the
 * package `just-bash`; works in a browser.
 *
 * @throws BuildError EXECUTOR_PEER_MISSING | EXECUTOR_CAPABILITY | USER_NOT_FOUND from `run`
 * @throws BuildError RUN_FAILED from `run` when `timeoutMs` is over
 */
export function shellExecutor(options: ShellExecutorOptions = {}): Executor {
  const executor: Executor = {
    name: 'shell',
    capabilities: {
      mounts: ['bind', 'cache', 'tmpfs', 'secret'],
      networks: ['default', 'none'],
      binaries: false,
    },
    async run(request): Promise<ExecResult> {
      throwIfAborted(request.signal)
      requireCapabilities(executor, request)
      const { loadPeer } = await import('./shell/peer.js')
      const peer = await loadPeer(options.load)
      const { runShell } = await import('./shell/run.js')
      const whole = await withWholeStdin(request)
      return withMounts(whole, () => runShell(peer, whole))
    },
  }
  return executor
}
