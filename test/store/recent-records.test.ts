// The file of recently asked records: it spares opening the database, and is never believed when that has moved on.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openDiskStore } from '../../src/store/index.js'
import { LmdbRecordStore } from '../../src/store/lmdb-records.js'

let path: string
beforeEach(() => void (path = join(mkdtempSync(join(tmpdir(), 'lamella-recent-')), 'store')))
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(dirname(path), { recursive: true, force: true })
})

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined) =>
  value === undefined ? undefined : new TextDecoder().decode(value)

async function write(
  entries: Readonly<Record<string, string>>,
  remove: readonly string[] = [],
): Promise<void> {
  await using store = await openDiskStore(path)
  const put = Object.entries(entries).map(([key, value]) => [key, bytes(value)] as const)
  await store.records.write({ put, delete: remove })
}

/** What the keys hold, and how many of them the database was asked for. */
async function ask(...keys: string[]): Promise<{ values: (string | undefined)[]; asked: number }> {
  await using store = await openDiskStore(path)
  const get = vi.spyOn(LmdbRecordStore.prototype, 'get')
  const values = keys.map((key) => text(store.records.get(key)))
  const asked = get.mock.calls.length
  get.mockRestore()
  return { values, asked }
}

describe('recent records', () => {
  test('what was written, and what was asked for, is found without the database', async () => {
    await write({ a: '1', b: '2' })
    expect(await ask('a', 'b')).toEqual({ values: ['1', '2'], asked: 0 })
    expect(await ask('a', 'absent')).toEqual({ values: ['1', undefined], asked: 1 })
    expect(await ask('a', 'b', 'absent')).toEqual({ values: ['1', '2', undefined], asked: 0 })
  })

  test('a later transaction makes it out of date: changed, removed and added keys are seen', async () => {
    await write({ a: '1', b: '2' })
    await ask('a', 'b', 'c')
    await write({ a: 'new', c: '3' }, ['b'])
    expect((await ask('a', 'b', 'c')).values).toEqual(['new', undefined, '3'])
    expect(await ask('a', 'b', 'c')).toEqual({ values: ['new', undefined, '3'], asked: 0 })
  })

  test('a write by another store over the same folder, while this one is open', async () => {
    await write({ a: '1' })
    await ask('a')
    await using mine = await openDiskStore(path)
    expect(text(mine.records.get('a'))).toBe('1')
    await write({ a: '2' })
    expect(text(mine.records.get('a'))).toBe('2')
  })

  test('a store’s own writes are seen at once', async () => {
    await write({ a: '1' })
    await using store = await openDiskStore(path)
    expect(text(store.records.get('a'))).toBe('1')
    await store.records.write({ put: [['a', bytes('2')]] })
    expect(text(store.records.get('a'))).toBe('2')
  })

  test.each([
    ['cut', (file: Buffer) => file.subarray(0, file.length - 3)],
    ['one bit flipped', (file: Buffer) => Buffer.from(file.map((byte, i) => (i === 6 ? byte ^ 1 : byte)))],
    ['empty', () => Buffer.alloc(0)],
    ['something else', () => Buffer.from('{"a":1}')],
  ])('a damaged file is not believed: %s', async (_, damage) => {
    await write({ a: '1' })
    const file = join(path, 'lamella/records/recent')
    writeFileSync(file, damage(readFileSync(file)))
    expect(await ask('a')).toEqual({ values: ['1'], asked: 1 })
  })
})
