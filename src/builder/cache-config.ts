// BuildKit's portable form of a build cache, `cacheconfig.v0`: records with their links as one JSON document, layers by
// reference. The form, and how it is made from a cache's keys; cache-import.ts reads it back into keys. Pure.
// @see moby/buildkit cache/remotecache/v1/{spec,chains,utils}.go, solver/exporter.go
import type { Digest } from '../digest.js'
import { BuildError } from '../errors.js'
import type { CacheStore, KeyId, KeyRecord } from './cache.js'
import { mergeOpDigest, recordId } from './key.js'
import type { LayerRef } from './vertex.js'

export const CACHE_CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0'

export interface CacheConfig {
  readonly layers?: readonly CacheLayer[]
  readonly records?: readonly CacheRecord[]
}

export interface CacheLayer {
  readonly blob: Digest
  /** Index of the layer below, -1 for none; left out where it is 0. */
  readonly parent?: number
}

export interface CacheRecord {
  /** Results by the index of their top layer. */
  readonly layers?: readonly { readonly layer: number; readonly createdAt?: string }[]
  /** Inline form: results whose layers are not the bottom ones of the image. */
  readonly chains?: readonly { readonly layers: readonly number[]; readonly createdAt?: string }[]
  readonly digest: Digest
  readonly inputs?: readonly (readonly { readonly selector?: Digest; readonly link: number }[])[]
}

export interface CacheExport {
  readonly config: CacheConfig
  /** One for each of `config.layers`, in its order. */
  readonly layers: readonly LayerRef[]
}

export interface ExportOptions {
  /**
   * - `min`: results of the steps whose layers the targets' results are made of
   * - `max`: results of all steps that led to them
   */
  readonly mode: 'min' | 'max'
  /**
   * Without the results of merges that no step but a merge stands on: BuildKit makes those when the image is written, which is
   * after it has asked for inline records.
   */
  readonly skipLazyMerges?: boolean | undefined
}

/** The part of a cache that leads to some keys. Sources and content keep their digest and have no result. */
export async function exportCacheConfig(
  cache: CacheStore,
  targets: readonly KeyId[],
  options: ExportOptions,
): Promise<CacheExport> {
  const exporter = new Exporter(cache, options, await chainOfTargets(cache, targets, options))
  for (const id of targets) await exporter.add(id)
  return exporter.finish()
}

interface DraftLayer {
  readonly layer: LayerRef
  readonly parent: number
}

interface DraftRecord {
  readonly digest: Digest
  readonly result: { readonly layer: number; readonly createdAt: string } | undefined
  readonly inputs: readonly (readonly {
    readonly selector: Digest | undefined
    readonly record: DraftRecord
  }[])[]
}

class Exporter {
  readonly #cache: CacheStore
  readonly #options: ExportOptions
  readonly #layers: DraftLayer[] = []
  readonly #chains = new Map<string, number>()
  /** `undefined` while a record is on its way: a link back to it is a loop, and is left out. */
  readonly #records = new Map<KeyId, DraftRecord | undefined>()
  /** What the targets are made of. */
  readonly #chain: ReadonlySet<KeyId>

  constructor(cache: CacheStore, options: ExportOptions, chain: ReadonlySet<KeyId>) {
    this.#cache = cache
    this.#options = options
    this.#chain = chain
  }

