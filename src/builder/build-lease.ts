// Shields what a build has made, and what it stands on, from gc until the image names it. Made when there is something to
// shield: a build that makes nothing writes nothing.
import type { Digest } from '../digest.js'
import type { Lease, Store } from '../store/index.js'

export class BuildLease {
  private lease: Promise<Lease> | undefined
  private readonly held = new Set<Digest>()

  constructor(private readonly store: Store) {}

  /** Those that are held already cost nothing. */
  async hold(digests: readonly Digest[]): Promise<void> {
    const added = digests.filter((digest) => !this.held.has(digest))
    if (added.length === 0) return
    this.lease ??= this.store.leases.create()
    await this.store.leases.add((await this.lease).id, added)
    for (const digest of added) this.held.add(digest)
  }

  /** Idempotent; never fails for a lease that was not made. */
  async release(): Promise<void> {
    const lease = this.lease
    this.lease = undefined
    this.held.clear()
    if (lease !== undefined) await this.store.leases.release((await lease).id)
  }
}
