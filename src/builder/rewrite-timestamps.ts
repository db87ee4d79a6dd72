// `rewrite-timestamp=true`: layers whose files are no younger than SOURCE_DATE_EPOCH. What a layer became is remembered in
// a sidecar, so that an unchanged rebuild opens no layer.
// @see moby/buildkit exporter/containerimage/writer.go rewriteRemoteWithEpoch, util/converter/tarconverter
import { hexOf } from '../digest.js'
import { commitLayer, openLayerBlob, type Store } from '../store/index.js'
import { encodeLayer, readLayer, type Change, type Changeset } from '../unionfs/index.js'
import type { LayerRef } from './vertex.js'

const KIND = 'rewritten-layer'

/** @param from  the first layer that may change; those below are the base image's */
export async function rewriteTimestamps(
  store: Store,
  layers: readonly LayerRef[],
  from: number,
  epoch: number,
): Promise<LayerRef[]> {
  const out: LayerRef[] = []
  for (const [i, layer] of layers.entries())
    out.push(i < from ? layer : await rewriteLayer(store, layer, epoch))
  return out
}

async function rewriteLayer(store: Store, layer: LayerRef, epoch: number): Promise<LayerRef> {
  const key = `${hexOf(layer.diffID)}-${epoch}`
  const known = store.sidecars.get(KIND, key)
  if (known !== undefined) {
    const saved = JSON.parse(new TextDecoder().decode(known)) as LayerRef
    if ((await store.blobs.stat(saved.descriptor.digest)) !== undefined) return saved
  }
  const changes = readLayer(await openLayerBlob(store, layer.descriptor, layer.diffID))
  const clamped = clampTimes(changes, epoch)
  const { annotations } = layer.descriptor
  const rewritten = clamped === undefined ? layer : await commitLayer(store, encodeLayer(clamped))
  const result: LayerRef = {
    descriptor: { ...rewritten.descriptor, ...(annotations === undefined ? undefined : { annotations }) },
    diffID: rewritten.diffID,
  }
  await store.sidecars.put(KIND, key, new TextEncoder().encode(JSON.stringify(result)))
  return result
}

/** The changes with every time brought down to the epoch; `undefined` when none is above it. */
function clampTimes(changes: Changeset, epoch: number): Changeset | undefined {
  let isChanged = false
  const out = changes.map((change): Change => {
    if (change.kind !== 'put') return change
    const { mtimeSec, mtimeNsec } = change.node
    if (mtimeSec < epoch || (mtimeSec === epoch && mtimeNsec === 0)) return change
    isChanged = true
    return { ...change, node: change.node.with({ mtimeSec: epoch, mtimeNsec: 0 }) }
  })
  return isChanged ? out : undefined
}
