// Peers are programs and privileges that a machine may lack. Without one, its tests are skipped by name; under
// LAMELLA_REQUIRE_PEERS=1, as in CI, they fail instead, so that an absent peer can never look like a passed test.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { test } from 'vitest'

export const peersRequired = process.env.LAMELLA_REQUIRE_PEERS === '1'

/** Absolute path of a program on PATH, or `undefined`. */
export function findProgram(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // not in this folder
    }
  }
  return undefined
}

/** A test that needs a peer: runs where `available`, else is skipped by name, or fails where peers are required. */
export function peerTest(
  name: string,
  available: boolean,
  fn: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  if (available) test(name, fn, timeoutMs)
  else if (peersRequired) {
    test(name, () => {
      throw new Error(`peer missing for: ${name} (LAMELLA_REQUIRE_PEERS=1)`)
    })
  } else test.skip(`${name} (peer missing)`, fn)
}
