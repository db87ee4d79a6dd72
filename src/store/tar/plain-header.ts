// Headers that say all there is to say in ASCII and octal digits, read without making an object. Pure.
import { BLOCK, FIELD, formatOf } from './header.js'
import type { TarEntry } from './read.js'

/** Longest path of a ustar header: prefix, slash, name. */
const PATH_BYTES = 256

const ascii = new TextDecoder()

/**
 * A file or directory whose header says all there is to say, in ASCII and octal digits, without any extension: nearly
 * every entry of nearly every layer. One object for a whole scan; `TarEntry` has what the fields mean.
 */
export class PlainHeader {
  kind: 'file' | 'dir' = 'file'
  offset = 0
  /** The path as it stands in the header is `path[pathStart..pathEnd)`; it must not be kept. */
  path: Uint8Array
  pathStart = 0
  pathEnd = 0
  mode = 0
  uid = 0
  gid = 0
  size = 0
  mtimeSec = 0
  /** For paths that stand in two fields. */
  readonly joined = new Uint8Array(PATH_BYTES)

  constructor() {
    this.path = this.joined
  }

  get dataOffset(): number {
    return this.offset + BLOCK
  }

  toEntry(): TarEntry {
    return {
      kind: this.kind,
      offset: this.offset,
      path: ascii.decode(this.path.subarray(this.pathStart, this.pathEnd)),
      linkpath: '',
      mode: this.mode,
      uid: this.uid,
      gid: this.gid,
      size: this.size,
      mtimeSec: this.mtimeSec,
      mtimeNsec: 0,
      devMajor: 0,
      devMinor: 0,
      xattrs: undefined,
      dataOffset: this.dataOffset,
      sparse: undefined,
    }
  }
}

/** @returns false when it is empty, not ASCII, or the header's format keeps other things in its place */
export function plainPath(bytes: Uint8Array, at: number, header: PlainHeader): boolean {
  const format = formatOf(bytes, at)
  if (format !== 'ustar' && format !== 'gnu') return false
  const name = at + FIELD.name[0]
  const end = endOfAscii(bytes, name, FIELD.name[1])
  if (end <= name) return false
  const prefix = at + FIELD.prefix[0]
  if (format === 'gnu' || bytes[prefix] === 0) {
    header.path = bytes
    header.pathStart = name
    header.pathEnd = end
    return true
  }
  const prefixEnd = endOfAscii(bytes, prefix, FIELD.prefix[1])
  if (prefixEnd < 0) return false
  const { joined } = header
  const length = prefixEnd - prefix
  joined.set(bytes.subarray(prefix, prefixEnd))
  joined[length] = 0x2f
  joined.set(bytes.subarray(name, end), length + 1)
  header.path = joined
  header.pathStart = 0
  header.pathEnd = length + 1 + end - name
  return true
}

/** Where a text in a field ends; -1 when it is not ASCII. */
function endOfAscii(bytes: Uint8Array, at: number, length: number): number {
  let high = 0
  let i = at
  for (; i < at + length; i++) {
    const byte = bytes[i]!
    if (byte === 0) break
    high |= byte
  }
  return high < 0x80 ? i : -1
}
