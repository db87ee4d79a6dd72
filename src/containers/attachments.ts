// What a container has mounted while it is open: volumes and host folders as views, and how they come into a root: live, as
// mounts of its view, or as parts of a tree for an executor that works on a copy.
import type { Executor } from '../builder/index.js'
import { ContainerError } from '../errors.js'
import { normalizePath, parentOf } from '../path.js'
import type { Store } from '../store/index.js'
import {
  applyChangeset,
  childrenOf,
  diffTrees,
  EMPTY_TREE,
  mountFolder,
  splitTime,
  Tree,
  TreeEditor,
  TreeNode,
  UnionView,
} from '../unionfs/index.js'
import type { ContainerMount } from './container.js'
import { acquireVolume } from './live-volume.js'
import { inMountOrder } from './mounts.js'
import { saveVolumeFolder, type VolumeFolder } from './save-volume.js'

/** A volume or tmpfs of an open container. */
export interface Attachment {
  readonly mount: Exclude<ContainerMount, { type: 'bind' }>
  /** What it shows. */
  readonly view: UnionView
  /** What a folder is told that shows it. */
  readonly about?: unknown
  /** Stores what has changed in its folder since somebody last did, and says what to note of it then. */
  saveFolder?(noted: unknown, tree: Tree): Promise<unknown>
  /** Takes over what sandboxes that run now have written. */
  refresh(): Promise<void>
  save(): Promise<void>
  release(): void
}

/**
 * Opens what a container mounts besides host folders, parents first.
 * @throws ContainerError VOLUME_NOT_FOUND
 */
export async function attach(store: Store, mounts: readonly ContainerMount[]): Promise<Attachment[]> {
  const attached: Attachment[] = []
  try {
    for (const mount of inMountOrder(mounts)) {
      if (mount.type !== 'bind') attached.push(await open(store, mount))
    }
  } catch (error) {
    for (const { release } of attached) release()
    throw error
  }
  return attached
}

async function open(store: Store, mount: Attachment['mount']): Promise<Attachment> {
  if (mount.type === 'tmpfs') {
    const { sizeBytes, mode = 0o1777 } = mount
    const root = new TreeNode({ kind: 'dir', mode, children: childrenOf([]) })
    return {
      mount,
      view: UnionView.open(new Tree(root), { sizeBytes }),
      refresh: async () => {},
      save: async () => {},
      release: () => {},
    }
  }
  const volume = await acquireVolume(store, mount.volume)
  return {
    mount,
    view: volume.view,
    get about() {
      return volume.about
    },
    async refresh() {
      const change = await volume.liveChange()
      if (change !== undefined) applyToView(volume.view, change.before, change.after)
    },
    // One that may not be written to has nothing of its own to save.
    save: async () => (mount.readOnly ? undefined : volume.save()),
    saveFolder: (noted, tree) => saveVolumeFolder(store, noted as VolumeFolder | undefined, tree),
    release: () => volume.release(),
  }
}

/** Everything that is mounted in a view. */
export interface MountedView {
  /** Writes what changed in host folders into them. */
  flush(): void
  end(): void
}

/**
 * Mounts everything in a view; the directories to mount on are made where they are missing, and stay, as with docker.
 * @throws ContainerError MOUNT_FAILED
 */
export async function mountAll(
  view: UnionView,
  mounts: readonly ContainerMount[],
  attached: readonly Attachment[],
): Promise<MountedView> {
  for (const attachment of attached) await attachment.refresh()
  const parts: MountedView[] = []
  const mounted: MountedView = {
    flush: () => parts.forEach((part) => part.flush()),
    end: () => parts.toReversed().forEach((part) => part.end()),
  }
  for (const mount of inMountOrder(mounts)) {
    try {
      parts.push(await mountOne(view, mount, attached))
    } catch (cause) {
      mounted.end()
      if (cause instanceof ContainerError) throw cause
      throw new ContainerError(
        'MOUNT_FAILED',
        `cannot mount at ${mount.target}: ${(cause as Error).message}`,
        {
          data: { target: mount.target },
          cause,
        },
      )
    }
  }
  return mounted
}

