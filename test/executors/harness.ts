// What the executors' tests share: a small root file system, a request over it, and a picture of what a run left.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkHost } from '../../src/builder/executors/sandbox/host.js'
import { createMemoryStore, type Store } from '../../src/store/index.js'
import {
  commitDiff,
  EMPTY_TREE,
  TreeNode,
  UnionView,
  type LayerRef,
  type Tree,
} from '../../src/unionfs/index.js'
import { findProgram } from '../peers.js'
import type { ExecRequest, Executor } from '../../src/builder/executor.js'

export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export const PASSWD = [
  'root:x:0:0:root:/root:/bin/bash',
  'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
  'games:x:5:60:games:/usr/games:/usr/sbin/nologin',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
].join('\n')

export const GROUP = [
  'root:x:0:',
  'daemon:x:1:',
  'staff:x:50:',
  'games:x:60:',
  'users:x:100:',
  'nogroup:x:65534:',
].join('\n')

/** A view with the folders and account files of a Debian image, and no programs. */
export function smallRoot(): UnionView {
  const view = new UnionView()
  for (const folder of [
    'bin',
    'dev',
    'etc',
    'home',
    'proc',
    'root',
    'run',
    'sys',
    'usr/bin',
    'usr/local/bin',
    'usr/sbin',
    'var/tmp',
    'work',
  ]) {
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

export function requestFor(
  view: UnionView,
  commandLine: string,
  changes: Partial<ExecRequest> = {},
): ExecRequest {
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

const APPLETS =
  'sh ash cat chgrp chmod chown cp cut date dd df dirname basename echo env find grep head id install ip kill ln ls mkdir mkfifo mknod mount mv nc ping printf ps pwd readlink realpath rm rmdir sed setsid sleep sort stat su tail tar test touch tr true umount uname uniq unlink wc wget which xargs'

/** Debian's busybox-static; `undefined` where it is not installed. */
export const busybox = findProgram('busybox')
/** Whether the sandbox and the root for it are there. */
export const canSandbox = busybox !== undefined && checkHost().host !== undefined

/** `smallRoot` with busybox for its programs. */
export async function busyboxRoot(): Promise<Tree> {
  const view = smallRoot()
  if (busybox !== undefined && existsSync(busybox)) {
    view.fs.writeFileSync('/bin/busybox', readFileSync(busybox), { mode: 0o755 })
    for (const name of APPLETS.split(' ')) view.fs.symlinkSync('busybox', `/bin/${name}`)
  }
  return view.snapshot()
}

let layered: Promise<{ store: Store; layers: readonly LayerRef[] }> | undefined

/** A store with that root as its one layer; shared by the tests of a file. */
export function busyboxLayers(): Promise<{ store: Store; layers: readonly LayerRef[] }> {
  return (layered ??= (async () => {
    const store = createMemoryStore()
    return { store, layers: [await commitDiff(store, EMPTY_TREE, await busyboxRoot())] }
  })())
}

const folders: string[] = []

/** A folder for a sandbox; removed by `removeSandboxFolders`. */
export function sandboxFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-sandbox-test-'))
  folders.push(folder)
  return folder
}

export function removeSandboxFolders(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
}
