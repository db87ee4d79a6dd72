// Whose the folders of runs and the unfinished folders of layers are, and when they are nobody's. Effect.
//
// Their names begin with an id of the process that made them; `owners/<id>` says which process that is. Containers that
// share a folder have the same pids, so a pid alone would tell a running process's folder from a dead one's wrongly.
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { digestOf, hexOf } from '../../../digest.js'
import { currentOwner, isOwnerAlive, type Owner } from '../../../store/index.js'
import { removeRecordedGroups } from './cgroups.js'
import { removeFolder, type SandboxHost } from './host.js'

/** In a run's folder: the control groups that it has. */
export const GROUPS_FILE = 'cgroups'

const ID_LENGTH = 12
/** A folder whose owner cannot be seen from here is nobody's when it is older than this. */
const UNKNOWN_MS = 24 * 60 * 60 * 1000

/** A new name for a folder in `runs/`, known to be this process's. */
export function ownName(folder: string): string {
  return `${declareOwner(folder)}-${randomBytes(6).toString('hex')}`
}

/** As `ownName`, for an unfinished folder in `layers/`. */
export function draftName(folder: string): string {
  return `.draft-${ownName(folder)}`
}

/** Writes down who this process is, whole, before anything is named after it. @returns its id */
function declareOwner(folder: string): string {
  const text = JSON.stringify(currentOwner())
  const id = hexOf(digestOf(text)).slice(0, ID_LENGTH)
  const path = join(folder, 'owners', id)
  if (existsSync(path)) return id
  mkdirSync(join(folder, 'owners'), { recursive: true })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  writeFileSync(draft, text)
  renameSync(draft, path)
  return id
}

/**
 * Whether the process that a name in `runs/` belongs to lives; `undefined` when that cannot be known. Only of a process that
 * has gone is nothing written down any more.
 */
export function isOwnAlive(folder: string, name: string): boolean | undefined {
  const path = join(folder, 'owners', name.slice(0, ID_LENGTH))
  return existsSync(path) ? isAlive(path) : false
}

/** Removes what processes that have gone have left. Their mounts went with their namespaces. */
export function removeStale(folder: string, host: SandboxHost): void {
  const abandoned = new Map<string, boolean>()
  const isAbandoned = (id: string, path: string): boolean => {
    const alive = isAlive(join(folder, 'owners', id))
    if (alive === undefined) return isOld(path)
    abandoned.set(id, !alive)
    return !alive
  }
  for (const [part, pattern] of [
    ['runs', /^([^-]*)/],
    ['layers', /^\.draft-([^-]*)/],
  ] as const) {
    for (const name of namesIn(join(folder, part))) {
      const id = pattern.exec(name)?.[1]
      const path = join(folder, part, name)
      if (id === undefined || !isAbandoned(id, path)) continue
      removeRecordedGroups(join(path, GROUPS_FILE))
      removeFolder(host, path)
    }
  }
  for (const id of namesIn(join(folder, 'owners'))) {
    const path = join(folder, 'owners', id)
    if (abandoned.get(id) ?? isAbandoned(id, path)) rmSync(path, { force: true })
  }
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

function isOld(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat !== undefined && Date.now() - stat.ctimeMs > UNKNOWN_MS
}

/** Whether the process that a file of `owners/` names lives; `undefined` when that cannot be known. */
function isAlive(path: string): boolean | undefined {
  try {
    return isOwnerAlive(JSON.parse(readFileSync(path, 'utf8')) as Owner)
  } catch {
    return undefined
  }
}
