// The `auto` executor: the sandbox where the machine and the root allow it, else the shell; tells which.
import { throwIfAborted } from '../../errors.js'
import { resolvePath } from './shell/resolve-path.js'
import type { ExecRequest, ExecResult, Executor } from '../executor.js'
import { requireCapabilities } from './capabilities.js'
import { checkSandbox, sandboxExecutor, type SandboxOptions } from './sandbox.js'
import { shellExecutor, type ShellExecutorOptions } from './shell.js'

export interface ExecutorChoice {
  readonly executor: 'sandbox' | 'shell'
  /** Why not the sandbox; '' when it is. */
  readonly reason: string
  readonly commandLine: string
}

export interface AutoOptions extends SandboxOptions, ShellExecutorOptions {
  /** Told before each RUN. */
  readonly onChoice?: ((choice: ExecutorChoice) => void) | undefined
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Whether the root has the program that an argument vector names. */
function hasProgram(request: ExecRequest): boolean {
  const [name] = request.argv as [string]
  const { fs } = request.view
  const isProgram = (path: string): boolean => {
    const stat = fs.statSync(path, { throwIfNoEntry: false })
    return stat?.isFile() === true && (stat.mode & 0o111) !== 0
  }
  if (name.includes('/')) return isProgram(resolvePath(request.cwd, name))
  const path = request.env.findLast(([key]) => key === 'PATH')?.[1] ?? DEFAULT_PATH
  return path.split(':').some((folder) => isProgram(resolvePath(request.cwd, `${folder}/${name}`)))
}

async function sandboxProblem(request: ExecRequest): Promise<string> {
  const { works, missing } = await checkSandbox()
  if (!works) return `the sandbox needs ${missing.join(', ')}`
  return request.join !== undefined || hasProgram(request) ? '' : `the root has no ${request.argv[0]!}`
}

/**
 * Sandbox or shell, for each RUN: the sandbox where this machine can run one and the root has the program that is asked
 * for, the shell otherwise. `onChoice` says which, and why not the sandbox.
 *
 * @throws as the chosen executor
 */
export function autoExecutor(options: AutoOptions): Executor {
  const sandbox = sandboxExecutor(options)
  const shell = shellExecutor(options)
  const executor: Executor = {
    name: 'auto',
    capabilities: sandbox.capabilities,
    async run(request): Promise<ExecResult> {
      throwIfAborted(request.signal)
      requireCapabilities(executor, request)
      const reason = await sandboxProblem(request)
      const chosen = reason === '' ? sandbox : shell
      requireCapabilities(chosen, request)
      options.onChoice?.({
        executor: reason === '' ? 'sandbox' : 'shell',
        reason,
        commandLine: request.commandLine,
      })
      if (chosen === sandbox || request.stop === undefined) return chosen.run(request)
      const signal =
        request.signal === undefined ? request.stop : AbortSignal.any([request.signal, request.stop])
      return chosen.run({ ...request, signal })
    },
    async openFolder(name, tree, about) {
      return (await checkSandbox()).works ? sandbox.openFolder!(name, tree, about) : undefined
    },
  }
  return executor
}
