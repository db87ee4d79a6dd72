// The build context as an operation: never known by definition, always by the content that a step reads of it.
// @see moby/buildkit source/local/source.go
import type { BuildContext } from '../context.js'
import { sourceDigest } from '../key.js'
import type { CacheMap, Op, Result } from '../vertex.js'
import type { OpServices } from './result.js'

export class ContextOp implements Op {
  readonly kind = 'local'

  constructor(
    private readonly context: () => Promise<BuildContext>,
    private readonly services: OpServices,
  ) {}

  cacheMaps(): Iterable<CacheMap> {
    // A key that never comes again, as BuildKit's session id.
    const digest = sourceDigest(`session:${this.services.env.randomId()}`)
    return [{ digest, deps: [], preimage: new Map([['source', 'build context']]) }]
  }

  async run(): Promise<readonly Result[]> {
    const context = await this.context()
    return [context.result()]
  }
}
