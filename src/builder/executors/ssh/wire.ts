// The data types of SSH's messages, read and written. Pure.
// @see RFC 4251 section 5

export class WireReader {
  #at = 0

  constructor(readonly bytes: Uint8Array) {}

  get isAtEnd(): boolean {
    return this.#at === this.bytes.length
  }

  /** @throws RangeError past the end */
  uint32(): number {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    const value = view.getUint32(this.#at)
    this.#at += 4
    return value
  }

  /** @throws RangeError past the end */
  string(): Uint8Array {
    const length = this.uint32()
    if (length > this.bytes.length - this.#at) throw new RangeError('a string goes past the end')
    return this.bytes.subarray(this.#at, (this.#at += length))
  }

  text(): string {
    return new TextDecoder().decode(this.string())
  }
}

export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

export function string(value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return concat(uint32(bytes.length), bytes)
}

/** A number that is not negative, from its bytes, the highest first. */
export function mpint(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  return string(digits.length > 0 && digits[0]! >= 0x80 ? concat(Uint8Array.of(0), digits) : digits)
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
