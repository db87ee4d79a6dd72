// A git repository as build context: its Dockerfile is read before anything is planned, so the commit is checked out first.
// @see moby/buildkit frontend/dockerui/context.go DetectGitContext
import { systemEnv, type Env } from '../env.js'
import { BuildError } from '../errors.js'
import type { Store } from '../store/index.js'
import { gitReferenceOf, type ContextSource } from './build-files.js'
import { treeContext, type BuildContext } from './context.js'
import type { GitClient } from './git-client.js'
import { redactUrl, type GitReference, type GitReferenceFault } from './git-url.js'
import { LazyOp } from './ops/lazy.js'
import type { SecretSource } from './ops/mounts.js'
import type { Fetch } from './ops/http.js'
import type { OpServices } from './ops/result.js'
import type { Op } from './vertex.js'

export interface GitContextOptions {
  /** Where the checked out files are kept. */
  readonly store: Store
  readonly env?: Env | undefined
  /** Default: the git on PATH. */
  readonly git?: GitClient | undefined
  /** Asked for GIT_AUTH_HEADER and GIT_AUTH_TOKEN. */
  readonly secrets?: SecretSource | undefined
  /** Leave `.git` in the context, where the URL does not say. */
  readonly keepGitDir?: boolean | undefined
  /** How http(s) URLs are fetched; default the platform's `fetch`. */
  readonly fetch?: Fetch | undefined
  readonly signal?: AbortSignal | undefined
  readonly hold?: OpServices['hold']
}

/**
 * Opens what a context's name stands for, where that takes more than reading a folder: a git URL is checked out, into the
 * store and only when it is not there; what another http(s) URL gives is fetched. Anything else is given back as it is.
 *
 * @throws BuildError OPTION_INVALID for a git URL that is none, GIT_MISSING, GIT_REF_NOT_FOUND, FETCH_FAILED,
 *         CHECKSUM_MISMATCH, SOURCE_NOT_FOUND for its subdirectory; AbortError
 */
export async function resolveContext(
  source: ContextSource | undefined,
  options: GitContextOptions,
): Promise<ContextSource | undefined> {
  const reference = gitReferenceOf(source)
  if (typeof source !== 'string') return source
  if (reference === undefined) {
    if (!/^https?:\/\//.test(source)) return source
    const { fetchContext } = await import('./http-context.js')
    return fetchContext(source, options)
  }
  return checkedOut(gitOp(source, reference, options), source, options.signal)
}

async function checkedOut(op: Op, url: string, signal: AbortSignal | undefined): Promise<BuildContext> {
  const [result] = await op.run([], { signal, onOutput: () => {}, onStatus: () => {} })
  const context = treeContext(await result!.tree(), redactUrl(url))
  return { ...context, source: op, result: () => result! }
}

/** The operation that a git URL stands for. @throws BuildError OPTION_INVALID */
export function gitOp(
  url: string,
  reference: GitReference | GitReferenceFault,
  options: GitContextOptions,
): Op {
  if (reference.kind === 'invalid') {
    throw new BuildError('OPTION_INVALID', `build context ${redactUrl(url)}: ${reference.reason}`, {
      data: { option: 'context', value: redactUrl(url) },
    })
  }
  const { remote, keepGitDir, submodules = true, ref, subdir, checksum } = reference
  const definition = {
    url,
    remote,
    ref,
    subdir,
    checksum,
    keepGitDir: keepGitDir ?? options.keepGitDir ?? false,
    submodules,
    location: undefined,
  }
  const { store, env = systemEnv, hold, signal } = options
  const secrets = options.secrets ?? (() => undefined)
  return new LazyOp('git', async () => {
    const { GitOp } = await import('./ops/git.js')
    return new GitOp(definition, { store, env, hold, signal, secrets, git: options.git ?? hostGit() })
  })
}

/**
 * The git of this machine as a GitClient; what drives it is loaded at its first use.
 *
 * @param program  default the `git` on PATH
 */
export function hostGit(program?: string): GitClient {
  const load = async () => (await import('./host-git.js')).gitClient(program)
  return {
    listRefs: async (...args) => (await load()).listRefs(...args),
    checkout: async (...args) => (await load()).checkout(...args),
  }
}
