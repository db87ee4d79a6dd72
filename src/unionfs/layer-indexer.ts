// A layer's tar → its index, in one pass over the headers: of an archive that is at hand, or of a stream while it passes on
// its way into the store, so that a layer that comes in is read once. Pure.
import { TarScanner, StreamWindow, windowOver, type BlobReader, type TarEntry } from '../store/index.js'
import type { Change } from './changeset.js'
import { changeReader } from './layer-codec.js'
import type { Xxh64 } from './layer-index-format.js'
import { IndexWriter } from './layer-index-writer.js'
import type { ContentSource } from './node.js'

/** An index says where contents are; making one reads none. */
const UNREAD: ContentSource = {
  read: () => {
    throw new Error('contents are not read while a layer is indexed')
  },
}

class Indexing {
  readonly writer = new IndexWriter()
  readonly #scanner: TarScanner
  readonly #changeOf: (entry: TarEntry) => Change | undefined = changeReader(UNREAD)

  constructor(scanner: TarScanner) {
    this.#scanner = scanner
  }

  /** Takes all entries that are there. */
  run(): void {
    const scanner = this.#scanner
    for (;;) {
      switch (scanner.next()) {
        case 'plain':
          if (!this.writer.addPlain(scanner.plain)) this.#add(scanner.plain.toEntry())
          break
        case 'entry':
          this.#add(scanner.entry!)
          break
        default:
          return
      }
    }
  }

  #add(entry: TarEntry): void {
    const change = this.#changeOf(entry)
    if (change !== undefined) this.writer.add(change)
  }
}

/** The index of an uncompressed layer. @throws LayerError as `readLayer` */
export function indexTar(archive: BlobReader | Uint8Array, xxh64: Xxh64): Uint8Array {
  const indexing = new Indexing(new TarScanner(windowOver(archive)))
  indexing.run()
  return indexing.writer.finish(xxh64)
}

/** Chunks larger than this pass in parts. */
const PART_BYTES = 1 << 20

/**
 * Makes the index of an uncompressed layer while its bytes pass. A layer that no index can be made of passes all the
 * same; what is wrong with it `finish` says.
 */
export class LayerIndexer {
  readonly #window = new StreamWindow()
  readonly #indexing = new Indexing(new TarScanner(this.#window))
  #error: unknown
  #ended = false

  /** The same bytes, seen while they pass. */
  pass(
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
    return Symbol.iterator in chunks ? this.through(chunks) : this.throughAsync(chunks)
  }

  /**
   * The same bytes. Each part is looked at when the taker has come back for the next: then it has been hashed, and what
   * of it is looked at is in the processor's cache.
   */
  *through(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
    for (const chunk of chunks) {
      if (chunk.byteLength <= PART_BYTES) {
        yield chunk
        this.push(chunk)
        continue
      }
      for (let at = 0; at < chunk.byteLength; at += PART_BYTES) {
        const part = chunk.subarray(at, at + PART_BYTES)
        yield part
        this.push(part)
      }
    }
  }

  /** As `through`, of a stream. */
  async *throughAsync(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) yield* this.through([chunk])
  }

  push(chunk: Uint8Array): void {
    if (this.#error !== undefined) return
    this.#window.push(chunk)
    this.#run()
  }

  /** Whether all that passed is a layer with anything in it. Ends it. */
  isLayer(): boolean {
    this.#end()
    return this.#error === undefined && this.#indexing.writer.count > 0
  }

  /** Ends it. @throws LayerError as `readLayer` */
  finish(xxh64: Xxh64): Uint8Array {
    this.#end()
    if (this.#error !== undefined) throw this.#error
    return this.#indexing.writer.finish(xxh64)
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#error !== undefined) return
    this.#window.end()
    this.#run()
  }

  #run(): void {
    try {
      this.#indexing.run()
    } catch (error) {
      this.#error = error
    }
  }
}
