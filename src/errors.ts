// The error kinds of the library and their codes. Leaf: imports nothing.
//
// Branch on `code`, never on `message`: codes stay stable between majors, messages may improve. The filesystem facade is
// the exception: it throws exactly what Node throws (`unionfs/fs/errno.ts`).

export type StoreErrorCode =
  | 'DIGEST_INVALID'
  | 'DIGEST_MISMATCH'
  | 'SIZE_MISMATCH'
  | 'BLOB_NOT_FOUND'
  | 'REF_NOT_FOUND'
  | 'REF_CONFLICT'
  | 'REF_INVALID'
  | 'STORE_NOT_FOUND'
  | 'STORE_NOT_OCI'
  | 'STORE_UNREADABLE'
  | 'STORE_VERSION'
  | 'STORE_CLOSED'
  | 'STORE_READ_ONLY'
  | 'STORE_WRITE_FAILED'
  | 'INGEST_BUSY'
  | 'DOCUMENT_DAMAGED'

export type LayerErrorCode =
  | 'TAR_HEADER_INVALID'
  | 'TAR_TYPE_UNKNOWN'
  | 'TAR_TRUNCATED'
  | 'TAR_PAX_INVALID'
  | 'TAR_SPARSE_INVALID'
  | 'LAYER_PATH_INVALID'
  | 'LAYER_ENTRY_INVALID'
  | 'LAYER_LIMIT'
  | 'LAYER_LINK_INVALID'
  | 'LAYER_INDEX_DAMAGED'
  | 'MEDIA_TYPE_UNSUPPORTED'
  | 'COMPRESSION_INVALID'
  | 'CHECKOUT_NOT_EMPTY'

export type ImageErrorCode =
  'IMAGE_NOT_FOUND' | 'IMAGE_INVALID' | 'PLATFORM_NOT_FOUND' | 'REFERENCE_INVALID' | 'ARCHIVE_INVALID'

export type DockerfileErrorCode =
  | 'DOCKERFILE_EMPTY'
  | 'DOCKERFILE_SYNTAX'
  | 'DIRECTIVE_INVALID'
  | 'UNKNOWN_INSTRUCTION'
  | 'UNKNOWN_FLAG'
  | 'FLAG_INVALID'
  | 'ARGUMENT_INVALID'
  | 'EXPANSION_INVALID'
  | 'HEREDOC_UNTERMINATED'
  | 'IGNORE_PATTERN_INVALID'
  | 'NOT_SUPPORTED'

export type BuildErrorCode =
  | 'DOCKERFILE_NOT_FOUND'
  | 'CONTEXT_NOT_FOUND'
  | 'CONTEXT_UNREADABLE'
  | 'CONTEXT_CHANGED'
  | 'SOURCE_NOT_FOUND'
  | 'PATH_ESCAPES_CONTEXT'
  | 'COPY_CONFLICT'
  | 'STAGE_NOT_FOUND'
  | 'STAGE_NOT_DEFINED_YET'
  | 'STAGE_CIRCULAR'
  | 'BASE_IMAGE_NOT_FOUND'
  | 'RUN_FAILED'
  | 'EXECUTOR_MISSING'
  | 'EXECUTOR_CAPABILITY'
  | 'EXECUTOR_NO_MATCH'
  | 'EXECUTOR_PEER_MISSING'
  | 'USER_NOT_FOUND'
  | 'CHECKSUM_MISMATCH'
  | 'FETCH_FAILED'
  | 'GIT_MISSING'
  | 'GIT_REF_NOT_FOUND'
  | 'OPTION_INVALID'
  | 'OUTPUT_INVALID'
  | 'CHECK_FAILED'
  | 'CACHE_IMPORT_INVALID'

export type ContainerErrorCode =
  | 'CONTAINER_NOT_FOUND'
  | 'CONTAINER_NAME_INVALID'
  | 'CONTAINER_NAME_IN_USE'
  | 'CONTAINER_BUSY'
  | 'CONTAINER_RUNNING'
  | 'CONTAINER_NOT_RUNNING'
  | 'CONTAINER_CLOSED'
  | 'CONTAINER_RECORD_INVALID'
  | 'COMMAND_MISSING'
  | 'COPY_INVALID'
  | 'CHANGE_INVALID'
  | 'MOUNT_INVALID'
  | 'SIGNAL_INVALID'
  | 'MOUNT_FAILED'
  | 'VOLUME_NOT_FOUND'
  | 'VOLUME_NAME_INVALID'
  | 'VOLUME_IN_USE'

export type LamellaErrorCode =
  StoreErrorCode | LayerErrorCode | ImageErrorCode | DockerfileErrorCode | BuildErrorCode | ContainerErrorCode

export interface LamellaErrorOptions {
  /** Machine-readable facts about the failure: paths, digests, offsets. */
  readonly data?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/** Base of every domain error: a stable `code`, a message for people, `data` for programs. */
export class LamellaError<Code extends string = string> extends Error {
  readonly code: Code
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: Code, message: string, options: LamellaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.data = options.data ?? {}
  }
}

export class StoreError extends LamellaError<StoreErrorCode> {}
export class LayerError extends LamellaError<LayerErrorCode> {}
export class ImageError extends LamellaError<ImageErrorCode> {}
export class ContainerError extends LamellaError<ContainerErrorCode> {}

/** A place in a text file. Lines and columns are 1-based; columns count UTF-16 code units; `end` is exclusive. */
export interface SourceRange {
  readonly start: { readonly line: number; readonly column: number }
  readonly end: { readonly line: number; readonly column: number }
}

export interface SourceLocation {
  /** Name of the file as the user gave it, e.g. `Dockerfile`; `<stdin>` when it had none. */
  readonly file: string
  readonly range: SourceRange
  /** The text of the line at `range.start`, without its line end. */
  readonly line: string
  /** The lines that BuildKit names for the error, where they are not those of `range`; none when it names none. */
  readonly buildkitLines?: readonly number[]
}

/** An error in the text of a Dockerfile or ignore file. Always has a place. */
export class DockerfileError extends LamellaError<DockerfileErrorCode> {
  readonly location: SourceLocation

  constructor(
    code: DockerfileErrorCode,
    message: string,
    location: SourceLocation,
    options: LamellaErrorOptions = {},
  ) {
    super(code, message, options)
    this.location = location
  }
}

/** An error while planning or running a build; `location` names the instruction when one is to blame. */
export class BuildError extends LamellaError<BuildErrorCode> {
  readonly location: SourceLocation | undefined

  constructor(
    code: BuildErrorCode,
    message: string,
    options: LamellaErrorOptions & { readonly location?: SourceLocation | undefined } = {},
  ) {
    super(code, message, options)
    this.location = options.location
  }
}

/** What Node's own APIs throw when a signal fires: `name: 'AbortError'`, `code: 'ABORT_ERR'`. Never wrapped. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR'
  override readonly name = 'AbortError'
  constructor(cause?: unknown) {
    super('The operation was aborted', cause === undefined ? undefined : { cause })
  }
}

/** @throws AbortError when the signal has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal.reason)
}

/** Whether `error` is a cancellation, from us or from Node. */
export function isAbortError(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === 'ABORT_ERR'
}
