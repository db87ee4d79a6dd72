// An operation whose implementation is loaded when it is first asked for anything.
import type { CacheMap, Op, Result, RunContext } from '../vertex.js'

export class LazyOp implements Op {
  private loaded: Promise<Op> | undefined

  constructor(
    readonly kind: Op['kind'],
    private readonly load: () => Promise<Op>,
  ) {}

  async *cacheMaps(): AsyncGenerator<CacheMap> {
    yield* (await this.op()).cacheMaps()
  }

  async run(inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    return (await this.op()).run(inputs, context)
  }

  private op(): Promise<Op> {
    return (this.loaded ??= this.load())
  }
}
