// The build cache: keys, the links between them, and the results that some of them have, over a store's records. A key
// with inputs is found by walking a link from each input's key; all inputs must lead to the same key. Content keys are
// keys like any other, so that what was found by content once is found by definition the next time.
// @see moby/buildkit solver/{cachemanager,kvcachestorage,cachekey}.go
import { digestOf, hexOf, type Digest } from '../digest.js'
import type { Env } from '../env.js'
import { systemEnv } from '../env.js'
import type { Store } from '../store/index.js'
import { openTree, type Tree } from '../unionfs/index.js'
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
  return hexOf(recordId(digest, output)).slice(0, ID_LENGTH)
}

/** The result of a stack of layers in a store. Opens nothing before `tree()` is called. */
export function storedResult(store: Store, layers: readonly LayerRef[]): Result {
  let tree: Promise<Tree> | undefined
  return { layers, tree: () => (tree ??= openTree(store, layers)) }
}

export interface SaveRequest {
  readonly digest: Digest
  readonly output: number
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

  constructor(store: Store, env: Env = systemEnv) {
    this.#store = store
    this.#env = env
  }

  /**
   * Keys that an operation has when one of its inputs is known by any of `links`. Synchronous and without side effects.
   *
   * @param input   number of the input
   * @param digest  of the operation
   */
  query(links: readonly KeyLink[], input: number, digest: Digest, output: number): KeyId[] {
    if (links.length === 1) return this.#follow(linkKey(links[0]!, input, digest, output))
    const found = new Set<KeyId>()
    for (const link of links) {
      for (const id of this.#follow(linkKey(link, input, digest, output))) found.add(id)
    }
    return [...found]
  }

  #follow(key: string): KeyId[] {
    const value = this.#get(key)
    return value === undefined ? [] : decodeIds(value)
  }

  /** Whether a key without inputs is there. */
  has(id: KeyId): boolean {
    return this.#get(`k${id}`) !== undefined
  }

  /** What is stored under a key; `undefined` when it is not there, or damaged, or not the key of `digest`. */
  record(id: KeyId, digest?: Digest): KeyRecord | undefined {
    const value = this.#get(`k${id}`)
    const record = value === undefined ? undefined : decodeKeyRecord(value)
    return digest !== undefined && record?.digest !== digest ? undefined : record
  }

  /** The result under a key, if all its layers are still in the store. */
  async usable(id: KeyId, digest?: Digest): Promise<StoredResult | undefined> {
    const result = this.record(id, digest)?.result
    if (result === undefined) return undefined
    for (const { descriptor } of result.layers)
      if (!(await this.#hasBlob(descriptor.digest))) return undefined
    return result
  }

  #hasBlob(digest: Digest): Promise<boolean> {
    let known = this.#blobs.get(digest)
    if (known === undefined) {
      known = this.#store.blobs.stat(digest).then((info) => info !== undefined)
      this.#blobs.set(digest, known)
    }
    return known
  }

  /**
   * The key under which a result with these inputs belongs: the one that all inputs lead to already, else a new one made
   * of them. Equal inputs give equal keys, in this store and in any other.
   *
   * @param identity  per input the links that make the name of a new key
   */
  resolve(
    digest: Digest,
    output: number,
    inputs: readonly (readonly KeyLink[])[],
    identity: readonly (readonly KeyLink[])[] = inputs,
  ): KeyId {
    if (inputs.length === 0) return rootKeyId(digest, output)
    let agreed: KeyId[] | undefined
    for (const [i, links] of inputs.entries()) {
      const found = this.query(links, i, digest, output)
      agreed = agreed === undefined ? found : agreed.filter((id) => found.includes(id))
      if (agreed.length === 0) break
    }
    if (agreed !== undefined && agreed.length > 0) return agreed.sort()[0]!
    const parts = identity.map((links) =>
      links.map(({ id, selector }) => `${id}${selector === undefined ? '' : `;${selector}`}`).sort(),
    )
    return hexOf(digestOf(JSON.stringify([digest, output, parts]))).slice(0, ID_LENGTH)
  }

  /**
   * Stores a result under a key and links the key from all its inputs. Visible at once, durable after `flush`.
   * @returns the record as stored
   */
  save(id: KeyId, request: SaveRequest): KeyRecord {
    const nowMs = this.#nowMs()
    const inputs = mergeLinks(this.record(id, request.digest)?.inputs ?? [], request.inputs)
    const { digest, output, layers, costMs, costBytes } = request
    const record: KeyRecord = {
      digest,
      output,
      inputs,
      result: { layers, createdMs: nowMs, lastUsedMs: nowMs, useCount: 1, costMs, costBytes },
    }
    this.#pending.set(`k${id}`, encodeKeyRecord(record))
    for (const [i, links] of request.inputs.entries()) {
      for (const link of links) this.#link(link, i, digest, output, id)
    }
    for (const { descriptor } of layers) this.#blobs.set(descriptor.digest, Promise.resolve(true))
    return record
  }

  /**
   * Lets further keys of an input lead to keys that were found by another way, usually definitions to what was found by
   * content. Writes nothing that is there already.
   */
  connect(
    links: readonly KeyLink[],
    input: number,
    digest: Digest,
    output: number,
    ids: readonly KeyId[],
  ): void {
    for (const id of ids) {
      const added = links.filter((link) => this.#link(link, input, digest, output, id))
      const record = added.length === 0 ? undefined : this.record(id)
      if (record === undefined) continue
      const inputs = mergeLinks(
        record.inputs,
        record.inputs.map((_, i) => (i === input ? added : [])),
      )
      this.#pending.set(`k${id}`, encodeKeyRecord({ ...record, inputs }))
    }
  }

  /** @returns whether it is new */
  #link(link: KeyLink, input: number, digest: Digest, output: number, id: KeyId): boolean {
    const key = linkKey(link, input, digest, output)
    const ids = this.#follow(key)
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
    this.#pending.set(`k${id}`, encodeKeyRecord({ ...record, result }))
  }

  /** Something small beside the keys, e.g. what explanations need. Visible at once, durable after `flush`. */
  put(key: string, value: Uint8Array): void {
    this.#pending.set(key, value)
  }

  get(key: string): Uint8Array | undefined {
    return this.#get(key)
  }

  /** Writes down what is pending, all or nothing; does nothing when nothing is. */
  async flush(): Promise<void> {
    if (this.#pending.size === 0) return
    const put = [...this.#pending]
    await this.#store.records.write({ put })
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
    return (this.#pending.size === 0 ? undefined : this.#pending.get(key)) ?? this.#store.records.get(key)
  }

  #nowMs(): number {
    return Math.max(0, Number(this.#env.now() / 1_000_000n))
  }
}

/**
 * Record key of a link. Digests are cut to 160 bits, which keeps the index small; a key's record holds the whole digest of
 * its operation and is compared with it.
 */
function linkKey({ id, selector }: KeyLink, input: number, digest: Digest, output: number): string {
  const part = selector === undefined ? '' : selector.slice(7, 7 + ID_LENGTH)
  return `l${id}${digest.slice(7, 7 + ID_LENGTH)}${input}.${output}.${part}`
}

function mergeLinks(
  a: readonly (readonly KeyLink[])[],
  b: readonly (readonly KeyLink[])[],
): (readonly KeyLink[])[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const out = [...(a[i] ?? [])]
    for (const link of b[i] ?? []) {
      if (!out.some(({ id, selector }) => id === link.id && selector === link.selector)) out.push(link)
    }
    return out
  })
}
