// A run's processes, from their start to their end: input, output, the time limit, and what ends them early. Effect.
import { spawn, type ChildProcess } from 'node:child_process'
import type { Duplex, Writable } from 'node:stream'
import { BuildError, throwIfAborted } from '../../../errors.js'
import { encodeTar, type TarInput } from '../../../store/index.js'
import type { ExecRequest } from '../../executor.js'
import { BLOCK_FD, GATE_FD, OPTIONS_FD, SECCOMP_FD, SECRETS_FD } from './launch.js'
import type { SecretFile } from './places.js'
import { seccompFilter } from './seccomp.js'
import { innermost, isJoinSettled, terminateCommand } from './terminate.js'

export interface Execution {
  readonly command: readonly string[]
  readonly folder: string
  /** bubblewrap's. */
  readonly options: readonly string[]
  readonly secrets: readonly SecretFile[]
  /** It is a second command in another run's namespaces: what it leaves behind ends with that run. */
  readonly isJoined: boolean
  /** Called when the mounts are there and nothing has begun, with the process that all others are below. */
  readonly onReady: (pid: number) => void
}

/**
 * Runs the command to its end: all of its processes have gone when the promise is settled.
 * @throws BuildError RUN_FAILED when the time is over, EXECUTOR_MISSING when it could not begin
 */
export async function execute(execution: Execution, request: ExecRequest): Promise<number> {
  const { signal, timeoutMs } = request
  const child = start(execution, request)
  let timedOut = false
  const gate = new Gate(child, request, execution.onReady)
  const kill = (): boolean => {
    gate.close()
    // Others of its processes may hold the pipes for as long as the run lasts that they are in.
    if (execution.isJoined)
      child.once('exit', () => [child.stdout, child.stderr].forEach((pipe) => pipe?.destroy()))
    return request.terminal === undefined ? child.kill('SIGKILL') : killOnTerminal(child, execution.isJoined)
  }
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => ((timedOut = true), kill()), timeoutMs)
  signal?.addEventListener('abort', kill, { once: true })
  if (execution.isJoined) letJoin(child)
  const endStop = listenToStop(request.stop, child, execution.isJoined, kill)
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      // Not 'exit': the pipes close when the last process has gone.
      child.once('close', (status, by) => resolve(status ?? (by === 'SIGKILL' ? 137 : 128)))
    })
    throwIfAborted(signal)
    if (timedOut) throw timeout(request)
    if (!gate.passed && request.stop?.aborted !== true) throw notBegun(gate.said)
    return code
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', kill)
    endStop()
  }
}

/**
 * bubblewrap forks twice to get into another's pid namespace, and the last of the three dies with its parent: also with the
 * one in the middle, whose end may come late on a busy machine. So it waits before it asks the kernel for that.
 */
function letJoin(child: ChildProcess): void {
  const block = (child.stdio as readonly unknown[])[BLOCK_FD] as Writable
  block.on('error', () => undefined)
  const timer = setInterval(() => {
    if (!isJoinSettled(child.pid!)) return
    clearInterval(timer)
    block.end('!')
  }, 2)
  child.once('exit', () => (clearInterval(timer), block.destroy()))
}

