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
