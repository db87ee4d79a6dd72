// Digest and size checked while bytes pass: the one place that decides whether a blob is what it was said to be. Pure.
import { createDigester, type Digest } from '../digest.js'
import { StoreError } from '../errors.js'
import type { BlobBytes, BlobInfo, Expectation } from './blobs.js'

/** @throws StoreError SIZE_MISMATCH | DIGEST_MISMATCH when what came is not what was promised */
export function checkExpectation(actual: BlobInfo, expect: Expectation): void {
  if (expect.size !== undefined && expect.size !== actual.size) throw sizeMismatch(expect, actual.size)
  if (expect.digest !== undefined && expect.digest !== actual.digest) {
    throw new StoreError(
      'DIGEST_MISMATCH',
      `expected ${expect.digest}, but the bytes have digest ${actual.digest}`,
      { data: { expected: expect.digest, actual: actual.digest, size: actual.size } },
    )
  }
}

/** @param soFar  bytes seen; when the stream was stopped early there may be more */
export function sizeMismatch(expect: Expectation, soFar: number): StoreError {
  const what = expect.digest === undefined ? 'the bytes' : expect.digest
  const relation = expect.size !== undefined && soFar > expect.size ? `at least ${soFar}` : `${soFar}`
  return new StoreError(
    'SIZE_MISMATCH',
    `expected ${expect.size} bytes of ${what}, but there are ${relation}`,
    {
      data: { digest: expect.digest, expected: expect.size, actual: soFar },
    },
  )
}

export function blobNotFound(digest: Digest, cause?: unknown): StoreError {
  return new StoreError('BLOB_NOT_FOUND', `blob ${digest} is not in the store`, {
    data: { digest },
    cause,
  })
}

/**
 * The same chunks, checked. A stream that is too long is stopped at once; every other difference is an error after the
 * last chunk, so what was received before a normal end is right, whole and verified.
 *
 * @throws StoreError SIZE_MISMATCH | DIGEST_MISMATCH, from the iteration
 */
export async function* verified(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  expect: Expectation,
): AsyncGenerator<Uint8Array, BlobInfo> {
  const digester = createDigester()
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.byteLength
    if (expect.size !== undefined && size > expect.size) throw sizeMismatch(expect, size)
    digester.update(chunk)
    yield chunk
  }
  const info = { digest: digester.digest(), size }
  checkExpectation(info, expect)
  return info
}

/** A whole blob as chunks. */
export function chunksOf(bytes: BlobBytes): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  return bytes instanceof Uint8Array ? [bytes] : bytes
}

/** Reads a blob for its digest and size alone. */
export async function measure(
  bytes: BlobBytes,
  expect: Expectation,
  onChunk?: () => void,
): Promise<BlobInfo> {
  const stream = verified(chunksOf(bytes), expect)
  for (;;) {
    const step = await stream.next()
    if (step.done === true) return step.value
    onChunk?.()
  }
}
