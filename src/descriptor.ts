// Descriptors, media types and the canonical JSON form in which lamella writes documents. Leaf.
import { digestOf, type Digest } from './digest.js'
import { compareNames } from './path.js'

export const MEDIA_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const

/** `org.opencontainers.image.ref.name`: the annotation in `index.json` that is a ref's name. */
export const REF_NAME_ANNOTATION = 'org.opencontainers.image.ref.name'

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
}

/** @see OCI image-spec v1.1 descriptor.md */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly urls?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly data?: string
  readonly artifactType?: string
  readonly platform?: Platform
}

const encoder = new TextEncoder()

const GO_ESCAPES = /[<>&\u2028\u2029]/g

/**
 * JSON as Go's `json.Marshal` writes it, which is what BuildKit hashes and what every OCI tool writes: no white space,
 * keys in the order of the value, `<`, `>`, `&`, U+2028 and U+2029 escaped. `undefined` fields are left out.
 */
export function goJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent)
  return (INDEX_KEY.test(text) ? inKeyOrder(value, indent ?? 0, '\n') : text).replace(
    GO_ESCAPES,
    (char) => '\\u' + char.charCodeAt(0).toString(16).padStart(4, '0'),
  )
}

/** A key that JavaScript puts before all others, whatever their order was. No field of Go's has such a name: only maps do. */
const INDEX_KEY = /"(?:0|[1-9]\d{0,9})":/

/** As `JSON.stringify`, but maps with such keys in Go's order, that of the keys' bytes. @param line  a line's beginning */
function inKeyOrder(value: unknown, indent: number, line: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = line + ' '.repeat(indent)
  const parts = Array.isArray(value)
    ? value.map((item: unknown) => inKeyOrder(item ?? null, indent, inner))
    : orderedEntries(value).map(
        ([key, item]) => `${JSON.stringify(key)}:${indent > 0 ? ' ' : ''}${inKeyOrder(item, indent, inner)}`,
      )
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  if (parts.length === 0) return `${open}${close}`
  return indent === 0
    ? `${open}${parts.join(',')}${close}`
    : `${open}${inner}${parts.join(`,${inner}`)}${line}${close}`
}

function orderedEntries(value: object): [string, unknown][] {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  const hasIndex = entries.some(([key]) => INDEX_KEY.test(`"${key}":`))
  return hasIndex ? entries.toSorted(([a], [b]) => compareNames(a, b)) : entries
}

/**
 * The bytes of a JSON document as lamella writes it: `goJson`. The same value gives the same bytes everywhere.
 * @param indent  blanks per level, on lines of their own; default none, and no lines
 */
export function canonicalJson(value: unknown, indent?: number): Uint8Array {
  return encoder.encode(goJson(value, indent))
}

/** Descriptor of bytes that are at hand. */
export function describe(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
}
