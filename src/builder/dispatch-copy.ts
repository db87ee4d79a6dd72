// COPY and ADD onto a stage: one file operation with an action for every source. Pure.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/convert_copy.go, client/llb/fileop.go
import { DockerfileError } from '../errors.js'
import { encodePath, escapesRoot, normalizePath } from '../path.js'
import {
  commit,
  edgeOf,
  notePath,
  progressText,
  requireDispatched,
  timestampOf,
  type DispatchContext,
} from './dispatch-context.js'
import {
  gitSource,
  isHttpSource,
  sourceFault,
  transferFault,
  type AddInstruction,
  type CopyInstruction,
} from './dockerfile/index.js'
import type { GitReference, GitReferenceFault } from './git-url.js'
import type { CopyAction, PlacedAction } from './key.js'
import { NO_FOLDERS, type FileDefinition } from './op-factory.js'
import { parseOwner } from './ops/owner.js'
import { internalLabel, type Command, type StageState } from './state.js'
import type { Edge, VertexLabel } from './vertex.js'

type Transfer = CopyInstruction | AddInstruction

export function dispatchCopy(
  state: StageState,
  command: Command,
  instruction: Transfer,
  context: DispatchContext,
): void {
  const source = sourceOf(state, command, instruction, context)
  const title = progressText(instruction.text, state.env.map, context.escape)
  const label = state.label(title, command)
  // --link with --chmod is an ordinary copy, as in BuildKit: the mode of what is there must be known.
  const link = instruction.link && (instruction.chmod ?? '') === ''
  const builder = new FileOpBuilder(link ? undefined : state.edge)
  const transfer = new Transferred(state, command, instruction, context, builder, source, label)
  for (const path of instruction.sources) transfer.add(path)
  for (const document of instruction.inline) transfer.addInline(document.name, document.content)

  const { inputs, actions } = builder
  const edge = edgeOf({
    op: context.ops.file({
      actions,
      inputCount: inputs.length,
      folders: foldersOf(inputs, context),
      clamped: clampedSources(instruction.sources),
      title,
      location: command.location,
    }),
    inputs,
    label,
    ignoreCache: state.ignoreCache,
  })
  state.edge =
    link && state.edge !== undefined ? mergeOnto(state, state.edge, edge, title, command, context) : edge
  commit(state, historyText(instruction), true, context)
}

/** The sets go on filling while later instructions are planned; they are whole when something runs. */
function foldersOf(inputs: readonly Edge[], { folderPaths }: DispatchContext): FileDefinition['folders'] {
  return new Map(
    inputs.flatMap(({ vertex }, i) =>
      vertex.op.kind === 'local' ? [[i, folderPaths.get(vertex) ?? new Set()]] : [],
    ),
  )
}

function clampedSources(sources: readonly string[]): ReadonlyMap<string, string> | undefined {
  const escaping = sources.filter(escapesRoot)
  return escaping.length === 0
    ? undefined
    : new Map(escaping.map((source) => [`/${normalizePath(source)}`, source]))
}

function mergeOnto(
  state: StageState,
  base: Edge,
  copied: Edge,
  title: string,
  command: Command,
  context: DispatchContext,
): Edge {
  state.repeatIndex()
  return edgeOf({
    op: context.ops.merge(2),
    inputs: [base, copied],
    label: state.label(`LINK ${title}`, command),
    ignoreCache: state.ignoreCache,
  })
}

function sourceOf(
  state: StageState,
  command: Command,
  instruction: Transfer,
  context: DispatchContext,
): () => Edge | undefined {
  const [from] = command.sources
  if (instruction.kind === 'add' || from === undefined) return context.buildContext
  requireDispatched(from, instruction.from ?? '', state, command)
  return () => from.edge
}

function historyText(instruction: Transfer): string {
  const { chown = '', chmod = '', sources, inline, dest } = instruction
  const words = [instruction.kind.toUpperCase()]
  if (instruction.kind === 'copy' && instruction.parents) words.push('--parents')
  if (chown !== '') words.push(`--chown=${chown}`)
  if (chmod !== '') words.push(`--chmod=${chmod}`)
  return [...words, ...sources, ...inline.map(({ name }) => `<<${name}`), dest, '# buildkit'].join(' ')
}

