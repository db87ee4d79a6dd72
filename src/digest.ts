// Digests and the names derived from them. Leaf.
import { createSha256, sha256Hex } from '#platform'
import { StoreError } from './errors.js'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** Digest of bytes as stored, `sha256:` and 64 lower-case hex digits. @see OCI image-spec v1.1 descriptor.md § Digests */
export type Digest = Branded<'Digest'>
/** Digest of a layer's uncompressed tar. @see OCI image-spec v1.1 config.md § Layer DiffID */
export type DiffID = Branded<'DiffID'>
/** Digest that names a stack of layers up to one of them. @see OCI image-spec v1.1 config.md § Layer ChainID */
export type ChainID = Branded<'ChainID'>

const PATTERN = /^sha256:[0-9a-f]{64}$/

/** The digest of no bytes. */
export const EMPTY_DIGEST =
  'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as Digest

export function isDigest(text: string): text is Digest {
  return PATTERN.test(text)
}

/** @throws StoreError DIGEST_INVALID; only sha256 is supported, and only in lower case, as the spec writes it */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new StoreError(
    'DIGEST_INVALID',
    `invalid digest ${JSON.stringify(text)}: expected sha256:<64 hex digits>`,
    {
      data: { digest: text },
    },
  )
}

/** @throws StoreError DIGEST_INVALID */
export function parseDiffID(text: string): DiffID {
  return parseDigest(text) as string as DiffID
}

/** sha256 of bytes, or of a string's UTF-8 form. */
export function digestOf(data: Uint8Array | string): Digest {
  return ('sha256:' + sha256Hex(data)) as Digest
}

/** The 64 hex digits of a digest, as used in `blobs/sha256/<hex>`. */
export function hexOf(digest: Digest | DiffID | ChainID): string {
  return digest.slice(7)
}

/** The digest under which an uncompressed layer's bytes are stored: its DiffID. */
export function digestOfUncompressed(diffID: DiffID): Digest {
  return diffID as string as Digest
}

/** The DiffID of a layer that is stored uncompressed: its digest. */
export function diffIDOfUncompressed(digest: Digest): DiffID {
  return digest as string as DiffID
}

export interface Digester {
  update(bytes: Uint8Array): void
  /** Ends the computation. */
  digest(): Digest
}

export function createDigester(): Digester {
  const state = createSha256()
  return {
    update: (bytes) => state.update(bytes),
    digest: () => ('sha256:' + state.hex()) as Digest,
  }
}

/**
 * ChainIDs of a stack, base first: `out[i]` names the stack `diffIDs[0..i]`.
 * @see OCI image-spec v1.1 config.md § Layer ChainID
 */
export function chainIDs(diffIDs: readonly DiffID[]): ChainID[] {
  const out: ChainID[] = []
  for (const diffID of diffIDs) {
    const below = out.at(-1)
    out.push((below === undefined ? diffID : digestOf(`${below} ${diffID}`)) as string as ChainID)
  }
  return out
}
