// A Debian root for differential tests: the machine's own dash, coreutils and companions with their libraries. Only on a
// Debian machine; the results are recorded for all others.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { UnionView, type Tree } from '../../src/unionfs/index.js'
import { configuration } from './harness.js'

const PROGRAMS =
  'dash cat chgrp chmod chown cp cut date dd dirname basename echo env false head id ln ls mkdir mkfifo mknod mktemp mv nl ' +
  'od paste printf pwd readlink realpath rm rmdir seq sha256sum md5sum sleep sort split stat sync tail tee test touch tr true truncate ' +
  'uname uniq unlink wc whoami yes link install find xargs grep sed mawk tar gzip gunzip zcat cmp diff groupadd useradd usermod ' +
  'groupdel userdel groups expr comm join tac rev which base64 fold adduser addgroup perl chage chfn passwd gpasswd nologin'

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
const TREES = ['/usr/share/perl5/Debian', '/usr/lib/x86_64-linux-gnu/perl-base']
const FILES = ['/etc/login.defs', '/etc/default/useradd', '/etc/adduser.conf', '/etc/deluser.conf']

function programPath(name: string): string | undefined {
  return FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

function copyFile(view: UnionView, from: string, to = from): void {
  if (!existsSync(from) || view.fs.existsSync(to)) return
  view.fs.mkdirSync(dirname(to), { recursive: true })
  view.fs.writeFileSync(to, readFileSync(from), { mode: statSync(from).mode & 0o777 })
}

function copyTree(view: UnionView, folder: string): void {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const path = join(folder, name)
    const stat = lstatSync(path)
    if (stat.isDirectory()) copyTree(view, path)
    else if (stat.isSymbolicLink()) {
      view.fs.mkdirSync(folder, { recursive: true })
      view.fs.symlinkSync(readlinkSync(path), path)
    } else copyFile(view, path)
  }
}

function librariesOf(path: string): string[] {
  const { stdout } = spawnSync('ldd', [path], { encoding: 'utf8' })
  return [...(stdout ?? '').matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!)
}

/** Whether this machine is one that the root can be made from. */
export const isDebian =
  existsSync('/etc/debian_version') &&
  programPath('dash') !== undefined &&
  programPath('useradd') !== undefined

/** `configuration` with Debian's programs. */
export function debianRoot(): Tree {
  const view = UnionView.open(configuration())
  const libraries = new Set<string>()
  for (const name of PROGRAMS.split(' ')) {
    const path = programPath(name)
    if (path === undefined) continue
    const to = path.startsWith('/usr/') ? path : `/usr${path}`
    copyFile(view, realpathSync(path), to)
    for (const library of librariesOf(realpathSync(path))) libraries.add(library)
  }
  for (const library of libraries) copyFile(view, realpathSync(library), library)
  for (const [link, target] of [
    ['/usr/bin/sh', 'dash'],
    ['/usr/bin/awk', 'mawk'],
  ] as const)
    view.fs.symlinkSync(target, link)
  for (const folder of TREES) copyTree(view, folder)
  for (const file of FILES) copyFile(view, file)
  return view.snapshot()
}
