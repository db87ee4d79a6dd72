// Trials of the simulated disk (sim-fs.ts): some work on a store, a fault at its n-th change, a crash of some kind, and
// then all that was promised must be there, and the same work succeed.
import { expect } from 'vitest'
import type { Descriptor } from '../../src/descriptor.js'
import type { Digest } from '../../src/digest.js'
import { StoreError } from '../../src/errors.js'
import { readImage } from '../../src/oci/index.js'
import {
  checkStore,
  readBlob,
  repairStore,
  type Durability,
  type Problem,
  type Store,
} from '../../src/store/index.js'
import { openDiskStoreNow } from '../../src/store/disk-store.js'
import { openTree } from '../../src/unionfs/index.js'
import { putImage } from './image.js'
import { SimFs, Stopped, type CrashKind, type Fault } from './sim-fs.js'
import { crashRecords, forkRecords, settleRecords, SimRecords } from './sim-records.js'

/** What the store has promised by returning. */
export interface Promised {
  refs: Map<string, Descriptor | undefined>
  /** The value of a ref while its change was under way: either may be found. */
  pending: Map<string, Descriptor | undefined>
  /** Refs whose images can be opened as trees. */
  images: Set<string>
  blobs: Set<Digest>
  leases: Map<string, Digest[]>
  /** Values that a document may have: the promised one, and one whose change was under way. */
  documents: Map<string, unknown[]>
}

export type Work = (store: Store, promised: Promised) => Promise<void>

let boots = 0

export async function openSim(fs: SimFs, durability: Durability = 'full'): Promise<Store> {
  const boot = `boot-${++boots}`
  const owner = { host: 'sim', boot, pidNamespace: 'sim', pid: 1, started: '1' }
  return openDiskStoreNow('/store', {
    fs,
    durability,
    records: new SimRecords(fs),
    processes: {
      current: () => owner,
      isAlive: (other) => other.boot === boot,
      bootMs: () => Number.POSITIVE_INFINITY,
    },
  })
}

export function nothing(): Promised {
  return {
    refs: new Map(),
    pending: new Map(),
    images: new Set(),
    blobs: new Set(),
    leases: new Map(),
    documents: new Map(),
  }
}

export async function setRef(
  store: Store,
  promised: Promised,
  name: string,
  target?: Descriptor,
): Promise<void> {
  promised.pending.set(name, target)
  await store.refs.set(name, target)
  promised.refs.set(name, target)
  promised.pending.delete(name)
}

export async function putTagged(
  store: Store,
  promised: Promised,
  name: string,
  contents: string[],
): Promise<void> {
  const image = await putImage(store, contents)
  for (const digest of image.all) promised.blobs.add(digest)
  await setRef(store, promised, name, image.target)
}

/** What a store has in it already when the work begins. */
const somethingBefore: Work = (store, promised) => putTagged(store, promised, 'before', ['base', 'before'])

interface Prepared {
  readonly fs: SimFs
  readonly promised: Promised
}

const prepared = new Map<string, Map<Work, Promise<Prepared>>>()

/** A disk with a store that has something in it already; made once, then copied. */
async function prepare(durability: Durability, before: Work): Promise<Prepared> {
  const known = prepared.get(durability) ?? new Map<Work, Promise<Prepared>>()
  prepared.set(durability, known)
  if (!known.has(before)) known.set(before, makeDisk(durability, before))
  const { fs, promised } = await known.get(before)!
  const copy = fs.fork()
  forkRecords(fs, copy)
  return { fs: copy, promised: structuredClone(promised) }
}

async function makeDisk(durability: Durability, before: Work): Promise<Prepared> {
  const fs = new SimFs()
  const promised = nothing()
  const store = await openSim(fs, durability)
  await before(store, promised)
  await store.close()
  settleRecords(fs)
  return { fs, promised }
}

export async function run(
  fs: SimFs,
  promised: Promised,
  work: Work,
  durability: Durability,
): Promise<unknown> {
  try {
    const store = await openSim(fs, durability)
    await work(store, promised)
    await store.close()
    return undefined
  } catch (error) {
    return error
  }
}

async function findProblems(store: Store): Promise<Problem[]> {
  return (await checkStore(store)).filter(({ severity }) => severity !== 'note')
}

