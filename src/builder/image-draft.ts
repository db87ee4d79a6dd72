// The image config while a stage is planned: what the base had, changed by one instruction after the other. The history
// texts are BuildKit's to the letter. Pure.
// @see moby/buildkit frontend/dockerfile/dockerfile2llb/{convert,image}.go
import type { Platform } from '../descriptor.js'
import { CONTAINER_FIELDS, type ContainerConfig, type HistoryEntry, type ImageConfig } from '../oci/index.js'
import { DEFAULT_PATH } from './platform.js'

export const HISTORY_COMMENT = 'buildkit.dockerfile.v0'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** An image config without what only the export knows: `created`, `rootfs`. Values in it are replaced, never written into. */
export interface ImageDraft {
  platform: Platform
  author: string | undefined
  config: Mutable<ContainerConfig>
  history: readonly HistoryEntry[]
  /** How many entries of the history are the base image's. */
  baseHistory: number
}

/** @see image.go emptyImage */
export function emptyDraft(platform: Platform): ImageDraft {
  return {
    platform,
    author: undefined,
    config: { WorkingDir: '/', Env: [`PATH=${DEFAULT_PATH}`] },
    history: [],
    baseHistory: 0,
  }
}

/** What a stage takes over from the image it starts from; fields that BuildKit does not know are dropped as there. */
export function draftOfImage(image: ImageConfig): ImageDraft {
  const config: Record<string, unknown> = {}
  const source: ContainerConfig = image.config ?? {}
  for (const field of CONTAINER_FIELDS) {
    if (source[field] !== undefined && source[field] !== null) config[field] = source[field]
  }
  const history = image.history ?? []
  return {
    platform: platformOfImage(image),
    author: image.author,
    config,
    history,
    baseHistory: history.length,
  }
}

export function platformOfImage(image: ImageConfig): Platform {
  return {
    os: image.os,
    architecture: image.architecture,
    ...(image.variant === undefined || image.variant === '' ? undefined : { variant: image.variant }),
    ...(image['os.version'] === undefined ? undefined : { 'os.version': image['os.version'] }),
    ...(image['os.features'] === undefined ? undefined : { 'os.features': image['os.features'] }),
  }
}

export function cloneDraft(draft: ImageDraft): ImageDraft {
  return { ...draft, config: { ...draft.config } }
}

/**
 * Adds an entry.
 *
 * @param text     `created_by`
 * @param layer    the instruction makes a layer
 * @param created  RFC 3339; `undefined` is filled in by the export
 */
export function addHistory(
  draft: ImageDraft,
  text: string,
  layer: boolean,
  created: string | undefined,
): void {
  const entry: HistoryEntry = {
    ...(created === undefined ? undefined : { created }),
    created_by: text,
    comment: HISTORY_COMMENT,
    ...(layer ? undefined : { empty_layer: true }),
  }
  draft.history = [...draft.history, entry]
}

/** Sets a variable where it is, or at the end. */
export function setConfigEnv(draft: ImageDraft, name: string, value: string): void {
  const env = [...(draft.config.Env ?? [])]
  const at = env.findIndex((pair) => pair === name || pair.startsWith(`${name}=`))
  if (at === -1) env.push(`${name}=${value}`)
  else env[at] = `${name}=${value}`
  draft.config.Env = env
}

/** Seconds since the epoch as RFC 3339, without fractions. */
export function timeOfEpoch(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
