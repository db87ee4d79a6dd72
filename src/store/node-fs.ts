// DiskFs over node:fs. An effect file: nothing is decided here.
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf, type DiskFs, type FileStat, type OpenMode } from './disk-fs.js'

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = fs.constants
const FLAGS: Record<OpenMode, number> = {
  read: O_RDONLY,
  create: O_WRONLY | O_CREAT | O_EXCL,
  append: O_WRONLY | O_APPEND,
}

/** `call`'s result, or `fallback` when it fails with one of the codes. */
function unless<T, F>(codes: readonly string[], fallback: F, call: () => T): T | F {
  try {
    return call()
  } catch (error) {
    if (codes.includes(errnoOf(error) ?? '')) return fallback
    throw error
  }
}

function toFileStat(stats: fs.Stats): FileStat {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'dir' : 'other'
  return { kind, size: stats.size, mtimeMs: stats.mtimeMs, ino: stats.ino }
}

const ABSENT = ['ENOENT', 'ENOTDIR']

export const nodeFs: DiskFs = {
  open: (path, mode, permissions = 0o644) => fs.openSync(path, FLAGS[mode], permissions),
  close: (fd) => fs.closeSync(fd),
  stat(path) {
    const stats = unless(ABSENT, undefined, () => fs.statSync(path, { throwIfNoEntry: false }))
    return stats && toFileStat(stats)
  },
  statFd: (fd) => toFileStat(fs.fstatSync(fd)),
  read(fd, into, position) {
    let at = 0
    while (at < into.byteLength) {
      const count = fs.readSync(fd, into, at, into.byteLength - at, position + at)
      if (count === 0) break
      at += count
    }
    return at
  },
  readOnce: (fd, into) => fs.readSync(fd, into, 0, into.byteLength, 0),
  async readLater(fd, into, position) {
    let at = 0
    while (at < into.byteLength) {
      const count = await readOnce(fd, into, at, position + at)
      if (count === 0) break
      at += count
    }
    return at
  },
  write(fd, bytes) {
    for (let at = 0; at < bytes.byteLength;) at += fs.writeSync(fd, bytes, at)
  },
  async writeLater(fd, bytes) {
    for (let at = 0; at < bytes.byteLength;) at += await writeOnce(fd, bytes, at)
  },
  truncate: (path, size) => fs.truncateSync(path, size),
  chmod: (path, permissions) => fs.chmodSync(path, permissions),
  sync: (fd) =>
    new Promise((resolve, reject) => {
      fs.fsync(fd, (error) => (error ? reject(error) : resolve()))
    }),
  async syncDir(path) {
    // Windows opens no directories; some network file systems refuse to sync them.
    const fd = unless(['EISDIR', 'EPERM', 'EACCES'], undefined, () => fs.openSync(path, O_RDONLY))
    if (fd === undefined) return
    try {
      await nodeFs.sync(fd)
    } catch (error) {
      if (!['EINVAL', 'EPERM', 'ENOTSUP'].includes(errnoOf(error) ?? '')) throw error
    } finally {
      fs.closeSync(fd)
    }
  },
  readFile: (path) => unless(ABSENT, undefined, () => fs.readFileSync(path)),
  readDir: (path) => unless(ABSENT, undefined, () => fs.readdirSync(path)),
  makeDir: makeDirs,
  removeDir: (path) =>
    unless(['ENOENT', 'ENOTEMPTY', 'EEXIST'], false, () => {
      fs.rmdirSync(path)
      return true
    }),
  rename: (from, to) => fs.renameSync(from, to),
  link: (from, to) =>
    unless(['EEXIST'], false, () => {
      fs.linkSync(from, to)
      return true
    }),
  remove: (path) =>
    unless(ABSENT, false, () => {
      fs.unlinkSync(path)
      return true
    }),
  touch: (path, timeMs) =>
    unless(ABSENT, false, () => {
      fs.utimesSync(path, timeMs / 1000, timeMs / 1000)
      return true
    }),
  space(path) {
    const { bsize, blocks, bavail } = fs.statfsSync(path)
    return { total: bsize * blocks, free: bsize * bavail }
  },
}

function readOnce(fd: number, into: Uint8Array, at: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, at, into.byteLength - at, position, (error, count) =>
      error ? reject(error) : resolve(count),
    )
  })
}

function writeOnce(fd: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, at, bytes.byteLength - at, null, (error, count) =>
      error ? reject(error) : resolve(count),
    )
  })
}

/**
 * mkdir -p. Not Node's own: where the system answers ENOENT for a parent that is there, as /proc does, its loop has no end.
 */
function makeDirs(path: string): void {
  try {
    fs.mkdirSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' && dirname(path) !== path && !fs.existsSync(dirname(path))) {
      makeDirs(dirname(path))
      fs.mkdirSync(path)
    } else if (fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}
