// fsck: everything re-hashed and every reference followed; findings are values. Repair takes findings, and touches only
// what can be made again, unless it is told to.
import { LamellaError, StoreError, throwIfAborted } from '../errors.js'
import type { DiffID, Digest } from '../digest.js'
import { verifyBlob, type BlobInfo } from './blobs.js'
import { layerProblems, planDamaged } from './check-twins.js'
import { mayBeAbsent, walkReachable, type Reached } from './reach.js'
import type { DerivedProblem, Store } from './store.js'

/**
 * - `error`: something that a ref promises is not so
 * - `warning`: damage to what can be made again, or to what nothing refers to
 * - `note`: nothing wrong
 */
export type Severity = 'error' | 'warning' | 'note'

export type Problem =
  | {
      /** The bytes do not have the digest that is their name. */
      readonly code: 'BLOB_DAMAGED'
      readonly severity: Severity
      readonly message: string
      readonly digest: Digest
      readonly size: number
      /** It can be made again: it is the uncompressed form of a layer that is there. */
      readonly canRebuild: boolean
    }
  | {
      /** A document names a blob that is not there. `PART_MISSING`: which is allowed, as a platform never fetched. */
      readonly code: 'BLOB_MISSING' | 'PART_MISSING'
      readonly severity: Severity
      readonly message: string
      readonly digest: Digest
      readonly from: Digest
    }
  | {
      readonly code: 'REF_DANGLING'
      readonly severity: 'error'
      readonly message: string
      readonly digest: Digest
      readonly names: readonly string[]
    }
  | {
      /** A container or volume needs a blob that is not there. */
      readonly code: 'DOCUMENT_DANGLING'
      readonly severity: 'error'
      readonly message: string
      readonly digest: Digest
      readonly kind: string
      readonly key: string
    }
  | {
      /** A reference says another size than the blob has. */
      readonly code: 'SIZE_WRONG'
      readonly severity: 'error'
      readonly message: string
      readonly digest: Digest
      readonly from: Digest | undefined
      readonly expected: number
      readonly actual: number
    }
  | {
      /** A document is whole, but not of its kind. */
      readonly code: 'DOCUMENT_INVALID'
      readonly severity: 'error'
      readonly message: string
      readonly digest: Digest
    }
  | {
      /** A layer is whole, but does not unpack to what the image's config says, or not at all. */
      readonly code: 'LAYER_INVALID'
      readonly severity: 'error'
      readonly message: string
      readonly digest: Digest
      readonly diffID: DiffID
    }
  | {
      /** No ref, lease or caller wants it: what gc would remove. */
      readonly code: 'BLOB_UNREFERENCED'
      readonly severity: 'note'
      readonly message: string
      readonly digest: Digest
      readonly size: number
    }
  | DerivedProblem

export interface CheckOptions {
  /** What the build cache and others keep, as in `planGc`. */
  readonly keep?: Iterable<Digest>
  /** Leave out reading every blob: seconds instead of minutes, but damage is not seen. Default false. */
  readonly skipContent?: boolean
  readonly onProgress?: (bytes: number, totalBytes: number) => void
  readonly signal?: AbortSignal | undefined
}

/** All that is wrong with a store, gravest first. Changes nothing; may run while others work. */
export async function checkStore(store: Store, options: CheckOptions = {}): Promise<Problem[]> {
  const problems: Problem[] = [...(await store.audit())]
  const blobs: BlobInfo[] = []
  for await (const blob of store.blobs.list()) blobs.push(blob)
  const damaged = options.skipContent === true ? [] : await findDamaged(store, blobs, options)
  // What cannot be read of the index or the documents is one of the audit's findings; without all roots nothing more can be said.
  if (!problems.some(({ code }) => code === 'INDEX_INVALID' || code === 'DOCUMENT_DAMAGED')) {
    problems.push(...(await problemsThatStay(() => followReferences(store, blobs, damaged, options))))
    if (options.skipContent !== true) problems.push(...(await layerProblems(store, damaged, options.signal)))
  }
  const rebuildable = await planDamaged(store, damaged)
  for (const { digest, size } of damaged) {
    const canRebuild = rebuildable.has(digest)
    const message = `blob ${digest} of ${size} bytes is damaged`
    problems.push({
      code: 'BLOB_DAMAGED',
      severity: canRebuild ? 'warning' : 'error',
      message,
      digest,
      size,
      canRebuild,
    })
  }
  return problems.sort((a, b) => RANK[a.severity] - RANK[b.severity])
}

