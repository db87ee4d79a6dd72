// The Node side of the host contract.
import { Buffer } from 'node:buffer'
import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import type { UnionfsHost } from './host-contract.js'

export type { MemfsInode, MemfsVolume } from './host-contract.js'
export { Buffer, EventEmitter, Readable, Writable, fileURLToPath, inspect }

const require = createRequire(import.meta.url)

export const loadMemfs: UnionfsHost['loadMemfs'] = () => require('memfs') as typeof import('memfs')

/** Runs a callback in a later turn of the event loop, as Node does with the results of asynchronous calls. */
export const defer: (run: () => void) => void = setImmediate

/** The lines of a stream, as FileHandle.readLines gives them. */
export function readLines(input: Readable): AsyncIterable<string> {
  return createInterface({ input, crlfDelay: Infinity })
}

/** fast-glob, loaded at the first call. */
export function loadGlob(): typeof import('fast-glob') | undefined {
  return require('fast-glob') as typeof import('fast-glob')
}
