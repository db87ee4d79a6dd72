// A process that works on a store, for the tests that start many and kill some. Bundled by processes.ts; told what to do
// by its arguments; says what was promised to it, a line of JSON each, on standard output.
import { writeSync } from 'node:fs'
import { canonicalJson, MEDIA_TYPES, type Descriptor } from '../../src/descriptor.js'
import { digestOf, type Digest } from '../../src/digest.js'
import { StoreError } from '../../src/errors.js'
import { applyGc, openDiskStore, planGc, readBlob, type Store } from '../../src/store/index.js'

export type WorkerLine =
  | { readonly kind: 'ready' }
  /** About to change a ref: from now until `ref`, either value may be found. */
  | { readonly kind: 'intent'; readonly name: string; readonly digest: Digest | null }
  | { readonly kind: 'ref'; readonly name: string; readonly digest: Digest | null }
  | { readonly kind: 'record'; readonly key: string }
  /** The shared counter was raised. */
  | { readonly kind: 'count' }
  | { readonly kind: 'gc'; readonly removed: number }
  | { readonly kind: 'done' }

const say = (line: WorkerLine) => void writeSync(1, JSON.stringify(line) + '\n')

const [path, mode, lane, seedText, countText, durability] = process.argv.slice(2) as [
  string,
  'mixed' | 'forever',
  string,
  string,
  string,
  'full' | 'none',
]

let state = Number(seedText) * 2654435761 || 1
function dice(sides: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % sides
}

interface Blob {
  readonly bytes: Uint8Array
  readonly descriptor: Descriptor
}

function blob(mediaType: string, bytes: Uint8Array): Blob {
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength } }
}

/** An image of two layers, of which the first is everyone's. */
function makeImage(text: string): { target: Descriptor; blobs: Blob[] } {
  const layers = [Buffer.alloc(20_000, 'base'), Buffer.alloc(1000 + dice(300_000), text)].map((bytes) =>
    blob(MEDIA_TYPES.layer, bytes),
  )
  const diffIDs = layers.map(({ descriptor }) => descriptor.digest)
  const config = blob(
    MEDIA_TYPES.config,
    canonicalJson({ text, rootfs: { type: 'layers', diff_ids: diffIDs } }),
  )
  const manifest = blob(
    MEDIA_TYPES.manifest,
    canonicalJson({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: config.descriptor,
      layers: layers.map(({ descriptor }) => descriptor),
    }),
  )
  return { target: manifest.descriptor, blobs: [...layers, config, manifest] }
}

/** As a build does it: leased first, then put, then tagged; the lease ends when the ref holds it. */
async function putAndTag(
  store: Store,
  text: string,
  tag: (target: Descriptor) => Promise<void>,
): Promise<void> {
  const image = makeImage(text)
  const lease = await store.leases.create()
  await store.leases.add(
    lease.id,
    image.blobs.map(({ descriptor }) => descriptor.digest),
  )
  try {
    for (const { bytes, descriptor } of image.blobs) {
      const source = dice(2) === 0 ? bytes : [bytes.subarray(0, 500), bytes.subarray(500)]
      await store.blobs.put(source, descriptor)
    }
    await tag(image.target)
  } finally {
    await store.leases.release(lease.id)
  }
}

async function setOwn(store: Store, name: string, target?: Descriptor): Promise<void> {
  const digest = target?.digest ?? null
  say({ kind: 'intent', name, digest })
  await store.refs.set(name, target)
  say({ kind: 'ref', name, digest })
}

/** Raises the number in the config of the image `shared`, by compare-and-set, until it works. */
async function raiseShared(store: Store): Promise<void> {
  for (;;) {
    const current = await store.refs.get('shared')
    const count = current === undefined ? 0 : await sharedCount(store, current)
    if (count === undefined) continue
    try {
      await putAndTag(store, `shared ${count + 1}`, (target) =>
        store.refs.set('shared', target, current?.digest ?? null),
      )
      say({ kind: 'count' })
      return
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'REF_CONFLICT') throw error
    }
  }
}

/** `undefined` when the image has been replaced, and swept, meanwhile. */
async function sharedCount(store: Store, target: Descriptor): Promise<number | undefined> {
  try {
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
    const manifest = JSON.parse(text(await readBlob(store.blobs, target.digest))) as { config: Descriptor }
    const config = JSON.parse(text(await readBlob(store.blobs, manifest.config.digest))) as { text: string }
    return Number(config.text.split(' ')[1])
  } catch (error) {
    if (error instanceof StoreError && error.code === 'BLOB_NOT_FOUND') return undefined
    throw error
  }
}

async function step(store: Store, at: number): Promise<void> {
  const own = `${lane}-${dice(4)}`
  const what = dice(10)
  if (what < 4) await putAndTag(store, `${lane} ${at}`, (target) => setOwn(store, own, target))
  else if (what < 5) await setOwn(store, own)
  else if (what < 7) await raiseShared(store)
  else if (what < 8) {
    const key = `${lane}/${at}`
    await store.records.write({ put: [[key, Buffer.from(key)]] })
    say({ kind: 'record', key })
  } else {
    const { removed } = await applyGc(store, await planGc(store, { graceMs: 0 }))
    say({ kind: 'gc', removed: removed.length })
  }
}

const store = await openDiskStore(path, { durability })
say({ kind: 'ready' })
const count = mode === 'mixed' ? Number(countText) : Number.POSITIVE_INFINITY
for (let at = 0; at < count; at++) await step(store, at)
await store.close()
say({ kind: 'done' })
