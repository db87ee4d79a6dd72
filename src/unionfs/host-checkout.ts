// Writing a tree into a host folder. Effect. Nothing is ever written outside the folder: it has to be empty or absent,
// every directory below it is made here, and a tree holds nothing below a symlink, so that no write can pass through one.
import {
  chmodSync,
  closeSync,
  constants,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
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
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((paths: number) => void) | undefined
}

export interface CheckoutResult {
  readonly paths: number
  readonly bytes: number
  /** What Node has no call for: device nodes, fifos, sockets; and xattrs that were left off. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[]
}

const CHUNK_BYTES = 1 << 20
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Writes every file, directory, symlink and hard link with mode, times and, as root, owners.
 *
 * @param folder  absent or empty; made with its parents
 * @throws LayerError CHECKOUT_NOT_EMPTY; the folder is untouched
 * @throws AbortError when the signal fires; what was written so far stays
 */
export function checkoutTree(tree: Tree, folder: string, options: CheckoutOptions = {}): CheckoutResult {
  mkdirSync(folder, { recursive: true })
  if (readdirSync(folder).length > 0) {
    throw new LayerError('CHECKOUT_NOT_EMPTY', `${folder} is not empty`, { data: { folder } })
  }
  const checkout = new Checkout(tree, folder, options.owners ?? process.getuid?.() === 0)
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

  constructor(
    private readonly tree: Tree,
    private readonly folder: string,
    private readonly owners: boolean,
  ) {}

  write(path: string, node: TreeNode): void {
    const host = Buffer.concat([Buffer.from(this.folder), Buffer.from('/'), encodePath(path)])
    if (node.xattrs !== undefined) this.skipped.push({ path, reason: 'xattrs are not written' })
    if (node.kind === 'dir') {
      // Entries come after their directory and need it writable; its own mode and times are set at the end.
      if (path !== '') mkdirSync(host, 0o700)
      this.#directories.push({ host, node })
    } else if (node.kind === 'symlink') {
      symlinkSync(Buffer.from(encodePath(node.target)), host)
      this.#own(host, node)
      lutimesSync(host, seconds(node), seconds(node))
    } else if (node.kind === 'file') this.#writeFile(host, node)
    else this.skipped.push({ path, reason: `${node.kind} nodes are not made` })
  }

  #writeFile(host: Buffer, node: TreeNode): void {
    if (node.nlink > 1 && this.tree.linksOf(node).length > 1) {
      const first = this.#first.get(node.ino)
      if (first !== undefined) {
        linkSync(first, host)
        return
      }
      this.#first.set(node.ino, host)
    }
    const fd = openSync(host, CREATE, 0o600)
    try {
      for (let at = 0; at < node.size; at += CHUNK_BYTES) {
        writeAll(fd, node.source!.read(node.offset + at, Math.min(CHUNK_BYTES, node.size - at)))
      }
      this.bytes += node.size
      this.#own(host, node)
      // After chown, which takes set-id bits off.
      chmodSync(host, node.mode)
      futimesSync(fd, seconds(node), seconds(node))
    } finally {
      closeSync(fd)
    }
  }

  #own(host: Buffer, node: TreeNode): void {
    if (this.owners) lchownSync(host, node.uid, node.gid)
  }

  /** Deepest first, because setting an entry's metadata does not touch its parent's times but making it did. */
  finish(): void {
    for (const { host, node } of this.#directories.toReversed()) {
      this.#own(host, node)
      chmodSync(host, node.mode)
      utimesSync(host, seconds(node), seconds(node))
    }
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength;) at += writeSync(fd, bytes, at)
}

function seconds(node: TreeNode): number {
  return node.mtimeSec + node.mtimeNsec / 1e9
}
