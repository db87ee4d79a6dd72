// The solver's decisions: what it looks up, what it reads, what it runs, in which order, and what it leaves behind.
import { describe, expect, test } from 'vitest'
import { AbortError, isAbortError } from '../../src/errors.js'
import { CacheStore } from '../../src/builder/cache.js'
import type { BuildEvent } from '../../src/builder/progress.js'
import { solve, type SolveOptions } from '../../src/builder/solve.js'
import type { Edge, Vertex } from '../../src/builder/vertex.js'
import { createMemoryStore, type BlobStore, type Store } from '../../src/store/index.js'
import { graph, type Graph } from './graph.js'

/** What each step was, by name. */
async function outcomes(targets: Edge | Edge[], store: Store, options: Partial<SolveOptions> = {}) {
  const { steps } = await solve([targets].flat(), { store, ...options })
  return Object.fromEntries(steps.map(({ vertex, outcome }) => [vertex.label.name, outcome]))
}

/** A build of COPY on an image, then RUN. */
const app = (g: Graph, files: Record<string, string> = { 'd/f': '1' }): Edge =>
  g.run('RUN', g.copy('COPY', g.image('base'), g.context(files), '/d'))

describe('definition first, content when needed', () => {
  test('the first build runs everything, the second nothing but the look at the context', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    expect(await outcomes(app(g), store)).toEqual({
      base: 'miss',
      context: 'off',
      COPY: 'miss',
      RUN: 'miss',
    })
    expect(g.runs.slice(0, 2).sort()).toEqual(['base', 'context'])
    expect(g.runs.slice(2)).toEqual(['COPY', 'RUN'])
    const again = graph(store)
    expect(await outcomes(app(again), store)).toEqual({
      base: 'hit',
      context: 'off',
      COPY: 'hit',
      RUN: 'hit',
    })
    expect(again.runs).toEqual(['context'])
  })

  test('a changed file rebuilds its COPY and what follows', async () => {
    const store = createMemoryStore()
    await outcomes(app(graph(store)), store)
    const want = { base: 'hit', context: 'off', COPY: 'miss', RUN: 'miss' }
    expect(await outcomes(app(graph(store), { 'd/f': '2' }), store)).toEqual(want)
    expect(await outcomes(app(graph(store)), store)).toEqual({ ...want, COPY: 'hit', RUN: 'hit' })
  })

  test('a rewritten producer with the same content does not rebuild the consumer', async () => {
    const store = createMemoryStore()
    const build = (command: string) => {
      const g = graph(store)
      const producer = g.run(command, g.image('base'), { writes: 'same' })
      return { g, edge: g.run('use', g.copy('COPY --from', g.image('other'), producer, '/out*')) }
    }
    await outcomes(build('out v1').edge, store)
    // The file's name is part of the content; both commands write /out-v1.
    const { g, edge } = build('out v1')
    expect(await outcomes(edge, store)).toMatchObject({ 'COPY --from': 'hit', use: 'hit' })
    expect(g.runs).toEqual([])
  })

  test('what was found by content is found by definition the next time, without reading', async () => {
    const store = createMemoryStore()
    const build = (command: string) => {
      const g = graph(store)
      const producer = g.run(command, g.image('base'), { writes: 'same' })
      return { g, edge: g.copy('COPY --from', g.image('other'), producer, '/nothing*') }
    }
    await outcomes(build('one').edge, store)
    const second = build('two')
    expect(await outcomes(second.edge, store)).toMatchObject({ two: 'miss', 'COPY --from': 'hit' })
    const third = build('two')
    let read = 0
    const vertex: Vertex = {
      ...third.edge.vertex,
      op: {
        ...third.edge.vertex.op,
        cacheMaps: () =>
          [
            ...(third.edge.vertex.op.cacheMaps() as Iterable<import('../../src/builder/vertex.js').CacheMap>),
          ].map((map) => ({
            ...map,
            deps: map.deps.map((dep) => ({
              ...dep,
              ...(dep.content && { content: (input) => (read++, dep.content!(input)) }),
            })),
          })),
      },
    }
    expect(await outcomes({ vertex, output: 0 }, store)).toMatchObject({ 'COPY --from': 'hit' })
    expect(third.g.runs).toEqual([])
    expect(read).toBe(0)
  })

  test('an image is known by its manifest, then by its layers', async () => {
    const store = createMemoryStore()
    const build = (manifest: string, chain: string) => {
      const g = graph(store)
      return g.run('RUN', g.image('base', manifest, chain))
    }
    await outcomes(build('m1', 'c1'), store)
    expect(await outcomes(build('m2', 'c1'), store)).toEqual({ base: 'hit', RUN: 'hit' })
    expect(await outcomes(build('m2', 'c2'), store)).toEqual({ base: 'miss', RUN: 'miss' })
  })

  test('inputs that agree on no key miss, even when each alone is known', async () => {
    const store = createMemoryStore()
    const build = (base: string, content: string) => {
      const g = graph(store)
      return g.copy('COPY', g.image(base), g.context({ f: content }), '/f')
    }
    await outcomes(build('a', '1'), store)
    await outcomes(build('b', '2'), store)
    expect(await outcomes(build('a', '2'), store)).toMatchObject({ COPY: 'miss' })
    expect(await outcomes(build('b', '1'), store)).toMatchObject({ COPY: 'miss' })
    expect(await outcomes(build('a', '1'), store)).toMatchObject({ COPY: 'hit' })
  })
})

