// BuildKit's rules for what of the build cache goes.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  applyPrune,
  defaultPrunePolicies,
  dockerPrunePolicies,
  planPrune,
  type CacheRecordInfo,
  type PrunePolicy,
} from '../../src/store/prune.js'
import { cpuMs } from '../cost.js'

const NOW = 1_800_000_000_000
const DAY = 24 * 3_600_000
const MB = 1e6
const GB = 1e9
const ROOMY = { total: 1000 * GB, free: 900 * GB }

function record(key: string, more: Partial<CacheRecordInfo> & { age?: number } = {}): CacheRecordInfo {
  const { age = 1, ...rest } = more
  return {
    key,
    size: 100 * MB,
    lastUsedMs: NOW - age * DAY,
    useCount: 1,
    type: 'regular',
    shared: false,
    ...rest,
  }
}

const plan = (records: readonly CacheRecordInfo[], policies: readonly PrunePolicy[], space = ROOMY) =>
  planPrune(records, policies, { nowMs: NOW, space })
const gone = (...args: Parameters<typeof plan>) => plan(...args).remove.map(({ key }) => key)

// moby/buildkit cmd/buildkitd/config/gcpolicy.go (DefaultGCPolicy, DetectDefaultGCCap, AsBytes)
describe('default policies', () => {
  test.each([
    // percentages are whole GiB, rounded up, taken for GB: 10 % of 50 GB are 4.66 GiB, hence 5 GB
    { total: 50 * GB, reservedSpace: 5 * GB, maxUsedSpace: 38 * GB, minFreeSpace: 10 * GB },
    { total: 1000 * GB, reservedSpace: 10 * GB, maxUsedSpace: 100 * GB, minFreeSpace: 187 * GB },
    { total: 0, reservedSpace: 2 * GB, maxUsedSpace: 2 * GB, minFreeSpace: 2 * GB },
  ])('on a disk of $total bytes', ({ total, ...limits }) => {
    const [sources, old, any, all, ...more] = defaultPrunePolicies({ total, free: 0 })
    expect(sources).toEqual({
      filters: ['type==source.local', 'type==exec.cachemount', 'type==source.git.checkout'],
      keepDurationMs: 48 * 3_600_000,
      maxUsedSpace: 512 * MB,
    })
    expect([old, any, all]).toEqual([
      { keepDurationMs: 60 * DAY, ...limits },
      limits,
      { all: true, ...limits },
    ])
    expect(more).toEqual([])
  })

  const run = (records: readonly CacheRecordInfo[], space = ROOMY) => {
    const { remove } = plan(records, defaultPrunePolicies(space), space)
    return remove.map(({ key, policy }) => `${policy}:${key}`)
  }

  // What `docker buildx inspect` said on a disk of that size: 3.346, 24.21, 188.1 and 47.5 GiB, with Docker Engine 28.5.2.
  test("those of Docker Engine's BuildKit", () => {
    const limits = { reservedSpace: 26 * GB, maxUsedSpace: 202 * GB, minFreeSpace: 51 * GB }
    const [sources, old, any, all] = dockerPrunePolicies({ total: 270_553_174_016, free: 0 })
    expect((sources!.maxUsedSpace! / 2 ** 30).toFixed(3)).toBe('3.346')
    expect([old, any, all]).toEqual([
      { keepDurationMs: 60 * DAY, ...limits },
      limits,
      { all: true, ...limits },
    ])
  })

  test('local sources, cache mounts and checkouts unused for 48 h go while there is more than 512 MB in all', () => {
    const records = [
      record('young', { type: 'source.local', age: 1 }),
      record('local', { type: 'source.local', age: 3 }),
      record('mount', { type: 'exec.cachemount', age: 5 }),
      record('git', { type: 'source.git.checkout', age: 4 }),
      record('a', { age: 50 }),
      record('b', { age: 50 }),
    ]
    // 600 MB; the oldest of them is enough
    expect(run(records)).toEqual(['0:mount'])
    expect(run(records.slice(0, 5))).toEqual([])
  })

  test('up to the reserved space everything stays, however old', () => {
    expect(run([record('old', { age: 900, size: 9 * GB })])).toEqual([])
  })

  test('above the cap: what was unused for 60 days goes first, then anything, at last internal and shared records', () => {
    const records = [
      record('fresh', { age: 2, size: 50 * GB }),
      record('old', { age: 70, size: 30 * GB, useCount: 99 }),
      record('internal', { age: 90, size: 60 * GB, type: 'internal' }),
      record('shared', { age: 90, size: 1 * GB, shared: true }),
    ]
    expect(run(records)).toEqual(['1:old', '2:fresh'])
    expect(run([record('internal', { size: 120 * GB, type: 'internal' })])).toEqual(['3:internal'])
  })

  test('a full disk: the cache gives way, down to the reserved space', () => {
    const records = Array.from({ length: 8 }, (_, i) => record(`r${i}`, { size: 5 * GB, age: 10 - i }))
    // 20 % of 100 GB are 19 GB after rounding; 9 GB too few
    expect(run(records, { total: 100 * GB, free: 10 * GB })).toEqual(['2:r0', '2:r1'])
    // nothing free: 40 - 19 = 21 GB are kept, which is more than the 10 GB reserved
    expect(run(records, { total: 100 * GB, free: 0 })).toEqual(['2:r0', '2:r1', '2:r2', '2:r3'])
  })
})

