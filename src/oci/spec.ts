// The documents of the OCI image spec as types, and parsers that name the field that is wrong. Pure. Docker's own
// manifests and configs have the same shape under other media types and are read too.
// @see OCI image-spec v1.1 manifest.md, image-index.md, config.md
import { canonicalJson, goJson, MEDIA_TYPES, type Descriptor, type Platform } from '../descriptor.js'
import { isDigest, type DiffID } from '../digest.js'
import { ImageError } from '../errors.js'
import { compareNames } from '../path.js'

export interface ImageManifest {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ImageIndex {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly manifests: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

/** Durations are in nanoseconds, as in Docker. Not part of OCI, but in every Docker image. */
export interface HealthcheckConfig {
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

/** What a container is started with. */
export interface ContainerConfig {
  readonly User?: string
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>
  readonly WorkingDir?: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
  readonly ArgsEscaped?: boolean
  readonly Healthcheck?: HealthcheckConfig
  readonly OnBuild?: readonly string[]
  readonly Shell?: readonly string[]
}

export interface HistoryEntry {
  /** RFC 3339. */
  readonly created?: string
  readonly created_by?: string
  readonly author?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

export interface ImageConfig extends Platform {
  /** RFC 3339. */
  readonly created?: string | undefined
  readonly author?: string
  readonly config?: ContainerConfig
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffID[] }
  readonly history?: readonly HistoryEntry[]
}

const INDEX_TYPES: readonly string[] = [MEDIA_TYPES.index, MEDIA_TYPES.dockerManifestList]
const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPES.manifest, MEDIA_TYPES.dockerManifest]

export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.includes(mediaType)
}

export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.includes(mediaType)
}

type Json = Record<string, unknown>

/** Reads fields of a document and, where one is wrong, says which: `manifest.layers[2].size`. */
class Reader {
  constructor(
    private readonly value: unknown,
    readonly at: string,
  ) {}

  fail(expected: string): never {
    throw new ImageError('IMAGE_INVALID', `${this.at}: expected ${expected}`, { data: { field: this.at } })
  }

  object(): Json {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value))
      this.fail('an object')
    return this.value as Json
  }

  field(name: string): Reader {
    return new Reader(this.object()[name], `${this.at}.${name}`)
  }

  has(name: string): boolean {
    const value = this.object()[name]
    return value !== undefined && value !== null
  }

  optional(name: string, check: (field: Reader) => void): void {
    if (this.has(name)) check(this.field(name))
  }

  string(): string {
    if (typeof this.value !== 'string') this.fail('a string')
    return this.value
  }

  boolean(): boolean {
    if (typeof this.value !== 'boolean') this.fail('true or false')
    return this.value
  }

  integer(): number {
    if (!Number.isSafeInteger(this.value) || (this.value as number) < 0) this.fail('an integer of 0 or more')
    return this.value as number
  }

  digest(): void {
    if (typeof this.value !== 'string' || !isDigest(this.value)) this.fail('a digest sha256:<64 hex digits>')
  }

  each(check: (item: Reader) => void): void {
    if (!Array.isArray(this.value)) this.fail('an array')
    this.value.forEach((item, i) => check(new Reader(item, `${this.at}[${i}]`)))
  }

  strings(): void {
    this.each((item) => item.string())
  }

  stringMap(): void {
    for (const name of Object.keys(this.object())) this.field(name).string()
  }

  objectMap(): void {
    for (const name of Object.keys(this.object())) this.field(name).object()
  }
}

function parseJson(bytes: Uint8Array, what: string): Reader {
  try {
    return new Reader(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), what)
  } catch (cause) {
    throw new ImageError('IMAGE_INVALID', `${what}: not JSON in UTF-8`, { cause, data: { field: what } })
  }
}

function checkDescriptor(at: Reader): void {
  at.field('mediaType').string()
  at.field('digest').digest()
  at.field('size').integer()
  at.optional('annotations', (field) => field.stringMap())
  at.optional('platform', (field) => {
    field.field('os').string()
    field.field('architecture').string()
  })
}

function checkVersion(document: Reader): void {
  const version = document.field('schemaVersion')
  if (version.integer() !== 2) version.fail('2')
}

/** @throws ImageError IMAGE_INVALID; `data.field` is the field's path */
export function parseManifest(bytes: Uint8Array): ImageManifest {
  const document = parseJson(bytes, 'manifest')
  checkVersion(document)
  if (document.has('mediaType') && !isManifestType(document.field('mediaType').string())) {
    document.field('mediaType').fail(`one of ${MANIFEST_TYPES.join(', ')}`)
  }
  if (document.has('manifests')) document.field('manifests').fail('nothing: an image manifest has layers')
  checkDescriptor(document.field('config'))
  if (document.has('layers') || !('layers' in document.object()))
    document.field('layers').each(checkDescriptor)
  document.optional('annotations', (field) => field.stringMap())
  // Go writes an empty list as null; images of no layers have it.
  const manifest = document.object() as unknown as ImageManifest
  return document.has('layers') ? manifest : { ...manifest, layers: [] }
}

