// What a build reads of its surroundings before anything is planned: the Dockerfile, the ignore file, the context. An
// effect file: reads the host's file system when the context is a folder.
import { existsSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { BuildError } from '../errors.js'
import { normalizePath } from '../path.js'
import type { Store } from '../store/index.js'
import { EMPTY_TREE, Tree, TreeEditor, type UnionView } from '../unionfs/index.js'
import { openContext, treeContext, type BuildContext } from './context.js'
import {
  createIgnoreMatcher,
  parseDockerfile,
  parseIgnoreFile,
  type Dockerfile,
  type IgnoreMatcher,
} from './dockerfile/index.js'
import { parseGitReference, type GitReference, type GitReferenceFault } from './git-url.js'
import { readTextFile, type TextFileRefusal } from './host-files.js'

/** Limit of a Dockerfile and of an ignore file, in bytes: a thousand times what people write. */
const TEXT_MAX = 16 * 2 ** 20

/** Where COPY and ADD take files from: a folder of the host by its path, or a value. */
export type ContextSource = string | Tree | UnionView | BuildContext

/** A Dockerfile by its path on the host, or, where the context is a value, in the context; or its text. */
export type DockerfileSource = string | { readonly text: string | Uint8Array; readonly name?: string }

export interface BuildFiles {
  readonly dockerfile: Dockerfile
  /** Of the Dockerfile. */
  readonly text: string | Uint8Array
  /** The context's ignore rules; `undefined` when there are none. */
  readonly ignore: IgnoreMatcher | undefined
  /** Bytes of the ignore file. */
  readonly ignoreSize: number
  /** Opened when it is first needed, then always the same. */
  readonly context: () => BuildContext
}

export interface BuildFilesOptions {
  /** Told what was read, before it is parsed. */
  readonly onRead?: ((texts: BuildTexts) => void) | undefined
  readonly context: ContextSource | undefined
  readonly dockerfile: DockerfileSource | undefined
  readonly store: Store
  readonly signal: AbortSignal | undefined
}

/** What a build is told by, as it was read: nothing of it is parsed but the ignore rules. */
export interface BuildTexts {
  readonly text: string | Uint8Array
  /** For locations: the Dockerfile's base name, or `<stdin>`. */
  readonly name: string
  /** `<Dockerfile>.dockerignore`, else the context's; `undefined` when there are no rules. */
  readonly ignore: IgnoreMatcher | undefined
  /** Bytes of the ignore file; 0 when there is none. */
  readonly ignoreSize: number
}

/**
 * Reads the Dockerfile and the ignore file that counts for it.
 *
 * @throws BuildError DOCKERFILE_NOT_FOUND when there is none or it is no regular file, CONTEXT_NOT_FOUND,
 *         CONTEXT_UNREADABLE when it, or an ignore file, is too large or not readable; DockerfileError
 */
export function readBuildTexts(
  options: Partial<Pick<BuildFilesOptions, 'context' | 'dockerfile'>>,
): BuildTexts {
  return readTexts(filesOf(options.context), options.dockerfile)
}

/** Reads the Dockerfile and prepares the context. @throws as `readBuildTexts` */
export function readBuildFiles(options: BuildFilesOptions): BuildFiles {
  const files = filesOf(options.context)
  const texts = readTexts(files, options.dockerfile)
  options.onRead?.(texts)
  const { text, name, ignore, ignoreSize } = texts
  const dockerfile = parseDockerfile(text, { file: name })
  let opened: BuildContext | undefined
  return { dockerfile, text, ignore, ignoreSize, context: () => (opened ??= files.open(ignore, options)) }
}

function readTexts(files: ContextFiles, dockerfile: DockerfileSource | undefined): BuildTexts {
  const source =
    typeof dockerfile === 'object' ? dockerfile : (files.only ?? dockerfile ?? files.defaultDockerfile())
  const isPath = typeof source === 'string'
  const text = isPath ? readDockerfile(files, source) : source.text
  const name = isPath ? basename(source) : (source.name ?? '<stdin>')
  if (!files.hasIgnoreFile) return { text, name, ignore: undefined, ignoreSize: 0 }
  const named = isPath ? readIgnoreFile(files.read, `${source}.dockerignore`) : undefined
  const ignoreFile = named === undefined ? '.dockerignore' : `${name}.dockerignore`
  const ignoreText = named ?? readIgnoreFile(files.readInContext, '.dockerignore')
  const ignore = ignoreText === undefined ? undefined : matcherOf(ignoreText, ignoreFile)
  return { text, name, ignore, ignoreSize: ignoreText?.byteLength ?? 0 }
}

/** A named folder as context, with its own ignore file. */
export function openNamedContext(
  source: ContextSource,
  options: Omit<BuildFilesOptions, 'context' | 'dockerfile'>,
): BuildContext {
  const files = filesOf(source)
  const text = files.hasIgnoreFile ? readIgnoreFile(files.readInContext, '.dockerignore') : undefined
  return files.open(text === undefined ? undefined : matcherOf(text, '.dockerignore'), options)
}

/** The git repository that a context's name stands for. `github.com/owner/repo` is one where no such folder is. */
export function gitReferenceOf(
  source: ContextSource | undefined,
): GitReference | GitReferenceFault | undefined {
  if (typeof source !== 'string') return undefined
  const reference = parseGitReference(source)
  return reference?.kind === 'git' && reference.isPathLike && existsSync(source) ? undefined : reference
}

/** A path of the host from its root. */
export function absolutePath(path: string): string {
  return resolve(path)
}

function readDockerfile(files: ContextFiles, path: string): Uint8Array {
  const read = files.read(path)
  if (read instanceof Uint8Array) return read
  const what = read === undefined ? `open ${path}: no such file or directory` : refusalText(path, read)
  const code = read !== undefined && 'tooLarge' in read ? 'CONTEXT_UNREADABLE' : 'DOCKERFILE_NOT_FOUND'
  throw new BuildError(code, `failed to read dockerfile: ${what}`, { data: { path } })
}

function readIgnoreFile(read: ContextFiles['read'], path: string): Uint8Array | undefined {
  const found = read(path)
  if (found === undefined || found instanceof Uint8Array) return found
  throw new BuildError('CONTEXT_UNREADABLE', `failed to read ignore file: ${refusalText(path, found)}`, {
    data: { path },
  })
}

function refusalText(path: string, refusal: TextFileRefusal): string {
  return 'kind' in refusal
    ? `${path} is ${refusal.kind}, not a regular file`
    : `${path} is larger than ${TEXT_MAX / 2 ** 20} MiB`
}

function matcherOf(text: string | Uint8Array, file: string): IgnoreMatcher | undefined {
  const patterns = parseIgnoreFile(text, file)
  return patterns.length === 0 ? undefined : createIgnoreMatcher(patterns, { file })
}

/** The two kinds of context behind one face. */
interface ContextFiles {
  defaultDockerfile(): string
  /** The Dockerfile, where there can be no other. */
  readonly only?: string | undefined
  /** Whether a `.dockerignore` counts. */
  readonly hasIgnoreFile: boolean
  /** A Dockerfile's or its ignore file's path. */
  readonly read: (path: string) => Uint8Array | TextFileRefusal | undefined
  readonly readInContext: ContextFiles['read']
  open(
    ignore: IgnoreMatcher | undefined,
    options: Omit<BuildFilesOptions, 'context' | 'dockerfile'>,
  ): BuildContext
}

function filesOf(source: ContextSource | undefined): ContextFiles {
  if (typeof source === 'string') return hostFiles(source)
  if (source === undefined) return treeFiles(EMPTY_TREE, undefined)
  if (source instanceof Tree) return treeFiles(source, undefined)
  // Not by its class, which brings all of the file system with it.
  if ('snapshot' in source) return treeFiles(source.snapshot(), undefined)
  return treeFiles(source.tree, source)
}

function hostFiles(folder: string): ContextFiles {
  const read: ContextFiles['read'] = (path) => {
    try {
      return readTextFile(path, TEXT_MAX)
    } catch (cause) {
      throw new BuildError('CONTEXT_UNREADABLE', `cannot read ${path}: ${String(cause)}`, {
        data: { path },
        cause,
      })
    }
  }
  return {
    defaultDockerfile() {
      if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
        throw new BuildError('CONTEXT_NOT_FOUND', `build context ${folder}: no such directory`, {
          data: { path: folder },
        })
      }
      const path = join(folder, 'Dockerfile')
      const lower = join(folder, 'dockerfile')
      return !existsSync(path) && existsSync(lower) ? lower : path
    },
    hasIgnoreFile: true,
    read,
    readInContext: (path) => read(join(folder, path)),
    open: (ignore, { store, signal }) => openContext(folder, { ignore, store, signal }),
  }
}

