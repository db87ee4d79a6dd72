// What the sandbox needs of the machine: programs, privileges, a kernel that mounts overlays. Effect.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BuildError } from '../../../errors.js'
import type { SandboxInit } from './terminate.js'

const FOLDERS = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin']
const PROGRAMS = ['bwrap', 'unshare', 'mount', 'nsenter', 'setpriv', 'tar', 'sh', 'bash'] as const
type Program = (typeof PROGRAMS)[number]

export interface SandboxHost {
  /** Absolute paths. */
  readonly programs: Readonly<Record<Program, string>>
  /** Without root, one user namespace with one user is the sandbox: files belong to that user, USER is not possible. */
  readonly privileged: boolean
  /** Overlays can be mounted so that nothing is synced to disk at their end, which would be for nothing. */
  readonly volatile: boolean
}

export interface HostCheck {
  readonly host: SandboxHost | undefined
  /** What is missing, as people read it; empty when `host` is there. */
  readonly missing: readonly string[]
}

/** What it takes to give a command a terminal. */
export interface TerminalPrograms {
  readonly script: string
  readonly env: string
}

let knownTerminal: TerminalPrograms | undefined

/** @throws BuildError EXECUTOR_MISSING (data: missing) where this machine has them not */
export function requireTerminalPrograms(): TerminalPrograms {
  if (knownTerminal !== undefined) return knownTerminal
  const [script, env] = [findProgram('script'), findProgram('env')]
  const resets = env !== undefined && spawnSync(env, ['--default-signal=INT', 'true']).status === 0
  const missing = [
    ...(script === undefined ? ['script (package bsdutils or util-linux)'] : []),
    ...(resets ? [] : ['env --default-signal (package coreutils, 8.31 or newer)']),
  ]
  if (script === undefined || env === undefined || !resets) {
    throw new BuildError('EXECUTOR_MISSING', `a terminal for the command needs ${missing.join(' and ')}`, {
      data: { executor: 'sandbox', missing },
    })
  }
  return (knownTerminal = { script, env })
}

function findProgram(name: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? '').split(':').filter(Boolean), ...FOLDERS]) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // not in this folder
    }
  }
  return undefined
}

const PACKAGES: Readonly<Record<Program, string>> = {
  bwrap: 'bubblewrap',
  unshare: 'util-linux',
  mount: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  tar: 'tar',
  sh: 'dash',
  bash: 'bash',
}

let known: HostCheck | undefined

/** Looks at the machine, once in a process: a trial mount and a trial sandbox, both gone when it returns. */
export function checkHost(): HostCheck {
  return (known ??= examine())
}

function examine(): HostCheck {
  if (process.platform !== 'linux')
    return { host: undefined, missing: [`Linux (this is ${process.platform})`] }
  const found = PROGRAMS.map((name) => [name, findProgram(name)] as const)
  const missing = found.flatMap(([name, path]) =>
    path === undefined ? [`${name} (package ${PACKAGES[name]})`] : [],
  )
  if (missing.length > 0) return { host: undefined, missing }
  const programs = Object.fromEntries(found) as Record<Program, string>
  const host = { programs, privileged: process.getuid?.() === 0, volatile: true }
  if (tryOut(host) === undefined) return { host, missing: [] }
  // Kernels before 5.10.
  const synced = { ...host, volatile: false }
  const problem = tryOut(synced)
  return problem === undefined ? { host: synced, missing: [] } : { host: undefined, missing: [problem] }
}

/** Mounts an overlay and starts a sandbox in it as a run would. @returns what went wrong */
function tryOut(host: SandboxHost): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-check-'))
  try {
    for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(folder, name))
    const { programs } = host
    const options = `${host.privileged ? '' : ',userxattr'}${host.volatile ? ',volatile' : ''}`
    const script =
      `mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work${options} merged && ` +
      `exec ${programs.bwrap} --ro-bind / / --dev /dev --proc /proc --unshare-pid --unshare-ipc --unshare-uts --die-with-parent true`
    const [command, ...args] = namespaceCommand(host, script)
    const result = spawnSync(command!, args, { cwd: folder, encoding: 'utf8', timeout: 10_000 })
    if (result.status === 0) return undefined
    const said = (result.stderr ?? '').trim().split('\n').at(-1) ?? ''
    return `${host.privileged ? 'an overlay mount and a sandbox' : 'an unprivileged user namespace with an overlay mount'} (${said || 'no reason given'})`
  } finally {
    removeFolder(host, folder)
  }
}

