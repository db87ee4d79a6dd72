// What work costs, told so that the speed and the load of the machine do not decide: CPU time instead of the clock, and
// how it grows instead of how long it takes.

/** CPU time of this process in milliseconds: it stands still while other processes run. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Between 16, what linear work costs more at 16 times the size, and 256, what quadratic work does: far from both. */
export const SUBQUADRATIC = 80

/**
 * How many times as much `work` costs at 16 times the size. The least of three times, since a collection of garbage may fall
 * into any, and into those of the large size more often.
 */
export function growth(work: (size: number) => void, size: number): number {
  const least = (n: number) => Math.min(...[1, 2, 3].map(() => cpuMs(() => work(n))))
  return least(size * 16) / least(size)
}
