// The mounts of a RUN as parts of its tree: what a mount shows is put where it is mounted, and taken out again afterwards,
// with every directory that was only made to mount on. What lies below a mount is never touched.
// @see moby/buildkit solver/llbsolver/mounts/mount.go, executor/stubs.go
import { BuildError } from '../../errors.js'
import { normalizePath, parentOf } from '../../path.js'
import { bytesSource, childrenOf, splitTime, TreeEditor, TreeNode, type Tree } from '../../unionfs/index.js'
import type { ExecMountSpec, SecretSpec } from '../key.js'
import type { CacheMounts } from './cache-mounts.js'
import { requireAgent, type SshAgent, type SshSource } from '../ssh-agent.js'
import { rootPath, sourceNotFound } from './root-path.js'

/** Bytes of a secret by its id; `undefined` when there is none. */
export type SecretSource = (id: string) => Uint8Array | undefined | Promise<Uint8Array | undefined>

export interface MountSources {
  readonly trees: readonly Tree[]
  readonly caches: CacheMounts
  readonly secrets: SecretSource
  readonly ssh: SshSource
  /** Text of /etc/hosts; `undefined` leaves it to the root or the executor. */
  readonly hosts: string | undefined
  readonly timeNs: bigint
}

interface Mounted {
  readonly spec: ExecMountSpec | undefined
  /** Where it is, symlinks followed. */
  readonly path: string
  /** What it hides. */
  readonly below: TreeNode | undefined
  /** Directories that were made for it, outermost first. */
  readonly stubs: readonly string[]
  readonly agent: SshAgent | undefined
  readonly release: () => void
}

interface Content {
  readonly node: TreeNode
  readonly agent?: SshAgent
  readonly release?: () => void
}

/** The mounts of one run, in place from `mount` to `unmount`. */
export class Mounts {
  private readonly mounted: (Mounted & { readonly spec: ExecMountSpec })[] = []
  private hosts: Mounted | undefined

  constructor(
    private readonly specs: readonly ExecMountSpec[],
    private readonly sources: MountSources,
  ) {}

  /** What is really mounted: optional secrets and agents that are absent are not. */
  get active(): readonly { readonly spec: ExecMountSpec; readonly agent: SshAgent | undefined }[] {
    return this.mounted
  }

  /** @throws BuildError SOURCE_NOT_FOUND, OPTION_INVALID for a required secret or agent that is absent */
  async mount(root: Tree): Promise<Tree> {
    const editor = new TreeEditor(root)
    for (const spec of this.specs) {
      if (spec.dest === '/') continue
      const shown = await this.contentOf(spec)
      if (shown === undefined) continue
      const path = rootPath(editor, spec.dest)
      const below = editor.lookup(path)
      const stubs = this.makeStubs(editor, parentOf(path))
      editor.replace(path, shown.node)
      const { agent, release = () => {} } = shown
      this.mounted.push({ spec, path, below, stubs, agent, release })
    }
    if (this.sources.hosts !== undefined) this.showHosts(editor, this.sources.hosts)
    return editor.finish()
  }

  /** For executors that have none of their own; where the root has no room for it, there is none. */
  private showHosts(editor: TreeEditor, text: string): void {
    const path = pathOfHosts(editor)
    const below = path === undefined ? undefined : editor.lookup(path)
    if (path === undefined || (below !== undefined && below.kind !== 'file')) return
    const stubs = this.makeStubs(editor, parentOf(path))
    editor.replace(path, this.file(new TextEncoder().encode(text), { mode: 0o644, uid: 0, gid: 0 }))
    this.hosts = { path, below, stubs, spec: undefined, agent: undefined, release: () => {} }
  }

  /** The tree without the mounts; what is in caches is kept for the next run. */
  async unmount(after: Tree): Promise<Tree> {
    const editor = new TreeEditor(after)
    const all = this.hosts === undefined ? this.mounted : [...this.mounted, this.hosts]
    for (const { spec, path, below, stubs } of all.toReversed()) {
      const content = after.lookup(path)
      if (spec?.cache !== undefined && !spec.readonly && content !== undefined) {
        await this.sources.caches.save(spec.cache.id, content)
      }
      if (below === undefined) editor.remove(path)
      else editor.replace(path, below)
      for (const stub of stubs.toReversed()) {
        if (editor.names(stub).next().done === true) editor.remove(stub)
        else break
      }
    }
    return editor.finish()
  }

  release(): void {
    for (const { release } of this.mounted) release()
  }

  private makeStubs(editor: TreeEditor, path: string): string[] {
    const made: string[] = []
    for (let at = path; editor.lookup(at) === undefined; at = parentOf(at)) made.unshift(at)
    for (const at of made) editor.put(at, this.directory(0o755))
    return made
  }

  private directory(mode: number): TreeNode {
    return new TreeNode({ kind: 'dir', mode, ...splitTime(this.sources.timeNs), children: childrenOf([]) })
  }

  private async contentOf(spec: ExecMountSpec): Promise<Content | undefined> {
    switch (spec.type) {
      case 'tmpfs':
        return { node: this.directory(0o1777) }
      case 'bind':
        return { node: this.inputNode(spec) }
      case 'cache': {
        const { id, sharing } = spec.cache!
        const release = sharing === 'locked' ? await this.sources.caches.lock(id) : () => {}
        const seed = (): TreeNode => (spec.input === -1 ? this.directory(0o755) : this.inputNode(spec))
        return { node: (await this.sources.caches.load(id)) ?? seed(), release }
      }
      case 'secret': {
        const node = await this.secretNode(spec.secret!)
        return node && { node }
      }
      case 'ssh': {
        const { id, optional, mode, uid, gid } = spec.ssh!
        const agent = await requireAgent(this.sources.ssh, id || 'default', optional)
        const time = splitTime(this.sources.timeNs)
        return agent && { node: new TreeNode({ kind: 'socket', mode, uid, gid, ...time }), agent }
      }
    }
  }

  private inputNode(spec: ExecMountSpec): TreeNode {
    const selector = normalizePath(spec.selector ?? '/')
    const tree = spec.input === -1 ? undefined : this.sources.trees[spec.input]
    const node = tree?.lookup(rootPath(tree, selector))
    if (node !== undefined) return node
    if (tree === undefined && selector === '') return this.directory(0o755)
    throw sourceNotFound(selector)
  }

  private async secretNode(secret: SecretSpec): Promise<TreeNode | undefined> {
    const bytes = await requireSecret(this.sources.secrets, secret.id, secret.optional)
    if (bytes === undefined) return undefined
    return this.file(bytes, secret)
  }

  private file(
    bytes: Uint8Array,
    { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
  ): TreeNode {
    return new TreeNode({
      kind: 'file',
      mode,
      uid,
      gid,
      ...splitTime(this.sources.timeNs),
      size: bytes.byteLength,
      source: bytes.byteLength === 0 ? undefined : bytesSource(bytes),
    })
  }
}

function pathOfHosts(editor: TreeEditor): string | undefined {
  try {
    return rootPath(editor, '/etc/hosts')
  } catch {
    return undefined
  }
}

/** @throws BuildError OPTION_INVALID when a required one is absent */
export async function requireSecret(
  secrets: SecretSource,
  id: string,
  optional: boolean,
): Promise<Uint8Array | undefined> {
  const bytes = await secrets(id)
  if (bytes !== undefined || optional) return bytes
  throw new BuildError('OPTION_INVALID', `secret ${id}: not found`, { data: { option: 'secret', id } })
}
