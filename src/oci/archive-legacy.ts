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
  const repositories = await objectOf(store, members, 'repositories')
  const namesById = new Map<string, string[]>()
  for (const [repository, tags] of Object.entries(repositories)) {
    if (!isObject(tags)) throw invalid('expected an object', `repositories.${repository}`)
    for (const [tag, id] of Object.entries(tags)) {
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

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

async function objectOf(store: Store, members: Members, path: string): Promise<Record<string, unknown>> {
  const value = parseJson(await documentOf(store, members, path), path)
  if (!isObject(value)) throw invalid('expected an object', path)
  return value
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

const TEXT_FIELDS = ['parent', 'created', 'author', 'architecture', 'os', 'comment'] as const

/** What is used of it; the image's config is checked when it is written. @throws ImageError ARCHIVE_INVALID */
function legacyJson(value: Record<string, unknown>, path: string): LegacyJson {
  for (const field of TEXT_FIELDS) {
    if (!['string', 'undefined'].includes(typeof (value[field] ?? undefined))) {
      throw invalid('expected a string', `${path}: ${field}`)
    }
  }
  const own = value.container_config ?? {}
  const cmd = isObject(own) ? (own.Cmd ?? []) : undefined
  if (!Array.isArray(cmd) || !cmd.every((word) => typeof word === 'string')) {
    throw invalid('expected an array of strings', `${path}: container_config.Cmd`)
  }
  const known = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(known) as LegacyJson
}

/** Each `<id>/json` is one history entry; a layer without entries is an instruction that changed only the config. */
async function legacyImage(store: Store, members: Members, top: string): Promise<Image> {
  const chain: { id: string; json: LegacyJson }[] = []
  for (let id: string | undefined = top; id !== undefined && id !== '';) {
    if (chain.length === PARENTS_MAX) throw invalid(`a chain of over ${PARENTS_MAX} parents`, `${top}/json`)
    const json = legacyJson(await objectOf(store, members, `${id}/json`), `${id}/json`)
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
