// Front door of the tar codec.
export { scanTar } from './read.js'
export type { ScanLimits, TarEntry, TarEntryKind } from './read.js'
export { encodeTar } from './write.js'
export type { EncodeOptions, TarInput } from './write.js'
export { readSparse } from './sparse.js'
export type { ReadAt, SparseMap, SparseRun } from './sparse.js'
