// The Executor contract: how a RUN step's process is carried out. Implementations live in executors/.
import type { LayerRef, Tree, UnionView } from '../unionfs/index.js'
import type { SshAgent } from './ssh-agent.js'

export interface ExecMount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh'
  /** Absolute path inside the root. */
  readonly target: string
  readonly readonly: boolean
  /** A mount point for the run too: its directory cannot be moved or removed. For executors that work on a copy. */
  readonly isPoint?: boolean | undefined
  /** ssh: what answers at the socket, which is in the view with its owner and mode. */
  readonly agent?: SshAgent | undefined
  /** tmpfs: how much it may hold, in bytes. Default the executor's. */
  readonly size?: number | undefined
}

/** What a run may use at most; for executors that have the limit. How long it may take is `timeoutMs`. */
export interface ExecLimits {
  /** Of all of its processes together. When they need more, one is killed: `oomKilled`. */
  readonly memoryBytes?: number | undefined
  /** Processes and threads at once. */
  readonly pids?: number | undefined
  /** Processors' time per time, e.g. 1.5. */
  readonly cpus?: number | undefined
}

export interface ExecRequest {
  /** The root file system; the executor's writes into it are the step's effect. Mounts are already in place in it. */
  readonly view: UnionView
  /** Complete argument vector, e.g. `['/bin/sh', '-c', 'npm install']`. Never empty. */
  readonly argv: readonly string[]
  /** The text after RUN when it was in shell form, for people and for pattern matching; else argv joined by blanks. */
  readonly commandLine: string
  /** Ordered `[name, value]` pairs: the process's whole environment, PATH and HOME included. */
  readonly env: readonly (readonly [name: string, value: string])[]
  /** Absolute; exists in the view. */
  readonly cwd: string
  /** As in the Dockerfile's USER: `name`, `uid`, `name:group`, …; '' is root. */
  readonly user: string
  readonly mounts: readonly ExecMount[]
  readonly network: 'default' | 'none' | 'host'
  /** Bytes for standard input; empty by default. */
  readonly stdin?: Uint8Array | undefined
  /** Standard input as it comes, in the place of `stdin`. Executors in process read it to its end first. */
  readonly stdinStream?: AsyncIterable<Uint8Array> | undefined
  /**
   * The command gets a terminal of its own, in a session of its own; all output is then `stdout`. With `input` it is relayed
   * from the terminal that our standard input must be: keys, Ctrl-C and the window's size. Only in the sandbox; executors in
   * process have no terminals to give, and leave it be.
   */
  readonly terminal?: { readonly input: boolean } | undefined
  readonly timeoutMs?: number | undefined
  readonly limits?: ExecLimits | undefined
  /** What the machine is called; default BuildKit's name. For executors that give it a name of its own. */
  readonly hostname?: string | undefined
  /** Names that /etc/hosts has besides localhost's. For executors that show one of their own. */
  readonly extraHosts?: readonly (readonly [name: string, address: string])[] | undefined
  /** Whether what is shown at /etc/hosts and /etc/resolv.conf can be written to, for this run. Default false, as in a build. */
  readonly writableEtc?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Receives output as it comes, in order. */
  readonly onOutput: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void
  /**
   * The layers below the view, base first, where the caller knows them: an executor that needs the root on disk keeps it
   * there by layer instead of writing it out for each RUN. The view's tree may differ from theirs, by its mounts for one.
   */
  readonly layers?: readonly LayerRef[] | undefined
  /** Folders and files of the host, shown at their targets; only for executors that have `hostMounts`. */
  readonly hostMounts?: readonly HostMount[] | undefined
  /** Nothing but the mounts can be written to; for executors that work on a copy. Default false. */
  readonly readOnlyRoot?: boolean | undefined
  /**
   * Ends the processes and keeps what they wrote, unlike `signal`: with SIGTERM, or the SIGINT or SIGKILL that its reason's
   * message names, and with SIGKILL after 10 seconds; the result has the exit code that came of it. For executors that work on a copy.
   */
  readonly stop?: AbortSignal | undefined
  /** By this name others can `join` the run while it lasts, from this process or another. For executors with `sessions`. */
  readonly session?: string | undefined
  /**
   * Runs beside the run of that name: in its root, mounts, processes and network, which this ends with. `view` says who is
   * who; the effect is the other run's, and the result has no tree. Refused with EXECUTOR_CAPABILITY when there is none.
   */
  readonly join?: string | undefined
}

export interface HostMount {
  /** Absolute path on the host. */
  readonly source: string
  /** Absolute path inside the root; made where it is missing. */
  readonly target: string
  readonly readonly: boolean
}

export interface ExecResult {
  readonly exitCode: number
  /**
   * The root after the run, with what its mounts hold, from an executor that worked on a copy instead of in the view
   * (`sandbox`, `replay`); the view is then as it was. Read both cases through `treeAfter`.
   */
  readonly tree?: Tree | undefined
  /** The kernel killed a process of the run because `limits.memoryBytes` was used up. */
  readonly oomKilled?: boolean | undefined
}

/** The root as a run left it. */
export function treeAfter(request: Pick<ExecRequest, 'view'>, result: ExecResult): Tree {
  return result.tree ?? request.view.snapshot()
}

/** What an executor can do; a request beyond it fails with EXECUTOR_CAPABILITY, naming one that could. */
export interface ExecutorCapabilities {
  readonly mounts: readonly ExecMount['type'][]
  readonly networks: readonly ExecRequest['network'][]
  /** Runs the root's own binaries. */
  readonly binaries: boolean
  /** Leaves the view as it was and gives the outcome as a tree; mounts of the view itself do not show. Default false. */
  readonly worksOnCopy?: boolean
  /** Can show folders of the host. Default false. */
  readonly hostMounts?: boolean
  /** The limits that it keeps. Default none. */
  readonly limits?: readonly ('memory' | 'pids' | 'cpus')[]
  /** Runs can have others beside them. Default false. */
  readonly sessions?: boolean
}

/**
 * Carries out RUN steps. The effect of a run is in `request.view`, or in the result's `tree`, and nowhere else. A
 * non-zero exit code is a result, not an error; the builder turns it into RUN_FAILED and records nothing.
 *
 * @throws BuildError EXECUTOR_CAPABILITY | EXECUTOR_NO_MATCH | EXECUTOR_PEER_MISSING before anything was done
 * @throws BuildError RUN_FAILED (data: timeoutMs) when the time is over; every process of the run has then ended
 * @throws AbortError when the signal fired; the view is then of no use
 */
export interface Executor {
  readonly name: string
  readonly capabilities: ExecutorCapabilities
  run(request: ExecRequest): Promise<ExecResult>
  /**
   * A folder of the host for `hostMounts`, shared by all who open one of that name, in this process and others with the same
   * store: what one run writes the others see at once. Who is first finds the tree in it. `undefined` where there
   * are none.
   *
   * @param about  JSON that `recoverSharedFolders` gives back with what is in the folder, where those who had it open were
   *               killed; without it, that is lost
   */
  openFolder?(name: string, tree: Tree, about?: unknown): Promise<SharedFolder | undefined>
}

export interface SharedFolder {
  /** Absolute. */
  readonly path: string
  /**
   * Gives it up.
   * @param save  is given what is in it by then, and what is noted of it (`openFolder`'s `about`, or what the last `save` gave);
   *              what it gives takes that place, unless `undefined`. Nobody else saves or opens it meanwhile
   */
  close(save?: (tree: Tree, about: unknown) => Promise<unknown>): Promise<void>
}
