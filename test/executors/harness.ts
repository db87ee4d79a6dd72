// What the executors' tests share: a small root file system, a request over it, and a picture of what a run left.
import { TreeNode, UnionView } from '../../src/unionfs/index.js'
import type { ExecRequest, Executor } from '../../src/builder/executor.js'

export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export const PASSWD = [
  'root:x:0:0:root:/root:/bin/bash',
  'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
  'games:x:5:60:games:/usr/games:/usr/sbin/nologin',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
].join('\n')

export const GROUP = ['root:x:0:', 'daemon:x:1:', 'staff:x:50:', 'games:x:60:', 'users:x:100:', 'nogroup:x:65534:'].join('\n')

/** A view with the folders and account files of a Debian image, and no programs. */
export function smallRoot(): UnionView {
  const view = new UnionView()
  for (const folder of ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'usr/bin', 'usr/local/bin', 'usr/sbin', 'var/tmp', 'work']) {
    view.fs.mkdirSync(`/${folder}`, { recursive: true })
  }
  view.fs.mkdirSync('/tmp')
  view.fs.chmodSync('/tmp', 0o1777)
  view.fs.chmodSync('/root', 0o700)
  view.fs.writeFileSync('/etc/passwd', `${PASSWD}\n`)
  view.fs.writeFileSync('/etc/group', `${GROUP}\n`)
  return new UnionView(view.snapshot())
}

export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export function requestFor(view: UnionView, commandLine: string, changes: Partial<ExecRequest> = {}): ExecRequest {
  return {
    view,
    argv: ['/bin/sh', '-c', commandLine],
    commandLine,
    env: [
      ['PATH', PATH],
      ['HOME', '/root'],
    ],
    cwd: '/work',
    user: '',
    mounts: [],
    network: 'none',
    onOutput: () => undefined,
    ...changes,
  }
}

export async function runLine(
  executor: Executor,
  view: UnionView,
  commandLine: string,
  changes: Partial<ExecRequest> = {},
): Promise<Outcome> {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
  const onOutput: ExecRequest['onOutput'] = (stream, bytes) => chunks[stream].push(bytes)
  const { exitCode } = await executor.run(requestFor(view, commandLine, { onOutput, ...changes }))
  const text = (parts: Uint8Array[]) => Buffer.concat(parts).toString('utf8')
  return { exitCode, stdout: text(chunks.stdout), stderr: text(chunks.stderr) }
}

/** One line an entry: kind, mode, owner, link count of files, target or content. Times take no part. */
export function picture(view: UnionView, below = ''): Record<string, string> {
  const out: Record<string, string> = {}
  for (const { path, node } of view.snapshot().walk()) {
    if (path === '' || !`${path}/`.startsWith(below)) continue
    out[`/${path}`] = describeNode(node)
  }
  return out
}

function describeNode(node: TreeNode): string {
  const head = `${node.kind} ${node.mode.toString(8)} ${node.uid}:${node.gid}`
  if (node.kind === 'symlink') return `${head} -> ${node.target}`
  if (node.kind !== 'file') return head
  const content = Buffer.from(node.content())
  const shown = content.length > 400 ? `${content.length} bytes` : content.toString('utf8')
  return `${head} x${node.nlink} ${shown}`
}
