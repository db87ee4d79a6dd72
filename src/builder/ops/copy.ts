// Copying between trees as COPY and ADD do it: nodes are made anew, content is shared and never read. Pure.
// @see tonistiigi/fsutil copy/copy.go and copy_unix.go
import { joinPath, normalizePath, parentOf, baseNameOf } from '../../path.js'
import { TreeNode, childrenOf, type NodeInit, type Tree, type TreeEditor } from '../../unionfs/index.js'
import { createIgnoreMatcher, type IgnoreMatcher, type ParentMatch } from '../dockerfile/index.js'
import { applyModeChange, type ModeChange } from './chmod.js'
import type { Owner } from './owner.js'
import { conflict, notDirectory, rootPath, rootPathOfLink, sourceNotFound } from './root-path.js'

/** A moment in the form of a node's fields. */
export interface NodeTime {
  readonly mtimeSec: number
  readonly mtimeNsec: number
}

export interface CopyOptions {
  /** `undefined` keeps the source's owner; parents that are made get it or root. */
  readonly owner: Owner | undefined
  /** Octal --chmod; also the mode of parents that are made. */
  readonly mode: number | undefined
  /** Symbolic --chmod. */
  readonly modeChange: ModeChange | undefined
  readonly followSymlink: boolean
  readonly dirCopyContents: boolean
  readonly includePatterns: readonly string[]
  readonly excludePatterns: readonly string[]
  /** Time of everything that is copied or made: SOURCE_DATE_EPOCH. `undefined` keeps the source's times. */
  readonly time: NodeTime | undefined
  /** The clock: time of parents that are made and of directories whose entries change. */
  readonly now: NodeTime
}

const PARENT_MODE = 0o755
const SET_GID = 0o2000

/** A tree under edit as a kernel would keep it: a directory's mtime moves when an entry comes or goes. */
export class EditedTree {
  private readonly touched = new Set<string>()

  constructor(
    private readonly editor: TreeEditor,
    readonly now: NodeTime,
  ) {}

  lookup(path: string): TreeNode | undefined {
    return this.editor.lookup(path)
  }

  /** Puts a new inode at a path, replacing what is there. */
  create(path: string, node: TreeNode): void {
    this.editor.put(path, node)
    this.touched.add(parentOf(path))
    if (node.kind === 'dir') this.touched.delete(path)
  }

  /** Makes a path a further name of a file. */
  link(path: string, target: string): void {
    this.editor.link(path, target)
    this.touched.add(parentOf(path))
  }

  /** Sets metadata of what is at a path; times that it sets last until an entry changes again. */
  change(path: string, init: Partial<NodeInit>): void {
    const node = this.editor.lookup(path)
    if (node === undefined) return
    this.editor.put(path, node.with(init))
    if (init.mtimeSec !== undefined) this.touched.delete(path)
  }

  remove(path: string): void {
    this.editor.remove(path)
    this.touched.add(parentOf(path))
  }

  finish(): Tree {
    for (const path of this.touched) {
      const node = this.editor.lookup(path)
      if (node?.kind === 'dir') this.editor.put(path, node.with(this.now))
    }
    this.touched.clear()
    return this.editor.finish()
  }
}

/**
 * Makes a directory and its missing parents.
 * @returns what was made, outermost first
 * @throws BuildError COPY_CONFLICT when something else stands there
 * @see tonistiigi/fsutil copy/mkdir.go
 */
