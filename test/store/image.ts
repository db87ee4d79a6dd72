// Small images in a store: real documents, layers that are only bytes.
import { gzipSync } from 'node:zlib'
import { canonicalJson, MEDIA_TYPES, type Descriptor } from '../../src/descriptor.js'
import { digestOf, type Digest } from '../../src/digest.js'
import type { Store } from '../../src/store/index.js'

export interface Image {
  readonly target: Descriptor
  readonly config: Digest
  readonly layers: readonly Digest[]
  /** Uncompressed forms; the same as `layers` for those stored plain. */
  readonly diffIDs: readonly Digest[]
  /** Every blob, twins of compressed layers not included. */
  readonly all: readonly Digest[]
}

export async function putDocument(store: Store, mediaType: string, value: unknown): Promise<Descriptor> {
  const { digest, size } = await store.blobs.put(canonicalJson(value))
  return { mediaType, digest, size }
}

/** @param contents  one per layer; `gzip:` before it for a compressed one */
export async function putImage(store: Store, contents: readonly string[]): Promise<Image> {
  const layers: Descriptor[] = []
  const diffIDs: Digest[] = []
  for (const content of contents) {
    const isGzip = content.startsWith('gzip:')
    const tar = Buffer.from(content.padEnd(2048, '.'))
    const { digest, size } = await store.blobs.put(isGzip ? gzipSync(tar) : tar)
    layers.push({ mediaType: isGzip ? MEDIA_TYPES.layerGzip : MEDIA_TYPES.layer, digest, size })
    diffIDs.push(digestOf(tar))
  }
  const config = await putDocument(store, MEDIA_TYPES.config, {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: contents },
    rootfs: { type: 'layers', diff_ids: diffIDs },
  })
  const target = await putDocument(store, MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config,
    layers,
  })
  const digests = layers.map(({ digest }) => digest)
  return {
    target,
    config: config.digest,
    layers: digests,
    diffIDs,
    all: [target.digest, config.digest, ...digests],
  }
}

export async function digestsIn(store: Store): Promise<Digest[]> {
  const out: Digest[] = []
  for await (const { digest } of store.blobs.list()) out.push(digest)
  return out.sort()
}
