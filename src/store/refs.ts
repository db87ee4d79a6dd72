// Refs as values: the entries of an OCI index document that carry `org.opencontainers.image.ref.name`. Pure; where the
// document lies is disk-refs.ts's business.
import { REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { type Digest, isDigest } from '../digest.js'
import { StoreError } from '../errors.js'
import type { Ref } from './store.js'

/** An image index as `index.json` holds it. Fields and entries that are not ours are kept as they are. */
export interface IndexDocument {
  readonly manifests: readonly Descriptor[]
  readonly [field: string]: unknown
}

export const EMPTY_INDEX: IndexDocument = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: [],
}

const CONTROL = /\p{Cc}/u

/** @throws StoreError REF_INVALID */
export function checkRefName(name: string): void {
  if (name !== '' && !CONTROL.test(name) && name.isWellFormed() && name.length <= 1024) return
  throw new StoreError('REF_INVALID', `invalid ref name ${JSON.stringify(name)}`, { data: { name } })
}

/** @throws StoreError REF_CONFLICT unless the ref is as `expected` says; `undefined` expects nothing */
export function checkExpectedRef(
  name: string,
  current: Descriptor | undefined,
  expected: Digest | null | undefined,
): void {
  if (expected === undefined || expected === (current?.digest ?? null)) return
  const actual = current?.digest ?? null
  throw new StoreError(
    'REF_CONFLICT',
    `ref ${name} is ${actual ?? 'absent'}, expected ${expected ?? 'none'}: it was changed by someone else`,
    { data: { name, expected, actual } },
  )
}

/**
 * Parses an `index.json`. Entries must be descriptors; what an entry means is not looked at.
 * @throws StoreError STORE_UNREADABLE (data: field) when it is not an OCI index
 */
export function parseIndex(text: string): IndexDocument {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw badIndex('', 'is not JSON', cause)
  }
  if (!isRecord(value)) throw badIndex('', 'is not an object')
  if (value.schemaVersion !== 2) throw badIndex('schemaVersion', 'is not 2')
  const { mediaType } = value
  if (mediaType !== undefined && mediaType !== EMPTY_INDEX.mediaType)
    throw badIndex('mediaType', 'is not that of an index')
  // Go writes null for a list without members.
  const manifests = value.manifests === null ? [] : value.manifests
  if (!Array.isArray(manifests)) throw badIndex('manifests', 'is not a list')
  manifests.forEach(checkEntry)
  return { ...value, manifests: manifests as Descriptor[] }
}

function checkEntry(entry: unknown, at: number): void {
  const field = `manifests[${at}]`
  if (!isRecord(entry)) throw badIndex(field, 'is not an object')
  if (typeof entry.mediaType !== 'string') throw badIndex(`${field}.mediaType`, 'is not a string')
  if (typeof entry.digest !== 'string' || !isDigest(entry.digest)) {
    throw badIndex(`${field}.digest`, 'is not a sha256 digest')
  }
  if (!Number.isSafeInteger(entry.size) || (entry.size as number) < 0) {
    throw badIndex(`${field}.size`, 'is not a size')
  }
  const { annotations } = entry
  if (annotations === undefined || annotations === null) return
  if (!isRecord(annotations)) throw badIndex(`${field}.annotations`, 'is not an object')
  if (Object.values(annotations).some((text) => typeof text !== 'string')) {
    throw badIndex(`${field}.annotations`, 'has a value that is not a string')
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function badIndex(field: string, problem: string, cause?: unknown): StoreError {
  const where = field === '' ? 'index.json' : `index.json: ${field}`
  return new StoreError('STORE_UNREADABLE', `${where} ${problem}`, { data: { field }, cause })
}

/**
 * A ref's name: the annotation of the image-spec, or, where containerd and BuildKit wrote the index, theirs, which has the
 * whole name where that has the tag only. `docker.io/library/app:1` is `app:1`.
 */
export function refNameOf(entry: Descriptor): string | undefined {
  const whole = entry.annotations?.[IMAGE_NAME]
  if (whole === undefined) return entry.annotations?.[REF_NAME_ANNOTATION]
  return whole.replace(/^docker\.io\/(?:library\/(?=[^/]*$))?/, '')
}

const IMAGE_NAME = 'io.containerd.image.name'

/** The target that an entry stands for: the entry without its names. */
export function targetOf(entry: Descriptor): Descriptor {
  const { annotations, ...rest } = entry
  const { [REF_NAME_ANNOTATION]: _, [IMAGE_NAME]: _whole, ...others } = annotations ?? {}
  return orderFields(Object.keys(others).length === 0 ? rest : { ...rest, annotations: others })
}

/** With several entries of one name, which only other tools write, the first counts. */
export function findRef(index: IndexDocument, name: string): Descriptor | undefined {
  const entry = index.manifests.find((candidate) => refNameOf(candidate) === name)
  return entry && targetOf(entry)
}

/** All refs, sorted by name. */
export function refsOf(index: IndexDocument): Ref[] {
  const byName = new Map<string, Descriptor>()
  for (const entry of index.manifests) {
    const name = refNameOf(entry)
    if (name !== undefined && !byName.has(name)) byName.set(name, targetOf(entry))
  }
  return [...byName].map(([name, target]) => ({ name, target })).sort(byNameOrder)
}

/** Targets without a name. */
export function untaggedOf(index: IndexDocument): Descriptor[] {
  return index.manifests.filter((entry) => refNameOf(entry) === undefined)
}

function byNameOrder(a: Ref, b: Ref): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}

/** The document after a ref was set or, without a target, removed. Other entries keep their places. */
export function withRef(index: IndexDocument, name: string, target: Descriptor | undefined): IndexDocument {
  const manifests: Descriptor[] = []
  let placed = target === undefined
  for (const entry of index.manifests) {
    if (refNameOf(entry) !== name) manifests.push(entry)
    else if (!placed) {
      manifests.push(namedEntry(name, target!))
      placed = true
    }
  }
  if (!placed) manifests.push(namedEntry(name, target!))
  return { ...index, manifests }
}

function namedEntry(name: string, target: Descriptor): Descriptor {
  return orderFields({ ...target, annotations: { ...target.annotations, [REF_NAME_ANNOTATION]: name } })
}

const FIELDS = [
  'mediaType',
  'digest',
  'size',
  'urls',
  'annotations',
  'data',
  'artifactType',
  'platform',
] as const

/** A descriptor with its known fields in the spec's order, so that equal ones are equal bytes; others follow. */
function orderFields(descriptor: Descriptor): Descriptor {
  const out: Record<string, unknown> = {}
  for (const field of FIELDS) if (descriptor[field] !== undefined) out[field] = descriptor[field]
  for (const [field, value] of Object.entries(descriptor)) {
    if (!(field in out) && value !== undefined) out[field] = value
  }
  return out as unknown as Descriptor
}
