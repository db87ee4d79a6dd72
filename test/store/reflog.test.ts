// Histories are written before what they tell of: which of their lines happened is seen from what follows.
import { describe, expect, test } from 'vitest'
import { MEDIA_TYPES, type Descriptor } from '../../src/descriptor.js'
import { digestOf } from '../../src/digest.js'
import { happened } from '../../src/store/reflog.js'

const descriptors: Record<string, Descriptor | undefined> = { '-': undefined }
for (const name of ['A', 'B', 'C']) {
  descriptors[name] = { mediaType: MEDIA_TYPES.manifest, digest: digestOf(name), size: 1 }
}

/** `-A AB!`: made as A, then changed to B; that it was is known. */
function changes(text: string) {
  return text
    .split(' ')
    .filter(Boolean)
    .map((pair, i) => ({
      timeNs: BigInt(i),
      before: descriptors[pair[0]!],
      after: descriptors[pair[1]!],
      isDone: pair.endsWith('!'),
    }))
}

describe('what happened, by the log and the current value', () => {
  test.each([
    ['', '-', ''],
    ['-A', 'A', '-A'],
    ['-A AB', 'B', '-A AB'],
    // the last change was written down, and then the process died
    ['-A', '-', ''],
    ['-A AB', 'A', '-A'],
    // and was tried again, or something else was
    ['-A AB AB', 'B', '-A AB'],
    ['-A AB AC', 'C', '-A AC'],
    ['-A AB AC', 'A', '-A'],
    ['-A A- AB B-', '-', '-A AB B-'],
    // something else changed the ref: its line is written by the next change
    ['-A AB', 'C', '-A AB'],
    ['-A AB BC CA', 'A', '-A AB BC CA'],
    // one that is known to have happened did, whatever the ref is now
    ['-A!', '-', '-A!'],
    ['-A! AB!', 'A', '-A! AB!'],
    ['-A! AB', 'A', '-A!'],
    // the same value again
    ['-A AA', 'A', '-A AA'],
  ])('%j, now %s: %j', (log, current, want) => {
    const times = happened(changes(log), descriptors[current]).map(({ before, after }) => [before, after])
    expect(times).toEqual(changes(want).map(({ before, after }) => [before, after]))
  })
})
