// Which compression an archive of ADD has, by its first bytes, and its content without it. An effect file: the codecs are
// loaded when an archive needs them.
// @see moby/buildkit util/archiveutil DecompressStream (plain, gzip, bzip2, xz, zstd)
import { LayerError } from '../../errors.js'
import { bytesReader, decompressStream, sniffCompression, type BlobReader } from '../../store/index.js'

const HEAD_BYTES = 8
const CHUNK = 1 << 20
const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]

/** What came out of a file, and why no more did where it is damaged. */
export interface Decompressed {
  readonly content: BlobReader
  readonly damage: Error | undefined
}

/** The content without its compression, as far as it can be read; the file itself when it is not compressed. */
export async function decompressArchive(file: BlobReader): Promise<Decompressed> {
  const head = file.read(0, Math.min(HEAD_BYTES, file.size))
  if (isGzip(head)) {
    const { gunzip } = await import('./archive-gzip.js')
    const { parts, damage } = await gunzip(file.read(0, file.size))
    return { content: bytesReader(file.digest, joined(parts)), damage }
  }
  const parts: Uint8Array[] = []
  let damage: Error | undefined
  try {
    const unpacked = await unpack(head, file)
    if (unpacked === undefined) return { content: file, damage }
    for await (const part of unpacked) parts.push(part)
  } catch (cause) {
    const offset = parts.reduce((sum, part) => sum + part.byteLength, 0)
    damage = new LayerError('TAR_TRUNCATED', 'unexpected EOF: the archive is damaged', {
      cause,
      data: { offset },
    })
  }
  return { content: bytesReader(file.digest, joined(parts)), damage }
}

function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b && head[2] === 8
}

async function unpack(
  head: Uint8Array,
  file: BlobReader,
): Promise<AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined> {
  if (XZ_MAGIC.every((byte, i) => head[i] === byte)) return unpackXz(file)
  const { decompressBzip2, isBzip2 } = await import('./bzip2.js')
  if (isBzip2(head)) return decompressBzip2(file.read(0, file.size))
  return (await sniffCompression(head)) !== 'zstd' ? undefined : decompressStream(chunksOf(file))
}

async function* unpackXz(file: BlobReader): AsyncGenerator<Uint8Array> {
  const module = (await import('xz-decompress')) as typeof import('xz-decompress') & {
    readonly default?: typeof import('xz-decompress')
  }
  const { XzReadableStream } = module.default ?? module
  const chunks = chunksOf(file)
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { done, value } = chunks.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
  })
  const reader = new XzReadableStream(source).getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
}

function* chunksOf(file: BlobReader): Generator<Uint8Array, undefined> {
  for (let at = 0; at < file.size; at += CHUNK) yield file.read(at, Math.min(CHUNK, file.size - at))
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
