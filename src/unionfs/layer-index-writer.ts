// A layer's changes → its index, column by column: the changes need not be in memory together, and the plain entries of a
// tar need not become changes at all. docs/format.md § Layer index has every byte. Pure.
import { encodePath } from '../path.js'
import type { PlainHeader } from '../store/index.js'
import type { Change } from './changeset.js'
import { DirTable } from './dir-table.js'
import { Text, giveRows, takeRows } from './index-columns.js'
import { SparseContent } from './layer-codec.js'
import {
  CHECKED_FROM,
  HAS_TARGET,
  KIND_CODE,
  MAGIC,
  META_WORDS,
  VERSION,
  layout,
  type Xxh64,
} from './layer-index-format.js'
import type { TreeNode, Xattrs } from './node.js'

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

const FILE = 0
const DIR = 1

const DOT = 0x2e
const SLASH = 0x2f
const W = 0x77
const UNCLEAN = -2

export class IndexWriter {
  readonly #rows = takeRows()
  /** Of the changes, a NUL behind each. */
  readonly #names = new Text()
  readonly #targets: string[] = []
  readonly #dirs = new DirTable()
  /** The directory of the last change and that of the last plain header: siblings come in a row. */
  #lastDir: string | undefined
  #lastDirRow = 0
  #lastPlainRow = 0
  readonly #metas = new Map<string, number>()
  readonly #metaWords: number[] = []
  #lastMeta = 0
  readonly #xattrs = new Map<string, number>()
  readonly #extra: number[] = []
  readonly #shas: { index: number; hex: string }[] = []
  readonly #holes: { index: number; at: number }[] = []

  /** Changes that were added. */
  get count(): number {
    return this.#rows.count
  }

