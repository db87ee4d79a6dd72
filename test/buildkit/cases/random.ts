// Random builds that BuildKit was asked about. Seeds: what tools found, and the first hundred and fifty.
import { randomCase } from '../random.js'

const FIRST = 150
const FOUND = [1063, 1074, 1095, 2014, 2089, 2159, 2211, 2232, 2262, 2292] as const

/** Where two steps fail at once: which of them is told about is BuildKit's luck. */
const RACES = new Set([7, 55, 66, 76, 82, 104, 123])

const SEEDS = [...Array.from({ length: FIRST }, (_, i) => i + 1), ...FOUND]

export const RANDOM_CASES = SEEDS.filter((seed) => !RACES.has(seed)).map(randomCase)
