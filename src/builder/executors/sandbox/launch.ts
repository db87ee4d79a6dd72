// How a run is begun: the script that makes its mounts in namespaces of its own and then becomes bubblewrap. Pure.
import { joinCommand, namespaceCommand, pidNamespaceOf, type SandboxHost } from './host.js'
import type { SandboxInit } from './terminate.js'

/** bubblewrap reads its options from here: a command line is seen by everybody, and some values are secrets. */
export const OPTIONS_FD = 3
export const GATE_FD = 4
/** bubblewrap reads its filter of system calls from here. */
export const SECCOMP_FD = 5
/** Only where there are secrets. */
export const SECRETS_FD = 6
/** Only of a command that joins a run: bubblewrap waits here before it ties its life to its parent's. See execute.ts. */
export const BLOCK_FD = 6
/** The pid namespace that a command joins; opened when all others are closed. */
export const PID_NAMESPACE_FD = 7

/**
 * Closes all descriptors but the first three and what bubblewrap reads. POSIX sh has no words for those beyond 9; where
 * there are any, bash takes the script's place. A database's are, and what we were started with may be.
 */
const CLOSE_SMALL = `for path in /proc/self/fd/*; do
  case \${path##*/} in
    [012] | ${OPTIONS_FD} | ${SECCOMP_FD}) ;;
    ${BLOCK_FD}) test -n "$pidns" || exec ${BLOCK_FD}>&- ;;
    [4-9]) eval "exec \${path##*/}>&-" ;;
    *) exec "$bash" --norc -p -c "$close_all" bash "$pidns" "$@" ;;
  esac
done`

/** Of bash and sh; the pid namespace's path, or nothing, is the first argument. */
const BEGIN = `test -z "$1" || exec ${PID_NAMESPACE_FD}<"$1"
shift
unset PWD OLDPWD SHLVL _
exec "$@"`

const CLOSE_ALL = `for path in /proc/self/fd/*; do
  fd=\${path##*/}
  case $fd in
    [012] | ${OPTIONS_FD} | ${SECCOMP_FD}) ;;
    ${BLOCK_FD}) test -n "$1" || exec ${BLOCK_FD}>&- ;;
    *[!0-9]* | "") exit 125 ;;
    *) exec {fd}>&- ;;
  esac
done
${BEGIN}`

/**
 * Arguments: bash, CLOSE_ALL, overlay options and its mount point, the pid namespace to join or nothing, the steps before the
 * command, `--`, the command.
 *
 * It asks at the gate when the mounts are there: by then the kernel knows that the script must die with its parent, and
 * only who is alive, and has not been told to stop, answers. So no moment is left at which a kill could pass it by.
 * What it says on its standard error before that is why it failed.
 *
 * Of our own descriptors all that are not close-on-exec come this far, and bubblewrap passes on what it has.
 */
const START = `umask 022
bash=$1 close_all=$2
test -z "$3" || mount -t overlay overlay -o "$3" "$4" || exit 125
pidns=$5
shift 5
while test "$1" != --; do
  case $1 in
    tmpfs) mount -t tmpfs -o "$2" tmpfs "$3" || exit 125 ;;
    secrets) tar -x -p --numeric-owner --same-owner -C "$3" -f - <&${SECRETS_FD} || exit 125 ;;
    cgroup) echo 0 >"$3" || exit 125 ;;
  esac
  shift 3
done
shift
echo ready >&${GATE_FD}
read -r answer <&${GATE_FD} && test "$answer" = go || exit 125
${CLOSE_SMALL}
set -- "$pidns" "$@"
${BEGIN}`

export interface Launch {
  /** For mount(8), paths relative to the sandbox's folder; '' where it is mounted already. */
  readonly overlay: string
  /** Absolute. */
  readonly merged: string
  /** Mounted before the command starts, in this order: options of mount(8), and where, absolute. */
  readonly tmpfs: readonly { readonly options: string; readonly at: string }[]
  /** Where secrets are unpacked; '' for none. A tmpfs. */
  readonly secrets: string
  /** `cgroup.procs` of the groups that the run belongs to. */
  readonly groups: readonly string[]
  /** bubblewrap's arguments after `--`. */
  readonly command: readonly string[]
  /** script(1), where the command gets a terminal. */
  readonly script?: string | undefined
}

/**
 * The whole argument vector; it is to be started in the sandbox's folder.
 * @param beside  the run that it joins
 */
export function launchCommand(host: SandboxHost, launch: Launch, beside?: SandboxInit): string[] {
  const { bash, bwrap } = host.programs
  const memory =
    launch.secrets === '' ? [] : ['tmpfs', 'mode=0700', launch.secrets, 'secrets', '', launch.secrets]
  const args = [
    bash,
    CLOSE_ALL,
    launch.overlay,
    launch.merged,
    beside === undefined ? '' : pidNamespaceOf(host, beside),
    ...launch.tmpfs.flatMap(({ options, at }) => ['tmpfs', options, at]),
    ...memory,
    ...launch.groups.flatMap((path) => ['cgroup', '', path]),
    '--',
    bwrap,
    '--args',
    String(OPTIONS_FD),
    '--',
    ...launch.command,
  ]
  const command =
    beside === undefined ? namespaceCommand(host, START, args) : joinCommand(host, beside, START, args)
  return launch.script === undefined ? command : onTerminal(host, launch.script, command)
}

/**
 * The command on a terminal that script(1) makes and relays to ours. The sandbox sees that one alone: what it does to it
 * (TIOCSTI, settings, a hang-up) does not reach ours. Ctrl-C is for the command, not for what is around it.
 */
function onTerminal({ programs }: SandboxHost, script: string, command: readonly string[]): string[] {
  const words = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
  const line = `trap '' ${TERMINAL_SIGNALS.join(' ')}; exec ${words}`
  return [programs.setpriv, '--pdeathsig', 'KILL', script, '-q', '-e', '-c', line, '/dev/null']
}

/** What keys send; ignored around the command, and as they should be in it. */
export const TERMINAL_SIGNALS = ['INT', 'QUIT', 'TSTP']
