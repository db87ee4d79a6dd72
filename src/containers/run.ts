// Running something in a container: the state before and after, the log, and the executor between.
import { readAccountFiles, resolveIdentity, type ExecRequest, type Executor } from '../builder/index.js'
import { BuildError, ContainerError, isAbortError } from '../errors.js'
import type { Store } from '../store/index.js'
import { UnionView, type Tree } from '../unionfs/index.js'
import { graft, shareVolumes, withTargets, type SharedVolume } from './attachments.js'
import { codeOfStop, commandOf, KILLED, type ContainerInfo, type ContainerSettings } from './container.js'
import { createContainer, type CreateContainerOptions } from './create.js'
import { LogWriter, openLog } from './logs.js'
import { claimContainer, openedHere, readContainer, type Container } from './open.js'
import { findContainer } from './records.js'
import { removeOpened } from './remove.js'

export interface RunOptions {
  /** What runs the command; several are asked in order, and one that cannot leaves it to the next. */
  readonly executor: Executor | readonly Executor[]
  /** Bytes for standard input; empty by default. */
  readonly stdin?: Uint8Array | undefined
  /** Standard input as it comes; an executor in process reads it to its end before the command begins. */
  readonly stdinStream?: AsyncIterable<Uint8Array> | undefined
  /** The command gets a terminal of its own, where the executor has them. @see ExecRequest.terminal */
  readonly terminal?: { readonly input: boolean } | undefined
  /** Receives output as it comes, beside the log. */
  readonly onOutput?: ((stream: 'stdout' | 'stderr', bytes: Uint8Array) => void) | undefined
  /**
   * Ends what runs, and keeps what it wrote: the exit code is then its own, or 128 + the signal's number. The reason's
   * message may be `SIGINT` or `SIGTERM`.
   */
  readonly stop?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
}

export interface RunResult {
  readonly info: ContainerInfo
  readonly exitCode: number
  /** The memory limit was reached, and a process killed for it. */
  readonly oomKilled: boolean
}

type Outcome = Pick<RunResult, 'exitCode' | 'oomKilled'>

/** What is run now in this process, for `stopContainer`. */
const running = new WeakMap<Store, Map<string, AbortController>>()

/** Ends a container's run when it is aborted; `undefined` where this process does not run it. @internal */
export function runningHere(store: Store, id: string): AbortController | undefined {
  return running.get(store)?.get(id)
}

/**
 * Makes a container, runs its command to the end, and saves its files. With `removeOnExit` it is gone afterwards.
 * @throws as `createContainer` and `startContainer`
 */
export async function runContainer(
  store: Store,
  image: string,
  options: CreateContainerOptions & RunOptions,
): Promise<RunResult> {
  const { id } = await createContainer(store, image, options)
  return startContainer(store, id, options)
}

/**
 * Runs a container's command to its end, in the files that earlier runs left.
 *
 * @throws ContainerError CONTAINER_NOT_FOUND | CONTAINER_BUSY | COMMAND_MISSING | MOUNT_FAILED
 * @throws BuildError EXECUTOR_MISSING | EXECUTOR_CAPABILITY | EXECUTOR_PEER_MISSING | USER_NOT_FOUND; the container is then
 *         `exited` with code 125 or 126 and says why
 */
export async function startContainer(
  store: Store,
  idOrName: string,
  options: RunOptions & { readonly clock?: CreateContainerOptions['clock'] },
): Promise<RunResult> {
  const container = await claimContainer(store, idOrName, options)
  try {
    const outcome = await runMain(container, options)
    return { info: container.info, ...outcome }
  } finally {
    // Also when nothing could be run, as docker does.
    if (container.info.removeOnExit) await removeOpened(container, { volumes: true })
    else await container.close()
  }
}

