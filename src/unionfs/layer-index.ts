// A layer's changeset as one block of bytes beside its blob, so that opening a layer neither scans nor reads its tar:
// columns of numbers that are used in place, and one text of all names. This file reads them. Pure.
//
// It is derived data. What does not have the right magic, version, length and checksum counts as absent.
import { decodePath } from '../path.js'
import { PutChange, type Change, type ChangeSource, type Changeset } from './changeset.js'
import { SparseContent } from './layer-codec.js'
import {
  CHECKED_FROM,
  HAS_TARGET,
  HEADER,
  KINDS,
  LINK,
  MAGIC,
  META_WORDS,
  OPAQUE,
  VERSION,
  layout,
  type Sections,
  type Xxh64,
} from './layer-index-format.js'
import type { IndexRows } from './tree-from-index.js'
import { SharedMeta, TreeNode, type ContentSource, type NodeKind, type Origin, type Xattrs } from './node.js'

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

/** Positions in the lists that only some changes are in. */
interface Cursor {
  target: number
  sha: number
  hole: number
}

export class IndexReader implements ChangeSource, IndexRows {
  readonly #view: DataView
  readonly #bytes: Uint8Array
  readonly #at: ReturnType<typeof layout>
  readonly #counts: Sections['counts']
  readonly #options: DecodeOptions
  /** Names of directories, names of changes, targets; each a slice that shares the text's memory. */
  readonly #strings: readonly string[]
  /** Paths of the directories; of the whole index, when first asked for. */
  #dirs: readonly string[] | undefined
  readonly #metas: readonly MetaRecord[]

  constructor(bytes: Uint8Array, sections: Sections, options: DecodeOptions) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = layout(sections)
    this.#counts = sections.counts
    this.#options = options
    this.#strings = decodePath(bytes.subarray(this.#at.text, this.#at.text + sections.textBytes)).split('\0')
    this.#metas = this.#readMetas()
  }

  *deletions(): Generator<Change> {
    if (!this.#metas.some((meta) => meta.kind > LINK)) return
    for (let i = 0; i < this.#counts.n; i++) {
      const meta = this.#metaOf(i)
      if (meta.kind > LINK) yield whole(meta.kind, this.#dirPathOf(i), this.nameOf(i), '')
    }
  }

  *entries(): Generator<Change> {
    const cursor = this.#cursor()
    for (let i = 0; i < this.#counts.n; i++) {
      const { kind } = this.#metaOf(i)
      if (kind > LINK) continue
      if (kind === LINK)
        yield whole(LINK, this.#dirPathOf(i), this.nameOf(i), this.#strings[cursor.target++]!)
      else yield new PutChange(this.#dirPathOf(i), this.nameOf(i), this.#make(i, cursor))
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

  get count(): number {
    return this.#counts.n
  }

  get dirCount(): number {
    return this.#counts.dirs
  }

  dirOf(index: number): number {
    return this.#view.getUint32(this.#at.dir + index * 4, true)
  }

  nameOf(index: number): string {
    return this.#strings[this.#counts.dirs + index]!
  }

  parentOf(row: number): number {
    return this.#view.getUint32(this.#at.dirParent + row * 4, true)
  }

  dirNameOf(row: number): string {
    return this.#strings[row]!
  }

  nodes(): ((index: number) => TreeNode) | undefined {
    if (this.#metas.some((meta) => meta.kind >= LINK)) return undefined
    const cursor = this.#cursor()
    return (index) => this.#make(index, cursor)
  }

  #dirPathOf(i: number): string {
    return (this.#dirs ??= this.#readDirs())[this.dirOf(i)]!
  }

  #metaOf(i: number): MetaRecord {
    return this.#metas[this.#view.getUint32(this.#at.meta + i * 4, true)]!
  }

  /** Where the next target, digest and sparse map are. */
  #cursor(): Cursor {
    return { target: this.#counts.dirs + this.#counts.n, sha: 0, hole: 0 }
  }

  #make(i: number, cursor: Cursor): TreeNode {
    const meta = this.#metaOf(i)
    const target = HAS_TARGET[meta.kind] ? this.#strings[cursor.target++]! : ''
    const isSparse = this.#indexAt(this.#at.holeOf, 2, cursor.hole) === i
    const node = this.#node(i, meta, target, isSparse ? this.#holes(cursor.hole++) : undefined)
    if (this.#indexAt(this.#at.shaOf, 1, cursor.sha) === i) node.contentSha256 = this.#sha(cursor.sha++)
    return node
  }

  /** Whose the next digest or sparse map is: both lists are in the order of the changes. */
  #indexAt(column: number, words: number, position: number): number | undefined {
    const end = column === this.#at.shaOf ? this.#counts.shas : this.#counts.holes
    return position < end ? this.#view.getUint32(column + position * words * 4, true) : undefined
  }

  #node(i: number, meta: MetaRecord, target: string, holes: ContentSource | undefined): TreeNode {
    const view = this.#view
    const at = this.#at
    const size = small(view.getFloat64(at.size + i * 8, true))
    const hasContent = meta.kind === 0 && size > 0
    const own = hasContent ? (holes ?? this.#options.source) : HAS_TARGET[meta.kind] ? target : undefined
    const offset = hasContent && holes === undefined ? small(view.getFloat64(at.offset + i * 8, true)) : 0
    const sec = small(view.getFloat64(at.mtimeSec + i * 8, true))
    return new TreeNode(meta.shared!, own, size, offset, sec, view.getUint32(at.mtimeNsec + i * 4, true))
  }

  #readDirs(): string[] {
    const out: string[] = ['']
    for (let i = 1; i < this.#counts.dirs; i++) {
      const parent = out[this.parentOf(i)]!
      const name = this.dirNameOf(i)
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

/** A number that was read as a double, as an integer where it is one of 32 bits: a double in a node costs 16 bytes more. */
function small(value: number): number {
  const integer = value | 0
  return integer === value ? integer : value
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function whole(kind: number, dir: string, name: string, target: string): Change {
  const path = name === '' ? dir : dir === '' ? name : `${dir}/${name}`
  if (kind === LINK) return { kind: 'link', path, target }
  return { kind: kind === OPAQUE ? 'opaque' : 'delete', path }
}
