// Repositories whose commits are the same on every machine, and a server for them on a port of its own.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

/** Commits and tag objects of `app.git`. */
export const FIRST = 'ee245f7578ea179775d4986cfc7d96d757617df9'
export const SECOND = '0b46fd2f8f4070cf5591854fb0bee2b7db5d51fc'
export const WITH_SUBMODULE = '178e61d1f8f9d5f5e97042396ecc3ded135c3dfe'
export const TAG_V2 = '3399965ca1a4e1753ab5f4117ca3e36436d2bf49'

/**
 * `app.git` with branches main, v1 (also a tag), feature/x, withsub (a submodule `mod`), ignored (an ignore file and a
 * symlink to a directory), tags light, v1 and v2 (annotated); and `sub.git`.
 */
export function makeRepositories(folder: string): void {
  const app = join(folder, 'app.git')
  const sub = join(folder, 'sub.git')
  const git = (cwd: string, seconds: number, ...args: string[]): string =>
    execFileSync('git', args, { cwd, env: environment(seconds), encoding: 'utf8', stdio: 'pipe' }).trim()
  const write = (path: string, text: string): void => writeFileSync(join(app, path), text)

  mkdirSync(sub, { recursive: true })
  git(sub, 1_700_000_000, 'init', '-q', '-b', 'main')
  writeFileSync(join(sub, 's.txt'), 'subfile\n')
  git(sub, 1_700_000_000, 'add', '.')
  git(sub, 1_700_000_000, 'commit', '-qm', 'sub')

  mkdirSync(join(app, 'docker/web'), { recursive: true })
  git(app, 1_700_000_000, 'init', '-q', '-b', 'main')
  write('a.txt', 'one\n')
  writeFileSync(join(app, 'run.sh'), 'echo hi\n', { mode: 0o755 })
  symlinkSync('a.txt', join(app, 'link'))
  write('docker/web/w.txt', 'w\n')
  write('Dockerfile', 'FROM scratch\nCOPY . /\n')
  write('docker/web/Dockerfile', 'FROM scratch\nCOPY w.txt /ww\n')
  git(app, 1_700_000_000, 'add', '.')
  git(app, 1_700_000_000, 'commit', '-qm', 'first')
  git(app, 1_700_000_000, 'tag', 'light')
  git(app, 1_700_000_000, 'tag', '-a', 'v1', '-m', 'v1')
  write('a.txt', 'two\n')
  git(app, 1_700_000_100, 'commit', '-qam', 'second')
  git(app, 1_700_000_100, 'branch', 'feature/x')
  git(app, 1_700_000_100, 'tag', '-a', 'v2', '-m', 'the second')
  git(app, 1_700_000_200, 'branch', 'v1', 'v2^{}')

  git(app, 1_700_000_200, 'checkout', '-q', '-b', 'withsub')
  write('.gitmodules', '[submodule "mod"]\n\tpath = mod\n\turl = ../sub.git\n')
  git(app, 1_700_000_200, 'add', '.gitmodules')
  const commit = git(sub, 1_700_000_000, 'rev-parse', 'HEAD')
  git(app, 1_700_000_200, 'update-index', '--add', '--cacheinfo', `160000,${commit},mod`)
  git(app, 1_700_000_200, 'commit', '-qm', 'withsub')

  git(app, 1_700_000_300, 'checkout', '-q', '-b', 'ignored', 'v2^{}')
  write('.dockerignore', 'a.txt\n')
  symlinkSync('docker', join(app, 'dlink'))
  git(app, 1_700_000_300, 'add', '.')
  git(app, 1_700_000_300, 'commit', '-qm', 'ign')
  git(app, 1_700_000_300, 'checkout', '-q', 'main')
}

function environment(seconds: number): NodeJS.ProcessEnv {
  const date = `${seconds} +0000`
  return {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@example.org',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.org',
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_DATE: date,
  }
}

export interface GitServer {
  /** `git://127.0.0.1:PORT` */
  readonly url: string
  /** Connections so far. */
  readonly connections: () => number
  close(): Promise<void>
}

/** One `git daemon` for each connection, as inetd would have it: the port is the kernel's to choose. */
export async function serveRepositories(folder: string): Promise<GitServer> {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    const daemon = spawn('git', ['daemon', '--inetd', '--export-all', `--base-path=${folder}`, folder], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: environment(0),
    })
    socket.on('error', () => daemon.kill())
    daemon.stdin.on('error', () => socket.destroy())
    socket.pipe(daemon.stdin)
    daemon.stdout.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `git://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
