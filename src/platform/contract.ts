// What the core needs from its host: sha256, synchronously. The only door to `node:` for the core (`#platform` resolves
// to node.ts under Node and to browser.ts elsewhere), so that trees, views, the parser and the keys run in a browser too.

export interface Sha256 {
  update(bytes: Uint8Array): void
  /** Ends the computation; the object must not be used afterwards. @returns 64 lower-case hex digits */
  hex(): string
}

export interface Platform {
  /** sha256 of bytes, or of a string's UTF-8 form, as 64 lower-case hex digits. */
  sha256Hex(data: Uint8Array | string): string
  createSha256(): Sha256
  /** Lower-case hex digits of `bytes[start..end)`. */
  hexSlice(bytes: Uint8Array, start: number, end: number): string
}