// moby/buildkit cache/manager.go calculateKeepBytes, and `totalSize < keepBytes` in pruneOnce
describe('how many bytes are kept', () => {
  const ten = Array.from({ length: 10 }, (_, i) => record(`r${i}`, { age: 10 - i }))
  test.each<[string, PrunePolicy, number, number]>([
    ['no limit: all', {}, 0, 10],
    ['maxUsedSpace: until below it', { maxUsedSpace: 500 * MB }, 0, 6],
    ['maxUsedSpace above the total', { maxUsedSpace: 1001 * MB }, 0, 0],
    ['reservedSpace alone', { reservedSpace: 750 * MB }, 0, 3],
    ['the higher of reserved and max', { reservedSpace: 750 * MB, maxUsedSpace: 100 * MB }, 0, 3],
    ['minFreeSpace: what is short', { minFreeSpace: 300 * MB }, 50 * MB, 3],
    [
      'minFreeSpace, and there is enough: the one that tips the total below it',
      { minFreeSpace: 10 * MB },
      50 * MB,
      1,
    ],
    ['minFreeSpace with more short than there is', { minFreeSpace: 9 * GB }, 0, 10],
    ['max, and less because the disk is short', { maxUsedSpace: 900 * MB, minFreeSpace: 450 * MB }, 0, 5],
    ['but not below reserved', { reservedSpace: 800 * MB, minFreeSpace: 900 * MB }, 0, 3],
  ])('%s', (_, policy, free, count) => {
    expect(gone(ten, [policy], { total: 10 * GB, free })).toEqual(ten.slice(0, count).map(({ key }) => key))
  })

  test('shared records do not count, unless all may go and nothing is filtered', () => {
    const records = [record('a', { shared: true }), record('b')]
    expect(gone(records, [{ maxUsedSpace: 150 * MB }])).toEqual([])
    expect(gone(records, [{ maxUsedSpace: 150 * MB, all: true, filters: ['private', 'shared'] }])).toEqual([])
    expect(gone(records, [{ maxUsedSpace: 150 * MB, all: true }])).toEqual(['a'])
  })
})

// moby/buildkit cache/manager.go pruneOnce
describe('which records may go', () => {
  test.each<[string, Partial<CacheRecordInfo> & { age?: number }, PrunePolicy, boolean]>([
    ['a regular one', {}, {}, true],
    ['in use', { inUse: true }, {}, false],
    ['in use, though all may go', { inUse: true }, { all: true }, false],
    ['internal', { type: 'internal' }, {}, false],
    ['internal, when all may go', { type: 'internal' }, { all: true }, true],
    ['frontend', { type: 'frontend' }, {}, false],
    ['shared with an image', { shared: true }, {}, false],
    ['shared, when all may go', { shared: true }, { all: true }, true],
    ['used within keepDuration', { age: 1 }, { keepDurationMs: 2 * DAY }, false],
    ['used exactly keepDuration ago', { age: 2 }, { keepDurationMs: 2 * DAY }, true],
    ['never used', { lastUsedMs: undefined }, { keepDurationMs: 2 * DAY }, true],
    ['of another type', {}, { filters: ['type==source.local'] }, false],
    ['one filter of several', {}, { filters: ['type==source.local', 'type==regular'] }, true],
    ['all parts of a filter', { shared: true }, { all: true, filters: ['type==regular,shared'] }, true],
    ['not all parts of a filter', {}, { filters: ['type==regular,shared'] }, false],
    ['!=', {}, { filters: ['type!=source.local'] }, true],
    ['~=', { description: '[2/3] RUN npm ci' }, { filters: ['description~=npm (ci|install)'] }, true],
    ['quotes, commas in them', { description: 'a, b' }, { filters: ['description=="a, b",private'] }, true],
    ['a flag that does not hold', {}, { filters: ['inuse'] }, false],
    ['id', {}, { filters: ['id==x'] }, true],
    ['parents', { parents: ['p'] }, { filters: ['parents==p'] }, true],
  ])('%s', (_, more, policy, want) => {
    expect(gone([record('x', more)], [policy])).toEqual(want ? ['x'] : [])
  })

  test.each(['colour==red', '', '==', 'type=x', 'id~=(', 'id=="'])('a filter that is none, %j', (filter) => {
    expect(() => gone([record('x')], [{ filters: [filter || ' '] }])).toThrow(RangeError)
  })

  test('what others build upon goes after them', () => {
    const chain = [
      record('base', { age: 30 }),
      record('middle', { age: 20, parents: ['base'] }),
      record('top', { age: 10, parents: ['middle'] }),
      record('other', { age: 5, parents: ['base'] }),
    ]
    expect(gone(chain, [{}])).toEqual(['top', 'other', 'middle', 'base'])
    expect(gone(chain, [{ maxUsedSpace: 150 * MB }])).toEqual(['top', 'middle', 'other'])
    expect(gone([chain[0]!, { ...chain[1]!, inUse: true }], [{}])).toEqual([])
  })
})

