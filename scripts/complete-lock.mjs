// Adds to package-lock.json the platform packages that `npm install` left out.
//
// npm drops an optional dependency from the lock file when the registry in use does not have it (mirrors often lack the
// binaries of other platforms), and `npm ci` then refuses the lock file as incomplete, on every machine. An entry with
// version, os and cpu is all that `npm ci` needs: it skips what is not for its platform, and asks the registry for the
// rest. Run after each `npm install`: node scripts/complete-lock.mjs
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const path = join(dirname(dirname(fileURLToPath(import.meta.url))), 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8'))

const SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const PROCESSORS = [
  'arm64',
  'arm',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'wasm32',
  'x64',
]

const added = []
for (const [at, { optionalDependencies, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies ?? {})) {
    if (isLocked(at, name)) continue
    lock.packages[`node_modules/${name}`] = entry(name, version, dev === true)
    added.push(name)
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(path, JSON.stringify(lock, undefined, 2) + '\n')
console.log(added.length === 0 ? 'nothing was missing' : `added ${added.length}: ${added.join(', ')}`)

/** As Node resolves it: in the package's own node_modules, then in those above. */
function isLocked(at, name) {
  const folders = at
    .split('/node_modules/')
    .map((_, i, parts) => parts.slice(0, i + 1).join('/node_modules/'))
  return ['', ...folders].some((folder) => join(folder, 'node_modules', name) in lock.packages)
}

function entry(name, range, isDev) {
  const words = name.split(/[-/.]/)
  const os = SYSTEMS.find((system) => words.includes(system))
  const cpu = PROCESSORS.find((processor) => words.includes(processor))
  if (os === undefined && cpu !== 'wasm32')
    throw new Error(`${name}: its name says no platform; add it by hand`)
  return {
    version: range.replace(/^[~^]/, ''),
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(isDev ? { dev: true } : {}),
    optional: true,
    ...(os === undefined ? {} : { os: [os] }),
    ...(words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : {}),
  }
}
