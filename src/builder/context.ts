// Build contexts: a host folder, a tree, a view, a tar. Effect only where it reads a host folder (host-walk.ts); the other
// kinds are values. A context's tree has no nodes before something visits them, and its content keys need none.
import { closeSync, fstatSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { digestOf, hexOf } from '../digest.js'
import { BuildError, throwIfAborted } from '../errors.js'
import { bytesReader, type BlobBytes, type Store } from '../store/index.js'
import {
  childrenOf,
  EMPTY_TREE,
  Tree,
  TreeNode,
  type Children,
  type ContentSource,
  type NodeInit,
} from '../unionfs/index.js'
import { contextRootHeader } from './content-header.js'
import { provideAccess } from './contenthash.js'
import { changed, openListed, readFully, sameFile } from './host-files.js'
import { HostScan } from './host-scan.js'
import type { ContextFilter } from './host-walk.js'
import { treeAccess } from './node-access.js'
import { putRecentSidecar } from './recent-sidecars.js'
import { decodeStatCache, STAT_CACHE_KIND } from './stat-cache.js'
import type { Op, Result } from './vertex.js'

export type { ContextFilter } from './host-walk.js'

/** Folders whose stat data are remembered. */
const CONTEXTS_MAX = 32

/** The files that COPY, ADD and bind mounts can take from. */
export interface BuildContext {
  /** For people: a path, `<tar>`, … */
  readonly name: string
  /** All files, owned by root. Nodes of a host folder are made when they are visited. */
  readonly tree: Tree
  /**
   * The operation that gives these files, where the cache knows them by more than their content: a git repository by its
   * commit. Ignore files do not count for such a context, as in BuildKit.
   */
  readonly source?: Op | undefined
  /** It did not come from a folder: an archive, or something fetched. Ignore files do not count, as in BuildKit. */
  readonly isRemote?: boolean | undefined
  /** The file in it that is the Dockerfile, whatever is asked for: all that was fetched is that file. */
  readonly dockerfile?: string | undefined
  /** The context as the output of an operation: no layers, content keys without making the tree. */
  result(): Result
  /**
   * Writes down what was learnt about a host folder, for the next time. Writes nothing when nothing is new; a failure
   * costs time only and is not reported.
   */
  save(): Promise<void>
}

export interface OpenContextOptions {
  /** Rules of the ignore file, if there is one. */
  readonly ignore?: ContextFilter | undefined
  /** Where stat data and digests are kept between builds; without it everything is hashed each time. */
  readonly store?: Store | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((entries: number) => void) | undefined
}

/**
 * A host folder as build context. Directories are listed when something asks for them and files are hashed only when a
 * step uses them; what is ignored is never looked into. Symlinks are values and never followed on the host.
 *
 * @throws BuildError CONTEXT_NOT_FOUND | CONTEXT_UNREADABLE; later, from what reads it, CONTEXT_CHANGED when a file is
 *         not what it was when it was listed
 */
export function openContext(dir: string, options: OpenContextOptions = {}): BuildContext {
  throwIfAborted(options.signal)
  const base = realPath(dir)
  const key = hexOf(digestOf(base))
  const saved = options.store?.sidecars.get(STAT_CACHE_KIND, key)
  const scan = new HostScan(base, {
    filter: options.ignore,
    previous: saved === undefined ? undefined : decodeStatCache(saved),
    signal: options.signal,
    onProgress: options.onProgress,
  })
  let tree: Tree | undefined
  const getTree = () => (tree ??= new HostTree(scan).tree)
  const result: Result = { layers: [], tree: async () => getTree() }
  provideAccess(result, scan)
  hostSources.set(result, {
    base,
    scan,
    get tree() {
      return getTree()
    },
    treeOf: (isChosen) => new HostTree(scan, isChosen).tree,
  })
  return {
    name: dir,
    get tree() {
      return getTree()
    },
    result: () => result,
    async save() {
      if (options.store === undefined || !scan.dirty) return
      const snapshot = scan.snapshot()
      if (snapshot !== undefined) {
        await putRecentSidecar(options.store, STAT_CACHE_KIND, key, snapshot.encode(), CONTEXTS_MAX)
      }
    },
  }
}

/** The host folder behind a context's result, for whoever can do better than with its tree. */
export interface HostSource {
  /** Absolute. */
  readonly base: string
  readonly scan: HostScan
  readonly tree: Tree
  /** The tree with only the entries that are chosen; the root always is, what lies below one that is not never. */
  treeOf(isChosen: (entry: number) => boolean): Tree
}

const hostSources = new WeakMap<Result, HostSource>()

export function hostSourceOf(result: Result): HostSource | undefined {
  return hostSources.get(result)
}

function realPath(dir: string): string {
  try {
    return realpathSync(resolve(dir))
  } catch (cause) {
    throw new BuildError('CONTEXT_NOT_FOUND', `build context ${dir}: no such directory`, {
      data: { path: dir },
      cause,
    })
  }
}

/** A tree as build context, whoever owns its files. */
export function treeContext(tree: Tree, name = '<tree>'): BuildContext {
  const result: Result = { layers: [], tree: async () => tree }
  provideAccess(result, treeAccess(tree, contextRootHeader((tree.root.children?.size ?? 0) === 0)))
  return { name, tree, result: () => result, save: async () => {} }
}

/**
 * A tar as build context, compressed or not: what `docker build -` takes on standard input. Owners and times are the tar's;
 * its ignore file does not count, as in BuildKit.
 * @throws LayerError for a tar that cannot be read, or a compression that is not known
 */
export async function tarContext(
  bytes: BlobBytes,
  options: { readonly signal?: AbortSignal | undefined; readonly name?: string } = {},
): Promise<BuildContext> {
  const whole = await tarOf(bytes, options.signal)
  const { applyChangeset, readLayer } = await import('../unionfs/index.js')
  const tree = applyChangeset(EMPTY_TREE, readLayer(whole))
  return { ...treeContext(tree, options.name ?? '<tar>'), isRemote: true }
}

/** The archive without its compression: gzip, zstd, bzip2 or xz. */
async function tarOf(bytes: BlobBytes, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
    throwIfAborted(signal)
    chunks.push(chunk)
  }
  const whole = chunks.length === 1 ? chunks[0]! : new Uint8Array(Buffer.concat(chunks))
  const { decompressArchive } = await import('./ops/decompress.js')
  const { content, damage } = await decompressArchive(bytesReader(digestOf(whole), whole))
  if (damage !== undefined) throw damage
  return content.read(0, content.size)
}

