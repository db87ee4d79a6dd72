// A layer's changeset as one block of bytes beside its blob, so that opening a layer neither scans nor reads its tar:
// columns of numbers that are used in place, and one text of all names. docs/format.md § Layer index has every byte. Pure.
//
// It is derived data. What does not have the right magic, version, length and checksum counts as absent.
import { decodePath, encodePath, baseNameOf, parentOf } from '../path.js'
import { PutChange, type Change, type ChangeSource, type Changeset } from './changeset.js'
import { SparseContent } from './layer-codec.js'
import { SharedMeta, TreeNode, type ContentSource, type NodeKind, type Origin, type Xattrs } from './node.js'

/** xxh64 with seed 0 (xxhash-wasm's `h64Raw`). */
export type Xxh64 = (bytes: Uint8Array) => bigint

/** "LAMIDX" and two bytes that text transfers would damage. */
const MAGIC = Uint8Array.of(0x4c, 0x41, 0x4d, 0x49, 0x44, 0x58, 0x0d, 0x0a)
const VERSION = 1
const HEADER = 64
/** Where the checksummed part begins: everything behind the checksum. */
const CHECKED_FROM = 24

/** Change kinds by number; a `put`'s node kinds first. */
const KINDS: readonly (NodeKind | 'link' | 'delete' | 'opaque')[] = [
  'file',
  'dir',
  'symlink',
  'chardev',
  'blockdev',
  'fifo',
  'link',
  'delete',
  'opaque',
]
const KIND_CODE = new Map(KINDS.map((kind, code) => [kind, code]))
const LINK = 6
const OPAQUE = 8
/** Kinds that have a target among the strings: symlinks, devices (`major:minor`), links. */
const HAS_TARGET = [false, false, true, true, true, false, true, false, false]

/** 32-bit numbers of one metadata record: kind, mode, uid, gid, xattrs (1 + position in the extra part, or 0). */
const META_WORDS = 5

interface Sections {
  /** Numbers of changes, directories, metadata records, files with digest, sparse files. */
  readonly counts: {
    readonly n: number
    readonly dirs: number
    readonly metas: number
    readonly shas: number
    readonly holes: number
  }
  /** Bytes of the text and of the extra part. */
  readonly textBytes: number
  readonly extraBytes: number
}

/** Offsets of the columns; the 8-byte ones first, so that all are aligned. */
function layout({ counts: { n, dirs, metas, shas, holes }, textBytes, extraBytes }: Sections) {
  let at = HEADER
  const take = (bytes: number) => {
    const start = at
    at += bytes
    return start
  }
  const columns = {
    size: take(n * 8),
    offset: take(n * 8),
    mtimeSec: take(n * 8),
    mtimeNsec: take(n * 4),
    dir: take(n * 4),
    meta: take(n * 4),
    dirParent: take(dirs * 4),
    metas: take(metas * META_WORDS * 4),
    shaOf: take(shas * 4),
    holeOf: take(holes * 8),
    sha: take(shas * 32),
    text: take(textBytes),
    extra: take(extraBytes),
  }
  return { ...columns, end: at }
}

/**
 * @param xxh64  checksum of the index, not an identity
 * @param dataOffsets  where each change's content lies in the tar that was just written, without holes; left out, the nodes
 *                     say it themselves
 */
export function encodeLayerIndex(
  changes: Iterable<Change>,
  xxh64: Xxh64,
  dataOffsets?: readonly number[],
): Uint8Array {
  const writer = new IndexWriter()
  let index = 0
  for (const change of changes) writer.add(change, dataOffsets?.[index++])
  return writer.finish(xxh64)
}

class IndexWriter {
  // Numbers, not nodes: the changes of a layer that is scanned need not be in memory together.
  readonly #size: number[] = []
  readonly #offset: number[] = []
  readonly #mtimeSec: number[] = []
  readonly #mtimeNsec: number[] = []
  readonly #dirOf: number[] = []
  readonly #metaOf: number[] = []
  readonly #names: string[] = []
  readonly #targets: string[] = []
  #lastDir: string | undefined
  readonly #dirs = new Map<string, number>([['', 0]])
  readonly #dirParents: number[] = [0]
  readonly #dirNames: string[] = ['']
  readonly #metas = new Map<string, number>()
  readonly #metaWords: number[] = []
  readonly #xattrs = new Map<string, number>()
  readonly #extra: number[] = []
  readonly #shas: { index: number; hex: string }[] = []
  readonly #holes: { index: number; at: number }[] = []

