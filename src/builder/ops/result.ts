// Results that operations make: a stack of layers and the tree that it gives, with a layer stored for what an operation
// changed.
// @see moby/buildkit cache/remote.go (layer annotations)
import { digestOfUncompressed, type Digest } from '../../digest.js'
import type { Env } from '../../env.js'
import type { Hold, Store } from '../../store/index.js'
import { EMPTY_TREE, type Tree } from '../../unionfs/index.js'
import { storedResult } from '../cache.js'
import type { LayerRef, Result } from '../vertex.js'

/** When a layer was made, RFC 3339; on the descriptor in cache records, never in a manifest. */
export const CREATED_ANNOTATION = 'buildkit/createdat'

/** What an operation runs with. */
export interface OpServices {
  readonly store: Store
  /** Its clock is that of the files that are made. */
  readonly env: Env
  /** Keeps blobs from gc while the build goes on. */
  readonly hold?: Hold | undefined
}

/** No layers, no files: scratch. */
export const EMPTY_RESULT: Result = { layers: [], tree: () => Promise.resolve(EMPTY_TREE) }

/**
 * Stores what `upper` changed as one more layer, even when that is nothing: every step with a file system has a layer.
 * The result's tree reads from the store, so that nothing depends any more on host files that may change.
 */
export async function addLayer(
  services: OpServices,
  base: Result,
  lower: Tree,
  upper: Tree,
): Promise<Result> {
  const below = lower === EMPTY_TREE ? base.layers : await layersOf(services, base)
  return storedResult(services.store, [...below, await storeLayer(services, lower, upper)])
}

/** The layers of a result; a folder of the host, which has none, becomes one. */
export async function layersOf(services: OpServices, result: Result): Promise<readonly LayerRef[]> {
  const { layers } = result
  if (layers.length > 0 || result === EMPTY_RESULT) return layers
  return [await storeLayer(services, EMPTY_TREE, await result.tree())]
}

/** A gc without grace time that comes between the layer and its lease costs one more commit, of the same bytes. */
const COMMITS_MAX = 3

async function storeLayer(services: OpServices, lower: Tree, upper: Tree): Promise<LayerRef> {
  const { commitChanges, stepChanges } = await import('./step-layer.js')
  const changes = stepChanges(lower, upper)
  return keepLayer(services, () => commitChanges(services.store, changes))
}

/** Stores a layer, holds it for this build and dates it. @param commit  may be asked again */
export async function keepLayer(
  { store, env, hold }: OpServices,
  commit: () => Promise<Pick<LayerRef, 'descriptor' | 'diffID'>>,
): Promise<LayerRef> {
  for (let tries = 1; ; tries++) {
    const { descriptor, diffID } = await commit()
    await hold?.([descriptor.digest])
    const isThere = hold === undefined || (await store.blobs.stat(descriptor.digest)) !== undefined
    if (!isThere && tries < COMMITS_MAX) continue
    const annotations = { ...descriptor.annotations, [CREATED_ANNOTATION]: timeText(env.now()) }
    return { descriptor: { ...descriptor, annotations }, diffID }
  }
}

/** Blobs of layers, as stored and uncompressed: what a lease on them must name. */
export function blobsOf(layers: readonly LayerRef[]): Digest[] {
  return layers.flatMap(({ descriptor, diffID }) => [
    ...new Set([descriptor.digest, digestOfUncompressed(diffID)]),
  ])
}

/** Nanoseconds since the epoch as RFC 3339, trailing zeros of the fraction left out as Go does. */
export function timeText(timeNs: bigint): string {
  const seconds = timeNs / 1_000_000_000n
  const fraction = String(timeNs % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19)
  return `${text}${fraction === '' ? '' : `.${fraction}`}Z`
}