/** Makes the nodes of a scan, each once. */
class HostTree {
  readonly tree: Tree
  readonly #scan: HostScan
  readonly #isChosen: ((entry: number) => boolean) | undefined
  readonly #nodes = new Map<number, TreeNode>()

  /** @param isChosen  entries to be left out say `false`; none are when it is absent */
  constructor(scan: HostScan, isChosen?: (entry: number) => boolean) {
    this.#scan = scan
    this.#isChosen = isChosen
    this.tree = new Tree(this.node(0))
  }

  node(entry: number): TreeNode {
    const known = this.#nodes.get(entry)
    if (known !== undefined) return known
    const node = this.#make(entry)
    this.#nodes.set(entry, node)
    return node
  }

  #make(entry: number): TreeNode {
    const scan = this.#scan
    const kind = scan.kind(entry)
    const meta = { kind, mode: scan.columns.mode[entry]! & 0o7777, ...timeOfMs(scan.columns.mtimeMs[entry]!) }
    switch (kind) {
      case 'dir':
        return new TreeNode({
          ...meta,
          children:
            this.#isChosen === undefined
              ? new HostChildren(this, scan, entry)
              : childrenOf(this.#chosen(entry, this.#isChosen)),
        })
      case 'symlink': {
        const target = scan.target(entry)
        return new TreeNode({ ...meta, mode: 0o777, target, size: scan.columns.size[entry]! })
      }
      case 'file': {
        const init = { ...meta, size: scan.columns.size[entry]!, source: new HostFile(scan, entry) }
        return scan.isLinked(entry) ? this.#makeLinked(entry, init) : new TreeNode(init)
      }
      default: {
        const [rdevMajor, rdevMinor] = scan.rdev(entry)
        return new TreeNode({ ...meta, rdevMajor, rdevMinor })
      }
    }
  }

