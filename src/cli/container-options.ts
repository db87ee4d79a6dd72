// What the commands that make and run containers have in common: their options, and how output and exit codes travel.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { autoExecutor, shellExecutor, type Executor } from 'lamella/builder'
import {
  findContainer,
  parseMountFlag,
  parseTmpfsFlag,
  parseVolumeFlag,
  signalNumber,
  startContainer,
  type ContainerInfo,
  type CreateContainerOptions,
  type MountRequest,
  type RunOptions,
} from 'lamella/containers'
import type { Store } from 'lamella/store'
import { executors, extraHosts, labelsOf, pairs, variableOf } from './build-options.js'
import { type Arguments, type Io, type OptionSpec, UsageError } from './command.js'
import { formatError } from './errors.js'
import { LIMIT_OPTIONS, limits } from './limits.js'
import { storePath } from './store.js'

export const EXECUTOR: OptionSpec = {
  name: 'executor',
  value: 'KIND',
  multiple: true,
  help: "auto (default), sandbox, shell, or a module's path",
}
export const INTERACTIVE: OptionSpec = {
  name: 'interactive',
  short: 'i',
  help: 'give it our standard input',
}
export const ENV: OptionSpec = {
  name: 'env',
  short: 'e',
  value: 'NAME[=VALUE]',
  multiple: true,
  help: 'set a variable',
}
export const ENV_FILE: OptionSpec = {
  name: 'env-file',
  value: 'FILE',
  multiple: true,
  help: 'set the variables of a file, one NAME[=VALUE] a line',
}
export const TTY: OptionSpec = {
  name: 'tty',
  short: 't',
  help: 'a terminal for the command (sandbox); with -i it is ours',
}
export const STOP_TIME: OptionSpec = {
  name: 'time',
  short: 't',
  value: 'SECONDS',
  help: "how long to wait before killing it (default: the container's, else 10)",
}
export const WORKDIR: OptionSpec = {
  name: 'workdir',
  short: 'w',
  value: 'DIR',
  help: 'the working directory',
}
export const USER: OptionSpec = {
  name: 'user',
  short: 'u',
  value: 'NAME|UID[:GROUP]',
  help: 'who runs it',
}

export const CREATE_OPTIONS: readonly OptionSpec[] = [
  { name: 'name', value: 'NAME', help: 'the name of the container' },
  { name: 'rm', help: 'remove it, and its anonymous volumes, when its command ends' },
  {
    name: 'volume',
    short: 'v',
    value: '[SOURCE:]PATH[:ro]',
    multiple: true,
    help: 'mount a volume, a host folder (/…) or, without SOURCE, an anonymous volume',
  },
  {
    name: 'mount',
    value: 'type=…,source=…,target=…',
    multiple: true,
    help: 'the same as docker has it: type=volume, bind or tmpfs',
  },
  {
    name: 'tmpfs',
    value: 'PATH[:size=64m,mode=1777]',
    multiple: true,
    help: 'a directory that nothing is kept of',
  },
  ENV,
  ENV_FILE,
  { name: 'label', value: 'NAME=VALUE', multiple: true, help: 'set a label' },
  WORKDIR,
  USER,
  {
    name: 'entrypoint',
    value: 'PROGRAM',
    help: "instead of the image's, whose CMD does not count then; '' for none",
  },
  { name: 'read-only', help: 'nothing but what is mounted can be written to' },
  { name: 'network', value: 'KIND', help: 'default, none or host' },
  {
    name: 'hostname',
    short: 'h',
    value: 'NAME',
    help: 'what the machine is called; default the id (sandbox)',
  },
  {
    name: 'add-host',
    value: 'NAME:ADDRESS',
    multiple: true,
    help: 'a name that it can resolve (sandbox)',
  },
  TTY,
  { name: 'stop-signal', value: 'SIGNAL', help: "what stop sends; default the image's STOPSIGNAL" },
  { name: 'stop-timeout', value: 'SECONDS', help: 'how long stop waits before it kills (default: 10)' },
  ...LIMIT_OPTIONS,
]

const NETWORKS = ['default', 'none', 'host'] as const

