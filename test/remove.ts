// Takes a folder away with whatever tests left in it, also for users whom modes bind.
import { chmodSync, lstatSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Idempotent. Folders that cannot be listed or written are made so first. */
export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  } catch {
    open(path)
    rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  }
}

function open(path: string): void {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  chmodSync(path, 0o700)
  for (const name of readdirSync(path)) open(join(path, name))
}
