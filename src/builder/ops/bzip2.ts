// bzip2, decompression only: what ADD needs for `.tar.bz2`. Own code, because the npm decoders bring Node streams and
// polyfills along. Pure.
// @see Julian Seward, bzip2 1.0.8 decompress.c; the format has no other specification
import { LayerError } from '../../errors.js'

const BLOCK_MAGIC = 0x314159265359
const END_MAGIC = 0x177245385090
const GROUP = 50
const CODE_BITS_MAX = 20

/** Whether bytes begin as a bzip2 stream does. */
export function isBzip2(head: Uint8Array): boolean {
  return head[0] === 0x42 && head[1] === 0x5a && head[2] === 0x68 && head[3]! >= 0x31 && head[3]! <= 0x39
}

/**
 * The bytes as they were before compression, block by block; several streams in a row are one.
 * @throws LayerError COMPRESSION_INVALID
 */
export function* decompressBzip2(bytes: Uint8Array): Generator<Uint8Array> {
  const bits = new Bits(bytes)
  do {
    const level = readStreamHeader(bits)
    const links = new Uint32Array(level * 100_000)
    let combined = 0
    for (;;) {
      const magic = bits.read(24) * 0x1000000 + bits.read(24)
      const crc = bits.read(32)
      if (magic === END_MAGIC) {
        if (crc !== combined) throw invalid('the checksum of the stream does not match')
        break
      }
      if (magic !== BLOCK_MAGIC) throw invalid('a block does not begin as one')
      const block = readBlock(bits, links)
      if (crcOf(block) !== crc) throw invalid('the checksum of a block does not match')
      combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0
      yield block
    }
    bits.align()
  } while (bits.more)
}

function invalid(why: string): LayerError {
  return new LayerError('COMPRESSION_INVALID', `bzip2: ${why}`)
}

class Bits {
  private at = 0
  private bit = 0

  constructor(private readonly bytes: Uint8Array) {}

  get more(): boolean {
    return this.at < this.bytes.length
  }

  /** @param count  1 to 32 */
  read(count: number): number {
    let out = 0
    for (let left = count; left > 0;) {
      if (this.at >= this.bytes.length) throw invalid('it ends too early')
      const take = Math.min(left, 8 - this.bit)
      const part = (this.bytes[this.at]! >> (8 - this.bit - take)) & ((1 << take) - 1)
      out = out * (1 << take) + part
      left -= take
      this.bit += take
      if (this.bit === 8) {
        this.bit = 0
        this.at++
      }
    }
    return out
  }

  align(): void {
    if (this.bit === 0) return
    this.bit = 0
    this.at++
  }
}

function readStreamHeader(bits: Bits): number {
  const head = Uint8Array.of(bits.read(8), bits.read(8), bits.read(8), bits.read(8))
  if (!isBzip2(head)) throw invalid('it does not begin as a stream')
  return head[3]! - 0x30
}

function readBlock(bits: Bits, links: Uint32Array): Uint8Array {
  if (bits.read(1) === 1) throw invalid('randomised blocks, which no version since 1997 writes')
  const start = bits.read(24)
  const symbols = readSymbols(bits)
  const tableCount = bits.read(3)
  const selectorCount = bits.read(15)
  if (tableCount < 2 || tableCount > 6 || selectorCount === 0)
    throw invalid('its Huffman tables make no sense')
  const selectors = readSelectors(bits, tableCount, selectorCount)
  const tables = Array.from({ length: tableCount }, () => readTable(bits, symbols.length + 2))
  const size = readRuns(bits, symbols, selectors, tables, links)
  if (start >= size) throw invalid('a block starts outside itself')
  return undoRuns(undoSort(links, size, start))
}

/** The byte values that occur in a block. */
function readSymbols(bits: Bits): Uint8Array {
  const used = bits.read(16)
  const out: number[] = []
  for (let i = 0; i < 16; i++) {
    if (((used >> (15 - i)) & 1) === 0) continue
    const row = bits.read(16)
    for (let j = 0; j < 16; j++) if (((row >> (15 - j)) & 1) === 1) out.push(i * 16 + j)
  }
  if (out.length === 0) throw invalid('a block uses no byte value')
  return Uint8Array.from(out)
}

/** Which table decodes each group of 50 symbols. */
function readSelectors(bits: Bits, tableCount: number, count: number): Uint8Array {
  const recent = Array.from({ length: tableCount }, (_, i) => i)
  const out = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    let place = 0
    while (bits.read(1) === 1) if (++place >= tableCount) throw invalid('a table that is not there')
    out[i] = toFront(recent, place)
  }
  return out
}

function toFront(list: number[], place: number): number {
  const [value] = list.splice(place, 1)
  list.unshift(value!)
  return value!
}

/** A canonical Huffman code: for each length the last code of it, where its symbols begin, and the symbols. */
interface Table {
  readonly limit: Int32Array
  readonly base: Int32Array
  readonly symbols: Uint16Array
  readonly shortest: number
}