export function createOptions(args: Arguments, io: Io): CreateContainerOptions {
  const cmd = args.operands.slice(1)
  const entrypoint = args.string('entrypoint')
  const networkName = args.string('network') ?? 'default'
  const network = NETWORKS.find((name) => name === networkName)
  if (network === undefined) {
    throw new UsageError(`--network ${networkName}: expected one of ${NETWORKS.join(', ')}`)
  }
  const mounts: MountRequest[] = [
    ...args.strings('volume').map((text) => asUsage(() => parseVolumeFlag(text))),
    ...args.strings('mount').map((text) => requireSource(asUsage(() => parseMountFlag(text)))),
    ...args.strings('tmpfs').map((text) => asUsage(() => parseTmpfsFlag(text))),
  ]
  return {
    name: args.string('name'),
    cmd: cmd.length === 0 ? undefined : cmd,
    entrypoint: entrypoint === undefined ? undefined : entrypoint === '' ? [] : [entrypoint],
    env: environment(args, io),
    cwd: args.string('workdir'),
    user: args.string('user'),
    labels: labelsOf(args),
    mounts,
    network,
    readOnlyRoot: args.flag('read-only'),
    limits: limits(args),
    hostname: args.string('hostname'),
    extraHosts: extraHosts(args).map(hostPair),
    removeOnExit: args.flag('rm'),
    tty: args.flag('tty'),
    stopSignal: signalOption(args, 'stop-signal'),
    stopTimeoutMs: stopTimeMs(args, 'stop-timeout'),
  }
}

/** As docker: `-v` makes a host folder that is missing, `--mount` does not. */
function requireSource(mount: MountRequest): MountRequest {
  if (mount.type === 'bind' && !existsSync(mount.source)) {
    throw new UsageError(`--mount: ${mount.source} does not exist on the host`)
  }
  return mount
}

function hostPair(text: string): readonly [name: string, address: string] {
  const at = text.search(/[:=]/)
  return [text.slice(0, at), text.slice(at + 1)]
}

/** `--env-file`, and `--env` over it. */
export function environment(args: Arguments, io: Io): Record<string, string> {
  const files = args.strings('env-file').flatMap((path) => envFile(path, io.env))
  return Object.fromEntries([...files, ...Object.entries(pairs(args, 'env', io.env))])
}

/**
 * Lines of `NAME=VALUE`, as they stand, without quotes or expansion; `NAME` alone takes our value, `#` begins a comment line.
 * @see docker/cli pkg/kvfile
 */
function envFile(path: string, env: Io['env']): [name: string, value: string][] {
  const out: [name: string, value: string][] = []
  for (const [i, raw] of readFileSync(path, 'utf8')
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = raw.replace(/^[ \t]+/, '')
    if (line === '' || line.startsWith('#')) continue
    const at = line.indexOf('=')
    const name = at === -1 ? line : line.slice(0, at)
    if (name === '' || /\s/.test(name)) {
      throw new UsageError(
        `--env-file ${path}, line ${i + 1}: ${JSON.stringify(name)} is no name of a variable`,
      )
    }
    const value = at === -1 ? variableOf(env, name) : line.slice(at + 1)
    if (value !== undefined) out.push([name, value])
  }
  return out
}

/** Of --time, in milliseconds. @throws UsageError */
export function stopTimeMs(args: Arguments, name = 'time'): number | undefined {
  const text = args.string(name)
  if (text === undefined) return undefined
  // As docker: -1 waits for ever.
  if (text === '-1') return Number.MAX_SAFE_INTEGER
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1000
  throw new UsageError(`--${name} ${text}: expected seconds`)
}

/** A signal that is given by name or number. @throws UsageError */
export function signalOption(args: Arguments, name: string): string | undefined {
  const text = args.string(name)
  if (text === undefined) return undefined
  return asUsage(() => (signalNumber(text), text))
}

function asUsage<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/**
 * Without a choice: the sandbox where it works and the image has the program, else the shell, which can also do with host
 * folders and a read-only root what it can.
 */
async function executorsOf(args: Arguments, store: Store, io: Io): Promise<readonly Executor[]> {
  const names = args.strings('executor')
  if (names.some((name) => name !== 'auto')) return executors(args, store, io)
  const auto = autoExecutor({
    store,
    onChoice({ executor, reason }) {
      if (executor === 'shell') io.note(`lamella: run by the shell, because ${reason}\n`)
    },
  })
  return [auto, shellExecutor()]
}