/** @throws ImageError IMAGE_INVALID; `data.field` is the field's path */
export function parseIndex(bytes: Uint8Array): ImageIndex {
  const document = parseJson(bytes, 'index')
  checkVersion(document)
  if (document.has('mediaType') && !isIndexType(document.field('mediaType').string())) {
    document.field('mediaType').fail(`one of ${INDEX_TYPES.join(', ')}`)
  }
  document.field('manifests').each(checkDescriptor)
  document.optional('annotations', (field) => field.stringMap())
  return document.object() as unknown as ImageIndex
}

/** @throws ImageError IMAGE_INVALID; `data.field` is the field's path */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const document = parseJson(bytes, 'config')
  document.field('os').string()
  document.field('architecture').string()
  for (const name of ['created', 'author', 'variant']) document.optional(name, (field) => field.string())
  const rootfs = document.field('rootfs')
  if (rootfs.field('type').string() !== 'layers') rootfs.field('type').fail('"layers"')
  // Go writes an empty list as null; images of no layers have it.
  if (rootfs.has('diff_ids')) rootfs.field('diff_ids').each((item) => item.digest())
  document.optional('config', checkContainerConfig)
  document.optional('history', (field) =>
    field.each((item) => {
      for (const name of ['created', 'created_by', 'author', 'comment'])
        item.optional(name, (text) => text.string())
      item.optional('empty_layer', (flag) => flag.boolean())
    }),
  )
  const config = document.object() as unknown as ImageConfig
  return rootfs.has('diff_ids') ? config : { ...config, rootfs: { type: 'layers', diff_ids: [] } }
}

function checkContainerConfig(config: Reader): void {
  for (const name of ['User', 'WorkingDir', 'StopSignal']) config.optional(name, (field) => field.string())
  for (const name of ['Env', 'Entrypoint', 'Cmd', 'OnBuild', 'Shell'])
    config.optional(name, (field) => field.strings())
  for (const name of ['ExposedPorts', 'Volumes']) config.optional(name, (field) => field.objectMap())
  config.optional('Labels', (field) => field.stringMap())
}

/** The fields of a container config in the order of Go's structs. */
export const CONTAINER_FIELDS = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'OnBuild',
  'Shell',
] as const

const HISTORY_FIELDS = ['created', 'created_by', 'author', 'comment', 'empty_layer'] as const

/**
 * A config's bytes in BuildKit's form: top-level fields sorted, `config` and history entries in the order of Go's
 * structs, maps sorted by key, absent and empty fields left out, but an unknown time and empty lists of layers and
 * history are null.
 * Fields that we do not know are kept.
 */
export function encodeConfig(config: ImageConfig): Uint8Array {
  const out: Json = { ...config }
  if ('created' in config && config.created === undefined) out.created = null
  if (config.rootfs.diff_ids.length === 0) out.rootfs = { ...config.rootfs, diff_ids: null }
  if (config.config !== undefined) out.config = orderContainerConfig(config.config)
  if (config.history !== undefined) {
    const { history } = config
    out.history = history.length === 0 ? null : history.map((entry) => ordered(entry, HISTORY_FIELDS))
  }
  return canonicalJson(sortKeys(out))
}

function orderContainerConfig(config: ContainerConfig): Json {
  const out = ordered(config, CONTAINER_FIELDS)
  for (const name of ['ExposedPorts', 'Volumes', 'Labels'] as const) {
    if (out[name] !== undefined) out[name] = sortKeys(out[name] as Json)
  }
  return out
}

/** The known fields first and in their order, then the rest; empty ones are left out as Go's `omitempty` does. */
function ordered(value: object, fields: readonly string[]): Json {
  const source = value as Json
  const out: Json = {}
  for (const name of [...fields, ...Object.keys(source).filter((key) => !fields.includes(key))]) {
    if (isEmpty(source[name])) continue
    // Not by assignment: `__proto__` is a name as any other here.
    Object.defineProperty(out, name, {
      value: source[name],
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return out
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function sortKeys(value: Json): Json {
  return Object.fromEntries(
    Object.keys(value)
      .toSorted(compareNames)
      .map((key) => [key, value[key]]),
  )
}

/** A manifest's bytes in BuildKit's form: fields in the spec's order, indented by two blanks. */
export function encodeManifest(manifest: ImageManifest): Uint8Array {
  const { schemaVersion, mediaType, artifactType, config, layers, subject, annotations } = manifest
  const some = layers.length === 0 ? null : layers
  return canonicalJson(
    { schemaVersion, mediaType, artifactType, config, layers: some, subject, annotations },
    2,
  )
}

/** A document for people and scripts, indented, as Go's json.MarshalIndent writes it. */
export function formatDocument(value: unknown): string {
  return goJson(value, 2)
}
