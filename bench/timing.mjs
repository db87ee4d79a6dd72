// Timing for cases that run in this process: rounds in turn, so that a drift of the machine's speed meets all candidates.

/** Least, p50 and p99 of a list of nanoseconds, and how many they are. */
export function spread(samples) {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]
  return { n: sorted.length, minNs: sorted[0], p50Ns: at(0.5), p99Ns: at(0.99) }
}

/** p50 and p99 of a list of nanoseconds. */
export function quantiles(samples) {
  const { p50Ns, p99Ns } = spread(samples)
  return { p50Ns, p99Ns }
}

/**
 * Runs the candidates in turn for some rounds (the first, unmeasured, warms up) and returns their quantiles by name.
 * A candidate is `{ setup?, run }`; `run` gets what `setup` returned, which is not timed. Both may be async.
 */
export async function inTurn(candidates, rounds) {
  const samples = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const [name, { setup, run }] of Object.entries(candidates)) {
      const input = await setup?.()
      const start = process.hrtime.bigint()
      await run(input)
      const ns = Number(process.hrtime.bigint() - start)
      if (round > 0) samples[name].push(ns)
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, quantiles(list)]))
}
