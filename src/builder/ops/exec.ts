// Carrying out RUN: a view over the input's tree, mounts in place, an executor, and what it changed as a layer.
// @see moby/buildkit solver/llbsolver/ops/exec.go
import { BuildError, throwIfAborted } from '../../errors.js'
import { normalizePath } from '../../path.js'
import {
  EMPTY_TREE,
  splitTime,
  TreeEditor,
  TreeNode,
  childrenOf,
  UnionView,
  type Tree,
} from '../../unionfs/index.js'
import { resolveIdentity } from '../executors/accounts.js'
import { hostsFile } from '../executors/hosts.js'
import { treeAfter, type ExecLimits, type ExecRequest, type ExecResult, type Executor } from '../executor.js'
import type { RunDefinition } from '../op-factory.js'
import { DEFAULT_PATH } from '../platform.js'
import type { Result, RunContext } from '../vertex.js'
import type { SshSource } from '../ssh-agent.js'
import type { CacheMounts } from './cache-mounts.js'
import { Mounts, requireSecret, type SecretSource } from './mounts.js'
import { addLayer, EMPTY_RESULT, type OpServices } from './result.js'
import { rootPath } from './root-path.js'

/** Bytes of output that an error carries. */
const TAIL_BYTES = 16 << 10

export interface ExecServices extends OpServices {
  /** Tried in order; one that says that a request is not for it leaves it to the next. */
  readonly executors: readonly Executor[]
  readonly caches: () => Promise<CacheMounts>
  readonly secrets: SecretSource
  readonly ssh: SshSource
  readonly timeoutMs: number | undefined
  readonly limits: ExecLimits | undefined
  /** What `--add-host` gives, for /etc/hosts. */
  readonly extraHosts: readonly (readonly [name: string, address: string])[]
}

/** One run of the operation that exec-op.ts describes. */
export class ExecRun {
  constructor(
    private readonly definition: RunDefinition,
    private readonly services: ExecServices,
  ) {}

  async run(inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    try {
      return [await this.execute(inputs, context)]
    } catch (error) {
      throw this.locate(error)
    }
  }

  private async execute(inputs: readonly Result[], context: RunContext): Promise<Result> {
    const { spec } = this.definition
    const { services } = this
    if (spec.security === 'insecure') {
      throw new BuildError(
        'EXECUTOR_CAPABILITY',
        'security.insecure is not allowed: no executor is privileged',
        {
          data: { security: spec.security },
        },
      )
    }
    const trees = await Promise.all(inputs.map((input) => input.tree()))
    const root = spec.mounts.find(({ dest }) => dest === '/')?.input ?? -1
    const lower = root === -1 ? EMPTY_TREE : trees[root]!
    const timeNs = services.env.now()
    const mounts = new Mounts(spec.mounts, {
      trees,
      caches: await services.caches(),
      secrets: services.secrets,
      ssh: services.ssh,
      hosts: services.extraHosts.length === 0 ? undefined : hostsFile(services.extraHosts),
      timeNs,
    })
    try {
      const identity = resolveIdentity(spec.user ?? '', accountFiles(lower))
      const mounted = await mounts.mount(withSystemFolders(lower, timeNs))
      const prepared = ensureDirectory(mounted, spec.cwd, identity, timeNs)
      const view = UnionView.open(prepared, { env: services.env })
      const base = root === -1 ? EMPTY_RESULT : inputs[root]!
      const request = await this.requestOf(view, identity.home, mounts.active)
      const after = await this.carryOut({ ...request, layers: base.layers }, context)
      throwIfAborted(context.signal)
      const upper = await mounts.unmount(after)
      return await addLayer(services, base, lower, upper)
    } finally {
      mounts.release()
    }
  }

