// A process that builds, loads, saves, tags, prunes, collects and checks in one store, for build-processes.test.ts, which
// starts many and kills some. Says what was promised to it, a line of JSON each, on standard output; exits with an error
// when something that it got is not right.
import { createReadStream, mkdirSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { build, cacheRoots, listCacheRecords, pruneCache } from '../../src/builder/index.js'
import { functionsExecutor } from '../../src/builder/executors/functions.js'
import type { Digest } from '../../src/digest.js'
import { StoreError } from '../../src/errors.js'
import { loadArchive, readImage, saveArchive } from '../../src/oci/index.js'
import { applyGc, checkStore, openDiskStore, planGc, planPrune, type Store } from '../../src/store/index.js'
import { openTree } from '../../src/unionfs/index.js'

export type BuildWorkerLine =
  | { readonly kind: 'ready' }
  /** From now until `ref`, the name may point at an image with this `/result`, or at what it did before; `null`: at none. */
  | { readonly kind: 'intent'; readonly name: string; readonly result: string | null }
  | { readonly kind: 'ref'; readonly name: string; readonly result: string | null }
  | { readonly kind: 'did'; readonly what: string }
  | { readonly kind: 'done' }

const say = (line: BuildWorkerLine) => void writeSync(1, JSON.stringify(line) + '\n')

const [folder, lane, seedText, countText, durability] = process.argv.slice(2) as [
  string,
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

const DOCKERFILE = `FROM base AS made
COPY package /package
RUN --mount=type=cache,target=/cache install
FROM base
COPY --from=made /installed /installed
COPY . /app
RUN make
`

/** What the RUN lines do: their results are functions of what was copied, so that a wrong cache hit shows. */
const executor = functionsExecutor([
  {
    match: 'install',
    run: ({ fs }) => {
      fs.appendFileSync('/cache/log', 'x')
      fs.writeFileSync('/installed', `installed ${fs.readFileSync('/package', 'utf8') as string}`)
    },
  },
  {
    match: 'make',
    run: ({ fs }) => {
      const read = (path: string) => fs.readFileSync(path, 'utf8') as string
      fs.writeFileSync('/result', `${read('/installed')} ${read('/app/a')} ${read('/app/src/b')}`)
    },
  },
])

const text = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes)

async function resultOf(store: Store, digest: Digest): Promise<string | undefined> {
  const { layers } = await readImage(store.blobs, { ...(await targetOf(store, digest)) })
  return text((await openTree(store, layers)).lookup('result')?.content())
}

async function targetOf(store: Store, digest: Digest) {
  const info = await store.blobs.stat(digest)
  return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: info!.size }
}

/** Few variants of each file, so that builds find some of what others have built. */
async function buildOnce(store: Store, name: string): Promise<void> {
  const [pkg, a, b] = [`p${dice(3)}`, `a${dice(4)}`.repeat(20_000), `b${dice(1000)}`]
  const context = join(folder, `context-${lane}`)
  mkdirSync(join(context, 'src'), { recursive: true })
  for (const [path, content] of [
    ['package', pkg],
    ['a', a],
    ['src/b', b],
  ] as const) {
    writeFileSync(join(context, path), content)
  }
  const result = `installed ${pkg} ${a} ${b}`
  say({ kind: 'intent', name, result: short(result) })
  const built = await build({ store, context, dockerfile: { text: DOCKERFILE }, executor, tags: [name] })
  say({ kind: 'ref', name, result: short(result) })
  must(
    (await resultOf(store, built.image.digest)) === result,
    `${name} has another result than ${short(result)}`,
  )
}

/** Results are long so that layers are; their ends tell them apart. */
const short = (result: string) => `${result.slice(0, 14)} ${result.slice(-6)}`

function must(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what)
}

async function tag(store: Store, from: string, to: string): Promise<void> {
  const target = await store.refs.get(from)
  if (target === undefined) return
  const result = short((await resultOf(store, target.digest))!)
  say({ kind: 'intent', name: to, result })
  await store.refs.set(to, target)
  say({ kind: 'ref', name: to, result })
}

async function untag(store: Store, name: string): Promise<void> {
  say({ kind: 'intent', name, result: null })
  await store.refs.set(name, undefined)
  say({ kind: 'ref', name, result: null })
}

async function collect(store: Store): Promise<void> {
  await applyGc(store, await planGc(store, { graceMs: 0, keep: await cacheRoots(store) }))
}

async function prune(store: Store): Promise<void> {
  const space = { total: 1e12, free: 1e12 }
  await pruneCache(
    store,
    planPrune(await listCacheRecords(store), [{ all: true }], { nowMs: Date.now(), space }),
  )
  await collect(store)
}

async function save(store: Store, name: string): Promise<void> {
  const descriptor = await store.refs.get(name)
  if (descriptor === undefined) return
  let bytes = 0
  const saved = saveArchive(store, [{ descriptor, names: [name] }], { format: 'docker-archive' })
  for await (const chunk of saved) bytes += chunk.byteLength
  must(bytes > 1000, 'saved nothing')
}

async function check(store: Store): Promise<void> {
  const problems = await checkStore(store, { skipContent: true })
  must(
    problems.every(({ severity }) => severity === 'note'),
    JSON.stringify(problems.filter(({ severity }) => severity !== 'note')),
  )
}

/** One operation; what a prune by another process takes away under a build is an error that says so. */
async function step(store: Store): Promise<void> {
  const [own, other] = [`${lane}-${dice(2)}:latest`, `${lane}-tag${dice(2)}`]
  const what = dice(20)
  if (what < 9) await buildOnce(store, own)
  else if (what < 11) await tag(store, own, other)
  else if (what < 12) await untag(store, other)
  else if (what < 14) {
    await loadArchive(store, createReadStream(join(folder, 'archive.tar')))
    say({ kind: 'did', what: 'load' })
  } else if (what < 15) await save(store, own)
  else if (what < 17) await collect(store)
  else if (what < 18) await prune(store)
  else await check(store)
  say({ kind: 'did', what: String(what) })
}

const store = await openDiskStore(join(folder, 'store'), { durability })
say({ kind: 'ready' })
const count = Number(countText)
for (let at = 0; at < count; at++) {
  try {
    await step(store)
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'BLOB_NOT_FOUND') throw error
    say({ kind: 'did', what: `lost: ${error.message}` })
  }
}
await store.close()
say({ kind: 'done' })
