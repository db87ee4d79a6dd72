// Front door of the containers room.
export type { ContainerInfo, ContainerMount, ContainerSettings, ContainerStatus } from './container.js'
export { createContainer } from './create.js'
export type { CreateContainerOptions } from './create.js'
export { Container, containerChanges, openContainer, readContainer } from './open.js'
export type { OpenContainerOptions } from './open.js'
export { findContainer, listContainers, renameContainer } from './records.js'
export { planPruneContainers, removeContainer } from './remove.js'
export type { RemoveContainerOptions } from './remove.js'
export { commitContainer } from './commit.js'
export type { CommitContainerOptions } from './commit.js'
export { copyInArchive, copyInto, copyOut, copyOutArchive } from './copy.js'
export type { CopyOptions } from './copy.js'
export { execInContainer, runContainer, startContainer } from './run.js'
export type { ExecOptions, RunOptions, RunResult } from './run.js'
export { killContainer, stopContainer, waitContainer } from './stop.js'
export type { KillOptions, StopOptions } from './stop.js'
export { followLog, readLog } from './log-reader.js'
export type { FollowOptions, LogEntry } from './log-reader.js'
export { parseMountFlag, parseTmpfsFlag, parseVolumeFlag } from './mounts.js'
export type { MountRequest } from './mounts.js'
export {
  createVolume,
  inspectVolume,
  listVolumes,
  planPruneVolumes,
  pruneVolumes,
  readVolume,
  removeVolume,
} from './volumes.js'
export type { CreateVolumeOptions, PruneVolumesOptions, VolumeInfo } from './volumes.js'
