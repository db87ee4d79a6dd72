// Which compression an archive of ADD has, by its first bytes, and its content without it. An effect file: the codecs are
// loaded when an archive needs them.
// @see moby/buildkit util/archiveutil DecompressStream
import { decompressStream, sniffCompression, type BlobReader } from '../../store/index.js'
import { bytesReader } from '../../store/index.js'

const HEAD_BYTES = 8
const CHUNK = 1 << 20

/** @returns the file itself when it is not compressed; `undefined` when it cannot be decompressed */
export async function decompressArchive(file: BlobReader): Promise<BlobReader | undefined> {
  const head = file.read(0, Math.min(HEAD_BYTES, file.size))
  if ((await sniffCompression(head)) === 'none') return file
  try {
    const parts: Uint8Array[] = []
    for await (const part of decompressStream(chunksOf(file))) parts.push(part)
    return bytesReader(file.digest, join(parts))
  } catch {
    return undefined
  }
}

function* chunksOf(file: BlobReader): Generator<Uint8Array> {
  for (let at = 0; at < file.size; at += CHUNK) yield file.read(at, Math.min(CHUNK, file.size - at))
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
