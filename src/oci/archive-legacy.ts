// docker save before 1.10: `repositories` names images, `<id>/json` describes each layer and its parent.
// @see moby/moby image/spec/v1.md
import type { Descriptor } from '../descriptor.js'
import type { Store } from '../store/index.js'
import { documentOf, invalid, layerOf, parseJson, type Members } from './archive-members.js'
import { writeImage, type Image, type ImageLayer } from './image.js'
import type { ImageConfig } from './spec.js'

const PARENTS_MAX = 512

/** An image of an archive, stored, and the names that the archive gives it. */
export interface Found {
  readonly descriptor: Descriptor
  readonly names: readonly string[]
}

/** @throws ImageError ARCHIVE_INVALID */
export async function legacyImages(store: Store, members: Members): Promise<Found[]> {
  const repositories = parseJson(await documentOf(store, members, 'repositories'), 'repositories')
  const namesById = new Map<string, string[]>()
  for (const [repository, tags] of Object.entries(repositories as Record<string, Record<string, unknown>>)) {
    for (const [tag, id] of Object.entries(tags ?? {})) {
      if (typeof id !== 'string') throw invalid('expected an image id', `repositories.${repository}.${tag}`)
      namesById.set(id, [...(namesById.get(id) ?? []), `${repository}:${tag}`])
    }
  }
  const found: Found[] = []
  for (const [id, names] of namesById) {
    found.push({ descriptor: (await legacyImage(store, members, id)).descriptor, names })
  }
  return found
}

interface LegacyJson {
  readonly parent?: string
  readonly created?: string
  readonly author?: string
  readonly architecture?: string
  readonly os?: string
  readonly config?: ImageConfig['config']
  readonly container_config?: { readonly Cmd?: readonly string[] }
  readonly comment?: string
}

/** Each `<id>/json` is one history entry; a layer without entries is an instruction that changed only the config. */
async function legacyImage(store: Store, members: Members, top: string): Promise<Image> {
  const chain: { id: string; json: LegacyJson }[] = []
  for (let id: string | undefined = top; id !== undefined && id !== '';) {
    if (chain.length === PARENTS_MAX) throw invalid(`a chain of over ${PARENTS_MAX} parents`, `${top}/json`)
    const json = parseJson(await documentOf(store, members, `${id}/json`), `${id}/json`) as LegacyJson
    chain.unshift({ id, json })
    id = json.parent
  }
  const layers: ImageLayer[] = []
  for (const { id } of chain) layers.push(await layerOf(store, members, `${id}/layer.tar`))
  const { json } = chain.at(-1)!
  const config: ImageConfig = {
    os: json.os ?? 'linux',
    architecture: json.architecture ?? 'amd64',
    ...(json.created === undefined ? {} : { created: json.created }),
    ...(json.author === undefined ? {} : { author: json.author }),
    ...(json.config === undefined ? {} : { config: json.config }),
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffID }) => diffID) },
    history: chain.map((entry) => ({
      ...(entry.json.created === undefined ? {} : { created: entry.json.created }),
      created_by: (entry.json.container_config?.Cmd ?? []).join(' '),
      ...(entry.json.comment ? { comment: entry.json.comment } : {}),
    })),
  }
  return writeImage(store.blobs, { config, layers })
}
