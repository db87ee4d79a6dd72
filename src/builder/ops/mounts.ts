// The mounts of a RUN as parts of its tree: what a mount shows is put where it is mounted, and taken out again afterwards,
// with every directory that was only made to mount on. What lies below a mount is never touched.
// @see moby/buildkit solver/llbsolver/mounts/mount.go, executor/stubs.go
import { BuildError } from '../../errors.js'
import { normalizePath, parentOf } from '../../path.js'
import { bytesSource, childrenOf, splitTime, TreeEditor, TreeNode, type Tree } from '../../unionfs/index.js'
import type { ExecMountSpec, SecretSpec } from '../key.js'
import type { CacheMounts } from './cache-mounts.js'
import { rootPath, sourceNotFound } from './root-path.js'

/** Bytes of a secret by its id; `undefined` when there is none. */
export type SecretSource = (id: string) => Uint8Array | undefined | Promise<Uint8Array | undefined>

export interface MountSources {
  readonly trees: readonly Tree[]
  readonly caches: CacheMounts
  readonly secrets: SecretSource
  readonly timeNs: bigint
}

interface Mounted {
  readonly spec: ExecMountSpec
  /** Where it is, symlinks followed. */
  readonly path: string
  /** What it hides. */
  readonly below: TreeNode | undefined
  /** Directories that were made for it, outermost first. */
  readonly stubs: readonly string[]
  readonly release: () => void
}

/** The mounts of one run, in place from `mount` to `unmount`. */
export class Mounts {
  private readonly mounted: Mounted[] = []

  constructor(
    private readonly specs: readonly ExecMountSpec[],
    private readonly sources: MountSources,
  ) {}

  /** What is really mounted: optional secrets that are absent are not. */
  get active(): readonly ExecMountSpec[] {
    return this.mounted.map(({ spec }) => spec)
  }

  /** @throws BuildError SOURCE_NOT_FOUND, EXECUTOR_CAPABILITY, OPTION_INVALID for a required secret that is absent */
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
      this.mounted.push({ spec, path, below, stubs, release: shown.release })
    }
    return editor.finish()
  }

  /** The tree without the mounts; what is in caches is kept for the next run. */
  async unmount(after: Tree): Promise<Tree> {
    const editor = new TreeEditor(after)
    for (const { spec, path, below, stubs } of this.mounted.toReversed()) {
      const content = after.lookup(path)
      if (spec.cache !== undefined && !spec.readonly && content !== undefined) {
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

  private async contentOf(
    spec: ExecMountSpec,
  ): Promise<{ readonly node: TreeNode; readonly release: () => void } | undefined> {
    const plain = (node: TreeNode): { node: TreeNode; release: () => void } => ({ node, release: () => {} })
    switch (spec.type) {
      case 'tmpfs':
        return plain(this.directory(0o1777))
      case 'bind':
        return plain(this.inputNode(spec))
      case 'cache': {
        const { id, sharing } = spec.cache!
        const release = sharing === 'locked' ? await this.sources.caches.lock(id) : () => {}
        const seed = (): TreeNode => (spec.input === -1 ? this.directory(0o755) : this.inputNode(spec))
        return { node: (await this.sources.caches.load(id)) ?? seed(), release }
      }
      case 'secret': {
        const node = await this.secretNode(spec.secret!)
        return node === undefined ? undefined : plain(node)
      }
      case 'ssh':
        if (spec.ssh!.optional) return undefined
        throw new BuildError('EXECUTOR_CAPABILITY', `no ssh agent is forwarded (id ${spec.ssh!.id})`, {
          data: { mount: 'ssh', id: spec.ssh!.id },
        })
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
    const { mode, uid, gid } = secret
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