async function runMain(container: Container, options: RunOptions): Promise<Outcome> {
  const { store, id, clock } = container
  const argv = commandOf(container.info)
  const nowMs = () => Number(clock.now() / 1_000_000n)
  const stopper = new AbortController()
  const here = running.get(store) ?? new Map<string, AbortController>()
  running.set(store, here.set(id, stopper))
  const log = new LogWriter(await openLog(store, id), clock)
  await container.update(
    {
      status: 'running',
      startedMs: nowMs(),
      finishedMs: undefined,
      exitCode: undefined,
      error: undefined,
    },
    { files: false },
  )
  let exitCode: number | undefined
  let error: string | undefined
  try {
    const stop = options.stop === undefined ? stopper.signal : AbortSignal.any([stopper.signal, options.stop])
    const outcome = await execute(container, argv, container.info.settings, {
      ...options,
      stop,
      onOutput(stream, bytes) {
        log.write(stream, bytes)
        options.onOutput?.(stream, bytes)
      },
    })
    exitCode = outcome.exitCode
    return outcome
  } catch (cause) {
    error = cause instanceof Error ? cause.message : String(cause)
    exitCode = exitCodeOfError(cause)
    throw cause
  } finally {
    here.delete(id)
    log.end()
    await container.update({ status: 'exited', exitCode, error, finishedMs: nowMs() }, { files: true })
  }
}

/** As `docker run` ends when the command did not: 125, or 126 for a command that cannot be run. */
function exitCodeOfError(error: unknown): number {
  if (isAbortError(error)) return KILLED
  return error instanceof BuildError && error.code === 'EXECUTOR_CAPABILITY' ? 126 : 125
}

export interface ExecOptions extends RunOptions {
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  readonly user?: string | undefined
}

/**
 * Runs a further command in a container, whether or not its own runs. Beside a command in the sandbox, of this process or
 * another, it runs in the same root and namespaces. Where this process has the container open, the command shares its files
 * at once; one that another process has open without a sandbox is busy. Output is not logged.
 *
 * @throws as `startContainer`
 * @throws ContainerError CONTAINER_RUNNING when an executor that works on a copy would run beside another command
 */