  finish(xxh64: Xxh64): Uint8Array {
    // No name holds a NUL; without it between them, bytes that are not UTF-8 could join those of the next name.
    const text = encodePath(this.#dirNames.concat(this.#names, this.#targets).join('\0'))
    const counts = {
      n: this.#dirOf.length,
      dirs: this.#dirNames.length,
      metas: this.#metaWords.length / META_WORDS,
      shas: this.#shas.length,
      holes: this.#holes.length,
    }
    const at = layout({ counts, textBytes: text.length, extraBytes: this.#extra.length })
    const out = new Uint8Array(at.end)
    const view = new DataView(out.buffer)
    out.set(MAGIC)
    view.setUint32(8, VERSION, true)
    const numbers = [
      counts.n,
      counts.dirs,
      counts.metas,
      counts.shas,
      counts.holes,
      text.length,
      this.#extra.length,
    ]
    setWords(view, CHECKED_FROM, numbers)
    setDoubles(view, at.size, this.#size)
    setDoubles(view, at.offset, this.#offset)
    setDoubles(view, at.mtimeSec, this.#mtimeSec)
    setWords(view, at.mtimeNsec, this.#mtimeNsec)
    setWords(view, at.dir, this.#dirOf)
    setWords(view, at.meta, this.#metaOf)
    setWords(view, at.dirParent, this.#dirParents)
    setWords(view, at.metas, this.#metaWords)
    setWords(
      view,
      at.shaOf,
      this.#shas.map(({ index }) => index),
    )
    setWords(
      view,
      at.holeOf,
      this.#holes.flatMap(({ index, at: where }) => [index, where]),
    )
    for (const [i, { hex }] of this.#shas.entries()) setHex(out, at.sha + i * 32, hex)
    out.set(text, at.text)
    out.set(this.#extra, at.extra)
    view.setBigUint64(16, xxh64(out.subarray(CHECKED_FROM)), true)
    return out
  }

  /** @param dataOffset  where a file's content lies; default: where the node says, holes included */
  add(change: Change, dataOffset?: number): void {
    const { path } = change
    const whole = change.kind === 'opaque' || path === ''
    const cut = whole ? path.length : path.lastIndexOf('/')
    const dir = this.#isLastDir(path, cut)
      ? this.#dirOf.at(-1)!
      : this.#dir(cut < 0 ? '' : path.slice(0, cut))
    this.#names.push(whole ? '' : path.slice(cut + 1))
    if (change.kind === 'put') this.#addNode(change.node, dataOffset)
    else {
      this.#metaOf.push(this.#meta(KIND_CODE.get(change.kind)!, 0, 0, 0, 0))
      this.#addNumbers(0, 0, 0, 0)
      if (change.kind === 'link') this.#targets.push(change.target)
    }
    this.#dirOf.push(dir)
  }

  #addNode(node: TreeNode, dataOffset: number | undefined): void {
    const index = this.#dirOf.length
    const kind = KIND_CODE.get(node.kind)!
    const xattrs = node.xattrs === undefined ? 0 : this.#addXattrs(node.xattrs)
    const offset = node.kind === 'file' && node.size > 0 ? (dataOffset ?? node.offset) : 0
    this.#metaOf.push(this.#meta(kind, node.mode, node.uid, node.gid, xattrs))
    this.#addNumbers(node.size, offset, node.mtimeSec, node.mtimeNsec)
    if (HAS_TARGET[kind]) this.#targets.push(node.target)
    if (node.contentSha256 !== undefined && node.size > 0) this.#shas.push({ index, hex: node.contentSha256 })
    if (dataOffset === undefined && node.source instanceof SparseContent) this.#addHoles(index, node.source)
  }

  #addNumbers(size: number, offset: number, sec: number, nsec: number): void {
    this.#size.push(size)
    this.#offset.push(offset)
    this.#mtimeSec.push(sec)
    this.#mtimeNsec.push(nsec)
  }

  #isLastDir(path: string, cut: number): boolean {
    const last = this.#lastDir
    return last !== undefined && Math.max(cut, 0) === last.length && path.startsWith(last)
  }

  #dir(path: string): number {
    this.#lastDir = path
    return this.#dirIndex(path)
  }

  #dirIndex(path: string): number {
    const known = this.#dirs.get(path)
    if (known !== undefined) return known
    const parent = this.#dirIndex(parentOf(path))
    const index = this.#dirNames.length
    this.#dirs.set(path, index)
    this.#dirParents.push(parent)
    this.#dirNames.push(baseNameOf(path))
    return index
  }

  /** A layer has few kinds of metadata; the one before is the likeliest. */
  #meta(...words: [kind: number, mode: number, uid: number, gid: number, xattrs: number]): number {
    const last = this.#metaOf.at(-1)
    if (last !== undefined && words.every((word, i) => word === this.#metaWords[last * META_WORDS + i]))
      return last
    const key = words.join()
    let index = this.#metas.get(key)
    if (index === undefined) {
      index = this.#metas.size
      this.#metas.set(key, index)
      this.#metaWords.push(...words)
    }
    return index
  }

  #addXattrs(xattrs: Xattrs): number {
    const key = [...xattrs].map(([name, value]) => `${name}=${value.join()}`).join('\0')
    let at = this.#xattrs.get(key)
    if (at === undefined) {
      at = this.#extra.length + 1
      this.#xattrs.set(key, at)
      this.#addNumber(xattrs.size)
      for (const [name, value] of xattrs) {
        const bytes = encodePath(name)
        this.#addNumber(bytes.length)
        this.#addNumber(value.length)
        for (const byte of bytes) this.#extra.push(byte)
        for (const byte of value) this.#extra.push(byte)
      }
    }
    return at
  }

  #addHoles(index: number, { map }: SparseContent): void {
    this.#holes.push({ index, at: this.#extra.length })
    this.#addNumber(map.dataOffset)
    this.#addNumber(map.realSize)
    this.#addNumber(map.runs.length)
    for (const run of map.runs) {
      this.#addNumber(run.offset)
      this.#addNumber(run.length)
    }
  }

  /** Numbers of the extra part are float64. */
  #addNumber(value: number): void {
    this.#extra.push(...new Uint8Array(Float64Array.of(value).buffer))
  }
}

function setWords(view: DataView, at: number, words: readonly number[]): void {
  for (let i = 0; i < words.length; i++) view.setUint32(at + i * 4, words[i]!, true)
}

function setDoubles(view: DataView, at: number, numbers: readonly number[]): void {
  for (let i = 0; i < numbers.length; i++) view.setFloat64(at + i * 8, numbers[i]!, true)
}

function setHex(out: Uint8Array, at: number, hex: string): void {
  for (let i = 0; i < hex.length / 2; i++) out[at + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
}

export interface DecodeOptions {
  /** Where the contents are: the layer's uncompressed tar. */
  readonly source: ContentSource
  readonly origin?: Origin | undefined
  readonly xxh64: Xxh64
}

/**
 * The changes in an index; nodes are made while they are iterated, anew each time. `undefined` when the bytes are not
 * a whole index of this version.
 */
export function decodeLayerIndex(bytes: Uint8Array, options: DecodeOptions): IndexReader | undefined {
  const sections = sectionsOf(bytes)
  if (sections === undefined) return undefined
  const at = layout(sections)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (at.end !== bytes.length) return undefined
  if (options.xxh64(bytes.subarray(CHECKED_FROM)) !== view.getBigUint64(16, true)) return undefined
  return new IndexReader(bytes, sections, options)
}

function sectionsOf(bytes: Uint8Array): Sections | undefined {
  if (bytes.length < HEADER || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER)
  if (view.getUint32(8, true) !== VERSION) return undefined
  const number = (i: number) => view.getUint32(CHECKED_FROM + i * 4, true)
  return {
    counts: { n: number(0), dirs: number(1), metas: number(2), shas: number(3), holes: number(4) },
    textBytes: number(5),
    extraBytes: number(6),
  }
}

interface MetaRecord {
  readonly kind: number
  /** Of a `put`; its nodes share it. */
  readonly shared: SharedMeta | undefined
}

class IndexReader implements ChangeSource {
  readonly #view: DataView
  readonly #bytes: Uint8Array
  readonly #at: ReturnType<typeof layout>
  readonly #counts: Sections['counts']
  readonly #options: DecodeOptions
  /** Names of directories, names of changes, targets; each a slice that shares the text's memory. */
  readonly #strings: readonly string[]
  readonly #dirs: readonly string[]
  readonly #metas: readonly MetaRecord[]

  constructor(bytes: Uint8Array, sections: Sections, options: DecodeOptions) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = layout(sections)
    this.#counts = sections.counts
    this.#options = options
    this.#strings = decodePath(bytes.subarray(this.#at.text, this.#at.text + sections.textBytes)).split('\0')
    this.#dirs = this.#readDirs()
    this.#metas = this.#readMetas()
  }

  *deletions(): Generator<Change> {
    if (!this.#metas.some((meta) => meta.kind > LINK)) return
    const names = this.#counts.dirs
    for (let i = 0; i < this.#counts.n; i++) {
      const meta = this.#metaOf(i)
      if (meta.kind > LINK) yield whole(meta.kind, this.#dirOf(i), this.#strings[names + i]!, '')
    }
  }

  *entries(): Generator<Change> {
    const names = this.#counts.dirs
    let nextTarget = names + this.#counts.n
    let nextSha = 0
    let nextHole = 0
    for (let i = 0; i < this.#counts.n; i++) {
      const meta = this.#metaOf(i)
      if (meta.kind > LINK) continue
      const name = this.#strings[names + i]!
      const target = HAS_TARGET[meta.kind] ? this.#strings[nextTarget++]! : ''
      if (meta.kind === LINK) {
        yield whole(LINK, this.#dirOf(i), name, target)
        continue
      }
      const source = this.#indexAt(this.#at.holeOf, 2, nextHole) === i ? this.#holes(nextHole++) : undefined
      const node = this.#node(i, meta, target, source)
      if (this.#indexAt(this.#at.shaOf, 1, nextSha) === i) node.contentSha256 = this.#sha(nextSha++)
      yield new PutChange(this.#dirOf(i), name, node)
    }
  }

  toChangeset(): Changeset {
    const deletions = this.deletions()
    const entries = this.entries()
    return Array.from({ length: this.#counts.n }, (_, i) => {
      const { value } = this.#metaOf(i).kind > LINK ? deletions.next() : entries.next()
      return value as Change
    })
  }

  #dirOf(i: number): string {
    return this.#dirs[this.#view.getUint32(this.#at.dir + i * 4, true)]!
  }

  #metaOf(i: number): MetaRecord {
    return this.#metas[this.#view.getUint32(this.#at.meta + i * 4, true)]!
  }

  /** Whose the next digest or sparse map is: both lists are in the order of the changes. */
  #indexAt(column: number, words: number, position: number): number | undefined {
    const end = column === this.#at.shaOf ? this.#counts.shas : this.#counts.holes
    return position < end ? this.#view.getUint32(column + position * words * 4, true) : undefined
  }

  #node(i: number, meta: MetaRecord, target: string, holes: ContentSource | undefined): TreeNode {
    const view = this.#view
    const at = this.#at
    const size = view.getFloat64(at.size + i * 8, true)
    const hasContent = meta.kind === 0 && size > 0
    const own = hasContent ? (holes ?? this.#options.source) : HAS_TARGET[meta.kind] ? target : undefined
    const offset = hasContent && holes === undefined ? view.getFloat64(at.offset + i * 8, true) : 0
    const sec = view.getFloat64(at.mtimeSec + i * 8, true)
    return new TreeNode(meta.shared!, own, size, offset, sec, view.getUint32(at.mtimeNsec + i * 4, true))
  }

  #readDirs(): string[] {
    const out: string[] = ['']
    for (let i = 1; i < this.#counts.dirs; i++) {
      const parent = out[this.#view.getUint32(this.#at.dirParent + i * 4, true)]!
      const name = this.#strings[i]!
      out.push(parent === '' ? name : `${parent}/${name}`)
    }
    return out
  }

  #readMetas(): MetaRecord[] {
    return Array.from({ length: this.#counts.metas }, (_, i) => {
      const word = (k: number) => this.#view.getUint32(this.#at.metas + (i * META_WORDS + k) * 4, true)
      const xattrs = word(4) === 0 ? undefined : this.#xattrs(word(4) - 1)
      const kind = KINDS[word(0)] as NodeKind
      const shared =
        word(0) < LINK
          ? new SharedMeta(kind, word(1), word(2), word(3), xattrs, this.#options.origin)
          : undefined
      return { kind: word(0), shared }
    })
  }

  #xattrs(start: number): Xattrs {
    const out = new Map<string, Uint8Array>()
    let at = this.#at.extra + start
    const number = () => this.#view.getFloat64((at += 8) - 8, true)
    for (let left = number(); left > 0; left--) {
      const [nameLength, valueLength] = [number(), number()]
      const name = decodePath(this.#bytes.subarray(at, at + nameLength))
      out.set(name, new Uint8Array(this.#bytes.subarray(at + nameLength, at + nameLength + valueLength)))
      at += nameLength + valueLength
    }
    return out
  }

  #sha(position: number): string {
    let hex = ''
    for (let k = 0; k < 32; k++) hex += HEX[this.#bytes[this.#at.sha + position * 32 + k]!]
    return hex
  }

  #holes(position: number): ContentSource {
    let at = this.#at.extra + this.#view.getUint32(this.#at.holeOf + position * 8 + 4, true)
    const number = () => this.#view.getFloat64((at += 8) - 8, true)
    const [dataOffset, realSize] = [number(), number()]
    const runs = Array.from({ length: number() }, () => ({ offset: number(), length: number() }))
    return new SparseContent({ dataOffset, runs, realSize }, this.#options.source)
  }
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function whole(kind: number, dir: string, name: string, target: string): Change {
  const path = name === '' ? dir : dir === '' ? name : `${dir}/${name}`
  if (kind === LINK) return { kind: 'link', path, target }
  return { kind: kind === OPAQUE ? 'opaque' : 'delete', path }
}
