// The command line of bubblewrap for one run. Pure.
import type { ExecRequest } from '../../executor.js'
import type { Identity } from '../accounts.js'
import { HOSTNAME } from '../hosts.js'
import { BLOCK_FD, PID_NAMESPACE_FD, SECCOMP_FD, TERMINAL_SIGNALS } from './launch.js'

/** What Docker leaves to a container's root by default. */
const CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
  'AUDIT_WRITE',
]

/** Inside the sandbox's own /dev, which is no part of the root: what it takes to become another user there. */
const HELPER = '/dev/.lamella'

export interface SandboxFiles {
  /** The mounted root, on the host. */
  readonly merged: string
  /** Options that cover parts of /proc; see `coversOf`. */
  readonly covers: readonly string[]
  /** Whether there is a filter of system calls for this machine. */
  readonly filtered: boolean
  /** Files of the host that are shown in the root, read-only unless said otherwise. */
  readonly shown: readonly { readonly from: string; readonly to: string; readonly writable: boolean }[]
  /** setpriv of the host, for a user that is not root. */
  readonly setpriv: Helper | undefined
  /** env of the host, for a command on a terminal. */
  readonly env: Helper | undefined
}

/** A program of the host that begins the command. */
export interface Helper {
  readonly program: string
  readonly loader: string
  readonly libraries: readonly string[]
}

/** Settings of the kernel, which root may write to: without a capability, and for the whole machine. */
const READ_ONLY = ['sys', 'fs', 'sysrq-trigger']
/** What tells of the machine and of others on it. bubblewrap covers `bus` and `irq`. */
const HIDDEN = ['acpi', 'asound', 'kcore', 'keys', 'latency_stats', 'sched_debug', 'scsi', 'timer_list']

/**
 * Covers in /proc what docker covers. bubblewrap means to cover `sys` and `sysrq-trigger`, but takes a folder that root
 * cannot write to for one whose files root cannot write to.
 *
 * @param empty  an empty file of the host
 * @param kindOf  what there is in the host's /proc
 */
export function coversOf(empty: string, kindOf: (name: string) => 'file' | 'dir' | undefined): string[] {
  const readOnly = READ_ONLY.filter((name) => kindOf(name) !== undefined)
  const hidden = HIDDEN.flatMap((name) => {
    const kind = kindOf(name)
    if (kind === undefined) return []
    const at = `/proc/${name}`
    return kind === 'file' ? ['--ro-bind', empty, at] : ['--tmpfs', at, '--remount-ro', at]
  })
  return [...readOnly.flatMap((name) => ['--ro-bind', `/proc/${name}`, `/proc/${name}`]), ...hidden]
}

export interface BubblewrapCommand {
  /** For `--args`: what is set up. Holds the environment's values, which no command line should show. */
  readonly options: readonly string[]
  /** For the command line, after `--`: what is run. */
  readonly command: readonly string[]
}

export function bubblewrapArguments(
  request: Pick<ExecRequest, 'argv' | 'env' | 'cwd' | 'network' | 'readOnlyRoot' | 'hostname'>,
  identity: Identity,
  files: SandboxFiles,
  isJoining = false,
): BubblewrapCommand {
  const args = ['--bind', files.merged, '/', '--dev', '/dev', '--proc', '/proc', ...files.covers]
  for (const { from, to, writable } of files.shown) args.push(writable ? '--bind' : '--ro-bind', from, to)
  const { setpriv, env } = files
  args.push(...helperBinds([setpriv, env].filter((each) => each !== undefined)))
  // What is mounted in it stays as it is.
  if (request.readOnlyRoot === true) args.push('--remount-ro', '/')
  // `--sync-fd` closes the descriptor for the command.
  if (isJoining) {
    const pidNamespace = String(PID_NAMESPACE_FD)
    args.push('--pidns', pidNamespace, '--sync-fd', pidNamespace, '--block-fd', String(BLOCK_FD))
  } else {
    args.push('--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try')
    if (request.network === 'none') args.push('--unshare-net')
    args.push('--hostname', request.hostname ?? HOSTNAME)
  }
  args.push('--die-with-parent')
  // A terminal is that of the session which script(1) has begun, and in which there is nothing of ours.
  if (env === undefined) args.push('--new-session')
  if (files.filtered) args.push('--seccomp', String(SECCOMP_FD))
  args.push('--cap-drop', 'ALL', ...CAPABILITIES.flatMap((name) => ['--cap-add', `CAP_${name}`]))
  args.push('--clearenv', ...request.env.flatMap(([name, value]) => ['--setenv', name, value]))
  args.push('--chdir', request.cwd)
  const command = [
    ...(env === undefined ? [] : begun(env, [`--default-signal=${TERMINAL_SIGNALS.join(',')}`, '--'])),
    // Last: its user may not be able to reach a helper.
    ...(setpriv === undefined ? [] : becomeUser(setpriv, identity)),
    ...request.argv,
  ]
  return { options: args, command }
}

const placeOf = (path: string): string => `${HELPER}/${path.slice(path.lastIndexOf('/') + 1)}`

function helperBinds(helpers: readonly Helper[]): string[] {
  const paths = helpers.flatMap(({ program, loader, libraries }) => [program, loader, ...libraries])
  return [...new Set(paths)].flatMap((path) => ['--ro-bind', path, placeOf(path)])
}

function begun({ program, loader }: Helper, args: readonly string[]): string[] {
  return [placeOf(loader), '--library-path', HELPER, placeOf(program), ...args]
}

/** bwrap cannot change to a user and keep the file system's owners as they are; setpriv(1) can, from within. */
function becomeUser(setpriv: Helper, identity: Identity): string[] {
  const groups = identity.groups.length === 0 ? ['--clear-groups'] : ['--groups', identity.groups.join(',')]
  const ids = ['--reuid', String(identity.uid), '--regid', String(identity.gid)]
  return begun(setpriv, [...ids, ...groups, '--inh-caps=-all'])
}