  /** The index. Ends the writer. */
  finish(xxh64: Xxh64): Uint8Array {
    const text = this.#text()
    const counts = {
      n: this.#rows.count,
      dirs: this.#dirs.count,
      metas: this.#metaWords.length / META_WORDS,
      shas: this.#shas.length,
      holes: this.#holes.length,
    }
    const at = layout({ counts, textBytes: text.length, extraBytes: this.#extra.length })
    const out = new Uint8Array(at.end)
    const view = new DataView(out.buffer)
    out.set(MAGIC)
    view.setUint32(8, VERSION, true)
    const { n, dirs, metas, shas, holes } = counts
    setWords(view, CHECKED_FROM, [n, dirs, metas, shas, holes, text.length, this.#extra.length])
    this.#rows.copyTo(out, at)
    giveRows(this.#rows)
    setWords(view, at.dirParent, this.#dirs.parents)
    setWords(view, at.metas, this.#metaWords)
    for (const [i, { index, hex }] of this.#shas.entries()) {
      view.setUint32(at.shaOf + i * 4, index, true)
      setHex(out, at.sha + i * 32, hex)
    }
    for (const [i, { index, at: where }] of this.#holes.entries()) {
      setWords(view, at.holeOf + i * 8, [index, where])
    }
    out.set(text, at.text)
    out.set(this.#extra, at.extra)
    view.setBigUint64(16, xxh64(out.subarray(CHECKED_FROM)), true)
    return out
  }

  /** No name holds a NUL; without it between them, bytes that are not UTF-8 could join those of the next name. */
  #text(): Uint8Array {
    const text = new Text()
    text.append(this.#dirs.names.view())
    text.append(this.#names.view())
    for (const target of this.#targets) {
      text.addString(target, 0)
      text.addNul()
    }
    return text.view().subarray(0, -1)
  }

  /** @param dataOffset  where a file's content lies; default: where the node says, holes included */
  add(change: Change, dataOffset?: number): void {
    const { path } = change
    const whole = change.kind === 'opaque' || path === ''
    const cut = whole ? path.length : path.lastIndexOf('/')
    const dir = this.#isLastDir(path, cut)
      ? this.#lastDirRow
      : this.#enterDir(cut < 0 ? '' : path.slice(0, cut))
    if (!whole) this.#names.addString(path, cut + 1)
    this.#names.addNul()
    if (change.kind === 'put') this.#addNode(dir, change.node, dataOffset)
    else {
      this.#rows.add(dir, this.#meta(KIND_CODE.get(change.kind)!, 0, 0, 0, 0), 0, 0, 0, 0)
      if (change.kind === 'link') this.#targets.push(change.target)
    }
  }

  /**
   * Adds what a plain header says, as `add` would add the change that it means.
   * @returns false, with nothing added, when its name must be cleaned or may mean something of its own
   */
  addPlain(header: PlainHeader): boolean {
    const dir = this.#plainName(header)
    if (dir < 0) return false
    const { size } = header
    const meta = this.#meta(header.kind === 'dir' ? DIR : FILE, header.mode, header.uid, header.gid, 0)
    this.#rows.add(dir, meta, size, size > 0 ? header.dataOffset : 0, header.mtimeSec, 0)
    return true
  }

  /** Adds the name. @returns the directory's row; -1 when nothing was added */
  #plainName({ path, pathStart, pathEnd }: PlainHeader): number {
    const start = path[pathStart] === DOT && path[pathStart + 1] === SLASH ? pathStart + 2 : pathStart
    const last = this.#lastPlainRow
    // Most entries lie beside the one before: then the directory need not be looked at again.
    const at = this.#dirs.skip(last, path, start, pathEnd)
    if (at >= 0 && this.#names.addPlainName(path, at, pathEnd)) return last
    const end = path[pathEnd - 1] === SLASH ? pathEnd - 1 : pathEnd
    const slash = lastSlash(path, start, end)
    if (slash === UNCLEAN) return -1
    this.#names.addName(path, slash + 1, end)
    if (slash < start) return 0
    this.#lastPlainRow = this.#dirs.row(path, start, slash)
    return this.#lastPlainRow
  }

  #addNode(dir: number, node: TreeNode, dataOffset: number | undefined): void {
    const index = this.#rows.count
    const kind = KIND_CODE.get(node.kind)!
    const xattrs = node.xattrs === undefined ? 0 : this.#addXattrs(node.xattrs)
    const offset = node.kind === 'file' && node.size > 0 ? (dataOffset ?? node.offset) : 0
    const meta = this.#meta(kind, node.mode, node.uid, node.gid, xattrs)
    this.#rows.add(dir, meta, node.size, offset, node.mtimeSec, node.mtimeNsec)
    if (HAS_TARGET[kind]) this.#targets.push(node.target)
    if (node.contentSha256 !== undefined && node.size > 0) this.#shas.push({ index, hex: node.contentSha256 })
    if (dataOffset === undefined && node.source instanceof SparseContent) this.#addHoles(index, node.source)
  }

  #isLastDir(path: string, cut: number): boolean {
    const last = this.#lastDir
    return last !== undefined && Math.max(cut, 0) === last.length && path.startsWith(last)
  }

  #enterDir(path: string): number {
    const bytes = encodePath(path)
    this.#lastDir = path
    this.#lastDirRow = this.#dirs.row(bytes, 0, bytes.length)
    return this.#lastDirRow
  }

  /** A layer has few kinds of metadata; the one before is the likeliest. */
  #meta(kind: number, mode: number, uid: number, gid: number, xattrs: number): number {
    const words = this.#metaWords
    const last = this.#lastMeta * META_WORDS
    if (
      words[last] === kind &&
      words[last + 1] === mode &&
      words[last + 2] === uid &&
      words[last + 3] === gid &&
      words[last + 4] === xattrs
    ) {
      return this.#lastMeta
    }
    const key = `${kind},${mode},${uid},${gid},${xattrs}`
    let index = this.#metas.get(key)
    if (index === undefined) {
      index = this.#metas.size
      this.#metas.set(key, index)
      words.push(kind, mode, uid, gid, xattrs)
    }
    this.#lastMeta = index
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
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, value, true)
    this.#extra.push(...bytes)
  }
}

/**
 * Where a path's last slash is, or one before its start. UNCLEAN when it is empty or not in the form of `normalizePath`,
 * or when a component begins with `.w`, which may be a whiteout: layer-codec.ts knows what such names mean.
 */
function lastSlash(path: Uint8Array, start: number, end: number): number {
  let slash = start - 1
  for (let i = start; i < end; i++) {
    const byte = path[i]
    if (byte === SLASH) {
      if (slash === i - 1) return UNCLEAN
      slash = i
    } else if (byte === DOT && slash === i - 1) {
      const next = i + 1 < end ? path[i + 1] : SLASH
      if (next === DOT || next === SLASH || next === W) return UNCLEAN
    }
  }
  return slash < end - 1 ? slash : UNCLEAN
}

function setWords(view: DataView, at: number, words: readonly number[]): void {
  for (let i = 0; i < words.length; i++) view.setUint32(at + i * 4, words[i]!, true)
}

function setHex(out: Uint8Array, at: number, hex: string): void {
  for (let i = 0; i < hex.length / 2; i++) out[at + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
}