export function makeDirectories(
  tree: EditedTree,
  path: string,
  options: { readonly mode: number; readonly owner: Owner | undefined; readonly time: NodeTime | undefined },
): string[] {
  const made: string[] = []
  const missing: string[] = []
  for (let at = path; ; at = parentOf(at)) {
    const node = tree.lookup(at)
    if (node?.kind === 'dir') break
    if (node !== undefined) throw notDirectory('mkdir', at)
    missing.push(at)
  }
  for (const at of missing.toReversed()) {
    const { owner, time } = options
    // As the kernel has it: what is made in a set-gid directory has its group and, as a directory, its bit.
    const above = tree.lookup(parentOf(at))!
    const inherited = (above.mode & SET_GID) === 0 ? {} : { gid: above.gid }
    const mode = options.mode | (above.mode & SET_GID)
    tree.create(
      at,
      new TreeNode({
        kind: 'dir',
        mode,
        ...inherited,
        ...owner,
        ...(time ?? tree.now),
        children: childrenOf([]),
      }),
    )
    made.push(at)
  }
  return made
}

/**
 * Copies `src` of the source tree to `dest`. A directory's contents are merged into `dest`; a file goes into `dest`
 * when that is a directory or is written with a trailing slash, else it becomes `dest`.
 *
 * @param src   no wildcards; relative to the source's root
 * @param dest  absolute, trailing `/` or `/.` kept
 * @throws BuildError SOURCE_NOT_FOUND, COPY_CONFLICT; the tree is then of no use
 */
export function copyPath(
  source: Tree,
  src: string,
  tree: EditedTree,
  dest: string,
  options: CopyOptions,
): void {
  const made: string[] = []
  const make = (path: string): void => {
    // The umask of a daemon takes the write bits of others.
    const mode = options.mode === undefined ? PARENT_MODE : options.mode & PARENT_MODE
    made.push(...makeDirectories(tree, path, { mode, owner: options.owner, time: options.time }))
  }
  const name = dest.slice(dest.lastIndexOf('/') + 1)
  make(rootPath(tree, name === '' || name === '.' ? dest : dest.slice(0, -name.length)))

  const from = options.followSymlink ? rootPath(source, src) : rootPathOfLink(source, src)
  const node = source.lookup(from)
  if (node === undefined) throw sourceNotFound(from)
  let target = rootPath(tree, dest)
  const there = tree.lookup(target)
  if (node.kind === 'dir' ? !options.dirCopyContents && there !== undefined : there?.kind === 'dir') {
    target = joinPath(target, baseNameOf(normalizePath(src)))
  }
  make(node.kind === 'dir' && options.dirCopyContents && there === undefined ? target : parentOf(target))

  new Copier(tree, options).copyTop(node, target)
  // Filling a parent moves its time; a fixed time is set again.
  if (options.time !== undefined) for (const path of made) tree.change(path, options.time)
}

/** A directory on the way down: made only once something below it is to be copied. */
interface PendingDirectory {
  readonly node: TreeNode
  readonly path: string
  made: boolean
}

class Copier {
  private readonly include: IgnoreMatcher | undefined
  private readonly exclude: IgnoreMatcher | undefined
  private readonly pending: PendingDirectory[] = []
  /** First copy of every hard-linked source file. */
  private readonly links = new Map<TreeNode, string>()

  constructor(
    private readonly tree: EditedTree,
    private readonly options: CopyOptions,
  ) {
    const matcher = (patterns: readonly string[]): IgnoreMatcher | undefined =>
      patterns.length === 0 ? undefined : createIgnoreMatcher(patterns)
    this.include = matcher(options.includePatterns)
    this.exclude = matcher(options.excludePatterns)
  }

  /** The source itself: neither patterns nor, for a directory, mode and owner apply to it, only its time. */
  copyTop(node: TreeNode, target: string): void {
    if (node.kind !== 'dir') {
      this.copyLeaf(node, target)
      return
    }
    const existed = this.tree.lookup(target)
    this.enter(node, target, true, false)
    this.copyEntries(node, '', target, undefined, undefined)
    this.pending.pop()
    if (existed === undefined) this.tree.change(target, this.info(node))
    else this.tree.change(target, this.timeOf(node))
  }

