// Documents on disk: `lamella/documents/<kind>/<key>.json`, each replaced whole (disk-layout.ts), all changes under the
// store's lock. Who holds one is said in `lamella/holds/<kind>/<key>/` (lock.ts).
import type { Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import { type Disk, makeFolder, replaceFile, syncFolder } from './disk-layout.js'
import { checkDocumentName, decodeDocument, encodeDocument } from './documents.js'
import type { Lock } from './lock.js'
import type {
  Document,
  DocumentEdit,
  DocumentHold,
  DocumentHolder,
  DocumentRoot,
  DocumentStore,
} from './store.js'

const SUFFIX = '.json'

export class DiskDocumentStore implements DocumentStore {
  constructor(
    readonly disk: Disk,
    readonly locked: <T>(fn: () => Promise<T>) => Promise<T>,
    readonly lockIn: (folder: string) => Lock,
  ) {}

  async get(kind: string, key: string): Promise<Document | undefined> {
    checkDocumentName(kind, key)
    return this.#read(kind, key)
  }

  async list(kind: string): Promise<Document[]> {
    checkDocumentName(kind)
    // One that has gone since it was listed is none.
    return this.#keys(kind).flatMap((key) => this.#read(kind, key) ?? [])
  }

  async change<T>(fn: (edit: DocumentEdit) => Promise<T>): Promise<T> {
    return this.locked(() =>
      fn({
        get: (kind, key) => this.get(kind, key),
        list: (kind) => this.list(kind),
        put: (kind, key, value, roots = []) => this.#put(kind, key, value, roots),
        delete: (kind, key) => this.#delete(kind, key),
      }),
    )
  }

  async hold(kind: string, key: string): Promise<DocumentHold | undefined> {
    const release = await this.#lock(kind, key).take()
    if (release === undefined) return undefined
    return {
      release: ({ forget = false } = {}) => {
        release()
        if (forget) this.#forget(kind, key)
      },
    }
  }

  async holder(kind: string, key: string): Promise<DocumentHolder | undefined> {
    checkDocumentName(kind, key)
    // Looking must not make the folder.
    if (this.disk.fs.stat(this.#holdFolder(kind, key)) === undefined) return undefined
    return this.#lock(kind, key).holder()
  }

  async roots(): Promise<DocumentRoot[]> {
    return this.#kinds().flatMap((kind) =>
      this.#keys(kind).flatMap((key) => {
        const roots = this.#read(kind, key)?.roots ?? []
        return roots.map((digest) => ({ kind, key, digest }))
      }),
    )
  }

  /** Files that are no documents. */
  *damaged(): Generator<{ readonly kind: string; readonly key: string; readonly message: string }> {
    for (const kind of this.#kinds()) {
      for (const key of this.#keys(kind)) {
        try {
          this.#read(kind, key)
        } catch (error) {
          if (!(error instanceof StoreError)) throw error
          yield { kind, key, message: error.message }
        }
      }
    }
  }

  #kinds(): string[] {
    return (this.disk.fs.readDir(this.disk.paths.documents) ?? []).sort()
  }

  #keys(kind: string): string[] {
    const names = this.disk.fs.readDir(`${this.disk.paths.documents}/${kind}`) ?? []
    return names.flatMap((name) => (name.endsWith(SUFFIX) ? [name.slice(0, -SUFFIX.length)] : [])).sort()
  }

  #read(kind: string, key: string): Document | undefined {
    const bytes = this.disk.fs.readFile(this.#path(kind, key))
    return bytes && decodeDocument(kind, key, bytes, this.disk.checksum)
  }

  async #put(kind: string, key: string, value: unknown, roots: readonly Digest[]): Promise<void> {
    checkDocumentName(kind, key)
    await makeFolder(this.disk, `${this.disk.paths.documents}/${kind}`)
    await replaceFile(this.disk, this.#path(kind, key), encodeDocument(value, roots, this.disk.checksum))
  }

  async #delete(kind: string, key: string): Promise<boolean> {
    checkDocumentName(kind, key)
    const wasThere = this.disk.fs.remove(this.#path(kind, key))
    if (wasThere) await syncFolder(this.disk, `${this.disk.paths.documents}/${kind}`)
    return wasThere
  }

  #lock(kind: string, key: string): Lock {
    checkDocumentName(kind, key)
    return this.lockIn(this.#holdFolder(kind, key))
  }

  #forget(kind: string, key: string): void {
    const folder = this.#holdFolder(kind, key)
    for (const name of this.disk.fs.readDir(folder) ?? []) {
      if (name.endsWith('.free')) this.disk.fs.remove(`${folder}/${name}`)
    }
    this.disk.fs.removeDir(folder)
  }

  #holdFolder(kind: string, key: string): string {
    return `${this.disk.paths.holds}/${kind}/${key}`
  }

  #path(kind: string, key: string): string {
    return `${this.disk.paths.documents}/${kind}/${key}${SUFFIX}`
  }
}
