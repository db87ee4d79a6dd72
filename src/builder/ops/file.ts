// Carrying out the file operation: copy, mkdir and mkfile over trees. Content is never read for a copy; only archives of ADD are.
// @see moby/buildkit solver/llbsolver/ops/file.go, solver/llbsolver/file/backend.go
import { BuildError, throwIfAborted } from '../../errors.js'
import { joinPath, normalizePath, splitPath } from '../../path.js'
import { bytesSource, EMPTY_TREE, splitTime, Tree, TreeEditor, TreeNode } from '../../unionfs/index.js'
import { storedResult } from '../cache.js'
import { hostSourceOf } from '../context.js'
import { commitFolderCopy, type FolderCopy } from '../folder-copy.js'
import type { HostScan } from '../host-scan.js'
import { fileOpDigest, type CopyAction, type FileAction, type MkfileAction, type OwnerSpec } from '../key.js'
import type { FileDefinition } from '../op-factory.js'
import type { Result, RunContext } from '../vertex.js'
import { parseModeChange } from './chmod.js'
import { copyPath, EditedTree, makeDirectories, type CopyOptions, type NodeTime } from './copy.js'
import { resolveOwner, ROOT_OWNER, type Owner } from './owner.js'
import { addLayer, EMPTY_RESULT, keepLayer, type OpServices } from './result.js'
import { conflict, rootPath, sourceNotFound } from './root-path.js'
import { unpackArchive } from './unpack.js'
import { containsWildcards, requireSent, resolveWildcards } from './wildcard.js'

/** One run of the operation that file-op.ts describes. */
export class FileRun {
  constructor(
    private readonly definition: FileDefinition,
    private readonly services: OpServices,
  ) {}

  /** @throws BuildError without a place in the file */
  async run(inputs: readonly Result[], context: RunContext): Promise<Result> {
    const { services } = this
    const trees = await Promise.all(inputs.map((input) => input.tree()))
    const first = this.definition.actions[0]!.input
    const base = first === -1 ? EMPTY_RESULT : inputs[first]!
    const lower = first === -1 ? EMPTY_TREE : trees[first]!
    const copy = folderCopyOf(this.definition, inputs, lower)
    if (copy === undefined) return addLayer(services, base, lower, await this.apply(trees, context))
    const commit = () =>
      commitFolderCopy(services.store, lower, copy, (source) =>
        this.apply(trees.with(this.definition.actions[0]!.secondaryInput, source), context),
      )
    return storedResult(services.store, [...base.layers, await keepLayer(services, commit)])
  }

  /** The tree after all actions. */
  private async apply(inputs: readonly Tree[], context: RunContext): Promise<Tree> {
    const { actions, inputCount, folders } = this.definition
    const trees: (Tree | undefined)[] = [...inputs]
    for (const [i, tree] of inputs.entries()) {
      if (folders.has(i) || tree.root.mtimeSec === 0)
        trees[i] = withoutRootTime(tree, this.services.env.now())
    }
    let current: Tree = EMPTY_TREE
    for (const [i, placed] of actions.entries()) {
      throwIfAborted(context.signal)
      const before = placed.input === -1 ? EMPTY_TREE : trees[placed.input]!
      const source = placed.secondaryInput === -1 ? undefined : trees[placed.secondaryInput]
      const time = splitTime(this.services.env.now())
      const tree = new EditedTree(new TreeEditor(before), time)
      const accounts = (owner: OwnerSpec | undefined): Owner | undefined =>
        owner === undefined ? undefined : resolveOwner(owner, accountsOf(owner, trees))
      await applyAction(placed.action, tree, source, accounts, folders.get(placed.secondaryInput))
      current = tree.finish()
      trees[inputCount + i] = current
    }
    return current
  }
}

/** The operation as a copy of a host folder's directory onto layers, when it is no more than that. */
function folderCopyOf(
  { actions, inputCount, folders }: FileDefinition,
  inputs: readonly Result[],
  lower: Tree,
): FolderCopy | undefined {
  const [placed, ...others] = actions
  const { action, input, secondaryInput } = placed!
  if (others.length > 0 || action.kind !== 'copy' || !folders.has(secondaryInput)) return undefined
  const source = hostSourceOf(inputs[secondaryInput]!)
  const layers = input === -1 ? [] : inputs[input]!.layers
  if (source === undefined || (input !== -1 && layers.length === 0)) return undefined
  const { owner, includePatterns, excludePatterns } = action
  const isPlain = action.dirCopyContents && !includePatterns?.length && !excludePatterns?.length
  const isOwnedByBase = [owner?.user, owner?.group].every(
    (part) => part === undefined || 'id' in part || part.input === input,
  )
  const trail = isPlain && isOwnedByBase ? trailOf(source.scan, action.src) : undefined
  const target = trail && targetOf(lower, action.dest)
  if (trail === undefined || target === undefined) return undefined
  const diffIDs = layers.map(({ diffID }) => diffID)
  const identity = [fileOpDigest(actions, inputCount), action.src, source.base, ...diffIDs].join('\0')
  return { source, trail, target, identity }
}

