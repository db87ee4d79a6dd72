// Paths inside a layer or tree: relative, `/`-separated, without `.`, `..` or empty components. Leaf.
//
// POSIX names are bytes. A name that is valid UTF-8 is held as that string; every byte that is not part of valid UTF-8 is
// held as one lone surrogate U+DC80..U+DCFF (the convention of Python's `surrogateescape`), so that any name survives a
// round trip and equal strings mean equal bytes.

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Length in bytes of the valid UTF-8 sequence at `at`, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!
  if (lead < 0x80) return 1
  const length =
    lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0
  if (length === 0 || at + length > bytes.length) return 0
  for (let i = 1; i < length; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0
  const second = bytes[at + 1]!
  const overlong = (lead === 0xe0 && second < 0xa0) || (lead === 0xf0 && second < 0x90)
  const surrogate = lead === 0xed && second >= 0xa0
  const beyond = lead === 0xf4 && second >= 0x90
  return overlong || surrogate || beyond ? 0 : length
}

/** The string form of a name or path given as bytes. Inverse of `encodePath` for every input. */
export function decodePath(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    let out = ''
    for (let at = 0; at < bytes.length;) {
      const length = sequenceLength(bytes, at)
      out +=
        length === 0
          ? String.fromCharCode(0xdc00 | bytes[at]!)
          : strict.decode(bytes.subarray(at, at + length))
      at += length || 1
    }
    return out
  }
}

const ESCAPED = /[\udc80-\udcff]/

/** Whether a name holds bytes that are not UTF-8. A low surrogate that belongs to a pair does not count. */
export function hasRawBytes(name: string): boolean {
  return ESCAPED.test(name) && !name.isWellFormed()
}

/** The bytes of a name or path. Other lone surrogates become U+FFFD, as everywhere in JavaScript. */
export function encodePath(name: string): Uint8Array {
  if (!hasRawBytes(name)) return encoder.encode(name)
  const out: number[] = []
  for (const char of name) {
    const code = char.codePointAt(0)!
    if (code >= 0xdc80 && code <= 0xdcff) out.push(code & 0xff)
    else out.push(...encoder.encode(char))
  }
  return Uint8Array.from(out)
}

/** Control characters, and bytes that are no text, made visible as `\xNN`, so that a name in an image cannot steer the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for; with /u only lone surrogates match
  return text.replace(/[\u0000-\u001f\u007f-\u009f\udc80-\udcff]/gu, (char) => {
    return `\\x${(char.charCodeAt(0) & 0xff).toString(16).padStart(2, '0')}`
  })
}

/** The order of the names' bytes, in which directories are listed, hashed and written. */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // Below the surrogates UTF-16 order is byte order; anything above needs the bytes.
    if (x < 0xd800 && y < 0xd800) return x - y
    return compareBytes(encodePath(a), encodePath(b))
  }
  return a.length - b.length
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!
  return a.length - b.length
}

/** Components of a path: empty ones and `.` dropped, `..` resolved lexically and clamped at the root. */
export function splitPath(path: string): string[] {
  const out: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') out.pop()
    else out.push(part)
  }
  return out
}

/** A path in the form that trees use: `a/b`, the root is the empty string. Clamped at the root like `splitPath`. */
export function normalizePath(path: string): string {
  return splitPath(path).join('/')
}

/** Whether following `path` from the root lexically would climb above it. */
export function escapesRoot(path: string): boolean {
  let depth = 0
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    depth += part === '..' ? -1 : 1
    if (depth < 0) return true
  }
  return false
}

/** `a/b/c` → `a/b`; a path without `/` → the root, `''`. */
export function parentOf(path: string): string {
  const at = path.lastIndexOf('/')
  return at === -1 ? '' : path.slice(0, at)
}

/** `a/b/c` → `c`. */
export function baseNameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

export function joinPath(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}
