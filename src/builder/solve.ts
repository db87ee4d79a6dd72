// The solver: finds or makes the results of edges. For each step: keys by definition, then keys by content, then
// execution; nothing is opened, hashed or run before it is known to be needed. Equal steps are one step.
// Semantics of moby/buildkit solver/edge.go and jobs.go, without its scheduler: every question about an edge is a promise
// that is asked once.
import type { Digest } from '../digest.js'
import { systemEnv, type Env } from '../env.js'
import { AbortError, isAbortError, throwIfAborted } from '../errors.js'
import { CacheStore, keyIdOf, rootKeyId, storedResult, type KeyId, type KeyLink } from './cache.js'
import { CONTENT_OUTPUT, recordId } from './key.js'
import { buildkitScheme, type SchemeMap } from './key-scheme.js'
import type { CacheOutcome } from './progress.js'
import { Semaphore } from './semaphore.js'
import { blobsOf } from './ops/result.js'
import type { SolveOptions, SolveResult, StepReport, StoredStep } from './solve-types.js'
import { StepLog } from './step-log.js'
import { quiet, StepGraph, type Complete, type EdgeRun, type Lookup, type Step } from './step-graph.js'
import { StepMemory } from './step-memory.js'
import type { CacheMap, Edge, LayerRef, Result } from './vertex.js'

export type * from './solve-types.js'

/**
 * Finds or makes the results of `targets`.
 *
 * A step that fails leaves nothing behind; what other steps had finished stays stored. The others are cancelled, and the
 * first failure is thrown once all have stopped.
 *
 * @throws whatever an operation throws; AbortError when the signal fires
 */
export async function solve(targets: readonly Edge[], options: SolveOptions): Promise<SolveResult> {
  return new Solver(options).solve(targets)
}

const NOTHING: Lookup = { ids: [], hit: undefined, unknown: false }

class Solver {
  readonly #options: SolveOptions
  readonly #env: Env
  readonly #cache: CacheStore
  readonly #abort = new AbortController()
  readonly #memory: StepMemory | undefined
  readonly #permits: Semaphore
  readonly #log: StepLog
  readonly #graph: StepGraph
  /** Steps that run, or have run, by the key of their result: equal ones share it. */
  readonly #running = new Map<KeyId, Promise<Complete>>()
  readonly #active = new Set<Promise<unknown>>()
  #failure: { readonly error: unknown } | undefined

  constructor(options: SolveOptions) {
    this.#options = options
    this.#env = options.env ?? systemEnv
    this.#cache = options.cache ?? new CacheStore(options.store, this.#env)
    for (const imported of options.imports ?? []) this.#cache.addImport(imported)
    const { store, scope } = options
    if (scope !== undefined) this.#memory = new StepMemory(this.#cache, store, this.#env, scope)
    this.#permits = new Semaphore(Math.max(1, options.concurrency ?? this.#env.concurrency))
    this.#log = new StepLog(this.#env, options.onEvent)
    const scheme = options.scheme ?? buildkitScheme
    this.#graph = new StepGraph(scheme, this.#log, (step, error) => this.#stop(step, error))
  }

