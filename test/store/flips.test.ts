// Whatever byte of whatever file of a store is flipped, whatever file is cut or gone: nothing reads as other than it was
// without a finding of fsck or a typed error, nothing crashes, and the store can be repaired or rebuilt.
import {
  closeSync,
  cpSync,
  chmodSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build } from '../../src/builder/index.js'
import { MEDIA_TYPES } from '../../src/descriptor.js'
import { digestOf, diffIDOfUncompressed } from '../../src/digest.js'
import { LamellaError } from '../../src/errors.js'
import { readImage, writeImage } from '../../src/oci/index.js'
import {
  checkStore,
  openDiskStore,
  readBlob,
  repairStore,
  type Problem,
  type Store,
} from '../../src/store/index.js'
import { encodeLayer, diffTrees, EMPTY_TREE, openTree } from '../../src/unionfs/index.js'
import { addImage, fixedEnv, treeOf, writingExecutor } from '../builder/fixtures.js'
import { Dice, SEED } from '../chance.js'
import { tempFolder } from './folder.js'

const folder = tempFolder()
const pristine = tempFolder()
afterAll(() => {
  for (const path of [folder, pristine]) rmSync(path, { recursive: true, force: true })
})

const INPUT = {
  env: fixedEnv,
  context: treeOf({ a: '=1', 'd/b': `=${'b'.repeat(9000)}` }),
  dockerfile: { text: 'FROM base\nCOPY . /app\nRUN --mount=type=cache,target=/c write /out made\n' },
  executor: writingExecutor,
  tags: ['app'],
}

/** Values by name; an error by its code. */
type State = Map<string, string>

let before: State
let files: string[]
let image: string
let trials = 0
let foundCount = 0

beforeAll(async () => {
  const store = await openDiskStore(folder)
  await addImage(store, 'base:latest', {
    'bin/sh': `=${'sh'.repeat(700_000)}`,
    'etc/passwd': '=root:x:0:0::/:',
  })
  image = (await build({ ...INPUT, store })).image.digest
  // A layer that came in compressed, with its uncompressed form.
  const tar = Buffer.concat([...encodeLayer(diffTrees(EMPTY_TREE, treeOf({ z: '=zzz' })))])
  const { digest, size } = await store.blobs.put(gzipSync(tar))
  const layer = {
    descriptor: { mediaType: MEDIA_TYPES.layerGzip, digest, size },
    diffID: diffIDOfUncompressed(digestOf(tar)),
  }
  const config = {
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: { type: 'layers' as const, diff_ids: [layer.diffID] },
  }
  const packed = await writeImage(store.blobs, { config, layers: [layer] })
  await store.refs.set('packed', packed.descriptor)
  await openTree(store, [layer])
  const lease = await store.leases.create()
  await store.leases.add(lease.id, [digest])
  await store.documents.change((edit) => edit.put('container', 'c', { name: 'c' }, [digest]))
  await store.close()
  // Read once by a process that did not write it: so that sums are there, too.
  before = await lookAt(folder)
  files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort()
  cpSync(folder, pristine, { recursive: true })
})

async function lookAt(path: string): Promise<State> {
  const store = await openDiskStore(path, { durability: 'none' })
  try {
    return await stateOf(store)
  } finally {
    await store.close()
  }
}

/** Everything that can be asked for. */
async function stateOf(store: Store): Promise<State> {
  const state: State = new Map()
  const note = async (key: string, read: () => unknown) => state.set(key, await valueOf(read))
  await note('refs', () => store.refs.list())
  await note('untagged', () => store.refs.untagged())
  await note('leases', () => store.leases.list())
  await note('documents', () => store.documents.list('container'))
  for (const name of ['app:latest', 'base:latest', 'packed']) {
    await note(`history ${name}`, () => store.refs.history(name))
    const layers = await readLayers(store, name)
    if (!Array.isArray(layers)) {
      state.set(`image ${name}`, layers)
      continue
    }
    await note(`image ${name}`, () => layers)
    try {
      for (const { path, node } of (await openTree(store, layers)).walk()) {
        await note(`${name} ${path}`, () => [
          node.kind,
          node.mode,
          node.mtimeSec,
          node.kind === 'file' ? digestOf(node.content()) : node.target,
        ])
      }
    } catch (error) {
      state.set(`tree ${name}`, codeOf(error))
    }
  }
  for (const key of keysOf(store))
    await note(`record ${key}`, () => Buffer.from(store.records.get(key) ?? []).toString('hex'))
  for await (const { digest } of store.blobs.list())
    await note(`blob ${digest}`, async () => digestOf(await readBlob(store.blobs, digest)))
  return state
}

function keysOf(store: Store): string[] {
  return [...store.records.keys('')]
}

async function readLayers(store: Store, name: string) {
  try {
    const target = await store.refs.get(name)
    if (target === undefined) return 'absent'
    return [...(await readImage(store.blobs, target)).layers]
  } catch (error) {
    return codeOf(error)
  }
}

