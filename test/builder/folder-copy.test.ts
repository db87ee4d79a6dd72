// COPY of a host folder by what has changed: the layer is byte for byte that of a build that copies everything, and what
// has not changed is not read again.
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { build, type BuildOptions } from '../../src/builder/build.js'
import { COPY_RECORD_KIND, decodeCopyRecord, encodeCopyRecord } from '../../src/builder/copy-record.js'
import { BuildError } from '../../src/errors.js'
import { createMemoryStore, openDiskStore, type Store } from '../../src/store/index.js'
import { openTree } from '../../src/unionfs/index.js'
import { runs } from '../chance.js'
import { addImage, countingStore, fixedEnv, textOf, writingExecutor, type TreeText } from './fixtures.js'

const FILES = 240
const at = (i: number) => `part${Math.floor(i / 20)}/f${i}`
const BASE: TreeText = {
  'srv/app/part1/f11': '=below',
  'srv/app/part2/': '700',
  'srv/app/kept': '=kept',
  'srv/link': '->app',
  'usr/one': '=linked',
  'usr/two': 'same=usr/one',
}

/** Twelve folders of twenty files, and some of the other kinds. */
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-folder-copy-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (let i = 0; i < FILES; i++) {
    const dir = join(folder, `part${Math.floor(i / 20)}`)
    if (i % 20 === 0) mkdirSync(dir)
    writeFileSync(join(dir, `f${i}`), `content ${i}\n`.repeat(i % 90))
  }
  mkdirSync(join(folder, 'part3/deep/deeper'), { recursive: true })
  writeFileSync(join(folder, 'part3/deep/deeper/leaf'), 'leaf')
  writeFileSync(join(folder, `part4/${'long-name-'.repeat(20)}`), 'needs a PAX record')
  writeFileSync(join(folder, 'part4/ünïcode'), 'needs one too')
  symlinkSync('../part1/f20', join(folder, 'part5/link'))
  mkdirSync(join(folder, 'empty'))
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) settle(join(folder, path))
  return folder
}

/** A time that shows that nothing has happened here. */
const settle = (path: string): void => lutimesSync(path, 1_500_000_000, 1_500_000_000)

function writeOriginal(folder: string, i: number): void {
  writeFileSync(join(folder, at(i)), `content ${i}\n`.repeat(i % 90))
  settle(join(folder, at(i)))
}

async function run(store: Store, context: string, text: string, options: Partial<BuildOptions> = {}) {
  return build({ store, context, dockerfile: { text }, env: fixedEnv, executor: writingExecutor, ...options })
}

/** The image, or why there is none: a file of the folder may come to stand over a directory of the base. */
async function outcome(store: Store, context: string, text: string): Promise<unknown> {
  try {
    return (await run(store, context, text)).image
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    return { code: error.code, message: error.message, data: error.data }
  }
}

async function storeWithBase(folder?: string): Promise<Store> {
  const store = createMemoryStore({ env: fixedEnv })
  await addImage(store, 'base:latest', BASE)
  if (folder !== undefined)
    await run(store, folder, 'FROM scratch\nWORKDIR /srv/app\nCOPY . .', { tags: ['itself'] })
  return store
}

/** A store that caches as all do, but in which every copy copies everything. */
async function storeWithoutRecords(folder: string): Promise<Store> {
  const store = await storeWithBase(folder)
  const { sidecars } = store
  const get: Store['sidecars']['get'] = (kind, key) =>
    kind === COPY_RECORD_KIND ? undefined : sidecars.get(kind, key)
  return Object.create(store, {
    sidecars: { value: Object.create(sidecars, { get: { value: get } }) as Store['sidecars'] },
  }) as Store
}

/** A build in a store that knows nothing. */
async function cold(context: string, text: string, options: Partial<BuildOptions> = {}) {
  return run(await storeWithBase(), context, text, options)
}

