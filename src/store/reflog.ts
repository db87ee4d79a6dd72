// The histories of refs: `lamella/reflog/<id>`, a sealed line for each change, written before the change itself, and one
// after it. Where a crash has kept the second from being written, what follows shows whether the change happened.
import type { Descriptor } from '../descriptor.js'
import { digestOf, hexOf } from '../digest.js'
import { type Disk, makeFolder, syncFolder } from './disk-layout.js'
import { isWholeLine, sealLine, unsealLine, type Checksum } from './records.js'
import type { RefChange } from './store.js'

interface LogLine {
  readonly name: string
  /** Nanoseconds since the epoch, in decimal. */
  readonly time: string
  readonly before: Descriptor | null
  readonly after: Descriptor | null
}

/** The change of that time was made. */
interface DoneLine {
  readonly name: string
  readonly time: string
  readonly done: true
}

/** A change as it was written down. */
export interface LoggedChange extends RefChange {
  /** It is known to have been made. */
  readonly isDone?: boolean
}

export class RefLog {
  constructor(readonly disk: Disk) {}

  /** All that was written, oldest first, changes that did not happen included. */
  read(name: string): LoggedChange[] {
    const bytes = this.disk.fs.readFile(this.#path(name))
    if (bytes === undefined) return []
    const changes: LoggedChange[] = []
    for (const text of new TextDecoder().decode(bytes).split('\n')) {
      const line = parseLine(text, this.disk.checksum)
      if (line?.name !== name) continue
      const { time } = line
      if ('done' in line) {
        const last = changes.pop()
        if (last !== undefined) changes.push({ ...last, isDone: last.timeNs === BigInt(time) })
        continue
      }
      const { before, after } = line
      changes.push({ timeNs: BigInt(time), before: before ?? undefined, after: after ?? undefined })
    }
    return changes
  }

  /** Adds changes at the end; durable when the promise is fulfilled. */
  async append(name: string, changes: readonly RefChange[]): Promise<void> {
    const { fs, paths, checksum, durability } = this.disk
    const path = this.#path(name)
    const isNew = fs.stat(path) === undefined
    if (isNew) await makeFolder(this.disk, paths.reflog)
    const fd = fs.open(path, isNew ? 'create' : 'append')
    try {
      // A line that a crash left unfinished ends here.
      const isTorn = !isNew && !endsLine(fs.readFile(path))
      const lines = changes.map((change) => `${sealLine(toLine(name, change), checksum)}\n`)
      fs.write(fd, new TextEncoder().encode((isTorn ? '\n' : '') + lines.join('')))
      if (durability === 'full') await fs.sync(fd)
    } finally {
      fs.close(fd)
    }
    await syncFolder(this.disk, paths.reflog)
  }

  /**
   * Writes down that the last change was made: from then on a ref that is as it was before is not one whose change was cut
   * short, but one that something else, or damage, has changed. Best effort, and not synced.
   */
  confirm(name: string, timeNs: bigint): void {
    const { fs, checksum } = this.disk
    const line: DoneLine = { name, time: timeNs.toString(), done: true }
    try {
      const fd = fs.open(this.#path(name), 'append')
      try {
        fs.write(fd, new TextEncoder().encode(`${sealLine(line, checksum)}\n`))
      } finally {
        fs.close(fd)
      }
    } catch {
      // what follows will show it
    }
  }

  *names(): Generator<string> {
    for (const lines of this.#files()) {
      for (const text of lines.text) {
        const line = parseLine(text, this.disk.checksum)
        if (line === undefined) continue
        yield line.name
        break
      }
    }
  }

  /** Files that have lines that cannot be read, other than such as a crash left unfinished. */
  *damaged(): Generator<string> {
    for (const { file, text } of this.#files()) {
      const isDamaged = (line: string) =>
        isWholeLine(line) && parseLine(line, this.disk.checksum) === undefined
      if (text.some(isDamaged)) yield file
    }
  }

  *#files(): Generator<{ file: string; text: string[] }> {
    const { fs, paths } = this.disk
    for (const file of fs.readDir(paths.reflog) ?? []) {
      const bytes = fs.readFile(`${paths.reflog}/${file}`)
      yield { file, text: new TextDecoder().decode(bytes).split('\n') }
    }
  }

  #path(name: string): string {
    return `${this.disk.paths.reflog}/${hexOf(digestOf(name)).slice(0, 32)}`
  }
}

/**
 * The changes that happened, oldest first: one of which that is not known is left out when what comes next, at last the
 * current value, stands on what was before it.
 */
export function happened(changes: readonly LoggedChange[], current: Descriptor | undefined): LoggedChange[] {
  return changes.filter(({ before, after, isDone }, i) => {
    if (isDone === true) return true
    const next = i + 1 < changes.length ? changes[i + 1]!.before : current
    return sameTarget(next, after) || !sameTarget(next, before)
  })
}

export function sameTarget(a: Descriptor | undefined, b: Descriptor | undefined): boolean {
  return a?.digest === b?.digest
}

function toLine(name: string, { timeNs, before, after }: RefChange): LogLine {
  return { name, time: timeNs.toString(), before: before ?? null, after: after ?? null }
}

function endsLine(bytes: Uint8Array | undefined): boolean {
  return bytes === undefined || bytes.byteLength === 0 || bytes[bytes.byteLength - 1] === 0x0a
}

function parseLine(text: string, checksum: Checksum): LogLine | DoneLine | undefined {
  const line = unsealLine(text, checksum) as LogLine | DoneLine | undefined
  return line !== undefined && /^\d+$/.test(line.time) ? line : undefined
}
