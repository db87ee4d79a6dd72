// The lock between processes: who gets it when its owner is dead, alive, or unknown.
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createLock, type LockOptions } from '../../src/store/lock.js'
import { nodeFs } from '../../src/store/node-fs.js'
import { currentOwner, isOwnerAlive, type Owner } from '../../src/store/owner.js'
import { Dice, SEED } from '../chance.js'
import { makeFolder } from './folder.js'
import { SimFs } from './sim-fs.js'

let temps = 0

function lockIn(folder: string, more: Partial<LockOptions> = {}) {
  return createLock({
    fs: nodeFs,
    folder: `${folder}/lock`,
    prepare: async () => undefined,
    tempPath: () => `${folder}/temp-${++temps}`,
    owner: currentOwner,
    isAlive: isOwnerAlive,
    bootMs: () => 0,
    nowMs: Date.now,
    ...more,
  })
}

const DEAD: Owner = { ...currentOwner(), pid: 2 ** 22 + 1 }

test('one at a time, in this process and between instances', async () => {
  const folder = makeFolder()
  const locks = [lockIn(folder), lockIn(folder), lockIn(folder)]
  const dice = new Dice(SEED)
  let inside = 0
  let runs = 0
  await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      locks[i % 3]!.run(async () => {
        expect(++inside).toBe(1)
        await new Promise((done) => setTimeout(done, dice.next() * 3))
        inside--
        runs++
      }),
    ),
  )
  expect(runs).toBe(30)
  // One file is left: the last number, free.
  expect(readdirSync(`${folder}/lock`)).toEqual(['30.free'])
  expect(readdirSync(folder)).toEqual(['lock'])
})

test('an error inside releases it', async () => {
  const lock = lockIn(makeFolder())
  await expect(lock.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await expect(lock.run(async () => 1)).resolves.toBe(1)
})

test('take: at once or not at all', async () => {
  const folder = makeFolder()
  const release = await lockIn(folder).take()
  expect(release).toBeDefined()
  expect(await lockIn(folder).take()).toBeUndefined()
  release!()
  const again = await lockIn(folder).take()
  expect(again).toBeDefined()
  again!()
})

// Recovery goes by whether the owner lives. Age counts only where that cannot be known.
describe('held by', () => {
  const elsewhere: Owner = { ...currentOwner(), boot: 'other', host: 'other', pidNamespace: 'other' }
  const HOUR = 3_600_000
  test.each<[string, Owner, number, boolean]>([
    ['a live process, for long', currentOwner(), HOUR, false],
    ['a dead process, a moment ago', DEAD, 0, true],
    ['a process whose pid another has now', { ...currentOwner(), started: '1' }, 0, true],
    ['one of an earlier boot', { ...currentOwner(), boot: 'earlier' }, 0, true],
    ['another host, which gave a sign of life', elsewhere, 1000, false],
    ['another host, silent for a minute', elsewhere, 61_000, true],
    ['another container', { ...currentOwner(), pidNamespace: 'pid:[1]' }, 1000, false],
  ])('%s', async (_, owner, ageMs, isFree) => {
    const folder = makeFolder()
    await lockIn(folder, { owner: () => owner }).take()
    const release = await lockIn(folder, { nowMs: () => Date.now() + ageMs }).take()
    expect(release !== undefined).toBe(isFree)
    release?.()
  })

  test('nobody, since a power cut took its text: free when it is older than this boot', async () => {
    const folder = makeFolder()
    nodeFs.makeDir(`${folder}/lock`)
    nodeFs.close(nodeFs.open(`${folder}/lock/7`, 'create'))
    expect(await lockIn(folder).take()).toBeUndefined()
    const release = await lockIn(folder, { bootMs: () => Date.now() + 1000 }).take()
    expect(readdirSync(`${folder}/lock`)).toEqual(['8'])
    release!()
  })
})

test('of many that find the same dead owner, one gets it', async () => {
  for (let round = 0; round < 20; round++) {
    const folder = makeFolder()
    await lockIn(folder, { owner: () => DEAD }).take()
    const takers = Array.from({ length: 8 }, () => lockIn(folder))
    const taken = (await Promise.all(takers.map((lock) => lock.take()))).filter(Boolean)
    expect(taken).toHaveLength(1)
    taken[0]!()
  }
})

// The argument in lock.ts: a process that slept between looking and making its file must find a higher number and step
// back. Here it sleeps there while the lock changes hands k times.
test.each([0, 1, 2, 3])('a process that slept while the lock changed hands %i times', async (changes) => {
  const fs = new SimFs()
  fs.makeDir('/d')
  const options = { fs, folder: '/d/lock', tempPath: () => `/d/temp-${++temps}` }
  await lockIn('/d', { ...options, owner: () => DEAD }).take()
  const releases: (() => void)[] = []
  let isAsleep = true
  const sleeper = lockIn('/d', {
    ...options,
    // Asked for its name just before it makes its file: now the others come.
    owner: () => {
      if (isAsleep) {
        isAsleep = false
        for (let i = 0; i < changes; i++) others(i < changes - 1)
      }
      return currentOwner()
    },
  })
  const held = new Set<string>()
  /** What tryAcquire does, at once, since a sleeper's turn cannot await. */
  function others(thenFree: boolean): void {
    const numbers = fs.readDir('/d/lock')!.map((name) => Number.parseInt(name, 10))
    const next = Math.max(...numbers) + 1
    fs.close(fs.open(`/d/t${next}`, 'create'))
    fs.link(`/d/t${next}`, `/d/lock/${next}`)
    for (const name of fs.readDir('/d/lock')!) {
      if (Number.parseInt(name, 10) < next) fs.remove(`/d/lock/${name}`)
    }
    if (thenFree) fs.rename(`/d/lock/${next}`, `/d/lock/${next}.free`)
    else held.add(String(next))
  }
  const release = await sleeper.take()
  expect(release === undefined).toBe(changes > 0)
  if (release !== undefined) releases.push(release)
  // Whoever holds it still does, and the sleeper left nothing that could pass for a lock.
  for (const name of held) expect(fs.readDir('/d/lock')).toEqual([name])
  for (const free of releases) free()
})

test('a release that fails leaves the lock free for this process', async () => {
  const fs = new SimFs()
  fs.makeDir('/d')
  const lock = lockIn('/d', { fs, folder: '/d/lock', tempPath: () => `/d/temp-${++temps}` })
  await lock.run(async () => fs.inject({ kind: 'fail', at: 1, code: 'EIO' }))
  expect(fs.readDir('/d/lock')).toEqual(['1'])
  await expect(lock.run(async () => 'again')).resolves.toBe('again')
})
