// Bytes of a cache record: fixed-width digests, variable-length numbers, nothing repeated. Pure.
import { hexSlice } from '#platform'
import { MEDIA_TYPES } from '../descriptor.js'
import type { Digest, DiffID } from '../digest.js'
import type { LayerRef } from './vertex.js'

/** One way to reach a key: an input's key, and the part of that input that is used. */
export interface KeyLink {
  readonly id: string
  readonly selector: Digest | undefined
}

/** What the cache knows about a key. */
export interface KeyRecord {
  /** `recordId` of the operation and its output, or of content: what BuildKit's exports call a record's digest. */
  readonly digest: Digest
  /** For each input the keys that lead here; none for a source. */
  readonly inputs: readonly (readonly KeyLink[])[]
  /** Absent for a key that only leads to others. */
  readonly result: StoredResult | undefined
}

export interface StoredResult {
  /** The whole stack, base first. */
  readonly layers: readonly LayerRef[]
  /** Milliseconds since the epoch. */
  readonly createdMs: number
  readonly lastUsedMs: number
  readonly useCount: number
  /** What the step took when it ran. */
  readonly costMs: number
  /** Bytes of the layers that the step added. */
  readonly costBytes: number
}

const VERSION = 1
const HAS_RESULT = 1
/** Positions are part of the format: only ever add at the end. */
const KNOWN_TYPES: readonly string[] = [
  '',
  MEDIA_TYPES.layer,
  MEDIA_TYPES.layerGzip,
  MEDIA_TYPES.layerZstd,
  MEDIA_TYPES.dockerLayer,
  MEDIA_TYPES.dockerLayerGzip,
]

/** Characters of a key id: 160 bits in hex. */
export const ID_LENGTH = 40

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function encodeKeyRecord(record: KeyRecord): Uint8Array {
  const out = new Writer()
  out.number(VERSION)
  out.number(record.result === undefined ? 0 : HAS_RESULT)
  out.hex(record.digest.slice(7))
  out.number(record.inputs.length)
  for (const links of record.inputs) {
    out.number(links.length)
    for (const { id, selector } of links) {
      out.hex(id)
      out.number(selector === undefined ? 0 : 1)
      if (selector !== undefined) out.hex(selector.slice(7))
    }
  }
  if (record.result !== undefined) writeResult(out, record.result)
  return out.bytes()
}

function writeResult(out: Writer, result: StoredResult): void {
  out.number(result.createdMs)
  out.number(result.lastUsedMs)
  out.number(result.useCount)
  out.number(result.costMs)
  out.number(result.costBytes)
  out.number(result.layers.length)
  for (const { descriptor, diffID } of result.layers) {
    out.hex(descriptor.digest.slice(7))
    const same = (diffID as string) === descriptor.digest
    out.number(same ? 1 : 0)
    if (!same) out.hex(diffID.slice(7))
    out.number(descriptor.size)
    const type = KNOWN_TYPES.indexOf(descriptor.mediaType)
    out.number(Math.max(type, 0))
    if (type <= 0) out.text(descriptor.mediaType)
    const annotations = Object.entries(descriptor.annotations ?? {})
    out.number(annotations.length)
    for (const [name, value] of annotations) {
      out.text(name)
      out.text(value)
    }
  }
}