/**
 * A command that runs a script of sh, with arguments, as the first process of a pid namespace and in a mount namespace of
 * its own. When the command is killed, everything in the namespace is, once the script has begun; see START in launch.ts.
 */
export function namespaceCommand(host: SandboxHost, script: string, args: readonly string[] = []): string[] {
  const { programs, privileged } = host
  const own = privileged ? [] : ['--user', '--map-root-user']
  return [
    programs.setpriv,
    '--pdeathsig',
    'KILL',
    programs.unshare,
    ...own,
    '--mount',
    '--pid',
    '--fork',
    '--kill-child=KILL',
    '--propagation',
    'private',
    // bubblewrap looks for its child in /proc, by the number that it has in this namespace.
    '--mount-proc',
    programs.sh,
    '-c',
    script,
    'sh',
    ...args,
  ]
}

/**
 * As `namespaceCommand`, in the namespaces of a run that is under way, but for its pid namespace: what has the files of the
 * host around it must not be seen in there, for /proc/<pid>/root would lead to them. bubblewrap puts only the command in.
 * Without root it is in the namespace around that one, whose /proc is mounted there; a /proc of its own it may not mount.
 */
export function joinCommand(
  host: SandboxHost,
  { outerPid, initPid }: SandboxInit,
  script: string,
  args: readonly string[],
): string[] {
  const { programs, privileged } = host
  const outer = (name: string): string => `--${name}=/proc/${outerPid}/ns/${name}`
  const user = privileged ? [] : [`--user=/proc/${outerPid}/ns/user`, '--preserve-credentials', outer('pid')]
  const inner = ['ipc', 'uts', 'net', 'cgroup'].map((name) => `--${name}=/proc/${initPid}/ns/${name}`)
  const enter = [programs.setpriv, '--pdeathsig', 'KILL', programs.nsenter, ...user]
  const mounts = [`--mount=/proc/${outerPid}/ns/mnt`, ...inner, '--']
  const copy = privileged ? [programs.unshare, '--mount', '--propagation', 'private', '--mount-proc'] : []
  return [...enter, ...mounts, ...copy, programs.sh, '-c', script, 'sh', ...args]
}

/** The pid namespace of a run's command, as `joinCommand` finds it. */
export function pidNamespaceOf(host: SandboxHost, { initPid, initPidWithin }: SandboxInit): string {
  return `/proc/${host.privileged ? initPid : initPidWithin}/ns/pid`
}

/** A command on the same files as a sandbox has: as root, or as root of a user namespace. */
export function fileCommand(host: SandboxHost, program: Program, args: readonly string[]): string[] {
  const { programs, privileged } = host
  const own = privileged ? [] : [programs.unshare, '--user', '--map-root-user']
  return [...own, programs[program], ...args]
}

/** Removes a folder of layers or runs; without root, directories in it may be closed to us outside of a user namespace. */
export function removeFolder(host: SandboxHost, folder: string): void {
  if (host.privileged) rmSync(folder, { recursive: true, force: true })
  else {
    const [command, ...args] = fileCommand(host, 'sh', ['-c', 'rm -rf -- "$1"', 'sh', folder])
    spawnSync(command!, args, { stdio: 'ignore' })
  }
}

/** @throws BuildError EXECUTOR_MISSING (data: missing, instead) where this machine has no sandbox */
export function requireHost(): SandboxHost {
  const { host, missing } = checkHost()
  if (host !== undefined) return host
  throw new BuildError(
    'EXECUTOR_MISSING',
    `the sandbox executor cannot work here: it needs ${missing.join(', ')}. Use the executor shell or functions instead`,
    { data: { executor: 'sandbox', missing, instead: ['shell', 'functions'] } },
  )
}

interface Libraries {
  readonly loader: string
  readonly libraries: readonly string[]
}

const knownLibraries = new Map<string, Libraries | undefined>()

/** The dynamic loader and libraries of a program of the host, so that it can run in a foreign root. Looked for once. */
export function librariesOf(path: string): Libraries | undefined {
  if (!knownLibraries.has(path)) knownLibraries.set(path, findLibraries(path))
  return knownLibraries.get(path)
}

function findLibraries(path: string): Libraries | undefined {
  const { status, stdout } = spawnSync('ldd', [path], { encoding: 'utf8' })
  if (status !== 0) return undefined
  const paths = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1]!)
  const loader = paths.find((each) => /\/ld[-.\w]*\.so/.test(each))
  if (loader === undefined || !existsSync(loader)) return undefined
  return { loader, libraries: paths.filter((each) => each !== loader) }
}
