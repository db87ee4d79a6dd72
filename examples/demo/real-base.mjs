// A `node:20` that really runs things, made of what this machine has: Node with its shared libraries, npm, esbuild, and
// busybox (Debian: busybox-static) for the rest. For the sandbox executor; npm is set to work offline.
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { build } from 'lamella/builder'
import { UnionView } from 'lamella/unionfs'
import { BASE } from './base-image.mjs'

const APPLETS =
  'sh ash cat chmod chown cp cut date dirname basename echo env find grep head id ln ls mkdir mktemp mv ps pwd readlink realpath rm rmdir sed sleep sort stat tail tar test touch tr true uname uniq wc which xargs'
const DOCKERFILE = `FROM scratch
COPY . /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NODE_VERSION=${process.versions.node}
ENV npm_config_offline=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
CMD ["node"]
`
/** 2024-01-01 */
const EPOCH = 1_704_067_200

function findProgram(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return realpathSync(join(folder, name))
    } catch {
      // not in this folder
    }
  }
  throw new Error(`${name} is not on PATH: the sandbox demo needs it`)
}

function copyFile(fs, from, to) {
  fs.mkdirSync(dirname(to), { recursive: true })
  fs.writeFileSync(to, readFileSync(from), { mode: lstatSync(from).mode & 0o777 })
}

function copyTree(fs, from, to) {
  fs.mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from)) {
    const stat = lstatSync(join(from, name))
    if (stat.isDirectory()) copyTree(fs, join(from, name), join(to, name))
    else if (stat.isSymbolicLink()) fs.symlinkSync(readlinkSync(join(from, name)), join(to, name))
    else copyFile(fs, join(from, name), join(to, name))
  }
}

function librariesOf(program) {
  const text = execFileSync('ldd', [program], { encoding: 'utf8' })
  return [...text.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1])
}

/** npm's own folder: `bin/npm-cli.js` is what the `npm` on PATH is. */
const npmFolder = () => dirname(dirname(findProgram('npm')))

function esbuildProgram() {
  const require = createRequire(import.meta.url)
  const name = `@esbuild/${process.platform}-${process.arch}`
  return createRequire(require.resolve('esbuild')).resolve(`${name}/bin/esbuild`)
}

/** The base's files as a view. @throws where the machine lacks a part */
export function realBaseContents() {
  const view = new UnionView()
  const { fs } = view
  for (const folder of [
    'bin',
    'dev',
    'etc',
    'home',
    'proc',
    'root',
    'usr/bin',
    'usr/local/bin',
    'usr/src',
    'var/tmp',
  ]) {
    fs.mkdirSync(`/${folder}`, { recursive: true })
  }
  fs.mkdirSync('/tmp')
  fs.chmodSync('/tmp', 0o1777)
  fs.writeFileSync('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n')
  fs.writeFileSync('/etc/group', 'root:x:0:\nnode:x:1000:\n')
  copyFile(fs, findProgram('busybox'), '/bin/busybox')
  for (const name of APPLETS.split(' ')) fs.symlinkSync('busybox', `/bin/${name}`)
  fs.symlinkSync('../../bin/busybox', '/usr/bin/env')
  copyFile(fs, realpathSync(process.execPath), '/usr/local/bin/node')
  for (const library of librariesOf(process.execPath)) copyFile(fs, realpathSync(library), library)
  copyTree(fs, npmFolder(), '/usr/local/lib/node_modules/npm')
  for (const name of ['npm', 'npx'])
    fs.symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, `/usr/local/bin/${name}`)
  copyFile(fs, esbuildProgram(), '/usr/local/bin/esbuild')
  for (const path of fs.readdirSync('/', { recursive: true })) fs.lutimesSync(`/${path}`, EPOCH, EPOCH)
  return view
}

/** Makes the image under the name of the demo's base; replaces what has that name. */
export async function makeRealBase(store) {
  await build({
    store,
    context: realBaseContents(),
    dockerfile: { text: DOCKERFILE, name: 'Dockerfile.base' },
    tags: [BASE],
    sourceDateEpoch: EPOCH,
  })
}