/** @returns `undefined` for bytes that are not a whole record of this version */
export function decodeKeyRecord(bytes: Uint8Array): KeyRecord | undefined {
  try {
    return readRecord(new Reader(bytes))
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Lookups ask for results only; the links are read when someone asks for them. */
class DecodedRecord implements KeyRecord {
  readonly digest: Digest
  readonly result: StoredResult | undefined
  readonly #links: Reader
  #inputs: KeyLink[][] | undefined

  constructor(digest: Digest, links: Reader, result: StoredResult | undefined) {
    this.digest = digest
    this.result = result
    this.#links = links
  }

  get inputs(): readonly (readonly KeyLink[])[] {
    return (this.#inputs ??= readInputs(this.#links))
  }
}

function readRecord(input: Reader): KeyRecord | undefined {
  if (input.number() !== VERSION) return undefined
  const flags = input.number()
  const digest = `sha256:${input.hex(32)}` as Digest
  const links = input.clone()
  skipInputs(input)
  return new DecodedRecord(digest, links, flags & HAS_RESULT ? readResult(input) : undefined)
}

function skipInputs(input: Reader): void {
  for (let i = input.count(); i > 0; i--) {
    for (let j = input.count(); j > 0; j--) {
      input.skip(ID_LENGTH / 2)
      if (input.number() === 1) input.skip(32)
    }
  }
}

function readInputs(input: Reader): KeyLink[][] {
  const inputs: KeyLink[][] = []
  for (let i = input.count(); i > 0; i--) {
    const links: KeyLink[] = []
    for (let j = input.count(); j > 0; j--) {
      const id = input.hex(ID_LENGTH / 2)
      links.push({ id, selector: input.number() === 1 ? (`sha256:${input.hex(32)}` as Digest) : undefined })
    }
    inputs.push(links)
  }
  return inputs
}

function readResult(input: Reader): StoredResult {
  const createdMs = input.number()
  const lastUsedMs = input.number()
  const useCount = input.number()
  const costMs = input.number()
  const costBytes = input.number()
  const layers: LayerRef[] = []
  for (let i = input.count(); i > 0; i--) layers.push(readLayerRef(input))
  return { layers, createdMs, lastUsedMs, useCount, costMs, costBytes }
}

function readLayerRef(input: Reader): LayerRef {
  const digest = `sha256:${input.hex(32)}` as Digest
  const diffID = (input.number() === 1 ? digest : `sha256:${input.hex(32)}`) as string as DiffID
  const size = input.number()
  const type = input.number()
  const mediaType = type === 0 ? input.text() : (KNOWN_TYPES[type] ?? '')
  const count = input.count()
  if (count === 0) return { descriptor: { mediaType, digest, size }, diffID }
  const pairs: [name: string, value: string][] = []
  for (let i = 0; i < count; i++) pairs.push([input.text(), input.text()])
  return { descriptor: { mediaType, digest, size, annotations: Object.fromEntries(pairs) }, diffID }
}

/** Ids side by side, as a link's value holds them. */
export function encodeIds(ids: readonly string[]): Uint8Array {
  const out = new Writer()
  for (const id of ids) out.hex(id)
  return out.bytes()
}

export function decodeIds(bytes: Uint8Array): string[] {
  const width = ID_LENGTH / 2
  const out: string[] = []
  for (let at = 0; at + width <= bytes.length; at += width) out.push(hexSlice(bytes, at, at + width))
  return out
}

class Writer {
  #bytes = new Uint8Array(256)
  #length = 0

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#length + count, this.#bytes.length * 2))
    grown.set(this.#bytes)
    this.#bytes = grown
  }

  /** A whole number from 0 to 2^53 - 1; seven bits a byte, low ones first. */
  number(value: number): void {
    this.#reserve(8)
    let rest = Math.max(0, Math.floor(value))
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  hex(digits: string): void {
    this.#reserve(digits.length / 2)
    for (let i = 0; i < digits.length; i += 2) {
      this.#bytes[this.#length++] = Number.parseInt(digits.slice(i, i + 2), 16)
    }
  }

  text(text: string): void {
    const bytes = encoder.encode(text)
    this.number(bytes.length)
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

/** Throws RangeError at the end of the bytes. */
class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  number(): number {
    let value = 0
    for (let unit = 1; ; unit *= 0x80) {
      if (this.#at >= this.#bytes.length || unit > 2 ** 49) throw new RangeError('cache record is cut short')
      const byte = this.#bytes[this.#at++]!
      value += (byte & 0x7f) * unit
      if (byte < 0x80) return value
    }
  }

  /** A number of things that follow: each takes at least a byte, so a damaged count cannot ask for the world. */
  count(): number {
    const count = this.number()
    if (count > this.#bytes.length - this.#at) throw new RangeError('cache record is cut short')
    return count
  }

  hex(count: number): string {
    const start = this.#at
    this.skip(count)
    return hexSlice(this.#bytes, start, this.#at)
  }

  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new RangeError('cache record is cut short')
    this.#at += count
  }

  /** Another reader at the same place. */
  clone(): Reader {
    const out = new Reader(this.#bytes)
    out.#at = this.#at
    return out
  }

  text(): string {
    const length = this.count()
    this.#at += length
    return decoder.decode(this.#bytes.subarray(this.#at - length, this.#at))
  }
}
