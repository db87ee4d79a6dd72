// Writing a tree into a host folder. Effect. Nothing is ever written outside the folder: every directory below it is made
// here, or was found to be one, and a tree holds nothing below a symlink, so that no write can pass through one.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { LayerError, throwIfAborted } from '../errors.js'
import { encodePath } from '../path.js'
import type { TreeNode } from './node.js'
import type { Tree } from './tree.js'

export interface CheckoutOptions {
  /** Give files their owners; needs root. Default: whether the process is root. */
  readonly owners?: boolean
  /**
   * The folder is there and may have files. Directories are joined; whatever else has a name of the tree is replaced, a directory by a
   * file too, and a symlink is replaced, never followed. Each file comes into its place whole: it is
   * made in `staging`, an empty folder of the same disk. The folder itself keeps its mode and time.
   * @see tonistiigi/fsutil diskwriter.go, which is what BuildKit's clients write `type=local` with
   */
  readonly merge?: { readonly staging: string } | undefined
  /** Modification time of everything, in seconds, in place of the tree's own. */
  readonly mtimeSec?: number | undefined
  /** Make devices (as root) and FIFOs, by the host's mknod(1). */
  readonly devices?: boolean
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((paths: number) => void) | undefined
}

export interface CheckoutResult {
  readonly paths: number
  readonly bytes: number
  /** What Node has no call for: sockets, device nodes and FIFOs where `devices` did not make them; xattrs left off. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[]
}

const CHUNK_BYTES = 1 << 20
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Writes every file, directory, symlink and hard link with mode, times and, as root, owners.
 *
 * @param folder  absent or, without `merge`, empty; made with its parents
 * @throws LayerError CHECKOUT_NOT_EMPTY; the folder is untouched
 * @throws AbortError when the signal fires; what was written so far stays
 */
export function checkoutTree(tree: Tree, folder: string, options: CheckoutOptions = {}): CheckoutResult {
  const { merge } = options
  mkdirSync(folder, { recursive: true })
  if (merge === undefined && readdirSync(folder).length > 0) {
    throw new LayerError('CHECKOUT_NOT_EMPTY', `${folder} is not empty`, { data: { folder } })
  }
  const checkout = new Checkout(tree, folder, options)
  let paths = 0
  for (const { path, node } of tree.walk()) {
    if ((++paths & 0xff) === 0) {
      throwIfAborted(options.signal)
      options.onProgress?.(paths)
    }
    checkout.write(path, node)
  }
  checkout.finish()
  return { paths, bytes: checkout.bytes, skipped: checkout.skipped }
}

class Checkout {
  bytes = 0
  readonly skipped: { path: string; reason: string }[] = []
  readonly #first = new Map<number, Buffer>()
  readonly #directories: { host: Buffer; node: TreeNode }[] = []
  readonly #owners: boolean

  constructor(
    private readonly tree: Tree,
    private readonly folder: string,
    private readonly options: CheckoutOptions,
  ) {
    this.#owners = options.owners ?? process.getuid?.() === 0
  }

