// One RUN in the sandbox (Linux): the root's own binaries under bubblewrap, in a root mounted by the kernel's overlayfs. Effect.
//
// The mounts are made in a mount namespace of the run's own, so that they end with its last process, however that ends;
// bubblewrap and its children die with us. What is left after SIGKILL is a folder, which the next start removes.
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { BuildError, throwIfAborted } from '../../../errors.js'
import type { Store } from '../../../store/index.js'
import { applyChangeset, diffTrees, EMPTY_TREE, openTree, type Tree } from '../../../unionfs/index.js'
import type { ExecRequest, ExecResult, SharedFolder } from '../../executor.js'
import { readAccountFiles, resolveIdentity, type Identity } from '../accounts.js'
import { hostsFile } from '../hosts.js'
import { bubblewrapArguments, coversOf, type Helper, type SandboxFiles } from './bubblewrap.js'
import { hasLimits, RunGroups } from './cgroups.js'
import { execute } from './execute.js'
import { openFolder } from './folders.js'
import { librariesOf, removeFolder, requireTerminalPrograms, type SandboxHost } from './host.js'
import { launchCommand } from './launch.js'
import { findPlaces, type AgentSocket, type MemoryPlace, type Places } from './places.js'
import { materialiseLayers, unpackChanges, writeRoot, type RootfsOptions } from './rootfs.js'
import { GROUPS_FILE, ownName, removeStale } from './scratch.js'
import { seccompFilter } from './seccomp.js'
import { findSession, writeSession } from './session.js'
import { markUpper, readUpperFolder } from './upper.js'

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
    if (request.join !== undefined) return this.#join(request, request.join, identity)
    const name = ownName(this.#options.folder)
    const run = join(this.#options.folder, 'runs', name)
    for (const name of ['upper', 'work', 'merged']) mkdirSync(join(run, name), { recursive: true })
    let groups: RunGroups | undefined
    try {
      const { limits = {} } = request
      if (hasLimits(limits)) groups = RunGroups.create(limits, `lamella-${name}`, join(run, GROUPS_FILE))
      return await this.#runIn(run, request, identity, groups)
    } finally {
      await groups?.remove()
      removeFolder(this.#host, run)
    }
  }

  async #runIn(
    run: string,
    request: ExecRequest,
    identity: Identity,
    groups: RunGroups | undefined,
  ): Promise<ExecResult> {
    const before = request.view.snapshot()
    const places = findPlaces(before, request, this.#host.privileged, isHostFile)
    const lowers = await this.#lowers(run, request, places.prepared)
    await writeRoot(this.#host, join(run, 'upper'), before)
    throwIfAborted(request.signal)
    const options = mountOptions(lowers, this.#relative(run), this.#host)
    const files = this.#files(run, request, identity, places)
    const bubblewrap = bubblewrapArguments(request, identity, files)
    const command = launchCommand(this.#host, {
      overlay: options,
      merged: join(run, 'merged'),
      tmpfs: places.memory.map((place) => memoryMount(place, join(run, 'merged'), this.#host.privileged)),
      secrets: places.secrets.length === 0 ? '' : join(run, 'secrets'),
      groups: groups?.procs ?? [],
      command: bubblewrap.command,
      script: request.terminal && requireTerminalPrograms().script,
    })
    const upper = join(run, 'upper')
    let isTouched = (): boolean => true
    const closeAgents = await serveAgents(run, places.sockets, this.#host.privileged)
    const execution = {
      command,
      folder: this.#options.folder,
      options: bubblewrap.options,
      secrets: places.secrets,
      isJoined: false,
      onReady: (pid: number) => {
        isTouched = markUpper(upper)
        const { session: name, readOnlyRoot = false } = request
        if (name === undefined) return
        writeSession(run, { name, pid, shown: files.shown, readOnlyRoot, groups: groups?.procs ?? [] })
      },
    }
    const exitCode = await execute(execution, request).finally(closeAgents)
    const oomKilled = groups?.oomKilled
    if (!isTouched()) return { exitCode, tree: before, oomKilled }
    const changes = await readUpperFolder(this.#host, upper, run, before.root)
    return { exitCode, tree: changes.length === 0 ? before : applyChangeset(before, changes), oomKilled }
  }

  openFolder(name: string, tree: Tree, about?: unknown): Promise<SharedFolder> {
    return openFolder(this.#options, name, tree, about)
  }

  async #join(request: ExecRequest, name: string, identity: Identity): Promise<ExecResult> {
    const session = await findSession(this.#options.folder, name)
    if (session === undefined) throw noSession(name)
    const { run, shown, readOnlyRoot, groups } = session
    const merged = join(run, 'merged')
    const files = { ...this.#surroundings(run), shown, ...this.#helpers(identity, request) }
    const bubblewrap = bubblewrapArguments({ ...request, readOnlyRoot }, identity, files, true)
    const script = request.terminal && requireTerminalPrograms().script
    const launch = {
      overlay: '',
      merged,
      tmpfs: [],
      secrets: '',
      groups,
      command: bubblewrap.command,
      script,
    }
    const execution = {
      command: launchCommand(this.#host, launch, session),
      folder: this.#options.folder,
      options: bubblewrap.options,
      secrets: [],
      isJoined: true,
      onReady: () => {},
    }
    const exitCode = await execute(execution, request).catch((error: unknown) => {
      // Its namespaces ended before we were in them.
      throw error instanceof BuildError && error.code === 'EXECUTOR_MISSING' ? noSession(name, error) : error
    })
    return { exitCode, tree: request.view.snapshot() }
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
    const { writableEtc = false } = request
    const shown: { from: string; to: string; writable: boolean }[] = []
    if (places.hosts !== '') {
      const hosts = join(run, 'hosts')
      writeFileSync(hosts, hostsFile(request.extraHosts ?? [], request.hostname))
      shown.push({ from: hosts, to: places.hosts, writable: writableEtc })
    }
    if (places.resolvConf !== '' && existsSync('/etc/resolv.conf')) {
      const resolvConf = writableEtc ? join(run, 'resolv.conf') : '/etc/resolv.conf'
      if (writableEtc) copyFileSync('/etc/resolv.conf', resolvConf)
      shown.push({ from: resolvConf, to: places.resolvConf, writable: writableEtc })
    }
    shown.push(...mountsOf(merged, places))
    if (places.secrets.length > 0) mkdirSync(join(run, 'secrets'))
    for (const [index, { target }] of places.secrets.entries()) {
      shown.push({ from: join(run, 'secrets', String(index)), to: target, writable: false })
    }
    for (const [index, { target }] of places.sockets.entries()) {
      shown.push({ from: join(run, socketName(index)), to: target, writable: true })
    }
    return { ...this.#surroundings(run), shown, ...this.#helpers(identity, request) }
  }

  #surroundings(run: string): Pick<SandboxFiles, 'merged' | 'covers' | 'filtered'> {
    const empty = join(run, 'empty')
    if (!existsSync(empty)) writeFileSync(empty, '', { mode: 0o444 })
    const filtered = seccompFilter(process.arch) !== undefined
    return {
      merged: join(run, 'merged'),
      covers: coversOf(empty, kindInProc),
      filtered,
    }
  }

  #helpers({ uid, gid }: Identity, { terminal }: ExecRequest): Pick<SandboxFiles, 'setpriv' | 'env'> {
    return {
      setpriv: uid === 0 && gid === 0 ? undefined : helper(this.#host.programs.setpriv, 'under USER'),
      env: terminal && helper(requireTerminalPrograms().env, 'on a terminal'),
    }
  }
}

/** By name: a list of what is in there would look at processes, which go meanwhile. */
function kindInProc(name: string): 'file' | 'dir' | undefined {
  const stat = statSync(`/proc/${name}`, { throwIfNoEntry: false })
  return stat && (stat.isDirectory() ? 'dir' : 'file')
}

function memoryMount(
  { target, node, size }: MemoryPlace,
  merged: string,
  canGive: boolean,
): { options: string; at: string } {
  const owner = canGive ? `,uid=${node.uid},gid=${node.gid}` : ''
  const limit = size === undefined || size === 0 ? '' : `,size=${size}`
  return { options: `nosuid,nodev,mode=${node.mode.toString(8)}${owner}${limit}`, at: join(merged, target) }
}

const socketName = (index: number): string => `ssh.${index}`

/** Listens for the run, and makes nothing of it where there is nobody to answer. @returns ends it */
async function serveAgents(
  run: string,
  sockets: readonly AgentSocket[],
  canGive: boolean,
): Promise<() => void> {
  if (sockets.length === 0) return () => {}
  const { serveAgent } = await import('../ssh/serve.js')
  // Paths of sockets are short; the folder's may be long.
  const folder = openSync(run, 'r')
  const servers = await Promise.all(
    sockets.map(({ agent, node }, index) =>
      serveAgent(agent, `/proc/self/fd/${folder}/${socketName(index)}`, node, canGive),
    ),
  )
  return () => {
    for (const server of servers) server.close()
    closeSync(folder)
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

function helper(program: string, why: string): Helper {
  const found = librariesOf(program)
  if (found !== undefined) return { program, ...found }
  throw new BuildError(
    'EXECUTOR_MISSING',
    `the libraries of ${program} cannot be found, which a command needs ${why}`,
    {
      data: { executor: 'sandbox', missing: ['ldd'] },
    },
  )
}

function noSession(name: string, cause?: unknown): BuildError {
  return new BuildError(
    'EXECUTOR_CAPABILITY',
    `the sandbox has no run ${name} that a command could be beside`,
    {
      data: { executor: 'sandbox', feature: 'a command beside another', able: [], session: name },
      cause,
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
  const how = host.privileged ? 'index=off,redirect_dir=off,metacopy=off' : 'userxattr'
  return `${dirs},${how}${host.volatile ? ',volatile' : ''}`
}

/** Beside the store's blobs, or in the system's temporary folder, until the process ends. */
export function sandboxFolder(store: Store, host: SandboxHost): string {
  if (store.path !== undefined) return join(resolve(store.path), 'lamella', 'sandbox')
  const temporary = mkdtempSync(join(tmpdir(), 'lamella-sandbox-'))
  process.once('exit', () => removeFolder(host, temporary))
  return temporary
}
