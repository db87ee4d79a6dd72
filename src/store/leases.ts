// What the lease stores share. Pure.
import { StoreError } from '../errors.js'

export const DEFAULT_LEASE_TTL_MS = 24 * 60 * 60 * 1000

export function msToNs(ms: number): bigint {
  return BigInt(Math.round(ms)) * 1_000_000n
}

export function leaseNotFound(id: string): StoreError {
  return new StoreError('REF_NOT_FOUND', `lease ${id} has ended or never was`, { data: { lease: id } })
}
