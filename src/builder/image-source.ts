// Where FROM and --from find what is no stage: refs of the store, OCI layouts, named contexts.
import type { Platform } from '../descriptor.js'
import { BuildError, ImageError } from '../errors.js'
import { copyImage, parseReference, readImage, refNameOf, resolveImage, type Image } from '../oci/index.js'
import { openDiskStore, type Store } from '../store/index.js'
import { gitReferenceOf, openNamedContext, type ContextSource } from './build-files.js'
import { gitOp, resolveContext, type GitContextOptions } from './git-context.js'
import type { ResolvedSource, SourceResolver } from './op-factory.js'
import { ContextOp } from './ops/context.js'
import { ImageOp } from './ops/image.js'
import type { OpServices } from './ops/result.js'
import type { BuildContext } from './context.js'

export type { ContextSource } from './build-files.js'

export interface SourceOptions {
  /** `--build-context` name → folder, value, git URL, `docker-image://REF` or `oci-layout://PATH[:TAG][@DIGEST]`. */
  readonly contexts: ReadonlyMap<string, ContextSource>
  readonly services: OpServices
  readonly git: GitContextOptions
  readonly signal: AbortSignal | undefined
  /** Told about every folder that is opened, so that what was learnt of it can be saved. */
  readonly onContext: (context: BuildContext) => void
  /** Told about every image that a stage starts from or copies from. */
  readonly onImage: (image: Image) => void
}

export function sourceResolver(store: Store, options: SourceOptions): SourceResolver {
  const contexts = new Map([...options.contexts].map(([name, source]) => [contextName(name), source]))
  const image = async (reference: string, platform: Platform): Promise<ResolvedSource> => {
    const found = await findImage(store, reference, platform)
    options.onImage(found)
    return imageSource(found, fullName(reference), platform, options.services)
  }
  return {
    image,
    async namedContext(name, platform) {
      const source = contexts.get(contextName(name))
      if (source === undefined) return undefined
      if (typeof source === 'string') {
        const reference = /^docker-image:\/\/(.+)$/.exec(source)?.[1]
        if (reference === 'scratch') return { name, op: undefined, config: undefined }
        if (reference !== undefined)
          return { ...(await image(reference, platform)), context: contextName(name) }
        const repository = gitReferenceOf(source)
        if (repository !== undefined) {
          return { name, op: gitOp(source, repository, options.git), config: undefined }
        }
        if (isLayout(source)) return { ...(await image(source, platform)), context: contextName(name) }
      }
      const files = await resolveContext(source, options.git)
      let opened: BuildContext | undefined
      const open = (): Promise<BuildContext> => {
        if (opened === undefined) {
          opened = openNamedContext(files ?? source, { store, signal: options.signal })
          options.onContext(opened)
        }
        return Promise.resolve(opened)
      }
      return { name, op: new ContextOp(open, options.services), config: undefined }
    },
  }
}

/** `alpine`, `docker.io/library/alpine` and `alpine:latest` are one name. */
function contextName(name: string): string {
  try {
    return refNameOf(name).replace(/:latest$/, '')
  } catch (error) {
    if (error instanceof ImageError) return name.toLowerCase()
    throw error
  }
}

function isLayout(reference: string): boolean {
  return /^oci(?:-layout)?:/.test(reference)
}

function fullName(reference: string): string {
  if (isLayout(reference)) return reference
  const { registry, repository, tag, digest } = parseReference(reference)
  const name = `${registry}/${repository}`
  const tagged =
    tag === undefined && digest === undefined ? `${name}:latest` : tag === undefined ? name : `${name}:${tag}`
  return digest === undefined ? tagged : `${tagged}@${digest}`
}

function imageSource(image: Image, name: string, platform: Platform, services: OpServices): ResolvedSource {
  const pinned = name.includes('@') ? name : `${name}@${image.descriptor.digest}`
  const op = image.layers.length === 0 ? undefined : new ImageOp(image, pinned, platform, services)
  return { name: pinned, op, config: image.config }
}

async function findImage(store: Store, reference: string, platform: Platform): Promise<Image> {
  if (isLayout(reference)) return importLayout(store, reference, platform)
  try {
    return await readImage(store.blobs, await resolveImage(store, reference), { platform })
  } catch (error) {
    if (!(error instanceof ImageError) || error.code !== 'IMAGE_NOT_FOUND') throw error
    throw new BuildError('BASE_IMAGE_NOT_FOUND', `${reference}: ${error.message}`, {
      data: { ...error.data, reference },
      cause: error,
    })
  }
}

/** `oci-layout://PATH[:TAG][@DIGEST]`: the image is copied into the store first. */
async function importLayout(store: Store, reference: string, platform: Platform): Promise<Image> {
  const match = /^oci(?:-layout)?:(?:\/\/)?([^@]*?)(?::([\w][\w.-]*))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(
    reference,
  )
  const path = match?.[1] ?? ''
  const layout = await openDiskStore(path, { create: false })
  try {
    const refs = await layout.refs.list()
    const [, , tag, digest] = match!
    const wanted =
      digest !== undefined
        ? refs.find(({ target }) => target.digest === digest)
        : tag !== undefined
          ? refs.find(({ name }) => name === tag || name.endsWith(`:${tag}`))
          : (refs.find(({ name }) => name === 'latest' || name.endsWith(':latest')) ??
            (refs.length === 1 ? refs[0] : undefined))
    if (wanted === undefined) {
      throw new BuildError(
        'BASE_IMAGE_NOT_FOUND',
        `${reference}: the layout has ${refs.map(({ name }) => name).join(', ') || 'no images'}`,
        {
          data: { reference, has: refs.map(({ name }) => name) },
        },
      )
    }
    await copyImage(layout.blobs, store.blobs, wanted.target, {})
    return await readImage(store.blobs, wanted.target, { platform })
  } finally {
    await layout.close()
  }
}
