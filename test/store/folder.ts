// A folder of its own for each test, removed afterwards.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** For a whole file of tests, which removes it. */
export function tempFolder(): string {
  return mkdtempSync(join(tmpdir(), 'lamella-store-'))
}

export function makeFolder(): string {
  const folder = tempFolder()
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