  async solve(targets: readonly Edge[]): Promise<SolveResult> {
    const { signal } = this.#options
    throwIfAborted(signal)
    const onAbort = () => this.#fail(new AbortError(signal?.reason))
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const complete = await Promise.all(targets.map((edge) => this.#complete(edge)))
      if (!this.#dry) await this.#cache.flush()
      return {
        results: complete.map((each) => each?.result),
        keys: complete.map((each) => each?.ids ?? []),
        steps: await this.#reports(),
      }
    } catch (error) {
      this.#fail(error)
      await Promise.allSettled(this.#active)
      throw this.#failure!.error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  get #dry(): boolean {
    return this.#options.dryRun === true
  }

  /** The first failure counts; what it cancels does not. */
  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#abort.abort(error)
  }

  async #reports(): Promise<StepReport[]> {
    const out: StepReport[] = []
    for (const step of await this.#graph.steps()) {
      const edge = step.edges.values().next().value
      // Known, never needed, and its blobs gone: nothing had to be done for it.
      if (step.log.outcome === undefined && edge !== undefined && (await edge.fast)?.ids.length) {
        this.#log.hit(step.log, undefined, undefined)
      }
      const { id, outcome, key, layers, durationNs } = step.log
      if (id === undefined || outcome === undefined) continue
      const inputs = edge?.inputs ?? []
      out.push({ step: id, vertex: step.vertex, map: step.maps[0], outcome, key, inputs, layers, durationNs })
    }
    return out.sort((a, b) => a.step - b.step)
  }

  // ---- keys by definition ----

  async #fast(ref: Edge): Promise<Lookup> {
    const edge = await this.#graph.edge(ref)
    return (edge.fast ??= quiet(this.#findFast(edge)))
  }

  async #findFast(edge: EdgeRun): Promise<Lookup> {
    const { vertex } = edge.step
    if (vertex.inputs.length === 0) return this.#findRoot(edge)
    const { scheme } = await this.#graph.firstMap(edge.step)
    const inputs = await Promise.all(vertex.inputs.map((input) => this.#fast(input)))
    if (vertex.ignoreCache) return NOTHING
    inputs.forEach((lookup, i) => this.#match(edge, scheme, i, lookup.ids))
    return this.#agree(edge, scheme, false)
  }

  /** A source: its keys are tried one by one, until one has a result. What is read by content alone has none. */
  async #findRoot(edge: EdgeRun): Promise<Lookup> {
    const { step, output } = edge
    const { vertex } = step
    if (vertex.op.kind === 'local' || vertex.ignoreCache) return NOTHING
    const ids: KeyId[] = []
    for (let index = 0; ; index++) {
      const map = await this.#graph.map(step, index)
      if (map === undefined) return { ids, hit: undefined, unknown: false }
      const record = recordId(this.#graph.scheme.map(vertex, map).digest, output)
      const id = keyIdOf(record)
      if (!this.#cache.has(id)) continue
      ids.push(id)
      const stored = await this.#cache.usable(id, record)
      if (stored !== undefined) return this.#hit(edge, { ids, hit: { id, stored }, unknown: false })
    }
  }

  /** Adds the keys of this edge that keys of an input lead to. */
  #match(edge: EdgeRun, scheme: SchemeMap, input: number, ids: readonly KeyId[]): void {
    const definition = scheme.definitions[input]
    if (!definition || ids.length === 0) return
    const links = linksOf(ids, definition.selector)
    for (const id of this.#cache.query(links, input, recordOf(edge, scheme))) edge.matches[input]!.add(id)
    edge.inputs[input] = { ...edge.inputs[input]!, keys: ids }
  }

  /** The keys that all inputs lead to, and the newest usable result among them. */
  async #agree(edge: EdgeRun, scheme: SchemeMap, unknown: boolean): Promise<Lookup> {
    const [first, ...rest] = edge.matches
    const ids = [...first!].filter((id) => rest.every((other) => other.has(id)))
    let best: Lookup['hit']
    for (const id of ids) {
      const stored = await this.#cache.usable(id, recordOf(edge, scheme))
      if (stored !== undefined && (best === undefined || stored.createdMs > best.stored.createdMs)) {
        best = { id, stored }
      }
    }
    const lookup = { ids, hit: best, unknown: unknown && best === undefined }
    return best === undefined ? lookup : this.#hit(edge, lookup)
  }

  #hit(edge: EdgeRun, lookup: Lookup): Lookup {
    const { id, stored } = lookup.hit!
    if (!this.#dry) {
      this.#cache.touch(id)
      this.#memory?.found(edge.step.vertex, id)
    }
    this.#log.hit(edge.step.log, id, stored.layers)
    return lookup
  }

  // ---- keys by content ----

  async #slow(ref: Edge): Promise<Lookup> {
    const edge = await this.#graph.edge(ref)
    return (edge.slow ??= quiet(this.#findSlow(edge)))
  }

  async #findSlow(edge: EdgeRun): Promise<Lookup> {
    const { vertex } = edge.step
    const fast = await (edge.fast ??= quiet(this.#findFast(edge)))
    if (fast.hit !== undefined || vertex.ignoreCache || vertex.inputs.length === 0) return fast
    const { map, scheme } = await this.#graph.firstMap(edge.step)
    const unknown = await this.#matchInputsSlowly(edge, scheme)
    let lookup = await this.#agree(edge, scheme, unknown.some(Boolean))
    if (lookup.hit !== undefined) return lookup
    const impossible = edge.matches.some((ids, i) => ids.size === 0 && !scheme.contents[i] && !unknown[i])
    if (impossible) return { ...lookup, unknown: false }
    // First what no definition leads to; the rest only if that still leaves it open.
    const open = scheme.contents.flatMap((has, i) => (has && edge.matches[i]!.size === 0 ? [i] : []))
    const others = scheme.contents.flatMap((has, i) => (has && !open.includes(i) ? [i] : []))
    let undecided = unknown.some((is, i) => is && !scheme.contents[i])
    for (const phase of [open, others]) {
      if (phase.length === 0) continue
      const found = await Promise.all(phase.map((i) => this.#matchContent(edge, map, scheme, i)))
      undecided ||= found.includes(false)
      const dead = phase.some((i, n) => found[n] === true && edge.matches[i]!.size === 0)
      lookup = await this.#agree(edge, scheme, undecided && !dead)
      if (lookup.hit !== undefined || dead) return lookup
    }
    return lookup
  }

  /** @returns for each input whether more keys may come to light only by running something */
  async #matchInputsSlowly(edge: EdgeRun, scheme: SchemeMap): Promise<boolean[]> {
    return Promise.all(
      edge.step.vertex.inputs.map(async (input, i) => {
        if (!scheme.definitions[i]) return false
        const lookup = await this.#slow(input)
        this.#match(edge, scheme, i, lookup.ids)
        return lookup.unknown
      }),
    )
  }

  /** @returns `false` when the content cannot be known in a dry run */
  async #matchContent(edge: EdgeRun, map: CacheMap, scheme: SchemeMap, input: number): Promise<boolean> {
    const content = await this.#content(edge, map, input)
    if (content === undefined) return false
    const record = recordOf(edge, scheme)
    const ids = this.#cache.query([contentLink(content)], input, record)
    for (const id of ids) edge.matches[input]!.add(id)
    if (ids.length > 0 && !this.#dry) {
      const links = await this.#definitionLinks(edge, scheme, input)
      this.#cache.connect(links, input, record, ids)
    }
    return true
  }

  async #definitionLinks(edge: EdgeRun, scheme: SchemeMap, input: number): Promise<KeyLink[]> {
    const definition = scheme.definitions[input]
    const complete = definition ? await this.#complete(edge.step.vertex.inputs[input]!) : undefined
    return complete === undefined || !definition ? [] : linksOf(complete.ids, definition.selector)
  }

  #content(edge: EdgeRun, map: CacheMap, input: number): Promise<Digest | undefined> {
    return (edge.contents[input] ??= quiet(this.#readContent(edge, map, input)))
  }

  async #readContent(edge: EdgeRun, map: CacheMap, input: number): Promise<Digest | undefined> {
    const complete = await this.#complete(edge.step.vertex.inputs[input]!)
    if (complete === undefined) return undefined
    throwIfAborted(this.#abort.signal)
    try {
      const content = await map.deps[input]!.content!(complete.result)
      edge.inputs[input] = { ...edge.inputs[input]!, content, result: complete.result }
      return content
    } catch (error) {
      this.#stop(edge.step, error)
      throw error
    }
  }

  /** What a step that would run reads, as far as it is there: for whoever explains why it would run. */
  async #readContents(edge: EdgeRun): Promise<void> {
    const { vertex } = edge.step
    if (vertex.ignoreCache || vertex.inputs.length === 0) return
    const { map, scheme } = await this.#graph.firstMap(edge.step)
    await Promise.all(scheme.contents.map((has, i) => (has ? this.#content(edge, map, i) : undefined)))
  }

  // ---- results ----

  async #complete(ref: Edge): Promise<Complete | undefined> {
    const edge = await this.#graph.edge(ref)
    return (edge.done ??= quiet(this.#makeComplete(edge)))
  }

  async #makeComplete(edge: EdgeRun): Promise<Complete | undefined> {
    const lookup = await (edge.slow ??= quiet(this.#findSlow(edge)))
    if (lookup.hit !== undefined) {
      if (!this.#dry) await this.#cache.adopt(lookup.hit.id)
      const result = storedResult(this.#options.store, lookup.hit.stored.layers)
      return { result, ids: lookup.ids }
    }
    const { step } = edge
    if (!this.#dry || step.vertex.op.kind === 'local') return this.#execute(edge)
    if (step.vertex.inputs.length > 0)
      await Promise.all(step.vertex.inputs.map((input) => this.#complete(input)))
    await this.#readContents(edge)
    this.#log.predicted(step.log, lookup.unknown ? 'unknown' : this.#missOutcome(step))
    return undefined
  }

  #missOutcome(step: Step): CacheOutcome {
    return step.vertex.ignoreCache ? 'off' : 'miss'
  }

  async #execute(edge: EdgeRun): Promise<Complete> {
    const { step, output } = edge
    const { vertex } = step
    const inputs = (await Promise.all(vertex.inputs.map((input) => this.#complete(input)))) as Complete[]
    if (vertex.op.kind === 'local') return { result: (await this.#run(step, []))[output]!, ids: [] }
    const { map, scheme } = await this.#graph.firstMap(step)
    const contents = await Promise.all(
      scheme.contents.map((has, i) => (has ? this.#content(edge, map, i) : undefined)),
    )
    const links = inputs.map(({ ids, result }, i) => {
      const definition = scheme.definitions[i]
      edge.inputs[i] = { vertex: vertex.inputs[i]!.vertex, keys: ids, content: contents[i], result }
      return [
        ...(definition ? linksOf(ids, definition.selector) : []),
        ...(contents[i] === undefined ? [] : [contentLink(contents[i])]),
      ]
    })
    // What was read names the result where it can: two ways to the same content are one step.
    const identity = links.map((all, i) => (contents[i] === undefined ? all : [contentLink(contents[i])]))
    const record = recordOf(edge, scheme)
    const id = this.#cache.resolve(record, links, identity)
    const running = this.#running.get(id)
    if (running === undefined) {
      const complete = quiet(this.#runAndSave(edge, id, inputs, links))
      this.#running.set(id, complete)
      return complete
    }
    const complete = await running
    links.forEach((all, i) => this.#cache.connect(all, i, record, [id]))
    this.#log.hit(step.log, id, complete.result.layers)
    return complete
  }

  async #runAndSave(
    edge: EdgeRun,
    id: KeyId,
    inputs: readonly Complete[],
    links: readonly (readonly KeyLink[])[],
  ): Promise<Complete> {
    const { step, output } = edge
    const results = await this.#run(
      step,
      inputs.map(({ result }) => result),
    )
    const result = results[output]!
    const costBytes = addedBytes(result.layers, inputs)
    for (const { content } of edge.inputs) {
      if (content !== undefined) this.#cache.ensureRoot(recordId(content, CONTENT_OUTPUT))
    }
    const ids: KeyId[] = []
    // A source has a key for each way in which it is known; anything else has one.
    const maps = step.vertex.inputs.length === 0 ? step.maps : step.maps.slice(0, 1)
    for (const map of maps) {
      const record = recordId(this.#graph.scheme.map(step.vertex, map).digest, output)
      const key = step.vertex.inputs.length === 0 ? keyIdOf(record) : id
      const { costMs } = step
      this.#cache.save(key, { record, inputs: links, layers: result.layers, costMs, costBytes })
      ids.push(key)
    }
    const stored: StoredStep = {
      vertex: step.vertex,
      map: step.maps[0]!,
      key: ids[0]!,
      inputs: edge.inputs,
      layers: result.layers,
      costMs: step.costMs,
      costBytes,
    }
    await this.#memory?.remember(stored)
    this.#options.onStored?.(stored)
    await this.#cache.flush()
    this.#log.done(step.log, this.#missOutcome(step), ids[0], result.layers)
    return { result, ids }
  }

  /** A cancelled step is not to blame: it reports only that it stopped, if it had begun. */
  #stop(step: Step, error: unknown): void {
    const { signal } = this.#abort
    if (!signal.aborted || !isAbortError(error)) this.#log.failed(step.log, error as Error)
    else if (step.log.startedNs !== undefined) this.#log.failed(step.log, new AbortError(signal.reason))
    this.#fail(error)
  }

  /** Runs an operation, once for all its outputs. */
  #run(step: Step, inputs: readonly Result[]): Promise<readonly Result[]> {
    if (step.run === undefined) {
      step.run = quiet(this.#runOp(step, inputs))
      this.#active.add(step.run)
    }
    return step.run
  }

  async #runOp(step: Step, inputs: readonly Result[]): Promise<readonly Result[]> {
    const { op } = step.vertex
    const { signal } = this.#abort
    const release = op.kind === 'local' || op.kind === 'image' ? undefined : await this.#permits.acquire()
    try {
      throwIfAborted(signal)
      const startedNs = this.#log.start(step.log)
      if (op.kind !== 'local') await this.#options.hold?.(inputs.flatMap(({ layers }) => blobsOf(layers)))
      const results = await op.run(inputs, {
        signal,
        onOutput: (stream, bytes) => this.#log.output(step.log, stream, bytes),
        onStatus: (what, current, total) => this.#log.status(step.log, what, current, total),
      })
      throwIfAborted(signal)
      step.costMs = Number((this.#env.now() - startedNs) / 1_000_000n)
      if (op.kind === 'local') this.#log.done(step.log, 'off', undefined, undefined)
      return results
    } catch (error) {
      this.#stop(step, error)
      throw error
    } finally {
      release?.()
    }
  }
}

/** The key of operation and output, of all inputs alike. */
function recordOf(edge: EdgeRun, scheme: SchemeMap): Digest {
  return (edge.record ??= recordId(scheme.digest, edge.output))
}

function linksOf(ids: readonly KeyId[], selector: Digest | undefined): KeyLink[] {
  return ids.map((id) => ({ id, selector }))
}

function contentLink(content: Digest): KeyLink {
  return { id: rootKeyId(content, CONTENT_OUTPUT), selector: undefined }
}

/** Bytes of the layers that are not the first input's. */
function addedBytes(layers: readonly LayerRef[], inputs: readonly Complete[]): number {
  const below = inputs[0]?.result.layers ?? []
  const shared = below.every(({ diffID }, i) => layers[i]?.diffID === diffID) ? below.length : 0
  return layers.slice(shared).reduce((sum, { descriptor }) => sum + descriptor.size, 0)
}
