// The build cache: keys, the links between them, and the results that some of them have, over a store's records. A key
// with inputs is found by walking a link from each input's key; all inputs must lead to the same key. Content keys are
// keys like any other, so that what was found by content once is found by definition the next time.
// @see moby/buildkit solver/{cachemanager,kvcachestorage,cachekey}.go
import type { Descriptor } from '../descriptor.js'
import { digestOf, hexOf, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import type { Env } from '../env.js'
import { systemEnv } from '../env.js'
import { peekRecord, type Store } from '../store/index.js'
import type { Tree } from '../unionfs/index.js'
import { recordId } from './key.js'
import {
  decodeIds,
  decodeKeyRecord,
  encodeIds,
  encodeKeyRecord,
  ID_LENGTH,
  type KeyLink,
  type KeyRecord,
  type StoredResult,
} from './record-codec.js'
import type { LayerRef, Result } from './vertex.js'

export type { KeyLink, KeyRecord, StoredResult } from './record-codec.js'

/** Name of a key in the cache: 160 bits of a sha256 in hex. */
export type KeyId = string

/** A hit is written down at most this often, so that a rebuild without changes writes nothing. */
const TOUCH_AFTER_MS = 3_600_000

/** Key of something without inputs: a source's definition, or content (output -1). */
export function rootKeyId(digest: Digest, output: number): KeyId {
  return keyIdOf(recordId(digest, output))
}

/** Keys, links and results of a cache that came from elsewhere; its layers are fetched when they are needed. */
export interface CacheImport {
  readonly records: ReadonlyMap<KeyId, KeyRecord>
  /** By `linkKey`. */
  readonly links: ReadonlyMap<string, readonly KeyId[]>
  /** Layers that `read` can give. */
  readonly blobs: ReadonlySet<Digest>
  read(descriptor: Descriptor): AsyncIterable<Uint8Array>
}

/** The result of a stack of layers in a store. Opens nothing before `tree()` is called. */
export function storedResult(store: Store, layers: readonly LayerRef[]): Result {
  let tree: Promise<Tree> | undefined
  return { layers, tree: () => (tree ??= openLayers(store, layers)) }
}

/** Loaded here: a build that finds everything opens no layer. */
async function openLayers(store: Store, layers: readonly LayerRef[]): Promise<Tree> {
  const { openTree } = await import('../unionfs/index.js')
  return openTree(store, layers)
}

export interface SaveRequest {
  /** `recordId` of the operation and its output. */
  readonly record: Digest
  readonly inputs: readonly (readonly KeyLink[])[]
  readonly layers: readonly LayerRef[]
  readonly costMs: number
  readonly costBytes: number
}

export class CacheStore {
  readonly #store: Store
  readonly #env: Env
  readonly #pending = new Map<string, Uint8Array>()
  readonly #blobs = new Map<Digest, Promise<boolean>>()
  readonly #imports: CacheImport[] = []

  constructor(store: Store, env: Env = systemEnv) {
    this.#store = store
    this.#env = env
  }

  /**
   * Keys that an operation has when one of its inputs is known by any of `links`. Synchronous and without side effects.
   *
   * @param input   number of the input
   * @param record  `recordId` of the operation and its output
   */
  query(links: readonly KeyLink[], input: number, record: Digest): KeyId[] {
    if (links.length === 1) return this.#follow(linkKey(links[0]!, input, record))
    const found = new Set<KeyId>()
    for (const link of links) for (const id of this.#follow(linkKey(link, input, record))) found.add(id)
    return [...found]
  }

  #follow(key: string): KeyId[] {
    const value = this.#get(key)
    const own = value === undefined ? [] : decodeIds(value)
    if (this.#imports.length === 0) return own
    for (const { links } of this.#imports) {
      for (const id of links.get(key) ?? []) if (!own.includes(id)) own.push(id)
    }
    return own
  }

  /** Whether a key without inputs is there. */
  has(id: KeyId): boolean {
    return this.#get(`k${id}`) !== undefined || this.#imports.some(({ records }) => records.has(id))
  }

  /** What is stored under a key; `undefined` when it is not there, or damaged, or not the key of that record. */
  record(id: KeyId, record?: Digest): KeyRecord | undefined {
    const value = this.#get(`k${id}`)
    const found = value === undefined ? undefined : decodeKeyRecord(value)
    return record !== undefined && found?.digest !== record ? undefined : found
  }

  /** The result under a key, if all its layers are in the store or can be had from an imported cache. */
  async usable(id: KeyId, record?: Digest): Promise<StoredResult | undefined> {
    const own = this.record(id, record)?.result
    if (own !== undefined && (await this.#hasLayers(own))) return own
    for (const { records } of this.#imports) {
      const imported = records.get(id)?.result
      if (imported !== undefined && (await this.#hasLayers(imported))) return imported
    }
    return undefined
  }

  async #hasLayers({ layers }: StoredResult): Promise<boolean> {
    for (const { descriptor } of layers) if (!(await this.#hasBlob(descriptor.digest))) return false
    return true
  }

  #hasBlob(digest: Digest): Promise<boolean> {
    let known = this.#blobs.get(digest)
    if (known === undefined) {
      known = this.#store.blobs
        .stat(digest)
        .then((info) => info !== undefined || this.#imports.some(({ blobs }) => blobs.has(digest)))
      this.#blobs.set(digest, known)
    }
    return known
  }

  /** Asks an imported cache too, after the store's own. */
  addImport(imported: CacheImport): void {
    this.#imports.push(imported)
  }

  /**
   * Makes a result that was found one's own: layers that only an imported cache has are copied into the store, and the
   * key is saved with everything that leads to it, so that the next build finds it without the import.
   * @throws StoreError when a layer is not what its descriptor says
   */
  async adopt(id: KeyId): Promise<void> {
    for (const imported of this.#imports) {
      const result = imported.records.get(id)?.result
      if (result === undefined) continue
      for (const { descriptor } of result.layers) await this.#fetch(descriptor)
      if (this.record(id)?.result === undefined) this.#adoptKeys(imported, id)
      return
    }
  }

  /** Keys below come along; their results count as long as the store has their layers, as those below `id` now are. */
  #adoptKeys(imported: CacheImport, id: KeyId): void {
    const todo = [id]
    const seen = new Set(todo)
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const record = imported.records.get(next)
      if (record === undefined) continue
      const own = this.record(next)
      const inputs = mergeLinks(own?.inputs ?? [], record.inputs)
      this.#pending.set(
        `k${next}`,
        encodeKeyRecord({ digest: record.digest, inputs, result: own?.result ?? record.result }),
      )
      for (const [i, links] of record.inputs.entries()) {
        for (const link of links) {
          this.#link(link, i, record.digest, next)
          if (!seen.has(link.id)) todo.push(link.id)
          seen.add(link.id)
        }
      }
    }
  }

  async #fetch(descriptor: Descriptor): Promise<void> {
    const { digest, size } = descriptor
    if ((await this.#store.blobs.stat(digest)) !== undefined) return
    const source = this.#imports.find(({ blobs }) => blobs.has(digest))
    if (source !== undefined) await this.#store.blobs.put(source.read(descriptor), { digest, size })
  }

  /**
   * The key under which a result with these inputs belongs: the one that all inputs lead to already, else a new one made
   * of them. Equal inputs give equal keys, in this store and in any other.
   *
   * @param identity  per input the links that make the name of a new key
   */
  resolve(
    record: Digest,
    inputs: readonly (readonly KeyLink[])[],
    identity: readonly (readonly KeyLink[])[] = inputs,
  ): KeyId {
    if (inputs.length === 0) return keyIdOf(record)
    let agreed: KeyId[] | undefined
    for (const [i, links] of inputs.entries()) {
      const found = this.query(links, i, record)
      agreed = agreed === undefined ? found : agreed.filter((id) => found.includes(id))
      if (agreed.length === 0) break
    }
    if (agreed !== undefined && agreed.length > 0) return agreed.sort()[0]!
    return newKeyId(record, identity)
  }

  /**
   * Stores a result under a key and links the key from all its inputs. Visible at once, durable after `flush`.
   */
  save(id: KeyId, request: SaveRequest): void {
    const nowMs = this.#nowMs()
    const { record, layers, costMs, costBytes } = request
    const inputs = mergeLinks(this.record(id, record)?.inputs ?? [], request.inputs)
    const times = { createdMs: nowMs, lastUsedMs: nowMs, useCount: 1 }
    const result: StoredResult = { layers, ...times, costMs, costBytes }
    this.#pending.set(`k${id}`, encodeKeyRecord({ digest: record, inputs, result }))
    for (const [i, links] of request.inputs.entries()) {
      for (const link of links) this.#link(link, i, record, id)
    }
    for (const { descriptor } of layers) this.#blobs.set(descriptor.digest, Promise.resolve(true))
  }

  /** Keeps the whole digest of a key without inputs, for exports; it gets no result by that. */
  ensureRoot(record: Digest): void {
    const key = `k${keyIdOf(record)}`
    if (this.#get(key) === undefined) {
      this.#pending.set(key, encodeKeyRecord({ digest: record, inputs: [], result: undefined }))
    }
  }

  /**
   * Lets further keys of an input lead to keys that were found by another way, usually definitions to what was found by
   * content. Writes nothing that is there already.
   */
  connect(links: readonly KeyLink[], input: number, record: Digest, ids: readonly KeyId[]): void {
    for (const id of ids) {
      const added = links.filter((link) => this.#link(link, input, record, id))
      const known = added.length === 0 ? undefined : this.record(id)
      if (known === undefined) continue
      const inputs = mergeLinks(
        known.inputs,
        known.inputs.map((_, i) => (i === input ? added : [])),
      )
      this.#pending.set(`k${id}`, encodeKeyRecord({ digest: known.digest, inputs, result: known.result }))
    }
  }

  /** @returns whether it is new */
  #link(link: KeyLink, input: number, record: Digest, id: KeyId): boolean {
    const key = linkKey(link, input, record)
    const value = this.#get(key)
    const ids = value === undefined ? [] : decodeIds(value)
    if (ids.includes(id)) return false
    this.#pending.set(key, encodeIds([...ids, id]))
    return true
  }

  /** Notes that a result was used; at most once an hour, so that most builds write nothing. */
  touch(id: KeyId): void {
    const record = this.record(id)
    const nowMs = this.#nowMs()
    if (record?.result === undefined || nowMs - record.result.lastUsedMs < TOUCH_AFTER_MS) return
    const result = { ...record.result, lastUsedMs: nowMs, useCount: record.result.useCount + 1 }
    this.#pending.set(`k${id}`, encodeKeyRecord({ digest: record.digest, inputs: record.inputs, result }))
  }

  /** Something small beside the keys, e.g. what explanations need. Visible at once, durable after `flush`. */
  put(key: string, value: Uint8Array): void {
    this.#pending.set(key, value)
  }

  /** Not to be written into. */
  get(key: string): Uint8Array | undefined {
    return this.#get(key)
  }

  /** Writes down what is pending, all or nothing; does nothing when nothing is, and forgets it where nobody can write. */
  async flush(): Promise<void> {
    if (this.#pending.size === 0) return
    const put = [...this.#pending]
    try {
      await this.#store.records.write({ put })
    } catch (error) {
      // A build that made something failed before it came here; one that found everything need not write that down.
      if (!(error instanceof StoreError) || error.code !== 'STORE_READ_ONLY') throw error
    }
    for (const [key, value] of put) if (this.#pending.get(key) === value) this.#pending.delete(key)
  }

  /** All keys, for prune, export and statistics. */
  *entries(): Generator<readonly [id: KeyId, record: KeyRecord]> {
    for (const key of this.#store.records.keys('k')) {
      const record = this.record(key.slice(1))
      if (record !== undefined) yield [key.slice(1), record]
    }
  }

  /** Forgets keys with their results; links that lead to them are dropped with their last target. */
  async remove(ids: readonly KeyId[]): Promise<void> {
    const gone = new Set(ids)
    const put: [string, Uint8Array][] = []
    const remove = ids.flatMap((id) => [`k${id}`, `p${id}`])
    for (const key of this.#store.records.keys('l')) {
      const targets = this.#follow(key)
      const left = targets.filter((id) => !gone.has(id))
      if (left.length === 0) remove.push(key)
      else if (left.length < targets.length) put.push([key, encodeIds(left)])
    }
    await this.#store.records.write({ put, delete: remove })
  }

  #get(key: string): Uint8Array | undefined {
    const pending = this.#pending.size === 0 ? undefined : this.#pending.get(key)
    return pending ?? peekRecord(this.#store.records, key)
  }

  #nowMs(): number {
    return Math.max(0, Number(this.#env.now() / 1_000_000n))
  }
}

/** Id of a key without inputs. */
export function keyIdOf(record: Digest): KeyId {
  return hexOf(record).slice(0, ID_LENGTH)
}

/** Id of a key that is new: what it is made of. @internal */
export function newKeyId(record: Digest, inputs: readonly (readonly KeyLink[])[]): KeyId {
  const parts = inputs.map((links) =>
    links.map(({ id, selector }) => (selector === undefined ? id : `${id};${selector}`)).sort(),
  )
  return hexOf(digestOf(JSON.stringify([record, parts]))).slice(0, ID_LENGTH)
}

/**
 * Record key of a link. Digests are cut to 160 bits, which keeps the index small; a key's record holds the whole digest and
 * is compared with it. @internal
 */
export function linkKey({ id, selector }: KeyLink, input: number, record: Digest): string {
  const part = selector === undefined ? '' : selector.slice(7, 7 + ID_LENGTH)
  return `l${id}${record.slice(7, 7 + ID_LENGTH)}${input}.${part}`
}

/** Ways to a key that its record lists for exports, the latest ones; more are followed, but not told. */
const LINKS_MAX = 64

function mergeLinks(
  a: readonly (readonly KeyLink[])[],
  b: readonly (readonly KeyLink[])[],
): (readonly KeyLink[])[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const out = [...(a[i] ?? [])]
    for (const link of b[i] ?? []) {
      if (!out.some(({ id, selector }) => id === link.id && selector === link.selector)) out.push(link)
    }
    return out.slice(-LINKS_MAX)
  })
}
