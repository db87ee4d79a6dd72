// Front door of the store room.
export { bytesReader, openBlob, readBlob, readInto, readVerified, verifyBlob } from './blobs.js'
export type { BlobBytes, BlobInfo, BlobReader, BlobStore, ByteRange, Expectation, Ingest } from './blobs.js'
export type {
  DerivedProblem,
  Document,
  DocumentEdit,
  DocumentHold,
  DocumentHolder,
  DocumentReader,
  DocumentRoot,
  DocumentStore,
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
export { peekRecord } from './records.js'
export { createMemoryStore } from './memory-store.js'
export type { MemoryStoreOptions } from './memory-store.js'
export { DiskBlobStore } from './disk.js'
export { openDiskStore } from './open.js'
export type { DiskStoreOptions } from './disk-store.js'
export type { Durability } from './disk-layout.js'
export { besidePlace, writeFileWhole } from './disk-beside.js'
export type { WriteFileOptions } from './disk-beside.js'
export { currentOwner, isOwnerAlive } from './owner.js'
export type { Owner } from './owner.js'
export { commitLayer, openLayerBlob } from './layers.js'
export type { CommitLayerOptions, OpenLayerOptions } from './layers.js'
export { leasedBlobs } from './leased.js'
export type { Hold } from './leased.js'
export { verified } from './verify.js'
export { compressStream, decompressStream, sniffCompression } from './compression.js'
export type { Compression } from './compress.js'
export { encodeTar, readSparse, scanTar } from './tar/index.js'
/** @internal */
export { StreamWindow, TarScanner, windowOver } from './tar/index.js'
export type {
  EncodeOptions,
  PlainHeader,
  ScanLimits,
  SparseMap,
  TarEntry,
  TarEntryKind,
  TarInput,
  TarRange,
} from './tar/index.js'
export { applyGc, planGc } from './gc.js'
export type { GcItem, GcOptions, GcPlan, GcResult } from './gc.js'
export { applyPrune, defaultPrunePolicies, dockerPrunePolicies, planPrune } from './prune.js'
export type {
  CacheRecordInfo,
  CacheRecordType,
  DiskSpace,
  PruneItem,
  PruneOptions,
  PrunePlan,
  PrunePolicy,
} from './prune.js'
export { diskUsage } from './usage.js'
export type { DiskUsage, DiskUsageOptions, ImageUsage, UsageCount } from './usage.js'
export { checkStore, repairStore } from './check.js'
export type { CheckOptions, Problem, RepairOptions, RepairResult, Severity } from './check.js'