function treeFiles(tree: Tree, context: BuildContext | undefined): ContextFiles {
  const read: ContextFiles['read'] = (path) => {
    const node = tree.resolve(normalizePath(path))?.node
    if (node?.kind !== 'file') return undefined
    return node.size > TEXT_MAX ? { tooLarge: true } : node.content()
  }
  return {
    defaultDockerfile: () =>
      read('Dockerfile') === undefined && read('dockerfile') !== undefined ? 'dockerfile' : 'Dockerfile',
    only: context?.dockerfile,
    hasIgnoreFile: context?.source === undefined && context?.isRemote !== true,
    read,
    readInContext: read,
    open(ignore) {
      if (ignore === undefined) return context ?? treeContext(tree)
      return treeContext(withoutIgnored(tree, ignore), context?.name)
    },
  }
}

/** The tree without what the ignore file leaves out; a directory that is left out stays when something in it does not. */
function withoutIgnored(tree: Tree, ignore: IgnoreMatcher): Tree {
  const editor = new TreeEditor(tree)
  const visit = (path: string, parent: Uint8Array | undefined): boolean => {
    const node = tree.lookup(path)!
    let keeps = false
    for (const name of node.children?.names() ?? []) {
      const at = path === '' ? name : `${path}/${name}`
      const child = node.children!.get(name)!
      const { matched, state } = ignore.matchesUsingParent(at, parent)
      const isKeptBelow =
        child.kind === 'dir' && (!matched || ignore.mayReinclude(at)) ? visit(at, state) : false
      if (matched && !isKeptBelow) editor.remove(at)
      else keeps = true
    }
    return keeps
  }
  visit('', undefined)
  return editor.finish()
}
