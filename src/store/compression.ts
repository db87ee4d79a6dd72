// Compression for rooms above: the codecs without their weight. compress.ts, and with it node:zlib, is loaded at the first
// use, so that the store room also runs where there is none.
import type { Compression } from './compress.js'

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

const MAGIC_BYTES = 4

/** How bytes are compressed, by their first four. @see RFC 1952 2.3.1, RFC 8878 3.1.1 */
export async function sniffCompression(head: Uint8Array): Promise<Compression> {
  return (await import('./compress.js')).sniffCompression(head)
}

/** Compressed bytes; the same for the same bytes and level, however they are chunked. @param level  as the codec counts */
export async function* compressStream(
  chunks: Chunks,
  compression: Compression,
  level?: number,
): AsyncGenerator<Uint8Array> {
  const { compress } = await import('./compress.js')
  yield* compress(chunks, compression, { level })
}

/**
 * The bytes as they were before compression, whose kind is told from how they begin; others pass as they are.
 * @throws LayerError COMPRESSION_INVALID when they are damaged or cut short
 */
export async function* decompressStream(chunks: Chunks): AsyncGenerator<Uint8Array> {
  const iterator =
    Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : toAsync(chunks)[Symbol.asyncIterator]()
  const head: Uint8Array[] = []
  let size = 0
  while (size < MAGIC_BYTES) {
    const next = await iterator.next()
    if (next.done === true) break
    head.push(next.value)
    size += next.value.byteLength
  }
  const { decompress, sniffCompression: sniff } = await import('./compress.js')
  const kind = sniff(joined(head))
  yield* decompress(resumed(head, iterator), kind)
}

function joined(head: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(head.flatMap((chunk) => [...chunk.subarray(0, MAGIC_BYTES)]).slice(0, MAGIC_BYTES))
}

async function* toAsync(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks
}

/** What was read ahead, then the rest; ends the source when the reader stops early. */
async function* resumed(
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* head
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}
