// The browser side of the platform contract: WebCrypto digests only asynchronously, so sha256 is @noble/hashes'.
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Sha256 } from './contract.js'

export function sha256Hex(data: Uint8Array | string): string {
  return bytesToHex(sha256(typeof data === 'string' ? utf8ToBytes(data) : data))
}

export function createSha256(): Sha256 {
  const state = sha256.create()
  return {
    update: (bytes) => void state.update(bytes),
    hex: () => bytesToHex(state.digest()),
  }
}

export function hexSlice(bytes: Uint8Array, start: number, end: number): string {
  return bytesToHex(bytes.subarray(start, end))
}
