// Front door of the store room.
export { bytesReader, openBlob, readBlob } from './blobs.js'
export type { BlobBytes, BlobInfo, BlobReader, BlobStore, ByteRange, Expectation } from './blobs.js'
export type {
  Lease,
  LeaseStore,
  RecordBatch,
  RecordStore,
  Ref,
  RefChange,
  RefStore,
  SidecarStore,
  Store,
} from './store.js'
export { MemoryBlobStore } from './memory.js'
export { createMemoryStore } from './memory-store.js'
export type { MemoryStoreOptions } from './memory-store.js'
export { DiskBlobStore } from './disk.js'
export { openDiskStore } from './open.js'
export type { DiskStoreOptions } from './disk-store.js'
export type { Durability } from './disk-layout.js'
export { commitLayer, openLayerBlob } from './layers.js'
export type { CommitLayerOptions, OpenLayerOptions } from './layers.js'
export { verified } from './verify.js'
export { compressStream, decompressStream, sniffCompression } from './compression.js'
export type { Compression } from './compress.js'
export { encodeTar, readSparse, scanTar } from './tar/index.js'
export type { EncodeOptions, ScanLimits, SparseMap, TarEntry, TarEntryKind, TarInput } from './tar/index.js'
