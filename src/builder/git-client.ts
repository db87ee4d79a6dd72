// What the git source needs of git: the refs of a remote, and the files of a commit. `host-git.ts` has it from the git on
// PATH; an embedder without one gives another, over isomorphic-git or over an archive service of its own. Contract; pure.
import type { Tree } from '../unionfs/index.js'

/** Refs of a remote, as `git ls-remote` lists them. */
export interface GitRefs {
  /** The branch that HEAD stands for, in full: `refs/heads/main`; `undefined` when it stands for none. */
  readonly defaultBranch: string | undefined
  /** Full name → object. An annotated tag is there twice: the tag object, and under `refs/tags/NAME^{}` its commit. */
  readonly refs: ReadonlyMap<string, string>
}

/** How a remote is reached. */
export interface GitAccess {
  /** Without query and fragment: `https://host/repo.git`, `git@host:repo`. May hold a password. */
  readonly remote: string
  /** Value of an `Authorization` header for http(s) remotes, from a secret. Must not reach a log, a file or a command line. */
  readonly authorization: string | undefined
  readonly signal: AbortSignal | undefined
  /** What git says while it works. */
  readonly onOutput: ((bytes: Uint8Array) => void) | undefined
}

export interface GitCheckout extends GitAccess {
  /** What to fetch: a full ref, or a commit. */
  readonly ref: string
  /** The object that `ref` stood for when the key was made. */
  readonly commit: string
  /** Leave `.git` in the tree, shallow, with `origin` set to the remote without its password. */
  readonly keepGitDir: boolean
  /** Check out submodules, to any depth. */
  readonly submodules: boolean
}

/**
 * Access to git repositories. Runs nothing of what a repository brings: no hooks, no filters, no configuration of the user
 * or the machine, and no transports but http, https, ssh and git.
 */
export interface GitClient {
  /**
   * Lists the refs that a short name may stand for.
   *
   * @param ref  a name as in `git ls-remote REMOTE REF`, or undefined for the default branch alone; more refs may be listed
   * @throws any error whose message says what went wrong; AbortError when the signal fires
   */
  listRefs(access: GitAccess, ref: string | undefined): Promise<GitRefs>
  /**
   * Gives the files of a commit to `use`, and cleans up when that is done. Modes are git's: 0755 or 0644, 0755 for
   * directories; owners are root.
   *
   * @throws as `listRefs`, also when the commit is not the ref's any more and cannot be had
   */
  checkout<T>(request: GitCheckout, use: (tree: Tree) => Promise<T>): Promise<T>
}
