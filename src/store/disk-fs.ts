// The few file system calls that the disk store makes. A contract of its own, so that a test can fail or stop the n-th of
// them, and so that disk*.ts are free of `node:` imports. Implementation: node-fs.ts.
//
// Small calls are synchronous, because a promise costs more than they do; what waits for the disk, or moves much, is not.

export interface FileStat {
  readonly kind: 'file' | 'dir' | 'other'
  /** Bytes. */
  readonly size: number
  readonly mtimeMs: number
  readonly ino: number
}

/**
 * - `read`: must exist
 * - `create`: must not exist; for writing
 * - `append`: must exist; for writing at the end
 */
export type OpenMode = 'read' | 'create' | 'append'

/** Errors are Node's (`code`, `syscall`, `path`); absence is `undefined` or `false` where the type says so. */
export interface DiskFs {
  /** @param permissions  of a created file, default 0o644 */
  open(path: string, mode: OpenMode, permissions?: number): number
  close(fd: number): void
  stat(path: string): FileStat | undefined
  statFd(fd: number): FileStat
  /** Fills `into` from `position`, or as much of it as the file has. @returns bytes read */
  read(fd: number, into: Uint8Array, position: number): number
  /** The file's beginning with one call of the system, which may give less than there is. @returns bytes read */
  readOnce(fd: number, into: Uint8Array): number
  /** As `read`, off the event loop. */
  readLater(fd: number, into: Uint8Array, position: number): Promise<number>
  /** Writes all of `bytes` at the file's position. */
  write(fd: number, bytes: Uint8Array): void
  /** As `write`, off the event loop; `bytes` must not change meanwhile. */
  writeLater(fd: number, bytes: Uint8Array): Promise<void>
  truncate(path: string, size: number): void
  /** Sets permission bits. */
  chmod(path: string, permissions: number): void
  /** fsync of a file. */
  sync(fd: number): Promise<void>
  /** fsync of a directory; nothing where the platform cannot. */
  syncDir(path: string): Promise<void>
  readFile(path: string): Uint8Array | undefined
  /** Names, or `undefined` when there is no such directory. */
  readDir(path: string): string[] | undefined
  /** With parents; an existing one is no error. */
  makeDir(path: string): void
  /** Removes an empty directory. @returns false when it is not empty or not there */
  removeDir(path: string): boolean
  rename(from: string, to: string): void
  /** @returns false when `to` exists */
  link(from: string, to: string): boolean
  /** @returns false when it was not there */
  remove(path: string): boolean
  /** Sets the modification time. @returns false when the file is not there */
  touch(path: string, timeMs: number): boolean
  /** Bytes of the file system: all, and free for this process. */
  space(path: string): { readonly total: number; readonly free: number }
}

/** The `code` of a system error, or `undefined` for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : undefined
}

/** Whether an error means "this file system is not ours to write". */
export function isReadOnlyError(error: unknown): boolean {
  const code = errnoOf(error)
  return code === 'EROFS' || code === 'EACCES' || code === 'EPERM'
}
