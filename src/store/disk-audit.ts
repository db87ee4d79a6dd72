// What `check` wants to know of a disk store besides its blobs: the folder, the index, and the derived data.
import { isDigest } from '../digest.js'
import { StoreError } from '../errors.js'
import { blobPath, type Disk } from './disk-layout.js'
import { foldersInvalid } from './disk-tidy.js'
import type { DiskDocumentStore } from './disk-documents.js'
import type { DiskLeaseStore } from './disk-leases.js'
import type { DiskRefStore } from './disk-refs.js'
import type { DiskSidecarStore } from './disk-sidecars.js'
import type { LmdbRecordStore } from './lmdb-records.js'
import type { DerivedProblem } from './store.js'

export interface Audited {
  readonly leases: DiskLeaseStore
  readonly refs: DiskRefStore
  readonly sidecars: DiskSidecarStore
  readonly documents: DiskDocumentStore
  /** `undefined` where records lie elsewhere. */
  readonly records: LmdbRecordStore | undefined
}

export function auditDisk(disk: Disk, parts: Audited): DerivedProblem[] {
  const { refs, leases, sidecars, documents, records } = parts
  return [
    ...auditFolders(disk),
    ...auditRefs(refs),
    ...auditLeases(leases),
    ...auditDocuments(documents),
    ...auditBlobFolder(disk),
    ...auditSidecars(sidecars),
    ...(records === undefined ? [] : auditRecords(records)),
  ]
}

function* auditFolders(disk: Disk): Generator<DerivedProblem> {
  for (const { path, isDerived } of foldersInvalid(disk)) {
    yield { code: 'FOLDER_INVALID', severity: 'error', message: `${path} is not a folder`, path, isDerived }
  }
}

function auditRefs(refs: DiskRefStore): DerivedProblem[] {
  const problems: DerivedProblem[] = []
  for (const key of refs.damagedLogs()) {
    const message = `the reflog ${key} has a line that cannot be read`
    problems.push({ code: 'REFLOG_DAMAGED', severity: 'warning', message, key })
  }
  try {
    for (const { name, logged } of refs.changedElsewhere()) {
      const was = logged === undefined ? 'was removed' : `was ${logged.digest}`
      const message = `ref ${name} ${was} when it was last changed here; now index.json says otherwise`
      problems.push({ code: 'REF_CHANGED_ELSEWHERE', severity: 'warning', message, name })
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    problems.push({ code: 'INDEX_INVALID', severity: 'error', message: error.message })
  }
  return problems
}

function* auditLeases(leases: DiskLeaseStore): Generator<DerivedProblem> {
  for (const key of leases.damaged()) {
    const message = `the lease ${key} has a line that cannot be read`
    yield { code: 'LEASE_DAMAGED', severity: 'warning', message, key }
  }
}

function* auditDocuments(documents: DiskDocumentStore): Generator<DerivedProblem> {
  for (const { kind, key, message } of documents.damaged()) {
    yield { code: 'DOCUMENT_DAMAGED', severity: 'error', message, kind, key }
  }
}

function* auditBlobFolder(disk: Disk): Generator<DerivedProblem> {
  for (const name of disk.fs.readDir(disk.paths.blobs) ?? []) {
    const digest = `sha256:${name}`
    const isFolder = isDigest(digest) && disk.fs.stat(blobPath(disk.paths, digest))?.kind === 'dir'
    if (isDigest(digest) && !isFolder) continue
    yield {
      code: 'BLOB_MISNAMED',
      severity: 'warning',
      message: `blobs/sha256/${name} is not a blob: ${isFolder ? 'it is a folder' : 'its name is no digest'}`,
      name,
    }
  }
}

function* auditSidecars(sidecars: DiskSidecarStore): Generator<DerivedProblem> {
  for (const kind of sidecars.kinds()) {
    for (const key of sidecars.keys(kind)) {
      if (sidecars.check(kind, key) !== false) continue
      yield {
        code: 'SIDECAR_DAMAGED',
        severity: 'warning',
        message: `the derived file ${kind}/${key} is damaged`,
        kind,
        key,
      }
    }
  }
}

function* auditRecords(records: LmdbRecordStore): Generator<DerivedProblem> {
  const message = records.problem()
  if (message !== undefined) {
    yield { code: 'RECORDS_DAMAGED', severity: 'warning', message }
    return
  }
  for (const key of records.damaged()) {
    yield { code: 'RECORD_DAMAGED', severity: 'warning', message: `the cache record ${key} is damaged`, key }
  }
}
