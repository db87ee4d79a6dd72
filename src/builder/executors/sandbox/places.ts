// Where a sandbox mounts things in a root, and the root with an empty place for each of them. Pure.
//
// Symlinks of the root are followed here, inside the root: bubblewrap would follow them on its way through the host's
// directories. The places are part of a lower directory, so that they never show in what a run changed.
import { BuildError } from '../../../errors.js'
import { parentOf, splitPath } from '../../../path.js'
import { childrenOf, TreeEditor, TreeNode, type Tree } from '../../../unionfs/index.js'
import type { ExecRequest, HostMount } from '../../executor.js'
import { rootPath } from '../../ops/root-path.js'
import type { SshAgent } from '../../ssh-agent.js'

/** A secret's file: shown from memory, never written to a disk. */
export interface SecretFile {
  /** Absolute, without symlinks. */
  readonly target: string
  readonly node: TreeNode
}

/** A socket of ours that is shown in the root. */
export interface AgentSocket {
  /** Absolute, without symlinks. */
  readonly target: string
  /** Owner and mode. */
  readonly node: TreeNode
  readonly agent: SshAgent
}

/** A file system in memory, empty at first. */
export interface MemoryPlace {
  /** Absolute, without symlinks. */
  readonly target: string
  /** Owner and mode. */
  readonly node: TreeNode
  readonly size: number | undefined
}

export interface Places {
  /** The root with all places, secrets emptied. */
  readonly prepared: Tree
  readonly hosts: string
  readonly resolvConf: string
  /** Mounts that the run may not write to, secrets excepted. */
  readonly readonlyTargets: readonly string[]
  /** Mounts that the run may write to, and that are to be mount points for it. */
  readonly pointTargets: readonly string[]
  readonly hostMounts: readonly HostMount[]
  readonly secrets: readonly SecretFile[]
  readonly sockets: readonly AgentSocket[]
  readonly memory: readonly MemoryPlace[]
}

/**
 * @param owners  whether files may belong to others than root
 * @param isFile  whether a path of the host is a file
 * @throws BuildError RUN_FAILED when /dev or /proc of the root is something else than a directory
 */
export function findPlaces(
  tree: Tree,
  { mounts, hostMounts = [] }: Pick<ExecRequest, 'mounts' | 'hostMounts'>,
  owners: boolean,
  isFile: (path: string) => boolean,
): Places {
  const editor = new TreeEditor(tree)
  for (const path of ['dev', 'proc']) {
    const node = editor.lookup(path)
    if (node !== undefined && node.kind !== 'dir') throw notADirectory(path, node)
    makePlace(editor, path, 'dir')
  }
  const hosts = placeOfFile(editor, tree, 'etc/hosts')
  const resolvConf = placeOfFile(editor, tree, 'etc/resolv.conf')
  const secrets: SecretFile[] = []
  const sockets: AgentSocket[] = []
  const memory: MemoryPlace[] = []
  const readonlyTargets: string[] = []
  const pointTargets: string[] = []
  const readonlyPaths = mounts.filter((mount) => mount.readonly).map((mount) => rootPath(tree, mount.target))
  const isWithinReadOnly = (path: string): boolean =>
    readonlyPaths.some((above) => path.startsWith(`${above}/`))
  for (const { type, target, readonly, isPoint, agent, size } of mounts) {
    const path = rootPath(tree, target)
    const node = editor.lookup(path)
    if (type === 'secret' && node?.kind === 'file') {
      secrets.push({ target: `/${path}`, node: owners ? node : node.with({ uid: 0, gid: 0 }) })
      editor.put(path, new TreeNode({ kind: 'file' }))
      continue
    }
    if (agent !== undefined && node !== undefined) {
      sockets.push({ target: `/${path}`, node, agent })
      editor.put(path, new TreeNode({ kind: 'file' }))
      continue
    }
    if (type === 'tmpfs' && node !== undefined && isEmpty(node)) {
      memory.push({ target: `/${path}`, node, size })
    }
    // In a place that cannot be written to, one that can has to be mounted again.
    if (readonly) readonlyTargets.push(`/${path}`)
    else if (isPoint === true || isWithinReadOnly(path)) pointTargets.push(`/${path}`)
  }
  const shown = hostMounts.map((mount) => {
    const path = rootPath(tree, mount.target)
    const kind = isFile(mount.source) ? 'file' : 'dir'
    const node = editor.lookup(path)
    if (node === undefined ? !makePlace(editor, path, kind) : (node.kind === 'dir') !== (kind === 'dir')) {
      throw noRoom(mount)
    }
    return { ...mount, target: `/${path}` }
  })
  return {
    prepared: editor.finish(),
    hosts,
    resolvConf,
    readonlyTargets,
    pointTargets,
    hostMounts: shown,
    secrets,
    sockets,
    memory,
  }
}

/** One that holds something is a part of the root: another mount is in it, or an earlier command filled it. */
const isEmpty = (node: TreeNode): boolean => node.kind === 'dir' && (node.children?.size ?? 0) === 0

/** The real path of a file that is to be mounted on, made where it is missing; '' where the root has no room for it. */
function placeOfFile(editor: TreeEditor, tree: Tree, path: string): string {
  let real: string
  try {
    real = rootPath(tree, path)
  } catch {
    return ''
  }
  const node = editor.lookup(real)
  if (node === undefined) return makePlace(editor, real, 'file') ? `/${real}` : ''
  return node.kind === 'file' ? `/${real}` : ''
}

/** @returns whether there is a place now */
function makePlace(editor: TreeEditor, path: string, kind: 'dir' | 'file'): boolean {
  for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
    const node = editor.lookup(at)
    if (node !== undefined && node.kind !== 'dir') return false
  }
  const parts = splitPath(path)
  for (let depth = 1; depth <= parts.length; depth++) {
    const at = parts.slice(0, depth).join('/')
    if (editor.lookup(at) !== undefined) continue
    const isFile = depth === parts.length && kind === 'file'
    editor.put(at, isFile ? new TreeNode({ kind }) : new TreeNode({ kind: 'dir', children: childrenOf([]) }))
  }
  return true
}

function noRoom({ source, target }: HostMount): BuildError {
  return new BuildError('RUN_FAILED', `${source} cannot be mounted at ${target} of the root file system`, {
    data: { source, target },
  })
}

function notADirectory(path: string, node: TreeNode): BuildError {
  return new BuildError(
    'RUN_FAILED',
    `/${path} of the root file system is a ${node.kind}: nothing can be run in it`,
    {
      data: { path: `/${path}`, kind: node.kind },
    },
  )
}
