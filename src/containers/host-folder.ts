// Folders of the host that containers mount: whether they are there. What they show: lamella/unionfs, mountFolder. Effect.
import { mkdirSync, realpathSync, statSync } from 'node:fs'
import { ContainerError } from '../errors.js'

/**
 * The real path of a folder to mount; made, with its parents, where it is missing, as docker does it for `-v`.
 * @throws ContainerError MOUNT_FAILED for what is not a folder
 */
export function requireFolder(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) mkdirSync(path, { recursive: true })
  else if (!stat.isDirectory()) {
    throw new ContainerError(
      'MOUNT_FAILED',
      `${path} is not a folder: single files of the host can only be mounted by the sandbox executor`,
      { data: { source: path } },
    )
  }
  return realpathSync(path)
}
