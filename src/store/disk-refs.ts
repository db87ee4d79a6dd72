// Refs on disk: `index.json` is the truth, replaced whole under the lock; `lamella/reflog/` keeps every change.
import { canonicalJson, REF_NAME_ANNOTATION, type Descriptor } from '../descriptor.js'
import { digestOf, hexOf, type Digest } from '../digest.js'
import type { Env } from '../env.js'
import { StoreError } from '../errors.js'
import type { BlobStore } from './blobs.js'
import { type Disk, makeFolder, replaceFile, syncFolder } from './disk-layout.js'
import { msToNs } from './leases.js'
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
import { blobNotFound } from './verify.js'

interface LogLine {
  readonly name: string
  /** Nanoseconds since the epoch, in decimal. */
  readonly time: string
  readonly before: Descriptor | null
  readonly after: Descriptor | null
}

export class DiskRefStore implements RefStore {
  #cached: { readonly stamp: string; readonly index: IndexDocument } | undefined

  constructor(
    readonly disk: Disk,
    readonly blobs: BlobStore,
    readonly env: Env,
    readonly locked: <T>(fn: () => Promise<T>) => Promise<T>,
  ) {}

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
      if (target !== undefined && (await this.blobs.stat(target.digest)) === undefined) {
        throw blobNotFound(target.digest)
      }
      if (before === undefined && target === undefined) return
      const after = target && withoutRefName(target)
      await replaceFile(this.disk, this.disk.paths.index, canonicalJson(withRef(index, name, after)))
      await this.#log(name, before, after)
    })
  }

  /** Newest first. A change that another tool made to `index.json` appears with the time of the file. */
  async history(name: string): Promise<RefChange[]> {
    const changes = this.#readLog(name)
    const current = findRef(this.index(), name)
    const last = changes.at(-1)?.after
    if (!sameTarget(last, current)) {
      const mtimeMs = this.disk.fs.stat(this.disk.paths.index)?.mtimeMs ?? 0
      changes.push({ timeNs: msToNs(mtimeMs), before: last, after: current })
    }
    return changes.reverse()
  }

  async names(): Promise<string[]> {
    const names = new Set(refsOf(this.index()).map(({ name }) => name))
    for (const name of this.#loggedNames()) names.add(name)
    return [...names].sort()
  }

  *#loggedNames(): Generator<string> {
    const { fs, paths } = this.disk
    for (const file of fs.readDir(paths.reflog) ?? []) {
      const bytes = fs.readFile(`${paths.reflog}/${file}`)
      for (const text of new TextDecoder().decode(bytes).split('\n')) {
        const line = parseLine(text)
        if (line === undefined) continue
        yield line.name
        break
      }
    }
  }

  async restore(): Promise<string[]> {
    return this.locked(async () => {
      if (this.#isReadable()) return []
      const { fs, paths } = this.disk
      let index = EMPTY_INDEX
      for (const name of [...this.#loggedNames()].sort()) {
        const target = this.#readLog(name).at(-1)?.after
        if (target !== undefined) index = withRef(index, name, target)
      }
      const damaged = fs.readFile(paths.index)
      if (damaged !== undefined) await replaceFile(this.disk, `${paths.lamella}/index.json.damaged`, damaged)
      await replaceFile(this.disk, paths.index, canonicalJson(index))
      return refsOf(index).map(({ name }) => name)
    })
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
    const index = bytes === undefined ? EMPTY_INDEX : parseIndex(new TextDecoder().decode(bytes))
    // The file may have been replaced between the two calls: then it is parsed once more next time.
    this.#cached = { stamp, index }
    return index
  }

  async #log(name: string, before: Descriptor | undefined, after: Descriptor | undefined): Promise<void> {
    const { fs, paths } = this.disk
    const lines: LogLine[] = []
    const known = this.#readLog(name).at(-1)?.after
    const time = this.env.now().toString()
    if (!sameTarget(known, before)) {
      lines.push({ name, time, before: known ?? null, after: before ?? null })
    }
    lines.push({ name, time, before: before ?? null, after: after ?? null })
    const path = this.#logPath(name)
    const isNew = fs.stat(path) === undefined
    if (isNew) await makeFolder(this.disk, paths.reflog)
    const fd = fs.open(path, isNew ? 'create' : 'append')
    try {
      // A line that a crash left unfinished ends here.
      const torn = !isNew && !endsLine(fs.readFile(path))
      const text = lines.map((line) => JSON.stringify(line) + '\n').join('')
      fs.write(fd, new TextEncoder().encode(torn ? `\n${text}` : text))
      if (this.disk.durability === 'full') await fs.sync(fd)
    } finally {
      fs.close(fd)
    }
    if (isNew) await syncFolder(this.disk, paths.reflog)
  }

  /** Oldest first. */
  #readLog(name: string): RefChange[] {
    const bytes = this.disk.fs.readFile(this.#logPath(name))
    if (bytes === undefined) return []
    const changes: RefChange[] = []
    for (const text of new TextDecoder().decode(bytes).split('\n')) {
      const line = parseLine(text)
      if (line?.name !== name) continue
      changes.push({
        timeNs: BigInt(line.time),
        before: line.before ?? undefined,
        after: line.after ?? undefined,
      })
    }
    return changes
  }

  #logPath(name: string): string {
    return `${this.disk.paths.reflog}/${hexOf(digestOf(name)).slice(0, 32)}`
  }
}

function withoutRefName(target: Descriptor): Descriptor {
  return targetOf({ ...target, annotations: { ...target.annotations, [REF_NAME_ANNOTATION]: '' } })
}

function sameTarget(a: Descriptor | undefined, b: Descriptor | undefined): boolean {
  return a?.digest === b?.digest
}

function endsLine(bytes: Uint8Array | undefined): boolean {
  return bytes === undefined || bytes.byteLength === 0 || bytes[bytes.byteLength - 1] === 0x0a
}

function parseLine(text: string): LogLine | undefined {
  try {
    const line = JSON.parse(text) as LogLine
    return typeof line.name === 'string' && /^\d+$/.test(line.time) ? line : undefined
  } catch {
    return undefined
  }
}
