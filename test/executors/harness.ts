// What the executors' tests share: a small root file system, a request over it, and a picture of what a run left.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
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

/** Folders and configuration of a Debian image, and no programs. */
export function configuration(): Tree {
  const view = new UnionView()
  const folders =
    'dev etc home opt proc root run sys usr/bin usr/lib usr/lib64 usr/sbin usr/local/bin var/lib/apt/lists var/log var/tmp work'
  for (const folder of folders.split(' ')) view.fs.mkdirSync(`/${folder}`, { recursive: true })
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) view.fs.symlinkSync(`usr/${name}`, `/${name}`)
  view.fs.mkdirSync('/tmp')
  view.fs.chmodSync('/tmp', 0o1777)
  view.fs.chmodSync('/root', 0o700)
  view.fs.writeFileSync('/etc/passwd', `${PASSWD}\n`)
  view.fs.writeFileSync('/etc/group', `${GROUP}\n`)
  view.fs.writeFileSync('/etc/hostname', 'box\n')
  view.fs.writeFileSync('/etc/example.conf', '# comment\nListen 80\nRoot /usr/local/www\n')
  for (const [path, text] of Object.entries(FILES)) {
    view.fs.mkdirSync(dirname(path), { recursive: true })
    view.fs.writeFileSync(path, text)
  }
  view.fs.chmodSync('/etc/shadow', 0o640)
  view.fs.chmodSync('/etc/gshadow', 0o640)
  for (const path of view.fs.readdirSync('/', { recursive: true, encoding: 'utf8' }))
    view.fs.lutimesSync(`/${path}`, OLD, OLD)
  return view.snapshot()
}

const names = (text: string): string[] => text.split('\n').map((line) => line.split(':')[0]!)

const FILES: Readonly<Record<string, string>> = {
  '/etc/shadow': names(PASSWD)
    .map((name) => `${name}:*:19700:0:99999:7:::\n`)
    .join(''),
  '/etc/gshadow': names(GROUP)
    .map((name) => `${name}:*::\n`)
    .join(''),
  '/etc/skel/.profile': 'umask 022\n',
  '/etc/app/a.conf': 'a\n',
  '/etc/app/b.conf': 'b\n',
  '/etc/app/conf.d/c.conf': 'c\n',
  '/etc/app/readme': 'text\n',
}

/** 2024-01-01 */
const OLD = 1_704_067_200

/** A view of `configuration`. */
export function smallRoot(): UnionView {
  return UnionView.open(configuration())
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

/** What a run changed, by path: gone, or what is there now. Times and link counts of directories take no part. */
export function effectOf(before: Tree, after: Tree): Record<string, string> {
  const out: Record<string, string> = {}
  const view = new UnionView(after, {}, before)
  for (const { kind, path } of view.changes()) {
    const node = after.lookup(path.slice(1))
    const lower = before.lookup(path.slice(1))
    if (kind === 'D' || node === undefined) out[path] = 'gone'
    else if (lower === undefined || describeNode(lower) !== describeNode(node)) out[path] = describeNode(node)
  }
  return out
}
