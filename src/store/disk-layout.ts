// Where things lie in a store's folder, how the folder comes to be, and the one way in which a file is replaced. The
// folder is an OCI image layout; what is ours is in `lamella/`. @see OCI image-spec v1.1 image-layout.md
import { canonicalJson } from '../descriptor.js'
import { hexOf, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import { errnoOf, type DiskFs } from './disk-fs.js'
import type { Checksum } from './records.js'
import { EMPTY_INDEX } from './refs.js'

/**
 * `full`: what a method has promised is on the disk when it returns. `none`: no fsync; after a crash of the machine (not
 * of the process) anything written lately may be missing or damaged, which `check` finds.
 */
export type Durability = 'full' | 'none'

export const LAYOUT_VERSION = '1.0.0'
/** Of `lamella/`. Raised when an older lamella could do harm to a newer folder. */
export const FORMAT_VERSION = 1

export interface LayoutPaths {
  readonly root: string
  readonly layout: string
  readonly index: string
  readonly blobs: string
  readonly lamella: string
  readonly format: string
  readonly temp: string
  readonly locks: string
  readonly sweeping: string
  readonly leases: string
  readonly reflog: string
  readonly ingest: string
  readonly records: string
  readonly sidecars: string
  readonly documents: string
  readonly holds: string
}

export function layoutPaths(root: string): LayoutPaths {
  const lamella = `${root}/lamella`
  return {
    root,
    layout: `${root}/oci-layout`,
    index: `${root}/index.json`,
    blobs: `${root}/blobs/sha256`,
    lamella,
    format: `${lamella}/format`,
    temp: `${lamella}/tmp`,
    locks: `${lamella}/locks`,
    sweeping: `${lamella}/sweeping`,
    leases: `${lamella}/leases`,
    reflog: `${lamella}/reflog`,
    ingest: `${lamella}/ingest`,
    records: `${lamella}/records`,
    sidecars: `${lamella}/sidecars`,
    documents: `${lamella}/documents`,
    holds: `${lamella}/holds`,
  }
}

export function blobPath(paths: LayoutPaths, digest: Digest): string {
  return `${paths.blobs}/${hexOf(digest)}`
}

/** A store's folder with the means to change it. Shared by the parts of one DiskStore. */
export interface Disk {
  readonly fs: DiskFs
  readonly paths: LayoutPaths
  readonly durability: Durability
  /** Of what is sealed; see records.ts. */
  readonly checksum: Checksum
  /** A name for a temporary file that no other process has. */
  tempName(): string
}

/** Makes a folder with its parents, and makes sure that they are found again after a crash. */
export async function makeFolder(disk: Disk, path: string): Promise<void> {
  const { fs } = disk
  if (fs.stat(path) !== undefined) return
  const parent = path.slice(0, path.lastIndexOf('/'))
  if (parent !== '' && parent !== '.' && parent !== '..') await makeFolder(disk, parent)
  fs.makeDir(path)
  await syncFolder(disk, parent === '' ? (path.startsWith('/') ? '/' : '.') : parent)
}

/** Makes `lamella/` and its temporary folder, marked with the format's version. Called before the first write. */
export async function makeOwnFolder(disk: Disk): Promise<void> {
  const { fs, paths } = disk
  if (fs.stat(paths.temp) !== undefined) return
  await makeFolder(disk, paths.temp)
  try {
    // A torn write is harmless: `openLayout` takes a format file that is no number for this version.
    const fd = fs.open(paths.format, 'create')
    try {
      fs.write(fd, new TextEncoder().encode(`${FORMAT_VERSION}\n`))
    } finally {
      fs.close(fd)
    }
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}

/** A file that is written under a temporary name. Either `publish` or `discard` ends it. */
export interface TempFile {
  readonly path: string
  readonly fd: number
}

export async function createTemp(disk: Disk, permissions?: number): Promise<TempFile> {
  const path = `${disk.paths.temp}/${disk.tempName()}`
  try {
    return { path, fd: disk.fs.open(path, 'create', permissions) }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    await makeOwnFolder(disk)
    return { path, fd: disk.fs.open(path, 'create', permissions) }
  }
}

/** Closes and removes a temporary file; never fails, since it runs while another error is on its way. */
export function discardTemp(disk: Disk, temp: TempFile, closed: boolean): void {
  try {
    if (!closed) disk.fs.close(temp.fd)
    disk.fs.remove(temp.path)
  } catch {
    // gc removes what is left in the temporary folder
  }
}

/** Replaces a small file: temporary file → fsync → rename → fsync of the folder. A crash leaves the old or the new one. */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temp = await writeTemp(disk, bytes)
  try {
    disk.fs.rename(temp.path, path)
  } catch (error) {
    discardTemp(disk, temp, true)
    throw error
  }
  await syncFolder(disk, path.slice(0, path.lastIndexOf('/')))
}

async function writeTemp(disk: Disk, bytes: Uint8Array): Promise<TempFile> {
  const temp = await createTemp(disk)
  let closed = false
  try {
    disk.fs.write(temp.fd, bytes)
    if (disk.durability === 'full') await disk.fs.sync(temp.fd)
    closed = true
    disk.fs.close(temp.fd)
    return temp
  } catch (error) {
    discardTemp(disk, temp, closed)
    throw error
  }
}

export async function syncFolder(disk: Disk, path: string): Promise<void> {
  if (disk.durability === 'full') await disk.fs.syncDir(path)
}

/** Creates a file with its content unless it is there; it appears whole. */
async function createFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temp = await writeTemp(disk, bytes)
  try {
    linkOrRename(disk.fs, temp.path, path)
  } finally {
    disk.fs.remove(temp.path)
  }
}