describe('nothing more than needed', () => {
  /** Counts what is done to the store. */
  function counting(store: Store) {
    const counts = { get: 0, open: 0, put: 0, records: 0, sidecars: 0 }
    const blobs: BlobStore = {
      put: (...args) => (counts.put++, store.blobs.put(...args)),
      get: (...args) => (counts.get++, store.blobs.get(...args)),
      open: (digest) => (counts.open++, store.blobs.open!(digest)),
      stat: (digest) => store.blobs.stat(digest),
      delete: (digest) => store.blobs.delete(digest),
      list: () => store.blobs.list(),
    }
    const records = {
      get: (key: string) => store.records.get(key),
      keys: (prefix: string) => store.records.keys(prefix),
      write: (batch: Parameters<Store['records']['write']>[0]) => (
        counts.records++,
        store.records.write(batch)
      ),
    }
    return {
      counts,
      store: Object.create(store, { blobs: { value: blobs }, records: { value: records } }) as Store,
    }
  }

  test('a rebuild without changes opens no blob and writes nothing', async () => {
    const store = createMemoryStore()
    await outcomes(app(graph(store)), store)
    const { counts, store: counted } = counting(store)
    await outcomes(app(graph(counted)), counted)
    expect(counts).toEqual({ get: 0, open: 0, put: 0, records: 0, sidecars: 0 })
  })

  test('a hit is written down at most once an hour', async () => {
    const store = createMemoryStore()
    let nowNs = 1_700_000_000_000_000_000n
    const env = { now: () => nowNs, randomId: () => 'x', concurrency: 4 }
    await outcomes(app(graph(store)), store, { env })
    const { counts, store: counted } = counting(store)
    nowNs += 3_599n * 1_000_000_000n
    await outcomes(app(graph(counted)), counted, { env })
    expect(counts.records).toBe(0)
    nowNs += 2n * 1_000_000_000n
    await outcomes(app(graph(counted)), counted, { env })
    expect(counts.records).toBe(1)
    const entries = [...new CacheStore(store).entries()]
    const uses = entries.flatMap(([, { result }]) => (result === undefined ? [] : [result.useCount]))
    expect(uses).toEqual([2, 2, 2])
  })
})

describe('a record whose blob is gone is a miss', () => {
  const last = async (store: Store, edge: Edge) => {
    const { results } = await solve([edge], { store })
    return results[0]!.layers.at(-1)!.descriptor.digest
  }

  test('of the last step: it alone runs again', async () => {
    const store = createMemoryStore()
    await store.blobs.delete(await last(store, app(graph(store))))
    expect(await outcomes(app(graph(store)), store)).toEqual({
      base: 'hit',
      context: 'off',
      COPY: 'hit',
      RUN: 'miss',
    })
    expect(await outcomes(app(graph(store)), store)).toMatchObject({ RUN: 'hit' })
  })

  test('of the base: everything that stands on it runs again', async () => {
    const store = createMemoryStore()
    await outcomes(app(graph(store)), store)
    await store.blobs.delete(await last(store, graph(store).image('base')))
    expect(await outcomes(app(graph(store)), store)).toMatchObject({
      base: 'miss',
      COPY: 'miss',
      RUN: 'miss',
    })
    expect(await outcomes(app(graph(store)), store)).toMatchObject({ base: 'hit', COPY: 'hit', RUN: 'hit' })
  })
})

