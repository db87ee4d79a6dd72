// Ending what runs in a container, in this process or in another, and waiting for its end.
import { signalSession } from '../builder/index.js'
import { ContainerError, throwIfAborted } from '../errors.js'
import type { Store } from '../store/index.js'
import { CONTAINER_KIND, type ContainerInfo } from './container.js'
import { openedHere } from './open.js'
import { findContainer } from './records.js'
import { runningHere } from './run.js'
import { signalName, signalNumber } from './signals.js'

export interface StopOptions {
  /** How long a command has to end by itself before it is killed. Default the container's, else 10 seconds. */
  readonly timeoutMs?: number | undefined
  /** By name or number. Default the container's, which is the image's STOPSIGNAL, else SIGTERM; by the shell always SIGTERM. */
  readonly signal?: string | undefined
}

const POLL_MS = 50

/**
 * Ends what runs in a container, in this process or another, and waits for it. What it wrote is kept; when its process
 * must be killed, what it wrote since the run began is lost. Stopping what does not run is no error.
 *
 * @returns the container afterwards; `undefined` when it was removed with its end
 * @throws ContainerError CONTAINER_NOT_FOUND
 */
export async function stopContainer(
  store: Store,
  idOrName: string,
  options: StopOptions = {},
): Promise<ContainerInfo | undefined> {
  const info = await findContainer(store, idOrName)
  const { stopSignal = 'SIGTERM', stopTimeoutMs = STOP_TIMEOUT_MS } = info.settings
  const signal = signalNumber(options.signal ?? stopSignal)
  const timeoutMs = options.timeoutMs ?? stopTimeoutMs
  const here = runningHere(store, info.id)
  if (here === undefined && (info.status !== 'running' || info.pid === undefined)) return info
  if (await signalSession(store, info.id, signal)) {
    const ended = await waitForEnd(store, info.id, timeoutMs)
    return isRunning(ended) ? killContainer(store, info.id) : ended
  }
  if (here !== undefined) {
    here.abort(new Error('SIGTERM'))
    return waitForEnd(store, info.id, undefined)
  }
  const { signalProcess } = await import('./host-process.js')
  signalProcess(info.pid!, 'SIGTERM')
  const ended = await waitForEnd(store, info.id, timeoutMs)
  if (!isRunning(ended)) return ended
  signalProcess(info.pid!, 'SIGKILL')
  return waitForEnd(store, info.id, undefined)
}

const STOP_TIMEOUT_MS = 10_000

const isRunning = (info: ContainerInfo | undefined): boolean => info?.status === 'running'

export interface KillOptions {
  /** By name or number. Default SIGKILL. */
  readonly signal?: string | undefined
}

/** How long the process that runs a container has to bring a killed run to its end. */
const KILL_TIMEOUT_MS = 10_000

/**
 * Sends a signal to what runs in a container. SIGKILL ends it without a time to think, and is waited for; what was written is
 * kept, as `docker kill` keeps it. Any other signal is the command's affair. What the shell runs in process knows SIGTERM and
 * SIGINT besides, which end it.
 *
 * @returns the container afterwards; `undefined` when it was removed with its end
 * @throws ContainerError CONTAINER_NOT_FOUND | CONTAINER_NOT_RUNNING | SIGNAL_INVALID
 */
export async function killContainer(
  store: Store,
  idOrName: string,
  { signal = 'SIGKILL' }: KillOptions = {},
): Promise<ContainerInfo | undefined> {
  const number = signalNumber(signal)
  const info = await findContainer(store, idOrName)
  const here = runningHere(store, info.id)
  if (here === undefined && (info.status !== 'running' || info.pid === undefined)) {
    throw new ContainerError('CONTAINER_NOT_RUNNING', `container ${info.name} does not run`, {
      data: { id: info.id, name: info.name },
    })
  }
  if (signalName(number) !== 'SIGKILL' && (await signalSession(store, info.id, number))) {
    return findContainer(store, info.id).catch(() => undefined)
  }
  return endWith(store, info, endingSignal(info, number), here)
}

/** @throws ContainerError SIGNAL_INVALID for one that only a process of its own could take */
function endingSignal({ id, name }: ContainerInfo, number: number): 'SIGKILL' | 'SIGTERM' | 'SIGINT' {
  const signal = signalName(number)
  if (signal === 'SIGKILL' || signal === 'SIGTERM' || signal === 'SIGINT') return signal
  throw new ContainerError(
    'SIGNAL_INVALID',
    `container ${name} is run in process, and can be sent SIGKILL, SIGTERM and SIGINT, not ${signal}`,
    { data: { id, name, signal } },
  )
}

async function endWith(
  store: Store,
  info: ContainerInfo,
  signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT',
  here: AbortController | undefined,
): Promise<ContainerInfo | undefined> {
  if (here !== undefined) {
    here.abort(new Error(signal))
    return waitForEnd(store, info.id, undefined)
  }
  const { signalProcess } = await import('./host-process.js')
  // SIGKILL itself would take the process that has to keep the files.
  signalProcess(info.pid!, signal === 'SIGKILL' ? 'SIGQUIT' : signal)
  const ended = await waitForEnd(store, info.id, KILL_TIMEOUT_MS)
  if (!isRunning(ended) || signal !== 'SIGKILL') return ended
  signalProcess(info.pid!, 'SIGKILL')
  return waitForEnd(store, info.id, undefined)
}

/**
 * Waits until nothing runs in a container.
 *
 * @returns the container then; `undefined` when it was removed with its end
 * @throws ContainerError CONTAINER_NOT_FOUND; AbortError
 */
export async function waitContainer(
  store: Store,
  idOrName: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ContainerInfo | undefined> {
  const { id } = await findContainer(store, idOrName)
  return waitForEnd(store, id, undefined, options.signal)
}

async function waitForEnd(
  store: Store,
  id: string,
  timeoutMs: number | undefined,
  signal?: AbortSignal,
): Promise<ContainerInfo | undefined> {
  const until = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs
  for (;;) {
    throwIfAborted(signal)
    const document = await store.documents.get(CONTAINER_KIND, id)
    if (document === undefined) return undefined
    const info = await findContainer(store, id).catch(() => undefined)
    if (info === undefined) return undefined
    const isOver = info.status !== 'running' && openedHere(store, id) === undefined
    if ((isOver && (await isReleased(store, id))) || performance.now() > until) return info
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Its process has also let go of it, so that it can be started again at once. */
async function isReleased(store: Store, id: string): Promise<boolean> {
  return (await store.documents.holder(CONTAINER_KIND, id)) === undefined
}
