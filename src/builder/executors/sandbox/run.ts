// One RUN in the sandbox (Linux): the root's own binaries under bubblewrap, in a root mounted by the kernel's overlayfs. Effect.
//
// The mounts are made in a mount namespace of the run's own, so that they end with its last process, however that ends;
// bubblewrap and its children die with us. What is left after SIGKILL is a folder, which the next start removes.
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { Duplex, Writable } from 'node:stream'
import { join, resolve } from 'node:path'
import { BuildError, throwIfAborted } from '../../../errors.js'
import { encodeTar, type Store, type TarInput } from '../../../store/index.js'
import { applyChangeset, diffTrees, EMPTY_TREE, openTree, type Tree } from '../../../unionfs/index.js'
import type { ExecRequest, ExecResult } from '../../executor.js'
import { readAccountFiles, resolveIdentity, type Identity } from '../accounts.js'
import { bubblewrapArguments, HOSTNAME, type SandboxFiles } from './bubblewrap.js'
import { librariesOf, namespaceCommand, removeFolder, type SandboxHost } from './host.js'
import { findPlaces, type Places, type SecretFile } from './places.js'
import { materialiseLayers, unpackChanges, writeRoot, type RootfsOptions } from './rootfs.js'
import { ownName, removeStale } from './scratch.js'
import { terminateCommand } from './terminate.js'
import { readUpperFolder } from './upper.js'

/** bubblewrap reads its options from here: a command line is seen by everybody, and some values are secrets. */
const OPTIONS_FD = 3
const SECRETS_FD = 4

const GATE_FD = 5

/**
 * Arguments: overlay options, its mount point, the folder for secrets or '', then the command.
 *
 * It asks at the gate before it does anything: by then the kernel knows that the script must die with its parent, and only
 * who is alive, and has not been told to stop, answers. So no moment is left at which a kill could pass it by. Then come
 * the overlay, the secrets (an archive on a descriptor, unpacked into memory), and the command in the script's place.
 *
 * Of our own descriptors all that are not close-on-exec come this far (a database's, those that we were started with), and
 * bubblewrap passes on what it has: the command gets none but the first three, bubblewrap its options besides.
 */
const START = `echo ready >&${GATE_FD}
read -r answer <&${GATE_FD} && test "$answer" = go || exit 125
exec ${GATE_FD}<&-
umask 022
mount -t overlay overlay -o "$1" "$2" || exit 125
if test -n "$3"; then
  mount -t tmpfs -o mode=0700 tmpfs "$3" && tar -x -p --numeric-owner --same-owner -C "$3" -f - <&${SECRETS_FD} || exit 125
fi
for path in /proc/self/fd/*; do
  fd=\${path##*/}
  case $fd in
    [012] | ${OPTIONS_FD}) ;;
    *[!0-9]* | '') exit 125 ;;
    *) exec {fd}>&- ;;
  esac
done
unset PWD OLDPWD
shift 3
exec "$@"`

/** A folder with layers and runs, and what runs in it. */
export class Sandbox {
  readonly #host: SandboxHost
  readonly #options: RootfsOptions
  #cleaned = false

  constructor(host: SandboxHost, store: Store, folder: string) {
    this.#host = host
    this.#options = { host, folder, store }
  }