/** The entries of a path on which there are only directories. */
function trailOf(scan: HostScan, path: string): number[] | undefined {
  if (containsWildcards(path)) return undefined
  const trail: number[] = []
  for (const name of splitPath(path)) {
    const entry = scan.child(trail.at(-1) ?? scan.root, name)
    if (entry === undefined || scan.kind(entry) !== 'dir') return undefined
    trail.push(entry)
  }
  return trail
}

/** `undefined` where the copy will fail; it says so better. */
function targetOf(lower: Tree, dest: string): string | undefined {
  try {
    return rootPath(lower, dest)
  } catch (error) {
    if (error instanceof BuildError) return undefined
    throw error
  }
}

/**
 * A folder's own time says nothing about what is in it and differs between two checkouts; the root of layers that hold
 * none has the time at which it was made.
 */
function withoutRootTime(tree: Tree, timeNs: bigint): Tree {
  return new Tree(tree.root.with(splitTime(timeNs)))
}

function accountsOf(owner: OwnerSpec, trees: readonly (Tree | undefined)[]): Tree | undefined {
  for (const part of [owner.user, owner.group]) {
    if (part !== undefined && 'name' in part) return part.input === -1 ? undefined : trees[part.input]
  }
  return undefined
}

type Accounts = (owner: OwnerSpec | undefined) => Owner | undefined

async function applyAction(
  action: FileAction,
  tree: EditedTree,
  source: Tree | undefined,
  accounts: Accounts,
  sent: ReadonlySet<string> | undefined,
): Promise<void> {
  const time = action.timestampNs === -1n ? undefined : splitTime(action.timestampNs)
  switch (action.kind) {
    case 'mkdir': {
      const path = rootPath(tree, action.path)
      const options = { mode: action.mode & 0o777, owner: accounts(action.owner), time }
      if (action.makeParents) return void makeDirectories(tree, path, options)
      if (tree.lookup(path) === undefined) makeDirectories(tree, path, options)
      return
    }
    case 'mkfile':
      return makeFile(tree, action, accounts(action.owner) ?? ROOT_OWNER, time)
    case 'copy':
      return copyAction(action, tree, source ?? EMPTY_TREE, accounts(action.owner), time, sent)
  }
}

function makeFile(tree: EditedTree, action: MkfileAction, owner: Owner, time: NodeTime | undefined): void {
  const path = rootPath(tree, action.path)
  const there = tree.lookup(path)
  if (path === '' || there?.kind === 'dir') throw conflict(`open /${path}: is a directory`, path)
  const { data } = action
  const content = data.byteLength === 0 ? undefined : bytesSource(data)
  tree.create(
    path,
    new TreeNode({
      kind: 'file',
      mode: action.mode & 0o777,
      ...owner,
      ...(time ?? tree.now),
      size: data.byteLength,
      source: content,
    }),
  )
}

async function copyAction(
  action: CopyAction,
  tree: EditedTree,
  source: Tree,
  owner: Owner | undefined,
  time: NodeTime | undefined,
  sent: ReadonlySet<string> | undefined,
): Promise<void> {
  const modeChange = action.modeStr === undefined ? undefined : parseModeChange(action.modeStr)
  const options: CopyOptions = {
    owner,
    mode: action.mode === -1 ? undefined : action.mode,
    modeChange,
    followSymlink: action.followSymlink,
    dirCopyContents: action.dirCopyContents,
    includePatterns: action.includePatterns ?? [],
    excludePatterns: action.excludePatterns ?? [],
    time,
    now: tree.now,
  }
  requireIncluded(action, source)
  const paths = action.allowWildcard
    ? resolveWildcards(source, action.src, action.followSymlink)
    : [normalizePath(action.src)]
  if (paths.length === 0 && sent !== undefined) requireSent(source, action.src, sent)
  for (const path of paths) {
    if (action.attemptUnpack && (await unpackArchive(source, path, tree, action.dest, { owner, time })))
      continue
    copyPath(source, path, tree, action.dest, options)
  }
}

/** `--parents` of a path without wildcards: it must be there, though it is only a filter. */
function requireIncluded(action: CopyAction, source: Tree): void {
  if (containsWildcards(action.src)) return
  for (const pattern of action.includePatterns ?? []) {
    if (containsWildcards(pattern)) continue
    const base = rootPath(source, action.src)
    const path = joinPath(base, normalizePath(pattern))
    if (source.lookup(path) === undefined) throw sourceNotFound(normalizePath(`${action.src}/${pattern}`))
  }
}
