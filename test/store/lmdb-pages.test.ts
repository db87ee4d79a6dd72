// The reader of lmdb's data files beside lmdb itself, and what it makes of damaged ones.
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openDiskStore } from '../../src/store/index.js'
import { LmdbDamage } from '../../src/store/lmdb-format.js'
import { LmdbPages } from '../../src/store/lmdb-pages.js'
import { newestMeta } from '../../src/store/lmdb-records.js'
import { nodeFs } from '../../src/store/node-fs.js'
import { currentOwner } from '../../src/store/owner.js'
import { makeFolder } from './folder.js'

const lmdb = createRequire(import.meta.url)('lmdb') as typeof import('lmdb')
type Database = RootDatabase<Uint8Array, Uint8Array>

function openLmdb(path: string, noSync = true): Database {
  return lmdb.open({ path, encoding: 'binary', keyEncoding: 'binary', noSync })
}

const pagesOf = (folder: string, boot = currentOwner().boot) =>
  new LmdbPages(nodeFs, join(folder, 'data.mdb'), () => boot)

/** Seeded, for keys and values that differ from run to run by nothing. */
function dice(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const valueOf = (roll: (below: number) => number) =>
  Buffer.alloc(
    [roll(8), roll(300), 1000 + roll(4000), 20_000 + roll(50_000)][[0, 1, 1, 1, 1, 1, 2, 3][roll(8)]!]!,
    roll(256),
  )

/** A database with a history: puts, replacements and deletes in several transactions. */
async function makeDatabase(
  folder: string,
  seed: number,
  rounds = 6,
  noSync = true,
  edits = 300,
): Promise<Map<string, Buffer>> {
  const database = openLmdb(folder, noSync)
  const roll = dice(seed)
  const model = new Map<string, Buffer>()
  for (let round = 0; round < rounds; round++) {
    await database.transaction(() => {
      for (let i = 0; i < edits; i++) {
        const key = Buffer.from(`${'k'.repeat(1 + roll(60))}${roll(900)}`)
        if (roll(4) === 0) {
          void database.remove(key)
          model.delete(key.toString('latin1'))
        } else {
          const value = valueOf(roll)
          void database.put(key, value)
          model.set(key.toString('latin1'), value)
        }
      }
    })
  }
  await database.close()
  return model
}

const inOrder = (model: Map<string, Buffer>) =>
  [...model.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')))

describe('beside lmdb', () => {
  test.each([1, 2, 3, 4, 5, 6])('what lmdb wrote is what is read, seed %i', async (seed) => {
    const folder = makeFolder()
    const model = await makeDatabase(folder, seed, seed * 2, seed % 2 === 0)
    const pages = pagesOf(folder)
    pages.check()
    for (const [key, value] of model) expect(value.equals(pages.get(Buffer.from(key, 'latin1'))!)).toBe(true)
    for (const key of ['', 'a', 'kkk', 'zzz', 'k'.repeat(400)]) {
      expect(pages.get(Buffer.from(key)) !== undefined).toBe(model.has(key))
    }
    const keys = inOrder(model)
    expect([...pages.entries(new Uint8Array(0))].map(([key]) => Buffer.from(key).toString('latin1'))).toEqual(
      keys,
    )
    for (const start of ['kk', 'kkkk5', keys[17]!, 'zz']) {
      const got = [...pages.entries(Buffer.from(start))].map(([key]) => Buffer.from(key).toString('latin1'))
      expect(got).toEqual(
        keys.filter((key) => Buffer.compare(Buffer.from(key, 'latin1'), Buffer.from(start)) >= 0),
      )
    }
    pages.close()
  })

  test('law: any keys, any values', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(
            fc.uint8Array({ minLength: 1, maxLength: 500 }),
            fc.uint8Array({ maxLength: 6000, size: 'max' }),
          ),
          { maxLength: 60 },
        ),
        async (entries) => {
          const folder = makeFolder()
          const database = openLmdb(folder)
          const model = new Map<string, Uint8Array>()
          await database.transaction(() => {
            for (const [key, value] of entries) {
              void database.put(key, value)
              model.set(Buffer.from(key).toString('latin1'), value)
            }
          })
          await database.close()
          const pages = pagesOf(folder)
          pages.check()
          const read = [...pages.entries(new Uint8Array(0))]
          expect(read.map(([key]) => Buffer.from(key).toString('latin1'))).toEqual(
            [...model.keys()].toSorted((a, b) =>
              Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')),
            ),
          )
          for (const [key, value] of read) {
            expect(Buffer.compare(value, model.get(Buffer.from(key).toString('latin1'))!)).toBe(0)
          }
          pages.close()
        },
      ),
      { numRuns: 60 },
    )
  })

  test('a database without entries, and none at all', async () => {
    const folder = makeFolder()
    const pages = pagesOf(folder)
    expect(pages.get(Buffer.from('a'))).toBeUndefined()
    expect([...pages.entries(new Uint8Array(0))]).toEqual([])
    pages.check()
    const database = openLmdb(folder)
    expect(pages.get(Buffer.from('a'))).toBeUndefined()
    await database.put(Buffer.from('a'), Buffer.from('1'))
    expect(Buffer.from(pages.get(Buffer.from('a'))!).toString()).toBe('1')
    await database.remove(Buffer.from('a'))
    expect([...pages.entries(new Uint8Array(0))]).toEqual([])
    pages.check()
    await database.close()
    pages.close()
  })

  test('beside a writer each read is of one committed state', async () => {
    const folder = makeFolder()
    const database = openLmdb(folder)
    const pages = pagesOf(folder)
    const keys = Array.from({ length: 200 }, (_, i) => Buffer.from(`key${i}`))
    const put = (round: number) =>
      database.transaction(() => {
        for (const key of keys) void database.put(key, Buffer.alloc(100 + ((round * 37) % 9000), `${round}`))
      })
    await put(0)
    const state = { isDone: false }
    const writing = (async () => {
      for (let round = 1; round < 60; round++) await put(round)
      state.isDone = true
    })()
    let reads = 0
    for (let i = 0; !state.isDone; i = (i + 7) % keys.length) {
      const value = Buffer.from(pages.get(keys[i]!)!)
      const isOfOneRound = Array.from({ length: 60 }, (_, of) => of).some((of) =>
        value.equals(Buffer.alloc(100 + ((of * 37) % 9000), `${of}`)),
      )
      expect(isOfOneRound).toBe(true)
      pages.check()
      reads++
      await new Promise((next) => setImmediate(next))
    }
    await writing
    expect(reads).toBeGreaterThan(10)
    await database.close()
    pages.check()
    pages.close()
  })
})

