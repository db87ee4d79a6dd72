// Documents: what containers and volumes are, as small JSON values. Not derived: losing one loses data. This file has what
// the implementations share. Pure.
import { isDigest, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import { sealLine, unsealLine, type Checksum } from './records.js'
import type { Document } from './store.js'

const KIND = /^[a-z0-9-]{1,100}$/
const KEY = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$/

/** @throws RangeError for a name that is no plain file name on every platform */
export function checkDocumentName(kind: string, key?: string): void {
  if (KIND.test(kind) && (key === undefined || KEY.test(key))) return
  throw new RangeError(`invalid document name ${JSON.stringify(kind)} ${JSON.stringify(key)}`)
}

export function encodeDocument(value: unknown, roots: readonly Digest[], checksum: Checksum): Uint8Array {
  return new TextEncoder().encode(`${sealLine({ roots, value }, checksum)}\n`)
}

/** @throws StoreError DOCUMENT_DAMAGED */
export function decodeDocument(kind: string, key: string, bytes: Uint8Array, checksum: Checksum): Document {
  const document = unsealLine(new TextDecoder().decode(bytes), checksum) as Document | undefined
  if (Array.isArray(document?.roots) && document.roots.every(isDigest)) {
    return { key, value: document.value, roots: document.roots }
  }
  throw new StoreError('DOCUMENT_DAMAGED', `the document ${kind}/${key} is damaged`, { data: { kind, key } })
}
