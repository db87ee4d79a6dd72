// The file operation: copy, mkdir and mkfile over trees. Content is never read for a copy; only archives of ADD are.
// @see moby/buildkit solver/llbsolver/ops/file.go, solver/llbsolver/file/backend.go
import { digestOf } from '../../digest.js'
import { BuildError, throwIfAborted } from '../../errors.js'
import { baseNameOf, joinPath, normalizePath, splitPath } from '../../path.js'
import { bytesSource, EMPTY_TREE, splitTime, Tree, TreeEditor, TreeNode } from '../../unionfs/index.js'
import { storedResult } from '../cache.js'
import { contentKeyOf, type ContentSelector } from '../contenthash.js'
import { hostSourceOf } from '../context.js'
import { commitFolderCopy, type FolderCopy } from '../folder-copy.js'
import type { HostScan } from '../host-scan.js'
import {
  fileOpDigest,
  fileSelector,
  type CopyAction,
  type FileAction,
  type MkfileAction,
  type OwnerSpec,
} from '../key.js'
import type { FileDefinition } from '../op-factory.js'
import type { CacheDep, CacheMap, Op, Result, RunContext } from '../vertex.js'
import { parseModeChange } from './chmod.js'
import { copyPath, EditedTree, makeDirectories, type CopyOptions, type NodeTime } from './copy.js'
import { resolveOwner, ROOT_OWNER, type Owner } from './owner.js'
import { addLayer, EMPTY_RESULT, keepLayer, type OpServices } from './result.js'
import { conflict, rootPath, sourceNotFound } from './root-path.js'
import { unpackArchive } from './unpack.js'
import { containsWildcards, requireSent, resolveWildcards } from './wildcard.js'

export class FileOp implements Op {
  readonly kind = 'file'

  constructor(
    private readonly definition: FileDefinition,
    private readonly services: OpServices,
  ) {}

  cacheMaps(): Iterable<CacheMap> {
    const { actions, inputCount, title } = this.definition
    const deps = Array.from({ length: inputCount }, (_, i) => this.dependency(i))
    return [{ digest: fileOpDigest(actions, inputCount), deps, preimage: preimageOf(title, this.definition) }]
  }

  /** An input that is written to counts by definition alone; one that is only read counts by what is read of it. */
  private dependency(input: number): CacheDep {
    const { actions } = this.definition
    if (actions.some((placed) => placed.input === input)) return { selector: undefined }
    const selectors: ContentSelector[] = []
    for (const { action, secondaryInput } of actions) {
      selectors.push(...accountSelectors(action.owner, input))
      if (action.kind === 'copy' && secondaryInput === input) selectors.push(selectorOf(action))
    }
    if (selectors.length === 0) return { selector: undefined }
    return {
      selector: fileSelector(selectors.map(({ path }) => path)),
      content: async (result) => {
        try {
          return await contentKeyOf(result, selectors)
        } catch (error) {
          throw this.locate(error)
        }
      },
    }
  }

  async run(inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    try {
      return [await this.solve(inputs, context)]
    } catch (error) {
      throw this.locate(error)
    }
  }

  private async solve(inputs: readonly Result[], context: RunContext): Promise<Result> {
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

  /** Adds the instruction's place, and says so where a path was kept inside the context. */
  private locate(error: unknown): unknown {
    const { location, clamped } = this.definition
    if (!(error instanceof BuildError) || error.location !== undefined || location === undefined) return error
    const { data, cause = error } = error
    const written = clamped?.get(`/${normalizePath(String(data.path))}`)
    if (error.code !== 'SOURCE_NOT_FOUND' || written === undefined) {
      return new BuildError(error.code, error.message, { location, data, cause })
    }
    return new BuildError(
      'PATH_ESCAPES_CONTEXT',
      `${error.message} (${written} leads out of the build context; nothing outside it is ever read)`,
      { location, data: { ...data, written }, cause },
    )
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

function accountSelectors(owner: OwnerSpec | undefined, input: number): ContentSelector[] {
  const named = (part: OwnerSpec['user']): boolean =>
    part !== undefined && 'name' in part && part.input === input
  const files = [named(owner?.user) ? '/etc/passwd' : '', named(owner?.group) ? '/etc/group' : '']
  return files.filter((path) => path !== '').map((path) => ({ path, followLinks: true }))
}

function selectorOf(action: CopyAction): ContentSelector {
  return {
    path: action.src,
    wildcard: action.allowWildcard,
    followLinks: action.followSymlink,
    include: action.includePatterns,
    exclude: action.excludePatterns,
  }
}

function preimageOf(title: string, definition: FileDefinition): Map<string, string> {
  const out = new Map([['instruction', title]])
  for (const [i, { action }] of definition.actions.entries()) {
    const name = (field: string): string => (definition.actions.length === 1 ? field : `${field}[${i}]`)
    if (action.kind === 'copy') {
      out.set(name('source'), baseNameOf(action.src) || '/')
      out.set(name('dest'), action.dest)
      if (action.excludePatterns !== undefined) out.set(name('exclude'), action.excludePatterns.join(' '))
      if (action.includePatterns !== undefined) out.set(name('parents'), action.includePatterns.join(' '))
      if (action.modeStr !== undefined) out.set(name('chmod'), action.modeStr)
      else if (action.mode !== -1) out.set(name('chmod'), action.mode.toString(8))
    } else out.set(name('path'), action.path)
    if (action.kind === 'mkfile') out.set(name('content'), digestOf(action.data))
    if (action.owner !== undefined) out.set(name('chown'), ownerText(action.owner))
    if (action.timestampNs !== -1n)
      out.set(name('SOURCE_DATE_EPOCH'), String(action.timestampNs / 1_000_000_000n))
  }
  return out
}

function ownerText(owner: OwnerSpec): string {
  return [owner.user, owner.group]
    .flatMap((part) => (part === undefined ? [] : 'id' in part ? [String(part.id)] : [part.name]))
    .join(':')
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