/** @throws when something that was promised is not so */
export async function verify(fs: SimFs, promised: Promised, afterPowerCut = false): Promise<void> {
  const store = await openSim(fs)
  for (const [name, target] of promised.refs) {
    const found = (await store.refs.get(name))?.digest
    const allowed = [target?.digest]
    if (promised.pending.has(name)) allowed.push(promised.pending.get(name)?.digest)
    expect(allowed, `ref ${name}`).toContain(found)
  }
  for (const digest of promised.blobs) await readBlob(store.blobs, digest)
  const problems = await findProblems(store)
  // Derived files are not synced: a power cut may leave them torn, which reads as absent, and which repair removes.
  const torn = afterPowerCut ? problems.filter(({ code }) => code === 'SIDECAR_DAMAGED') : []
  expect(problems.filter((problem) => !torn.includes(problem))).toEqual([])
  if (torn.length > 0) {
    await repairStore(store, torn)
    expect(await findProblems(store)).toEqual([])
  }
  for (const [name, target] of promised.refs) {
    if (promised.pending.has(name) || target === undefined) continue
    expect((await store.refs.history(name))[0]?.after?.digest).toBe(target.digest)
  }
  for (const name of promised.images) await openImage(store, name)
  for (const [key, values] of promised.documents) {
    expect(values, key).toContain((await store.documents.get('container', key))?.value)
  }
  const leases = new Map((await store.leases.list()).map(({ id, digests }) => [id, digests]))
  for (const [id, digests] of promised.leases) expect(leases.get(id)).toEqual(expect.arrayContaining(digests))
  await store.close()
}

async function openImage(store: Store, name: string): Promise<void> {
  const target = await store.refs.get(name)
  if (target === undefined) return
  const { layers } = await readImage(store.blobs, target)
  const tree = await openTree(store, layers)
  // Every byte of it.
  for (const { node } of tree.walk()) if (node.kind === 'file') node.content()
}

export async function countChanges(
  work: Work,
  durability: Durability,
  before: Work = somethingBefore,
): Promise<number> {
  const { fs, promised } = await prepare(durability, before)
  fs.inject({ kind: 'none' })
  expect(await run(fs, promised, work, durability)).toBeUndefined()
  return fs.changes
}

export interface Trial {
  readonly work: Work
  readonly fault: Fault
  readonly crash: CrashKind
  readonly durability: Durability
  /** What the store has in it already. */
  readonly before?: Work
}

/** @throws when something that was promised is not so, or the same work does not succeed afterwards */
export async function trial({
  work,
  fault,
  crash,
  durability,
  before = somethingBefore,
}: Trial): Promise<void> {
  const { fs, promised } = await prepare(durability, before)
  fs.inject(fault)
  const error = await run(fs, promised, work, durability)
  const place = `at change ${'at' in fault ? fault.at : 0}: ${fs.log.at(-1)}, ${fault.kind}, crash ${crash}`
  try {
    // Releasing a lock is nobody's error: then the work was done.
    if (fault.kind === 'stop' && error !== undefined) expect(isStop(error)).toBe(true)
    if (fault.kind === 'fail' && error !== undefined) checkTyped(error, fault)
    fs.crash(crash)
    crashRecords(fs, crash)
    await verify(fs, promised, crash !== 'kept')
    // Work goes on: the same again, without a fault.
    expect(await run(fs, promised, work, durability)).toBeUndefined()
    await verify(fs, promised)
    expect(fs.openFiles).toBe(0)
  } catch (cause) {
    throw new Error(place, { cause })
  }
}

/** What a disk that fails ends in is a StoreError; the cache index of the simulation throws as it comes. */
function checkTyped(error: unknown, { code: errno }: { readonly code: string }): void {
  if (error instanceof Error && error.message.includes('records: ')) return
  // Or its lock could not be given back.
  if ((error as { code?: unknown }).code === 'INGEST_BUSY') return
  const code = errno === 'EROFS' ? 'STORE_READ_ONLY' : /STORE_(WRITE_FAILED|UNREADABLE)/
  expect(error).toBeInstanceOf(StoreError)
  expect((error as StoreError).code).toMatch(code)
  expect((error as StoreError).data.errno).toBe(errno)
}

/** Stopped itself, or an ingest that could not release its lock before. */
function isStop(error: unknown): boolean {
  return error instanceof Stopped || (error as { code?: unknown }).code === 'INGEST_BUSY'
}
