// What a run left in an overlay's upper directory, as a changeset. Effect.
import {
  chmodSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmdirSync,
  rmSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { digestOf } from '../../../digest.js'
import { BuildError, StoreError } from '../../../errors.js'
import type { BlobReader } from '../../../store/index.js'
import type { Changeset } from '../../../unionfs/index.js'
import { runInto } from './child.js'
import { fileCommand, type SandboxHost } from './host.js'
import { readUpper, type RootLook } from './overlay-tar.js'

/** Archives up to this size are held in memory; larger ones stay in an unlinked file. Bytes. */
const MEMORY_MAX = 64 << 20

/**
 * Remembers an upper directory before the command begins. @returns whether anything in it, or of it, has changed since
 *
 * Node sees no extended attributes, but whatever changes them changes the time of the last change: where the file system
 * tells two changes apart however short the time between, a directory with nothing in it and the same time is as it was.
 */
export function markUpper(upper: string): () => boolean {
  const before = lstatSync(upper, { bigint: true }).ctimeNs
  return () =>
    readdirSync(upper).length > 0 ||
    lstatSync(upper, { bigint: true }).ctimeNs !== before ||
    !hasFineTimes(dirname(upper))
}

const fineTimes = new Map<number, boolean>()

/** Whether a change after a look always shows in the time: kernels from 6.13 on, most file systems. Tried out. */
function hasFineTimes(folder: string): boolean {
  const { dev } = lstatSync(folder)
  const known = fineTimes.get(dev)
  if (known !== undefined) return known
  const probe = mkdtempSync(join(folder, 'times-'))
  const times = Array.from({ length: 5 }, () => {
    chmodSync(probe, 0o700)
    return lstatSync(probe, { bigint: true }).ctimeNs
  })
  rmdirSync(probe)
  const isFine = new Set(times).size === times.length
  fineTimes.set(dev, isFine)
  return isFine
}

/**
 * Reads the directory through GNU tar, which sees owners, links, devices and attributes. The contents of the changeset's
 * files stay readable after the directory has gone.
 *
 * @param scratch  folder for the archive, on a disk with room
 * @param root  the root directory as it was before the run
 */
export async function readUpperFolder(
  host: SandboxHost,
  upper: string,
  scratch: string,
  root: RootLook,
): Promise<Changeset> {
  const path = join(scratch, 'upper.tar')
  const fd = openSync(path, 'w+', 0o600)
  rmSync(path)
  let keep = false
  try {
    const options = [
      '--format=posix',
      '--pax-option=delete=atime,delete=ctime',
      '--numeric-owner',
      '--xattrs',
      '--xattrs-include=*',
    ]
    // Not by their names: they may be no text, and more than a command line holds.
    const command = fileCommand(host, 'tar', ['-c', '-f', '-', '-C', upper, ...options, '.'])
    const { exitCode, stderr } = await runInto(command, fd)
    // 1 is a warning: a socket that is left out.
    if (exitCode > 1) {
      throw new BuildError('RUN_FAILED', `what the RUN left could not be read: ${stderr.trim()}`, {
        data: { exitCode },
      })
    }
    const size = fstatSync(fd).size
    keep = size > MEMORY_MAX
    const { mode, xattrs } = root
    // A user namespace has one user: the root directory was root's, whosesoever it is in the tree.
    const before = host.privileged ? root : { mode, uid: 0, gid: 0, xattrs }
    return readUpper(keep ? fileReader(fd, size) : memoryReader(fd, size), before)
  } finally {
    if (!keep) closeSync(fd)
  }
}

const NO_DIGEST = digestOf('')

function memoryReader(fd: number, size: number): BlobReader {
  const bytes = readAt(fd, 0, size)
  return { digest: NO_DIGEST, size, read: (offset, length) => bytes.subarray(offset, offset + length) }
}

const openFiles = new FinalizationRegistry<number>((fd) => closeSync(fd))

/** A reader that keeps an unlinked file for as long as somebody reads from it. */
function fileReader(fd: number, size: number): BlobReader {
  const reader: BlobReader = { digest: NO_DIGEST, size, read: (offset, length) => readAt(fd, offset, length) }
  openFiles.register(reader, fd)
  return reader
}

function readAt(fd: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const count = readSync(fd, bytes, done, length - done, offset + done)
    if (count === 0)
      throw new StoreError('SIZE_MISMATCH', 'an archive ended early', { data: { offset, length } })
    done += count
  }
  return bytes
}
