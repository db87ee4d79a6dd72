// The entries behind a content key, kept so that a later miss can name the file that caused it. One per content key,
// written when a step that read the content was run. Pure.
import type { Digest } from '../digest.js'
import { decodePath, encodePath } from '../path.js'
import type { ComparableEntry, ContentEntry } from './contenthash.js'

/** Kind of the sidecar; its key is the content key's hex digits. */
export const MANIFEST_KIND = 'manifest'

/** Beyond this many entries a manifest costs more than its explanations are worth. */
export const MANIFEST_ENTRIES_MAX = 200_000

/** Digits of a digest that are kept: enough to tell versions of a file apart, never an identity. */
const DIGITS = 24

const KINDS = ['file', 'dir', 'symlink', 'chardev', 'blockdev', 'fifo', 'socket'] as const

export interface ManifestEntry extends Omit<ContentEntry, 'digest'> {
  /** The first digits of the entry's digest. */
  readonly digits: string
}

/** Lines of `kind mode uid gid digits target-length target path`, without separators where widths are known. */
export class ManifestWriter {
  #text = ''
  #count = 0
  /** The entry before; most have its kind, mode and owner. */
  #last: ContentEntry | undefined
  #fields = ''

  get count(): number {
    return this.#count
  }

  add(entry: ContentEntry): void {
    const { path, target, digest } = entry
    if (this.#last === undefined || !isAlike(entry, this.#last)) this.#fields = fieldsOf(entry)
    this.#last = entry
    this.#text += this.#fields
    this.#text += digest.slice(7, 7 + DIGITS)
    this.#text += target === '' ? ' 0 ' : ` ${target.length} ${target}`
    this.#text += path
    this.#text += '\0'
    this.#count++
  }

  encode(): Uint8Array {
    return encodePath(this.#text)
  }
}

function isAlike(a: ContentEntry, b: ContentEntry): boolean {
  return a.kind === b.kind && a.mode === b.mode && a.uid === b.uid && a.gid === b.gid
}

function fieldsOf({ kind, mode, uid, gid }: ContentEntry): string {
  return `${KINDS.indexOf(kind)} ${mode.toString(8)} ${uid} ${gid} `
}

/** @returns `undefined` for bytes that are not a manifest */
export function decodeManifest(bytes: Uint8Array): ManifestEntry[] | undefined {
  const out: ManifestEntry[] = []
  for (const line of decodePath(bytes).split('\0')) {
    if (line === '') continue
    const match = /^(\d) ([0-7]+) (\d+) (\d+) ([0-9a-f]+) (\d+) /.exec(line)
    const kind = KINDS[Number(match?.[1])]
    if (match === null || kind === undefined) return undefined
    const rest = line.slice(match[0].length)
    const length = Number(match[6])
    out.push({
      path: rest.slice(length),
      kind,
      mode: Number.parseInt(match[2]!, 8),
      uid: Number(match[3]),
      gid: Number(match[4]),
      target: rest.slice(0, length),
      digits: match[5]!,
    })
  }
  return out
}

export type FileChange = 'added' | 'removed' | 'type' | 'content' | 'mode' | 'owner' | 'link target'

export interface FileDifference {
  readonly path: string
  readonly change: FileChange
  readonly before?: string
  readonly after?: string
}

/** What differs between two versions of what a step reads, in the order of the paths. */
export function diffManifests(
  before: readonly ManifestEntry[],
  after: readonly (ComparableEntry | ManifestEntry)[],
): FileDifference[] {
  const old = new Map(before.map((entry) => [entry.path, entry]))
  const out: FileDifference[] = []
  for (const entry of after) {
    const was = old.get(entry.path)
    old.delete(entry.path)
    if (was === undefined) out.push({ path: entry.path, change: 'added' })
    else out.push(...compare(was, entry))
  }
  for (const path of old.keys()) out.push({ path, change: 'removed' })
  return out.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

function compare(was: ManifestEntry, is: ComparableEntry | ManifestEntry): FileDifference[] {
  if (was.digits === digitsOf(is)) return []
  const { path } = is
  if (was.kind !== is.kind) return [{ path, change: 'type', before: was.kind, after: is.kind }]
  const out: FileDifference[] = []
  if (was.mode !== is.mode) {
    out.push({ path, change: 'mode', before: was.mode.toString(8), after: is.mode.toString(8) })
  }
  if (was.uid !== is.uid || was.gid !== is.gid) {
    out.push({ path, change: 'owner', before: `${was.uid}:${was.gid}`, after: `${is.uid}:${is.gid}` })
  }
  if (was.target !== is.target) {
    out.push({ path, change: 'link target', before: was.target, after: is.target })
  }
  // The digest covers header and content together: what is not the header's doing is the content's.
  if (out.length === 0 || isChangedInside(was, is)) out.push({ path, change: 'content' })
  return out
}

/** Beside its mode or owner. What is remembered alone, or gone by now, cannot tell. */
function isChangedInside(was: ManifestEntry, is: ComparableEntry | ManifestEntry): boolean {
  if (is.kind !== 'file' || !('digestWith' in is)) return false
  try {
    return digits(is.digestWith(was)) !== was.digits
  } catch {
    return false
  }
}

function digitsOf(entry: ContentEntry | ManifestEntry): string {
  return 'digits' in entry ? entry.digits : digits(entry.digest)
}

function digits(digest: Digest): string {
  return digest.slice(7, 7 + DIGITS)
}
