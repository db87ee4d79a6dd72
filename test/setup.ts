// Before each test file: the laws of fast-check draw from the run's seed, and folders that tests make have the usual modes.
import { configureGlobal } from 'fast-check'
import { runs, SEED } from './chance.js'

configureGlobal({ seed: SEED, numRuns: runs(100) })

// Tests of other umasks set their own.
process.umask(0o022)
