import { expect, test } from 'vitest'
import { putRecentSidecar } from '../../src/builder/recent-sidecars.js'
import { createMemoryStore } from '../../src/store/index.js'

test('the files written last stay, older ones go, other kinds are left alone', async () => {
  const store = createMemoryStore()
  const bytes = new Uint8Array([1])
  await store.sidecars.put('other', 'a', bytes)
  for (const key of ['a', 'b', 'c', 'a', 'd']) await putRecentSidecar(store, 'kind', key, bytes, 3)
  expect((await store.sidecars.list('kind')).sort()).toEqual(['a', 'c', 'd'])
  expect(await store.sidecars.list('other')).toEqual(['a'])
})

test('writing the newest again writes no record', async () => {
  const store = createMemoryStore()
  const bytes = new Uint8Array([1])
  await putRecentSidecar(store, 'kind', 'a', bytes, 3)
  const before = store.records.get('skind')
  await putRecentSidecar(store, 'kind', 'a', new Uint8Array([2]), 3)
  expect(store.records.get('skind')).toEqual(before)
  expect(store.sidecars.get('kind', 'a')).toEqual(new Uint8Array([2]))
})
