// The Store: everything that lamella keeps, behind one value. Implementations: openDiskStore (disk-store.ts) and
// createMemoryStore (memory-store.ts). Only three kinds of thing in it mutate: refs, leases and the derived data.
import type { Descriptor } from '../descriptor.js'
import type { Digest } from '../digest.js'
import type { BlobStore } from './blobs.js'

export interface Store extends AsyncDisposable {
  readonly blobs: BlobStore
  readonly refs: RefStore
  readonly leases: LeaseStore
  /** Derived records, small and many: the build cache's index. Losing it costs time, never data. */
  readonly records: RecordStore
  /** Derived files, few and larger: layer indexes, context stat caches. Losing them costs time, never data. */
  readonly sidecars: SidecarStore
  /** Small durable values: containers, volumes. What they name as roots, gc keeps. */
  readonly documents: DocumentStore
  /** Where the store lies on disk; `undefined` in memory. */
  readonly path: string | undefined
  /**
   * Runs `fn` alone, as gc must: no process changes a ref meanwhile, and a `put` that finds its blob already there, or a
   * lease that is being added to, waits until `fn` has ended. Not reentrant: `fn` must neither set refs or documents, nor
   * put, nor add to leases.
   */
  exclusive<T>(fn: () => Promise<T>): Promise<T>
  /**
   * Removes what processes that died have left: temporary files, expired leases, ingests without a sign of life for a
   * day. @returns how many files
   */
  tidy(): Promise<number>
  /** Bytes of the disk that the store lies on; `undefined` in memory. For `planPrune`. */
  space(): Promise<{ readonly total: number; readonly free: number } | undefined>
  /** What is wrong with what lies beside the blobs. For `checkStore`. */
  audit(): Promise<DerivedProblem[]>
  /** Releases files and locks. Idempotent; afterwards every method fails with STORE_CLOSED. */
  close(): Promise<void>
}

/** A finding about the index or about derived data. @see check.ts for the others */
export type DerivedProblem =
  | { readonly code: 'INDEX_INVALID'; readonly severity: 'error'; readonly message: string }
  | {
      readonly code: 'BLOB_MISNAMED'
      readonly severity: 'warning'
      readonly message: string
      readonly name: string
    }
  | {
      readonly code: 'SIDECAR_DAMAGED'
      readonly severity: 'warning'
      readonly message: string
      readonly kind: string
      readonly key: string
    }
  | {
      /** Data is lost, and gc does not run: what hangs on the document is not known. */
      readonly code: 'DOCUMENT_DAMAGED'
      readonly severity: 'error'
      readonly message: string
      readonly kind: string
      readonly key: string
    }
  | {
      /** A history or lease has a line that is not what was written; it is passed over. */
      readonly code: 'REFLOG_DAMAGED' | 'LEASE_DAMAGED'
      readonly severity: 'warning'
      readonly message: string
      readonly key: string
    }
  | {
      /** Not as the last change of ours left it: another tool changed `index.json`, or it is damaged. */
      readonly code: 'REF_CHANGED_ELSEWHERE'
      readonly severity: 'warning'
      readonly message: string
      readonly name: string
    }
  | {
      /** Something else lies where a folder of ours belongs: nothing can be written there. */
      readonly code: 'FOLDER_INVALID'
      readonly severity: 'error'
      readonly message: string
      /** In the store's folder. */
      readonly path: string
      /** All that such a folder holds can be made again. */
      readonly isDerived: boolean
    }
  | {
      /** The whole cache index; nothing of it is read. */
      readonly code: 'RECORDS_DAMAGED'
      readonly severity: 'warning'
      readonly message: string
    }
  | {
      readonly code: 'RECORD_DAMAGED'
      readonly severity: 'warning'
      readonly message: string
      readonly key: string
    }

export interface Ref {
  /** As in `org.opencontainers.image.ref.name`, e.g. `node:20`. */
  readonly name: string
  readonly target: Descriptor
}

export interface RefChange {
  /** Nanoseconds since the epoch. */
  readonly timeNs: bigint
  /** `undefined` where the ref was created or removed. */
  readonly before: Descriptor | undefined
  readonly after: Descriptor | undefined
}

/** Names for descriptors; the only mutable truth in a store. On disk: the annotated manifests of `index.json`. */
export interface RefStore {
  /** The ref's target, or `undefined`. */
  get(name: string): Promise<Descriptor | undefined>
  /**
   * Points a ref at a descriptor, or removes it when `target` is `undefined`. Removing an absent ref is no error.
   *
   * @param expected  compare-and-set: the digest that the ref must have now, `null` for "must be absent";
   *                  left out, the ref is set whatever it was
   * @throws StoreError REF_CONFLICT (data: name, expected, actual); nothing is changed
   * @throws StoreError REF_INVALID when the name is empty or has control characters
   * @throws StoreError BLOB_NOT_FOUND when the target, or a part of it, is not in the store (platforms of an index and
   *         layers that must not be distributed may lack): a gc cannot come between this check and the ref
   */
  set(name: string, target: Descriptor | undefined, expected?: Digest | null): Promise<void>
  /** All refs, sorted by name. */
  list(): Promise<Ref[]>
  /** Changes of one ref, newest first; empty for a name that never was. */
  history(name: string): Promise<RefChange[]>
  /** Names that have a history, those of removed refs included; sorted. */
  names(): Promise<string[]>
  /** What other tools put into the index without a name. Roots for gc, as refs are. */
  untagged(): Promise<Descriptor[]>
  /**
   * Makes an index that cannot be read anew from the histories, and keeps the old one beside it. What only that one knew,
   * entries without a name and refs that other tools made, is not in the new one. Does nothing to one that can be read.
   * @returns names of the refs that were restored
   */
  restore(): Promise<string[]>
}

