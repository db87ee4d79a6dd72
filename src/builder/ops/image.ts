// FROM an image of the store: known by its manifest, then by the chain of its layers.
// @see moby/buildkit source/containerimage/pull.go CacheKey
import type { Platform } from '../../descriptor.js'
import { chainIDs } from '../../digest.js'
import type { Image } from '../../oci/index.js'
import { storedResult } from '../cache.js'
import { imageChainKey, imageManifestKey, sourceDigest } from '../key.js'
import type { CacheMap, Op, Result } from '../vertex.js'
import type { OpServices } from './result.js'

export class ImageOp implements Op {
  readonly kind = 'image'

  constructor(
    private readonly image: Image,
    private readonly name: string,
    private readonly platform: Platform,
    private readonly services: OpServices,
  ) {}

  *cacheMaps(): Iterable<CacheMap> {
    const { descriptor, layers } = this.image
    const { platform } = this
    const preimage = new Map([
      ['image', this.name],
      ['manifest', descriptor.digest],
    ])
    const key = imageManifestKey(descriptor.digest, {
      os: platform.os,
      architecture: platform.architecture,
      variant: platform.variant,
      osVersion: platform['os.version'],
      osFeatures: platform['os.features'],
    })
    yield { digest: sourceDigest(key), deps: [], preimage }
    const chain = imageChainKey(chainIDs(layers.map(({ diffID }) => diffID)))
    if (chain !== undefined) yield { digest: sourceDigest(chain), deps: [], preimage }
  }

  run(): Promise<readonly Result[]> {
    return Promise.resolve([storedResult(this.services.store, this.image.layers)])
  }
}
