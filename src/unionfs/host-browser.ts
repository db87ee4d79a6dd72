// The browser side of the host contract. Its imports are names that memfs imports as well, so that a bundle for the browser
// needs the polyfills of memfs and no others.
import { Buffer } from 'buffer'
import { EventEmitter } from 'events'
import * as memfs from 'memfs'
import { Readable, Writable } from 'stream'

export type { MemfsInode, MemfsVolume } from './host-contract.js'
export { Buffer, EventEmitter, Readable, Writable }

export const loadMemfs = (): typeof memfs => memfs

export function fileURLToPath(url: URL): string {
  return decodeURIComponent(url.pathname)
}

export function inspect(value: unknown): string {
  if (typeof value === 'string') return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  if (typeof value === 'bigint') return `${value}n`
  return String(value)
}

const channel = new MessageChannel()
const queue: (() => void)[] = []
channel.port1.addEventListener('message', () => queue.shift()?.())

export function defer(run: () => void): void {
  queue.push(run)
  channel.port1.start()
  channel.port2.postMessage(0)
}

/** The lines of a stream; both kinds of line end. */
export async function* readLines(input: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of input) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk as Uint8Array, { stream: true })
    const lines = rest.split(/\r?\n/)
    rest = lines.pop()!
    yield* lines
  }
  if (rest !== '') yield rest
}

/** fast-glob needs more of Node than memfs does. */
export function loadGlob(): undefined {
  return undefined
}