/** How a command's output reaches ours, and what stops it. `done` waits until all was handed on. */
export async function runOptions(
  args: Arguments,
  store: Store,
  io: Io,
  hasTty = args.flag('tty'),
): Promise<{ readonly options: RunOptions; readonly done: () => Promise<void> }> {
  io.outliveReader()
  const terminal = terminalOf(args, io, hasTty)
  if (hasTty && args.strings('executor').at(-1) === 'shell') {
    io.note('lamella: the shell has no terminal for the command (-t)\n')
  }
  // What `lamella kill` sends: SIGKILL itself would take the process that has to keep the files.
  const killer = new AbortController()
  process.once('SIGQUIT', () => killer.abort(new Error('SIGKILL')))
  let written: Promise<void> = Promise.resolve()
  const decoder = new TextDecoder()
  const options: RunOptions = {
    executor: await executorsOf(args, store, io),
    stdinStream: args.flag('interactive') ? lateStdin(io) : undefined,
    terminal,
    stop: AbortSignal.any([io.signal, killer.signal]),
    onOutput(stream, bytes) {
      if (stream === 'stderr') io.note(decoder.decode(bytes, { stream: true }))
      else {
        const copy = bytes.slice()
        written = written.then(() => io.write(copy))
      }
    },
  }
  const done = async (): Promise<void> => {
    if (args.flag('interactive')) io.endStdin()
    await written
  }
  return { options, done }
}

/** Our standard input, not touched before somebody reads it: where it is a terminal it is another's to read. */
function lateStdin(io: Io): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => io.stdin()[Symbol.asyncIterator]() }
}

function terminalOf(args: Arguments, io: Io, hasTty: boolean): RunOptions['terminal'] {
  if (!hasTty) return undefined
  const input = args.flag('interactive')
  if (input && !io.stdinIsTerminal()) throw new UsageError('-it: standard input is not a terminal')
  return { input }
}

/** As docker: 125 where the command was not run for a reason of ours. */
export const EXIT_NOT_RUN = 125

/** For people, who see nothing but 137. */
export function outOfMemory({ settings }: ContainerInfo): string {
  return `lamella: a process was killed: the memory limit of ${settings.limits?.memoryBytes} bytes was reached\n`
}

/** Runs a container in the foreground. @returns the command's exit code, or 125 */
export async function runInForeground(
  store: Store,
  { id, settings }: ContainerInfo,
  args: Arguments,
  io: Io,
): Promise<number> {
  const { options, done } = await runOptions(args, store, io, settings.tty === true)
  try {
    const { exitCode, oomKilled, info } = await startContainer(store, id, options)
    await done()
    if (oomKilled) io.note(outOfMemory(info))
    return exitCode
  } catch (error) {
    await done()
    io.note(formatError(error))
    return EXIT_NOT_RUN
  }
}

const START_TIMEOUT_MS = 10_000

/**
 * Leaves a process behind that runs a container: there is no daemon that could. It ends with the container, and writes
 * nothing but the container's log.
 *
 * @returns when it has begun, or has ended again
 */
export async function runInBackground(
  store: Store,
  info: ContainerInfo,
  args: Arguments,
  io: Io,
): Promise<void> {
  const choice = args
    .strings('executor')
    .flatMap((name) => ['--executor', /[./]/.test(name) ? resolve(name) : name])
  const command = [
    process.argv[1]!,
    'start',
    '--attach',
    '--store',
    resolve(storePath(args, io.env)),
    ...choice,
    info.id,
  ]
  const child = spawn(process.execPath, command, { detached: true, stdio: 'ignore', cwd: '/' })
  const ended = new Promise<true>((done) => {
    child.once('exit', () => done(true))
    child.once('error', () => done(true))
  })
  const until = Date.now() + START_TIMEOUT_MS
  while (Date.now() < until) {
    const now = await findContainer(store, info.id).catch(() => undefined)
    if (now === undefined || now.status === 'running' || now.startedMs !== info.startedMs) break
    if (await Promise.race([ended, pause(20)])) break
  }
  child.unref()
}

async function pause(ms: number): Promise<false> {
  await new Promise((done) => setTimeout(done, ms))
  return false
}

/** Does something for each operand; what fails is said, and the rest goes on. @returns the exit code */
export async function forEach(
  operands: readonly string[],
  io: Io,
  work: (operand: string) => Promise<void>,
): Promise<number> {
  let exitCode = 0
  for (const operand of operands) {
    try {
      await work(operand)
    } catch (error) {
      if (io.signal.aborted) throw error
      io.note(formatError(error))
      exitCode = 1
    }
  }
  return exitCode
}
