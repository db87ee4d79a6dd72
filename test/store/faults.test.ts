// Every change that the store makes to the disk fails once, or is the last one before a crash: at each of them, for each
// kind of crash, the store opens again, every ref that was promised is there and whole, and work goes on.
import { describe, expect, test } from 'vitest'
import type { Descriptor } from '../../src/descriptor.js'
import type { Digest } from '../../src/digest.js'
import { applyGc, checkStore, planGc, readBlob, type Durability, type Store } from '../../src/store/index.js'
import { openDiskStoreNow } from '../../src/store/disk-store.js'
import { putImage } from './image.js'
import { SimFs, Stopped, type CrashKind, type Fault } from './sim-fs.js'

/** What the store has promised by returning. */
interface Promised {
  refs: Map<string, Descriptor | undefined>
  /** The value of a ref while its change was under way: either may be found. */
  pending: Map<string, Descriptor | undefined>
  blobs: Set<Digest>
  leases: Map<string, Digest[]>
  /** Values that a document may have: the promised one, and one whose change was under way. */
  documents: Map<string, unknown[]>
}

let boots = 0

async function open(fs: SimFs, durability: Durability = 'full'): Promise<Store> {
  const boot = `boot-${++boots}`
  const owner = { host: 'sim', boot, pidNamespace: 'sim', pid: 1, started: '1' }
  return openDiskStoreNow('/store', {
    fs,
    durability,
    processes: {
      current: () => owner,
      isAlive: (other) => other.boot === boot,
      bootMs: () => Number.POSITIVE_INFINITY,
    },
  })
}

function nothing(): Promised {
  return { refs: new Map(), pending: new Map(), blobs: new Set(), leases: new Map(), documents: new Map() }
}

async function setRef(store: Store, promised: Promised, name: string, target?: Descriptor): Promise<void> {
  promised.pending.set(name, target)
  await store.refs.set(name, target)
  promised.refs.set(name, target)
  promised.pending.delete(name)
}

async function putTagged(store: Store, promised: Promised, name: string, contents: string[]): Promise<void> {
  const image = await putImage(store, contents)
  for (const digest of image.all) promised.blobs.add(digest)
  await setRef(store, promised, name, image.target)
}

const later = () => Date.now() + 24 * 3_600_000

type Work = (store: Store, promised: Promised) => Promise<void>

const WORKS: Record<string, Work> = {
  async ingest(store, promised) {
    const large = [Buffer.alloc(200_000, 'gathered'), Buffer.alloc(300_000, 'on its own')]
    promised.blobs.add((await store.blobs.put(large)).digest)
    await putTagged(store, promised, 'new', ['base', 'gzip:top'])
    // The same again: nothing but what is there.
    await putTagged(store, promised, 'new', ['base', 'gzip:top'])
  },

  async 'resumed ingest'(store, promised) {
    for (const part of ['first', 'second']) {
      const ingest = await store.blobs.ingest!('big')
      try {
        await ingest.append([Buffer.alloc(200_000, part), Buffer.alloc(300_000, part)])
        if (ingest.size >= 1_000_000) promised.blobs.add((await ingest.commit()).digest)
      } finally {
        await ingest.close()
      }
    }
  },

  async tag(store, promised) {
    await putTagged(store, promised, 'a', ['one'])
    await putTagged(store, promised, 'a', ['two'])
    await setRef(store, promised, 'b', promised.refs.get('a'))
    await setRef(store, promised, 'a', undefined)
  },

  async lease(store, promised) {
    const lease = await store.leases.create()
    promised.leases.set(lease.id, [])
    const { digest } = await store.blobs.put(Buffer.from('leased'))
    await store.leases.add(lease.id, [digest])
    promised.leases.set(lease.id, [digest])
    const other = await store.leases.create()
    promised.leases.set(other.id, [])
    promised.leases.delete(other.id)
    await store.leases.release(other.id)
  },

  async documents(store, promised) {
    const layer = await store.blobs.put(Buffer.from('of a container'))
    await store.documents.change(async (edit) => {
      for (const [key, value] of [
        ['a', 1],
        ['b', 1],
        ['a', 2],
      ] as const) {
        promised.documents.set(key, [...(promised.documents.get(key) ?? [undefined]), value])
        await edit.put('container', key, value, [layer.digest])
        promised.documents.set(key, [value])
      }
      promised.documents.set('b', [1, undefined])
      await edit.delete('container', 'b')
      promised.documents.set('b', [undefined])
    })
  },

  async gc(store, promised) {
    await putTagged(store, promised, 'old', ['base', 'old'])
    await putTagged(store, promised, 'kept', ['base', 'kept'])
    await setRef(store, promised, 'old', undefined)
    promised.blobs.clear()
    await applyGc(store, await planGc(store, { nowMs: later() }), { nowMs: later() })
  },
}

/** A disk with a store that has something in it already. */
async function prepare(durability: Durability): Promise<{ fs: SimFs; promised: Promised }> {
  const fs = new SimFs()
  const promised = nothing()
  const store = await open(fs, durability)
  await putTagged(store, promised, 'before', ['base', 'before'])
  await store.close()
  return { fs, promised }
}

