// The proof that the images are good for something: the image's project folder is written out and its service asked.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkoutTree, openTree } from 'lamella/unionfs'

/** @returns {{ ok: boolean, lines: string[] }} what the service's self-check says, run by this Node */
export async function checkService(store, layers) {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-demo-image-'))
  try {
    await checkoutTree(await openTree(store, layers), folder, { owners: false })
    const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/index.js', '--self-check'], {
      cwd: join(folder, 'usr/src/app'),
      encoding: 'utf8',
      timeout: 20_000,
    })
    return { ok: status === 0, lines: `${stdout}${stderr}`.trim().split('\n') }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
