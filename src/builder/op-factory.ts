// What the planner needs of the operations: it describes them, a factory makes them. Keeps planning free of stores,
// executors and clocks, so that a plan can be made and looked at without anything to run it.
import type { Platform } from '../descriptor.js'
import type { SourceLocation } from '../errors.js'
import type { ImageConfig } from '../oci/index.js'
import type { ExecSpec, PlacedAction } from './key.js'
import type { Op } from './vertex.js'

/** COPY, ADD of local files, WORKDIR, an inline document. */
export interface FileDefinition {
  readonly actions: readonly PlacedAction[]
  readonly inputCount: number
  /**
   * Inputs that are folders of the host, each with the absolute paths and patterns that steps read of it: BuildKit's
   * client sends no more. Their root's own time is left out.
   */
  readonly folders: ReadonlyMap<number, ReadonlySet<string>>
  /** Sources that are written with more `..` than there are directories: cleaned path → as written. */
  readonly clamped?: ReadonlyMap<string, string> | undefined
  /** For people and for explanations: the instruction's text. */
  readonly title: string
  readonly location: SourceLocation | undefined
}

export const NO_FOLDERS: FileDefinition['folders'] = new Map()

/** RUN. */
export interface RunDefinition {
  readonly spec: ExecSpec
  /** As `ExecRequest.commandLine`. */
  readonly commandLine: string
  /** Variables that are in the process's environment and in no key: proxies. */
  readonly proxyEnv: readonly (readonly [name: string, value: string])[]
  readonly location: SourceLocation
}

/** ADD of an http(s) URL. */
export interface HttpDefinition {
  readonly url: string
  /** Name of the file that it becomes. */
  readonly filename: string
  /** `sha256:…` that the body must have. */
  readonly checksum: string | undefined
  readonly location: SourceLocation | undefined
}

/** ADD of a git URL, and git build contexts. */
export interface GitDefinition {
  /** URL without query and fragment. */
  readonly remote: string
  /** As it was written, for progress. */
  readonly url?: string | undefined
  /** Branch, tag or commit; '' is the default branch. */
  readonly ref: string
  /** Path from the repository's root without leading `/`; '' is all of it. */
  readonly subdir: string
  /** First hex digits that the commit must have. */
  readonly checksum: string | undefined
  readonly keepGitDir: boolean
  readonly submodules: boolean
  readonly location: SourceLocation | undefined
}

export interface OpFactory {
  file(definition: FileDefinition): Op
  run(definition: RunDefinition): Op
  http(definition: HttpDefinition): Op
  git(definition: GitDefinition): Op
  /** The layers of the inputs on top of each other: COPY --link. */
  merge(inputCount: number): Op
  /** The build context. */
  context(): Op
}

/** Where a stage starts or what a `--from` names, when it is no stage. */
export interface ResolvedSource {
  /** In full: `docker.io/library/node:20@sha256:…`, or the context's name. */
  readonly name: string
  /** Name of the context that led here, when one did. */
  readonly context?: string | undefined
  /** `undefined` for an image without layers. */
  readonly op: Op | undefined
  /** `undefined` for a folder. */
  readonly config: ImageConfig | undefined
}

export interface SourceResolver {
  /** A `--build-context` by name; `undefined` when there is none of that name. */
  namedContext(name: string, platform: Platform): Promise<ResolvedSource | undefined>
  /** @throws BuildError BASE_IMAGE_NOT_FOUND, ImageError */
  image(reference: string, platform: Platform): Promise<ResolvedSource>
}