/** script(1) is left to end by itself, which puts our terminal in order again. */
function killOnTerminal(child: ChildProcess, isJoined: boolean): boolean {
  const pid = innermost(child.pid!, isJoined ? 1 : 2)
  try {
    return pid === child.pid ? child.kill('SIGKILL') : process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

function start(
  { command, folder, options, secrets, isJoined }: Execution,
  { stdin, stdinStream, terminal }: ExecRequest,
): ChildProcess {
  const pipes = secrets.length === 0 && !isJoined ? 3 : 4
  const hasInput = stdin !== undefined || stdinStream !== undefined
  const child = spawn(command[0]!, command.slice(1), {
    cwd: folder,
    // Our environment is not the RUN's affair, and /proc would show it.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    stdio: [
      terminal?.input === true ? 'inherit' : hasInput ? 'pipe' : 'ignore',
      'pipe',
      'pipe',
      ...Array<'pipe'>(pipes).fill('pipe'),
    ],
  })
  send(child, OPTIONS_FD, [new TextEncoder().encode(options.map((option) => `${option}\0`).join(''))])
  const filter = seccompFilter(process.arch)
  send(child, SECCOMP_FD, filter === undefined ? [] : [filter])
  if (secrets.length > 0) send(child, SECRETS_FD, encodeTar(secrets.map(secretEntry)))
  child.stdin?.on('error', () => undefined)
  if (stdinStream === undefined || child.stdin === null) child.stdin?.end(stdin)
  else void pump(stdinStream, child.stdin)
  return child
}

/** Until either ends; what the command did not read is nobody's affair. */
async function pump(source: AsyncIterable<Uint8Array>, sink: Writable): Promise<void> {
  const closed = new Promise((resolve) => sink.once('close', resolve))
  try {
    for await (const chunk of source) {
      if (sink.destroyed) return
      if (!sink.write(chunk))
        await Promise.race([closed, new Promise((resolve) => sink.once('drain', resolve))])
    }
  } catch {
    // An input that cannot be read has ended.
  }
  sink.end()
}

/** Where the script asks before the command begins; what it says until then is not the command's. */
class Gate {
  passed = false
  said = ''
  readonly #stream: Duplex

  constructor(child: ChildProcess, { onOutput, terminal }: ExecRequest, onReady: (pid: number) => void) {
    this.#stream = (child.stdio as readonly unknown[])[GATE_FD] as Duplex
    this.#stream.on('error', () => undefined)
    this.#stream.once('data', () => {
      onReady(child.pid!)
      this.passed = true
      this.#stream.end('go\n')
    })
    child.stdout!.on('data', (bytes: Uint8Array) => {
      // On a terminal there is no other place to say it.
      if (this.passed || terminal === undefined) onOutput('stdout', bytes)
      else this.said += String(bytes)
    })
    child.stderr!.on('data', (bytes: Uint8Array) => {
      if (this.passed) onOutput('stderr', bytes)
      else this.said += String(bytes)
    })
  }

  /** Who asks later is turned away. */
  close(): void {
    this.#stream.destroy()
  }
}

const STOP_GRACE_MS = 10_000

/** @returns ends listening */
function listenToStop(
  stop: AbortSignal | undefined,
  child: ChildProcess,
  isJoined: boolean,
  kill: () => boolean,
): () => void {
  if (stop === undefined) return () => {}
  let timer: NodeJS.Timeout | undefined
  const terminate = (): void => {
    const name = stop.reason instanceof Error ? stop.reason.message : ''
    if (name === 'SIGKILL') return void kill()
    const by = name === 'SIGINT' ? name : 'SIGTERM'
    timer = setTimeout(kill, STOP_GRACE_MS)
    // A command that has not begun yet hears nothing, and is asked again.
    const ask = (): void => void (terminateCommand(child.pid!, isJoined, by) && clearInterval(again))
    const again = setInterval(ask, 50)
    child.once('close', () => clearInterval(again))
    ask()
  }
  if (stop.aborted) terminate()
  else stop.addEventListener('abort', terminate, { once: true })
  return () => {
    clearTimeout(timer)
    stop.removeEventListener('abort', terminate)
  }
}

function send(child: ChildProcess, fd: number, chunks: Iterable<Uint8Array>): void {
  const stream = child.stdio[fd] as Writable
  // A child that ends early closes its end; its exit code tells.
  stream.on('error', () => undefined)
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
}

function secretEntry({ node }: SecretFile, index: number): TarInput {
  const { mode, uid, gid, size, mtimeSec, mtimeNsec } = node
  const content = [node.content()]
  return { kind: 'file', path: String(index), mode, uid, gid, size, mtimeSec, mtimeNsec, content }
}

function timeout(request: ExecRequest): BuildError {
  return new BuildError('RUN_FAILED', `the RUN took longer than ${request.timeoutMs} ms and was ended`, {
    data: { commandLine: request.commandLine, timeoutMs: request.timeoutMs },
  })
}

function notBegun(said: string): BuildError {
  const reason = said.trim() === '' ? 'no reason given' : said.trim()
  return new BuildError('EXECUTOR_MISSING', `the sandbox could not be set up: ${reason}`, {
    data: { executor: 'sandbox', reason },
  })
}
