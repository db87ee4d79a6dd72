// One RUN in the sandbox (Linux): the root's own binaries under bubblewrap, in a root mounted by the kernel's overlayfs. Effect.
//
// The mounts are made in a mount namespace of the run's own, so that they end with its last process, however that ends;
// bubblewrap and its children die with us. What is left after SIGKILL is a folder, which the next start removes.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { Writable } from 'node:stream'
import { join, resolve } from 'node:path'
import { BuildError, throwIfAborted } from '../../../errors.js'
import { parentOf, splitPath } from '../../../path.js'
import type { Store } from '../../../store/index.js'
import {
  applyChangeset,
  childrenOf,
  diffTrees,
  EMPTY_TREE,
  openTree,
  TreeEditor,
  TreeNode,
  type Tree,
} from '../../../unionfs/index.js'
import type { ExecRequest, ExecResult } from '../../executor.js'
import { readAccountFiles, resolveIdentity, type Identity } from '../accounts.js'
import { bubblewrapArguments, HOSTNAME, type SandboxFiles } from './bubblewrap.js'
import { librariesOf, namespaceCommand, type SandboxHost } from './host.js'
import { copyRoot, materialiseLayers, removeStaleRuns, unpackChanges, type RootfsOptions } from './rootfs.js'
import { readUpperFolder } from './upper.js'

/** Paths that the sandbox mounts something on, in any root. */
const DIRECTORY_STUBS = ['dev', 'proc']
const FILE_STUBS = ['etc/hosts', 'etc/resolv.conf']

/** Dies when the parent has gone before the death signal was set; then the overlay, then bubblewrap in its place. */
const START =
  'test "$PPID" = "$1" || exit 125; umask 022; mount -t overlay overlay -o "$2" "$3" || exit 125; shift 3; exec "$@"'

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
    if (!this.#cleaned) removeStaleRuns(this.#options.folder)
    this.#cleaned = true
    const run = join(this.#options.folder, 'runs', `${process.pid}-${randomBytes(6).toString('hex')}`)
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(run, name), { recursive: true })
    try {
      return await this.#runIn(run, request, identity)
    } finally {
      rmSync(run, { recursive: true, force: true })
    }
  }

  async #runIn(run: string, request: ExecRequest, identity: Identity): Promise<ExecResult> {
    const before = request.view.snapshot()
    const lowers = await this.#lowers(run, request, withStubs(before))
    copyRoot(this.#host, join(run, 'upper'), before)
    throwIfAborted(request.signal)
    const options = mountOptions(lowers, this.#relative(run), this.#host)
    const files = this.#files(run, request, identity)
    const bubblewrap = bubblewrapArguments(request, identity, files)
    const command = namespaceCommand(this.#host, START, [
      String(process.pid),
      options,
      join(run, 'merged'),
      this.#host.programs.bwrap,
      '--args',
      String(OPTIONS_FD),
      '--',
      ...bubblewrap.command,
    ])
    const exitCode = await execute(command, bubblewrap.options, this.#options.folder, request)
    const changes = await readUpperFolder(this.#host, join(run, 'upper'), run)
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

  #files(run: string, request: ExecRequest, identity: Identity): SandboxFiles {
    const merged = join(run, 'merged')
    const hosts = join(run, 'hosts')
    writeFileSync(hosts, `127.0.0.1\tlocalhost ${HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n`)
    const shown = [{ from: hosts, to: '/etc/hosts', writable: true }]
    if (request.network !== 'none' && existsSync('/etc/resolv.conf')) {
      shown.push({ from: '/etc/resolv.conf', to: '/etc/resolv.conf', writable: false })
    }
    for (const { target, readonly } of request.mounts) {
      if (readonly) shown.push({ from: join(merged, target), to: target, writable: false })
    }
    return {
      merged,
      shown,
      setpriv: identity.uid === 0 && identity.gid === 0 ? undefined : helper(this.#host),
    }
  }
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

/** The tree with an empty place for all that is mounted in any run. Directories above get no new times. */
function withStubs(tree: Tree): Tree {
  const editor = new TreeEditor(tree)
  const place = (path: string, kind: 'dir' | 'file'): void => {
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      const node = editor.lookup(at)
      if (node !== undefined && node.kind !== 'dir') return
    }
    const parts = splitPath(path)
    for (let depth = 1; depth <= parts.length; depth++) {
      const at = parts.slice(0, depth).join('/')
      if (editor.lookup(at) !== undefined) continue
      const isLast = depth === parts.length
      editor.put(
        at,
        isLast && kind === 'file'
          ? new TreeNode({ kind })
          : new TreeNode({ kind: 'dir', children: childrenOf([]) }),
      )
    }
  }
  for (const path of DIRECTORY_STUBS) place(path, 'dir')
  for (const path of FILE_STUBS) place(path, 'file')
  return editor.finish()
}

/** bubblewrap reads its options from here: a command line is seen by everybody, and some values are secrets. */
const OPTIONS_FD = 3

/** Runs the command to its end: all of its processes have gone when the promise is settled. */
async function execute(
  command: readonly string[],
  bubblewrapOptions: readonly string[],
  folder: string,
  request: ExecRequest,
): Promise<number> {
  const { signal, timeoutMs } = request
  const child = spawn(command[0]!, command.slice(1), {
    cwd: folder,
    // Our environment is not the RUN's affair, and /proc would show it.
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    stdio: [request.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', 'pipe'],
  })
  const input = child.stdio[OPTIONS_FD] as Writable
  input.on('error', () => undefined)
  input.end(bubblewrapOptions.map((option) => `${option}\0`).join(''))
  let timedOut = false
  const kill = (): boolean => child.kill('SIGKILL')
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => ((timedOut = true), kill()), timeoutMs)
  signal?.addEventListener('abort', kill, { once: true })
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
  }
}

function timeout(request: ExecRequest): BuildError {
  return new BuildError('RUN_FAILED', `the RUN took longer than ${request.timeoutMs} ms and was ended`, {
    data: { commandLine: request.commandLine, timeoutMs: request.timeoutMs },
  })
}

/** Beside the store's blobs, or in the system's temporary folder, until the process ends. */
export function sandboxFolder(store: Store): string {
  if (store.path !== undefined) return join(resolve(store.path), 'lamella', 'sandbox')
  const temporary = mkdtempSync(join(tmpdir(), 'lamella-sandbox-'))
  process.once('exit', () => rmSync(temporary, { recursive: true, force: true }))
  return temporary
}
