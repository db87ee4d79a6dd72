// The shell executor without its weight: the shell, its commands and just-bash are loaded by the first RUN, because most
// builds find every RUN in the cache.
import type { Executor } from '../executor.js'
import type { ShellExecutorOptions } from './shell/shell.js'

/** See `shell/shell.ts`, which this stands for. */
export function shellExecutor(options: ShellExecutorOptions = {}): Executor {
  let loaded: Promise<Executor> | undefined
  return {
    name: 'shell',
    capabilities: {
      mounts: ['bind', 'cache', 'tmpfs', 'secret'],
      networks: ['default', 'none'],
      binaries: false,
    },
    async run(request) {
      loaded ??= import('./shell/shell.js').then((module) => module.shellExecutor(options))
      return (await loaded).run(request)
    },
  }
}
