// Before each test file: the laws of fast-check draw from the run's seed.
import { configureGlobal } from 'fast-check'
import { runs, SEED } from './chance.js'

configureGlobal({ seed: SEED, numRuns: runs(100) })