async function run(fs: SimFs, promised: Promised, work: Work, durability: Durability): Promise<unknown> {
  try {
    const store = await open(fs, durability)
    await work(store, promised)
    await store.close()
    return undefined
  } catch (error) {
    return error
  }
}

/** @throws when something that was promised is not so */
async function verify(fs: SimFs, promised: Promised): Promise<void> {
  const store = await open(fs)
  for (const [name, target] of promised.refs) {
    const found = (await store.refs.get(name))?.digest
    const allowed = [target?.digest]
    if (promised.pending.has(name)) allowed.push(promised.pending.get(name)?.digest)
    expect(allowed, `ref ${name}`).toContain(found)
  }
  for (const digest of promised.blobs) await readBlob(store.blobs, digest)
  const problems = (await checkStore(store)).filter(({ severity }) => severity !== 'note')
  expect(problems).toEqual([])
  for (const [name, target] of promised.refs) {
    if (promised.pending.has(name) || target === undefined) continue
    expect((await store.refs.history(name))[0]?.after?.digest).toBe(target.digest)
  }
  for (const [key, values] of promised.documents) {
    expect(values, key).toContain((await store.documents.get('container', key))?.value)
  }
  const leases = new Map((await store.leases.list()).map(({ id, digests }) => [id, digests]))
  for (const [id, digests] of promised.leases) expect(leases.get(id)).toEqual(expect.arrayContaining(digests))
  await store.close()
}

async function countChanges(work: Work, durability: Durability): Promise<number> {
  const { fs, promised } = await prepare(durability)
  fs.inject({ kind: 'none' })
  expect(await run(fs, promised, work, durability)).toBeUndefined()
  return fs.changes
}

async function trial(work: Work, fault: Fault, crash: CrashKind, durability: Durability): Promise<void> {
  const { fs, promised } = await prepare(durability)
  fs.inject(fault)
  const error = await run(fs, promised, work, durability)
  const place = `at change ${'at' in fault ? fault.at : 0}: ${fs.log.at(-1)}, ${fault.kind}, crash ${crash}`
  try {
    // Releasing a lock is nobody's error: then the work was done.
    if (fault.kind === 'stop' && error !== undefined) expect(isStop(error)).toBe(true)
    fs.crash(crash)
    await verify(fs, promised)
    // Work goes on: the same again, without a fault.
    expect(await run(fs, promised, work, durability)).toBeUndefined()
    await verify(fs, promised)
    expect(fs.openFiles).toBe(0)
  } catch (cause) {
    throw new Error(place, { cause })
  }
}

/** Stopped itself, or an ingest that could not release its lock before. */
function isStop(error: unknown): boolean {
  return error instanceof Stopped || (error as { code?: unknown }).code === 'INGEST_BUSY'
}

let trials = 0

describe.each(Object.entries(WORKS))('%s', (_, work) => {
  test('power cut at every change, durability full', async () => {
    const count = await countChanges(work, 'full')
    for (let at = 1; at <= count; at++) {
      for (const crash of ['lost', 'kept', 1, 2, 3, 4] as const) {
        await trial(work, { kind: 'stop', at }, crash, 'full')
        trials++
      }
    }
    expect(count).toBeGreaterThan(5)
  }, 120_000)

  test('process killed at every change, durability none', async () => {
    const count = await countChanges(work, 'none')
    for (let at = 1; at <= count; at++) {
      await trial(work, { kind: 'stop', at }, 'kept', 'none')
      trials++
    }
  }, 120_000)

  test('every change fails once: the disk is full, or broken', async () => {
    const count = await countChanges(work, 'full')
    for (let at = 1; at <= count; at++) {
      for (const code of ['ENOSPC', 'EIO']) {
        await trial(work, { kind: 'fail', at, code }, 'kept', 'full')
        trials++
      }
    }
  }, 120_000)
})

test('the making of the store itself, stopped at every change', async () => {
  const fresh = new SimFs()
  await (await open(fresh)).close()
  for (let at = 1; at <= fresh.changes; at++) {
    for (const crash of ['lost', 'kept', 1, 2, 3, 4] as const) {
      const fs = new SimFs()
      fs.inject({ kind: 'stop', at })
      await expect(open(fs)).rejects.toBeDefined()
      fs.crash(crash)
      const promised = nothing()
      expect(await run(fs, promised, WORKS.tag!, 'full'), `change ${at}, crash ${crash}`).toBeUndefined()
      await verify(fs, promised)
      trials++
    }
  }
})

test('a store without fsync would not pass: the simulation sees what is missing', async () => {
  const count = await countChanges(WORKS.tag!, 'none')
  let broken = 0
  for (let at = 1; at <= count; at++) {
    await trial(WORKS.tag!, { kind: 'stop', at }, 'lost', 'none').catch(() => broken++)
  }
  expect(broken).toBeGreaterThan(0)
})

test('the number of trials', () => {
  console.info(`faults: ${trials} trials`)
  expect(trials).toBeGreaterThan(1000)
})
