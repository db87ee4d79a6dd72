// Front door of the library: what is common to all rooms. The rooms have doors of their own: lamella/store,
// lamella/unionfs, lamella/oci, lamella/builder.
export {
  AbortError,
  BuildError,
  ContainerError,
  DockerfileError,
  ImageError,
  isAbortError,
  LamellaError,
  LayerError,
  StoreError,
} from './errors.js'
export type {
  BuildErrorCode,
  ContainerErrorCode,
  DockerfileErrorCode,
  ImageErrorCode,
  LamellaErrorCode,
  LamellaErrorOptions,
  LayerErrorCode,
  SourceLocation,
  SourceRange,
  StoreErrorCode,
} from './errors.js'
export { chainIDs, digestOf, isDigest, parseDiffID, parseDigest } from './digest.js'
export type { ChainID, Digest, DiffID } from './digest.js'
export { MEDIA_TYPES } from './descriptor.js'
export type { Descriptor, Platform } from './descriptor.js'
export { systemEnv } from './env.js'
export type { Env } from './env.js'
export { decodePath, encodePath, printable } from './path.js'
