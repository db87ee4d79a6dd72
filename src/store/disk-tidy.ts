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
