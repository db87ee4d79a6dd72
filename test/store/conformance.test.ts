// The conformance suite over both stores, and over wrappers that know less.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { createMemoryStore, MemoryBlobStore, openDiskStore, type BlobStore } from '../../src/store/index.js'
import {
  blobStoreCases,
  movableEnv,
  storeCases,
  type ConformanceCase,
  type Make,
  type StoreSubject,
} from '../../src/testing/index.js'

function run(cases: readonly ConformanceCase[]): void {
  for (const { name, run } of cases) test(name, run)
}

const memory: Make<StoreSubject> = async () => {
  const { env, clock } = movableEnv()
  const store = createMemoryStore({ env })
  return { value: { store, clock }, clear: () => store.close() }
}

const disk =
  (durability: 'full' | 'none'): Make<StoreSubject> =>
  async () => {
    const { env, clock } = movableEnv()
    const folder = await mkdtemp(join(tmpdir(), 'lamella-store-'))
    const store = await openDiskStore(join(folder, 'store'), { env, durability })
    return {
      value: { store, clock },
      async clear() {
        await store.close()
        await rm(folder, { recursive: true })
      },
    }
  }

const blobsOf =
  (make: Make<StoreSubject>): Make<BlobStore> =>
  async () => {
    const { value, clear } = await make()
    return { value: value.store.blobs, clear: async () => clear?.() }
  }

/** The five methods that are enough. */
const minimal: Make<BlobStore> = async () => {
  const inner = new MemoryBlobStore()
  return {
    value: {
      put: inner.put.bind(inner),
      get: inner.get.bind(inner),
      stat: inner.stat.bind(inner),
      delete: inner.delete.bind(inner),
      list: inner.list.bind(inner),
    },
  }
}

describe('BlobStore: memory', () => run(blobStoreCases(blobsOf(memory))))
describe('BlobStore: disk', () => run(blobStoreCases(blobsOf(disk('full')))))
describe('BlobStore: disk without fsync', () => run(blobStoreCases(blobsOf(disk('none')))))
describe('BlobStore: only the five methods', () => run(blobStoreCases(minimal)))
describe('Store: memory', () => run(storeCases(memory)))
describe('Store: disk', () => run(storeCases(disk('full'))))