/** Collects inputs, each once, and the chain of actions. @see client/llb/fileop.go marshalState */
class FileOpBuilder {
  readonly inputs: Edge[] = []
  private readonly pending: { action: CopyAction; secondaryInput: number }[] = []
  readonly base: number

  constructor(base: Edge | undefined) {
    this.base = base === undefined ? -1 : this.input(base)
  }

  input(edge: Edge): number {
    const known = this.inputs.findIndex(
      (other) => other.vertex === edge.vertex && other.output === edge.output,
    )
    return known === -1 ? this.inputs.push(edge) - 1 : known
  }

  copy(source: Edge | undefined, action: CopyAction): void {
    this.pending.push({ action, secondaryInput: source === undefined ? -1 : this.input(source) })
  }

  get actions(): PlacedAction[] {
    const last = this.pending.length - 1
    return this.pending.map(({ action, secondaryInput }, i) => ({
      action,
      secondaryInput,
      input: i === 0 ? this.base : this.inputs.length + i - 1,
      output: i === last ? 0 : -1,
    }))
  }
}

type CopyFlags = Pick<CopyAction, 'dest' | 'owner' | 'mode' | 'modeStr' | 'excludePatterns' | 'timestampNs'>

/** The sources of one instruction, turned into actions. */
class Transferred {
  private readonly flags: CopyFlags

  constructor(
    state: StageState,
    private readonly command: Command,
    private readonly instruction: Transfer,
    private readonly context: DispatchContext,
    private readonly builder: FileOpBuilder,
    private readonly source: () => Edge | undefined,
    private readonly label: VertexLabel,
  ) {
    const { chown, exclude } = instruction
    this.refuse(transferFault(instruction))
    this.flags = {
      dest: destinationOf(state.directory, instruction.dest),
      owner: chown === undefined || chown === '' ? undefined : parseOwner(chown, builder.base),
      ...this.mode(),
      excludePatterns: exclude.length === 0 ? undefined : exclude,
      timestampNs: context.copiesKeepTimes ? -1n : timestampOf(context),
    }
  }

  add(path: string): void {
    this.refuse(sourceFault(this.instruction, path))
    const git = gitSource(path)
    if (git !== undefined) this.addGit(git)
    else if (isHttpSource(path)) this.addHttp(path)
    else this.addLocal(path)
  }

  addInline(name: string, content: string): void {
    const { ops } = this.context
    const action = {
      kind: 'mkfile',
      path: `/${normalizePath(name)}`,
      mode: 0o644,
      data: encodePath(content),
      timestampNs: -1n,
    } as const
    const document = edgeOf({
      op: ops.file({
        actions: [{ action, input: -1, secondaryInput: -1, output: 0 }],
        inputCount: 0,
        folders: NO_FOLDERS,
        title: '[internal] preparing inline document',
        location: this.command.location,
      }),
      inputs: [],
      label: internalLabel('[internal] preparing inline document', this.command.location),
      ignoreCache: false,
    })
    this.builder.copy(document, this.action(`/${normalizePath(name)}`, {}))
  }

  private addLocal(path: string): void {
    const unpack = this.instruction.kind === 'add' && this.instruction.unpack !== false
    const { src, include } = this.selection(path)
    if (this.source === this.context.buildContext) this.context.contextPaths.add(src)
    const source = this.source()
    if (source?.vertex.op.kind === 'local') notePath(this.context, source, src)
    this.builder.copy(
      source,
      this.action(src, {
        followSymlink: true,
        dirCopyContents: true,
        attemptUnpack: unpack,
        allowWildcard: true,
        allowEmptyWildcard: true,
        includePatterns: include,
      }),
    )
  }

