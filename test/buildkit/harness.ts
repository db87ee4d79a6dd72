// Cases that BuildKit has answered, kept as JSON beside this file, and lamella's answers held against them. Where `docker`
// is on PATH, LAMELLA_RECORD_BUILDKIT=1 asks BuildKit anew and writes its answers down.
import { describe, expect, test } from 'vitest'
import { recordLamella } from './builders.js'
import { needsRoot, type BuildCase } from './case.js'
import { differenceOf, isRecording, readRecorded, recordAll, writeRecorded } from './compare.js'

/**
 * A suite of the cases of a recorded file.
 * @param cases  what the file must be the answers to; records them when asked to
 */
export function describeRecorded(file: string, cases: readonly BuildCase[]): void {
  describe(`BuildKit: ${file}`, async () => {
    if (isRecording) writeRecorded(file, await recordAll(cases))
    const recorded = new Map(readRecorded(file).map((it) => [it.case.name, it]))
    test('every case is recorded as it stands', () => {
      expect([...recorded.values()].map((it) => it.case)).toEqual(cases)
      expect(recorded.size).toBe(cases.length)
    })
    const isRoot = process.getuid?.() === 0
    for (const it of recorded.values()) {
      test.skipIf(needsRoot(it.case) && !isRoot)(it.case.name, async () => {
        const difference = differenceOf(await recordLamella(it.case), it.buildkit)
        expect(difference?.ours).toEqual(difference?.theirs)
      })
    }
  })
}
