// Whether there are folders that runs of the sandbox share; folders.ts is loaded where there are. Effect.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** @param folder  of the sandboxes, e.g. `lamella/sandbox` in a store */
export function hasSharedFolders(folder: string): boolean {
  try {
    return readdirSync(join(folder, 'shared')).length > 0
  } catch {
    return false
  }
}