  /** `--parents` copies from the root, or from before `/./`, and lets in what the rest of the path names. */
  private selection(path: string): { readonly src: string; readonly include?: readonly string[] } {
    if (this.instruction.kind !== 'copy' || !this.instruction.parents)
      return { src: `/${normalizePath(path)}` }
    const pivot = path.indexOf('/./')
    const base = pivot === -1 ? '/' : path.slice(0, pivot)
    const pattern = normalizePath(pivot === -1 ? path : path.slice(pivot + 3))
    return { src: `/${normalizePath(base)}`, include: [pattern] }
  }

  private addHttp(url: string): void {
    const filename = fileNameOf(url)
    const checksum = this.instruction.kind === 'add' ? this.instruction.checksum : undefined
    const { location } = this.command
    const edge = edgeOf({
      op: this.context.ops.http({ url, filename, checksum, location }),
      inputs: [],
      label: this.label,
      ignoreCache: false,
    })
    const unpack = this.instruction.kind === 'add' && this.instruction.unpack === true
    this.builder.copy(edge, this.action(`/${filename}`, { attemptUnpack: unpack }))
  }

  private addGit(reference: GitReference | GitReferenceFault): void {
    const { instruction } = this
    if (instruction.kind === 'copy') return
    if (reference.kind === 'invalid') {
      throw new DockerfileError('ARGUMENT_INVALID', reference.reason, this.command.location)
    }
    const { remote, ref, subdir, submodules } = reference
    const edge = edgeOf({
      op: this.context.ops.git({
        remote,
        ref,
        subdir,
        checksum: this.agreed('checksum', instruction.checksum || undefined, reference.checksum),
        keepGitDir: this.agreed('keep-git-dir', instruction.keepGitDir, reference.keepGitDir) ?? false,
        submodules: submodules ?? true,
        location: this.command.location,
      }),
      inputs: [],
      label: this.label,
      ignoreCache: false,
    })
    this.builder.copy(edge, this.action('/', {}))
  }

  /** A flag and the URL may both say it, if they say the same. */
  private agreed<T extends string | boolean>(
    what: string,
    flag: T | undefined,
    url: T | undefined,
  ): T | undefined {
    if (flag === undefined || url === undefined || flag === url) return flag ?? url
    return this.fail(
      what === 'checksum'
        ? `checksum mismatch ${JSON.stringify(flag)} != ${JSON.stringify(url)}`
        : `inconsistent ${what} configuration`,
    )
  }

  private action(src: string, options: Partial<CopyAction>): CopyAction {
    return {
      kind: 'copy',
      src,
      followSymlink: false,
      dirCopyContents: false,
      attemptUnpack: false,
      createDestPath: true,
      allowWildcard: false,
      allowEmptyWildcard: false,
      alwaysReplaceExistingDestPaths: false,
      ...this.flags,
      ...options,
    }
  }

  /** Octal when it reads as octal, else symbolic. */
  private mode(): { readonly mode: number; readonly modeStr?: string } {
    const { chmod } = this.instruction
    if (chmod === undefined || chmod === '') return { mode: -1 }
    return /^[0-7]+$/.test(chmod) ? { mode: Number.parseInt(chmod, 8) } : { mode: -1, modeStr: chmod }
  }

  private refuse(fault: string | undefined): void {
    if (fault !== undefined) throw new DockerfileError('FLAG_INVALID', fault, this.command.location)
  }

  private fail(message: string): never {
    throw new DockerfileError('FLAG_INVALID', message, this.command.location)
  }
}

/** Relative to the working directory, cleaned; a trailing `/` or `/.` stays, because it says "into". */
export function destinationOf(directory: string, dest: string): string {
  const written = dest === '' || dest === '.' ? './' : dest
  const path = `/${normalizePath(written.startsWith('/') ? written : `${directory}/${written}`)}`
  if (written.endsWith('/.')) return path === '/' ? '/.' : `${path}/.`
  return written.endsWith('/') && path !== '/' ? `${path}/` : path
}

/** Last part of the URL's path. */
function fileNameOf(url: string): string {
  const path = URL.canParse(url) ? decodeURIComponent(new URL(url).pathname) : ''
  const name = path.split('/').findLast((part) => part !== '')
  return name === undefined || name === '.' ? '__unnamed__' : name
}
