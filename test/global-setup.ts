// A folder for temporary files that goes away with the run, whatever tests, their processes, and killed ones leave in it.
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export default function setup(): () => void {
  const before = process.env.TMPDIR
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
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}
