// Shields what a build has made from gc until the image names it. Made when there is something to shield: a build that
// makes nothing writes nothing.
import type { Digest } from '../digest.js'
import type { Lease, Store } from '../store/index.js'

export class BuildLease {
  private lease: Promise<Lease> | undefined

  constructor(private readonly store: Store) {}

  async hold(digest: Digest): Promise<void> {
    this.lease ??= this.store.leases.create()
    await this.store.leases.add((await this.lease).id, [digest])
  }

  /** Idempotent; never fails for a lease that was not made. */
  async release(): Promise<void> {
    const lease = this.lease
    this.lease = undefined
    if (lease !== undefined) await this.store.leases.release((await lease).id)
  }
}
