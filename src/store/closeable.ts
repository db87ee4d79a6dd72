// Makes a Store of its parts: after `close` every method of every part fails with STORE_CLOSED. Pure.
import { StoreError } from '../errors.js'
import type { BlobStore, Ingest } from './blobs.js'
import { peekRecord } from './records.js'
import type {
  DerivedProblem,
  DocumentStore,
  LeaseStore,
  RecordStore,
  RefStore,
  SidecarStore,
  Store,
} from './store.js'

export interface StoreParts {
  readonly blobs: BlobStore
  readonly refs: RefStore
  readonly leases: LeaseStore
  readonly records: RecordStore
  readonly sidecars: SidecarStore
  readonly documents: DocumentStore
  readonly path: string | undefined
  exclusive<T>(fn: () => Promise<T>): Promise<T>
  tidy(): Promise<number>
  audit(): Promise<DerivedProblem[]>
  space(): Promise<{ readonly total: number; readonly free: number } | undefined>
  /** What an error of a method that writes is for the caller; default: itself. */
  errorOf?(error: unknown): unknown
  /** Releases what the parts hold; called once. */
  release(): Promise<void>
}

interface Check {
  (): void
  /** What a method that writes gives, its errors as the caller shall have them. */
  written<T>(result: Promise<T>): Promise<T>
}

export function closeable(parts: StoreParts): Store {
  let closing: Promise<void> | undefined
  const close = () => (closing ??= parts.release())
  const isOpen = () => {
    if (closing !== undefined) throw new StoreError('STORE_CLOSED', 'the store is closed')
  }
  const { errorOf } = parts
  const written = <T>(result: Promise<T>): Promise<T> =>
    errorOf === undefined
      ? result
      : result.catch((error: unknown) => {
          throw errorOf(error)
        })
  const check: Check = Object.assign(isOpen, { written })
  return {
    blobs: checkedBlobs(parts.blobs, check),
    refs: checkedRefs(parts.refs, check),
    leases: checkedLeases(parts.leases, check),
    records: checkedRecords(parts.records, check),
    sidecars: checkedSidecars(parts.sidecars, check),
    documents: checkedDocuments(parts.documents, check),
    path: parts.path,
    async exclusive(fn) {
      check()
      return check.written(parts.exclusive(fn))
    },
    async tidy() {
      check()
      return check.written(parts.tidy())
    },
    async space() {
      check()
      return parts.space()
    },
    async audit() {
      check()
      return parts.audit()
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

// Async methods reject, iterations throw when they begin, synchronous ones throw: as the contracts' own errors do.

function checkedBlobs(blobs: BlobStore, check: Check): BlobStore {
  return {
    async put(bytes, expect, options) {
      check()
      return check.written(blobs.put(bytes, expect, options))
    },
    async *get(digest, range) {
      check()
      yield* blobs.get(digest, range)
    },
    async stat(digest) {
      check()
      return blobs.stat(digest)
    },
    async delete(digest) {
      check()
      return check.written(blobs.delete(digest))
    },
    async *list() {
      check()
      yield* blobs.list()
    },
    ...(blobs.read && {
      async read(digest) {
        check()
        return blobs.read!(digest)
      },
    }),
    ...(blobs.verify && {
      async verify(digest) {
        check()
        return blobs.verify!(digest)
      },
    }),
    ...(blobs.open && {
      async open(digest) {
        check()
        return blobs.open!(digest)
      },
    }),
    ...(blobs.ingest && {
      async ingest(name) {
        check()
        return checkedIngest(await check.written(blobs.ingest!(name)), check)
      },
    }),
  }
}

function checkedIngest(ingest: Ingest, { written }: Check): Ingest {
  return {
    name: ingest.name,
    get size() {
      return ingest.size
    },
    append: (bytes, options) => written(ingest.append(bytes, options)),
    commit: (expect) => written(ingest.commit(expect)),
    discard: () => written(ingest.discard()),
    close: () => written(ingest.close()),
  }
}

function checkedRefs(refs: RefStore, check: Check): RefStore {
  return {
    async get(name) {
      check()
      return refs.get(name)
    },
    async set(name, target, expected) {
      check()
      return check.written(refs.set(name, target, expected))
    },
    async list() {
      check()
      return refs.list()
    },
    async history(name) {
      check()
      return refs.history(name)
    },
    async names() {
      check()
      return refs.names()
    },
    async untagged() {
      check()
      return refs.untagged()
    },
    async restore() {
      check()
      return check.written(refs.restore())
    },
  }
}

function checkedLeases(leases: LeaseStore, check: Check): LeaseStore {
  return {
    async create(options) {
      check()
      return check.written(leases.create(options))
    },
    async add(id, digests) {
      check()
      return check.written(leases.add(id, digests))
    },
    async release(id) {
      check()
      return check.written(leases.release(id))
    },
    async list() {
      check()
      return leases.list()
    },
  }
}

function checkedRecords(records: RecordStore, check: Check): RecordStore {
  return {
    get(key) {
      check()
      return records.get(key)
    },
    peek(key) {
      check()
      return peekRecord(records, key)
    },
    async write(batch) {
      check()
      return check.written(records.write(batch))
    },
    keys(prefix) {
      check()
      return records.keys(prefix)
    },
    ...(records.clear && {
      async clear() {
        check()
        await check.written(records.clear!())
      },
    }),
  }
}

function checkedSidecars(sidecars: SidecarStore, check: Check): SidecarStore {
  return {
    get(kind, key) {
      check()
      return sidecars.get(kind, key)
    },
    async put(kind, key, bytes) {
      check()
      return check.written(sidecars.put(kind, key, bytes))
    },
    async delete(kind, key) {
      check()
      return check.written(sidecars.delete(kind, key))
    },
    async list(kind) {
      check()
      return sidecars.list(kind)
    },
  }
}

function checkedDocuments(documents: DocumentStore, check: Check): DocumentStore {
  return {
    async get(kind, key) {
      check()
      return documents.get(kind, key)
    },
    async list(kind) {
      check()
      return documents.list(kind)
    },
    async change(fn) {
      check()
      return check.written(documents.change(fn))
    },
    async hold(kind, key) {
      check()
      return check.written(documents.hold(kind, key))
    },
    async holder(kind, key) {
      check()
      return documents.holder(kind, key)
    },
    async roots() {
      check()
      return documents.roots()
    },
  }
}
