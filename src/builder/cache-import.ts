// BuildKit's portable form of a build cache read back into keys: nothing in it is believed that does not fit together. The
// form itself: cache-config.ts. Pure.
// @see moby/buildkit cache/remotecache/v1/{spec,parse}.go
import type { Descriptor } from '../descriptor.js'
import { isDigest, type Digest, type DiffID } from '../digest.js'
import {
  keyIdOf,
  linkKey,
  newKeyId,
  type CacheImport,
  type KeyId,
  type KeyLink,
  type KeyRecord,
} from './cache.js'
import { chainOf, invalid, type CacheConfig, type CacheLayer, type CacheRecord } from './cache-config.js'
import type { LayerRef } from './vertex.js'

export interface ImportSource {
  /** Descriptors of the layers at hand, by digest. */
  readonly layers: ReadonlyMap<Digest, LayerRef>
  read(descriptor: Descriptor): AsyncIterable<Uint8Array>
  /** For the inline form: the image's layers, base first, which `layer` and `chains` count. */
  readonly image?: readonly LayerRef[] | undefined
}

/** Records that one document may have: more is taken for a mistake or an attack. */
const RECORDS_MAX = 100_000

/**
 * Reads `cacheconfig.v0`, or the records of the inline form, for `CacheStore.addImport`.
 * @throws BuildError CACHE_IMPORT_INVALID naming what is wrong
 */
export function importCacheConfig(document: unknown, source: ImportSource): CacheImport {
  const config = (source.image === undefined ? document : { records: document }) as CacheConfig | null
  if (typeof config !== 'object' || config === null) throw invalid('not an object')
  const records = arrayOf<CacheRecord>(config.records, 'records')
  const layers = arrayOf<CacheLayer>(config.layers, 'layers')
  if (records.length > RECORDS_MAX) throw invalid(`${records.length} records`)
  const importer = new Importer(records, layers, source)
  for (let i = 0; i < records.length; i++) importer.add(i)
  return {
    records: importer.out,
    links: importer.links,
    blobs: new Set(source.layers.keys()),
    read: (descriptor) => source.read(descriptor),
  }
}

function arrayOf<T>(value: unknown, name: string): readonly T[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(`${name} is not a list`)
  return value as T[]
}

class Importer {
  readonly out = new Map<KeyId, KeyRecord>()
  readonly links = new Map<string, KeyId[]>()
  readonly #records: readonly CacheRecord[]
  readonly #layers: readonly CacheLayer[]
  readonly #source: ImportSource
  readonly #ids = new Map<number, KeyId>()

  constructor(records: readonly CacheRecord[], layers: readonly CacheLayer[], source: ImportSource) {
    this.#records = records
    this.#layers = layers
    this.#source = source
  }

  /** Adds a record after all that it stands on; not recursively, because a document may be as deep as it likes. */
  add(index: number): void {
    const todo = [index]
    const open = new Set<number>()
    while (todo.length > 0) {
      const next = todo.at(-1)!
      if (this.#ids.has(next)) todo.pop()
      else if (open.has(next)) {
        this.#close(next)
        todo.pop()
      } else {
        open.add(next)
        for (const { link } of this.#inputsOf(next).flat()) {
          if (this.#ids.has(link)) continue
          if (open.has(link)) throw invalid(`record ${link} loops`)
          todo.push(link)
        }
      }
    }
  }

  #inputsOf(index: number): readonly (readonly { readonly selector?: Digest; readonly link: number }[])[] {
    const record = this.#records[index]
    if (record === undefined || !isDigest(String(record.digest))) throw invalid(`record ${index}`)
    return arrayOf<readonly { selector?: Digest; link: number }[]>(record.inputs, 'inputs').map((links) =>
      arrayOf<{ selector?: Digest; link: number }>(links, 'inputs'),
    )
  }

  #close(index: number): void {
    const record = this.#records[index]!
    const inputs = this.#inputsOf(index).map((links) =>
      links.map(({ selector, link }): KeyLink => {
        if (selector !== undefined && !isDigest(String(selector)))
          throw invalid(`selector of record ${index}`)
        return { id: this.#ids.get(link)!, selector }
      }),
    )
    const id = inputs.length === 0 ? keyIdOf(record.digest) : newKeyId(record.digest, inputs)
    this.#ids.set(index, id)
    this.#store(id, record, inputs)
  }

  #store(id: KeyId, record: CacheRecord, inputs: readonly (readonly KeyLink[])[]): void {
    const { digest } = record
    const before = this.out.get(id)?.result
    const result = this.#result(record)
    const newest = before === undefined || (result?.createdMs ?? 0) > before.createdMs ? result : before
    this.out.set(id, { digest, inputs, result: newest })
    inputs.forEach((links, i) => {
      for (const link of links) {
        const key = linkKey(link, i, digest)
        const ids = this.links.get(key)
        if (ids === undefined) this.links.set(key, [id])
        else if (!ids.includes(id)) ids.push(id)
      }
    })
  }

  /** The newest result whose layers are all at hand. */
  #result(record: CacheRecord): KeyRecord['result'] {
    let best: KeyRecord['result']
    for (const { layers, createdAt } of this.#chains(record)) {
      if (layers === undefined) continue
      const createdMs = Math.max(0, Date.parse(createdAt ?? '') || 0)
      if (best !== undefined && best.createdMs >= createdMs) continue
      best = { layers, createdMs, lastUsedMs: createdMs, useCount: 0, costMs: 0, costBytes: 0 }
    }
    return best
  }

  *#chains(
    record: CacheRecord,
  ): Generator<{ readonly layers: readonly LayerRef[] | undefined; readonly createdAt: string | undefined }> {
    const { image } = this.#source
    for (const { layer, createdAt } of arrayOf<{ layer: number; createdAt?: string }>(
      record.layers,
      'layers',
    )) {
      const layers =
        image === undefined
          ? this.#known(chainOf(this.#layers, layer).map(({ blob }) => blob))
          : image.length > layer
            ? image.slice(0, layer + 1)
            : undefined
      yield { layers, createdAt }
    }
    for (const chain of arrayOf<{ layers: number[]; createdAt?: string }>(record.chains, 'chains')) {
      const layers = arrayOf<number>(chain.layers, 'chains').map((at) =>
        image === undefined ? this.#source.layers.get(this.#layers[at]?.blob as Digest) : image[at],
      )
      const whole = layers.every((layer) => layer !== undefined)
      yield { layers: whole ? (layers as LayerRef[]) : undefined, createdAt: chain.createdAt }
    }
  }

  #known(blobs: readonly Digest[]): LayerRef[] | undefined {
    const out = blobs.map((blob) => this.#source.layers.get(blob))
    return out.every((layer) => layer !== undefined) ? (out as LayerRef[]) : undefined
  }
}

/** A layer of a cache manifest. @returns `undefined` when nothing tells the digest of its uncompressed bytes */
export function layerOfDescriptor({
  mediaType,
  digest,
  size,
  annotations,
}: Descriptor): LayerRef | undefined {
  const created = annotations?.['buildkit/createdat']
  const kept = created === undefined ? {} : { annotations: { 'buildkit/createdat': created } }
  const descriptor = { mediaType, digest, size, ...kept }
  const uncompressed = annotations?.['containerd.io/uncompressed']
  if (uncompressed !== undefined && isDigest(uncompressed)) {
    return { descriptor, diffID: uncompressed as string as DiffID }
  }
  return /\+|gzip|zstd/.test(mediaType) ? undefined : { descriptor, diffID: digest as string as DiffID }
}
