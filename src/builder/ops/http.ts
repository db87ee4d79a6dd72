// ADD of an http(s) URL: one file, known by the digest of its body and the server's Last-Modified. What was fetched is kept
// in the store with its ETag, so that an unchanged file costs one conditional request, or none where --checksum names it.
// @see moby/buildkit source/http/source.go
import { digestOf, hexOf, isDigest, type Digest } from '../../digest.js'
import { BuildError, isAbortError } from '../../errors.js'
import { bytesSource, EMPTY_TREE, TreeEditor, TreeNode } from '../../unionfs/index.js'
import { storedResult } from '../cache.js'
import { httpSourceKey, sourceDigest } from '../key.js'
import type { HttpDefinition } from '../op-factory.js'
import type { CacheMap, LayerRef, Op, Result, RunContext } from '../vertex.js'
import { addLayer, EMPTY_RESULT, type OpServices } from './result.js'

/** The part of `fetch` that is used. */
export type Fetch = (
  url: string,
  init: { readonly headers: Record<string, string>; readonly signal?: AbortSignal },
) => Promise<FetchResponse>

export interface FetchResponse {
  readonly status: number
  readonly statusText: string
  readonly headers: { get(name: string): string | null }
  arrayBuffer(): Promise<ArrayBuffer>
}

export interface HttpServices extends OpServices {
  readonly fetch: Fetch
}

const KIND = 'http-source'
const FILE_MODE = 0o600

/** What is remembered of a URL. */
interface Saved {
  readonly etag: string | undefined
  /** As the server wrote it: so it is in the key. */
  readonly lastModified: string | undefined
  readonly digest: Digest
  readonly layer: LayerRef
}

interface Fetched {
  readonly lastModified: string | undefined
  readonly digest: Digest
  readonly result: Result
}

export class HttpOp implements Op {
  readonly kind = 'http'
  private fetched: Promise<Fetched> | undefined

  constructor(
    private readonly definition: HttpDefinition,
    private readonly services: HttpServices,
  ) {}

  async *cacheMaps(): AsyncGenerator<CacheMap> {
    const { filename, url } = this.definition
    const checksum = this.checksum()
    const known = checksum === undefined ? await this.fetchOnce(undefined) : undefined
    const key = httpSourceKey({
      filename,
      perm: 0,
      uid: 0,
      gid: 0,
      checksum: checksum ?? known!.digest,
      lastModified: known?.lastModified,
    })
    const preimage = new Map([
      ['url', url],
      ['content', checksum ?? known!.digest],
      ['Last-Modified', known?.lastModified ?? ''],
    ])
    yield { digest: sourceDigest(key), deps: [], preimage }
  }

  async run(_inputs: readonly Result[], context: RunContext): Promise<readonly Result[]> {
    return [(await this.fetchOnce(context.signal)).result]
  }

  private checksum(): Digest | undefined {
    const { checksum, location } = this.definition
    if (checksum === undefined || checksum === '') return undefined
    if (isDigest(checksum)) return checksum
    throw new BuildError('OPTION_INVALID', `invalid checksum ${checksum}: expected sha256:<64 hex digits>`, {
      location,
      data: { option: 'checksum', value: checksum },
    })
  }

  private fetchOnce(signal: AbortSignal | undefined): Promise<Fetched> {
    return (this.fetched ??= this.fetchFile(signal))
  }

  private async fetchFile(signal: AbortSignal | undefined): Promise<Fetched> {
    const checksum = this.checksum()
    const saved = await this.load()
    if (saved !== undefined && saved.digest === checksum) return this.fromSaved(saved)
    const response = await this.request(saved, signal)
    if (response.status === 304 && saved !== undefined) return this.fromSaved(saved)
    const body = new Uint8Array(await response.arrayBuffer())
    const digest = digestOf(body)
    if (checksum !== undefined && digest !== checksum) {
      throw new BuildError('CHECKSUM_MISMATCH', `digest mismatch ${digest}: ${checksum}`, {
        location: this.definition.location,
        data: { url: this.definition.url, expected: checksum, actual: digest },
      })
    }
    const lastModified = response.headers.get('last-modified') ?? undefined
    const result = await this.store(body, lastModified)
    const etag = response.headers.get('etag') ?? undefined
    await this.save({ etag, lastModified, digest, layer: result.layers[0]! })
    return { digest, lastModified, result }
  }

  private async request(saved: Saved | undefined, signal: AbortSignal | undefined): Promise<FetchResponse> {
    const { url, location } = this.definition
    const headers: Record<string, string> = {}
    if (saved?.etag !== undefined) headers['If-None-Match'] = saved.etag
    else if (saved?.lastModified !== undefined) headers['If-Modified-Since'] = saved.lastModified
    const fail = (why: string, cause?: unknown): BuildError =>
      new BuildError('FETCH_FAILED', `failed to load ${url}: ${why}`, { location, data: { url }, cause })
    let response: FetchResponse
    try {
      response = await this.services.fetch(url, signal === undefined ? { headers } : { headers, signal })
    } catch (cause) {
      if (isAbortError(cause)) throw cause
      throw fail(cause instanceof Error ? cause.message : String(cause), cause)
    }
    if (response.status === 304 || (response.status >= 200 && response.status < 300)) return response
    throw fail(`invalid response status ${response.status} ${response.statusText}`.trim())
  }

  /** The file as BuildKit makes it: 0600, root's, of the server's time or 1970. */
  private store(body: Uint8Array, lastModified: string | undefined): Promise<Result> {
    const parsed = Date.parse(lastModified ?? '')
    const time = Number.isNaN(parsed) ? 0 : parsed
    const editor = new TreeEditor(EMPTY_TREE)
    editor.put(
      this.definition.filename,
      new TreeNode({
        kind: 'file',
        mode: FILE_MODE,
        mtimeSec: Math.floor(time / 1000),
        size: body.byteLength,
        source: body.byteLength === 0 ? undefined : bytesSource(body),
      }),
    )
    return addLayer(this.services, EMPTY_RESULT, EMPTY_TREE, editor.finish())
  }

  private fromSaved(saved: Saved): Fetched {
    const { digest, lastModified, layer } = saved
    return { digest, lastModified, result: storedResult(this.services.store, [layer]) }
  }

  private get sidecarKey(): string {
    return hexOf(digestOf(`${this.definition.url}\0${this.definition.filename}`))
  }

  private async load(): Promise<Saved | undefined> {
    const bytes = this.services.store.sidecars.get(KIND, this.sidecarKey)
    if (bytes === undefined) return undefined
    const saved = JSON.parse(new TextDecoder().decode(bytes)) as Saved
    const blob = await this.services.store.blobs.stat(saved.layer.descriptor.digest)
    return blob === undefined ? undefined : saved
  }

  private async save(saved: Saved): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(saved))
    await this.services.store.sidecars.put(KIND, this.sidecarKey, bytes)
  }
}