  *#chosen(dir: number, isChosen: (entry: number) => boolean): Generator<readonly [string, TreeNode]> {
    for (const [i, name] of this.#scan.names(dir).entries()) {
      const entry = this.#scan.childAt(dir, i)
      if (isChosen(entry)) yield [name, this.node(entry)]
    }
  }

  /** Names of one file share a node; only those inside the context count. */
  #makeLinked(entry: number, init: NodeInit): TreeNode {
    const names = this.#scan.linksOf(entry)
    const node = new TreeNode({ ...init, nlink: names.length })
    for (const name of names) this.#nodes.set(name, node)
    return node
  }
}

/**
 * Times as the scan has them: a double of milliseconds, which is at most 122 ns off. Times that are whole microseconds,
 * as everything that sets times itself makes them, come out exactly. An exact stat of each file would double the cost of
 * making the tree, and image layers have whole seconds.
 */
export function timeOfMs(ms: number): { mtimeSec: number; mtimeNsec: number } {
  let mtimeSec = Math.floor(ms / 1000)
  const ns = Math.round((ms - mtimeSec * 1000) * 1e6)
  const us = Math.round(ns / 1000) * 1000
  let mtimeNsec = Math.abs(ns - us) <= 125 ? us : ns
  if (mtimeNsec >= 1e9) {
    mtimeSec++
    mtimeNsec -= 1e9
  }
  return { mtimeSec, mtimeNsec }
}

/** Content of one host file, read when asked for and only as long as the file is what was listed. */
class HostFile implements ContentSource {
  readonly #scan: HostScan
  readonly #entry: number

  constructor(scan: HostScan, entry: number) {
    this.#scan = scan
    this.#entry = entry
  }

  read(offset: number, length: number): Uint8Array {
    const path = this.#scan.pathOf(this.#entry)
    const fd = openListed(this.#scan.hostPath(this.#entry), path, this.#scan.columns, this.#entry)
    try {
      // Not zeroed, and small ones share a pool: ten thousand of them are made for a COPY of a large context.
      const room = Buffer.allocUnsafe(length)
      const bytes = new Uint8Array(room.buffer, room.byteOffset, length)
      if (!readFully(fd, bytes, 0, length, offset)) throw changed(path)
      if (!sameFile(fstatSync(fd), this.#scan.columns, this.#entry)) throw changed(path)
      return bytes
    } finally {
      closeSync(fd)
    }
  }
}

/** Entries of a host directory. */
class HostChildren implements Children {
  readonly #tree: HostTree
  readonly #scan: HostScan
  readonly #entry: number

  constructor(tree: HostTree, scan: HostScan, entry: number) {
    this.#tree = tree
    this.#scan = scan
    this.#entry = entry
  }

  get size(): number {
    return this.names().length
  }

  get(name: string): TreeNode | undefined {
    const entry = this.#scan.child(this.#entry, name)
    return entry === undefined ? undefined : this.#tree.node(entry)
  }

  names(): readonly string[] {
    return this.#scan.names(this.#entry)
  }

  *entries(): Generator<readonly [string, TreeNode]> {
    const names = this.names()
    for (let i = 0; i < names.length; i++) {
      yield [names[i]!, this.#tree.node(this.#scan.childAt(this.#entry, i))]
    }
  }

  with(changes: ReadonlyMap<string, TreeNode | undefined>): Children {
    return childrenOf(this.entries()).with(changes)
  }
}