/** Puts a page in the place of another. */
function movePage(bytes: Buffer, from: number, to: number): void {
  bytes.copyWithin(to * 4096, from * 4096, (from + 1) * 4096)
}

describe('damaged files', () => {
  /** What a reader answers, or that the file is damaged. Anything else, above all the end of the process, fails. */
  function answers(
    folder: string,
    keys: readonly string[],
  ): { readonly found: (string | undefined)[]; readonly isSound: boolean } {
    const pages = pagesOf(folder)
    const orDamage = <T>(read: () => T): T | undefined => {
      try {
        return read()
      } catch (error) {
        if (!(error instanceof LmdbDamage)) throw error
        return undefined
      }
    }
    const found = keys.map((key) => {
      const value = orDamage(() => pages.get(Buffer.from(key, 'latin1')))
      return value && Buffer.from(value).toString('latin1')
    })
    orDamage(() => [...pages.entries(new Uint8Array(0))].length)
    const isSound = orDamage(() => (pages.check(), true)) === true
    pages.close()
    return { found, isSound }
  }

  test('every bit of the metas, and of a page of each kind, flipped', { timeout: 300_000 }, async () => {
    const folder = makeFolder()
    const model = await makeDatabase(folder, 3, 3, true, 60)
    const keys = inOrder(model).filter((_, i) => i % 30 === 0)
    const path = join(folder, 'data.mdb')
    const whole = readFileSync(path)
    const kinds = new Map<number, number>()
    for (let page = 2; page * 4096 < whole.length; page++) {
      kinds.set(whole.readUInt16LE(page * 4096 + 18) & 7, page)
    }
    expect([...kinds.keys()]).toEqual(expect.arrayContaining([1, 2, 4]))
    const places = [...kinds.values()].flatMap((page) =>
      Array.from({ length: 40 }, (_, i) => page * 4096 + i),
    )
    const metas = [0, 4096].flatMap((at) => Array.from({ length: 170 }, (_, i) => at + i))
    const fd = openSync(path, 'r+')
    let flips = 0
    for (const at of [...metas, ...places]) {
      for (let bit = 0; bit < 8; bit++, flips++) {
        writeSync(fd, Uint8Array.of(whole[at]! ^ (1 << bit)), 0, 1, at)
        answers(folder, keys)
      }
      writeSync(fd, whole, at, 1, at)
    }
    closeSync(fd)
    expect(answers(folder, keys).isSound).toBe(true)
    expect(flips).toBeGreaterThan(3500)
  })

  test('what the check passes, lmdb can read and write', { timeout: 300_000 }, async () => {
    const folder = makeFolder()
    await makeDatabase(folder, 9, 4, true, 60)
    const path = join(folder, 'data.mdb')
    const whole = readFileSync(path)
    const roll = dice(77)
    const passed: string[] = []
    let refused = 0
    for (let trial = 0; trial < 400; trial++) {
      const bytes = Buffer.from(whole)
      const pages = bytes.length / 4096
      for (let i = 0; i <= roll(3); i++) {
        if (roll(3) === 0) movePage(bytes, 2 + roll(pages - 2), 2 + roll(pages - 2))
        else
          bytes[roll(5) === 0 ? roll(2) * 4096 + roll(170) : 8192 + roll(bytes.length - 8192)]! ^=
            1 << roll(8)
      }
      writeFileSync(path, bytes)
      if (!answers(folder, []).isSound) {
        refused++
        continue
      }
      if (passed.length === 60) continue
      const copy = makeFolder()
      copyFileSync(path, join(copy, 'data.mdb'))
      passed.push(copy)
    }
    expect(refused).toBeGreaterThan(40)
    expect(passed.length).toBeGreaterThan(20)
    const script = `
      const lmdb = require(${JSON.stringify(createRequire(import.meta.url).resolve('lmdb'))})
      void (async () => {
        for (const path of ${JSON.stringify(passed)}) {
          const database = lmdb.open({ path, encoding: 'binary', keyEncoding: 'binary', noSync: true })
          for (const { value } of database.getRange()) Buffer.from(value)
          await database.transaction(() => {
            for (let i = 0; i < 200; i++) void database.put(Buffer.from('k' + i), Buffer.alloc(i * 60, i))
            for (let i = 0; i < 900; i += 2) void database.remove(Buffer.from('kk' + i))
          })
          await database.close()
        }
        console.log('done')
      })()`
    const { stdout, stderr, signal } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
    expect({ stdout, signal, stderr }).toMatchObject({ stdout: 'done\n', signal: null })
  })

  // A value that comes and goes in one transaction is given pages that are never written.
  test('a file that ends before the last page its meta counts is sound', async () => {
    let short = 0
    for (let seed = 1; seed <= 8; seed++) {
      const folder = makeFolder()
      const database = openLmdb(folder)
      const roll = dice(seed)
      const file = join(folder, 'data.mdb')
      for (let round = 0; round < 40; round++) {
        await database.transaction(() => {
          for (let i = roll(10); i >= 0; i--) {
            const key = Buffer.from(`k${roll(40)}`)
            if (roll(5) < 2) void database.remove(key)
            else void database.put(key, Buffer.alloc(roll(3) === 0 ? roll(100_000) : roll(3000)))
          }
        })
        if (newestMeta(readFileSync(file))!.neededBytes <= statSync(file).size) continue
        short++
        pagesOf(folder).check()
        const copy = makeFolder()
        copyFileSync(file, join(copy, 'data.mdb'))
        const other = openLmdb(copy)
        for (let i = 0; i < 40; i++) await other.put(Buffer.from(`k${i}`), Buffer.alloc(roll(100_000), i))
        for (let i = 0; i < 40; i++)
          expect(other.get(Buffer.from(`k${i}`))?.every((byte) => byte === i)).toBe(true)
        await other.close()
        pagesOf(copy).check()
      }
      await database.close()
    }
    expect(short).toBeGreaterThan(0)
  })

  test('every cut is a damage, or the same', async () => {
    const folder = makeFolder()
    const model = await makeDatabase(folder, 5, 2)
    const keys = inOrder(model).filter((_, i) => i % 100 === 0)
    const path = join(folder, 'data.mdb')
    for (let size = statSync(path).size; size >= 0; size -= 1 + (size > 10_000 ? 3777 : 100)) {
      truncateSync(path, size)
      answers(folder, keys)
    }
  })
})