async function mountOne(
  view: UnionView,
  mount: ContainerMount,
  attached: readonly Attachment[],
): Promise<MountedView> {
  const { target, readOnly } = mount
  view.fs.mkdirSync(target, { recursive: true })
  if (mount.type !== 'bind') {
    const source = attached.find((attachment) => attachment.mount.target === target)!
    return { flush: () => {}, end: view.mount(target, source.view, { readOnly }) }
  }
  const host = await import('./host-folder.js')
  const folder = await mountFolder(view, target, host.requireFolder(mount.source), { readOnly })
  return { flush: () => (readOnly ? undefined : folder.flush()), end: () => folder.unmount() }
}

/** A volume as a folder that other containers have mounted as well. */
export interface SharedVolume {
  readonly source: string
  readonly target: string
  readonly readonly: boolean
  /** Takes over into the volume's view what is in the folder by then, and stores it. */
  close(): Promise<void>
}

/** Opens volumes as folders of an executor's. Those that were opened are closed again when one cannot be. */
export async function shareVolumes(
  attached: readonly Attachment[],
  openFolder: NonNullable<Executor['openFolder']>,
): Promise<SharedVolume[]> {
  const shared: SharedVolume[] = []
  try {
    for (const attachment of attached) {
      const volume = await shareVolume(attachment, openFolder)
      if (volume !== undefined) shared.push(volume)
    }
    return shared
  } catch (error) {
    for (const { close } of shared) await close()
    throw error
  }
}

async function shareVolume(
  { mount, view, save, saveFolder, about }: Attachment,
  openFolder: NonNullable<Executor['openFolder']>,
): Promise<SharedVolume | undefined> {
  const content = view.snapshot()
  const folder = await openFolder(mount.type === 'volume' ? mount.volume : mount.target, content, about)
  if (folder === undefined) return undefined
  const takeOver = async (tree: Tree, noted: unknown): Promise<unknown> => {
    applyToView(view, content, tree)
    await save()
    return saveFolder?.(noted, tree)
  }
  return {
    source: folder.path,
    target: mount.target,
    readonly: mount.readOnly,
    close: () => folder.close(mount.readOnly ? undefined : takeOver),
  }
}

/** A root with a directory for each target, made as for `graft`. @throws ContainerError MOUNT_FAILED */
export function withTargets(root: Tree, targets: readonly string[], nowNs: bigint): Tree {
  return targets.reduce((tree, target) => ensureDirectory(tree, target, nowNs).tree, root)
}

interface Graft {
  readonly attachment: Attachment
  /** Without symlinks. */
  readonly path: string
  readonly content: Tree
  /** What the mount hides, or the directory that was made to mount on: that stays, as with docker. */
  readonly hidden: TreeNode
}

/** A root with mounts as parts of its tree, and the way back. */
export interface GraftedRoot {
  readonly tree: Tree
  /** Where the mounts are, symlinks followed. */
  readonly targets: readonly { readonly mount: Attachment['mount']; readonly path: string }[]
  /** Parts a run's tree again: what is in mounts goes to their views. @returns the root without the mounts */
  part(after: Tree): Tree
}

/** @throws ContainerError MOUNT_FAILED when a target cannot be a directory */
export function graft(root: Tree, attached: readonly Attachment[], nowNs: bigint): GraftedRoot {
  let tree = root
  const grafts: Graft[] = []
  for (const attachment of attached) {
    const place = ensureDirectory(tree, attachment.mount.target, nowNs)
    const content = attachment.view.snapshot()
    grafts.push({ attachment, path: place.path, content, hidden: place.tree.lookup(place.path)! })
    tree = withNode(place.tree, place.path, content.root)
  }
  return {
    tree,
    targets: grafts.map(({ attachment: { mount }, path }) => ({ mount, path: `/${path}` })),
    // The innermost first, so that each is taken out of what is around it.
    part: (after) => grafts.toReversed().reduce(takeOut, after),
  }
}

function takeOut(root: Tree, { attachment, path, content, hidden }: Graft): Tree {
  const node = root.lookup(path)
  if (node?.kind === 'dir' && !attachment.mount.readOnly && node !== content.root) {
    applyToView(attachment.view, content, new Tree(node))
  }
  return withNode(root, path, hidden)
}

function withNode(tree: Tree, path: string, node: TreeNode): Tree {
  const editor = new TreeEditor(tree)
  editor.replace(path, node)
  return editor.finish()
}

