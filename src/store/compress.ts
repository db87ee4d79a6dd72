// gzip, zstd or nothing, by media type. Streams; deterministic output. An effect file: uses node:zlib.
import * as zlib from 'node:zlib'
import { MEDIA_TYPES } from '../descriptor.js'
import { isAbortError, LayerError, StoreError } from '../errors.js'
import { unzstdByLibrary, zstdByLibrary } from './zstd.js'

export type Compression = 'none' | 'gzip' | 'zstd'

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Measured: node's default of 16 KiB makes gunzip 2.3 times slower. */
const CHUNK_BYTES = 256 << 10

const BY_MEDIA_TYPE = new Map<string, Compression>([
  [MEDIA_TYPES.layer, 'none'],
  [MEDIA_TYPES.layerGzip, 'gzip'],
  [MEDIA_TYPES.layerZstd, 'zstd'],
  [MEDIA_TYPES.dockerLayer, 'none'],
  [MEDIA_TYPES.dockerLayerGzip, 'gzip'],
  // What some tools write: zstd under Docker's name, and the layers that were not to be distributed.
  [MEDIA_TYPES.dockerLayerZstd, 'zstd'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'gzip'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', 'none'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'gzip'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'zstd'],
])

/** How a layer of this media type is compressed. @throws LayerError MEDIA_TYPE_UNSUPPORTED */
export function compressionOf(mediaType: string): Compression {
  const compression = BY_MEDIA_TYPE.get(mediaType)
  if (compression !== undefined) return compression
  throw new LayerError('MEDIA_TYPE_UNSUPPORTED', `${mediaType} is not the media type of a layer`, {
    data: { mediaType },
  })
}

/** How bytes are compressed, by their first four. @see RFC 1952 2.3.1, RFC 8878 3.1.1 and 3.1.2 */
export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (head.byteLength < 4) return 'none'
  const magic = new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true)
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? 'zstd' : 'none'
}

export interface DecompressOptions {
  /** Stop with LAYER_LIMIT when more bytes than this come out. Default: no limit. */
  readonly sizeMax?: number | undefined
}

/**
 * The bytes as they were before compression.
 * @throws LayerError COMPRESSION_INVALID when they are damaged or cut short, LAYER_LIMIT; errors of `chunks` as they are
 */
export async function* decompress(
  chunks: Chunks,
  compression: Compression,
  options: DecompressOptions = {},
): AsyncGenerator<Uint8Array> {
  const { sizeMax = Number.POSITIVE_INFINITY } = options
  let size = 0
  for await (const chunk of decompressed(chunks, compression)) {
    size += chunk.byteLength
    if (size > sizeMax) {
      throw new LayerError('LAYER_LIMIT', `the layer unpacks to more than ${sizeMax} bytes`, {
        data: { sizeMax },
      })
    }
    yield chunk
  }
}

function decompressed(chunks: Chunks, compression: Compression): Chunks {
  switch (compression) {
    case 'none':
      return chunks
    case 'gzip':
      return through(chunks, zlib.createGunzip({ chunkSize: CHUNK_BYTES }), 'gzip')
    case 'zstd':
      return unzstd(chunks)
  }
}

export interface CompressOptions {
  /** gzip 0 to 9, default 6; zstd 1 to 22, default 3. */
  readonly level?: number | undefined
}

/** Compressed bytes; the same for the same bytes, level and version of the library, however they are chunked. */
export function compress(chunks: Chunks, compression: Compression, options: CompressOptions = {}): Chunks {
  switch (compression) {
    case 'none':
      return chunks
    case 'gzip':
      // Node writes no time and no name into the header; the OS byte is set in `gzipped`.
      return gzipped(chunks, options.level ?? 6)
    case 'zstd':
      return zstd(chunks, options.level ?? 3)
  }
}

async function* gzipped(chunks: Chunks, level: number): AsyncGenerator<Uint8Array> {
  let first = true
  for await (const chunk of through(
    rechunked(chunks),
    zlib.createGzip({ level, chunkSize: CHUNK_BYTES }),
    'gzip',
  )) {
    // Byte 9 names the system that compressed: 255, unknown, so that all systems write the same. RFC 1952 2.3.1
    if (first) chunk[9] = 255
    first = false
    yield chunk
  }
}

interface ZstdModule {
  createZstdDecompress?: (options: object) => zlib.Gunzip
  createZstdCompress?: (options: object) => zlib.Gunzip
  constants: { ZSTD_c_compressionLevel?: number; ZSTD_c_checksumFlag?: number }
}

const native = zlib as unknown as ZstdModule

function unzstd(chunks: Chunks): Chunks {
  if (native.createZstdDecompress !== undefined) {
    return through(chunks, native.createZstdDecompress({ chunkSize: CHUNK_BYTES }), 'zstd')
  }
  return unzstdByLibrary(chunks)
}

function zstd(chunks: Chunks, level: number): Chunks {
  if (native.createZstdCompress !== undefined) {
    const params = { [native.constants.ZSTD_c_compressionLevel ?? 100]: level }
    return through(rechunked(chunks), native.createZstdCompress({ chunkSize: CHUNK_BYTES, params }), 'zstd')
  }
  return zstdByLibrary(chunks, level)
}

/** Blocks of one size, so that how the input is cut does not show in the output. */
async function* rechunked(chunks: Chunks): AsyncGenerator<Uint8Array> {
  let block = new Uint8Array(CHUNK_BYTES)
  let filled = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) {
      const count = Math.min(CHUNK_BYTES - filled, chunk.byteLength - at)
      block.set(chunk.subarray(at, at + count), filled)
      filled += count
      at += count
      if (filled < CHUNK_BYTES) continue
      yield block
      block = new Uint8Array(CHUNK_BYTES)
      filled = 0
    }
  }
  if (filled > 0) yield block.subarray(0, filled)
}

/** Pipes chunks through a zlib stream, one at a time, so that memory stays bounded on both sides. */
async function* through(chunks: Chunks, stream: zlib.Gunzip, name: string): AsyncGenerator<Uint8Array> {
  let sourceError: unknown
  const feeding = feed(chunks, stream).catch((error: unknown) => {
    sourceError = error
    stream.destroy(error as Error)
  })
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    }
  } catch (cause) {
    if (sourceError !== undefined) throw sourceError
    if (isAbortError(cause) || cause instanceof StoreError) throw cause
    throw new LayerError('COMPRESSION_INVALID', `invalid ${name} data: ${(cause as Error).message}`, {
      cause,
    })
  } finally {
    stream.destroy()
    await feeding
  }
}

async function feed(chunks: Chunks, stream: zlib.Gunzip): Promise<void> {
  for await (const chunk of chunks) {
    if (stream.destroyed) return
    if (!stream.write(chunk)) await drained(stream)
  }
  stream.end()
}

function drained(stream: zlib.Gunzip): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done)
      stream.off('close', done)
      resolve()
    }
    stream.on('drain', done)
    stream.on('close', done)
  })
}
