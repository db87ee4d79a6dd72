// What builds leave in images, against BuildKit 0.25.
import { SUITES } from './cases/index.js'
import { describeRecorded } from './harness.js'

for (const [file, cases] of Object.entries(SUITES)) describeRecorded(file, cases)