async function valueOf(read: () => unknown): Promise<string> {
  try {
    return JSON.stringify(await read(), (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    )
  } catch (error) {
    return codeOf(error)
  }
}

/** @throws what is no typed error */
function codeOf(error: unknown): string {
  if (error instanceof LamellaError) return `error ${error.code}`
  throw error
}

interface Outcome {
  readonly state: State
  readonly problems: readonly Problem[]
  /** The store could not be opened. */
  readonly refused: string | undefined
}

async function inspect(): Promise<Outcome> {
  let store: Store
  try {
    store = await openDiskStore(folder, { durability: 'none', create: false })
  } catch (error) {
    return { state: new Map(), problems: [], refused: codeOf(error) }
  }
  try {
    const problems = (await checkStore(store)).filter(({ severity }) => severity !== 'note')
    return { state: await stateOf(store), problems, refused: undefined }
  } finally {
    await store.close()
  }
}

/** Nothing reads as another value; what is not as it was was found. */
function judge(place: string, { state, problems, refused }: Outcome, removed?: string): void {
  trials++
  if (refused !== undefined || problems.length > 0) foundCount++
  if (refused !== undefined) return
  const changed: string[] = []
  for (const [key, value] of before) {
    // A blob that is gone, and that nothing needs, is no damage.
    if (removed !== undefined && key === `blob sha256:${removed}`) continue
    if (state.get(key) !== value) changed.push(`${key}: ${state.get(key)}`)
  }
  for (const key of state.keys()) if (!before.has(key)) changed.push(`new ${key}`)
  if (problems.length === 0) expect(changed, `${place}: no finding`).toEqual([])
  // A name or its history may have changed with its index; what is under a digest or key never does.
  for (const [key, value] of state) {
    if (!/^(blob|record|app:latest|base:latest|packed) /.test(key) || !before.has(key)) continue
    if (value !== before.get(key)) expect(value, `${place}: ${key}`).toMatch(/^error |^""$/)
  }
}

function restore(path: string): void {
  rmSync(join(folder, path), { force: true })
  cpSync(join(pristine, path), join(folder, path))
}

function flip(path: string, at: number, bits: number): void {
  const file = join(folder, path)
  const { mode } = statSync(file)
  chmodSync(file, 0o644)
  const fd = openSync(file, 'r+')
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, at)
  byte[0]! ^= bits
  writeSync(fd, byte, 0, 1, at)
  closeSync(fd)
  chmodSync(file, mode)
}

/** What fsck must say of a damaged file of this kind; nothing for what it cannot harm. */
function mustFind(path: string): RegExp | undefined {
  if (path.startsWith('blobs/')) return /BLOB_DAMAGED/
  if (path.endsWith('data.mdb')) return /RECORDS_DAMAGED/
  if (path.startsWith('lamella/sidecars/')) return /SIDECAR_DAMAGED/
  if (path.startsWith('lamella/documents/')) return /DOCUMENT_DAMAGED/
  return undefined
}

const dice = new Dice(SEED)

describe('every file of a store', () => {
  test('one byte flipped, at random places', async () => {
    for (const path of files) {
      const { size } = statSync(join(folder, path))
      if (size === 0) continue
      const count = path.endsWith('data.mdb') ? 40 : 8
      const places = [0, size - 1, ...Array.from({ length: count }, () => dice.below(size))]
      for (const at of places) {
        const bits = 1 + dice.below(255)
        flip(path, at, bits)
        const outcome = await inspect().finally(() => restore(path))
        const place = `${path}, byte ${at} of ${size} ^ ${bits}`
        judge(place, outcome)
        const codes = outcome.problems.map(({ code }) => code).join()
        if (mustFind(path) !== undefined) expect(codes, place).toMatch(mustFind(path)!)
      }
    }
    expect(await lookAt(folder)).toEqual(before)
    expect(foundCount).toBeGreaterThan(100)
  })

  test.each(['cut in half', 'emptied', 'removed'])('%s', async (how) => {
    for (const path of files) {
      const file = join(folder, path)
      const { size } = statSync(file)
      if (how === 'removed') rmSync(file)
      else {
        chmodSync(file, 0o644)
        truncateSync(file, how === 'emptied' ? 0 : size >> 1)
      }
      const outcome = await inspect().finally(() => restore(path))
      // The end of a log, or a document, that is gone looks as if it had never been written.
      if (/^lamella.(leases|reflog)/.test(path)) continue
      if (how === 'removed' && path.startsWith('lamella/documents/')) continue
      judge(`${path} ${how}`, outcome, how === 'removed' ? path.slice(-64) : undefined)
    }
  })
})

test('repair, and a build, after all that is derived was damaged at once', async () => {
  for (const path of files) {
    // The seal of the cache index says what it was: without it only what is read of it is found damaged.
    const isDerived = /^lamella\/(records|sidecars)\//.test(path) && !path.endsWith('/seal')
    if (isDerived && statSync(join(folder, path)).size > 0)
      flip(path, statSync(join(folder, path)).size >> 1, 0x10)
  }
  const store = await openDiskStore(folder, { durability: 'none' })
  const found = (await checkStore(store)).filter(({ severity }) => severity !== 'note')
  expect(found.map(({ code }) => code)).toEqual(
    expect.arrayContaining(['RECORDS_DAMAGED', 'SIDECAR_DAMAGED']),
  )
  expect((await repairStore(store, found)).left).toEqual([])
  expect((await checkStore(store)).filter(({ severity }) => severity !== 'note')).toEqual([])
  // Its cache is gone, and is made again: the image is the same.
  for (let i = 0; i < 2; i++) expect((await build({ ...INPUT, store })).image.digest).toBe(image)
  await store.close()
  console.info(`flips: ${trials} damaged files, ${foundCount} of them found by fsck or refused`)
})