const RANK: Record<Severity, number> = { error: 0, warning: 1, note: 2 }

async function findDamaged(
  store: Store,
  blobs: readonly BlobInfo[],
  { onProgress, signal }: CheckOptions,
): Promise<BlobInfo[]> {
  const damaged: BlobInfo[] = []
  const total = blobs.reduce((sum, { size }) => sum + size, 0)
  let done = 0
  for (const blob of blobs) {
    throwIfAborted(signal)
    try {
      await verifyBlob(store.blobs, blob.digest)
    } catch (error) {
      // Removed since it was listed: by a gc, so nobody's.
      const code = error instanceof LamellaError ? error.code : undefined
      if (code !== 'BLOB_NOT_FOUND') damaged.push(blob)
    }
    done += blob.size
    onProgress?.(done, total)
  }
  return damaged
}

/**
 * Others work meanwhile: a ref that was listed may be changed, and its image swept, before it is followed. What is wrong is
 * wrong when one looks again.
 */
async function problemsThatStay(find: () => Promise<Problem[]>): Promise<Problem[]> {
  const first = await find()
  if (first.every(({ severity }) => severity === 'note')) return first
  const again = new Set((await find()).map(({ message }) => message))
  return first.filter(({ message }) => again.has(message))
}

async function followReferences(
  store: Store,
  blobs: readonly BlobInfo[],
  damaged: readonly BlobInfo[],
  options: CheckOptions,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const names = new Map<Digest, string[]>()
  for (const { name, target } of await store.refs.list()) {
    names.set(target.digest, [...(names.get(target.digest) ?? []), name])
  }
  const roots = [...(await store.refs.list()).map(({ target }) => target), ...(await store.refs.untagged())]
  const known = new Set(damaged.map(({ digest }) => digest))
  const reachable = await walkReachable(store.blobs, roots, {
    missing: (blob) => void problems.push(...missingProblem(blob, names)),
    unreadable(blob, error) {
      if (!known.has(blob.digest)) problems.push(documentProblem(blob, error))
    },
    found(blob, size) {
      if (blob.size !== undefined && blob.size !== size && !known.has(blob.digest)) {
        problems.push(sizeProblem(blob, blob.size, size))
      }
    },
  })
  const leases = (await store.leases.list()).flatMap(({ digests }) => digests)
  const wanted = await walkReachable(store.blobs, [...leases, ...(options.keep ?? [])], {
    unreadable: () => undefined,
  })
  const documents = await followDocuments(store)
  problems.push(...documents.problems)
  for (const digest of documents.reached) wanted.add(digest)
  for (const { digest, size } of blobs) {
    if (reachable.has(digest) || wanted.has(digest)) continue
    const message = `blob ${digest} of ${size} bytes is not referred to`
    problems.push({ code: 'BLOB_UNREFERENCED', severity: 'note', message, digest, size })
  }
  return problems
}

async function followDocuments(
  store: Store,
): Promise<{ readonly problems: Problem[]; readonly reached: ReadonlySet<Digest> }> {
  const roots = await store.documents.roots()
  const problems: Problem[] = []
  const reached = await walkReachable(
    store.blobs,
    roots.map(({ digest }) => digest),
    {
      unreadable: () => undefined,
      missing({ digest, from, kind: reference }) {
        if (reference === 'twin') return
        for (const { kind, key } of roots.filter((root) => root.digest === (from ?? digest))) {
          const message = `${kind}/${key} needs ${digest}, which is not there`
          problems.push({ code: 'DOCUMENT_DANGLING', severity: 'error', message, digest, kind, key })
        }
      },
    },
  )
  return { problems, reached }
}

