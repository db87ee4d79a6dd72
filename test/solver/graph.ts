// Little operations for solver tests: what they are, what they read, and a note of every run.
import { digestOf, type Digest } from '../../src/digest.js'
import type { ContentSelector } from '../../src/builder/content-selector.js'
import { contentKeyOf } from '../../src/builder/contenthash.js'
import { treeContext } from '../../src/builder/context.js'
import { storedResult } from '../../src/builder/cache.js'
import type { CacheMap, Edge, Op, Result, Vertex } from '../../src/builder/vertex.js'
import type { Store } from '../../src/store/index.js'
import { EMPTY_TREE, TreeEditor, TreeNode, bytesSource, commitDiff } from '../../src/unionfs/index.js'
import { treeOf, type TreeSpec } from './fixtures.js'

export interface Graph {
  readonly runs: string[]
  image(name: string, ...keys: string[]): Edge
  context(spec: TreeSpec): Edge
  /** Copies one path of `from` into a layer on `base`, keyed by content. */
  copy(name: string, base: Edge | undefined, from: Edge, path: string, options?: StepOptions): Edge
  /** Something on `base` that only its definition tells; `effect` may fail or wait. */
  run(name: string, base: Edge, options?: StepOptions): Edge
}

export interface StepOptions {
  readonly ignoreCache?: boolean
  readonly effect?: (signal: AbortSignal | undefined) => void | Promise<void>
  /** What the step writes, when that is not its name. */
  readonly writes?: string
}

export function graph(store: Store): Graph {
  const runs: string[] = []

  const edge = (op: Op, inputs: Edge[], name: string, ignoreCache = false): Edge => {
    const label = { name, stage: 'stage-0', index: 1, count: 1, instruction: name, location: undefined }
    const vertex: Vertex = { op, inputs, label, ignoreCache }
    return { vertex, output: 0 }
  }

  const layerOn = async (base: Result | undefined, path: string, text: string): Promise<Result> => {
    const lower = base === undefined ? EMPTY_TREE : await base.tree()
    const editor = new TreeEditor(lower)
    const bytes = new TextEncoder().encode(text)
    editor.put(path, new TreeNode({ kind: 'file', size: bytes.length, source: bytesSource(bytes) }))
    const layer = await commitDiff(store, lower, editor.finish())
    return storedResult(store, [...(base?.layers ?? []), layer])
  }

  const fileName = (name: string) => name.replace(/[^a-z0-9]+/gi, '-')

  return {
    runs,
    image(name, ...keys) {
      const maps = (keys.length === 0 ? [name] : keys).map((key): CacheMap => ({
        digest: digestOf(`image:${key}`),
        deps: [],
        preimage: new Map([['image', name]]),
      }))
      const run = async () => {
        runs.push(name)
        return [await layerOn(undefined, fileName(name), name)]
      }
      return edge({ kind: 'image', cacheMaps: () => maps, run }, [], name)
    },
    context(spec) {
      const map: CacheMap = { digest: digestOf('context'), deps: [], preimage: new Map() }
      const result = treeContext(treeOf(spec)).result()
      const run = async () => {
        runs.push('context')
        return [result]
      }
      return edge({ kind: 'local', cacheMaps: () => [map], run }, [], 'context')
    },
    copy(name, base, from, path, options = {}) {
      const selectors: ContentSelector[] = [{ path, wildcard: true, followLinks: true }]
      const read = {
        selector: digestOf(path),
        content: (result: Result): Promise<Digest> => contentKeyOf(result, selectors),
      }
      const deps = base === undefined ? [read] : [{ selector: undefined }, read]
      const map: CacheMap = {
        digest: digestOf(`copy:${name}`),
        deps,
        preimage: new Map([['instruction', name]]),
      }
      const run: Op['run'] = async (inputs, { signal }) => {
        runs.push(name)
        await options.effect?.(signal)
        const source = await inputs.at(-1)!.tree()
        const text = [...source.walk(path.slice(1))].map((at) => at.path).join()
        return [await layerOn(base === undefined ? undefined : inputs[0], fileName(name), text)]
      }
      const inputs = base === undefined ? [from] : [base, from]
      return edge({ kind: 'file', cacheMaps: () => [map], run }, inputs, name, options.ignoreCache)
    },
    run(name, base, options = {}) {
      const deps = [{ selector: digestOf('/') }]
      const map: CacheMap = {
        digest: digestOf(`run:${name}`),
        deps,
        preimage: new Map([['instruction', name]]),
      }
      const run: Op['run'] = async (inputs, { signal, onOutput }) => {
        runs.push(name)
        onOutput('stdout', new TextEncoder().encode(`${name}\n`))
        await options.effect?.(signal)
        return [await layerOn(inputs[0], fileName(name), options.writes ?? name)]
      }
      return edge({ kind: 'exec', cacheMaps: () => [map], run }, [base], name, options.ignoreCache)
    },
  }
}
