// Image references, `[registry/]repository[:tag][@digest]`, and the short form in which people write and read them. Pure.
// @see distribution/reference (the grammar), normalize.go (docker.io/library)
import { isDigest, type Digest } from '../digest.js'
import { ImageError } from '../errors.js'

export interface Reference {
  /** `docker.io` when none was given. */
  readonly registry: string
  /** Path in the registry, e.g. `library/node`. */
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

const DEFAULT_REGISTRY = 'docker.io'
const OFFICIAL = 'library/'
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const REGISTRY =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?$/
const NAME_MAX = 255

/**
 * Reads a reference as people write it. `node` is `docker.io/library/node`, without a tag.
 * @throws ImageError REFERENCE_INVALID that names the wrong part
 */
export function parseReference(text: string): Reference {
  const [beforeDigest, digest] = cut(text, text.indexOf('@'))
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, `digest ${JSON.stringify(digest)}`)
  const colon = beforeDigest.lastIndexOf(':')
  const [name, tag] = cut(beforeDigest, colon > beforeDigest.lastIndexOf('/') ? colon : -1)
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `tag ${JSON.stringify(tag)}`)
  const { registry, path } = splitRegistry(name)
  if (!REGISTRY.test(registry)) throw invalid(text, `registry ${JSON.stringify(registry)}`)
  if (path === '') throw invalid(text, 'repository: it is empty')
  if (path !== path.toLowerCase()) throw invalid(text, 'repository: it must be lower case')
  if (!path.split('/').every((part) => COMPONENT.test(part)))
    throw invalid(text, `repository ${JSON.stringify(path)}`)
  const repository = registry === DEFAULT_REGISTRY && !path.includes('/') ? OFFICIAL + path : path
  if (registry.length + 1 + repository.length > NAME_MAX)
    throw invalid(text, `name: it is over ${NAME_MAX} characters`)
  return { registry, repository, tag, digest }
}

function cut(text: string, at: number): [string, string | undefined] {
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** The first component is a registry when it has a dot, a port or capitals, or is `localhost`. */
function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const isRegistry = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  if (!isRegistry) return { registry: DEFAULT_REGISTRY, path: name }
  const path = name.slice(slash + 1)
  return first === 'index.docker.io' ? { registry: DEFAULT_REGISTRY, path } : { registry: first, path }
}

function invalid(text: string, what: string): ImageError {
  return new ImageError('REFERENCE_INVALID', `invalid reference ${JSON.stringify(text)}: bad ${what}`, {
    data: { reference: text },
  })
}

/** The short form that people read: `docker.io` and `library/` left out, tag and digest as they are. */
export function familiarName(reference: Reference): string {
  const { registry, repository, tag, digest } = reference
  const name =
    registry !== DEFAULT_REGISTRY
      ? `${registry}/${repository}`
      : repository.startsWith(OFFICIAL) && !repository.slice(OFFICIAL.length).includes('/')
        ? repository.slice(OFFICIAL.length)
        : repository
  return name + (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
}

/**
 * The name under which an image is a ref in the store: the familiar form with its tag, `latest` when it has neither tag
 * nor digest. `docker.io/library/node` and `node` are one ref, `node:latest`.
 * @throws ImageError REFERENCE_INVALID
 */
export function refNameOf(text: string): string {
  const reference = parseReference(text)
  const isBare = reference.tag === undefined && reference.digest === undefined
  return familiarName(isBare ? { ...reference, tag: 'latest' } : reference)
}

/** The whole name of what `refNameOf` names, with registry and `library/`: `docker.io/library/node:latest`. @throws as it */
export function fullRefName(text: string): string {
  const { registry, repository, tag, digest } = parseReference(refNameOf(text))
  const name = `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}`
  return digest === undefined ? name : `${name}@${digest}`
}
