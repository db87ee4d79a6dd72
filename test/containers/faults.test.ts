// Creating, saving and removing, stopped at each change that they make to the disk: what is found afterwards is the state
// before or the state after, whole, and work goes on.
import { expect, test } from 'vitest'
import {
  createContainer,
  inspectVolume,
  listContainers,
  openContainer,
  readContainer,
  readVolume,
  removeContainer,
  removeVolume,
} from '../../src/containers/index.js'
import { checkStore, type Store } from '../../src/store/index.js'
import { openDiskStoreNow } from '../../src/store/disk-store.js'
import { UnionView } from '../../src/unionfs/index.js'
import { SimFs, type CrashKind } from '../store/sim-fs.js'
import { putImage, text } from './fixtures.js'

let boots = 0

async function open(fs: SimFs): Promise<Store> {
  const boot = `boot-${++boots}`
  const owner = { host: 'sim', boot, pidNamespace: 'sim', pid: 1, started: '1' }
  return openDiskStoreNow('/store', {
    fs,
    processes: {
      current: () => owner,
      isAlive: (other) => other.boot === boot,
      bootMs: () => Number.POSITIVE_INFINITY,
    },
  })
}

/** A store with an image and a container `one` whose files, and whose volume `data`, say `old`. */
async function prepare(fs: SimFs): Promise<void> {
  const store = await open(fs)
  await putImage(store)
  await createContainer(store, 'app', { name: 'one', mounts: ['data:/d'] })
  await write(store, 'old')
}

async function write(store: Store, word: string): Promise<void> {
  const one = await openContainer(store, 'one')
  one.view.fs.writeFileSync('/f', word)
  one.view.fs.writeFileSync('/d/v', word)
  await one.save()
  await one.close()
}

type Work = (store: Store) => Promise<void>
/** @param isDone  whether the work said that it was done before the crash */
type Verify = (store: Store, isDone: boolean) => Promise<void>

const CASES: readonly (readonly [name: string, work: Work, verify: Verify])[] = [
  [
    'save',
    (store) => write(store, 'new'),
    async (store, isDone) => {
      const { tree } = await readContainer(store, 'one')
      const container = text(UnionView.open(tree).fs, '/f')
      const volume = text(UnionView.open(await readVolume(store, 'data')).fs, '/v')
      for (const word of [container, volume]) expect(isDone ? ['new'] : ['old', 'new']).toContain(word)
    },
  ],
  [
    'create',
    async (store) => {
      await createContainer(store, 'app', { name: 'two', mounts: ['more:/data'] })
    },
    async (store, isDone) => {
      const two = (await listContainers(store)).find(({ name }) => name === 'two')
      if (isDone) expect(two?.status).toBe('created')
      if (two === undefined) return
      // Its volume may be missing yet; opening it brings it, filled.
      await using opened = await openContainer(store, 'two')
      expect(opened.view.fs.readdirSync('/data')).toEqual(['seed'])
    },
  ],
  [
    'remove',
    async (store) => {
      await removeContainer(store, 'one')
      await removeVolume(store, 'data')
    },
    async (store, isDone) => {
      const names = (await listContainers(store)).map(({ name }) => name)
      if (isDone) expect(names).toEqual([])
      if (names.length === 0) return
      expect((await inspectVolume(store, 'data')).usedBy).toEqual(['one'])
    },
  ],
]

async function trial(work: Work, verify: Verify, at: number, crash: CrashKind): Promise<boolean> {
  const fs = new SimFs()
  await prepare(fs)
  const store = await open(fs)
  fs.inject({ kind: 'stop', at })
  const isDone = await work(store).then(
    () => true,
    () => false,
  )
  fs.crash(crash)
  const after = await open(fs)
  const place = `stopped at change ${at}, ${crash}`
  const errors = (await checkStore(after)).filter(({ severity }) => severity === 'error')
  expect(errors, place).toEqual([])
  await verify(after, isDone)
  // Work goes on.
  await createContainer(after, 'app', { name: 'later' })
  await (await openContainer(after, 'later')).close()
  return isDone
}

test.each(CASES)('%s', async (_, work, verify) => {
  let count = 0
  for (const crash of ['kept', 'lost'] as const) {
    let at = 1
    while (!(await trial(work, verify, at, crash)) && at < 500) at++
    count += at
  }
  expect(count).toBeGreaterThan(10)
})
