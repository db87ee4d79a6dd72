// What processes that died leave in `lamella/`: temporary files and ingests that nobody goes on with.
import type { Disk } from './disk-layout.js'
import type { Lock } from './lock.js'

const DAY_MS = 24 * 3_600_000

/**
 * Removes temporary files of processes that no longer run, by the pid that their names begin with. A pid of another host
 * or container means nothing here, so a file must also have been silent for an hour; after a day it goes anyway.
 */
export function tidyTemp({ fs, paths }: Disk, isRunning: (pid: number) => boolean, nowMs: number): number {
  let count = 0
  for (const name of fs.readDir(paths.temp) ?? []) {
    const path = `${paths.temp}/${name}`
    const stat = fs.stat(path)
    if (stat?.kind !== 'file') continue
    const ageMs = nowMs - stat.mtimeMs
    const isOwned = isRunning(Number.parseInt(name, 10))
    if ((ageMs > DAY_MS || (ageMs > DAY_MS / 24 && !isOwned)) && fs.remove(path)) count++
  }
  return count
}

/** Where something else lies in the place of a folder of ours. */
export function* foldersInvalid({ fs, paths }: Disk): Generator<{ path: string; isDerived: boolean }> {
  const { lamella, temp, locks, ingest, records, sidecars, holds, leases, reflog, documents } = paths
  const derived = [temp, locks, ingest, records, sidecars, holds]
  for (const path of [lamella, ...derived, leases, reflog, documents]) {
    const stat = fs.stat(path)
    if (stat === undefined || stat.kind === 'dir') continue
    yield { path: path.slice(paths.root.length + 1), isDerived: derived.includes(path) }
  }
}

/** Makes room for folders that can be made again. */
export function tidyFolders(disk: Disk): number {
  const wrong = [...foldersInvalid(disk)].filter(({ isDerived }) => isDerived)
  return wrong.filter(({ path }) => disk.fs.remove(`${disk.paths.root}/${path}`)).length
}

/** Removes ingests that were last written a day ago and that nobody holds. */
export async function tidyIngests(
  { fs, paths }: Disk,
  lockIn: (folder: string) => Lock,
  nowMs: number,
): Promise<number> {
  let count = 0
  for (const id of fs.readDir(paths.ingest) ?? []) {
    const folder = `${paths.ingest}/${id}`
    const data = fs.stat(`${folder}/data`)
    if (data !== undefined && nowMs - data.mtimeMs <= DAY_MS) continue
    const release = await lockIn(`${folder}/lock`).take()
    if (release === undefined) continue
    if (fs.remove(`${folder}/data`)) count++
    release()
  }
  return count
}