// moby/buildkit cache/manager.go sortDeleteRecords: rank by last use / ranks + rank by use count / ranks
describe('order', () => {
  const order = (records: readonly CacheRecordInfo[]) => gone(records, [{ maxUsedSpace: 1 }])

  test('oldest first, when used equally often', () => {
    expect(order([record('b', { age: 2 }), record('a', { age: 3 }), record('c', { age: 1 })])).toEqual([
      'a',
      'b',
      'c',
    ])
  })

  test('rarely used first, when equally old; sizes do not matter', () => {
    const records = [
      record('b', { useCount: 7 }),
      record('a', { useCount: 2, size: 1 }),
      record('c', { useCount: 9 }),
    ]
    expect(order(records)).toEqual(['a', 'b', 'c'])
  })

  test('ranks, not values: one use a second ago weighs as much as a thousand', () => {
    // ranks by age 2 3 4, by count 4 2 3; over 4: 6/4, 5/4, 7/4. Left are x and z: 5/3 each, x is the older.
    const records = [
      record('x', { age: 100, useCount: 1000 }),
      record('y', { age: 50, useCount: 1 }),
      record('z', { age: 1, useCount: 2 }),
    ]
    expect(order(records)).toEqual(['y', 'x', 'z'])
  })

  test('never used counts as oldest', () => {
    expect(order([record('a', { age: 1000 }), record('n', { lastUsedMs: undefined })])).toEqual(['n', 'a'])
  })
})

describe('laws', () => {
  const records = fc.array(
    fc.record({
      size: fc.integer({ min: 0, max: 1000 }),
      age: fc.integer({ min: 0, max: 5 }),
      useCount: fc.integer({ min: 0, max: 4 }),
      type: fc.constantFrom('regular', 'internal', 'source.local'),
      shared: fc.boolean(),
      inUse: fc.boolean(),
      parent: fc.integer({ min: 0, max: 30 }),
    }),
    { maxLength: 30 },
  )
  const policies = fc.array(
    fc.record(
      {
        all: fc.boolean(),
        maxUsedSpace: fc.integer({ min: 0, max: 5000 }),
        reservedSpace: fc.integer({ min: 0, max: 5000 }),
        keepDurationMs: fc.integer({ min: 0, max: 4 * DAY }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 3 },
  )

  test('nothing goes before what builds on it, nothing in use goes, and a second run has nothing left to do', () => {
    fc.assert(
      fc.property(records, policies, (inputs, rules) => {
        const all = inputs.map(({ age, parent, ...more }, i) =>
          record(`r${i}`, { ...more, age, parents: parent < i ? [`r${parent}`] : [] }),
        )
        const { remove, removeBytes, keptBytes, keptCount } = plan(all, rules)
        const left = new Map(all.map((one) => [one.key, one]))
        for (const one of remove) {
          expect(one.inUse).toBe(false)
          left.delete(one.key)
          expect([...left.values()].some(({ parents }) => parents!.includes(one.key))).toBe(false)
        }
        expect(keptCount).toBe(left.size)
        expect(removeBytes + keptBytes).toBe(all.reduce((sum, { size }) => sum + size, 0))
        expect(plan([...left.values()], rules.slice(-1)).remove).toEqual([])
      }),
    )
  })
})

// BuildKit's rule ranks the rest anew after each removal: quadratic, but with a small factor.
test('10,000 records are planned in a blink', () => {
  const many = Array.from({ length: 10_000 }, (_, i) =>
    record(`r${i}`, { age: (i * 7919) % 100, useCount: i % 13, size: MB }),
  )
  const work = () => expect(gone(many, [{ maxUsedSpace: 5000 * MB }]).length).toBe(5001)
  expect(cpuMs(work)).toBeLessThan(20_000)
})

test('applyPrune forgets in the order of the plan, and does nothing for an empty one', async () => {
  const calls: (readonly string[])[] = []
  const remove = async (keys: readonly string[]) => void calls.push(keys)
  await applyPrune(plan([record('b', { age: 1 }), record('a', { age: 2 })], [{}]), remove)
  await applyPrune(plan([], [{}]), remove)
  expect(calls).toEqual([['a', 'b']])
})
