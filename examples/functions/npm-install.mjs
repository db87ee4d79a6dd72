// `npm install` for projects whose dependencies are packed (`file:*.tgz`): checks the lock file's integrity values, unpacks
// into node_modules, links the bins, and keeps both lock files as npm 10 writes them. There is no registry behind it.
import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { scanTar } from 'lamella/store'
import { Failure, program, readJson } from './failure.mjs'

const { dirname, join, relative } = posix
/** Fields that a lock file repeats from a package's own package.json, in npm's order. */
const LOCKED_FIELDS = ['license', 'dependencies', 'bin', 'engines']
const ROOT_FIELDS = ['name', 'version', 'license', 'dependencies', 'devDependencies', 'bin', 'engines']

export const npmInstall = program(({ fs, cwd, stdout, signal }) => {
  const project = readJson(fs, join(cwd, 'package.json'))
  const lockPath = join(cwd, 'package-lock.json')
  const lock = fs.existsSync(lockPath) ? readJson(fs, lockPath) : undefined
  const packages = new Map()
  for (const [name, spec] of wantedPackages(project)) {
    signal?.throwIfAborted()
    packages.set(`node_modules/${name}`, loadPackage(fs, cwd, name, spec, lock))
  }
  checkDependencies(packages)
  let added = 0
  for (const [place, found] of packages) if (unpack(fs, join(cwd, place), found)) added++
  const bins = linkBins(fs, cwd, packages)
  prune(fs, cwd, packages, bins)
  writeLocks(fs, cwd, project, packages)
  stdout(`\n${added === 0 ? 'up to date' : `added ${added} package${added === 1 ? '' : 's'}`}\n`)
})

function wantedPackages(project) {
  const wanted = Object.entries({ ...project.devDependencies, ...project.dependencies })
  return wanted.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Reads and verifies one package file. */
function loadPackage(fs, cwd, name, spec, lock) {
  if (!/^file:.+\.tgz$/.test(spec))
    throw new Failure(`npm error ${name}@${spec}: only packed file: dependencies can be had offline`)
  const path = join(cwd, spec.slice('file:'.length))
  if (!fs.existsSync(path)) throw new Failure(`npm error code ENOENT\nnpm error ${path}: no such file`)
  const bytes = fs.readFileSync(path)
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  const locked = lock?.packages?.[`node_modules/${name}`]
  if (locked?.resolved === spec && locked.integrity !== undefined && locked.integrity !== integrity) {
    throw new Failure(
      `npm error code EINTEGRITY\nnpm error ${name}: wanted ${locked.integrity} but got ${integrity}`,
    )
  }
  const files = readTarball(bytes)
  const manifest = files.get('package.json')
  if (manifest === undefined) throw new Failure(`npm error ${path}: there is no package.json in it`)
  return { name, spec, integrity, files, manifest: JSON.parse(new TextDecoder().decode(manifest)) }
}

/** The bytes of a package file's files by path, without the leading `package/`. */
function readTarball(bytes) {
  const tar = new Uint8Array(gunzipSync(bytes))
  const files = new Map()
  for (const { kind, path: full, dataOffset, size } of scanTar(tar)) {
    const path = full.split('/').slice(1).join('/')
    if (kind !== 'file' || path === '' || path.split('/').includes('..')) continue
    files.set(path, tar.subarray(dataOffset, dataOffset + size))
  }
  return files
}

function checkDependencies(packages) {
  for (const { name, manifest } of packages.values()) {
    for (const needed of Object.keys(manifest.dependencies ?? {})) {
      if (!packages.has(`node_modules/${needed}`))
        throw new Failure(`npm error ${name} needs ${needed}, which is not packed`)
    }
    const hook = ['preinstall', 'install', 'postinstall'].find(
      (script) => manifest.scripts?.[script] !== undefined,
    )
    if (hook !== undefined) throw new Failure(`npm error ${name} has a ${hook} script, which cannot run here`)
  }
}

const binsOf = ({ name, manifest }) =>
  typeof manifest.bin === 'string'
    ? [[name.split('/').at(-1), manifest.bin]]
    : Object.entries(manifest.bin ?? {})

/** @returns whether anything had to be done; a package that lies there unchanged is left as it is */
function unpack(fs, target, found) {
  const bins = new Set(binsOf(found).map(([, path]) => join(path)))
  if (isUnpacked(fs, target, found.files)) return false
  fs.rmSync(target, { recursive: true, force: true })
  for (const [path, content] of found.files) {
    const file = join(target, path)
    fs.mkdirSync(dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
    fs.chmodSync(file, bins.has(path) ? 0o755 : 0o644)
  }
  return true
}

function isUnpacked(fs, target, files) {
  for (const [path, content] of files) {
    const file = join(target, path)
    if (!fs.existsSync(file) || Buffer.compare(fs.readFileSync(file), content) !== 0) return false
  }
  return true
}

function linkBins(fs, cwd, packages) {
  const folder = join(cwd, 'node_modules/.bin')
  const names = new Set()
  for (const [place, found] of packages) {
    for (const [name, path] of binsOf(found)) {
      fs.mkdirSync(folder, { recursive: true })
      fs.rmSync(join(folder, name), { force: true })
      fs.symlinkSync(relative(folder, join(cwd, place, path)), join(folder, name))
      names.add(name)
    }
  }
  return names
}

/** Takes away what the last install brought and this one does not want. */
function prune(fs, cwd, packages, bins) {
  const hidden = join(cwd, 'node_modules/.package-lock.json')
  if (!fs.existsSync(hidden)) return
  for (const place of Object.keys(readJson(fs, hidden).packages ?? {})) {
    if (!packages.has(place)) fs.rmSync(join(cwd, place), { recursive: true, force: true })
  }
  const folder = join(cwd, 'node_modules/.bin')
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    if (!bins.has(name)) fs.rmSync(join(folder, name), { force: true })
  }
}

const pick = (value, fields) =>
  Object.fromEntries(fields.filter((key) => value[key] !== undefined).map((key) => [key, value[key]]))

function writeLocks(fs, cwd, project, packages) {
  const entries = {}
  for (const [place, { spec, integrity, manifest }] of packages) {
    entries[place] = {
      version: manifest.version,
      resolved: spec,
      integrity,
      ...pick(manifest, LOCKED_FIELDS),
    }
  }
  const head = { ...pick(project, ['name', 'version']), lockfileVersion: 3, requires: true }
  const full = { ...head, packages: { '': pick(project, ROOT_FIELDS), ...entries } }
  writeIfChanged(fs, join(cwd, 'package-lock.json'), full)
  fs.mkdirSync(join(cwd, 'node_modules'), { recursive: true })
  writeIfChanged(fs, join(cwd, 'node_modules/.package-lock.json'), { ...head, packages: entries })
}

function writeIfChanged(fs, path, value) {
  const text = `${JSON.stringify(value, null, 2)}\n`
  if (!fs.existsSync(path) || fs.readFileSync(path, 'utf8') !== text) fs.writeFileSync(path, text)
}