  private copyEntries(
    directory: TreeNode,
    at: string,
    target: string,
    included: ParentMatch | undefined,
    excluded: ParentMatch | undefined,
  ): void {
    const { children } = directory
    if (children === undefined) return
    // What is left out may still be looked up where it would go.
    const there = this.tree.lookup(target)
    const isBlocked = there !== undefined && there.kind !== 'dir'
    for (const name of children.names()) {
      if (isBlocked) throw notDirectory('lstat', joinPath(target, name))
      const node = children.get(name)!
      const path = joinPath(at, name)
      const inMatch = this.include?.matchesUsingParent(path, included)
      const exMatch = this.exclude?.matchesUsingParent(path, excluded)
      const wanted = inMatch?.matched !== false && exMatch?.matched !== true
      const to = joinPath(target, name)
      if (node.kind === 'dir') this.copyDirectory(node, path, to, wanted, inMatch?.state, exMatch?.state)
      else if (wanted) {
        this.makePending()
        this.copyLeaf(node, to)
      }
    }
  }

  private copyDirectory(
    node: TreeNode,
    at: string,
    target: string,
    wanted: boolean,
    included: ParentMatch | undefined,
    excluded: ParentMatch | undefined,
  ): void {
    if (wanted) this.makePending()
    this.enter(node, target, wanted, true)
    this.copyEntries(node, at, target, included, excluded)
    this.pending.pop()
    if (wanted) this.tree.change(target, this.info(node))
  }

  private enter(node: TreeNode, target: string, wanted: boolean, overwrite: boolean): void {
    const entry = { node, path: target, made: false }
    if (wanted) this.make(entry, overwrite)
    this.pending.push(entry)
  }

  /** Makes the directories on the way to something that is copied, with their source's metadata. */
  private makePending(): void {
    for (const entry of this.pending) if (!entry.made) this.make(entry, true)
  }

  private make(entry: PendingDirectory, overwrite: boolean): void {
    const there = this.tree.lookup(entry.path)
    if (there === undefined) {
      const { node } = entry
      this.tree.create(
        entry.path,
        new TreeNode({ kind: 'dir', children: childrenOf([]), ...this.info(node) }),
      )
    } else if (there.kind !== 'dir')
      throw conflict(`cannot copy to non-directory: /${entry.path}`, entry.path)
    else if (overwrite) this.tree.change(entry.path, { mode: entry.node.mode })
    entry.made = true
  }

  private copyLeaf(node: TreeNode, target: string): void {
    if (this.tree.lookup(target)?.kind === 'dir') {
      throw conflict(`cannot replace to directory /${target} with file`, target)
    }
    const first = node.nlink > 1 ? this.links.get(node) : undefined
    if (first !== undefined) {
      this.tree.link(target, first)
      return
    }
    const copy = new TreeNode({ ...shape(node), ...this.info(node) })
    copy.contentSha256 = node.contentSha256
    this.tree.create(target, copy)
    if (node.nlink > 1) this.links.set(node, target)
  }

  /** Mode, owner, times and attributes of a copy. */
  private info(node: TreeNode): Partial<NodeInit> {
    const { owner, mode, modeChange } = this.options
    const isLink = node.kind === 'symlink'
    return {
      mode: isLink
        ? node.mode
        : modeChange !== undefined
          ? applyModeChange(modeChange, node.mode, node.kind === 'dir')
          : (mode ?? node.mode),
      uid: owner?.uid ?? node.uid,
      gid: owner?.gid ?? node.gid,
      ...this.timeOf(node),
      ...(node.xattrs === undefined ? undefined : { xattrs: node.xattrs }),
    }
  }

  private timeOf(node: TreeNode): NodeTime {
    return this.options.time ?? { mtimeSec: node.mtimeSec, mtimeNsec: node.mtimeNsec }
  }
}

/** What makes a node this file, link or device: everything but metadata and identity. */
function shape(node: TreeNode): NodeInit {
  const { kind, size, source, offset, target } = node
  return { kind, size, source, offset, target }
}
