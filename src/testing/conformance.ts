// What all suites of this room share: the form of a case, and bytes, sources and assertions to make cases of.
import { strict as assert } from 'node:assert'
import { MEDIA_TYPES, type Descriptor } from '../descriptor.js'
import { digestOf, type Digest } from '../digest.js'
import type { Env } from '../env.js'
import type { BlobStore, Store } from '../store/index.js'

/** A promise that an implementation has to keep, for any test runner. */
export interface ConformanceCase {
  readonly name: string
  /** Rejects when the implementation does not conform. */
  run(): Promise<void>
}

/** @param make  a fresh, empty one for each case; `clear` removes what it left behind */
export type Make<T> = () => Promise<{ readonly value: T; clear?(): Promise<void> }>

/** Cases from a table of names and checks; each has a fresh value, which is cleared whatever happens. */
export function casesOf<T>(
  make: Make<T>,
  table: Record<string, (value: T) => Promise<void>>,
): ConformanceCase[] {
  return Object.entries(table).map(([name, check]) => ({
    name,
    async run() {
      const { value, clear } = await make()
      try {
        await check(value)
      } finally {
        await clear?.()
      }
    },
  }))
}

/** A Store under test. */
export interface StoreSubject {
  readonly store: Store
  /** The clock of the store's Env, which the cases move; see `movableEnv`. */
  readonly clock: { ns: bigint }
}

/** An Env whose clock stands still until it is moved. */
export function movableEnv(): { env: Env; clock: { ns: bigint } } {
  const clock = { ns: 1_700_000_000_000_000_000n }
  let id = 0
  const env: Env = {
    now: () => clock.ns,
    randomId: () => (++id).toString(16).padStart(16, '0'),
    concurrency: 2,
  }
  return { env, clock }
}

export const bytesOf = (text: string) => new TextEncoder().encode(text)
export const HELLO = bytesOf('hello')
/** The digest of what no case puts. */
export const ABSENT = digestOf('absent')

/** Bytes without a pattern, the same for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  const out = new Uint8Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    out[i] = state >>> 16
  }
  return out
}

/** The chunks, each in a turn of its own. */
export async function* later(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    await Promise.resolve()
    yield chunk
  }
}

/** A source that breaks off after 600,000 bytes of noise. */
export async function* broken(): AsyncGenerator<Uint8Array> {
  yield noise(600_000)
  throw Object.assign(new Error('line cut'), { code: 'ECONNRESET' })
}

/** Rejects unless `call` rejects with an error of that code. */
export async function rejectsWith(code: string, call: () => Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert.equal((error as { code?: unknown }).code, code, String(error))
    return true
  })
}

/** All bytes of a stream. */
export async function drain(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk.slice())
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}

/** What a store lists, in order. */
export async function digestsIn(blobs: BlobStore): Promise<Digest[]> {
  const out: Digest[] = []
  for await (const { digest } of blobs.list()) out.push(digest)
  return out.sort()
}

/** A descriptor of a manifest whose bytes are in the store. */
export async function target(store: Store, text: string): Promise<Descriptor> {
  const { digest, size } = await store.blobs.put(bytesOf(text))
  return { mediaType: MEDIA_TYPES.manifest, digest, size }
}
