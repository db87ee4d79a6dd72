// What executors can do, and the error that names one which could. Pure.
import { BuildError } from '../../errors.js'
import type { ExecLimits, ExecRequest, Executor, ExecutorCapabilities } from '../executor.js'

/** What the executors of this package declare at most; for advice only. */
const KNOWN: Readonly<Record<string, ExecutorCapabilities>> = {
  sandbox: {
    mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
    networks: ['default', 'none', 'host'],
    binaries: true,
    worksOnCopy: true,
    hostMounts: true,
    limits: ['memory', 'pids', 'cpus'],
    sessions: true,
  },
  functions: {
    mounts: ['bind', 'cache', 'tmpfs', 'secret', 'ssh'],
    networks: ['default', 'none', 'host'],
    binaries: false,
  },
  shell: {
    mounts: ['bind', 'cache', 'tmpfs', 'secret'],
    networks: ['default', 'none'],
    binaries: false,
  },
}

/** The part of a request that not every executor can meet. */
export type Requirements = Pick<
  ExecRequest,
  'mounts' | 'network' | 'hostMounts' | 'readOnlyRoot' | 'limits' | 'join'
>

/** What of a request is beyond an executor, as people name it; `undefined` when nothing is. */
export function missingCapability(
  capabilities: ExecutorCapabilities,
  request: Requirements,
): string | undefined {
  const mount = request.mounts.find(({ type }) => !capabilities.mounts.includes(type))
  if (mount !== undefined) return `RUN --mount=type=${mount.type}`
  if (!capabilities.networks.includes(request.network)) return `RUN --network=${request.network}`
  const limit = missingLimit(capabilities, request.limits ?? {})
  if (limit !== undefined) return limit
  if (request.join !== undefined && capabilities.sessions !== true) return 'a command beside another'
  if (capabilities.hostMounts === true) return undefined
  if ((request.hostMounts?.length ?? 0) > 0) return 'folders of the host'
  return request.readOnlyRoot === true ? 'a read-only root' : undefined
}

function missingLimit({ limits = [] }: ExecutorCapabilities, wanted: ExecLimits): string | undefined {
  if (wanted.memoryBytes !== undefined && !limits.includes('memory')) return 'a memory limit'
  if (wanted.pids !== undefined && !limits.includes('pids')) return 'a limit of processes'
  return wanted.cpus !== undefined && !limits.includes('cpus') ? 'a limit of processors' : undefined
}

/** Executors of this package that could carry out a request, best first. */
export function capableExecutors(request: Requirements): string[] {
  return Object.keys(KNOWN).filter((name) => missingCapability(KNOWN[name]!, request) === undefined)
}

/** @throws BuildError EXECUTOR_CAPABILITY (data: executor, feature, able) when the request is beyond the executor */
export function requireCapabilities(
  executor: Pick<Executor, 'name' | 'capabilities'>,
  request: Requirements,
): void {
  const feature = missingCapability(executor.capabilities, request)
  if (feature === undefined) return
  const able = capableExecutors(request).filter((name) => name !== executor.name)
  const advice = able.length === 0 ? 'no executor of this package does' : `${able.join(' or ')} could`
  throw new BuildError(
    'EXECUTOR_CAPABILITY',
    `the executor ${executor.name} does not support ${feature}: ${advice}`,
    {
      data: { executor: executor.name, feature, able },
    },
  )
}
