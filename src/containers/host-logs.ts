// Logs on disk: `lamella/logs/<id>.jsonl` in the store's folder. Effect.
import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { LogFile } from './logs.js'

export function hostLog(storePath: string, id: string): LogFile {
  const folder = join(storePath, 'lamella', 'logs')
  const path = join(folder, `${id}.jsonl`)
  return {
    append(bytes) {
      try {
        appendFileSync(path, bytes, { mode: 0o600 })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        mkdirSync(folder, { recursive: true })
        appendFileSync(path, bytes, { mode: 0o600 })
      }
    },
    read(offset) {
      let fd: number
      try {
        fd = openSync(path, 'r')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array(0)
        throw error
      }
      try {
        const bytes = new Uint8Array(Math.max(0, fstatSync(fd).size - offset))
        const count = readSync(fd, bytes, 0, bytes.byteLength, offset)
        return bytes.subarray(0, count)
      } finally {
        closeSync(fd)
      }
    },
    remove: () => rmSync(path, { force: true }),
  }
}
