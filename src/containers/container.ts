// What a container is, as values: its record in the store, and how that becomes what callers see. Pure.
import type { ExecLimits } from '../builder/index.js'
import type { Descriptor } from '../descriptor.js'
import { digestOfUncompressed, isDigest, type Digest } from '../digest.js'
import { ContainerError } from '../errors.js'
import type { Document, DocumentHolder } from '../store/index.js'
import type { LayerRef } from '../unionfs/index.js'

/** Kind of the documents; their keys are the containers' ids. */
export const CONTAINER_KIND = 'containers'

/**
 * - `created`: never ran
 * - `running`: a process runs it now
 * - `exited`: its last run has ended
 * - `dead`: its last run ended with the process that ran it, before it could say how
 */
export type ContainerStatus = 'created' | 'running' | 'exited' | 'dead'

export type ContainerMount =
  | {
      readonly type: 'volume'
      /** Absolute path in the container. */
      readonly target: string
      readonly readOnly: boolean
      readonly volume: string
      /** Made for this container: goes with it when that is asked for. */
      readonly anonymous: boolean
    }
  | {
      readonly type: 'bind'
      readonly target: string
      readonly readOnly: boolean
      /** Absolute path of a folder or file on the host. */
      readonly source: string
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly readOnly: boolean
      readonly sizeBytes?: number | undefined
      readonly mode?: number | undefined
    }

/** What a container is run with. */
export interface ContainerSettings {
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  /** In order; a name comes once. */
  readonly env: readonly (readonly [name: string, value: string])[]
  /** Absolute. */
  readonly cwd: string
  /** As in USER; '' is root. */
  readonly user: string
  readonly labels: Readonly<Record<string, string>>
  readonly network: 'default' | 'none' | 'host'
  /** Nothing outside the mounts can be written to by what runs. */
  readonly readOnlyRoot: boolean
  readonly limits?: ExecLimits | undefined
  /** It is run on a terminal, where the executor has one. */
  readonly tty?: boolean | undefined
  /** What asks it to end: SIGTERM unless the image or the caller says otherwise. */
  readonly stopSignal?: string | undefined
  /** How long it has to end by itself then. Default 10 seconds. */
  readonly stopTimeoutMs?: number | undefined
  /** Default: the first 12 digits of the id. */
  readonly hostname?: string | undefined
  /** Names that /etc/hosts has besides. */
  readonly extraHosts?: readonly (readonly [name: string, address: string])[] | undefined
}

export interface ContainerInfo {
  /** 64 hex digits. */
  readonly id: string
  readonly name: string
  readonly image: {
    /** As it was asked for. */
    readonly name: string
    /** Of the manifest. */
    readonly descriptor: Descriptor
  }
  readonly settings: ContainerSettings
  readonly mounts: readonly ContainerMount[]
  readonly status: ContainerStatus
  /** Of the last run that ended; 137 for a `dead` one. */
  readonly exitCode: number | undefined
  /** What kept the last run from starting. */
  readonly error: string | undefined
  /** Milliseconds since the epoch. */
  readonly createdMs: number
  readonly startedMs: number | undefined
  readonly finishedMs: number | undefined
  /** The process that has it open, on its host; `undefined` when none has, or the store is in memory. */
  readonly pid: number | undefined
  /** Is removed, with its anonymous volumes, when its run ends. */
  readonly removeOnExit: boolean
  /** What differs from the image, as last saved; `undefined` for nothing. */
  readonly layer: LayerRef | undefined
}

/** What is stored. `status` is what was known when it was written. */
export type ContainerRecord = Omit<ContainerInfo, 'pid'>

const VERSION = 1

export function recordValue(record: ContainerRecord): unknown {
  return { version: VERSION, ...record }
}

/** @throws ContainerError CONTAINER_RECORD_INVALID */
export function recordOf({ key, value }: Document): ContainerRecord {
  const { version, ...record } = value as ContainerRecord & { readonly version?: unknown }
  if (version === VERSION && record.id === key && typeof record.name === 'string') return record
  throw new ContainerError(
    'CONTAINER_RECORD_INVALID',
    `the record of container ${key} has version ${String(version)}, not ${VERSION}`,
    { data: { id: key, version } },
  )
}

/** What gc must keep for a container: its image, whatever happens to the image's names, and its own layer. */
export function rootsOf(record: ContainerRecord): Digest[] {
  return [record.image.descriptor.digest, ...(record.layer === undefined ? [] : layerRoots(record.layer))]
}

export function layerRoots({ descriptor, diffID }: LayerRef): Digest[] {
  const twin = digestOfUncompressed(diffID)
  return twin === descriptor.digest || !isDigest(twin) ? [descriptor.digest] : [descriptor.digest, twin]
}

/** The exit code of what was killed: 128 + SIGKILL. */
export const KILLED = 137

/** A record with what is true now: one that says `running` but is held by nobody was left by a process that died. */
export function infoOf(record: ContainerRecord, holder: DocumentHolder | undefined): ContainerInfo {
  const info = { ...record, pid: holder?.pid }
  if (record.status !== 'running' || holder !== undefined) return info
  return { ...info, status: 'dead', exitCode: KILLED }
}

/** The whole command line. @throws ContainerError COMMAND_MISSING */
export function commandOf({ settings, name }: Pick<ContainerInfo, 'settings' | 'name'>): string[] {
  const argv = [...settings.entrypoint, ...settings.cmd]
  if (argv.length > 0) return argv
  throw new ContainerError(
    'COMMAND_MISSING',
    `container ${name}: neither the image nor the caller says what to run`,
    { data: { name } },
  )
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }

/** 128 + the number of the signal that a stop stands for; SIGTERM unless its reason says otherwise. */
export function codeOfStop(stop: AbortSignal): number {
  const name = stop.reason instanceof Error ? stop.reason.message : ''
  return 128 + (SIGNAL_NUMBERS[name] ?? 15)
}
