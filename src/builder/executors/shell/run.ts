// One RUN in process. just-bash interprets the line over the view; the commands that deal with owners,
// modes, links and accounts are our own. Nothing of the host is started, read or written.
import { AbortError, BuildError, throwIfAborted } from '../../../errors.js'
import type { ExecRequest, ExecResult } from '../../executor.js'
import { readAccountFiles, resolveIdentity } from '../accounts.js'
import { applets, shApplets } from './applets/index.js'
import { customCommand } from './commands.js'
import { applyDialect } from './dialect.js'
import { readInvocation } from './invocation.js'
import type { Invocation } from './invocation.js'
import { bytesOfLatin1, latin1OfBytes } from './latin1.js'
import type { Peer } from './peer.js'
import { errorText, type ShellProcess } from './process.js'
import { viewFileSystem } from './view-file-system.js'

type Bash = InstanceType<Peer['Bash']>
type BashResult = Awaited<ReturnType<Bash['exec']>>

const LIMIT = 50_000_000
/** The default limits protect a chat; a RUN line may work through a file tree. */
const LIMITS = {
  maxCommandCount: LIMIT,
  maxLoopIterations: LIMIT,
  maxAwkIterations: LIMIT,
  maxSedIterations: LIMIT,
  maxWorkUnits: LIMIT,
  maxExecutionTimeMs: 24 * 3_600_000,
}

function startProcess(request: ExecRequest, signal: AbortSignal | undefined): ShellProcess {
  const identity = resolveIdentity(request.user, readAccountFiles(request.view.fs))
  // Modes are set by the commands themselves, from the process's own umask.
  const fs = request.view.fsFor({ ...identity, umask: 0 })
  const hasMounts = request.mounts.length > 0 || isReadOnlyRoot(request)
  const redirected = { paths: new Set<string>(), full: false }
  const { view } = request
  return { view, fs, identity, hasMounts, redirected, umask: 0o022, traps: new Map(), signal }
}

function isReadOnlyRoot({ view }: ExecRequest): boolean {
  try {
    view.fs.accessSync('/', view.fs.constants.W_OK)
    return false
  } catch {
    return true
  }
}

function createBash(peer: Peer, process: ShellProcess, request: ExecRequest, invocation: Invocation): Bash {
  const own = invocation.dialect === 'sh' ? { ...applets, ...shApplets } : applets
  const names = new Set([...peer.getCommandNames(), ...Object.keys(own)])
  return new peer.Bash({
    fs: viewFileSystem(process, names),
    cwd: request.cwd,
    // Its guards replace globals such as process.cwd, which memfs calls.
    defenseInDepth: false,
    executionLimits: LIMITS,
    customCommands: Object.entries(own).map(([name, applet]) => customCommand(name, applet, process)),
    processInfo: { pid: 1, ppid: 0, uid: process.identity.uid, gid: process.identity.gid },
  })
}

/** A signal that fires when the caller's does or when the time is over. */
function limitTime(request: ExecRequest): AbortSignal | undefined {
  const { signal, timeoutMs } = request
  if (timeoutMs === undefined) return signal
  const timeout = AbortSignal.timeout(timeoutMs)
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout])
}

function checkInterrupted(request: ExecRequest, signal: AbortSignal | undefined): void {
  throwIfAborted(request.signal)
  if (signal?.aborted !== true) return
  throw new BuildError('RUN_FAILED', `the RUN took longer than ${request.timeoutMs} ms`, {
    data: { commandLine: request.commandLine, timeoutMs: request.timeoutMs },
  })
}

function emit(request: ExecRequest, result: BashResult): void {
  if (result.stdout !== '') {
    const isBytes = result.stdoutKind === 'bytes' || result.stdoutEncoding === 'binary'
    request.onOutput(
      'stdout',
      isBytes ? bytesOfLatin1(result.stdout) : new TextEncoder().encode(result.stdout),
    )
  }
  if (result.stderr !== '') request.onOutput('stderr', new TextEncoder().encode(result.stderr))
}

/** dash ends with 2 where bash ends with 1. */
function exitCodeOf(result: BashResult, dialect: Invocation['dialect']): number {
  const isUnset = dialect === 'sh' && result.exitCode === 1 && result.stderr.endsWith(': unbound variable\n')
  return isUnset ? 2 : result.exitCode
}

/** Where the shell itself has no room for what it writes, as through a descriptor, it ends. */
function endedByFull(error: unknown): BashResult {
  if ((error as { code?: unknown }).code !== 'ENOSPC') throw error
  return { stdout: '', stderr: `sh: write error: ${errorText(error)}\n`, exitCode: 2, env: {} }
}

async function interpret(
  bash: Bash,
  process: ShellProcess,
  request: ExecRequest,
  script: string,
  dialect: Invocation['dialect'],
): Promise<number> {
  const options = {
    rawScript: true,
    replaceEnv: true,
    stdinKind: 'bytes' as const,
    stdin: latin1OfBytes(request.stdin ?? new Uint8Array()),
    ...(process.signal === undefined ? {} : { signal: process.signal }),
  }
  const env = { ...Object.fromEntries(request.env), PWD: request.cwd }
  const result = await bash.exec(script, { ...options, cwd: request.cwd, env }).catch(endedByFull)
  emit(request, result)
  const onExit = process.traps.get('EXIT')
  const exitCode = exitCodeOf(result, dialect)
  if (onExit === undefined || onExit === '') return exitCode
  const last = await bash.exec(`(exit ${exitCode})\n${onExit}`, {
    ...options,
    cwd: result.env.PWD ?? request.cwd,
    env: result.env,
  })
  emit(request, last)
  return /\bexit\b/.test(onExit) ? last.exitCode : exitCode
}

/** Interprets a request's command. @throws as `shellExecutor`'s `run` */
export async function runShell(peer: Peer, request: ExecRequest): Promise<ExecResult> {
  const signal = limitTime(request)
  const process = startProcess(request, signal)
  const invocation = readInvocation(request.argv)
  const bash = createBash(peer, process, request, invocation)
  const script = applyDialect(bash, invocation.script, { name: invocation.dialect, process })
  try {
    const exitCode = await interpret(bash, process, request, script, invocation.dialect)
    checkInterrupted(request, signal)
    return { exitCode }
  } catch (error) {
    checkInterrupted(request, signal)
    if (error instanceof Error && error.name === 'AbortError') throw new AbortError(error)
    throw error
  }
}
