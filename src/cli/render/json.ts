// Progress as one JSON object a line: the builder's own events. Times are strings of nanoseconds, output is base64,
// errors are { code, message, location }. Stable between majors; documented in docs/events.md.
import type { Renderer } from './contract.js'

export function jsonRenderer(write: (text: string) => void): Renderer {
  return { onEvent: (event) => write(JSON.stringify(event, encode) + '\n'), finish: () => {} }
}

function encode(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (value instanceof Error) return encodeError(value)
  // Buffer has a toJSON, which JSON.stringify calls before us; the holder still has the bytes.
  const holder = (this as Record<string, unknown>)[key]
  return holder instanceof Uint8Array ? Buffer.from(holder).toString('base64') : value
}

function encodeError(error: Error): Record<string, unknown> {
  const { code, location, data } = error as Error & { code?: unknown; location?: unknown; data?: unknown }
  return { code, message: error.message, location, data }
}
