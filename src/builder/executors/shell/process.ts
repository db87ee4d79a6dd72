// What a command of the in-process shell works with: a process's credentials and the file system as that process sees it.
import type { UnionView } from '../../../unionfs/index.js'
import type { Identity } from '../accounts.js'

export type ViewFs = UnionView['fs']

/** State that lives as long as one RUN: shared by its shells and commands. */
export interface ShellProcess {
  /** For what node:fs has no calls for; acts as root. */
  readonly view: UnionView
  readonly fs: ViewFs
  readonly identity: Identity
  /** Some of the files cannot be changed by anyone, or not as much as one wants: the root, or a mount. */
  readonly hasMounts?: boolean
  /** Of the commands under way: where their output goes to, and what it could not all be written to. See redirect.ts. */
  readonly redirected: { readonly paths: Set<string>; full: boolean }
  /** Bits that are taken off the mode of what is created. */
  umask: number
  /** Handlers by condition name, set by `trap`. */
  readonly traps: Map<string, string>
  readonly signal: AbortSignal | undefined
}

/** A command as the shell calls it. Synchronous unless it must call other commands. */
export type Applet = (args: readonly string[], io: AppletIO) => number | Promise<number>

export interface AppletIO {
  readonly process: ShellProcess
  readonly fs: ViewFs
  readonly cwd: string
  readonly env: ReadonlyMap<string, string>
  /** All of standard input. */
  readonly stdin: Uint8Array
  /** An absolute path for an argument; `..` is left to the file system, because of symlinks. */
  path(argument: string): string
  out(data: string | Uint8Array): void
  /** A message on standard error, with the command's name before it and a line end after it. */
  warn(message: string): void
  /** Runs another command line with the given input. */
  exec(argv: readonly string[], stdin?: Uint8Array): Promise<number>
  /** The bundled command of the same name, where the shell has one. */
  readonly original: ((args: readonly string[]) => Promise<number>) | undefined
}

/** A wrong call: the message for standard error and the exit code. */
export class UsageError extends Error {
  readonly exitCode: number
  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/** The text that C programs print for an error of a system call. */
export function errorText(error: unknown): string {
  const code = (error as { code?: string }).code ?? ''
  return ERROR_TEXTS[code] ?? (error instanceof Error ? error.message : String(error))
}

const ERROR_TEXTS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EINVAL: 'Invalid argument',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMLINK: 'Too many links',
  ENAMETOOLONG: 'File name too long',
  ENOENT: 'No such file or directory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENOTEMPTY: 'Directory not empty',
  EPERM: 'Operation not permitted',
  EROFS: 'Read-only file system',
  EXDEV: 'Invalid cross-device link',
}

/** Whether a path exists; a symlink counts even when it dangles. */
export function lexists(fs: ViewFs, path: string): boolean {
  return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

export function isDirectory(fs: ViewFs, path: string): boolean {
  try {
    return fs.statSync(path).isDirectory()
  } catch {
    return false
  }
}