describe('after another boot', () => {
  test('a state is used only when its pages were synced', async () => {
    const folder = makeFolder()
    const database = openLmdb(folder, false)
    await database.put(Buffer.from('a'), Buffer.from('1'))
    await database.flushed
    await database.close()
    for (const boot of [currentOwner().boot, '12345678-0000', '']) {
      const pages = pagesOf(folder, boot)
      expect(Buffer.from(pages.get(Buffer.from('a'))!).toString()).toBe('1')
      pages.close()
    }
  })
})

describe('a store whose index has no seal, as a killed writer leaves it', () => {
  /** Bytes where a flip hurts most: metas, headers of pages, node tables. */
  function flipStructure(bytes: Buffer, roll: (below: number) => number): void {
    const page = roll(bytes.length / 4096)
    const at = page < 2 ? page * 4096 + roll(170) : page * 4096 + roll(roll(2) === 0 ? 64 : 4096)
    bytes[at]! ^= 1 << roll(8)
  }

  test(
    'a flipped bit makes no reader, fsck or writer die, nor read anything else',
    { timeout: 300_000 },
    async () => {
      const folder = makeFolder()
      const value = (i: number) => Buffer.alloc(i % 7 === 0 ? 9000 : 150, `value ${i}`)
      {
        await using store = await openDiskStore(folder, { durability: 'none' })
        for (let round = 0; round < 4; round++) {
          await store.records.write({
            put: Array.from({ length: 150 }, (_, i) => [`key${i}`, value(i)] as const),
            delete: [`key${round}`],
          })
        }
      }
      const [data, seal, recent] = ['data.mdb', 'seal', 'recent'].map((name) =>
        join(folder, 'lamella/records', name),
      )
      rmSync(seal!)
      const whole = readFileSync(data!)
      const roll = dice(4)
      const counts = { sound: 0, found: 0, lost: 0 }
      for (let trial = 0; trial < 250; trial++) {
        const bytes = Buffer.from(whole)
        for (let i = 0; i <= trial % 3; i++) flipStructure(bytes, roll)
        writeFileSync(data!, bytes)
        rmSync(recent!, { force: true })
        rmSync(seal!, { force: true })
        let lost = 0
        {
          await using reader = await openDiskStore(folder, { durability: 'none' })
          for (let i = 4; i < 150; i++) {
            const read = reader.records.get(`key${i}`)
            if (read === undefined) lost++
            else expect(value(i).equals(read)).toBe(true)
          }
          const listed = [...reader.records.keys('key')].length
          const problems = await reader.audit!()
          if (lost > 0 || listed !== 150)
            expect(problems.map(({ code }) => code).join()).toMatch(/RECORDS?_DAMAGED/)
          counts[problems.length === 0 ? 'sound' : 'found']++
          if (lost > 0) counts.lost++
        }
        {
          await using writer = await openDiskStore(folder, { durability: 'none' })
          await writer.records.write({ put: [['new', Buffer.from('1')]], delete: ['key9'] })
          expect(Buffer.from(writer.records.get('new')!).toString()).toBe('1')
          expect(writer.records.get('key9')).toBeUndefined()
        }
        await using after = await openDiskStore(folder, { durability: 'none' })
        expect(Buffer.from(after.records.get('new')!).toString()).toBe('1')
      }
      console.log(`flips without a seal: ${JSON.stringify(counts)}`)
      expect(counts.lost).toBeGreaterThan(10)
    },
  )
})
