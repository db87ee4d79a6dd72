// What a build tells while it goes on: typed events, emitted as values. The CLI renders them; research stores them.
import type { Digest, DiffID } from '../digest.js'
import type { SourceLocation } from '../errors.js'

/** A step's number in the order of first appearance, from 1. */
export type StepId = number

/** The answer of the cache for a step. */
export type CacheOutcome = 'hit' | 'miss' | 'off'

export type BuildEvent =
  /** What the build is told by was read; before any step. Warnings about the Dockerfile come between the two. */
  | {
      readonly kind: 'loaded'
      readonly what: 'definition' | 'ignore'
      /** Of the Dockerfile. */
      readonly name: string
      /** Bytes; 0 where there is no ignore file. */
      readonly size: number
    }
  | {
      readonly kind: 'step-planned'
      readonly step: StepId
      /** As BuildKit names it: `[2/6] WORKDIR /usr/src/app`, `[internal] load build context`. */
      readonly name: string
      /** The stage's name and the instruction's place in it; `undefined` for internal steps. */
      readonly stage: string | undefined
      readonly index: number | undefined
      readonly count: number | undefined
      readonly instruction: string | undefined
      readonly location: SourceLocation | undefined
    }
  | { readonly kind: 'step-started'; readonly step: StepId; readonly timeNs: bigint }
  | {
      readonly kind: 'step-output'
      readonly step: StepId
      readonly stream: 'stdout' | 'stderr'
      readonly bytes: Uint8Array
      readonly timeNs: bigint
    }
  | {
      readonly kind: 'step-status'
      readonly step: StepId
      /** e.g. `transferring context`, `exporting layers`. */
      readonly what: string
      readonly current: number
      readonly total: number | undefined
    }
  | {
      readonly kind: 'step-done'
      readonly step: StepId
      readonly timeNs: bigint
      readonly durationNs: bigint
      readonly cache: CacheOutcome
      /** For steps with a key: the record's key. */
      readonly key: Digest | undefined
      /** The layer that the step gives, if it gives one. */
      readonly layer: { readonly diffID: DiffID; readonly size: number } | undefined
    }
  | { readonly kind: 'step-failed'; readonly step: StepId; readonly timeNs: bigint; readonly error: Error }
  | {
      readonly kind: 'warning'
      readonly code: string
      readonly message: string
      readonly location: SourceLocation | undefined
    }
  /** An output was written: an archive, a layout, a tar or a folder. */
  | {
      readonly kind: 'output'
      readonly type: 'oci' | 'docker' | 'tar' | 'local'
      /** A path, or `-` for what goes to a sink. */
      readonly dest: string
      /** Of what `oci` and `docker` wrote, whose compression and media types may be others than the store's. */
      readonly image: Digest | undefined
      readonly config: Digest | undefined
      /** Full names: `docker.io/library/app:1`. */
      readonly names: readonly string[]
      readonly timeNs: bigint
      readonly durationNs: bigint
    }
  | {
      readonly kind: 'exported'
      readonly image: Digest
      readonly config: Digest
      readonly names: readonly string[]
    }

export type BuildListener = (event: BuildEvent) => void
