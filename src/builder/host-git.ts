// The git on PATH as a GitClient, the way that BuildKit drives it: a bare repository takes the fetch, a work tree beside it
// the checkout. An effect file: child processes and a temporary folder. Nothing of the user's or the machine's git
// configuration takes part, no hook runs, and only http, https, ssh and git are spoken.
// @see moby/buildkit source/git/source.go, util/gitutil/git_cli.go
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AbortError, BuildError, throwIfAborted } from '../errors.js'
import { TreeEditor, type Tree } from '../unionfs/index.js'
import { openContext } from './context.js'
import type { GitAccess, GitCheckout, GitClient, GitRefs } from './git-client.js'
import { isCommit, redactUrl } from './git-url.js'

/** @param git  the program; default the one on PATH */
export function gitClient(git = 'git'): GitClient {
  return {
    listRefs: (access, ref) => listRefs(new Git(git, access), ref),
    checkout: async (request, use) => {
      const folder = await mkdtemp(join(tmpdir(), 'lamella-git-'))
      try {
        const tree = await checkout(new Git(git, request), request, folder)
        return await use(tree)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}

async function listRefs(git: Git, ref: string | undefined): Promise<GitRefs> {
  const patterns = ref === undefined ? ['HEAD'] : [ref, `${ref}^{}`]
  const text = await git.run(['ls-remote', '--symref', '--', git.remote, ...patterns])
  const refs = new Map<string, string>()
  let defaultBranch: string | undefined
  for (const line of text.split('\n')) {
    const [object = '', name = ''] = line.split('\t')
    const branch = /^ref: (refs\/heads\/\S+)$/.exec(object)?.[1]
    if (branch !== undefined && name === 'HEAD') defaultBranch = branch
    else if (isCommit(object)) refs.set(name, object)
  }
  const head = refs.get('HEAD')
  if (defaultBranch !== undefined && head !== undefined) refs.set(defaultBranch, head)
  return { defaultBranch, refs }
}

async function checkout(git: Git, request: GitCheckout, folder: string): Promise<Tree> {
  // Submodules get a file that says where their repository is; it must be the same whatever the folder is called.
  const gitDir = join(folder, 'git')
  const workTree = join(folder, 'tree')
  await mkdir(workTree)
  const format = request.commit.length === 64 ? ['--object-format=sha256'] : []
  const bare = git.in(gitDir)
  await bare.run(['-c', 'init.defaultBranch=master', 'init', '--quiet', '--bare', '--template=', ...format])
  await bare.run(['remote', 'add', 'origin', request.remote])
  await fetch(bare, request)
  const work = request.keepGitDir
    ? await cloneShallow(git, request, gitDir, workTree, format)
    : bare.withTree(workTree)
  if (!request.keepGitDir) await work.run(['checkout', '--quiet', FETCHED, '--', '.'])
  if (request.submodules)
    await work.run(['submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1'])
  return plainTree(openContext(workTree).tree)
}

/** Where the fetched object is kept in the bare repository. */
const FETCHED = 'refs/lamella/fetched'

async function fetch(bare: Git, { ref, commit }: GitCheckout): Promise<void> {
  try {
    const refspec = `+${ref}:${FETCHED}`
    await bare.run(['fetch', '--quiet', '--depth=1', '--no-tags', '--', 'origin', refspec])
    if ((await bare.commitOf(FETCHED)) === (await bare.commitOf(commit))) return
  } catch (error) {
    if (!(error instanceof GitFailure) || !needsAll(error.message, ref)) throw error
  }
  // Shallow no more, since what is looked for may be older than what the branches are at.
  const shallow = (await bare.run(['rev-parse', '--is-shallow-repository'])).trim() === 'true'
  const all = ['+refs/heads/*:refs/lamella/heads/*', '+refs/tags/*:refs/lamella/tags/*']
  await bare.run(['fetch', '--quiet', ...(shallow ? ['--unshallow'] : []), '--', 'origin', ...all])
  if ((await bare.commitOf(commit)) === undefined) {
    throw new Error(
      `commit ${commit} is not in the repository${isCommit(ref) ? '' : `, and ${ref} is another`}`,
    )
  }
  await bare.run(['update-ref', '--no-deref', FETCHED, commit])
}

/** Whether only a fetch of everything can help: from servers that give no single commits, or nothing shallow. */
function needsAll(message: string, ref: string): boolean {
  return /--depth|shallow/.test(message) || (isCommit(ref) && /not our ref|unadvertised object/.test(message))
}

/** A work tree with a shallow repository of its own in it, which names the ref and knows the remote. */
async function cloneShallow(
  git: Git,
  request: GitCheckout,
  source: string,
  workTree: string,
  format: readonly string[],
): Promise<Git> {
  const { ref, remote } = request
  const kept = git.in(join(workTree, '.git')).withTree(workTree)
  await kept.run(['-c', 'init.defaultBranch=master', 'init', '--quiet', ...format])
  await kept.run(['remote', 'add', 'origin', `file://${source}`])
  const refspec = isCommit(ref) ? FETCHED : `${FETCHED}:${ref}`
  await kept.allowingFiles().run(['fetch', '--quiet', '-u', '--no-tags', '--depth=1', 'origin', refspec])
  await kept.run(['checkout', '--quiet', 'FETCH_HEAD'])
  await kept.run(['remote', 'set-url', 'origin', redactUrl(remote)])
  await kept.run(['reflog', 'expire', '--all', '--expire=now'])
  await rm(join(workTree, '.git', 'FETCH_HEAD'), { force: true })
  return kept
}

/** Modes as git gives them under umask 022, whatever ours is; objects of a kept repository stay read-only. */
function plainTree(tree: Tree): Tree {
  const editor = new TreeEditor(tree)
  for (const { path, node } of tree.walk()) {
    if (path === '' || node.kind === 'symlink') continue
    const isExecutable = node.kind === 'dir' || (node.mode & 0o100) !== 0
    const mode = isExecutable ? 0o755 : (node.mode & 0o200) === 0 ? 0o444 : 0o644
    if (mode !== node.mode) editor.put(path, node.with({ mode }))
  }
  return editor.finish()
}

/** Variables that reach git: how to find it and the network, and no configuration. */
const PASSED_ON = [
  'PATH',
  'SSH_AUTH_SOCK',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'TMPDIR',
  'SYSTEMROOT',
] as const

const NOWHERE = process.platform === 'win32' ? 'NUL' : '/dev/null'

/** What git prints on either stream is bounded: a remote may send anything. */
const OUTPUT_MAX = 64 * 2 ** 20

class Git {
  private gitDir: string | undefined
  private workTree: string | undefined
  private protocols = 'http:https:ssh:git'

  constructor(
    private readonly program: string,
    private readonly access: GitAccess,
  ) {}

  get remote(): string {
    return this.access.remote
  }

  in(gitDir: string): Git {
    return Object.assign(this.copy(), { gitDir })
  }

  withTree(workTree: string): Git {
    return Object.assign(this.copy(), { workTree })
  }

  allowingFiles(): Git {
    return Object.assign(this.copy(), { protocols: 'file' })
  }

  /** The commit that an object or a tag of one is; `undefined` when it is not here. */
  async commitOf(object: string): Promise<string | undefined> {
    return this.run(['rev-parse', '--verify', '--quiet', `${object}^{commit}`]).then(
      (text) => text.trim(),
      (error: unknown) => {
        if (error instanceof GitFailure) return undefined
        throw error
      },
    )
  }

  /** @returns what git printed @throws GitFailure with what it complained of; BuildError GIT_MISSING; AbortError */
  run(args: readonly string[]): Promise<string> {
    const { signal, onOutput } = this.access
    throwIfAborted(signal)
    return new Promise((resolve, reject) => {
      const where = this.workTree === undefined ? [] : ['--work-tree', this.workTree]
      const repository = this.gitDir === undefined ? [] : ['--git-dir', this.gitDir]
      const command = ['-c', `core.hooksPath=${NOWHERE}`, ...where, ...repository, ...args]
      // A group of its own: git's helpers for the network must end with it.
      const child = spawn(this.program, command, {
        cwd: this.workTree ?? tmpdir(),
        env: this.environment(),
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: process.platform !== 'win32',
      })
      const stop = (): void => killGroup(child.pid)
      signal?.addEventListener('abort', stop, { once: true })
      const out = new Collected(stop)
      const errors = new Collected(stop)
      child.stdout.on('data', (chunk: Uint8Array) => out.add(chunk))
      child.stderr.on('data', (chunk: Uint8Array) => {
        errors.add(chunk)
        onOutput?.(chunk)
      })
      child.on('error', (cause: NodeJS.ErrnoException) => {
        signal?.removeEventListener('abort', stop)
        reject(cause.code === 'ENOENT' ? missing(this.program, cause) : cause)
      })
      child.on('close', (code) => {
        signal?.removeEventListener('abort', stop)
        if (signal?.aborted === true) reject(new AbortError(signal.reason))
        else if (code === 0) resolve(out.text)
        else reject(new GitFailure(redacted(errors.text, this.remote) || `git ended with ${code}`))
      })
    })
  }

  private environment(): NodeJS.ProcessEnv {
    const env: NodeJS.ProcessEnv = {
      HOME: NOWHERE,
      XDG_CONFIG_HOME: NOWHERE,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: NOWHERE,
      GIT_TERMINAL_PROMPT: '0',
      GIT_ASKPASS: '',
      SSH_ASKPASS: '',
      GIT_SSH_COMMAND: `ssh -F ${NOWHERE} -o BatchMode=yes`,
      GIT_ALLOW_PROTOCOL: this.protocols,
      LC_ALL: 'C',
    }
    for (const name of PASSED_ON) {
      const value = process.env[name]
      if (value !== undefined) env[name] = value
    }
    // In the environment and not on the command line, which everybody on the machine can read.
    const { authorization, remote } = this.access
    if (authorization !== undefined) {
      env.GIT_CONFIG_COUNT = '1'
      env.GIT_CONFIG_KEY_0 = `http.${authorizedScope(remote)}.extraheader`
      env.GIT_CONFIG_VALUE_0 = `Authorization: ${authorization}`
    }
    return env
  }

  private copy(): Git {
    const { gitDir, workTree, protocols } = this
    return Object.assign(new Git(this.program, this.access), { gitDir, workTree, protocols })
  }
}

/** Submodules on GitHub may use the secret of a remote there. @see moby/buildkit source/git/source.go tokenScope */
function authorizedScope(remote: string): string {
  return /^https:\/\/(?:www\.)?github\.com\//.exec(remote)?.[0] ?? remote
}

class GitFailure extends Error {}

class Collected {
  readonly #chunks: Uint8Array[] = []
  #size = 0

  constructor(private readonly onTooMuch: () => void) {}

  add(chunk: Uint8Array): void {
    this.#size += chunk.byteLength
    if (this.#size > OUTPUT_MAX) this.onTooMuch()
    else this.#chunks.push(chunk)
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString()
  }
}

function missing(program: string, cause: unknown): BuildError {
  return new BuildError(
    'GIT_MISSING',
    `git sources need ${program}, which is not on PATH; install it, or give build() a GitClient`,
    { cause },
  )
}

/** git repeats URLs in its messages, with the password that they may hold. */
function redacted(text: string, remote: string): string {
  return text.replaceAll(remote, redactUrl(remote)).trim()
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
