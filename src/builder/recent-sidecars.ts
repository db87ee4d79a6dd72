// Derived files that nobody deletes by name: the most recent ones of a kind stay, older ones go when a new one comes. What
// is kept is a list in one record; losing it leaves files behind, no more.
import type { Store } from '../store/index.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Writes a sidecar and removes those of its kind that are no longer among the `max` written last. */
export async function putRecentSidecar(
  store: Store,
  kind: string,
  key: string,
  bytes: Uint8Array,
  max: number,
): Promise<void> {
  await store.sidecars.put(kind, key, bytes)
  const name = `s${kind}`
  const known = store.records.get(name)
  const before = known === undefined ? [] : decoder.decode(known).split(' ')
  if (before[0] === key) return
  const after = [key, ...before.filter((other) => other !== key)]
  await Promise.all(after.slice(max).map((old) => store.sidecars.delete(kind, old)))
  await store.records.write({ put: [[name, encoder.encode(after.slice(0, max).join(' '))]] })
}
