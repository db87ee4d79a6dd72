// zstd where node:zlib has none (before Node 22.15): two small libraries, loaded when one is needed. An effect file.
//
// In: fzstd, plain JavaScript, because it is the one that reads a stream of any length in bounded memory and says when it
// is damaged (250 MB/s; the wasm libraries want the whole blob, or lose what follows a first frame). Out:
// @bokuweb/zstd-wasm, zstd itself (327 MB/s at level 3; the next best had 39).
import { LayerError } from '../errors.js'

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Of the content of one frame. zstd's own streams cut frames too; every reader joins them. @see RFC 8878 3 */
const FRAME_BYTES = 8 << 20

/** fzstd gives at once all that its input unpacks to: 128 KiB for 7 bytes at worst, so the input goes in thin slices. */
const SLICE_BYTES = 4 << 10

export async function* unzstdByLibrary(chunks: Chunks): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import('fzstd')
  const out: Uint8Array[] = []
  const stream = new Decompress((chunk) => void out.push(chunk))
  const push = (bytes: Uint8Array, last: boolean) => {
    try {
      stream.push(bytes, last)
    } catch (cause) {
      throw new LayerError('COMPRESSION_INVALID', `invalid zstd data: ${(cause as Error).message}`, { cause })
    }
  }
  let any = false
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength; at += SLICE_BYTES) {
      any = true
      // It keeps what it cannot use yet, and a source may reuse its buffer.
      push(chunk.slice(at, at + SLICE_BYTES), false)
      yield* out.splice(0)
    }
  }
  if (!any) throw new LayerError('COMPRESSION_INVALID', 'invalid zstd data: it is empty')
  push(new Uint8Array(0), true)
  yield* out.splice(0)
}

let library: Promise<typeof import('@bokuweb/zstd-wasm')> | undefined

async function loadLibrary(): Promise<typeof import('@bokuweb/zstd-wasm')> {
  const { default: zstd } = (await import('@bokuweb/zstd-wasm')) as unknown as {
    default: typeof import('@bokuweb/zstd-wasm')
  }
  await zstd.init()
  return zstd
}

/** One frame for each 8 MiB; an empty one for no bytes at all. */
export async function* zstdByLibrary(chunks: Chunks, level: number): AsyncGenerator<Uint8Array> {
  const zstd = await (library ??= loadLibrary())
  const frame = new Uint8Array(FRAME_BYTES)
  let filled = 0
  let frames = 0
  const flush = () => {
    frames++
    const out = zstd.compress(frame.subarray(0, filled), level)
    filled = 0
    return out
  }
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) {
      const count = Math.min(FRAME_BYTES - filled, chunk.byteLength - at)
      frame.set(chunk.subarray(at, at + count), filled)
      filled += count
      at += count
      if (filled === FRAME_BYTES) yield flush()
    }
  }
  if (filled > 0 || frames === 0) yield flush()
}