const DOCKERFILES = {
  'onto nothing': 'FROM scratch\nCOPY . .',
  'into a folder that is made': 'FROM scratch\nWORKDIR /a/b\nCOPY . .',
  'a folder of it': 'FROM scratch\nCOPY part3 /x/y/',
  'with owner and mode': 'FROM scratch\nCOPY --chown=12:34 --chmod=640 . /app',
  'with a symbolic mode': 'FROM scratch\nCOPY --chmod=g+w,o-r . /app',
  'onto what is there': 'FROM base\nCOPY . /srv/app/',
  'onto itself': 'FROM itself\nCOPY . /srv/app/',
  'onto itself, at the root': 'FROM scratch\nCOPY part1 .\nCOPY . .',
  'through a link of the base': 'FROM base\nCOPY . /srv/link/',
  'beside hard links': 'FROM base\nCOPY . /usr/',
  'as a layer of its own': 'FROM base\nCOPY --link . /srv/app/',
  ADD: 'FROM base\nADD . /srv/app/',
  'after other copies': 'FROM scratch\nWORKDIR /w\nCOPY part1 part1\nCOPY . .',
  'with a RUN behind it': 'FROM base\nCOPY . /srv/app/\nRUN write /srv/app/part1/out x',
  'under an ignore file': 'FROM scratch\nCOPY . .',
} as const

type Edit = (folder: string) => void

let ticks = 0

/** Content that was never there: what differs in times alone is a hit, with the layer that is there. */
function tick(folder: string): void {
  for (const dir of ['.', 'part3']) {
    writeFileSync(join(folder, dir, 'tick'), `tick ${ticks++}`)
    settle(join(folder, dir))
  }
}

const EDITS: Readonly<Record<string, Edit>> = {
  'a longer file': (folder) => appendFileSync(join(folder, at(30)), 'more'),
  'two files of a folder': (folder) => {
    for (const i of [121, 122]) writeFileSync(join(folder, at(i)), 'new')
  },
  'one of them as it was': (folder) => writeOriginal(folder, 121),
  'both of them as they were': (folder) => writeOriginal(folder, 122),
  'a new file in a folder that looks the same': (folder) => {
    writeFileSync(join(folder, 'part6/new'), 'new')
    settle(join(folder, 'part6'))
  },
  'a file gone from a folder that looks the same': (folder) => {
    rmSync(join(folder, 'part6/new'))
    settle(join(folder, 'part6'))
  },
  'the same size': (folder) => writeFileSync(join(folder, at(1)), 'CONTENT 1\n'),
  'a mode': (folder) => chmodSync(join(folder, at(31)), 0o755),
  'a time': (folder) => utimesSync(join(folder, at(32)), 1_000_000, 1_000_000),
  'a time, a second before 1970': (folder) => utimesSync(join(folder, at(33)), -1.5, -1.5),
  'a new file': (folder) => writeFileSync(join(folder, 'part2/f4zz'), 'new'),
  'a new file at the end': (folder) => writeFileSync(join(folder, 'zzz'), 'last'),
  'a new folder': (folder) => {
    mkdirSync(join(folder, 'part2/new/below'), { recursive: true })
    writeFileSync(join(folder, 'part2/new/below/file'), 'new')
  },
  'a file gone': (folder) => rmSync(join(folder, at(45))),
  'a file gone that the base has too': (folder) => rmSync(join(folder, 'part1/f21')),
  'a folder gone': (folder) => rmSync(join(folder, 'part6'), { recursive: true }),
  'a file under another name': (folder) => renameSync(join(folder, at(50)), join(folder, 'part2/renamed')),
  'a folder under another name': (folder) => renameSync(join(folder, 'part7'), join(folder, 'part77')),
  "a folder's mode": (folder) => chmodSync(join(folder, 'part2'), 0o711),
  "a folder's time": (folder) => utimesSync(join(folder, 'part8'), 5, 5),
  'a link elsewhere': (folder) => {
    rmSync(join(folder, 'part5/link'))
    symlinkSync('f101', join(folder, 'part5/link'))
  },
  'nothing of the folder': () => {},
  'much of it': (folder) => {
    for (let i = 0; i < FILES; i += 2) attempt(() => writeFileSync(join(folder, at(i)), `other ${i}`))
  },
  'an ignore file': (folder) => writeFileSync(join(folder, '.dockerignore'), 'part10\n**/f11*\n!part5\n'),
  'a file that becomes a folder': (folder) => {
    rmSync(join(folder, at(60)))
    mkdirSync(join(folder, at(60)))
    writeFileSync(join(folder, at(60), 'inside'), 'x')
  },
  'a folder that becomes a file': (folder) => {
    rmSync(join(folder, 'part3/deep'), { recursive: true })
    writeFileSync(join(folder, 'part3/deep'), 'flat')
  },
  'a hard link': (folder) => linkSync(join(folder, at(70)), join(folder, 'part9/linked')),
}