  private async requestOf(
    view: UnionView,
    home: string,
    mounts: Mounts['active'],
  ): Promise<Omit<ExecRequest, 'onOutput' | 'signal'>> {
    const { spec, commandLine, proxyEnv } = this.definition
    const env = spec.env.map((pair): [string, string] => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at), pair.slice(at + 1)]
    })
    const has = (name: string): boolean => env.some(([key]) => key === name)
    for (const [name, value] of proxyEnv) env.push([name, value])
    if (!has('PATH')) env.push(['PATH', DEFAULT_PATH])
    for (const { id, name, optional } of spec.secretEnv ?? []) {
      const bytes = await requireSecret(this.services.secrets, id, optional)
      if (bytes !== undefined || optional) env.push([name, new TextDecoder().decode(bytes)])
    }
    if (!has('HOME')) env.push(['HOME', home])
    return {
      view,
      argv: spec.args,
      commandLine,
      env,
      cwd: `/${normalizePath(spec.cwd)}`,
      user: spec.user ?? '',
      mounts: mounts.map(({ spec, agent }) => ({
        type: spec.type,
        target: spec.dest,
        readonly: spec.readonly,
        agent,
        size: spec.tmpfsSize,
      })),
      network: spec.network,
      timeoutMs: this.services.timeoutMs,
      limits: this.services.limits,
      extraHosts: this.services.extraHosts,
    }
  }

  /** @throws BuildError RUN_FAILED with the exit code and the end of the output */
  private async carryOut(
    request: Omit<ExecRequest, 'onOutput' | 'signal'>,
    context: RunContext,
  ): Promise<Tree> {
    const tail = new Tail(TAIL_BYTES)
    const onOutput: ExecRequest['onOutput'] = (stream, bytes) => {
      tail.add(bytes)
      context.onOutput(stream, bytes)
    }
    const result = await this.delegate({ ...request, onOutput, signal: context.signal })
    const { exitCode, oomKilled = false } = result
    if (exitCode === 0) return treeAfter(request, result)
    const command = request.argv.join(' ')
    throw new BuildError(
      'RUN_FAILED',
      `process ${JSON.stringify(command)} did not complete successfully: exit code: ${exitCode}${
        oomKilled ? `: the memory limit of ${request.limits?.memoryBytes} bytes was reached` : ''
      }`,
      { data: { exitCode, command, output: tail.text(), ...(oomKilled ? { oomKilled } : {}) } },
    )
  }

  private async delegate(request: ExecRequest): Promise<ExecResult> {
    const { executors } = this.services
    let refused: unknown
    for (const executor of executors) {
      try {
        return await executor.run(request)
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused ??= error
      }
    }
    throw (
      refused ??
      new BuildError('EXECUTOR_MISSING', `no executor is set for RUN ${request.commandLine}`, {
        data: { command: request.commandLine },
      })
    )
  }

  private locate(error: unknown): unknown {
    const { location } = this.definition
    if (!(error instanceof BuildError) || error.location !== undefined) return error
    return new BuildError(error.code, error.message, {
      location,
      data: error.data,
      cause: error.cause ?? error,
    })
  }
}

const REFUSALS: ReadonlySet<string> = new Set([
  'EXECUTOR_CAPABILITY',
  'EXECUTOR_NO_MATCH',
  'EXECUTOR_PEER_MISSING',
])

function isRefusal(error: unknown): boolean {
  return error instanceof BuildError && REFUSALS.has(error.code)
}

function accountFiles(root: Tree): { readonly passwd: string; readonly group: string } {
  const read = (path: string): string => {
    let at: string
    try {
      at = rootPath(root, path)
    } catch {
      // A root without accounts has no folder for them.
      return ''
    }
    const node = root.lookup(at)
    return node?.kind === 'file' ? new TextDecoder().decode(node.content()) : ''
  }
  return { passwd: read('etc/passwd'), group: read('etc/group') }
}

/** The working directory must exist; one that is made belongs to the user. @see executor/runcexecutor */
function ensureDirectory(
  tree: Tree,
  path: string,
  owner: { readonly uid: number; readonly gid: number },
  timeNs: bigint,
): Tree {
  const target = rootPath(tree, path)
  if (tree.lookup(target)?.kind === 'dir') return tree
  const editor = new TreeEditor(tree)
  const parts = target.split('/')
  for (let i = 1; i <= parts.length; i++) {
    const at = parts.slice(0, i).join('/')
    if (editor.lookup(at) !== undefined) continue
    const { uid, gid } = owner
    const time = splitTime(timeNs)
    editor.put(at, new TreeNode({ kind: 'dir', mode: 0o755, uid, gid, ...time, children: childrenOf([]) }))
  }
  return editor.finish()
}

/**
 * Every container has /dev, /proc and /sys; where an image (one from scratch) lacks them, runc makes them in its root, and
 * BuildKit leaves them in the layer.
 */
function withSystemFolders(tree: Tree, timeNs: bigint): Tree {
  const missing = SYSTEM_FOLDERS.filter((name) => tree.lookup(name) === undefined)
  return missing.reduce((root, name) => ensureDirectory(root, name, { uid: 0, gid: 0 }, timeNs), tree)
}

const SYSTEM_FOLDERS = ['dev', 'proc', 'sys'] as const

/** The last bytes of a stream. */
class Tail {
  private parts: Uint8Array[] = []
  private size = 0

  constructor(private readonly max: number) {}

  add(bytes: Uint8Array): void {
    this.parts.push(bytes.slice())
    this.size += bytes.byteLength
    while (this.size - this.parts[0]!.byteLength >= this.max) this.size -= this.parts.shift()!.byteLength
  }

  text(): string {
    const whole = new Uint8Array(this.size)
    let at = 0
    for (const part of this.parts) {
      whole.set(part, at)
      at += part.byteLength
    }
    return new TextDecoder().decode(whole.subarray(Math.max(0, this.size - this.max)))
  }
}