function missingProblem(blob: Reached, names: ReadonlyMap<Digest, readonly string[]>): Problem[] {
  const { digest, from, kind } = blob
  if (kind === 'twin') return []
  if (from === undefined) {
    const refs = names.get(digest) ?? []
    const who = refs.length === 0 ? 'an entry of index.json' : `ref ${refs.join(', ')}`
    return [
      {
        code: 'REF_DANGLING',
        severity: 'error',
        message: `${who} points at ${digest}, which is not there`,
        digest,
        names: refs,
      },
    ]
  }
  const isFine = mayBeAbsent(blob)
  return [
    {
      code: isFine ? 'PART_MISSING' : 'BLOB_MISSING',
      severity: isFine ? 'note' : 'error',
      message: `${from} names ${digest}, which is not there`,
      digest,
      from,
    },
  ]
}

function documentProblem(blob: Reached, error: StoreError): Problem {
  const message = `${blob.digest} is not a ${blob.mediaType ?? 'document'}: ${error.message}`
  return { code: 'DOCUMENT_INVALID', severity: 'error', message, digest: blob.digest }
}

function sizeProblem(blob: Reached, expected: number, actual: number): Problem {
  const { digest, from } = blob
  const message = `${from ?? 'index.json'} says that ${digest} has ${expected} bytes, but it has ${actual}`
  return { code: 'SIZE_WRONG', severity: 'error', message, digest, from, expected, actual }
}

export interface RepairOptions {
  /** Remove damaged blobs that cannot be made again, so that a pull, load or build can bring them anew. */
  readonly removeDamaged?: boolean
  /** Remove refs whose target is not there. */
  readonly removeDangling?: boolean
  /** Make an `index.json` that cannot be read anew from the histories of the refs; see `RefStore.restore`. */
  readonly restoreIndex?: boolean
}

export interface RepairResult {
  readonly repaired: readonly Problem[]
  /** What was left as it is: it cannot be made again, or there is nothing that could be done. */
  readonly left: readonly Problem[]
}

/**
 * Repairs what can be: removes damaged derived data and damaged blobs that can be made again. More only when told.
 * Problems that are gone by now count as repaired; notes are left.
 */
export async function repairStore(
  store: Store,
  problems: readonly Problem[],
  options: RepairOptions = {},
): Promise<RepairResult> {
  const repaired: Problem[] = []
  const left: Problem[] = []
  for (const problem of problems) {
    ;((await repairOne(store, problem, options)) ? repaired : left).push(problem)
  }
  await store.tidy()
  return { repaired, left }
}

async function repairOne(store: Store, problem: Problem, options: RepairOptions): Promise<boolean> {
  switch (problem.code) {
    case 'SIDECAR_DAMAGED':
      await store.sidecars.delete(problem.kind, problem.key)
      return true
    case 'FOLDER_INVALID':
      // By `tidy`, at the end.
      return problem.isDerived
    case 'RECORDS_DAMAGED':
      await store.records.clear?.()
      return true
    case 'RECORD_DAMAGED':
      await store.records.write({ delete: [problem.key] })
      return true
    case 'BLOB_DAMAGED':
      if (!problem.canRebuild && options.removeDamaged !== true) return false
      await store.blobs.delete(problem.digest)
      return true
    case 'INDEX_INVALID':
      if (options.restoreIndex !== true) return false
      await store.refs.restore()
      return true
    case 'REF_DANGLING': {
      if (options.removeDangling !== true || problem.names.length === 0) return false
      for (const name of problem.names) await dropRef(store, name, problem.digest)
      return true
    }
    default:
      return false
  }
}

async function dropRef(store: Store, name: string, digest: Digest): Promise<void> {
  try {
    await store.refs.set(name, undefined, digest)
  } catch (error) {
    // It points elsewhere by now, which is as good.
    if (!(error instanceof StoreError) || error.code !== 'REF_CONFLICT') throw error
  }
}
