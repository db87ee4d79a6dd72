// Reading what containers printed, and waiting for more.
import type { Store } from '../store/index.js'
import { decodeLog, openLog, type LogEntry } from './logs.js'
import { findContainer, findRecord } from './records.js'

export type { LogEntry } from './logs.js'

/** All that a container's runs have printed so far, oldest first. @throws ContainerError CONTAINER_NOT_FOUND */
export async function readLog(store: Store, idOrName: string): Promise<LogEntry[]> {
  const { id } = await findRecord(store.documents, idOrName)
  return decodeLog((await openLog(store, id)).read(0)).entries
}

export interface FollowOptions {
  readonly signal?: AbortSignal | undefined
  /** How often to look. Default 100 ms. */
  readonly pollMs?: number | undefined
}

/** As `readLog`, and then what comes, until the container's run ends or the signal fires. */
export async function* followLog(
  store: Store,
  idOrName: string,
  options: FollowOptions = {},
): AsyncGenerator<LogEntry> {
  const { id } = await findRecord(store.documents, idOrName)
  const file = await openLog(store, id)
  let offset = 0
  for (;;) {
    // Asked before reading: what a run prints last is there before its end is known.
    const isRunning = await findContainer(store, id).then(
      ({ status }) => status === 'running',
      () => false,
    )
    const { entries, length } = decodeLog(file.read(offset))
    offset += length
    yield* entries
    if (!isRunning || options.signal?.aborted === true) return
    await new Promise((resolve) => setTimeout(resolve, options.pollMs ?? 100))
  }
}