describe('--no-cache', () => {
  const build = (g: Graph, ignoreCache: boolean) => {
    const first = g.run('one', g.image('base'), { ignoreCache })
    return g.run('two', first)
  }
  test('skips the lookup of the step, and of what stands on it, and still saves', async () => {
    const store = createMemoryStore()
    await outcomes(build(graph(store), false), store)
    expect(await outcomes(build(graph(store), true), store)).toEqual({ base: 'hit', one: 'off', two: 'miss' })
    expect(await outcomes(build(graph(store), false), store)).toEqual({ base: 'hit', one: 'hit', two: 'hit' })
  })

  test('the result that was made last is used', async () => {
    const store = createMemoryStore()
    let nowNs = 0n
    const env = { now: () => (nowNs += 1_000_000n), randomId: () => 'x', concurrency: 4 }
    const result = async (writes: string, ignoreCache: boolean) => {
      const g = graph(store)
      const edge = g.run('one', g.image('base'), { writes, ignoreCache })
      return (await solve([edge], { store, env })).results[0]!.layers.at(-1)!.diffID
    }
    const first = await result('first', false)
    const second = await result('second', true)
    expect(second).not.toBe(first)
    expect(await result('never run', false)).toBe(second)
  })
})

describe('steps at the same time', () => {
  test('independent branches run side by side, within the limit', async () => {
    for (const concurrency of [1, 2, 8]) {
      const store = createMemoryStore()
      const g = graph(store)
      let now = 0
      let most = 0
      const effect = async () => {
        most = Math.max(most, ++now)
        await new Promise((resolve) => setTimeout(resolve, 10))
        now--
      }
      const base = g.image('base')
      await outcomes(
        Array.from({ length: 4 }, (_, i) => g.run(`branch ${i}`, base, { effect })),
        store,
        { concurrency },
      )
      expect(most).toBe(Math.min(concurrency, 4))
    }
  })

  test('equal steps in different stages are one step', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    const branch = () => g.run('RUN', g.copy('COPY', g.image('base'), g.context({ f: '1' }), '/f'))
    const { results, steps } = await solve([branch(), branch()], { store })
    expect(g.runs.filter((name) => name !== 'context')).toEqual(['base', 'COPY', 'RUN'])
    expect(results[0]!.layers).toEqual(results[1]!.layers)
    expect(
      steps.filter(({ outcome }) => outcome === 'miss').map(({ vertex }) => vertex.label.name),
    ).toContain('RUN')
  })

  test('steps that turn out equal by content run once', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    const effect = () => new Promise<void>((resolve) => setTimeout(resolve, 5))
    const branch = (content: string) =>
      g.copy('COPY', g.image('base'), g.run(`make ${content}`, g.image('tool'), { writes: 'x' }), '/none*', {
        effect,
      })
    await solve([branch('a'), branch('b')], { store })
    expect(g.runs.filter((name) => name === 'COPY')).toHaveLength(1)
    expect(await outcomes([branch('a'), branch('b')], store)).toMatchObject({ 'make a': 'hit', COPY: 'hit' })
  })
})

describe('failure and cancellation', () => {
  const boom = new Error('boom')

  test('a step that fails leaves nothing, what was done before it stays', async () => {
    const store = createMemoryStore()
    const build = (fails: boolean) => {
      const g = graph(store)
      const effect = () => {
        if (fails) throw boom
      }
      return g.run('three', g.run('two', g.run('one', g.image('base')), { effect }))
    }
    await expect(outcomes(build(true), store)).rejects.toBe(boom)
    expect(await outcomes(build(false), store)).toEqual({
      base: 'hit',
      one: 'hit',
      two: 'miss',
      three: 'miss',
    })
  })

  test('other branches are cancelled and waited for; the first failure is thrown', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    const events: BuildEvent[] = []
    let stopped = false
    const waits = (signal: AbortSignal | undefined) =>
      new Promise<void>((_, reject) =>
        signal!.addEventListener('abort', () =>
          setTimeout(() => {
            stopped = true
            reject(new AbortError(signal!.reason))
          }, 10),
        ),
      )
    const fails = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      throw boom
    }
    const targets = [
      g.run('waits', g.image('a'), { effect: waits }),
      g.run('fails', g.image('b'), { effect: fails }),
    ]
    await expect(solve(targets, { store, onEvent: (event) => events.push(event) })).rejects.toBe(boom)
    expect(stopped).toBe(true)
    const failed = events.filter((event) => event.kind === 'step-failed')
    expect(failed.map(({ error }) => isAbortError(error))).toEqual([false, true])
  })

  test('the signal ends the build with AbortError', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    const abort = new AbortController()
    const effect = (signal: AbortSignal | undefined) => {
      abort.abort()
      expect(signal!.aborted).toBe(true)
    }
    const edge = g.run('two', g.run('one', g.image('base'), { effect }))
    await expect(solve([edge], { store, signal: abort.signal })).rejects.toMatchObject({ code: 'ABORT_ERR' })
    expect(g.runs).toEqual(['base', 'one'])
    await expect(solve([edge], { store, signal: abort.signal })).rejects.toMatchObject({ code: 'ABORT_ERR' })
  })

  test('an operation that cannot say what it is fails its step', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    const events: BuildEvent[] = []
    const { vertex } = g.run('RUN', g.image('base'))
    const broken = {
      ...vertex,
      op: {
        ...vertex.op,
        cacheMaps: () => {
          throw boom
        },
      },
    }
    const edge = { vertex: broken, output: 0 }
    await expect(solve([edge], { store, onEvent: (event) => events.push(event) })).rejects.toBe(boom)
    expect(events.filter(({ kind }) => kind === 'step-failed')).toHaveLength(1)
  })

  test('a source that is not there fails the step that reads it', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    const events: BuildEvent[] = []
    const edge = g.copy('COPY', g.image('base'), g.context({ f: '1' }), '/missing')
    await expect(solve([edge], { store, onEvent: (event) => events.push(event) })).rejects.toMatchObject({
      code: 'SOURCE_NOT_FOUND',
    })
    expect(events.some((event) => event.kind === 'step-failed')).toBe(true)
  })
})

