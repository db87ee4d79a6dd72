// Files of a git repository: ADD of a git URL, and git build contexts. Known by the commit, so a ref costs one listing of the
// remote's refs and a full commit costs nothing; what was checked out is kept in the store.
// @see moby/buildkit source/git/source.go
import { digestOf, hexOf } from '../../digest.js'
import { BuildError, isAbortError, LamellaError, type SourceLocation } from '../../errors.js'
import { EMPTY_TREE, splitTime, Tree, TreeEditor } from '../../unionfs/index.js'
import { storedResult } from '../cache.js'
import type { GitAccess, GitClient, GitRefs } from '../git-client.js'
import { isCommit, redactUrl } from '../git-url.js'
import { gitSourceKey, sourceDigest } from '../key.js'
import type { GitDefinition } from '../op-factory.js'
import type { CacheMap, LayerRef, Op, Result, RunContext } from '../vertex.js'
import type { SecretSource } from './mounts.js'
import { addLayer, EMPTY_RESULT, type OpServices } from './result.js'

export interface GitServices extends OpServices {
  readonly git: GitClient
  /** Asked for GIT_AUTH_HEADER and GIT_AUTH_TOKEN, first with `.HOST` behind. */
  readonly secrets: SecretSource
  readonly signal: AbortSignal | undefined
}

/** What a ref stood for. */
export interface ResolvedRef {
  /** In full, as the remote has it; the commit where that is what was asked for. */
  readonly name: string
  /** The object of that name: a commit, or the tag object of an annotated tag that was written as `tags/NAME`. */
  readonly object: string
}

const KIND = 'git-source'

export class GitOp implements Op {
  readonly kind = 'git'
  private resolved: Promise<ResolvedRef> | undefined

  constructor(
    private readonly definition: GitDefinition,
    private readonly services: GitServices,
  ) {}

  get title(): string {
    const { url, remote } = this.definition
    return `load git source ${redactUrl(url ?? remote)}`
  }

  async *cacheMaps(): AsyncGenerator<CacheMap> {
    const { remote, ref } = this.definition
    const found = await this.resolveOnce()
    const preimage = new Map([
      ['repository', redactUrl(remote)],
      ['ref', ref],
      ['commit', found.object],
    ])
    yield { digest: sourceDigest(this.keyOf(found)), deps: [], preimage }
  }

  async run(_inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    const found = await this.resolveOnce()
    const saved = await this.load(found)
    if (saved !== undefined) return [saved]
    const { keepGitDir, submodules, subdir } = this.definition
    const onOutput = (bytes: Uint8Array) => context.onOutput('stderr', bytes)
    const access = await this.access(context.signal ?? this.services.signal, onOutput)
    const request = {
      ...access,
      ref: found.name,
      commit: found.object,
      keepGitDir: keepGitDir && subdir === '',
      submodules,
    }
    const result = await this.locating(() =>
      this.services.git.checkout(request, async (tree) => this.store(this.subtree(tree))),
    )
    await this.save(found, result.layers[0]!)
    return [result]
  }

  private keyOf({ name, object }: ResolvedRef): string {
    const { keepGitDir, subdir, submodules } = this.definition
    return gitSourceKey({ commit: object, ref: isCommit(name) ? '' : name, keepGitDir, subdir, submodules })
  }

  private resolveOnce(): Promise<ResolvedRef> {
    return (this.resolved ??= this.locating(() => this.resolve()))
  }

  private async resolve(): Promise<ResolvedRef> {
    const { ref, checksum } = this.definition
    if (checksum !== undefined && !/^[a-fA-F0-9]+$/.test(checksum)) {
      throw this.failure(
        'OPTION_INVALID',
        `invalid checksum ${checksum} for Git URL, expected hex commit hash`,
      )
    }
    // No ref begins with a dash, and git would read it as an option.
    if (ref.startsWith('-')) throw this.failure('OPTION_INVALID', `invalid git ref ${JSON.stringify(ref)}`)
    const found = isCommit(ref) ? { name: ref, object: ref } : await this.find(ref)
    if (checksum !== undefined && !found.object.startsWith(checksum)) {
      throw this.failure('CHECKSUM_MISMATCH', `expected checksum to match ${checksum}, got ${found.object}`, {
        expected: checksum,
        actual: found.object,
      })
    }
    return found
  }

  private async find(ref: string): Promise<ResolvedRef> {
    const access = await this.access(this.services.signal, undefined)
    const listed = await this.services.git.listRefs(access, ref === '' ? undefined : ref)
    const url = redactUrl(this.definition.remote)
    const name = ref === '' ? listed.defaultBranch : ref
    if (name === undefined) {
      throw this.failure('GIT_REF_NOT_FOUND', `could not find default branch for repository: ${url}`)
    }
    const found = selectRef(listed, name)
    if (found !== undefined) return found
    const hint = ref === 'HEAD' ? '; leave the ref out for the default branch' : ''
    throw this.failure('GIT_REF_NOT_FOUND', `repository ${url} does not contain ref ${ref}${hint}`, { ref })
  }

