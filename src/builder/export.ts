// A planned and solved build as an image of the store: config, manifest, ref. Writes nothing that is there already.
// @see moby/buildkit exporter/containerimage/writer.go
import type { Descriptor } from '../descriptor.js'
import { refNameOf, writeImage, type Image, type ImageConfig } from '../oci/index.js'
import { leasedBlobs, type Hold, type Store } from '../store/index.js'
import { createdOf, normalizeHistory } from './history.js'
import { timeOfEpoch, type ImageDraft } from './image-draft.js'
import { blobsOf, CREATED_ANNOTATION } from './ops/result.js'
import type { Edge, LayerRef } from './vertex.js'

export interface ExportOptions {
  /** Shields from gc what is written, and what it names. */
  readonly hold?: Hold | undefined
  readonly draft: ImageDraft
  /** Base first. */
  readonly layers: readonly LayerRef[]
  /** What made the topmost layer. */
  readonly edge?: Edge | undefined
  /** SOURCE_DATE_EPOCH in seconds. */
  readonly epoch: number | undefined
  /** Also bring the times in layers that this build may have made down to the epoch. */
  readonly rewriteTimestamp: boolean
  /** Layers of the base image; they stay as they are. */
  readonly baseLayers: number
  /** Value of the config's `moby.buildkit.cache.v0`: the inline cache. */
  readonly inlineCache?: string | undefined
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

/** Stores config and manifest. Sets no ref. */
export async function exportImage(store: Store, options: ExportOptions): Promise<Image> {
  const { draft, epoch } = options
  const created = options.layers.map(({ descriptor }) => descriptor.annotations?.[CREATED_ANNOTATION])
  const epochText = epoch === undefined ? undefined : timeOfEpoch(epoch)
  const history = normalizeHistory(
    draft.history,
    created,
    epochText,
    draft.baseHistory,
    stepsOf(options.edge, options.layers.length),
  )
  const isRewritten = options.rewriteTimestamp && epoch !== undefined
  const rewritten = isRewritten
    ? await (
        await import('./rewrite-timestamps.js')
      ).rewriteTimestamps(store, options.layers, options.baseLayers, epoch)
    : options.layers
  const layers = rewritten.map(({ descriptor, diffID }, i) => ({
    descriptor: publicDescriptor(
      descriptor,
      isRewritten && i >= options.baseLayers ? { [REWRITTEN_ANNOTATION]: String(epoch) } : {},
    ),
    diffID,
  }))
  const time = createdOf(history)
  const config: ImageConfig = {
    ...draft.platform,
    created: time,
    ...(draft.author === undefined ? undefined : { author: draft.author }),
    config: draft.config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffID }) => diffID) },
    history,
    ...(options.inlineCache === undefined ? undefined : { 'moby.buildkit.cache.v0': options.inlineCache }),
  }
  const { hold, annotations } = options
  const blobs =
    hold === undefined
      ? store.blobs
      : leasedBlobs(store.blobs, (digests) => hold([...digests, ...blobsOf(layers)]))
  return writeImage(blobs, { config, layers, ...(annotations === undefined ? {} : { annotations }) })
}

/** Names of the steps that made the layers, as far down as each step made one. */
function stepsOf(edge: Edge | undefined, count: number): (string | undefined)[] {
  const steps = Array<string | undefined>(count).fill(undefined)
  let at = edge
  for (let i = count - 1; i >= 0 && at !== undefined; i--) {
    const { op, label, inputs } = at.vertex
    if (op.kind !== 'file' && op.kind !== 'exec') break
    steps[i] = label.name
    at = inputs[0]
  }
  return steps
}

/** On every layer that `rewrite-timestamp` has looked through, changed or not. @see moby/buildkit writer.go */
const REWRITTEN_ANNOTATION = 'buildkit/rewritten-timestamp'

/** A layer's descriptor as a manifest has it: without the builder's own notes. */
function publicDescriptor(descriptor: Descriptor, more: Readonly<Record<string, string>>): Descriptor {
  const { annotations, ...rest } = descriptor
  const own = Object.entries(annotations ?? {}).filter(([name]) => !name.startsWith('buildkit/'))
  const kept = [...own, ...Object.entries(more)]
  return kept.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(kept) }
}

/**
 * Points the names at an image, each by compare-and-set; a name that is right already is left alone.
 * @returns the refs' full names
 * @throws ImageError REFERENCE_INVALID; StoreError REF_CONFLICT when someone else moved a name meanwhile
 */
export async function nameImage(
  store: Store,
  names: readonly string[],
  target: Descriptor,
): Promise<string[]> {
  const refs = names.map(refNameOf)
  for (const name of new Set(refs)) {
    const current = await store.refs.get(name)
    if (current?.digest === target.digest) continue
    await store.refs.set(name, target, current?.digest ?? null)
  }
  return refs
}
