// Whole builds, loads, prunes and removals on the simulated disk: each change to it fails once, or is the last one before
// a crash. Afterwards every image that was there is whole and opens, fsck finds nothing wrong, the same work succeeds,
// and what it gives is the same image; a rebuild after it finds everything in the cache.
import { afterAll, describe, expect, test } from 'vitest'
import { cacheRoots, listCacheRecords, pruneCache } from '../../src/builder/index.js'
import { build } from '../../src/builder/build.js'
import type { Executor } from '../../src/builder/executor.js'
import { loadArchive, refNameOf, saveArchive } from '../../src/oci/index.js'
import { applyGc, createMemoryStore, planGc, planPrune, type Store } from '../../src/store/index.js'
import { addImage, fixedEnv, treeOf, writingExecutor, type TreeText } from '../builder/fixtures.js'
import { countChanges, setRef, trial, type Promised, type Work } from './trials.js'

const COPY_ONLY = 'FROM base\nWORKDIR /app\nCOPY . .\nCMD ["/app/a"]\n'
const WITH_RUN = `FROM base AS made
COPY a /a
RUN --mount=type=cache,target=/cache write /out made; write /cache/x cached
FROM base
COPY --from=made /out /out
COPY . /app
RUN read /app/a; write /app/done yes
`
const BEFORE: TreeText = { a: '=1', 'd/b': '=2' }
const AFTER: TreeText = { a: '=1', 'd/b': '=changed', c: '=new' }

/** Files large enough that a layer is not written in one piece. */
const BASE: TreeText = { 'bin/sh': `=${'base '.repeat(60_000)}`, 'etc/passwd': '=root:x:0:0::/:/bin/sh\n' }

let runs = 0
const executor: Executor = { ...writingExecutor, run: (request) => (runs++, writingExecutor.run(request)) }

interface Input {
  readonly dockerfile: string
  readonly context: TreeText
}

function buildIn(store: Store, { dockerfile, context }: Input) {
  return build({
    store,
    env: fixedEnv,
    context: treeOf(context),
    dockerfile: { text: dockerfile },
    executor,
    tags: ['app'],
  })
}

/** What a build gives where nothing goes wrong. */
async function expectedOf(input: Input) {
  const store = createMemoryStore({ env: fixedEnv })
  await addImage(store, 'base:latest', BASE)
  return (await buildIn(store, input)).image
}

const APP = refNameOf('app')

/** Builds; promises the image; a rebuild must find all of it, whatever happened before. */
function buildWork(input: Input): Work {
  const expected = expectedOf(input)
  return async (store, promised) => {
    const image = await expected
    promised.images.add(APP)
    promised.pending.set(APP, image)
    const built = await buildIn(store, input)
    expect(built.image).toEqual(image)
    promised.refs.set(APP, image)
    promised.pending.delete(APP)
    const before = runs
    expect((await buildIn(store, input)).image).toEqual(image)
    expect(runs).toBe(before)
  }
}

/** The base image, promised. */
async function withBase(store: Store, promised: Promised): Promise<void> {
  await addImage(store, 'base:latest', BASE)
  promised.refs.set('base:latest', await store.refs.get('base:latest'))
  promised.images.add('base:latest')
}

async function withBuild(store: Store, promised: Promised): Promise<void> {
  await withBase(store, promised)
  await buildWork({ dockerfile: WITH_RUN, context: BEFORE })(store, promised)
}

const later = () => Date.now() + 24 * 3_600_000

/** `lamella gc`. */
async function collect(store: Store): Promise<void> {
  const plan = await planGc(store, { nowMs: later(), keep: await cacheRoots(store) })
  await applyGc(store, plan, { nowMs: later() })
}

/** An archive as docker 25 saves it, with a layer that is compressed. */
async function archive(): Promise<Uint8Array> {
  const store = createMemoryStore({ env: fixedEnv })
  await addImage(store, 'loaded:latest', { 'x/y': `=${'y'.repeat(300_000)}`, z: '=z' })
  const target = (await store.refs.get('loaded:latest'))!
  const chunks: Uint8Array[] = []
  const saved = saveArchive(store, [{ descriptor: target, names: ['loaded:latest'] }], {
    format: 'oci-archive',
    compression: 'gzip',
  })
  for await (const chunk of saved) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const WORKS: Record<string, { readonly before: Work; readonly work: Work }> = {
  'a build of COPY': {
    before: withBase,
    work: buildWork({ dockerfile: COPY_ONLY, context: BEFORE }),
  },
  'a build with RUN': {
    before: withBase,
    work: buildWork({ dockerfile: WITH_RUN, context: BEFORE }),
  },
  'a rebuild after a change': {
    before: withBuild,
    work: buildWork({ dockerfile: WITH_RUN, context: AFTER }),
  },
  load: {
    before: withBase,
    async work(store, promised) {
      const bytes = await archive()
      const name = 'loaded:latest'
      promised.images.add(name)
      promised.pending.set(name, await loadedTarget)
      const [loaded] = await loadArchive(store, piecesOf(bytes))
      expect(loaded!.names).toEqual([name])
      promised.refs.set(name, loaded!.descriptor)
      promised.pending.delete(name)
    },
  },
  'rmi, prune and gc': {
    before: withBuild,
    async work(store, promised) {
      await setRef(store, promised, APP, undefined)
      const plan = planPrune(await listCacheRecords(store), [{ all: true }], {
        nowMs: later(),
        space: { total: 1e12, free: 1e12 },
      })
      await pruneCache(store, plan)
      await collect(store)
      expect(await listCacheRecords(store)).toEqual([])
    },
  },
  'a build after its cache was pruned': {
    before: async (store, promised) => {
      await withBuild(store, promised)
      await WORKS['rmi, prune and gc']!.work(store, promised)
    },
    work: buildWork({ dockerfile: WITH_RUN, context: BEFORE }),
  },
}

const loadedTarget = archive().then(async (bytes) => {
  const [loaded] = await loadArchive(createMemoryStore({ env: fixedEnv }), piecesOf(bytes))
  return loaded!.descriptor
})

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000)
}

let trials = 0
let changes = 0
afterAll(() => console.info(`build faults: ${trials} trials at ${changes} changes`))

describe.each(Object.entries(WORKS))('%s', (_, { work, before }) => {
  test('stopped at every change: killed, or the power cut', async () => {
    const count = await countChanges(work, 'full', before)
    changes += count
    for (let at = 1; at <= count; at++) {
      for (const crash of ['lost', 'kept', at] as const) {
        await trial({ work, before, fault: { kind: 'stop', at }, crash, durability: 'full' })
        trials++
      }
    }
    expect(count).toBeGreaterThan(5)
  })

  test('every change fails once: the disk is full, broken, or read-only', async () => {
    const count = await countChanges(work, 'full', before)
    for (let at = 1; at <= count; at++) {
      const code = ['ENOSPC', 'EIO', 'EROFS'][at % 3]!
      await trial({ work, before, fault: { kind: 'fail', at, code }, crash: 'kept', durability: 'full' })
      trials++
    }
  })
})
