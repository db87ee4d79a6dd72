// Files that appear whole beside what a user has: written under a name that says whose they are, then renamed. What a
// killed process left is removed by the next that writes to the same place. An effect file.
import * as fs from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { digestOf, hexOf } from '../digest.js'
import { throwIfAborted } from '../errors.js'
import { currentOwner, isOwnerAlive, type Owner } from './owner.js'

const BLOCK_BYTES = 1 << 20
/** Smaller chunks are gathered into blocks; larger ones go out as they are. */
const GATHER_BELOW = 64 << 10
/** Longer names are replaced by their hash, to leave room for the owner within the 255 bytes of a name. */
const NAME_BYTES_MAX = 160
const LINKS_MAX = 40
/** After this long without a change a file goes whose owner is of another machine or container. */
const SILENT_MS = 24 * 3_600_000

export interface WriteFileOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a file that appears whole or not at all; one that was there keeps its permissions. A link is followed, and what
 * is no regular file (a device, a pipe) is written into. Not synced.
 *
 * @param chunks  must not change after they were given, except by the next call of the iterator's `return`
 * @throws the system's error; AbortError. Nothing is left behind
 */
export async function writeFileWhole(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { signal }: WriteFileOptions = {},
): Promise<void> {
  throwIfAborted(signal)
  const stat = fs.statSync(path, { throwIfNoEntry: false })
  if (stat !== undefined && !stat.isFile()) return writeInto(fs.openSync(path, 'w'), chunks, signal)
  const place = placeOf(path)
  await besidePlace(place, async (temp) => {
    const fd = fs.openSync(temp, 'wx', 0o666)
    if (stat !== undefined) fs.fchmodSync(fd, stat.mode & 0o777)
    await writeInto(fd, chunks, signal)
    fs.renameSync(temp, place)
  })
}

/**
 * Calls `fill` with a free name beside `path`; whatever is there when it ends is removed.
 * What processes that died left there under such names goes first.
 */
export async function besidePlace<T>(path: string, fill: (temp: string) => Promise<T>): Promise<T> {
  sweepBeside(path)
  const temp = tempBeside(path)
  try {
    return await fill(temp)
  } finally {
    fs.rmSync(temp, { recursive: true, force: true })
  }
}

/** Where a path leads, though nothing may be there yet. */
function placeOf(path: string, links = 0): string {
  const target = links < LINKS_MAX ? linkTarget(path) : undefined
  return target === undefined ? path : placeOf(resolve(dirname(path), target), links + 1)
}

function linkTarget(path: string): string | undefined {
  const isLink = fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
  return isLink ? fs.readlinkSync(path) : undefined
}

// ---- names ----

let count = 0

/** `<name>.partial-<pid>-<start>-<host><boot><namespace>-<n>`, the last three as 6 hex digits of their hashes. */
function tempBeside(path: string): string {
  const { pid, started } = currentOwner()
  return `${prefixOf(path)}${pid}-${started}-${placeTag(currentOwner()).join('')}-${++count}`
}

function prefixOf(path: string): string {
  const name = basename(path)
  const short = Buffer.byteLength(name) <= NAME_BYTES_MAX ? name : hexOf(digestOf(name)).slice(0, 32)
  return join(dirname(path), `${short}.partial-`)
}

const OWNER = /^(\d+)-([a-z\d]*)-([\da-f]{6})([\da-f]{6})([\da-f]{6})-\d+$/

const placeTag = ({ host, boot, pidNamespace }: Owner) =>
  [host, boot, pidNamespace].map((text) => hexOf(digestOf(text)).slice(0, 6))

/** The owner that a name tells of, in terms of this process's own: equal hashes stand for equal values. */
function ownerIn(text: string): Owner | undefined {
  const match = OWNER.exec(text)
  if (match === null) return undefined
  const [, pid, started, ...tags] = match as unknown as [string, string, string, string, string, string]
  const here = currentOwner()
  const same = placeTag(here).map((tag, i) => tag === tags[i])
  return {
    host: same[0] ? here.host : `not ${here.host}`,
    boot: same[1] ? here.boot : `not ${here.boot}`,
    pidNamespace: same[2] ? here.pidNamespace : `not ${here.pidNamespace}`,
    pid: Number(pid),
    started,
  }
}

/** Best effort: what cannot be removed now is tried again by the next. */
function sweepBeside(path: string): void {
  const prefix = prefixOf(path)
  try {
    for (const name of fs.readdirSync(dirname(path))) {
      if (!name.startsWith(basename(prefix))) continue
      const owner = ownerIn(name.slice(basename(prefix).length))
      const left = join(dirname(path), name)
      if (owner !== undefined && isLeft(owner, left)) fs.rmSync(left, { recursive: true, force: true })
    }
  } catch {
    // as above
  }
}

function isLeft(owner: Owner, path: string): boolean {
  const isAlive = isOwnerAlive(owner)
  if (isAlive !== undefined) return !isAlive
  return Date.now() - fs.lstatSync(path).mtimeMs > SILENT_MS
}

// ---- writing ----

/** Writes all chunks and closes the file. */
async function writeInto(
  fd: number,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const writer = new BlockWriter(fd)
  const add = (chunk: Uint8Array) => {
    throwIfAborted(signal)
    return writer.add(chunk)
  }
  try {
    if (Symbol.iterator in chunks) {
      // Without `for await`, which costs a turn of the event loop for each of a tar's many small pieces.
      for (const chunk of chunks) {
        const wait = add(chunk)
        if (wait !== undefined) await wait
      }
    } else for await (const chunk of chunks) await add(chunk)
    throwIfAborted(signal)
    await writer.flush()
  } finally {
    await writer.settle().catch(() => undefined)
    fs.closeSync(fd)
  }
}

/** The disk has one block while the source makes the next. */
class BlockWriter {
  #writing: Promise<void> | undefined
  #block: Uint8Array | undefined
  #filled = 0

  constructor(readonly fd: number) {}

  add(chunk: Uint8Array): Promise<void> | undefined {
    if (chunk.byteLength >= GATHER_BELOW) return this.#addLarge(chunk)
    this.#block ??= new Uint8Array(BLOCK_BYTES)
    if (this.#filled + chunk.byteLength > BLOCK_BYTES) return this.#flushBlock().then(() => this.add(chunk))
    this.#block.set(chunk, this.#filled)
    this.#filled += chunk.byteLength
    return undefined
  }

  async flush(): Promise<void> {
    await this.#flushBlock()
    await this.settle()
  }

  /** Waits for the write that is under way. @throws its error */
  async settle(): Promise<void> {
    await this.#writing
  }

  async #addLarge(chunk: Uint8Array): Promise<void> {
    await this.#flushBlock()
    await this.#write(chunk)
  }

  async #flushBlock(): Promise<void> {
    const block = this.#block?.subarray(0, this.#filled)
    this.#block = undefined
    this.#filled = 0
    if (block !== undefined && block.byteLength > 0) await this.#write(block)
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#writing
    this.#writing = writeAll(this.fd, bytes)
    // Its error is for whoever waits for it.
    this.#writing.catch(() => undefined)
  }
}

async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    at += await new Promise<number>((done, fail) => {
      fs.write(fd, bytes, at, bytes.byteLength - at, null, (error, written) =>
        error ? fail(error) : done(written),
      )
    })
  }
}