export async function execInContainer(
  store: Store,
  idOrName: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<RunResult> {
  const { id } = await findContainer(store, idOrName)
  const here = openedHere(store, id)
  const beside = await execBeside(store, id, argv, options)
  if (beside !== undefined) return beside
  const container = here ?? (await claimContainer(store, id))
  try {
    const outcome = await execute(container, argv, settingsOfExec(container.info, options), options)
    await container.save()
    return { info: container.info, ...outcome }
  } finally {
    if (here === undefined) await container.close()
  }
}

function settingsOfExec({ settings }: ContainerInfo, options: ExecOptions): ContainerSettings {
  const env = new Map([...settings.env, ...Object.entries(options.env ?? {})])
  const cwd = options.cwd ?? settings.cwd
  return { ...settings, env: [...env], cwd, user: options.user ?? settings.user }
}

/**
 * Where an executor works on a copy of the container's files, in this process or another, the command joins what runs
 * there. @returns `undefined` when there is nothing to join
 */
async function execBeside(
  store: Store,
  id: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<RunResult | undefined> {
  const executors = [options.executor].flat().filter(({ capabilities }) => capabilities.sessions === true)
  const { info, tree } = await readContainer(store, id)
  if (info.status !== 'running' || executors.length === 0) return undefined
  const settings = settingsOfExec(info, options)
  for (const executor of executors) {
    try {
      const { exitCode, oomKilled = false } = await executor.run({
        ...requestOf(id, UnionView.open(tree), argv, settings, options),
        mounts: [],
        join: id,
        stop: options.stop,
      })
      return { info, exitCode, oomKilled }
    } catch (error) {
      if (!isRefusal(error)) throw error
    }
  }
  return undefined
}

/** Asks the executors in turn. @returns the exit code; the container's files are as the command left them */
async function execute(
  container: Container,
  argv: readonly string[],
  settings: ContainerSettings,
  options: RunOptions,
): Promise<Outcome> {
  const executors = [options.executor].flat()
  let refused: unknown
  for (const executor of executors) {
    const onCopy = executor.capabilities.worksOnCopy === true
    requireAlone(container, onCopy)
    const kind = onCopy ? 'copied' : 'live'
    container.active[kind]++
    try {
      return await (onCopy ? runOnCopy : runInView)(container, executor, argv, settings, options)
    } catch (error) {
      if (!isRefusal(error)) throw error
      refused ??= error
    } finally {
      container.active[kind]--
    }
  }
  throw (
    refused ??
    new BuildError('EXECUTOR_MISSING', `no executor is set to run ${argv.join(' ')}`, {
      data: { command: argv.join(' ') },
    })
  )
}

function requireAlone({ active, info }: Container, onCopy: boolean): void {
  if (active.copied === 0 && (!onCopy || active.live === 0)) return
  throw new ContainerError(
    'CONTAINER_RUNNING',
    `something runs in container ${info.name} on a copy of its files, beside which nothing else can run`,
    { data: { id: info.id, name: info.name } },
  )
}

const REFUSALS: ReadonlySet<string> = new Set([
  'EXECUTOR_MISSING',
  'EXECUTOR_CAPABILITY',
  'EXECUTOR_NO_MATCH',
  'EXECUTOR_PEER_MISSING',
])

function isRefusal(error: unknown): boolean {
  return error instanceof BuildError && REFUSALS.has(error.code)
}

type Run = (
  container: Container,
  executor: Executor,
  argv: readonly string[],
  settings: ContainerSettings,
  options: RunOptions,
) => Promise<Outcome>

/** In the container's own view: what is written shows at once, also to others that share its volumes. */
const runInView: Run = async (container, executor, argv, settings, options) => {
  const { view, end } = await container.viewForRun()
  try {
    ensureCwd(container.view, settings.cwd)
    const { stop } = options
    const { exitCode, oomKilled = false } = await executor.run({
      ...requestOf(container.id, view, argv, settings, options),
      mounts: container.info.mounts.flatMap((mount) => {
        const { target, readOnly } = mount
        return [
          {
            type: mount.type === 'tmpfs' ? ('tmpfs' as const) : ('bind' as const),
            target,
            readonly: readOnly,
          },
        ]
      }),
      signal: stop,
    })
    return { exitCode, oomKilled }
  } catch (error) {
    if (options.stop?.aborted === true && isAbortError(error)) {
      return { exitCode: codeOfStop(options.stop), oomKilled: false }
    }
    throw error
  } finally {
    end()
  }
}

/**
 * On a copy of the root. Volumes are folders that all runs share, where the executor has such; other mounts are parts of the
 * copy, taken apart again afterwards.
 */
const runOnCopy: Run = async (container, executor, argv, settings, options) => {
  const { openFolder } = executor
  const volumes = container.attached.filter(
    ({ mount }) => openFolder !== undefined && mount.type === 'volume',
  )
  const shared = openFolder === undefined ? [] : await shareVolumes(volumes, openFolder.bind(executor))
  try {
    return await runWithVolumes(container, executor, argv, settings, options, shared)
  } catch (error) {
    if (shared.length === 0 || !isRefusal(error)) throw error
  } finally {
    for (const volume of shared) await volume.close()
  }
  // An executor that has folders, but not for this command.
  return runWithVolumes(container, executor, argv, settings, options, [])
}

async function runWithVolumes(
  ...[container, executor, argv, settings, options, shared]: [...Parameters<Run>, readonly SharedVolume[]]
): Promise<Outcome> {
  const { attached, clock, image, info } = container
  const binds = info.mounts.filter((mount) => mount.type === 'bind')
  container.flush()
  const targets = shared.map(({ target }) => target)
  const rooted = withTargets(container.snapshot(), targets, clock.now())
  const before = withCwd(rooted, settings.cwd, clock.now())
  const grafts = attached.filter(({ mount }) => !targets.includes(mount.target))
  const grafted = graft(before, grafts, clock.now())
  const view = UnionView.open(grafted.tree, { env: clock })
  const start = new FailedStart()
  const outcome = await executor
    .run({
      ...requestOf(container.id, view, argv, settings, start.watching(options)),
      layers: info.layer === undefined ? image.layers : [...image.layers, info.layer],
      mounts: grafted.targets.map(({ mount, path }) => ({
        type: mount.type === 'tmpfs' ? 'tmpfs' : 'bind',
        target: path,
        size: mount.type === 'tmpfs' ? mount.sizeBytes : undefined,
        readonly: mount.readOnly,
        isPoint: true,
      })),
      hostMounts: [
        ...shared.map(({ source, target, readonly }) => ({ source, target, readonly })),
        ...binds.map(({ source, target, readOnly }) => ({ source, target, readonly: readOnly })),
      ],
      readOnlyRoot: settings.readOnlyRoot,
      session: container.id,
      stop: options.stop,
    })
    .catch((error: unknown) => {
      // An executor that took the stop for an end without a result: what it wrote until then is in the view.
      if (options.stop?.aborted !== true || !isAbortError(error)) throw error
      return { exitCode: codeOfStop(options.stop), tree: undefined, oomKilled: false }
    })
  await container.replaceRoot(grafted.part(outcome.tree ?? view.snapshot()))
  return { exitCode: start.exitCode(outcome.exitCode), oomKilled: outcome.oomKilled ?? false }
}

/**
 * Tells a command that could not be started from one that ended with 1, which is what bubblewrap ends with then: containers
 * have docker's 127 for a program that is not there, and 126 for one that cannot be run.
 */
class FailedStart {
  #said = ''

  watching(options: RunOptions): RunOptions {
    const { onOutput } = options
    return {
      ...options,
      onOutput: (stream, bytes) => {
        if (this.#said.length < SAID_MAX) this.#said += new TextDecoder().decode(bytes)
        onOutput?.(stream, bytes)
      },
    }
  }

  exitCode(code: number): number {
    const reason = code === 1 ? /^bwrap: execvp [^\n]*: ([^:\n]+)\n$/.exec(this.#said)?.[1] : undefined
    if (reason === undefined) return code
    return reason.startsWith('No such file') ? 127 : 126
  }
}

/** More than that and the command has begun. */
const SAID_MAX = 8192

function requestOf(
  id: string,
  view: UnionView,
  argv: readonly string[],
  settings: ContainerSettings,
  options: RunOptions,
): Omit<ExecRequest, 'mounts'> {
  const env = new Map(settings.env)
  const hostname = settings.hostname ?? id.slice(0, 12)
  if (!env.has('HOSTNAME')) env.set('HOSTNAME', hostname)
  if (options.terminal !== undefined && !env.has('TERM')) env.set('TERM', 'xterm')
  if (!env.has('HOME')) env.set('HOME', resolveIdentity(settings.user, readAccountFiles(view.fs)).home)
  return {
    view,
    argv,
    commandLine: argv.join(' '),
    env: [...env],
    cwd: settings.cwd,
    user: settings.user,
    network: settings.network,
    stdin: options.stdin,
    stdinStream: options.stdinStream,
    terminal: options.terminal,
    timeoutMs: options.timeoutMs,
    limits: settings.limits,
    hostname,
    extraHosts: settings.extraHosts,
    writableEtc: true,
    onOutput: options.onOutput ?? (() => {}),
  }
}

/** The working directory is made where it is missing, as docker does it. */
function ensureCwd({ fs }: UnionView, cwd: string): void {
  try {
    fs.mkdirSync(cwd, { recursive: true })
  } catch (cause) {
    throw new ContainerError('MOUNT_FAILED', `the working directory ${cwd} cannot be made`, {
      data: { cwd },
      cause,
    })
  }
}

function withCwd(tree: Tree, cwd: string, nowNs: bigint): Tree {
  if (tree.resolve(cwd)?.node.kind === 'dir') return tree
  const view = UnionView.open(tree, {
    env: { now: () => nowNs, randomId: () => '', concurrency: 1 },
  })
  ensureCwd(view, cwd)
  return view.snapshot()
}
