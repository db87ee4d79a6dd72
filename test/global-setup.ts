// The seed of the run, and a folder for temporary files that goes away with it, whatever tests, their processes, and
// killed ones leave there.
import { randomInt } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeTree } from './remove.js'

const HOUR_MS = 3_600_000

/** What runs that were killed have left: an hour old, and of no process that lives. */
function removeLeftOvers(base: string): void {
  for (const name of readdirSync(base)) {
    const pid = /^lamella-run-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const path = join(base, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat !== undefined && Date.now() - stat.mtimeMs > HOUR_MS) removeTree(path)
  }
}

/** `LAMELLA_SEED=random` becomes a number here, for all workers and for whoever wants the same run again. */
function chooseSeed(): void {
  if (process.env.LAMELLA_SEED !== 'random') return
  process.env.LAMELLA_SEED = String(randomInt(1, 2 ** 31))
  console.log(`LAMELLA_SEED=${process.env.LAMELLA_SEED}`)
}

export default function setup(): () => void {
  chooseSeed()
  const before = process.env.TMPDIR
  removeLeftOvers(tmpdir())
  // Without capitals, which buildah takes for no part of a path.
  const folder = join(tmpdir(), `lamella-run-${process.pid}-${Date.now().toString(36)}`)
  mkdirSync(folder)
  // As open as the usual one: some tests run commands as other users.
  chmodSync(folder, 0o1777)
  // Workers and the processes that tests start inherit it.
  process.env.TMPDIR = folder
  return () => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    removeTree(folder)
  }
}