  async run(request: ExecRequest): Promise<ExecResult> {
    const identity = resolveIdentity(request.user, readAccountFiles(request.view.fs))
    if (!this.#host.privileged && identity.uid !== 0) throw unprivilegedUser(request.user)
    if (!this.#cleaned) removeStale(this.#options.folder, this.#host)
    this.#cleaned = true
    const run = join(this.#options.folder, 'runs', ownName(this.#options.folder))
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(run, name), { recursive: true })
    try {
      return await this.#runIn(run, request, identity)
    } finally {
      removeFolder(this.#host, run)
    }
  }

  async #runIn(run: string, request: ExecRequest, identity: Identity): Promise<ExecResult> {
    const before = request.view.snapshot()
    const places = findPlaces(before, request, this.#host.privileged, isHostFile)
    const lowers = await this.#lowers(run, request, places.prepared)
    await writeRoot(this.#host, join(run, 'upper'), before)
    throwIfAborted(request.signal)
    const options = mountOptions(lowers, this.#relative(run), this.#host)
    const files = this.#files(run, request, identity, places)
    const bubblewrap = bubblewrapArguments(request, identity, files)
    const command = namespaceCommand(this.#host, START, [
      options,
      join(run, 'merged'),
      places.secrets.length === 0 ? '' : join(run, 'secrets'),
      this.#host.programs.bwrap,
      '--args',
      String(OPTIONS_FD),
      '--',
      ...bubblewrap.command,
    ])
    const input = { options: bubblewrap.options, secrets: places.secrets }
    const exitCode = await execute(command, input, this.#options.folder, request)
    const changes = await readUpperFolder(this.#host, join(run, 'upper'), run, before.root)
    return { exitCode, tree: changes.length === 0 ? before : applyChangeset(before, changes) }
  }

  /** Lower directories, topmost first: what the view has beyond its layers, then the layers. */
  async #lowers(run: string, request: ExecRequest, prepared: Tree): Promise<string[]> {
    const layers = request.layers ?? []
    const lowers = await materialiseLayers(this.#options, layers, request.signal)
    const below = layers.length === 0 ? EMPTY_TREE : await openTree(this.#options.store, layers)
    const extra = diffTrees(below, prepared)
    if (extra.length > 0 || lowers.length === 0) {
      mkdirSync(join(run, 'extra'))
      await unpackChanges(this.#host, join(run, 'extra'), prepared, extra)
      lowers.unshift(`${this.#relative(run)}/extra`)
    }
    return lowers
  }

  #relative(run: string): string {
    return run.slice(this.#options.folder.length + 1)
  }

  #files(run: string, request: ExecRequest, identity: Identity, places: Places): SandboxFiles {
    const merged = join(run, 'merged')
    const shown: { from: string; to: string; writable: boolean }[] = []
    if (places.hosts !== '') {
      const hosts = join(run, 'hosts')
      writeFileSync(hosts, `127.0.0.1\tlocalhost ${HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n`)
      shown.push({ from: hosts, to: places.hosts, writable: true })
    }
    if (places.resolvConf !== '' && request.network !== 'none' && existsSync('/etc/resolv.conf')) {
      shown.push({ from: '/etc/resolv.conf', to: places.resolvConf, writable: false })
    }
    shown.push(...mountsOf(merged, places))
    if (places.secrets.length > 0) mkdirSync(join(run, 'secrets'))
    for (const [index, { target }] of places.secrets.entries()) {
      shown.push({ from: join(run, 'secrets', String(index)), to: target, writable: false })
    }
    const isRoot = identity.uid === 0 && identity.gid === 0
    return { merged, shown, setpriv: isRoot ? undefined : helper(this.#host) }
  }
}

function isHostFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

/** What is mounted at places of the root, what is outside before what is inside. */
function mountsOf(merged: string, places: Places): SandboxFiles['shown'] {
  const ofRoot = (writable: boolean) => (to: string) => ({ from: join(merged, to), to, writable })
  const ofHost = places.hostMounts.map(({ source, target, readonly }) => {
    if (statSync(source, { throwIfNoEntry: false }) === undefined) mkdirSync(source, { recursive: true })
    return { from: source, to: target, writable: !readonly }
  })
  const all = [
    ...places.readonlyTargets.map(ofRoot(false)),
    ...places.pointTargets.map(ofRoot(true)),
    ...ofHost,
  ]
  return all.sort((a, b) => a.to.split('/').length - b.to.split('/').length)
}

function helper(host: SandboxHost): NonNullable<SandboxFiles['setpriv']> {
  const program = host.programs.setpriv
  const found = librariesOf(program)
  if (found !== undefined) return { program, ...found }
  throw new BuildError(
    'EXECUTOR_MISSING',
    `the libraries of ${program} cannot be found, which RUN needs under USER`,
    {
      data: { executor: 'sandbox', missing: ['ldd'] },
    },
  )
}

function unprivilegedUser(user: string): BuildError {
  return new BuildError(
    'EXECUTOR_CAPABILITY',
    `the executor sandbox cannot run as USER ${user} without root, because a user namespace has one user: shell or functions could`,
    { data: { executor: 'sandbox', feature: 'USER', able: ['shell', 'functions'] } },
  )
}

/** `:` and `,` mean something in mount options; our own names have neither, and paths are relative to the folder. */
function mountOptions(lowers: readonly string[], run: string, host: SandboxHost): string {
  const dirs = `lowerdir=${lowers.join(':')},upperdir=${run}/upper,workdir=${run}/work`
  // What docker mounts with, whatever the kernel's defaults are.
  return host.privileged ? `${dirs},index=off,redirect_dir=off,metacopy=off` : `${dirs},userxattr`
}

/** Runs the command to its end: all of its processes have gone when the promise is settled. */
async function execute(
  command: readonly string[],
  input: { readonly options: readonly string[]; readonly secrets: readonly SecretFile[] },
  folder: string,
  request: ExecRequest,
): Promise<number> {
  const { signal, timeoutMs } = request
  const child = spawn(command[0]!, command.slice(1), {
    cwd: folder,
    // Our environment is not the RUN's affair, and /proc would show it.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    stdio: [request.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
  })
  send(child, OPTIONS_FD, [new TextEncoder().encode(input.options.map((option) => `${option}\0`).join(''))])
  send(child, SECRETS_FD, input.secrets.length === 0 ? [] : encodeTar(input.secrets.map(secretEntry)))
  let timedOut = false
  const closeGate = openGate(child)
  const kill = (): boolean => {
    closeGate()
    return child.kill('SIGKILL')
  }
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => ((timedOut = true), kill()), timeoutMs)
  signal?.addEventListener('abort', kill, { once: true })
  const endStop = listenToStop(request.stop, child, kill)
  child.stdout!.on('data', (bytes: Uint8Array) => request.onOutput('stdout', bytes))
  child.stderr!.on('data', (bytes: Uint8Array) => request.onOutput('stderr', bytes))
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(request.stdin)
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      // Not 'exit': the pipes close when the last process has gone.
      child.once('close', (status, by) => resolve(status ?? (by === 'SIGKILL' ? 137 : 128)))
    })
    throwIfAborted(signal)
    if (timedOut) throw timeout(request)
    return code
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', kill)
    endStop()
  }
}

/** Answers the script when it asks. @returns ends that: who asks later is turned away */
function openGate(child: ChildProcess): () => void {
  const gate = (child.stdio as readonly unknown[])[GATE_FD] as Duplex
  gate.on('error', () => undefined)
  gate.once('data', () => gate.end('go\n'))
  return () => void gate.destroy()
}

const STOP_GRACE_MS = 10_000

/** @returns ends listening */
function listenToStop(stop: AbortSignal | undefined, child: ChildProcess, kill: () => boolean): () => void {
  if (stop === undefined) return () => {}
  let timer: NodeJS.Timeout | undefined
  const terminate = (): void => {
    timer = setTimeout(kill, STOP_GRACE_MS)
    // A command that has not begun yet hears nothing, and is asked again.
    const ask = (): void => void (terminateCommand(child.pid!) && clearInterval(again))
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

/** Beside the store's blobs, or in the system's temporary folder, until the process ends. */
export function sandboxFolder(store: Store, host: SandboxHost): string {
  if (store.path !== undefined) return join(resolve(store.path), 'lamella', 'sandbox')
  const temporary = mkdtempSync(join(tmpdir(), 'lamella-sandbox-'))
  process.once('exit', () => removeFolder(host, temporary))
  return temporary
}
