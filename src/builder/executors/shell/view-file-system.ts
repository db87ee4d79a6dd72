// The file system that just-bash is given: its IFileSystem over a view's fs, as one process with its umask sees it.
//
// `mkdirSync` and `writeFileSync` are left off on purpose: just-bash writes 184 stub files into any file system that has
// them. Commands are found through PATH in the file system; where the root has no file for a command that the shell
// provides, `exists` and `stat` answer as if there were one, and nothing is written.
import type { IFileSystem, FsStat } from 'just-bash'
import type { Stats } from 'node:fs'
import { bytesOfLatin1, latin1OfBytes } from './latin1.js'
import type { ShellProcess } from './process.js'
import { resolvePath } from './resolve-path.js'

type WriteOptions = Parameters<IFileSystem['writeFile']>[2]

const encoder = new TextEncoder()
const COMMAND_PATH = /^\/(?:usr\/local\/|usr\/)?s?bin\/([^/]+)$/

function bytesOf(content: string | Uint8Array, options: WriteOptions): Uint8Array {
  if (typeof content !== 'string') return content
  const encoding = typeof options === 'string' ? options : options?.encoding
  if (encoding === 'binary' || encoding === 'latin1') return bytesOfLatin1(content)
  return encoder.encode(content)
}

function fsStat(stat: Stats): FsStat {
  return {
    isFile: stat.isFile(),
    isDirectory: stat.isDirectory(),
    isSymbolicLink: stat.isSymbolicLink(),
    mode: stat.mode & 0o7777,
    size: stat.size,
    mtime: stat.mtime,
    dev: stat.dev,
    ino: stat.ino,
  }
}

const STUB: FsStat = {
  isFile: true,
  isDirectory: false,
  isSymbolicLink: false,
  mode: 0o755,
  size: 0,
  mtime: new Date(0),
}

/** @param commands  names of the commands that the shell provides */
export function viewFileSystem(process: ShellProcess, commands: ReadonlySet<string>): IFileSystem {
  const { fs } = process
  /** Names of provided commands that lie in the standard folders, unless the root has something of that path. */
  const isStub = (path: string): boolean => {
    const name = COMMAND_PATH.exec(path)?.[1]
    // /bin alone stands for all, so that `command -v` and `which` name one place.
    return name !== undefined && commands.has(name) && /^\/(usr\/)?bin\//.test(path)
  }
  const created = new Map<string, true>()
  const readBytes = (path: string): Uint8Array => fs.readFileSync(path) as Uint8Array
  const write = (
    path: string,
    content: string | Uint8Array,
    options: WriteOptions,
    flag: 'w' | 'a',
  ): void => {
    if (path === '/dev/null') return
    const isNew = fs.statSync(path, { throwIfNoEntry: false }) === undefined
    try {
      fs.writeFileSync(path, bytesOf(content, options), { flag })
    } catch (error) {
      // just-bash would end with it; what is written then is what there was room for.
      const { redirected } = process
      if ((error as { code?: unknown }).code !== 'ENOSPC' || !redirected.paths.has(fs.realpathSync(path)))
        throw error
      redirected.full = true
    }
    // A redirection makes its file before its command has told which umask holds here; what the command writes comes after.
    if (isNew || created.get(path) !== undefined) fs.chmodSync(path, 0o666 & ~process.umask)
    if (isNew) created.set(path, true)
    else created.delete(path)
  }
  const device = (path: string): boolean => path === '/dev/null'
  return {
    async readFile(path, options) {
      if (device(path)) return ''
      const encoding = typeof options === 'string' ? options : options?.encoding
      if (encoding === 'binary' || encoding === 'latin1') return latin1OfBytes(readBytes(path))
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(readBytes(path))
    },
    async readFileBuffer(path) {
      return device(path) ? new Uint8Array() : Uint8Array.from(readBytes(path))
    },
    async writeFile(path, content, options) {
      write(path, content, options, 'w')
    },
    async appendFile(path, content, options) {
      write(path, content, options, 'a')
    },
    async exists(path) {
      return device(path) || fs.existsSync(path) || isStub(path) || isStubFolder(path)
    },
    async stat(path) {
      if (device(path)) return STUB
      const stat = fs.statSync(path, { throwIfNoEntry: false })
      if (stat === undefined && isStub(path)) return STUB
      return fsStat(stat ?? fs.statSync(path))
    },
    async lstat(path) {
      return device(path) ? STUB : fsStat(fs.lstatSync(path))
    },
    async mkdir(path, options) {
      fs.mkdirSync(path, { recursive: options?.recursive ?? false, mode: 0o777 & ~process.umask })
    },
    async readdir(path) {
      return fs.readdirSync(path)
    },
    async readdirWithFileTypes(path) {
      return fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({
        name: entry.name,
        isFile: entry.isFile(),
        isDirectory: entry.isDirectory(),
        isSymbolicLink: entry.isSymbolicLink(),
      }))
    },
    async rm(path, options) {
      fs.rmSync(path, { recursive: options?.recursive ?? false, force: options?.force ?? false })
    },
    async cp(from, to, options) {
      fs.cpSync(from, to, { recursive: options?.recursive ?? false })
    },
    async mv(from, to) {
      fs.renameSync(from, to)
    },
    resolvePath: (base, path) => resolvePath(base, path),
    getAllPaths: () => [],
    async chmod(path, mode) {
      fs.chmodSync(path, mode)
    },
    async symlink(target, path) {
      fs.symlinkSync(target, path)
    },
    async link(from, to) {
      fs.linkSync(from, to)
    },
    async readlink(path) {
      return fs.readlinkSync(path)
    },
    async realpath(path) {
      return fs.realpathSync(path)
    },
    async utimes(path, atime, mtime) {
      fs.utimesSync(path, atime, mtime)
    },
  }
}

function isStubFolder(path: string): boolean {
  return path === '/usr/bin' || path === '/bin'
}
