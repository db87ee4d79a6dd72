// Descriptors, media types and the canonical JSON form in which lamella writes documents. Leaf.
import { digestOf, type Digest } from './digest.js'

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
  return JSON.stringify(value, undefined, indent).replace(
    GO_ESCAPES,
    (char) => '\\u' + char.charCodeAt(0).toString(16).padStart(4, '0'),
  )
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