describe('a copy of what has changed gives the layers of a copy of everything', () => {
  for (const [name, dockerfile] of Object.entries(DOCKERFILES)) {
    test(`${name}: one change after the other`, async () => {
      const folder = makeFolder()
      if (name === 'under an ignore file') writeFileSync(join(folder, '.dockerignore'), 'part1*\n!part11\n')
      const [store, other] = [await storeWithBase(folder), await storeWithoutRecords(folder)]
      for (const each of [store, other]) await run(each, folder, dockerfile)
      for (const [what, edit] of Object.entries(EDITS)) {
        edit(folder)
        tick(folder)
        const warm = await outcome(store, folder, dockerfile)
        expect(warm, what).toEqual(await outcome(other, folder, dockerfile))
      }
    })
  }

  test('law: after any changes in any order', async () => {
    const names = Object.keys(EDITS)
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.values(DOCKERFILES)),
        fc.array(fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }), {
          minLength: 2,
          maxLength: 4,
        }),
        async (dockerfile, rounds) => {
          const folder = makeFolder()
          const [store, other] = [await storeWithBase(folder), await storeWithoutRecords(folder)]
          for (const each of [store, other]) await run(each, folder, dockerfile)
          for (const edits of rounds) {
            for (const edit of edits) attempt(() => EDITS[edit]!(folder))
            tick(folder)
            const warm = await outcome(store, folder, dockerfile)
            expect(warm).toEqual(await outcome(other, folder, dockerfile))
          }
        },
      ),
      { numRuns: runs(15) },
    )
  })
})

/** An edit may have nothing left to work on. */
function attempt(edit: () => void): void {
  try {
    edit()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
  }
}

