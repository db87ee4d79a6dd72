// Finding, listing and changing the records of containers in a store.
import { ContainerError } from '../errors.js'
import type { DocumentReader, Store } from '../store/index.js'
import {
  CONTAINER_KIND,
  infoOf,
  recordOf,
  recordValue,
  rootsOf,
  type ContainerInfo,
  type ContainerRecord,
} from './container.js'
import { checkContainerName } from './names.js'

export async function readRecords(documents: DocumentReader): Promise<ContainerRecord[]> {
  return (await documents.list(CONTAINER_KIND)).map(recordOf)
}

/** All containers, the youngest first. */
export async function listContainers(store: Store): Promise<ContainerInfo[]> {
  const records = await readRecords(store.documents)
  const infos = await Promise.all(records.map((record) => withHolder(store, record)))
  return infos.sort((a, b) => b.createdMs - a.createdMs || (a.id < b.id ? -1 : 1))
}

/**
 * The container that a person names: by name, by id, or by the beginning of one id.
 * @throws ContainerError CONTAINER_NOT_FOUND
 */
export async function findContainer(store: Store, idOrName: string): Promise<ContainerInfo> {
  return withHolder(store, await findRecord(store.documents, idOrName))
}

/** @throws ContainerError CONTAINER_NOT_FOUND */
export async function findRecord(documents: DocumentReader, idOrName: string): Promise<ContainerRecord> {
  if (/^[0-9a-f]{64}$/.test(idOrName)) {
    const document = await documents.get(CONTAINER_KIND, idOrName)
    if (document !== undefined) return recordOf(document)
  }
  const records = await readRecords(documents)
  const named = records.find(({ name }) => name === idOrName)
  if (named !== undefined) return named
  const matches = idOrName === '' ? [] : records.filter(({ id }) => id.startsWith(idOrName))
  if (matches.length === 1) return matches[0]!
  throw notFound(idOrName, records, matches.length)
}

function notFound(idOrName: string, records: readonly ContainerRecord[], matches: number): ContainerError {
  const names = records.map(({ name }) => name).sort()
  const has = names.length === 0 ? 'there are none' : `there are ${names.slice(0, 8).join(', ')}`
  const message =
    matches > 1
      ? `${JSON.stringify(idOrName)} is the beginning of ${matches} containers' ids`
      : `no container ${JSON.stringify(idOrName)}: ${has}${names.length > 8 ? ', …' : ''}`
  return new ContainerError('CONTAINER_NOT_FOUND', message, { data: { name: idOrName, has: names } })
}

async function withHolder(store: Store, record: ContainerRecord): Promise<ContainerInfo> {
  return infoOf(record, await store.documents.holder(CONTAINER_KIND, record.id))
}

/**
 * Gives a container another name, whether or not it runs.
 * @throws ContainerError CONTAINER_NOT_FOUND | CONTAINER_NAME_INVALID
 * @throws ContainerError CONTAINER_NAME_IN_USE, also for the name that it has
 */
export async function renameContainer(store: Store, idOrName: string, name: string): Promise<void> {
  checkContainerName(name)
  await store.documents.change(async (edit) => {
    const record = await findRecord(edit, idOrName)
    requireFree(await readRecords(edit), name)
    await edit.put(CONTAINER_KIND, record.id, recordValue({ ...record, name }), rootsOf(record))
  })
}

/** @throws ContainerError CONTAINER_NAME_IN_USE */
export function requireFree(records: readonly ContainerRecord[], name: string | undefined): void {
  const owner = records.find((record) => record.name === name)
  if (owner === undefined) return
  throw new ContainerError(
    'CONTAINER_NAME_IN_USE',
    `the name ${name} is in use by container ${owner.id.slice(0, 12)}`,
    { data: { name, id: owner.id } },
  )
}

/**
 * Writes what a container's holder knows anew.
 * @throws ContainerError CONTAINER_NOT_FOUND when it was removed meanwhile
 */
export async function updateRecord(
  store: Store,
  id: string,
  changes: Partial<ContainerRecord>,
): Promise<ContainerRecord> {
  return store.documents.change(async (edit) => {
    const record = { ...(await findRecord(edit, id)), ...changes }
    await edit.put(CONTAINER_KIND, id, recordValue(record), rootsOf(record))
    return record
  })
}