  async add(id: KeyId): Promise<DraftRecord | undefined> {
    if (this.#records.has(id)) return this.#records.get(id)
    this.#records.set(id, undefined)
    const record = this.#cache.record(id)
    if (record === undefined) return undefined
    const inputs: DraftRecord['inputs'][number][] = []
    for (const links of record.inputs) {
      const out: { selector: Digest | undefined; record: DraftRecord }[] = []
      for (const { id: from, selector } of links) {
        const source = await this.add(from)
        if (source !== undefined) out.push({ selector, record: source })
      }
      // An input that nothing leads to could never be matched.
      if (out.length === 0) return undefined
      inputs.push(out)
    }
    const draft = { digest: record.digest, inputs, result: await this.#result(id, record) }
    this.#records.set(id, draft)
    return draft
  }

  async #result(id: KeyId, record: KeyRecord): Promise<DraftRecord['result']> {
    if (record.inputs.length === 0) return undefined
    const stored = await this.#cache.usable(id)
    if (stored === undefined || stored.layers.length === 0) return undefined
    if (this.#options.mode === 'min' && !this.#chain.has(id)) return undefined
    return { layer: this.#stack(stored.layers), createdAt: timeText(stored.createdMs) }
  }

  #stack(layers: readonly LayerRef[]): number {
    let parent = -1
    let name = ''
    for (const layer of layers) {
      name = layer.descriptor.digest + name
      let at = this.#chains.get(name)
      if (at === undefined) {
        at = this.#layers.push({ layer, parent }) - 1
        this.#chains.set(name, at)
      }
      parent = at
    }
    return parent
  }

  /** Everything in an order that depends on nothing but what it is, so that equal caches have equal digests. */
  finish(): CacheExport {
    const layerOrder = this.#layers
      .map((draft, index) => ({ draft, index }))
      .sort((a, b) => compareText(blobOf(a.draft), blobOf(b.draft)) || a.draft.parent - b.draft.parent)
    const layerAt = indexOf(layerOrder.map(({ index }) => index))
    const layers = layerOrder.map(({ draft }) => ({
      blob: blobOf(draft),
      ...parentField(draft.parent === -1 ? -1 : layerAt.get(draft.parent)!),
    }))
    const drafts = [...this.#records.values()].filter((draft) => draft !== undefined).sort(compareRecords)
    const recordAt = indexOf(drafts)
    const records = drafts.map(({ digest, result, inputs }) => ({
      ...(result && { layers: [{ layer: layerAt.get(result.layer)!, createdAt: result.createdAt }] }),
      digest,
      ...(inputs.length > 0 && {
        inputs: inputs.map((links) =>
          links
            .map(({ selector, record }) => ({ ...(selector && { selector }), link: recordAt.get(record)! }))
            .sort((a, b) => a.link - b.link),
        ),
      }),
    }))
    return { config: { layers, records }, layers: layerOrder.map(({ draft }) => draft.layer) }
  }
}

function blobOf({ layer }: DraftLayer): Digest {
  return layer.descriptor.digest
}

/** Go leaves out a parent of 0. */
function parentField(parent: number): { readonly parent?: number } {
  return parent === 0 ? {} : { parent }
}

function indexOf<T>(values: readonly T[]): Map<T, number> {
  return new Map(values.map((value, i) => [value, i]))
}

const MERGE = recordId(mergeOpDigest(2), 0)

/**
 * Keys whose results the targets' results are made of: down from each target, the stack that a step wrote on, and both
 * parts of a merge. What a step only copied from is none of them, even when its layers are equal.
 *
 * @see moby/buildkit solver/exporter.go CacheExportModeRemoteOnly, cache/remote.go GetRemotes
 */
async function chainOfTargets(
  cache: CacheStore,
  targets: readonly KeyId[],
  { skipLazyMerges = false }: ExportOptions,
): Promise<Set<KeyId>> {
  const found = new Set(targets)
  const writtenOn = new Set<KeyId>()
  for (const id of found) {
    const record = cache.record(id)
    const above = (await cache.usable(id))?.layers
    if (record === undefined || above === undefined) continue
    const isMerge = record.digest === MERGE
    for (const { id: below } of record.inputs.flat()) {
      const layers = (await cache.usable(below))?.layers
      if (layers === undefined) continue
      if (isMerge ? !isIn(layers, above) : layers.length >= above.length || !isAt(layers, above, 0)) continue
      found.add(below)
      if (!isMerge || writtenOn.has(id)) writtenOn.add(below)
    }
  }
  if (skipLazyMerges) {
    for (const id of found) if (!writtenOn.has(id) && cache.record(id)?.digest === MERGE) found.delete(id)
  }
  return found
}

function isIn(layers: readonly LayerRef[], stack: readonly LayerRef[]): boolean {
  return stack.some((_, start) => isAt(layers, stack, start))
}

function isAt(layers: readonly LayerRef[], stack: readonly LayerRef[], start: number): boolean {
  return layers.every(({ descriptor }, i) => stack[start + i]?.descriptor.digest === descriptor.digest)
}

/** @see utils.go sortConfig */
function compareRecords(a: DraftRecord, b: DraftRecord): number {
  const byShape = compareText(a.digest, b.digest) || a.inputs.length - b.inputs.length
  if (byShape !== 0) return byShape
  for (const [i, links] of a.inputs.entries()) {
    const others = b.inputs[i]!
    if (links.length !== others.length) return links.length - others.length
    for (const [j, link] of links.entries()) {
      const other = others[j]!
      const order =
        compareText(link.selector ?? '', other.selector ?? '') ||
        compareText(link.record.digest, other.record.digest)
      if (order !== 0) return order
    }
  }
  return 0
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** RFC 3339 as Go writes it. */
function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z')
}

/**
 * The records as they are embedded in an image's config: layers are those of the image, by position.
 *
 * @param image  the image's layer blobs, base first
 * @returns      `undefined` when there is nothing that the image's layers could serve
 * @see moby/buildkit cache/remotecache/inline/inline.go ExportForLayers
 */
export function inlineRecords(
  { config }: CacheExport,
  image: readonly Digest[],
): readonly CacheRecord[] | undefined {
  const { layers = [], records = [] } = config
  if (layers.length === 0) return undefined
  const position = indexOf(image)
  return records.map(({ layers: results = [], ...record }) => {
    const own: { layer: number; createdAt?: string }[] = []
    const chains: { layers: number[]; createdAt?: string }[] = []
    for (const result of results) {
      const blobs = chainOf(layers, result.layer).map(({ blob }) => blob)
      const time = result.createdAt === undefined ? {} : { createdAt: result.createdAt }
      if (blobs.every((blob, i) => image[i] === blob)) own.push({ layer: blobs.length - 1, ...time })
      else if (blobs.every((blob) => position.has(blob))) {
        chains.push({ layers: blobs.map((blob) => position.get(blob)!), ...time })
      }
    }
    return {
      ...(own.length > 0 && { layers: own }),
      ...(chains.length > 0 && { chains }),
      ...record,
    }
  })
}

/** Layers of a result, base first. @throws BuildError CACHE_IMPORT_INVALID when the document's layers do not fit together */
export function chainOf(layers: readonly CacheLayer[], top: number): CacheLayer[] {
  const out: CacheLayer[] = []
  for (let at = top; at !== -1;) {
    const layer = layers[at]
    if (layer === undefined || out.length > layers.length) throw invalid(`layer ${at} is missing or loops`)
    out.push(layer)
    at = layer.parent ?? 0
  }
  return out.reverse()
}

export function invalid(what: string): BuildError {
  return new BuildError('CACHE_IMPORT_INVALID', `invalid build cache: ${what}`, { data: { what } })
}