describe('what a copy of what has changed does and does not do', () => {
  const TEXT = 'FROM scratch\nWORKDIR /app\nCOPY . .'
  const lastLayer = (result: Awaited<ReturnType<typeof run>>) => result.layers.at(-1)!.descriptor.digest

  test('unchanged files come out of the earlier layer', async () => {
    const { store, counts } = countingStore()
    const folder = makeFolder()
    const first = await run(store, folder, TEXT)
    counts.reads.length = 0
    writeFileSync(join(folder, at(33)), 'changed')
    const second = await run(store, folder, TEXT)
    expect(counts.reads).toContain(lastLayer(first))
    expect(second.image).toEqual((await cold(folder, TEXT)).image)
    const tree = textOf(await openTree(store, second.layers), false)
    expect(tree[`app/${at(33)}`]).toBe('=changed')
    expect(tree[`app/${at(34)}`]).toBe(`=${'content 34\n'.repeat(34)}`)
  })

  test('a layer that gc took is not missed', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const folder = makeFolder()
    const first = await run(store, folder, TEXT)
    await store.blobs.delete(lastLayer(first))
    writeFileSync(join(folder, at(33)), 'changed')
    const second = await run(store, folder, TEXT)
    expect(second.image).toEqual((await cold(folder, TEXT)).image)
  })

  test('a layer that gc takes in the middle is not missed', async () => {
    const store = createMemoryStore({ env: fixedEnv })
    const folder = makeFolder()
    const first = await run(store, folder, TEXT)
    const { open } = store.blobs
    store.blobs.open = async (digest) => {
      const reader = await open!.call(store.blobs, digest)
      if (digest === lastLayer(first)) await store.blobs.delete(digest)
      return reader
    }
    writeFileSync(join(folder, at(33)), 'changed')
    const second = await run(store, folder, TEXT)
    expect(second.image).toEqual((await cold(folder, TEXT)).image)
  })

  test('a layer that was damaged on disk is not copied from', async () => {
    const folder = makeFolder()
    const path = mkdtempSync(join(tmpdir(), 'lamella-folder-copy-store-'))
    onTestFinished(() => rmSync(path, { recursive: true, force: true }))
    const before = await openDiskStore(path, { durability: 'none' })
    const first = await run(before, folder, TEXT)
    await before.close()
    const blob = join(path, 'blobs/sha256', lastLayer(first).slice(7))
    const bytes = readFileSync(blob)
    bytes[bytes.length >> 1]! ^= 1
    chmodSync(blob, 0o644)
    writeFileSync(blob, bytes)
    writeFileSync(join(folder, at(33)), 'changed')
    const store = await openDiskStore(path, { durability: 'none' })
    onTestFinished(() => store.close())
    expect((await run(store, folder, TEXT)).image).toEqual((await cold(folder, TEXT)).image)
  })

  test('another base, another folder, another operation: nothing of the earlier layer is taken', async () => {
    const { store, counts } = countingStore()
    const folder = makeFolder()
    const other = makeFolder()
    const first = await run(store, folder, TEXT)
    counts.reads.length = 0
    for (const [context, text] of [
      [other, TEXT],
      [folder, 'FROM scratch\nWORKDIR /app\nWORKDIR /app/more\nCOPY . .'],
      [folder, 'FROM scratch\nWORKDIR /app\nCOPY --chown=1:1 . .'],
      [folder, 'FROM scratch\nWORKDIR /app\nCOPY part3 .'],
    ] as const) {
      appendFileSync(join(context, at(33)), 'changed')
      expect((await run(store, context, text)).image).toEqual((await cold(context, text)).image)
    }
    expect(counts.reads).not.toContain(lastLayer(first))
  })

  test('a damaged record is no record', async () => {
    const folder = makeFolder()
    const store = createMemoryStore({ env: fixedEnv })
    await run(store, folder, TEXT)
    const [key] = await store.sidecars.list(COPY_RECORD_KIND)
    const bytes = store.sidecars.get(COPY_RECORD_KIND, key!)!
    for (const [what, damaged] of Object.entries({
      empty: new Uint8Array(0),
      cut: bytes.slice(0, -1),
      header: bytes.slice(0, 64),
      magic: Uint8Array.from(bytes, (byte, i) => (i === 0 ? byte ^ 1 : byte)),
      count: Uint8Array.from(bytes, (byte, i) => (i === 8 ? byte ^ 1 : byte)),
    })) {
      await store.sidecars.put(COPY_RECORD_KIND, key!, damaged)
      appendFileSync(join(folder, at(33)), what)
      expect((await run(store, folder, TEXT)).image, what).toEqual((await cold(folder, TEXT)).image)
    }
  })

  test('a conflict is the same error', async () => {
    const folder = makeFolder()
    const text = 'FROM base\nCOPY . /srv/app/'
    const store = createMemoryStore({ env: fixedEnv })
    await addImage(store, 'base:latest', BASE)
    await run(store, folder, text)
    rmSync(join(folder, 'part2'), { recursive: true })
    writeFileSync(join(folder, 'part2'), 'a file over a directory')
    const failure = await run(store, folder, text).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'COPY_CONFLICT' })
    expect(failure).toEqual(await cold(folder, text).catch((error: unknown) => error))
  })

  test('a small folder leaves no record', async () => {
    const folder = makeFolder()
    const store = createMemoryStore({ env: fixedEnv })
    await run(store, folder, 'FROM scratch\nCOPY part1 /')
    expect(await store.sidecars.list(COPY_RECORD_KIND)).toEqual([])
  })

  test('a record comes back as it was', async () => {
    const folder = makeFolder()
    const store = createMemoryStore({ env: fixedEnv })
    const result = await run(store, folder, TEXT)
    const [key] = await store.sidecars.list(COPY_RECORD_KIND)
    const bytes = store.sidecars.get(COPY_RECORD_KIND, key!)!
    const record = decodeCopyRecord(bytes)!
    expect(record.layer).toBe(result.layers.at(-1)!.diffID)
    expect(record.columns.count).toBeGreaterThan(FILES)
    expect(encodeCopyRecord(record)).toEqual(bytes)
    const unaligned = new Uint8Array(bytes.length + 1).subarray(1)
    unaligned.set(bytes)
    expect(decodeCopyRecord(unaligned)).toEqual(record)
  })
})