  private async access(signal: AbortSignal | undefined, onOutput: GitAccess['onOutput']): Promise<GitAccess> {
    const { remote } = this.definition
    return { remote, authorization: await this.authorization(), signal, onOutput }
  }

  /** @see moby/buildkit source/git/source.go authSecretNames, getAuthToken */
  private async authorization(): Promise<string | undefined> {
    const { remote } = this.definition
    if (!/^https?:/.test(remote) || !URL.canParse(remote)) return undefined
    const { host } = new URL(remote)
    for (const name of ['GIT_AUTH_HEADER', 'GIT_AUTH_TOKEN']) {
      for (const id of [`${name}.${host}`, name]) {
        const secret = await this.services.secrets(id)
        if (secret === undefined) continue
        const text = new TextDecoder().decode(secret).trim()
        return name === 'GIT_AUTH_HEADER' ? text : `basic ${btoa(`x-access-token:${text}`)}`
      }
    }
    return undefined
  }

  /** The directory that becomes the root. No symlink is followed on the way: it could lead anywhere. */
  private subtree(tree: Tree): Tree {
    const { subdir } = this.definition
    let node = tree.root
    const names = subdir === '' ? [] : subdir.split('/')
    for (const [i, name] of names.entries()) {
      const child = node.children?.get(name)
      if (child?.kind === 'dir') {
        node = child
        continue
      }
      const why =
        child === undefined ? 'no such directory' : `${names.slice(0, i + 1).join('/')} is no directory`
      throw this.failure('SOURCE_NOT_FOUND', `invalid subdir /${subdir}: ${why}`, { path: `/${subdir}` })
    }
    return new Tree(node)
  }

  /** All files get the time of the checkout, as files that git writes have it. */
  private store(tree: Tree): Promise<Result> {
    const time = splitTime(this.services.env.now())
    const editor = new TreeEditor(EMPTY_TREE)
    for (const { path, node } of tree.walk()) {
      if (path !== '') editor.put(path, node.with(time))
    }
    return addLayer(this.services, EMPTY_RESULT, EMPTY_TREE, editor.finish())
  }

  private sidecarKey(found: ResolvedRef): string {
    return hexOf(digestOf(this.keyOf(found)))
  }

  private async load(found: ResolvedRef): Promise<Result | undefined> {
    const { store } = this.services
    const bytes = store.sidecars.get(KIND, this.sidecarKey(found))
    if (bytes === undefined) return undefined
    const layer = JSON.parse(new TextDecoder().decode(bytes)) as LayerRef
    if ((await store.blobs.stat(layer.descriptor.digest)) === undefined) return undefined
    return storedResult(store, [layer])
  }

  private async save(found: ResolvedRef, layer: LayerRef): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(layer))
    await this.services.store.sidecars.put(KIND, this.sidecarKey(found), bytes)
  }

  /** What a client throws becomes a BuildError with the instruction's place. */
  private async locating<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (cause) {
      if (isAbortError(cause)) throw cause
      if (cause instanceof LamellaError && !(cause instanceof BuildError)) throw cause
      if (cause instanceof BuildError) {
        if (cause.location !== undefined) throw cause
        const { code, message, data } = cause
        throw new BuildError(code, message, { location: this.location, data, cause })
      }
      // git complains in several lines, which have been shown as they came; a message has one.
      const why = (cause instanceof Error ? cause.message : String(cause))
        .trim()
        .split(/\s*\n\s*/)
        .join('; ')
      throw this.failure('FETCH_FAILED', `failed to load ${redactUrl(this.definition.remote)}: ${why}`, {
        url: redactUrl(this.definition.remote),
      })
    }
  }

  private get location(): SourceLocation | undefined {
    return this.definition.location
  }

  private failure(code: BuildError['code'], message: string, data: Record<string, unknown> = {}): BuildError {
    return new BuildError(code, message, { location: this.location, data })
  }
}

/**
 * What a name stands for, as BuildKit reads it: `refs/…` in full, else a branch, else a tag, whose commit counts; a tag that
 * is written as `tags/NAME` counts by its tag object.
 *
 * @see moby/buildkit source/git/source.go CacheKey
 */
export function selectRef({ refs }: GitRefs, ref: string): ResolvedRef | undefined {
  const branch = prefixed('refs/heads/', ref)
  const tag = prefixed('refs/tags/', ref)
  const whole = prefixed('refs/', ref)
  for (const name of [whole, branch, tag]) {
    const object = (name === tag ? refs.get(`${name}^{}`) : undefined) ?? refs.get(name)
    if (object !== undefined) return { name, object }
  }
  return undefined
}

function prefixed(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name
}
