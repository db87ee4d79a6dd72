// What a build left in an image, in a form that two builders can be compared by: the config as text with its times of the
// build taken out, and each layer as lines. A layer in which nothing is of the build's own time is its digest as well.
import { createHash } from 'node:crypto'
import type { Digest } from '../../src/digest.js'
import { readSparse, scanTar, type BlobReader, type TarEntry } from '../../src/store/index.js'

export interface LayerRecord {
  /** Of the uncompressed tar; left out where times of the build are in it. */
  readonly diffID?: string
  /** `kind mode uid:gid @mtime [size sha256] path [-> target]` in the order of the tar. */
  readonly entries: readonly string[]
}

export interface ImageRecord {
  /** JSON, keys in the order of the document; without diffIDs; `@now` for times of the build. */
  readonly config: string
  readonly layers: readonly LayerRecord[]
}

export interface BuildRecord {
  /** Text of the error without the tools' prefixes; the build failed. */
  readonly error?: string
  readonly image?: ImageRecord
}

/** Times from here on are those of a build, in seconds: cases name earlier ones only. */
const NOW_FROM = 1_750_000_000

function isNow(seconds: number): boolean {
  return seconds >= NOW_FROM
}

export function imageRecord(config: unknown, layers: readonly Uint8Array[]): ImageRecord {
  return {
    config: JSON.stringify(config, (key, value: unknown) => {
      if (key === 'diff_ids') return (value as unknown[] | null)?.length ?? null
      if (key !== 'created' || typeof value !== 'string') return value
      return isNow(Date.parse(value) / 1000) ? '@now' : value
    }),
    layers: layers.map((bytes) => layerRecord(bytes)),
  }
}

export function layerRecord(bytes: Uint8Array): LayerRecord {
  const reader = readerOf(bytes)
  const found = [...scanTar(reader)]
  const entries = found.map((entry) => entryLine(reader, entry))
  if (found.some(({ mtimeSec }) => isNow(mtimeSec))) return { entries }
  return { diffID: createHash('sha256').update(bytes).digest('hex'), entries }
}

export function readerOf(bytes: Uint8Array): BlobReader {
  return {
    digest: '' as Digest,
    size: bytes.byteLength,
    read: (at, length) => bytes.subarray(at, at + length),
  }
}

function entryLine(reader: BlobReader, entry: TarEntry): string {
  const { kind, mode, uid, gid, mtimeSec, mtimeNsec, path, linkpath, size } = entry
  const time = isNow(mtimeSec) ? 'now' : `${mtimeSec}${mtimeNsec === 0 ? '' : `.${mtimeNsec}`}`
  const words = [kind, mode.toString(8), `${uid}:${gid}`, `@${time}`]
  if (kind === 'file') words.push(String(size), digestOfEntry(reader, entry))
  if (kind === 'chardev' || kind === 'blockdev') words.push(`${entry.devMajor}:${entry.devMinor}`)
  for (const [name, value] of entry.xattrs ?? [])
    words.push(`${name}=${Buffer.from(value).toString('base64')}`)
  words.push(path)
  if (linkpath !== '') words.push('->', linkpath)
  return words.join(' ')
}

function digestOfEntry(reader: BlobReader, entry: TarEntry): string {
  const read = (at: number, length: number): Uint8Array => reader.read(at, length)
  const bytes =
    entry.sparse === undefined
      ? read(entry.dataOffset, entry.size)
      : readSparse(entry.sparse, read, 0, entry.size)
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}
