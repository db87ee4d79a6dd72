// Recorded answers of BuildKit on disk, asking for new ones, and what differs between two answers.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { recordBuildkit } from './builders.js'
import type { BuildCase } from './case.js'
import type { BuildRecord, ImageRecord } from './image-record.js'

export interface RecordedCase {
  readonly case: BuildCase
  readonly buildkit: BuildRecord
}

export const isRecording = process.env.LAMELLA_RECORD_BUILDKIT === '1'
const RECORDERS = 3

function pathOf(file: string): string {
  return fileURLToPath(new URL(`recorded/${file}.json`, import.meta.url))
}

export function readRecorded(file: string): RecordedCase[] {
  return JSON.parse(readFileSync(pathOf(file), 'utf8')) as RecordedCase[]
}

/** One case a line, so that a change to one is a change of one line. */
export function writeRecorded(file: string, cases: readonly RecordedCase[]): void {
  const path = pathOf(file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `[\n${cases.map((it) => JSON.stringify(it)).join(',\n')}\n]\n`)
}

/** Asks BuildKit about the cases, some at once. */
export async function recordAll(cases: readonly BuildCase[]): Promise<RecordedCase[]> {
  const out: RecordedCase[] = []
  const pending = cases.entries()
  const work = async (): Promise<void> => {
    for (const [i, it] of pending) out[i] = { case: it, buildkit: await recordBuildkit(it) }
  }
  await Promise.all(Array.from({ length: RECORDERS }, work))
  return out
}

/** What of lamella's record is not BuildKit's; `undefined` when nothing is. */
export function differenceOf(
  ours: BuildRecord,
  theirs: BuildRecord,
): { ours: unknown; theirs: unknown } | undefined {
  if (ours.error !== undefined || theirs.error !== undefined) {
    const same =
      ours.error !== undefined && theirs.error !== undefined && isSameCause(ours.error, theirs.error)
    return same ? undefined : { ours: ours.error ?? 'built', theirs: theirs.error ?? 'built' }
  }
  return differenceOfImages(ours.image!, theirs.image!)
}

/** Ours says what theirs says, before what it adds in parentheses, or says more around it. */
function isSameCause(ours: string, theirs: string): boolean {
  const core = ours.replace(/ \([^()]*\)$/s, '')
  return theirs.includes(ours) || theirs.includes(core) || ours.includes(theirs)
}

function differenceOfImages(ours: ImageRecord, theirs: ImageRecord) {
  if (ours.config !== theirs.config) return { ours: pretty(ours.config), theirs: pretty(theirs.config) }
  const count = Math.max(ours.layers.length, theirs.layers.length)
  for (let i = 0; i < count; i++) {
    const [a, b] = [ours.layers[i], theirs.layers[i]]
    if (a === undefined || b === undefined) return { ours: a ?? 'no layer', theirs: b ?? 'no layer' }
    if (a.diffID !== b.diffID || a.entries.join('\n') !== b.entries.join('\n')) return { ours: a, theirs: b }
  }
  return undefined
}

function pretty(config: string): string {
  return JSON.stringify(JSON.parse(config), undefined, 1)
}
