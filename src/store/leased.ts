// Blobs that are shielded from gc from the moment at which they appear. Pure.
import { digestOf, type Digest } from '../digest.js'
import type { BlobStore } from './blobs.js'

/** Names digests to a lease that lives; those that it has already cost nothing. */
export type Hold = (digests: readonly Digest[]) => Promise<void>

/**
 * The same blobs; what is put is held, before it is put where its digest is known by then. What comes as a stream of
 * unknown digest is held when it is there: until then only the grace time of a gc shields it.
 */
export function leasedBlobs(blobs: BlobStore, hold: Hold): BlobStore {
  return {
    async put(bytes, expect, options) {
      const known = expect?.digest ?? (bytes instanceof Uint8Array ? digestOf(bytes) : undefined)
      if (known !== undefined) await hold([known])
      const info = await blobs.put(bytes, expect, options)
      if (known === undefined) await hold([info.digest])
      return info
    },
    get: (digest, range) => blobs.get(digest, range),
    stat: (digest) => blobs.stat(digest),
    delete: (digest) => blobs.delete(digest),
    list: () => blobs.list(),
    ...(blobs.open && { open: (digest: Digest) => blobs.open!(digest) }),
    ...(blobs.verify && { verify: (digest: Digest) => blobs.verify!(digest) }),
    ...(blobs.ingest && { ingest: (name: string) => blobs.ingest!(name) }),
  }
}
