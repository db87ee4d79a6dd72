// The Node side of the platform contract. crypto.hash is 2.5 times faster than createHash for small inputs.
import { createHash, hash } from 'node:crypto'
import type { Sha256 } from './contract.js'

export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex')
}

export function createSha256(): Sha256 {
  const state = createHash('sha256')
  return {
    update: (bytes) => void state.update(bytes),
    hex: () => state.digest('hex'),
  }
}

/**
 * Buffer's own method works on any Uint8Array and takes half the time of `Buffer.from(…).toString('hex')`, which makes a
 * view first (32 bytes: 51 against 108 ns). Cache lookups are made of this.
 */
const native = (Buffer.prototype as { hexSlice?: (start: number, end: number) => string }).hexSlice

export function hexSlice(bytes: Uint8Array, start: number, end: number): string {
  if (native !== undefined) return native.call(bytes, start, end)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex', start, end)
}
