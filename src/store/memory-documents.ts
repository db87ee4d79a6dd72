// Documents in memory, as text: what a caller does with a value that it gave or got changes nothing here.
import type { Digest } from '../digest.js'
import { checkDocumentName, decodeDocument, encodeDocument } from './documents.js'
import type {
  Document,
  DocumentEdit,
  DocumentHold,
  DocumentHolder,
  DocumentRoot,
  DocumentStore,
} from './store.js'

/** Memory does not rot. */
const noChecksum = () => 0

export class MemoryDocumentStore implements DocumentStore {
  readonly #kinds = new Map<string, Map<string, Uint8Array>>()
  readonly #held = new Set<string>()

  constructor(readonly alone: <T>(fn: () => Promise<T>) => Promise<T>) {}

  async get(kind: string, key: string): Promise<Document | undefined> {
    checkDocumentName(kind, key)
    const bytes = this.#kinds.get(kind)?.get(key)
    return bytes && decodeDocument(kind, key, bytes, noChecksum)
  }

  async list(kind: string): Promise<Document[]> {
    checkDocumentName(kind)
    const documents = [...(this.#kinds.get(kind) ?? [])].map(([key, bytes]) =>
      decodeDocument(kind, key, bytes, noChecksum),
    )
    return documents.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  async change<T>(fn: (edit: DocumentEdit) => Promise<T>): Promise<T> {
    return this.alone(() =>
      fn({
        get: (kind, key) => this.get(kind, key),
        list: (kind) => this.list(kind),
        put: (kind, key, value, roots = []) => this.#put(kind, key, value, roots),
        delete: async (kind, key) => {
          checkDocumentName(kind, key)
          return this.#kinds.get(kind)?.delete(key) ?? false
        },
      }),
    )
  }

  async hold(kind: string, key: string): Promise<DocumentHold | undefined> {
    checkDocumentName(kind, key)
    const name = `${kind}/${key}`
    if (this.#held.has(name)) return undefined
    this.#held.add(name)
    let isMine = true
    return {
      release: () => {
        if (isMine) this.#held.delete(name)
        isMine = false
      },
    }
  }

  async holder(kind: string, key: string): Promise<DocumentHolder | undefined> {
    checkDocumentName(kind, key)
    return this.#held.has(`${kind}/${key}`) ? { pid: undefined } : undefined
  }

  async roots(): Promise<DocumentRoot[]> {
    return [...this.#kinds].flatMap(([kind, documents]) =>
      [...documents].flatMap(([key, bytes]) =>
        decodeDocument(kind, key, bytes, noChecksum).roots.map((digest) => ({ kind, key, digest })),
      ),
    )
  }

  async #put(kind: string, key: string, value: unknown, roots: readonly Digest[]): Promise<void> {
    checkDocumentName(kind, key)
    const documents = this.#kinds.get(kind) ?? new Map<string, Uint8Array>()
    this.#kinds.set(kind, documents.set(key, encodeDocument(value, roots, noChecksum)))
  }
}