  write(path: string, node: TreeNode): void {
    const host = Buffer.concat([Buffer.from(this.folder), Buffer.from('/'), encodePath(path)])
    if (node.xattrs !== undefined) this.skipped.push({ path, reason: 'xattrs are not written' })
    if (node.kind === 'dir') this.#writeDirectory(path, host, node)
    else if (node.kind === 'symlink') {
      this.#place(host, (at) => {
        symlinkSync(Buffer.from(encodePath(node.target)), at)
        this.#own(at, node)
        this.#setTime(at, node)
      })
    } else if (node.kind === 'file') this.#writeFile(host, node)
    else this.#writeDevice(path, host, node)
  }

  #writeDirectory(path: string, host: Buffer, node: TreeNode): void {
    if (path === '') {
      if (this.options.merge === undefined) this.#directories.push({ host, node })
      return
    }
    const found = this.options.merge ? lstatSync(host, { throwIfNoEntry: false }) : undefined
    if (found !== undefined && !found.isDirectory()) rmSync(host)
    // Entries come after their directory and need it writable; its own mode and times are set at the end.
    if (found?.isDirectory() === true) chmodSync(host, found.mode | 0o700)
    else mkdirSync(host, 0o700)
    this.#directories.push({ host, node })
  }

  #writeFile(host: Buffer, node: TreeNode): void {
    if (node.nlink > 1 && this.tree.linksOf(node).length > 1) {
      const first = this.#first.get(node.ino)
      if (first !== undefined) {
        this.#place(host, (at) => linkSync(first, at))
        return
      }
      this.#first.set(node.ino, host)
    }
    this.#place(host, (at) => this.#writeContent(at, node))
  }

  #writeContent(host: Buffer, node: TreeNode): void {
    const fd = openSync(host, CREATE, 0o600)
    try {
      for (let at = 0; at < node.size; at += CHUNK_BYTES) {
        writeAll(fd, node.source!.read(node.offset + at, Math.min(CHUNK_BYTES, node.size - at)))
      }
      this.bytes += node.size
      this.#own(host, node)
      // After chown, which takes set-id bits off.
      chmodSync(host, node.mode)
      const time = this.#seconds(node)
      futimesSync(fd, time, time)
    } finally {
      closeSync(fd)
    }
  }

  #writeDevice(path: string, host: Buffer, node: TreeNode): void {
    const letter = { chardev: 'c', blockdev: 'b', fifo: 'p' }[node.kind as string]
    if (this.options.devices !== true || letter === undefined) {
      this.skipped.push({ path, reason: `${node.kind} nodes are not made` })
      return
    }
    const numbers = letter === 'p' ? [] : node.rdev.map(String)
    const made = this.#place(host, (at) => {
      // Names that are no UTF-8 have no form in arguments; Node passes text only.
      if (spawnSync('mknod', [at.toString(), letter, ...numbers], { stdio: 'ignore' }).status !== 0)
        return false
      this.#own(at, node)
      chmodSync(at, node.mode)
      this.#setTime(at, node)
      return true
    })
    if (made === false) this.skipped.push({ path, reason: `mknod could not make a ${node.kind}` })
  }

  /** Makes an entry at its place, or, where others may be, apart from it, and moves it there. */
  #place<T>(host: Buffer, make: (at: Buffer) => T): T {
    const { merge } = this.options
    if (merge === undefined) return make(host)
    const staged = Buffer.from(`${merge.staging}/entry`)
    const made = make(staged)
    if (lstatSync(staged, { throwIfNoEntry: false }) === undefined) return made
    const found = lstatSync(host, { throwIfNoEntry: false })
    if (found?.isDirectory() === true) rmSync(host, { recursive: true })
    try {
      renameSync(staged, host)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
      // A disk that is mounted below the folder: what is there goes first.
      rmSync(host, { force: true })
      return make(host)
    }
    // rename(2) of one name of an inode onto another name of it does nothing, and leaves both.
    rmSync(staged, { force: true })
    return made
  }

  #own(host: Buffer, node: TreeNode): void {
    if (this.#owners) lchownSync(host, node.uid, node.gid)
  }

  #setTime(host: Buffer, node: TreeNode): void {
    const time = this.#seconds(node)
    lutimesSync(host, time, time)
  }

  /** Deepest first, because setting an entry's metadata does not touch its parent's times but making it did. */
  finish(): void {
    for (const { host, node } of this.#directories.toReversed()) {
      this.#own(host, node)
      chmodSync(host, node.mode)
      const time = this.#seconds(node)
      utimesSync(host, time, time)
    }
  }

  #seconds({ mtimeSec, mtimeNsec }: TreeNode): number {
    return this.options.mtimeSec ?? mtimeSec + mtimeNsec / 1e9
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength;) at += writeSync(fd, bytes, at)
}
