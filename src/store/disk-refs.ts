// Refs on disk: `index.json` is the truth, replaced whole under the lock; reflog.ts keeps every change.
import { canonicalJson, REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import type { Digest } from '../digest.js'
import type { Env } from '../env.js'
import { StoreError } from '../errors.js'
import type { BlobStore } from './blobs.js'
import { type Disk, replaceFile } from './disk-layout.js'
import { msToNs } from './leases.js'
import { requireWhole } from './reach.js'
import { happened, RefLog, sameTarget, type LoggedChange } from './reflog.js'
import {
  checkExpectedRef,
  checkRefName,
  EMPTY_INDEX,
  findRef,
  parseIndex,
  refsOf,
  targetOf,
  untaggedOf,
  withRef,
  type IndexDocument,
} from './refs.js'
import type { Ref, RefChange, RefStore } from './store.js'

/** A store that is written without a pause would else never be read. */
const READ_TRIES = 100

export class DiskRefStore implements RefStore {
  readonly #log: RefLog
  #cached: { readonly stamp: string; readonly index: IndexDocument } | undefined

  constructor(
    readonly disk: Disk,
    readonly blobs: BlobStore,
    readonly env: Env,
    readonly locked: <T>(fn: () => Promise<T>) => Promise<T>,
  ) {
    this.#log = new RefLog(disk)
  }

  async get(name: string): Promise<Descriptor | undefined> {
    return findRef(this.index(), name)
  }

  async list(): Promise<Ref[]> {
    return refsOf(this.index())
  }

  async set(name: string, target: Descriptor | undefined, expected?: Digest | null): Promise<void> {
    checkRefName(name)
    await this.locked(async () => {
      const index = this.index()
      const before = findRef(index, name)
      checkExpectedRef(name, before, expected)
      if (target !== undefined) await requireWhole(this.blobs, target)
      if (before === undefined && target === undefined) return
      const after = target && withoutRefName(target)
      const changes = this.#changesTo(name, before, after)
      await this.#log.append(name, changes)
      await replaceFile(this.disk, this.disk.paths.index, canonicalJson(withRef(index, name, after)))
      this.#log.confirm(name, changes.at(-1)!.timeNs)
    })
  }

  /** What the log must be told: this change, and before it one that something else has made meanwhile. */
  #changesTo(name: string, before: Descriptor | undefined, after: Descriptor | undefined): RefChange[] {
    const timeNs = this.env.now()
    const last = happened(this.#log.read(name), before).at(-1)?.after
    const elsewhere = sameTarget(last, before) ? [] : [{ timeNs, before: last, after: before }]
    return [...elsewhere, { timeNs, before, after }]
  }

  /** Newest first. A change that another tool made to `index.json` appears with the time of the file. */
  async history(name: string): Promise<RefChange[]> {
    const { current, changes: logged } = this.#refWithLog(name)
    const changes = happened(logged, current).map(({ timeNs, before, after }) => ({ timeNs, before, after }))
    const last = changes.at(-1)?.after
    if (!sameTarget(last, current)) {
      const mtimeMs = this.disk.fs.stat(this.disk.paths.index)?.mtimeMs ?? 0
      changes.push({ timeNs: msToNs(mtimeMs), before: last, after: current })
    }
    return changes.reverse()
  }

  async names(): Promise<string[]> {
    const index = this.index()
    const names = new Set(refsOf(index).map(({ name }) => name))
    for (const name of this.#log.names()) {
      if (happened(this.#log.read(name), findRef(index, name)).length > 0) names.add(name)
    }
    return [...names].sort()
  }

  async restore(): Promise<string[]> {
    return this.locked(async () => {
      if (this.#isReadable()) return []
      const { fs, paths } = this.disk
      let index = EMPTY_INDEX
      for (const name of [...this.#log.names()].sort()) {
        const target = this.#log.read(name).at(-1)?.after
        if (target !== undefined) index = withRef(index, name, target)
      }
      const damaged = fs.readFile(paths.index)
      if (damaged !== undefined) await replaceFile(this.disk, `${paths.lamella}/index.json.damaged`, damaged)
      await replaceFile(this.disk, paths.index, canonicalJson(index))
      return refsOf(index).map(({ name }) => name)
    })
  }

  /** Reflogs that are damaged. */
  damagedLogs(): Iterable<string> {
    return this.#log.damaged()
  }

  /** Refs that are not as the last change of ours left them. Others may be changing them meanwhile. */
  *changedElsewhere(): Generator<{ name: string; logged: Descriptor | undefined }> {
    for (const name of this.#log.names()) {
      const { current, changes } = this.#refWithLog(name)
      if (changes.length === 0) continue
      const logged = happened(changes, current).at(-1)?.after
      // The last change may be one that did not happen; then what was before it counts.
      const { before, after, isDone } = changes.at(-1)!
      const expected = (isDone === true ? [after] : [before, after, logged]).map((target) =>
        JSON.stringify(target),
      )
      if (!sameTarget(logged, current) || !expected.includes(JSON.stringify(current))) yield { name, logged }
    }
  }

  /** A ref and its history of one moment: read again while the index is changed between the two. */
  #refWithLog(name: string): { current: Descriptor | undefined; changes: readonly LoggedChange[] } {
    for (let tries = 0; ; tries++) {
      const index = this.index()
      const changes = this.#log.read(name)
      if (this.index() === index || tries === READ_TRIES) return { current: findRef(index, name), changes }
    }
  }

  #isReadable(): boolean {
    try {
      this.index()
      return true
    } catch (error) {
      if (error instanceof StoreError) return false
      throw error
    }
  }

  async untagged(): Promise<Descriptor[]> {
    return untaggedOf(this.index())
  }

  /** The index as it is now; parsed again only when the file is another one. @throws StoreError STORE_UNREADABLE */
  index(): IndexDocument {
    const { fs, paths } = this.disk
    const stat = fs.stat(paths.index)
    if (stat === undefined) return EMPTY_INDEX
    const stamp = `${stat.ino} ${stat.size} ${stat.mtimeMs}`
    if (this.#cached?.stamp === stamp) return this.#cached.index
    const bytes = fs.readFile(paths.index)
    const index = bytes === undefined ? EMPTY_INDEX : parseIndex(decodeIndex(bytes))
    // The file may have been replaced between the two calls: then it is parsed once more next time.
    this.#cached = { stamp, index }
    return index
  }
}

/** @throws StoreError STORE_UNREADABLE */
function decodeIndex(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new StoreError('STORE_UNREADABLE', 'index.json is not UTF-8', { cause })
  }
}

function withoutRefName(target: Descriptor): Descriptor {
  return targetOf({ ...target, annotations: { ...target.annotations, [REF_NAME_ANNOTATION]: '' } })
}