export interface Lease {
  readonly id: string
  /** Nanoseconds since the epoch. */
  readonly expiresNs: bigint
  readonly digests: readonly Digest[]
}

/** Expiring roots that shield work in progress from gc. */
export interface LeaseStore {
  /** @param ttlMs default 24 hours */
  create(options?: { readonly ttlMs?: number }): Promise<Lease>
  /** Adds digests to a lease and renews it. @throws StoreError REF_NOT_FOUND when it has gone */
  add(id: string, digests: Iterable<Digest>): Promise<void>
  /** Ends a lease; ending one that has gone is no error. */
  release(id: string): Promise<void>
  /** Leases that have not expired. */
  list(): Promise<Lease[]>
}

export interface RecordBatch {
  readonly put?: Iterable<readonly [key: string, value: Uint8Array]>
  readonly delete?: Iterable<string>
}

/**
 * Small values by key: keys at most 500 bytes of UTF-8, values at most 1 MiB. Reads are synchronous, so that a solver
 * can ask for thousands of keys without a turn of the event loop for each.
 */
export interface RecordStore {
  /** The value belongs to the caller. */
  get(key: string): Uint8Array | undefined
  /**
   * As `get`, for whoever only reads: the value may share memory with the store, and is never written into. It stays what it
   * is when the key gets another value. See `peekRecord`.
   */
  peek?(key: string): Uint8Array | undefined
  /** All or nothing; visible to `get` once the promise is fulfilled. */
  write(batch: RecordBatch): Promise<void>
  /** Keys that start with `prefix`, in byte order. */
  keys(prefix: string): Iterable<string>
  /** Forgets all records, also such as cannot be read any more. */
  clear?(): Promise<void>
}

/** Derived files by kind and key (`[a-z0-9-]+` each); a damaged or missing one is simply absent. */
export interface SidecarStore {
  get(kind: string, key: string): Uint8Array | undefined
  put(kind: string, key: string, bytes: Uint8Array): Promise<void>
  delete(kind: string, key: string): Promise<void>
  list(kind: string): Promise<string[]>
}

/** A small JSON value that is kept until it is deleted. */
export interface Document {
  readonly key: string
  /** What `JSON.parse` gives. */
  readonly value: unknown
  /** Blobs, and all that is reachable from them, that gc keeps for as long as the document is there. */
  readonly roots: readonly Digest[]
}

/** Kinds are `[a-z0-9-]+`; keys are letters, digits, `_`, `.` and `-`, and begin with a letter or digit. */
export interface DocumentReader {
  /** @throws StoreError DOCUMENT_DAMAGED */
  get(kind: string, key: string): Promise<Document | undefined>
  /** Sorted by key. @throws StoreError DOCUMENT_DAMAGED */
  list(kind: string): Promise<Document[]>
}

/** What `change` is given. Each call takes effect, durably, when its promise is fulfilled; a crash leaves it done or not done. */
export interface DocumentEdit extends DocumentReader {
  put(kind: string, key: string, value: unknown, roots?: readonly Digest[]): Promise<void>
  /** @returns whether it was there */
  delete(kind: string, key: string): Promise<boolean>
}

/** Values that must not get lost. Few and small: `list` reads them all. */
export interface DocumentStore extends DocumentReader {
  /**
   * Runs `fn` while no other process changes documents or refs, so that what it reads still holds when it writes. Not
   * reentrant, and not inside `exclusive`.
   */
  change<T>(fn: (edit: DocumentEdit) => Promise<T>): Promise<T>
  /**
   * Claims a document, there or not, for this caller until it is released or the process ends. A claim stops nobody from
   * reading or changing; it is for those who ask for it.
   *
   * @returns `undefined` when somebody else, in this process or another, has it
   */
  hold(kind: string, key: string): Promise<DocumentHold | undefined>
  /** Who has a document now; `undefined` when nobody has, or its process has ended. */
  holder(kind: string, key: string): Promise<DocumentHolder | undefined>
  /** The roots of all documents. @throws StoreError DOCUMENT_DAMAGED */
  roots(): Promise<DocumentRoot[]>
}

export interface DocumentRoot {
  readonly kind: string
  readonly key: string
  readonly digest: Digest
}

export interface DocumentHold {
  /** @param options.forget  the key will not be used again: leave no trace of it */
  release(options?: { readonly forget?: boolean }): void
}

export interface DocumentHolder {
  /** Process id on its host; `undefined` in a store in memory. */
  readonly pid: number | undefined
}
