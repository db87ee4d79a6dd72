// COPY --link: the layers of the inputs on top of each other, each as it stands. What a layer holds does not depend on
// what lies below it, so that it can be kept when the layers below change.
// @see moby/buildkit solver/llbsolver/ops/merge.go
import { storedResult } from '../cache.js'
import { mergeOpDigest } from '../key.js'
import type { CacheMap, Op, Result } from '../vertex.js'
import { layersOf, type OpServices } from './result.js'

export class MergeOp implements Op {
  readonly kind = 'merge'

  constructor(
    private readonly inputCount: number,
    private readonly services: OpServices,
  ) {}

  cacheMaps(): Iterable<CacheMap> {
    const deps = Array.from({ length: this.inputCount }, () => ({ selector: undefined }))
    return [{ digest: mergeOpDigest(this.inputCount), deps, preimage: new Map([['operation', 'merge']]) }]
  }

  async run(inputs: readonly Result[]): Promise<readonly Result[]> {
    const layers = await Promise.all(inputs.map((input) => layersOf(this.services, input)))
    return [storedResult(this.services.store, layers.flat())]
  }
}