function readTable(bits: Bits, count: number): Table {
  const lengths = new Uint8Array(count)
  let length = bits.read(5)
  for (let i = 0; i < count; i++) {
    for (;;) {
      if (length < 1 || length > CODE_BITS_MAX) throw invalid('a code of impossible length')
      if (bits.read(1) === 0) break
      length += bits.read(1) === 0 ? 1 : -1
    }
    lengths[i] = length
  }
  return tableOf(lengths)
}

function tableOf(lengths: Uint8Array): Table {
  const counts = new Int32Array(CODE_BITS_MAX + 2)
  for (const length of lengths) counts[length]!++
  const symbols = new Uint16Array(lengths.length)
  const limit = new Int32Array(CODE_BITS_MAX + 1).fill(-1)
  const base = new Int32Array(CODE_BITS_MAX + 1)
  let code = 0
  let placed = 0
  for (let length = 1; length <= CODE_BITS_MAX; length++) {
    base[length] = placed - code
    for (let i = 0; i < lengths.length; i++) if (lengths[i] === length) symbols[placed++] = i
    const count = counts[length]!
    code += count
    limit[length] = count === 0 ? -1 : code - 1
    code <<= 1
  }
  return { limit, base, symbols, shortest: Math.min(...lengths) }
}

function readSymbol(bits: Bits, table: Table): number {
  let code = bits.read(table.shortest)
  for (let length = table.shortest; ;) {
    if (code <= table.limit[length]!) {
      const at = code + table.base[length]!
      if (at >= 0 && at < table.symbols.length) return table.symbols[at]!
    }
    if (++length > CODE_BITS_MAX) throw invalid('a code that no table has')
    code = (code << 1) | bits.read(1)
  }
}

/** Undoes Huffman codes, runs of the front symbol, and move-to-front. @returns bytes in the block, one per link */
function readRuns(
  bits: Bits,
  symbols: Uint8Array,
  selectors: Uint8Array,
  tables: readonly Table[],
  links: Uint32Array,
): number {
  const recent = Array.from(symbols)
  const end = symbols.length + 1
  let size = 0
  let run = 0
  let weight = 1
  const flush = (): void => {
    if (size + run > links.length) throw invalid('a block is larger than its stream says')
    links.fill(recent[0]!, size, size + run)
    size += run
    run = 0
    weight = 1
  }
  for (let group = 0; ; group++) {
    const table = tables[selectors[group] ?? -1]
    if (table === undefined) throw invalid('a block has more symbols than tables for them')
    for (let i = 0; i < GROUP; i++) {
      const symbol = readSymbol(bits, table)
      if (symbol <= 1) {
        run += weight << symbol
        weight <<= 1
        if (run > links.length) throw invalid('a run is longer than a block')
        continue
      }
      flush()
      if (symbol === end) return size
      if (size === links.length) throw invalid('a block is larger than its stream says')
      links[size++] = toFront(recent, symbol - 1)
    }
  }
}

/** Undoes the Burrows-Wheeler transform. The low 8 bits of a link are a byte, the others lead to the next. */
function undoSort(links: Uint32Array, size: number, start: number): Uint8Array {
  const next = new Uint32Array(256)
  for (let i = 0; i < size; i++) next[links[i]! & 0xff]!++
  for (let i = 0, sum = 0; i < 256; i++) {
    sum += next[i]!
    next[i] = sum - next[i]!
  }
  for (let i = 0; i < size; i++) links[next[links[i]! & 0xff]!++]! |= i << 8
  const out = new Uint8Array(size)
  for (let i = 0, at = links[start]! >>> 8; i < size; i++) {
    out[i] = links[at]! & 0xff
    at = links[at]! >>> 8
  }
  return out
}

/** Undoes the first run-length code: four equal bytes are followed by how many more of them there are. */
function undoRuns(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(unpackedSize(bytes))
  let at = 0
  eachRun(bytes, (byte, count) => {
    out.fill(byte, at, at + count)
    at += count
  })
  return out
}

function unpackedSize(bytes: Uint8Array): number {
  let size = 0
  eachRun(bytes, (_, count) => (size += count))
  return size
}

function eachRun(bytes: Uint8Array, visit: (byte: number, count: number) => void): void {
  for (let i = 0; i < bytes.length;) {
    const byte = bytes[i]!
    let count = 1
    while (count < 4 && bytes[i + count] === byte) count++
    i += count
    visit(byte, count === 4 && i < bytes.length ? 4 + bytes[i++]! : count)
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24
  for (let i = 0; i < 8; i++) value = (value << 1) ^ (value < 0 ? 0x04c11db7 : 0)
  return value >>> 0
})

function crcOf(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = ((crc << 8) ^ CRC_TABLE[((crc >>> 24) ^ byte) & 0xff]!) >>> 0
  return ~crc >>> 0
}