function linkOrRename(fs: DiskFs, from: string, to: string): void {
  try {
    fs.link(from, to)
  } catch (error) {
    // A file system without hard links: two creators at the same moment write the same bytes.
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '')) throw error
    if (fs.stat(to) === undefined) fs.rename(from, to)
  }
}

/**
 * Makes sure that the folder is a layout that we understand, and makes it one when it is absent or empty and `create`.
 * @throws StoreError STORE_NOT_FOUND | STORE_NOT_OCI | STORE_UNREADABLE | STORE_VERSION
 */
export async function openLayout(disk: Disk, create: boolean): Promise<void> {
  const { fs, paths } = disk
  if (isLayout(disk)) return
  const found = readable(paths.root, () => contentOf(fs, paths.root))
  // Another process may have made it one between the two looks.
  if (found === 'other' && isLayout(disk)) return
  if (found === 'other' || (found === 'empty' && !create) || (found === 'absent' && !create)) {
    const code = found === 'other' ? 'STORE_NOT_OCI' : 'STORE_NOT_FOUND'
    const problem =
      found === 'other' ? 'is not an OCI image layout: it has no oci-layout file' : 'does not exist'
    throw new StoreError(code, `the store ${paths.root} ${problem}`, { data: { path: paths.root } })
  }
  await createLayout(disk)
}

/** @throws StoreError when it is one that we do not understand, or cannot read */
function isLayout({ fs, paths }: Disk): boolean {
  const text = readable(paths.root, () => fs.readFile(paths.layout))
  if (text === undefined) return false
  checkLayoutVersion(paths.root, text)
  const format = readable(paths.root, () => fs.readFile(paths.format))
  checkFormatVersion(paths.root, format)
  return true
}

/** The layout file comes last: a folder without one was never a store, so an interrupted start is simply begun again. */
async function createLayout(disk: Disk): Promise<void> {
  const { paths } = disk
  try {
    await makeOwnFolder(disk)
    await makeFolder(disk, paths.blobs)
  } catch (cause) {
    throw unreadable(paths.root, cause)
  }
  await createFile(disk, paths.index, canonicalJson(EMPTY_INDEX))
  await createFile(disk, paths.layout, canonicalJson({ imageLayoutVersion: LAYOUT_VERSION }))
  await syncFolder(disk, paths.root)
}

function contentOf(fs: DiskFs, root: string): 'absent' | 'empty' | 'begun' | 'other' {
  const stat = fs.stat(root)
  if (stat === undefined) return 'absent'
  if (stat.kind !== 'dir') return 'other'
  const names = fs.readDir(root) ?? []
  if (names.length === 0) return 'empty'
  const ours = new Set(['lamella', 'blobs', 'index.json'])
  return names.includes('lamella') && names.every((name) => ours.has(name)) ? 'begun' : 'other'
}

function readable<T>(root: string, call: () => T): T {
  try {
    return call()
  } catch (cause) {
    throw unreadable(root, cause)
  }
}

function unreadable(root: string, cause: unknown): unknown {
  const code = errnoOf(cause)
  if (code === undefined || cause instanceof StoreError) return cause
  const kind = code === 'ENOTDIR' || code === 'EEXIST' ? 'STORE_NOT_OCI' : 'STORE_UNREADABLE'
  return new StoreError(kind, `cannot open the store ${root}: ${(cause as Error).message}`, {
    data: { path: root, errno: code },
    cause,
  })
}

function checkLayoutVersion(root: string, bytes: Uint8Array): void {
  let version: unknown
  try {
    version = (JSON.parse(new TextDecoder().decode(bytes)) as { imageLayoutVersion?: unknown } | null)
      ?.imageLayoutVersion
  } catch {
    version = undefined
  }
  if (version === LAYOUT_VERSION) return
  if (typeof version !== 'string') {
    throw new StoreError('STORE_NOT_OCI', `${root}/oci-layout is not an OCI layout file`, {
      data: { path: root },
    })
  }
  throw new StoreError('STORE_VERSION', `${root} is an OCI layout of version ${version}, not 1.0.0`, {
    data: { path: root, version },
  })
}

function checkFormatVersion(root: string, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) return
  const version = Number.parseInt(new TextDecoder().decode(bytes), 10)
  if (!(version > FORMAT_VERSION)) return
  throw new StoreError(
    'STORE_VERSION',
    `${root}/lamella was written by a newer lamella (format ${version})`,
    {
      data: { path: root, version },
    },
  )
}
