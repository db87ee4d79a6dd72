// JSON as BuildKit writes it before it is hashed: Go's encoding/json, and the protobuf fields that it leaves out. Pure.

// Go leaves out the zero value of every field tagged `omitempty`; JSON.stringify leaves out `undefined`.

export function text(value: string): string | undefined {
  return value === '' ? undefined : value
}

export function number(value: number): number | undefined {
  return value === 0 ? undefined : value
}

export function flag(value: boolean): true | undefined {
  return value || undefined
}

export function list<T>(values: readonly T[] | undefined): readonly T[] | undefined {
  return values === undefined || values.length === 0 ? undefined : values
}

/**
 * Nanoseconds as a JSON number. Whole seconds are multiples of 512, so a double holds them exactly and prints all digits.
 * @throws RangeError for a time that a double cannot hold
 */
export function integer(value: bigint): number | undefined {
  const double = Number(value)
  if (BigInt(double) !== value) throw new RangeError(`timestamp ${value} is not a whole number of seconds`)
  return number(double)
}

const GO_ESCAPED = /\\\\|\\ud[89a-f][0-9a-f]{2}|[<>&\u2028\u2029]/g

/**
 * JSON as Go's encoding/json writes it: `<`, `>`, `&` and the two line separators escaped, each byte that is not UTF-8 as
 * an escaped U+FFFD.
 */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(GO_ESCAPED, (match) => {
    if (match === '\\\\') return match
    if (match.length > 1) return '\\ufffd'
    return `\\u${match.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const encoder = new TextEncoder()

export function base64(data: Uint8Array | string): string {
  const bytes = typeof data === 'string' ? encoder.encode(data) : data
  let out = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    out += BASE64[word >> 18]! + BASE64[(word >> 12) & 63]!
    out += left > 1 ? BASE64[(word >> 6) & 63]! : '='
    out += left > 2 ? BASE64[word & 63]! : '='
  }
  return out
}