describe('events', () => {
  test('steps are numbered in the order in which they appear; each is planned, started and done once', async () => {
    const store = createMemoryStore()
    for (const cache of ['miss', 'hit']) {
      const events: BuildEvent[] = []
      await solve([app(graph(store))], { store, onEvent: (event) => events.push(event) })
      const planned = events.flatMap((event) =>
        event.kind === 'step-planned' ? [[event.step, event.name]] : [],
      )
      expect(planned.map(([step]) => step)).toEqual([1, 2, 3, 4])
      for (const [step] of planned) {
        const kinds = events.flatMap((event) => ('step' in event && event.step === step ? [event.kind] : []))
        expect(kinds.filter((kind) => kind !== 'step-output')).toEqual([
          'step-planned',
          'step-started',
          'step-done',
        ])
      }
      const run = events.find((event) => event.kind === 'step-done' && event.step === 4)
      expect(run).toMatchObject({
        cache,
        key: expect.stringMatching(/^sha256:/),
        layer: { size: expect.any(Number) },
      })
    }
  })

  test('output is passed on between start and end', async () => {
    const store = createMemoryStore()
    const events: BuildEvent[] = []
    await solve([app(graph(store))], { store, onEvent: (event) => events.push(event) })
    const output = events.find((event) => event.kind === 'step-output')
    expect(output).toMatchObject({ stream: 'stdout', step: 4 })
  })
})

describe('dry run', () => {
  test('predicts without running and without writing', async () => {
    const store = createMemoryStore()
    const g = graph(store)
    expect(await outcomes(app(g), store, { dryRun: true })).toEqual({
      base: 'miss',
      context: 'off',
      COPY: 'miss',
      RUN: 'miss',
    })
    expect(g.runs).toEqual(['context'])
    expect([...store.records.keys('')]).toEqual([])
  })

  test('agrees with the build that follows', async () => {
    const store = createMemoryStore()
    await outcomes(app(graph(store)), store)
    for (const files of [{ 'd/f': '1' }, { 'd/f': '2' }]) {
      const predicted = await outcomes(app(graph(store), files), store, { dryRun: true })
      expect(await outcomes(app(graph(store), files), store)).toEqual(predicted)
    }
  })

  test('what depends on the content of something that did not run is unknown; what does not is a miss', async () => {
    const store = createMemoryStore()
    const build = (command: string) => {
      const g = graph(store)
      const producer = g.run(command, g.image('base'), { writes: 'same' })
      const consumer = g.copy('COPY --from', g.image('other'), producer, '/none*')
      return [g.run('after copy', consumer), g.run('after producer', producer)]
    }
    await outcomes(build('one'), store)
    expect(await outcomes(build('two'), store, { dryRun: true })).toEqual({
      base: 'hit',
      other: 'hit',
      two: 'miss',
      'COPY --from': 'unknown',
      'after copy': 'unknown',
      'after producer': 'miss',
    })
  })

  test('a key that no input can lead to is a miss, whatever the unknown content is', async () => {
    const store = createMemoryStore()
    const build = (base: string) => {
      const g = graph(store)
      const producer = g.run('make', g.image('tool'), { writes: 'same' })
      return g.copy('COPY --from', g.image(base), producer, '/none*')
    }
    expect(await outcomes(build('base'), store, { dryRun: true })).toMatchObject({ 'COPY --from': 'miss' })
  })
})
