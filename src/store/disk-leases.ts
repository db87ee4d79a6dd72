// Leases on disk: one file each in `lamella/leases/`, one JSON line for each time that it was added to, so that adding
// costs what is added. An unfinished last line, left by a crash, was never promised to anyone.
import { type Digest, isDigest } from '../digest.js'
import type { Env } from '../env.js'
import { createTemp, type Disk, discardTemp, makeFolder, syncFolder } from './disk-layout.js'
import { errnoOf } from './disk-fs.js'
import { isWholeLine, sealLine, unsealLine, type Checksum } from './records.js'
import { DEFAULT_LEASE_TTL_MS, leaseNotFound, msToNs } from './leases.js'
import type { Lease, LeaseStore } from './store.js'

interface LeaseLine {
  /** Nanoseconds since the epoch, in decimal. */
  readonly expires: string
  readonly ttlMs: number
  readonly digests: readonly Digest[]
}

const ID = /^[a-z0-9-]{1,100}$/

export class DiskLeaseStore implements LeaseStore {
  constructor(
    readonly disk: Disk,
    readonly env: Env,
    readonly gate: () => Promise<void>,
  ) {}

  async create(options: { readonly ttlMs?: number } = {}): Promise<Lease> {
    const { fs, paths } = this.disk
    const id = this.env.randomId()
    const ttlMs = options.ttlMs ?? DEFAULT_LEASE_TTL_MS
    const line = this.#line(ttlMs, [])
    await makeFolder(this.disk, paths.leases)
    const temp = await createTemp(this.disk)
    try {
      await this.#writeAndClose(temp.fd, line)
      fs.rename(temp.path, this.#path(id))
    } catch (error) {
      discardTemp(this.disk, temp, true)
      throw error
    }
    await syncFolder(this.disk, paths.leases)
    return { id, expiresNs: BigInt(line.expires), digests: [] }
  }

  async add(id: string, digests: Iterable<Digest>): Promise<void> {
    const lease = ID.test(id) ? this.#read(id) : undefined
    if (lease === undefined || lease.expiresNs <= this.env.now()) throw leaseNotFound(id)
    const known = new Set(lease.digests)
    const added = [...new Set(digests)].filter((digest) => !known.has(digest))
    let fd: number
    try {
      fd = this.disk.fs.open(this.#path(id), 'append')
    } catch (error) {
      throw errnoOf(error) === 'ENOENT' ? leaseNotFound(id) : error
    }
    await this.#writeAndClose(fd, this.#line(lease.ttlMs, added))
    await this.gate()
  }

  async release(id: string): Promise<void> {
    if (ID.test(id)) this.disk.fs.remove(this.#path(id))
  }

  async list(): Promise<Lease[]> {
    const now = this.env.now()
    const out: Lease[] = []
    for (const id of this.disk.fs.readDir(this.disk.paths.leases) ?? []) {
      const lease = this.#read(id)
      if (lease !== undefined && lease.expiresNs > now) {
        out.push({ id, expiresNs: lease.expiresNs, digests: lease.digests })
      }
    }
    return out
  }

  /** Removes the files of leases that have expired. @returns how many */
  sweep(): number {
    const now = this.env.now()
    let count = 0
    for (const id of this.disk.fs.readDir(this.disk.paths.leases) ?? []) {
      const lease = this.#read(id)
      if (lease !== undefined && lease.expiresNs <= now && this.disk.fs.remove(this.#path(id))) count++
    }
    return count
  }

  /** Leases of which a line cannot be read, other than such as a crash left unfinished. */
  *damaged(): Generator<string> {
    for (const id of this.disk.fs.readDir(this.disk.paths.leases) ?? []) {
      const text = new TextDecoder().decode(this.disk.fs.readFile(this.#path(id)))
      const lines = text.split('\n').filter(isWholeLine)
      if (lines.some((line) => parseLine(line, this.disk.checksum) === undefined)) yield id
    }
  }

  #line(ttlMs: number, digests: readonly Digest[]): LeaseLine {
    return { expires: (this.env.now() + msToNs(ttlMs)).toString(), ttlMs, digests }
  }

  async #writeAndClose(fd: number, line: LeaseLine): Promise<void> {
    const { fs, durability } = this.disk
    try {
      // A line of its own whatever a crash has left before it, or leaves after it.
      fs.write(fd, new TextEncoder().encode(`\n${sealLine(line, this.disk.checksum)}\n`))
      if (durability === 'full') await fs.sync(fd)
    } finally {
      fs.close(fd)
    }
  }

  #read(id: string): (Lease & { readonly ttlMs: number }) | undefined {
    const bytes = this.disk.fs.readFile(this.#path(id))
    if (bytes === undefined) return undefined
    const digests = new Set<Digest>()
    let last: LeaseLine | undefined
    for (const text of new TextDecoder().decode(bytes).split('\n')) {
      const line = parseLine(text, this.disk.checksum)
      if (line === undefined) continue
      for (const digest of line.digests) digests.add(digest)
      last = line
    }
    return last && { id, expiresNs: BigInt(last.expires), ttlMs: last.ttlMs, digests: [...digests] }
  }

  #path(id: string): string {
    return `${this.disk.paths.leases}/${id}`
  }
}

function parseLine(text: string, checksum: Checksum): LeaseLine | undefined {
  const line = unsealLine(text, checksum) as LeaseLine | undefined
  return line !== undefined && /^\d+$/.test(line.expires) && line.digests.every(isDigest) ? line : undefined
}
