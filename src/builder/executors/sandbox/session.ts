// Runs that others may join while they last: what is written down of one, and how it is found. Effect.
//
// A second command gets the run's own mount of its root, and its pid, ipc, uts, cgroup and network namespaces; around them
// it is a sandbox like the first.
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SandboxFiles } from './bubblewrap.js'
import { isOwnAlive } from './scratch.js'
import { findInit, type SandboxInit } from './terminate.js'

const FILE = 'session'

/** In a run's folder. */
interface SessionRecord {
  readonly name: string
  /** Of the process that we started; the others are below it. */
  readonly pid: number
  readonly shown: SandboxFiles['shown']
  readonly readOnlyRoot: boolean
  readonly groups: readonly string[]
}

export interface Session extends Omit<SessionRecord, 'name' | 'pid'>, SandboxInit {
  /** The run's folder. */
  readonly run: string
}

/** Whole or not at all, for whoever looks meanwhile. */
export function writeSession(run: string, record: SessionRecord): void {
  const path = join(run, FILE)
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

const STARTS_IN_MS = 2000

/** The run of that name; one that is about to begin is waited for. `undefined` where there is none. */
export async function findSession(folder: string, name: string): Promise<Session | undefined> {
  for (let waited = 0; waited < STARTS_IN_MS; waited += 20) {
    const run = runOf(folder, name)
    const record = run === undefined ? undefined : readRecord(join(run, FILE))
    if (run === undefined || record === undefined) return undefined
    const found = findInit(record.pid)
    if (found !== undefined) return { ...record, run, ...found }
    await sleep(20)
  }
  return undefined
}

function runOf(folder: string, name: string): string | undefined {
  const entry = namesIn(join(folder, 'runs')).find(
    (each) =>
      readRecord(join(folder, 'runs', each, FILE))?.name === name && isOwnAlive(folder, each) === true,
  )
  return entry === undefined ? undefined : join(folder, 'runs', entry)
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readRecord(path: string): SessionRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as SessionRecord
  } catch {
    return undefined
  }
}