/** The directory at a path, made with its parents where it is missing. */
function ensureDirectory(tree: Tree, target: string, nowNs: bigint): { path: string; tree: Tree } {
  const found = tree.resolve(target)
  if (found?.node.kind === 'dir') return { path: found.path, tree }
  const clean = normalizePath(target)
  const parent = found === undefined && clean !== '' ? parentOf(clean) : undefined
  if (parent === undefined || tree.resolve(`/${clean}`, { followLast: false }) !== undefined) {
    throw new ContainerError('MOUNT_FAILED', `cannot mount at ${target}: it is not a directory`, {
      data: { target },
    })
  }
  const above = ensureDirectory(tree, `/${parent}`, nowNs)
  const name = clean.slice(parent === '' ? 0 : parent.length + 1)
  const path = above.path === '' ? name : `${above.path}/${name}`
  const editor = new TreeEditor(above.tree)
  editor.put(path, new TreeNode({ kind: 'dir', mode: 0o755, ...splitTime(nowNs), children: childrenOf([]) }))
  return { path, tree: editor.finish() }
}

/**
 * Does to a view what turned `before` into `after`. The view may have moved on meanwhile: then only these changes are
 * added to it, and of two that changed one path the later wins.
 */
export function applyToView(view: UnionView, before: Tree, after: Tree): void {
  const now = view.snapshot()
  const goal = now.root === before.root ? after : applyChangeset(now, diffTrees(before, after))
  for (const change of diffTrees(now, goal)) applyChange(view, goal, change)
  // Directories' times last: what was made in them has moved them.
  for (const change of diffTrees(view.snapshot(), goal).toReversed()) {
    if (change.kind === 'put') setMeta(view, change.path, change.node)
  }
}

function applyChange(view: UnionView, goal: Tree, change: ReturnType<typeof diffTrees>[number]): void {
  const { fs } = view
  const path = `/${change.path}`
  switch (change.kind) {
    case 'delete':
      fs.rmSync(path, { recursive: true, force: true })
      return
    case 'opaque':
      for (const name of fs.readdirSync(path)) fs.rmSync(`${path}/${name}`, { recursive: true, force: true })
      return
    case 'link':
      fs.rmSync(path, { recursive: true, force: true })
      fs.linkSync(`/${change.target}`, path)
      return
    case 'put':
      putNode(view, path, change.node)
      setMeta(view, change.path, goal.lookup(change.path) ?? change.node)
  }
}

function putNode(view: UnionView, path: string, node: TreeNode): void {
  const { fs } = view
  const stat = fs.lstatSync(path, { throwIfNoEntry: false })
  if (node.kind === 'dir') {
    if (stat?.isDirectory() === true) return
    if (stat !== undefined) fs.rmSync(path)
    fs.mkdirSync(path)
    return
  }
  if (stat !== undefined && !(node.kind === 'file' && stat.isFile() && stat.nlink === 1)) {
    fs.rmSync(path, { recursive: true })
  }
  if (node.kind === 'file') writeFile(view, path, node)
  else if (node.kind === 'symlink') fs.symlinkSync(node.target, path)
  else view.mknod(path, node.kind, { rdev: node.rdev })
}

const CHUNK_BYTES = 1 << 20

function writeFile({ fs }: UnionView, path: string, node: TreeNode): void {
  const fd = fs.openSync(path, 'w')
  try {
    for (let at = 0; at < node.size; at += CHUNK_BYTES) {
      fs.writeSync(fd, node.source!.read(node.offset + at, Math.min(CHUNK_BYTES, node.size - at)))
    }
  } finally {
    fs.closeSync(fd)
  }
}

function setMeta(view: UnionView, path: string, node: TreeNode): void {
  const at = `/${path}`
  const { fs } = view
  const time = Number(node.mtimeSec) + node.mtimeNsec / 1e9
  fs.lchownSync(at, node.uid, node.gid)
  for (const name of view.listxattr(at, { followLast: false })) {
    if (node.xattrs?.has(name) !== true) view.removexattr(at, name, { followLast: false })
  }
  for (const [name, value] of node.xattrs ?? []) view.setxattr(at, name, value, { followLast: false })
  if (node.kind === 'symlink') fs.lutimesSync(at, time, time)
  else {
    fs.chmodSync(at, node.mode)
    fs.utimesSync(at, time, time)
  }
}

/** A root without anything, over which another view can be mounted. */
export function emptyView(): UnionView {
  return UnionView.open(EMPTY_TREE)
}
