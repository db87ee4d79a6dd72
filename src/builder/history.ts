// History and layers brought together for export: times filled in, entries and layers made to agree. Pure.
// @see moby/buildkit exporter/containerimage/writer.go normalizeLayersAndHistory, patchImageConfig
import type { HistoryEntry } from '../oci/index.js'

/** Comment of entries that are added for layers that no instruction accounts for. */
const EXPORTER_COMMENT = 'buildkit.exporter.image.v0'

/**
 * The history for a stack of layers.
 *
 * @param created  when each layer was made, base first; `undefined` where the base image's history must know
 * @param epoch    SOURCE_DATE_EPOCH: no entry is later
 * @param base     entries of the base image: they keep their times
 * @param steps    what made each layer, base first, as progress names it; `undefined` where that is not known
 */
export function normalizeHistory(
  history: readonly HistoryEntry[],
  created: readonly (string | undefined)[],
  epoch: string | undefined,
  base = 0,
  steps: readonly (string | undefined)[] = [],
): HistoryEntry[] {
  const entries = fillTimes(matchLayers(history, created, steps))
  if (epoch === undefined) return entries
  const same = history.slice(0, base).findIndex((entry) => entry.created === undefined)
  const kept = same === -1 ? base : same
  return entries.map((entry, i) =>
    i >= kept && (entry.created === undefined || Date.parse(entry.created) > Date.parse(epoch))
      ? { ...entry, created: epoch }
      : entry,
  )
}

/** When the image was made: the last time in its history. */
export function createdOf(history: readonly HistoryEntry[]): string | undefined {
  return history.findLast(({ created }) => created !== undefined)?.created
}

/** One entry with a layer for each layer: entries without one are emptied from the bottom, missing ones added on top. */
function matchLayers(
  history: readonly HistoryEntry[],
  created: readonly (string | undefined)[],
  steps: readonly (string | undefined)[],
): HistoryEntry[] {
  const out: HistoryEntry[] = []
  let layer = 0
  for (const entry of history) {
    if (entry.empty_layer === true) out.push(entry)
    else if (layer === created.length) out.push({ ...entry, empty_layer: true })
    else {
      const time = entry.created ?? created[layer]
      layer++
      out.push(time === undefined ? entry : { ...entry, created: time })
    }
  }
  for (; layer < created.length; layer++) {
    const time = created[layer]
    out.push({
      ...(time === undefined ? undefined : { created: time }),
      created_by: steps[layer] ?? 'created by buildkit',
      comment: EXPORTER_COMMENT,
    })
  }
  return out
}

/** Entries without a time get that of the first new layer, or of the layer before. */
function fillTimes(history: readonly HistoryEntry[]): HistoryEntry[] {
  let created: string | undefined
  let isMissing = false
  for (const entry of history) {
    if (entry.created === undefined) isMissing = true
    else {
      created = entry.created
      if (isMissing) break
    }
  }
  isMissing = false
  return history.map((entry) => {
    if (entry.created !== undefined) {
      if (isMissing) created = entry.created
      return entry
    }
    isMissing = true
    return created === undefined ? entry : { ...entry, created }
  })
}
