// What containers printed, line by line: the format, and the choice of where it is kept. Pure; on disk: host-logs.ts.
//
// One JSON object a line, in the form of docker's json-file driver: `{"log":"text\n","stream":"stdout","time":"…"}`. A line
// that is not UTF-8 has `log64` instead of `log`.
import type { Env } from '../env.js'
import type { Store } from '../store/index.js'

export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  /** Milliseconds since the epoch. */
  readonly timeMs: number
  /** With the line's end, if it has one. */
  readonly bytes: Uint8Array
}

/** Where one container's log is kept. Append-only; what was appended whole is found again after a crash of the process. */
export interface LogFile {
  append(bytes: Uint8Array): void
  /** What there is from a position on. */
  read(offset: number): Uint8Array
  remove(): void
}

const memory = new WeakMap<Store, Map<string, Uint8Array[]>>()

export async function openLog(store: Store, id: string): Promise<LogFile> {
  if (store.path !== undefined) {
    const { hostLog } = await import('./host-logs.js')
    return hostLog(store.path, id)
  }
  const logs = memory.get(store) ?? new Map<string, Uint8Array[]>()
  memory.set(store, logs)
  return {
    append(bytes) {
      const parts = logs.get(id) ?? []
      parts.push(bytes)
      logs.set(id, parts)
    },
    read: (offset) => concat(logs.get(id) ?? []).subarray(offset),
    remove: () => void logs.delete(id),
  }
}

/** A line longer than this is cut in parts, as docker does. Bytes. */
const LINE_MAX = 16 << 10
const NEWLINE = 0x0a

/** Splits output into lines and appends them. */
export class LogWriter {
  readonly #rest = { stdout: new Uint8Array(0), stderr: new Uint8Array(0) }

  constructor(
    readonly file: LogFile,
    readonly clock: Env,
  ) {}

  write(stream: LogEntry['stream'], chunk: Uint8Array): void {
    let bytes = concat([this.#rest[stream], chunk])
    const lines: Uint8Array[] = []
    for (;;) {
      const end = bytes.indexOf(NEWLINE)
      const length = end !== -1 && end < LINE_MAX ? end + 1 : bytes.byteLength > LINE_MAX ? LINE_MAX : 0
      if (length === 0) break
      lines.push(this.#line(stream, bytes.subarray(0, length)))
      bytes = bytes.subarray(length)
    }
    this.#rest[stream] = bytes.slice()
    if (lines.length > 0) this.file.append(concat(lines))
  }

  /** Writes what is left without a line end. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#rest[stream].byteLength > 0) this.file.append(this.#line(stream, this.#rest[stream]))
      this.#rest[stream] = new Uint8Array(0)
    }
  }

  #line(stream: LogEntry['stream'], bytes: Uint8Array): Uint8Array {
    const time = new Date(Number(this.clock.now() / 1_000_000n)).toISOString()
    return new TextEncoder().encode(`${JSON.stringify({ ...textOf(bytes), stream, time })}\n`)
  }
}

function textOf(bytes: Uint8Array): { readonly log: string } | { readonly log64: string } {
  try {
    return { log: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) }
  } catch {
    return { log64: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')) }
  }
}

/** Entries of a log's bytes; an unfinished last line, which a writer has begun or a crash has torn, is left for later. */
export function decodeLog(bytes: Uint8Array): { readonly entries: LogEntry[]; readonly length: number } {
  const length = bytes.lastIndexOf(NEWLINE) + 1
  const entries = new TextDecoder().decode(bytes.subarray(0, length)).split('\n').flatMap(parseEntry)
  return { entries, length }
}

function parseEntry(line: string): LogEntry[] {
  try {
    const { log, log64, stream, time } = JSON.parse(line) as Record<string, string | undefined>
    if (stream !== 'stdout' && stream !== 'stderr') return []
    const bytes =
      log === undefined
        ? Uint8Array.from(atob(log64 ?? ''), (char) => char.charCodeAt(0))
        : new TextEncoder().encode(log)
    return [{ stream, timeMs: Date.parse(time ?? ''), bytes }]
  } catch {
    // A line that a crash has torn and another run has gone on behind.
    return []
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.byteLength
  }
  return out
}
